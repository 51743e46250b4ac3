// SPDX-License-Identifier: Apache-2.0

//! Removes what nothing needs any more, beside registries that go on.
//!
//! One repository after the other: what do its names need (tags, announcements, manifests)? What nothing needs is condemned; what
//! was condemned a grace period ago and is still not needed is removed. So it takes two runs, at least a grace period apart, until
//! something is gone. Why nobody is left with a name for what is not there: see `store::garbage`.
//!
//! A repository in which something is damaged that says what is needed is left alone, and so is a store with records of a kind
//! that this version does not know.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Serialize;
use types::digest::Sha256;
use types::time::Timestamp;

use super::lease::Held;
use super::{kinds, reach, repo_name};
use crate::oci::records::{HIDDEN, MANIFESTS};
use crate::store::raw::is_of_the_place;
use crate::store::{
    ALIASES, Amounts, DOOMED_SECONDS, Fate, GARBAGE, Key, Kind, PENDING, Put, RepoName,
    SEND_SECONDS, Store, StoreError, TAGS, Thing,
};

/// Shortest grace period in seconds.
pub const GRACE_SECONDS_MIN: u64 = 3600;
/// How many keys are looked at together.
const PAGE: usize = 1000;

/// How a run is to be.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// For how long, in seconds, nothing must have needed what is removed; at least [`GRACE_SECONDS_MIN`] is taken.
    pub grace: u64,
    /// Only says what would be done.
    pub dry_run: bool,
}

/// How many of something, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Bytes of all.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What was done, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Content that is needed.
    pub needed: Amount,
    /// Content that nothing needs, and that goes a grace period from now unless somebody comes to need it.
    pub condemned: Amount,
    /// Content that is waiting for that since an earlier run.
    pub waiting: Amount,
    /// Content that was removed.
    pub removed: Amount,
    /// Announced tags that were forgotten, because nobody went on with them.
    pub announcements: u64,
    /// Objects of uploads that nobody went on with, removed.
    pub uploads: Amount,
    /// Files of dead processes, removed.
    pub staging: Amount,
    /// Records of what owners have that were wrong, and are right now.
    pub recounted: u64,
    /// Repositories that were left alone, and why.
    pub skipped: Vec<(String, String)>,
}

/// Looks through a store and removes what may go. `clock` says what time it is.
///
/// # Errors
/// [`StoreError::Setup`] if another gc is at work, or the store has records of a kind that is not known; failures of the place.
pub fn collect(
    store: &Store,
    options: Options,
    clock: &dyn Fn() -> Timestamp,
) -> Result<Report, StoreError> {
    let grace = options.grace.max(GRACE_SECONDS_MIN);
    only_known_kinds(store)?;
    let lease = match options.dry_run {
        true => None,
        false => Some(Held::take(store, "gc", clock())?),
    };
    let mut gc =
        Gc { store, grace, dry_run: options.dry_run, clock, lease, report: Report::default() };
    let result = gc.all();
    if let Some(lease) = gc.lease {
        lease.end();
    }
    result.map(|()| gc.report)
}

/// Records that are not known may need what is known.
fn only_known_kinds(store: &Store) -> Result<(), StoreError> {
    for kind in store.parts_below("")? {
        let known = kind == "blobs" || is_of_the_place(&format!("{kind}/"));
        if !known && kinds::known(&kind).is_none() {
            return Err(StoreError::Setup(format!(
                "{kind}/ is nothing that this version of drawbridge knows, and may need what it would remove: run the version that serves the store, or take it away"
            )));
        }
    }
    Ok(())
}

struct Gc<'a> {
    store: &'a Store,
    grace: u64,
    dry_run: bool,
    clock: &'a dyn Fn() -> Timestamp,
    lease: Option<Held<'a>>,
    report: Report,
}

/// What a repository's names need.
#[derive(Default)]
pub(crate) struct Needed {
    pub(crate) blobs: HashSet<Sha256>,
    /// Why it is not known.
    pub(crate) blind: Option<String>,
}

impl Gc<'_> {
    fn all(&mut self) -> Result<(), StoreError> {
        let mut repos = BTreeSet::new();
        for kind in ["blobs/", PENDING.name(), GARBAGE.name()] {
            let kind = kind.trim_end_matches('/');
            for user in self.store.parts_below(&format!("{kind}/"))? {
                for repo in self.store.parts_below(&format!("{kind}/{user}/"))? {
                    repos.extend(repo_name(&user, &repo).map(|repo| repo.to_string()));
                }
            }
        }
        for name in repos {
            let Some(repo) = name.split_once('/').and_then(|(user, repo)| repo_name(user, repo))
            else {
                continue;
            };
            self.repo(&repo)?;
        }
        self.uploads()?;
        let now = self.now()?;
        self.report.recounted = self.store.recount(now, !self.dry_run)?;
        let before = Timestamp((self.clock)().0.saturating_sub(self.grace));
        let (count, bytes) = self.store.stale(before, !self.dry_run)?;
        self.report.staging = Amount { count, bytes };
        Ok(())
    }

    /// The time, while the lease is held.
    fn now(&mut self) -> Result<Timestamp, StoreError> {
        let now = (self.clock)();
        if let Some(lease) = &mut self.lease {
            lease.hold(now)?;
        }
        Ok(now)
    }

    fn repo(&mut self, repo: &RepoName) -> Result<(), StoreError> {
        let began = self.now()?;
        let needed = needed(self.store, repo)?;
        if let Some(why) = needed.blind {
            tracing::warn!(%repo, why, "left alone");
            self.report.skipped.push((repo.to_string(), why));
            return Ok(());
        }
        let mut marked = self.store.marked(repo, "blobs")?;
        let mut aliases = None;
        let [user, name] = repo.parts();
        let prefix = format!("blobs/{user}/{name}/");
        let mut after: Option<String> = None;
        loop {
            let keys = self.store.keys(&prefix, after.as_deref(), PAGE)?;
            for key in &keys {
                let hex = key.strip_prefix(&prefix).unwrap_or_default();
                let Ok(digest) = format!("sha256:{hex}").parse::<Sha256>() else { continue };
                let was_marked = marked.remove(hex);
                let at = Key::own(key.clone());
                let Some(bytes) = self.store.length_at(&at)? else { continue };
                let thing = Thing::Blob(hex);
                if needed.blobs.contains(&digest) {
                    self.report.needed.add(bytes);
                    if was_marked {
                        self.unmark(repo, thing)?;
                    }
                    continue;
                }
                match self.judge(repo, thing, began)? {
                    Verdict::Condemned => self.report.condemned.add(bytes),
                    Verdict::Waits => self.report.waiting.add(bytes),
                    Verdict::Goes(sent_by) => {
                        let aliases = match &aliases {
                            Some(aliases) => aliases,
                            None => aliases.insert(self.aliases(repo)?),
                        };
                        let names = aliases.get(&digest).map_or(&[][..], Vec::as_slice);
                        if self.remove(repo, thing, &at, names, sent_by)? {
                            self.report.removed.add(bytes);
                            self.give_back(repo, Amounts::bytes(bytes));
                        }
                    }
                }
            }
            if keys.len() < PAGE {
                break;
            }
            after = keys.into_iter().next_back();
        }
        // About what is not there any more.
        for hex in marked {
            self.unmark(repo, Thing::Blob(&hex))?;
        }
        self.announcements(repo, began)
    }

    /// The names of aliases by what they stand for.
    fn aliases(&self, repo: &RepoName) -> Result<HashMap<Sha256, Vec<String>>, StoreError> {
        let table = self.store.table(&ALIASES);
        let mut aliases: HashMap<Sha256, Vec<String>> = HashMap::new();
        for parts in table.list(&repo.parts(), None, usize::MAX)? {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            if let (Some(alias), Some(name)) = (table.value(&parts)?, parts.last()) {
                aliases.entry(alias.sha256).or_default().push((*name).to_owned());
            }
        }
        Ok(aliases)
    }

    /// What becomes of something that nothing needed at a time at or after `began`.
    fn judge(
        &mut self,
        repo: &RepoName,
        thing: Thing<'_>,
        began: Timestamp,
    ) -> Result<Verdict, StoreError> {
        let (table, parts) = (self.store.table(&GARBAGE), thing.parts(repo));
        let found = table.get(&parts)?;
        let now = self.now()?;
        let new = match found.as_ref().map(|found| found.value) {
            None | Some(Fate::Spared) => Fate::Condemned(now.0),
            Some(Fate::Condemned(at)) if at.saturating_add(self.grace) <= began.0 => {
                Fate::Doomed(now.0)
            }
            Some(Fate::Doomed(at)) if at.saturating_add(DOOMED_SECONDS) <= now.0 => {
                Fate::Doomed(now.0)
            }
            Some(Fate::Condemned(_) | Fate::Doomed(_)) => return Ok(Verdict::Waits),
        };
        let swapped = self.dry_run
            || match &found {
                Some(found) => table.replace(&parts, &new, &found.version)?.is_some(),
                None => table.create(&parts, &new)? == Put::Created,
            };
        // Whoever was first came to need it.
        Ok(match new {
            _ if !swapped => Verdict::Waits,
            Fate::Doomed(at) => Verdict::Goes(Timestamp(at.saturating_add(SEND_SECONDS))),
            _ => Verdict::Condemned,
        })
    }

    /// Removes something doomed, what it stands behind first and its record last; whether it was in time.
    fn remove(
        &mut self,
        repo: &RepoName,
        thing: Thing<'_>,
        at: &Key,
        aliases: &[String],
        sent_by: Timestamp,
    ) -> Result<bool, StoreError> {
        if self.dry_run {
            return Ok(true);
        }
        let [user, name] = repo.parts();
        for alias in aliases {
            if self.now()? > sent_by {
                return Ok(false);
            }
            self.store.table(&ALIASES).delete(&[user, name, alias])?;
        }
        if self.now()? > sent_by {
            return Ok(false);
        }
        self.store.remove_at(at)?;
        tracing::debug!(key = %at, "removed what nothing needs");
        if let Thing::Blob(hex) = thing
            && self.now()? <= sent_by
        {
            // What is gone need not be hidden. Nobody brings it again before the record of its fate is gone as well.
            self.store.table(&HIDDEN).delete(&[user, name, hex])?;
        }
        self.store.table(&GARBAGE).delete(&thing.parts(repo))?;
        Ok(true)
    }

    /// Room for the owner, if there are quotas.
    fn give_back(&self, repo: &RepoName, amounts: Amounts) {
        if !self.dry_run {
            self.store.give_back(repo.user(), amounts);
        }
    }

    /// Forgets what was to become of something that is needed, or gone.
    fn unmark(&mut self, repo: &RepoName, thing: Thing<'_>) -> Result<(), StoreError> {
        let (table, parts) = (self.store.table(&GARBAGE), thing.parts(repo));
        let now = self.now()?;
        match table.value(&parts)? {
            // Somebody may still be removing it.
            Some(Fate::Doomed(at)) if at.saturating_add(DOOMED_SECONDS) > now.0 => Ok(()),
            Some(_) if !self.dry_run => table.delete(&parts),
            _ => Ok(()),
        }
    }

    /// Announced tags that nobody goes on with. Their content goes later, as all does.
    fn announcements(&mut self, repo: &RepoName, began: Timestamp) -> Result<(), StoreError> {
        let mut marked = self.store.marked(repo, "pending")?;
        let names = self.store.table(&PENDING).list(&repo.parts(), None, usize::MAX)?;
        for parts in &names {
            let Some(tag) = parts.last() else { continue };
            marked.remove(tag);
            let thing = Thing::Pending(tag);
            if let Verdict::Goes(sent_by) = self.judge(repo, thing, began)? {
                let [user, name] = repo.parts();
                let at = PENDING.key(&[user, name, tag])?;
                self.report.announcements +=
                    u64::from(self.remove(repo, thing, &at, &[], sent_by)?);
            }
        }
        for tag in marked {
            self.unmark(repo, Thing::Pending(&tag))?;
        }
        Ok(())
    }

    fn uploads(&mut self) -> Result<(), StoreError> {
        let now = self.now()?;
        let (store, dry_run, uploads) = (self.store, self.dry_run, &mut self.report.uploads);
        store.abandoned_uploads(now, &mut |key| {
            let bytes = store.length_at(key)?.unwrap_or(0);
            if !dry_run {
                store.remove_at(key)?;
            }
            uploads.add(bytes);
            Ok(())
        })
    }
}

/// What becomes of something that nothing needs.
enum Verdict {
    /// It goes if that stays so.
    Condemned,
    /// Not now.
    Waits,
    /// Now, if its removal is sent by then.
    Goes(Timestamp),
}

/// What the names of a repository need.
///
/// # Errors
/// Failures of the place.
pub(crate) fn needed(store: &Store, repo: &RepoName) -> Result<Needed, StoreError> {
    let mut needed = Needed::default();
    for_each(store, &TAGS, repo, &mut needed, |needed, parts| {
        let Some(tag) = store.table(&TAGS).value(parts)? else { return Ok(false) };
        Ok(reach::tree(store, repo, &tag.entry, &mut needed.blobs)?.blind)
    })?;
    for_each(store, &PENDING, repo, &mut needed, |needed, parts| {
        let Some(root) = store.table(&PENDING).value(parts)? else { return Ok(false) };
        Ok(reach::tree(store, repo, &root, &mut needed.blobs)?.blind)
    })?;
    for_each(store, &MANIFESTS, repo, &mut needed, |needed, parts| {
        let Some(record) = store.table(&MANIFESTS).value(parts)? else { return Ok(false) };
        let hex = parts.last().copied().unwrap_or_default();
        let Ok(digest) = format!("sha256:{hex}").parse() else { return Ok(true) };
        let lacks = reach::manifest(store, repo, &digest, &record, &mut needed.blobs)?;
        // One that was deleted while it was looked at needs nothing.
        Ok(lacks.blind && store.table(&MANIFESTS).value(parts)?.is_some())
    })?;
    Ok(needed)
}

/// Looks at all records of a kind in a repository; `look` says whether one of them cannot be understood. A damaged one cannot.
fn for_each<T: Serialize + serde::de::DeserializeOwned>(
    store: &Store,
    kind: &Kind<T>,
    repo: &RepoName,
    needed: &mut Needed,
    mut look: impl FnMut(&mut Needed, &[&str]) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let mut after: Option<Vec<String>> = None;
    loop {
        let from: Option<Vec<&str>> =
            after.as_ref().map(|parts| parts.iter().map(String::as_str).collect());
        let names = store.table(kind).list(&repo.parts(), from.as_deref(), PAGE)?;
        for name in &names {
            let parts: Vec<&str> = name.iter().map(String::as_str).collect();
            let blind = match look(needed, &parts) {
                Err(StoreError::Damaged(_)) => true,
                other => other?,
            };
            if blind {
                let what = format!(
                    "{}/{} or what it needs is damaged; drawbridge scrub says more",
                    kind.name(),
                    parts.join("/")
                );
                needed.blind.get_or_insert(what);
            }
        }
        if names.len() < PAGE {
            return Ok(());
        }
        after = names.into_iter().next_back();
    }
}
