// SPDX-License-Identifier: Apache-2.0

//! Where a registry keeps what it was given.
//!
//! ```text
//! DIR/version                             what wrote this
//! DIR/lock                                held while a registry serves it
//! DIR/registry.key.pem                    see `crate::key`
//! DIR/tmp/                                half-written files
//! DIR/users/<user>/user.json              record
//! DIR/users/<user>/repos/<repo>/repo.json record
//!     …/tags/<tag>.json                   a tag that stands for a whole tree
//!     …/pending/<tag>.json                a tag whose tree is still arriving
//!     …/blobs/<64 hex>                    content by its SHA-256
//! ```
//!
//! Blobs belong to one repository: who knows the digest of another's secret gains nothing by naming it. Records carry their
//! own checksum; nothing is handed out before it was checked.

mod blob;
mod disk;
mod error;
mod name;
mod tree;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use drawbridge_core::{Entry, Hasher, RepoRecord, TagRecord, UserRecord};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use types::digest::Sha256;
use types::time::Timestamp;
use types::{limits, slug};

pub use blob::Blob;
use disk::{Disk, Named, TEMPORARIES, Temporary};
pub use error::StoreError;
pub use name::{RepoName, TagName, UserName};
pub use tree::Expected;
pub(crate) use tree::Kept;

/// Content of the file `version`.
const VERSION: &str = "drawbridge store 1\n";

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

/// A registry's files.
#[derive(Debug)]
pub struct Store {
    disk: Disk,
    /// Held as long as the store is open for serving.
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
        let mut store = Self::open_shared(dir)?;
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).open(dir.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        store._lock = Some(lock);
        let left = store.disk.sweep()?;
        if left > 0 {
            tracing::info!(files = left, "removed what an interrupted registry left behind");
        }
        Ok(store)
    }

    /// Opens a store that another process may be serving, or makes one.
    pub(crate) fn open_shared(dir: &Path) -> Result<Self, StoreError> {
        let foreign = match std::fs::read_dir(dir) {
            Ok(entries) => entries
                .filter_map(Result::ok)
                .map(|entry| entry.file_name())
                .any(|name| name != TEMPORARIES && name != "lock"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => return Err(error.into()),
        };
        if foreign && !dir.join("version").exists() {
            return Err(StoreError::Foreign(dir.to_owned()));
        }
        let disk = Disk::open(dir)?;
        let at = Path::new("version");
        match disk.read(at, 256)? {
            Some(found) if found == VERSION.as_bytes() => {}
            Some(_) => return Err(StoreError::Version(dir.to_owned())),
            None => {
                let mut temporary = disk.temporary()?;
                temporary.write(VERSION.as_bytes())?;
                disk.publish(&temporary, at)?;
            }
        }
        Ok(Self { disk, _lock: None })
    }

    /// The record of a user.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn user(&self, user: &UserName) -> Result<Option<UserRecord>, StoreError> {
        self.record(&user.dir().join("user.json"))
    }

    /// Registers a user.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn put_user(&self, user: &UserName, record: &UserRecord) -> Result<Put, StoreError> {
        self.put_record(&user.dir().join("user.json"), record)
    }

    /// The record of a repository.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn repo(&self, repo: &RepoName) -> Result<Option<RepoRecord>, StoreError> {
        self.record(&repo.dir().join("repo.json"))
    }

    /// Registers a repository.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn put_repo(&self, repo: &RepoName, record: &RepoRecord) -> Result<Put, StoreError> {
        self.put_record(&repo.dir().join("repo.json"), record)
    }

    /// The tags of a repository that stand for something, in order of their versions.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn tags(&self, repo: &RepoName) -> Result<Vec<semver::Version>, StoreError> {
        let names = self.disk.list(&repo.dir().join("tags"))?;
        let version = |name: &String| name.strip_suffix(".json").and_then(slug::parse_tag);
        let mut tags: Vec<_> = names.iter().filter_map(version).collect();
        tags.sort();
        Ok(tags)
    }

    /// A tag that stands for a whole tree.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn tag(&self, tag: &TagName) -> Result<Option<Tag>, StoreError> {
        self.record(&tag.complete())
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
        if let Some(complete) = self.tag(tag)? {
            return Ok(if complete.entry == record.0 { Put::Same } else { Put::Conflict });
        }
        let pending = self.record::<Entry>(&tag.pending())?;
        let put = if pending.as_ref() == Some(&record.0) { Put::Same } else { Put::Created };
        if put == Put::Created {
            if pending.is_none() && self.tags(tag.repo())?.len() >= limits::TAGS_MAX {
                return Err(StoreError::Quota("the repository has 10,000 tags, which is the most"));
            }
            let temporary = self.temporary_record(&record.0)?;
            self.disk.replace(&temporary, &tag.pending())?;
        }
        // The content may be there already, by another tag.
        self.complete(tag, now)?;
        Ok(put)
    }

    /// Room for content.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Io`].
    pub fn upload(&self) -> Result<Upload, StoreError> {
        Ok(Upload { temporary: self.disk.temporary()?, hasher: Hasher::new(), length: 0 })
    }

    /// Whether the store takes and gives back bytes now: a small file is written, flushed, read and removed.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::Io`].
    pub fn probe(&self) -> Result<(), StoreError> {
        let mut temporary = self.disk.temporary()?;
        temporary.write(VERSION.as_bytes())?;
        temporary.flush()?;
        match temporary.read_back(VERSION.len())? {
            read if read == VERSION.as_bytes() => Ok(()),
            _ => Err(std::io::Error::other("what was written is not what is read").into()),
        }
    }

    fn blob(&self, repo: &RepoName, digest: &Sha256) -> PathBuf {
        repo.dir().join("blobs").join(digest.to_hex())
    }

    /// A blob that its entry describes, checked; `None` if it is not there.
    fn open_blob(&self, repo: &RepoName, entry: &Entry) -> Result<Option<Blob>, StoreError> {
        let digest = entry.digest.sha256();
        let path = self.blob(repo, &digest);
        match self.disk.open_file(&path)? {
            Some(file) => Blob::check(file, path, entry.length, &digest).map(Some),
            None => Ok(None),
        }
    }

    /// The same, in memory: for directories and configurations, which are bounded.
    fn read_blob(&self, repo: &RepoName, entry: &Entry) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut blob) = self.open_blob(repo, entry)? else {
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
        let path = self.blob(repo, &entry.digest.sha256());
        if self.disk.publish(&upload.temporary, &path)? == Named::New {
            return Ok(Put::Created);
        }
        match self.open_blob(repo, entry) {
            Ok(Some(_)) => Ok(Put::Same),
            // What the disk spoilt gets mended by whoever still has it.
            Ok(None) | Err(StoreError::Damaged(_)) => {
                self.disk.replace(&upload.temporary, &path)?;
                Ok(Put::Created)
            }
            Err(error) => Err(error),
        }
    }

    fn record<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.disk.read(path, limits::JSON_BYTES_MAX)? else {
            return Ok(None);
        };
        match unseal(&bytes).and_then(|json| serde_json::from_slice(json).ok()) {
            Some(record) => Ok(Some(record)),
            None => Err(StoreError::Damaged(path.to_owned())),
        }
    }

    fn temporary_record(&self, record: &impl Serialize) -> Result<Temporary, StoreError> {
        // Records are plain data and always serialise.
        let json = serde_json::to_vec(record).unwrap_or_default();
        let mut temporary = self.disk.temporary()?;
        temporary.write(&seal(&json))?;
        Ok(temporary)
    }

    fn put_record<T>(&self, path: &Path, record: &T) -> Result<Put, StoreError>
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        let temporary = self.temporary_record(record)?;
        if self.disk.publish(&temporary, path)? == Named::New {
            return Ok(Put::Created);
        }
        Ok(if self.record::<T>(path)?.as_ref() == Some(record) { Put::Same } else { Put::Conflict })
    }

    /// Publishes a file of the registry itself below the root, unless it is there; its content.
    pub(crate) fn own_file(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<Vec<u8>, StoreError>,
    ) -> Result<Vec<u8>, StoreError> {
        let at = Path::new(name);
        if let Some(bytes) = self.disk.read(at, limits::JSON_BYTES_MAX)? {
            return Ok(bytes);
        }
        let mut temporary = self.disk.temporary()?;
        temporary.write(&make()?)?;
        self.disk.publish(&temporary, at)?;
        let bytes = self.disk.read(at, limits::JSON_BYTES_MAX)?;
        bytes.ok_or_else(|| StoreError::Damaged(at.to_owned()))
    }
}

/// The digest of the JSON, a line feed, the JSON.
fn seal(json: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{}\n", Sha256::of(json)).into_bytes();
    bytes.extend_from_slice(json);
    bytes
}

fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let at = bytes.iter().position(|b| *b == b'\n')?;
    let (digest, json) = bytes.split_at(at);
    let json = json.get(1..)?;
    (Sha256::of(json).to_string().as_bytes() == digest).then_some(json)
}

#[cfg(test)]
mod tests;
