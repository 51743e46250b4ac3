// SPDX-License-Identifier: Apache-2.0

//! Reads everything in a store and names what is not as it should be. Changes nothing, and removes nothing.
//!
//! It runs beside registries that serve the store: content and most records never change, those that do are swapped whole, and
//! what is gone by the time it is looked at a second time was taken away on purpose and is no damage. What it cannot see: two
//! undamaged records of one kind in each other's place, for records do not say what their names are.

use std::collections::HashSet;
use std::fmt;
use std::io::Read as _;

use serde::Serialize;
use sha2::Digest as _;
use types::digest::Sha256;
use types::limits;

use super::kinds::{self, Known, Needs};
use super::reach::{self, Lacks};
use super::repo_name;
use crate::key::RegistryKey;
use crate::oci::records::{MANIFESTS, REFERRERS, TAGS as OCI_TAGS};
use crate::store::raw::{is_of_the_place, is_temporary};
use crate::store::{
    ALIASES, Key, REPOS, RepoName, Store, StoreError, TAGS, TagName, UPLOADS, USERS,
};

/// How many keys are looked at together.
const PAGE: usize = 1000;
/// How much is read at once, in bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// What is wrong with something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wrong {
    /// It is not what was put there.
    Damaged,
    /// It is whole, and not where it belongs, or nothing of a store's.
    Misplaced,
    /// It needs something that is not there, or not as it should be.
    Incomplete,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where: a key, which is a path in a directory.
    pub key: String,
    /// What kind of wrong.
    pub wrong: Wrong,
    /// In words.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrong = match self.wrong {
            Wrong::Damaged => "damaged",
            Wrong::Misplaced => "misplaced",
            Wrong::Incomplete => "incomplete",
        };
        write!(f, "{wrong}: {}: {}", self.key, self.detail)
    }
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Content.
    pub blobs: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// Records.
    pub records: u64,
    /// Tags, all of whose trees were walked.
    pub tags: u64,
    /// Uploads and files that are on their way, or were when their process died.
    pub unfinished: u64,
    /// What is wrong, in the order of keys.
    pub findings: Vec<Finding>,
}

/// Looks at everything. `pace` hears how many bytes were just read, and may take its time.
///
/// # Errors
/// What keeps it from looking: failures of the place. Damage is no error.
pub fn scrub(store: &Store, pace: &mut dyn FnMut(u64)) -> Result<Report, StoreError> {
    let mut scrub = Scrub { store, pace, report: Report::default() };
    let mut after: Option<String> = None;
    loop {
        let keys = store.keys("", after.as_deref(), PAGE)?;
        for key in &keys {
            scrub.look(key)?;
        }
        if keys.len() < PAGE {
            return Ok(scrub.report);
        }
        after = keys.into_iter().next_back();
    }
}

struct Scrub<'a> {
    store: &'a Store,
    pace: &'a mut dyn FnMut(u64),
    report: Report,
}

impl Scrub<'_> {
    fn look(&mut self, text: &str) -> Result<(), StoreError> {
        if is_of_the_place(text) {
            self.report.unfinished += u64::from(is_temporary(text));
            return Ok(());
        }
        let key = Key::own(text.to_owned());
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            ["version"] => Ok(()),
            ["registry.key.pem"] => self.registry_key(&key),
            ["blobs", user, repo, hex] => self.blob(&key, (user, repo), hex),
            ["uploads", id, _] => {
                self.report.unfinished += u64::from(!id.is_empty());
                Ok(())
            }
            [kind, ..] => match kinds::known(kind) {
                Some(kind) => self.record(&key, kind),
                None => self.stray(&key),
            },
            [] => Ok(()),
        }
    }

    /// Says what is wrong with something that is still there.
    fn wrong(
        &mut self,
        key: &Key,
        wrong: Wrong,
        detail: impl Into<String>,
    ) -> Result<(), StoreError> {
        if self.store.length_at(key)?.is_some() {
            let finding = Finding { key: key.to_string(), wrong, detail: detail.into() };
            tracing::debug!(%finding, "found");
            self.report.findings.push(finding);
        }
        Ok(())
    }

    fn stray(&mut self, key: &Key) -> Result<(), StoreError> {
        self.wrong(key, Wrong::Misplaced, "nothing of this name belongs to a store")
    }

    fn registry_key(&mut self, key: &Key) -> Result<(), StoreError> {
        match RegistryKey::existing(self.store) {
            Err(StoreError::Key(why)) => self.wrong(key, Wrong::Damaged, why),
            other => other.map(drop),
        }
    }

    fn blob(&mut self, key: &Key, repo: (&str, &str), hex: &str) -> Result<(), StoreError> {
        let named = format!("sha256:{hex}").parse::<Sha256>();
        let (Some(repo), Ok(named)) = (repo_name(repo.0, repo.1), named) else {
            return self.stray(key);
        };
        let Some((found, bytes)) = self.digest(key)? else {
            return Ok(());
        };
        self.report.blobs += 1;
        self.report.bytes += bytes;
        if found == named {
            return Ok(());
        }
        let home = repo.blob(&found);
        if self.store.length_at(&home)?.is_some() {
            let detail = format!("it is the content of {home}, or of what should be there");
            return self.wrong(key, Wrong::Misplaced, detail);
        }
        self.wrong(key, Wrong::Damaged, format!("its {bytes} bytes hash to {found}"))
    }

    /// The digest and length of what a key holds; `None` if there is nothing.
    fn digest(&mut self, key: &Key) -> Result<Option<(Sha256, u64)>, StoreError> {
        let Some(mut opened) = self.store.open_at(key)? else {
            return Ok(None);
        };
        let mut hasher = sha2::Sha256::new();
        let (mut piece, mut total) = (vec![0; PIECE_BYTES], 0);
        loop {
            let count = opened.bytes.read(&mut piece)?;
            if count == 0 {
                return Ok(Some((Sha256(hasher.finalize().into()), total)));
            }
            hasher.update(piece.get(..count).unwrap_or_default());
            total += count as u64;
            (self.pace)(count as u64);
        }
    }

    fn record(&mut self, key: &Key, kind: &Known) -> Result<(), StoreError> {
        let Some(parts) = (kind.parts)(key.as_str()) else {
            return self.stray(key);
        };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match (kind.read)(self.store, &parts) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(StoreError::Damaged(_)) => {
                return self.wrong(key, Wrong::Damaged, "its checksum or its form is wrong");
            }
            Err(StoreError::Io(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                return self.wrong(key, Wrong::Damaged, "it is larger than any record");
            }
            Err(error) => return Err(error),
        }
        (self.pace)(self.store.length_at(key)?.unwrap_or(0));
        self.report.records += 1;
        self.needs(key, kind.needs, &parts)?;
        if let [user, repo, rest @ ..] = parts.as_slice()
            && let Some(repo) = repo_name(user, repo)
        {
            return self.of_repo(key, kind.name, &repo, rest);
        }
        match parts.as_slice() {
            [id] if kind.name == UPLOADS.name() => self.session(key, id),
            _ => Ok(()),
        }
    }

    /// The owner or the repository that a record is of.
    fn needs(&mut self, key: &Key, needs: Needs, parts: &[&str]) -> Result<(), StoreError> {
        let there = |store: &Store, key: Result<Key, StoreError>| match key {
            Ok(key) => store.length_at(&key).map(|length| length.is_some()),
            Err(_) => Ok(false),
        };
        let (user, repo) = (parts.first().unwrap_or(&""), parts.get(1).unwrap_or(&""));
        match needs {
            Needs::Owner if !there(self.store, USERS.key(&[user]))? => {
                self.wrong(key, Wrong::Incomplete, format!("there is no owner {user}"))
            }
            Needs::Repo if !there(self.store, REPOS.key(&[user, repo]))? => {
                let detail = format!("there is no repository {user}/{repo}");
                self.wrong(key, Wrong::Incomplete, detail)
            }
            _ => Ok(()),
        }
    }

    fn of_repo(
        &mut self,
        key: &Key,
        kind: &str,
        repo: &RepoName,
        rest: &[&str],
    ) -> Result<(), StoreError> {
        let [user, name] = repo.parts();
        match rest {
            [tag] if kind == TAGS.name() => self.tag(key, repo, tag),
            [alias] if kind == ALIASES.name() => {
                let Some(found) = self.value(&ALIASES, &[user, name, alias])? else {
                    return Ok(());
                };
                match self.store.length_at(&repo.blob(&found.sha256))? {
                    Some(_) => Ok(()),
                    None => {
                        let detail = format!("it stands for {}, which is missing", found.sha256);
                        self.wrong(key, Wrong::Incomplete, detail)
                    }
                }
            }
            [hex] if kind == MANIFESTS.name() => {
                let (Some(record), Ok(digest)) =
                    (self.value(&MANIFESTS, &[user, name, hex])?, format!("sha256:{hex}").parse())
                else {
                    return self.stray(key);
                };
                let lacks =
                    reach::manifest(self.store, repo, &digest, &record, &mut HashSet::new())?;
                self.lacking(key, lacks)
            }
            [tag] if kind == OCI_TAGS.name() => {
                let Some(record) = self.value(&OCI_TAGS, &[user, name, tag])? else {
                    return Ok(());
                };
                if record.deleted {
                    return Ok(());
                }
                if !record.settled {
                    self.report.unfinished += 1;
                    return Ok(());
                }
                let manifest = MANIFESTS.key(&[user, name, &record.manifest.to_hex()])?;
                if self.store.length_at(&manifest)?.is_none() {
                    let detail = format!("its manifest {} is missing", record.manifest);
                    return self.wrong(key, Wrong::Incomplete, detail);
                }
                let Some(package) = record.package else { return Ok(()) };
                match self.value(&TAGS, &[user, name, tag])? {
                    Some(seen) if seen.digest() != package => {
                        let detail =
                            format!("it is of {package}, and the tag is {}", seen.digest());
                        self.wrong(key, Wrong::Misplaced, detail)
                    }
                    _ => Ok(()),
                }
            }
            [_, hex] if kind == REFERRERS.name() => {
                let manifest = MANIFESTS.key(&[user, name, hex])?;
                if self.store.length_at(&manifest)?.is_none() {
                    let detail = format!("the manifest sha256:{hex} is missing");
                    return self.wrong(key, Wrong::Incomplete, detail);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A record that was read a moment ago; `None` if it is gone or changed into something damaged, which its own look says.
    fn value<T: Serialize + serde::de::DeserializeOwned>(
        &self,
        kind: &crate::store::Kind<T>,
        parts: &[&str],
    ) -> Result<Option<T>, StoreError> {
        match self.store.table(kind).value(parts) {
            Err(StoreError::Damaged(_)) => Ok(None),
            other => other,
        }
    }

    fn tag(&mut self, key: &Key, repo: &RepoName, tag: &str) -> Result<(), StoreError> {
        let [user, name] = repo.parts();
        if TagName::new(repo.clone(), tag).is_none() {
            return self.stray(key);
        }
        let Some(seen) = self.value(&TAGS, &[user, name, tag])? else {
            return Ok(());
        };
        self.report.tags += 1;
        let lacks = reach::tree(self.store, repo, &seen.entry, &mut HashSet::new())?;
        self.lacking(key, lacks)
    }

    fn lacking(&mut self, key: &Key, lacks: Lacks) -> Result<(), StoreError> {
        let count = lacks.what.len();
        match lacks.what.into_iter().next() {
            None => Ok(()),
            Some(first) if count == 1 => self.wrong(key, Wrong::Incomplete, first),
            Some(first) => {
                let detail = format!("{first}, and {} more of what it needs", count - 1);
                self.wrong(key, Wrong::Incomplete, detail)
            }
        }
    }

    fn session(&mut self, key: &Key, id: &str) -> Result<(), StoreError> {
        self.report.unfinished += 1;
        let Some(session) = self.value(&UPLOADS, &[id])? else {
            return Ok(());
        };
        for (name, length) in session.chunks.iter().take(limits::UPLOAD_CHUNKS_MAX) {
            let chunk = Key::own(format!("uploads/{id}/{name}"));
            if self.store.length_at(&chunk)? != Some(*length) {
                let detail = format!("its chunk {name} is missing, or has another length");
                return self.wrong(key, Wrong::Incomplete, detail);
            }
        }
        Ok(())
    }
}
