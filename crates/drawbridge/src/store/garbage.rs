// SPDX-License-Identifier: Apache-2.0

//! What may be removed, and how nobody is left with a name for what is not there.
//!
//! ```text
//! garbage/<user>/<repo>/blobs/<64 hex>.json    what is to become of content that nothing needs
//! garbage/<user>/<repo>/pending/<tag>.json     the same of an announcement that nobody goes on with
//! ```
//!
//! The danger is whoever comes to need something at the moment when it goes: an upload of bytes that are there already, a tag
//! or a manifest over content that came some other way. Places for bytes have no removal on a condition, so the decision is
//! made in a record of its own, which is compared and swapped:
//!
//! ```text
//!            gc: nothing needs it                gc: still so, a grace period later
//!   (none) ────────────────────────▶ condemned ────────────────────────────────────▶ doomed ──▶ removed, (none)
//!                                      │   ▲ gc: still nothing needs it               │
//!      whoever comes to need it: spare ▼   │                                          │ an hour later, if whoever doomed
//!                                     spared ◀────────────────────────────────────────┘ it died before it was done
//! ```
//!
//! **Whoever comes to need something spares it first, then looks whether it is there, and then writes the name that needs
//! it.** Sparing fails ([`StoreError::Busy`]) for what is doomed, until it is removed. That is all that uploads pay: one read of
//! a record that is hardly ever there.
//!
//! Why nothing is removed that a name needs. Let a name be written at *w*, after its content was spared at *r*. Something is
//! removed only after it was swapped from condemned to doomed, by a run of `gc` that began to look at the repository's names at
//! *m*, found none that needs it, and read that it had been condemned at *c* with *c* + grace ≤ *m*.
//!
//! - If it was condemned or doomed when it was spared: the swap to doomed comes first, and sparing fails, so no name was
//!   written; or sparing comes first, and the swap to doomed fails, for it is not condemned any more. To be removed it must be
//!   condemned anew, after *r*, so *r* < *c*.
//! - If there was no record, or it was spared already, it is condemned after *r* as well: *r* < *c*.
//! - So *r* + grace < *c* + grace ≤ *m*. Requests take less than that, so *w* < *m*: the run that is said to have
//!   removed it saw the name, and did not.
//!
//! What is acknowledged and has no name yet (a blob of an OCI push) stays for a grace period at least, by the same argument.
//!
//! Assumptions, all of them about time: from sparing to writing the name a request takes less than half of the shortest grace
//! period (an hour); from reading the clock to condemning `gc` takes less than the other half, by which the clocks of hosts that
//! run it may differ as well; a removal that was sent within [`SEND_SECONDS`] of the swap takes
//! effect within [`DOOMED_SECONDS`] of it or never. One `gc` runs at a time, by a lease that is swapped in like everything else;
//! it takes marks away, and no other does. If one stops for longer than its lease, it finds out before it goes on.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use types::digest::Sha256;
use types::time::Timestamp;

use super::{BlobDigest, Kind, RepoName, Store, StoreError};

/// What is to become of something, by user, repository, `blobs` or `pending`, and its name.
pub(crate) const GARBAGE: Kind<Fate> = Kind::new("garbage", 4);
/// How soon after the swap to doomed its removal is sent, in seconds, or it is not sent.
pub(crate) const SEND_SECONDS: u64 = 60;
/// After how many seconds whoever doomed something and did not finish is taken to be dead.
pub(crate) const DOOMED_SECONDS: u64 = 3600;
/// How often a swap is tried.
const ATTEMPTS_MAX: usize = 64;
/// How many names are listed together.
const PAGE: usize = 1000;

/// What is to become of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Fate {
    /// Nothing needed it when it was looked at, in seconds since 1970.
    Condemned(u64),
    /// Somebody came to need it.
    Spared,
    /// It is being removed since then, in seconds since 1970.
    Doomed(u64),
}

/// Something that can be condemned.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Thing<'a> {
    /// Content by the digits of its SHA-256.
    Blob(&'a str),
    /// An announcement, by its tag.
    Pending(&'a str),
}

impl<'a> Thing<'a> {
    /// What names its record.
    pub(crate) fn parts(self, repo: &'a RepoName) -> [&'a str; 4] {
        let [user, name] = repo.parts();
        match self {
            Self::Blob(hex) => [user, name, "blobs", hex],
            Self::Pending(tag) => [user, name, "pending", tag],
        }
    }
}

impl Store {
    /// Says that somebody is about to need something: from now on it stays for a grace period.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if it is just being removed.
    pub(crate) fn spare(&self, repo: &RepoName, thing: Thing<'_>) -> Result<(), StoreError> {
        let (table, parts) = (self.table(&GARBAGE), thing.parts(repo));
        for _ in 0..ATTEMPTS_MAX {
            let Some(found) = table.get(&parts)? else {
                return Ok(());
            };
            match found.value {
                Fate::Spared => return Ok(()),
                Fate::Doomed(_) => return Err(StoreError::Busy),
                Fate::Condemned(_) => {
                    if table.replace(&parts, &Fate::Spared, &found.version)?.is_some() {
                        return Ok(());
                    }
                }
            }
        }
        Err(StoreError::Busy)
    }

    /// The same for content by any digest. What is just being removed is as good as gone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) fn spare_named(
        &self,
        repo: &RepoName,
        digest: &BlobDigest,
    ) -> Result<(), StoreError> {
        let Some(sha256) = self.resolve(repo, digest)? else {
            return Ok(());
        };
        match self.spare(repo, Thing::Blob(&sha256.to_hex())) {
            Err(StoreError::Busy) => Ok(()),
            other => other,
        }
    }

    /// The same for content that a name will need, by one list where nothing is condemned, as is usual.
    ///
    /// # Errors
    /// As for [`Self::spare`].
    pub(crate) fn spare_blobs(
        &self,
        repo: &RepoName,
        needed: impl FnOnce() -> Result<HashSet<Sha256>, StoreError>,
    ) -> Result<(), StoreError> {
        let marked = self.marked(repo, "blobs")?;
        if marked.is_empty() {
            return Ok(());
        }
        for digest in needed()? {
            let hex = digest.to_hex();
            if marked.contains(&hex) {
                self.spare(repo, Thing::Blob(&hex))?;
            }
        }
        Ok(())
    }

    /// The names of things of a repository about which there are records.
    pub(crate) fn marked(
        &self,
        repo: &RepoName,
        kind: &str,
    ) -> Result<HashSet<String>, StoreError> {
        let [user, name] = repo.parts();
        let mut marked = HashSet::new();
        let mut after: Option<[String; 4]> = None;
        loop {
            let from = after.as_ref().map(|parts| parts.each_ref().map(String::as_str));
            let names = self.table(&GARBAGE).list(
                &[user, name, kind],
                from.as_ref().map(<[&str; 4]>::as_slice),
                PAGE,
            )?;
            let full = names.len() >= PAGE;
            after = names.last().cloned().and_then(|parts| parts.try_into().ok());
            marked.extend(names.into_iter().filter_map(|mut parts| parts.pop()));
            if !full {
                return Ok(marked);
            }
        }
    }

    /// Spares what was doomed so long ago that whoever did it is dead; how many things that were. A registry does so now and
    /// then, so that nobody waits for the next `gc`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn spare_abandoned(&self, now: Timestamp) -> Result<usize, StoreError> {
        let table = self.table(&GARBAGE);
        let mut spared = 0;
        let mut after: Option<Vec<String>> = None;
        loop {
            let from: Option<Vec<&str>> =
                after.as_ref().map(|parts| parts.iter().map(String::as_str).collect());
            let names = table.list(&[], from.as_deref(), PAGE)?;
            for name in &names {
                let parts: Vec<&str> = name.iter().map(String::as_str).collect();
                let Some(found) = table.get(&parts)? else { continue };
                if let Fate::Doomed(at) = found.value
                    && now.0.saturating_sub(at) >= DOOMED_SECONDS
                {
                    spared += usize::from(
                        table.replace(&parts, &Fate::Spared, &found.version)?.is_some(),
                    );
                }
            }
            if names.len() < PAGE {
                return Ok(spared);
            }
            after = names.into_iter().next_back();
        }
    }
}
