// SPDX-License-Identifier: Apache-2.0

//! Where a registry keeps what it was given (docs/FORMATS.md 9).
//!
//! ```text
//! version                              what wrote this
//! registry.key.pem                     see `crate::key`
//! users/<user>.json                    record
//! repos/<user>/<repo>.json             record
//! tags/<user>/<repo>/<tag>.json        a tag that stands for a whole tree
//! pending/<user>/<repo>/<tag>.json     a tag whose tree is still arriving
//! blobs/<user>/<repo>/<64 hex>         content by its SHA-256
//! uploads/…                            uploads in several requests, see `session`
//! aliases/<user>/<repo>/<digest>.json  which SHA-256 another digest stands for
//! garbage/<user>/<repo>/…              what is about to be removed, see `garbage`
//! <kind>/<part>/…/<part>.json          other records, see [`Kind`]
//! lock, locks/, tmp/                   in a directory: held while a registry serves it; while names change; half-written files
//! ```
//!
//! Blobs belong to one repository: who knows the digest of another's secret gains nothing by naming it. A name is to be seen
//! when all that it stands for is there. Records carry their own checksum; of content no wrong byte makes a whole answer.

mod backend;
mod blob;
mod bucket;
mod calls;
mod cloud;
mod disk;
mod error;
mod files;
mod garbage;
mod key;
mod location;
mod migrate;
mod name;
mod quota;
pub(crate) mod raw;
mod record;
mod session;
mod staging;
mod tree;
mod verified;

use std::fs::{File, OpenOptions, TryLockError};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use drawbridge_core::{Entry, Hasher, RepoRecord, TagRecord, UserRecord};
use serde::{Deserialize, Serialize};
use types::digest::Sha256;
use types::time::Timestamp;
use types::{limits, slug};

use crate::auth::owner::OwnerRecord;
pub use backend::Version;
use backend::{Backend, When};
pub use blob::Blob;
use blob::Wanted;
use bucket::{Bucket, PROBES};
use disk::{Disk, TEMPORARIES};
pub use error::StoreError;
pub(crate) use garbage::{DOOMED_SECONDS, Fate, GARBAGE, SEND_SECONDS, Thing};
pub use key::{Key, Kind, valid_part};
pub use location::{BucketUrl, Location, Provider};
pub use name::{RepoName, TagName, UserName};
pub(crate) use quota::{Amounts, USAGE};
pub use quota::{Exceeded, Quotas};
pub use record::{Table, Versioned};
pub(crate) use session::{ALIASES, UPLOADS};
pub use session::{Appended, BlobDigest, Finished, UploadId};
use staging::{Staging, Temporary};
pub use tree::Expected;
pub(crate) use tree::Kept;
use verified::Verified;

/// Content of the file `version`.
const VERSION: &str = "drawbridge store 2\n";
/// What it was before.
pub(crate) const VERSION_1: &str = "drawbridge store 1\n";

/// Owners by name: users and organisations.
pub const USERS: Kind<OwnerRecord> = Kind::new("users", 1);
/// Repositories by user and name.
pub const REPOS: Kind<RepoRecord> = Kind::new("repos", 2);
/// Tags that stand for a whole tree, by user, repository and version.
pub const TAGS: Kind<Tag> = Kind::new("tags", 3);
/// Tags whose tree is still arriving.
pub(crate) const PENDING: Kind<Entry> = Kind::new("pending", 3);

/// The outcome of writing to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Created,
    /// The same was there before.
    Same,
    /// Something else has that name, and keeps it.
    Conflict,
}

/// A tag that stands for a whole tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// The entry of the root.
    pub entry: Entry,
    /// When the last file arrived, in seconds since 1970.
    pub completed_at: u64,
    /// The Steward that the package's configuration names.
    pub steward: Option<String>,
}

impl Tag {
    /// What the tag stands for.
    pub fn digest(&self) -> Sha256 {
        self.entry.digest.sha256()
    }
}

/// A registry's memory.
#[derive(Debug)]
pub struct Store {
    backend: Arc<dyn Backend>,
    verified: Arc<Verified>,
    quotas: Quotas,
    /// Held as long as a directory is open for serving.
    _lock: Option<File>,
}

/// Content on its way into the store.
#[derive(Debug)]
pub struct Upload {
    temporary: Temporary,
    hasher: Hasher,
    length: u64,
}

impl Upload {
    /// Takes the next piece.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.temporary.write(bytes)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }
}

impl Store {
    /// Opens a store for serving, or makes one; removes what a killed registry left behind.
    ///
    /// # Errors
    /// A directory of somebody else or of another version, one that is served already, and failures of the file system.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let (disk, found) = open_dir(dir)?;
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).open(dir.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let left = disk.sweep()?;
        if left > 0 {
            tracing::info!(files = left, "removed what an interrupted registry left behind");
        }
        if found == Found::Old {
            migrate::from_1(dir)?;
            let mut temporary = disk.stage()?;
            temporary.write(VERSION.as_bytes())?;
            disk.replace(&temporary, &own("version"))?;
            tracing::info!("the store was of version 1 and is of version 2 now");
        }
        Ok(Self { _lock: Some(lock), ..Self::over(Arc::new(disk))? })
    }

    /// Opens a store that another process may be serving, or makes one.
    pub(crate) fn open_shared(dir: &Path) -> Result<Self, StoreError> {
        // What both versions have in common is all that is used without the lock.
        Self::over(Arc::new(open_dir(dir)?.0))
    }

    /// Opens the store at a place for serving, or makes one. What arrives for a bucket is staged in a new directory below
    /// `scratch`, which needs room for the uploads of a moment.
    ///
    /// # Errors
    /// As for [`Self::open`]; for a bucket [`StoreError::Unconditional`], [`StoreError::Setup`], [`StoreError::Bucket`].
    pub fn connect(location: &Location, scratch: &Path) -> Result<Self, StoreError> {
        match location {
            Location::Dir(dir) => Self::open(dir),
            Location::Bucket(url) => {
                let (staging, lock) = Staging::scratch(scratch)?;
                let bucket = Bucket::new(cloud::objects(url)?, &url.prefix, staging)?;
                let store = Self::in_bucket(bucket, &url.to_string())?;
                Ok(Self { _lock: Some(lock), ..store })
            }
        }
    }

    /// The store in a bucket, which is tried first.
    fn in_bucket(bucket: Bucket, name: &str) -> Result<Self, StoreError> {
        let at = own("version");
        let mut found = bucket.read(&at, 256)?;
        if found.is_none() {
            // Other instances that start at the same moment are no strangers.
            let keys = bucket.list("", None, 100)?;
            if keys.iter().any(|key| !key.starts_with(PROBES) && key != "version") {
                return Err(StoreError::ForeignBucket(name.to_owned()));
            }
        }
        bucket
            .try_conditions(std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0))?;
        if found.is_none() {
            bucket.write(&at, VERSION.as_bytes(), When::Absent)?;
            found = bucket.read(&at, 256)?;
        }
        match found {
            Some((version, _)) if version == VERSION.as_bytes() => Self::over(Arc::new(bucket)),
            _ => Err(StoreError::Version(name.into())),
        }
    }

    fn over(backend: Arc<dyn Backend>) -> Result<Self, StoreError> {
        let verified = Arc::new(Verified::new()?);
        Ok(Self { backend, verified, quotas: Quotas::default(), _lock: None })
    }

    /// Whether every operation waits for another machine, so that several at once are faster.
    pub(crate) fn is_far(&self) -> bool {
        self.backend.is_far()
    }

    /// The record of a user or an organisation.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn user(&self, user: &UserName) -> Result<Option<OwnerRecord>, StoreError> {
        self.table(&USERS).value(&user.parts())
    }

    /// Registers a user.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn put_user(&self, user: &UserName, record: &UserRecord) -> Result<Put, StoreError> {
        self.table(&USERS).create(&user.parts(), &OwnerRecord::User(record.clone()))
    }

    /// The record of a repository.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn repo(&self, repo: &RepoName) -> Result<Option<RepoRecord>, StoreError> {
        self.table(&REPOS).value(&repo.parts())
    }

    /// Registers a repository.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn put_repo(&self, repo: &RepoName, record: &RepoRecord) -> Result<Put, StoreError> {
        self.table(&REPOS).create(&repo.parts(), record)
    }

    /// The tags of a repository that stand for something, in order of their versions.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn tags(&self, repo: &RepoName) -> Result<Vec<semver::Version>, StoreError> {
        let names = self.table(&TAGS).list(&repo.parts(), None, usize::MAX)?;
        let version = |name: &Vec<String>| name.last().and_then(|tag| slug::parse_tag(tag));
        let mut tags: Vec<_> = names.iter().filter_map(version).collect();
        tags.sort();
        Ok(tags)
    }

    /// A tag that stands for a whole tree.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn tag(&self, tag: &TagName) -> Result<Option<Tag>, StoreError> {
        self.table(&TAGS).value(&tag.parts())
    }

    /// Announces what a tag is to stand for. It is to be seen when the whole tree has arrived; until then another
    /// announcement takes its place.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn put_tag(
        &self,
        tag: &TagName,
        record: &TagRecord,
        now: Timestamp,
    ) -> Result<Put, StoreError> {
        let agrees = |seen: &Tag| if seen.entry == record.0 { Put::Same } else { Put::Conflict };
        if let Some(seen) = self.tag(tag)? {
            return Ok(agrees(&seen));
        }
        self.spare(tag.repo(), Thing::Pending(tag.tag()))?;
        let pending = self.table(&PENDING).value(&tag.parts())?;
        if pending.is_none() && self.tags(tag.repo())?.len() >= limits::TAGS_MAX {
            return Err(StoreError::Quota("the repository has 10,000 tags, which is the most"));
        }
        let announce = || {
            let (mut put, mut fresh) = (Put::Same, false);
            self.table(&PENDING).update(&tag.parts(), |found| {
                put = if found == Some(&record.0) { Put::Same } else { Put::Created };
                fresh = found.is_none();
                Ok::<_, StoreError>((put == Put::Created).then(|| record.0.clone()))
            })?;
            Ok::<_, StoreError>((put, fresh))
        };
        let room = if pending.is_none() { Amounts::TAG } else { Amounts::default() };
        let user = tag.repo().user();
        let (put, _) = self.with_room(user, room, announce, |(_, fresh)| *fresh)?;
        // The content may be there already, by another tag. And somebody else's tree may have got whole meanwhile.
        let seen = self.complete(tag, now)?.map_or_else(|| self.tag(tag), |seen| Ok(Some(seen)))?;
        Ok(seen.as_ref().map(agrees).filter(|seen| *seen == Put::Conflict).unwrap_or(put))
    }

    /// Room for content of which these digests are wanted.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Io`].
    pub fn upload(&self, hasher: Hasher) -> Result<Upload, StoreError> {
        Ok(Upload { temporary: self.backend.stage()?, hasher, length: 0 })
    }

    /// Whether the store takes and gives back bytes now: a small file is written, flushed, read and removed,
    /// and the store's version read.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Io`].
    pub fn probe(&self) -> Result<(), StoreError> {
        let mut temporary = self.backend.stage()?;
        temporary.write(VERSION.as_bytes())?;
        temporary.flush()?;
        match temporary.read_back(VERSION.len())? {
            read if read == VERSION.as_bytes() => {}
            _ => return Err(std::io::Error::other("what was written is not what is read").into()),
        }
        match self.backend.read(&own("version"), 256)? {
            Some((version, _)) if version == VERSION.as_bytes() => Ok(()),
            _ => Err(std::io::Error::other("the store's version is gone").into()),
        }
    }

    fn wanted(repo: &RepoName, entry: &Entry) -> Wanted {
        let digest = entry.digest.sha256();
        Wanted { key: repo.blob(&digest), length: entry.length, digest }
    }

    /// A blob that its entry describes, or a range of its bytes; `None` if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn blob(
        &self,
        repo: &RepoName,
        entry: &Entry,
        range: Option<Range<u64>>,
    ) -> Result<Option<Blob>, StoreError> {
        Blob::open(&*self.backend, &self.verified, Self::wanted(repo, entry), range)
    }

    /// The same, in memory: for directories and configurations, which are bounded.
    fn read_blob(&self, repo: &RepoName, entry: &Entry) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut blob) = self.blob(repo, entry, None)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        while let Some(piece) = blob.next_piece()? {
            bytes.extend(piece);
        }
        Ok(Some(bytes))
    }

    /// Keeps uploaded content that was checked against its entry.
    fn keep_blob(
        &self,
        repo: &RepoName,
        entry: &Entry,
        upload: &Upload,
    ) -> Result<Put, StoreError> {
        self.keep(repo, &Self::wanted(repo, entry), upload)
    }

    /// The content of a file of the registry itself below the root.
    pub(crate) fn own_file_if_there(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.backend.read(&own(name), limits::JSON_BYTES_MAX)?;
        Ok(found.map(|(bytes, _)| bytes))
    }

    /// Publishes a file of the registry itself below the root, unless it is there; its content.
    pub(crate) fn own_file(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<Vec<u8>, StoreError>,
    ) -> Result<Vec<u8>, StoreError> {
        let at = own(name);
        let read = || self.backend.read(&at, limits::JSON_BYTES_MAX);
        if let Some((bytes, _)) = read()? {
            return Ok(bytes);
        }
        self.backend.write(&at, &make()?, When::Absent)?;
        read()?.map(|(bytes, _)| bytes).ok_or_else(|| record::damaged(&at))
    }
}

fn own(name: &str) -> Key {
    Key::own(name.to_owned())
}

/// Of which version a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Current,
    Old,
}

fn open_dir(dir: &Path) -> Result<(Disk, Found), StoreError> {
    let foreign = match std::fs::read_dir(dir) {
        Ok(entries) => entries
            .filter_map(Result::ok)
            .map(|entry| entry.file_name())
            .any(|name| name != TEMPORARIES && name != "lock" && name != "locks"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(error.into()),
    };
    if foreign && !dir.join("version").exists() {
        return Err(StoreError::Foreign(dir.to_owned()));
    }
    let disk = Disk::open(dir)?;
    let at = own("version");
    let found = match disk.read(&at, 256)? {
        Some((found, _)) if found == VERSION.as_bytes() => Found::Current,
        Some((found, _)) if found == VERSION_1.as_bytes() => Found::Old,
        Some(_) => return Err(StoreError::Version(dir.to_owned())),
        None => {
            disk.write(&at, VERSION.as_bytes(), When::Absent)?;
            Found::Current
        }
    };
    Ok((disk, found))
}

#[cfg(test)]
mod tests;
