// SPDX-License-Identifier: Apache-2.0

//! Trees in the store: what may be uploaded where, when a tree is whole, what is at a path.

use std::collections::{HashMap, HashSet};

use drawbridge_core::{Directory, Entry};
use types::digest::Sha256;
use types::limits;
use types::time::Timestamp;

use super::record::damaged;
use super::{Blob, PENDING, Put, RepoName, Store, StoreError, TAGS, Tag, TagName, Thing, Upload};

/// The configuration's name in a package.
const CONFIG: &str = "Enarx.toml";
/// Longest URL of a Steward that is passed on, in bytes.
const STEWARD_BYTES_MAX: usize = 2048;

/// What may be uploaded at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Content of this entry.
    Entry {
        /// What the parent says.
        entry: Box<Entry>,
        /// Whether the tag stands for its tree already.
        complete: bool,
    },
    /// Nothing: the tag was not announced.
    NoTag,
    /// Nothing yet: the parent has not arrived.
    NoParent,
    /// Nothing: the parent does not name it.
    NotNamed,
}

/// What happened to an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is there now.
    Put(Put),
    /// It does not hash to its entry, or is not as long.
    Mismatch,
    /// It says that it is a directory, and is none.
    NoDirectory(String),
    /// The tree is larger than a package may be.
    TooLarge(&'static str),
}

/// How much a tree has.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    files: usize,
    directories: usize,
    bytes: u64,
    /// How many directories are in each other below this one.
    height: usize,
}

impl Totals {
    fn of(entry: &Entry) -> Self {
        let directory = usize::from(entry.is_directory());
        Self { files: 1 - directory, directories: directory, bytes: entry.length, height: 0 }
    }

    fn add(&mut self, child: &Self) {
        self.files = self.files.saturating_add(child.files);
        self.directories = self.directories.saturating_add(child.directories);
        self.bytes = self.bytes.saturating_add(child.bytes);
        self.height = self.height.max(child.height + 1);
    }

    fn check(self, depth: usize) -> Result<Self, StoreError> {
        if self.bytes > limits::PACKAGE_BYTES_MAX as u64 {
            return Err(StoreError::Quota("the package is larger than 200,000,000 bytes"));
        }
        if self.files.max(self.directories) > limits::PACKAGE_FILES_MAX {
            return Err(StoreError::Quota("the package has more than 4096 files or directories"));
        }
        if depth + self.height > limits::TREE_DEPTH_MAX {
            return Err(StoreError::Quota(
                "directories of the package are nested more than 16 deep",
            ));
        }
        Ok(self)
    }
}

impl Store {
    /// What may be uploaded at this path of a tag's tree (its names; none for the root).
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn expected(&self, tag: &TagName, path: &[String]) -> Result<Expected, StoreError> {
        let (mut entry, complete) = match self.tag(tag)? {
            Some(complete) => (complete.entry, true),
            None => match self.table(&PENDING).value(&tag.parts())? {
                Some(entry) => (entry, false),
                None => return Ok(Expected::NoTag),
            },
        };
        for name in path {
            if !entry.is_directory() {
                return Ok(Expected::NotNamed);
            }
            let Some(directory) = self.directory(tag.repo(), &entry)? else {
                return Ok(Expected::NoParent);
            };
            match directory.get(name) {
                Some(child) => entry = child.clone(),
                None => return Ok(Expected::NotNamed),
            }
        }
        Ok(Expected::Entry { entry: Box::new(entry), complete })
    }

    /// Keeps an upload that is what its parent's entry says. If it was the last of its tree, the tag is to be seen from now on.
    pub(crate) fn put_node(
        &self,
        tag: &TagName,
        entry: &Entry,
        upload: Upload,
        now: Timestamp,
    ) -> Result<Kept, StoreError> {
        let digest = upload.hasher.clone().finish();
        if upload.length != entry.length || !digest.agrees_with(&entry.digest) {
            return Ok(Kept::Mismatch);
        }
        if entry.is_directory() {
            let bytes = upload.temporary.read_back(limits::DIRECTORY_BYTES_MAX)?;
            match Directory::from_bytes(&bytes) {
                Ok(directory) => {
                    let sum = directory.iter().fold(0u64, |s, (_, e)| s.saturating_add(e.length));
                    if sum > limits::PACKAGE_BYTES_MAX as u64 {
                        return Ok(Kept::TooLarge("the package is larger than 200,000,000 bytes"));
                    }
                }
                Err(error) => return Ok(Kept::NoDirectory(error.to_string())),
            }
        }
        self.spare(tag.repo(), Thing::Pending(tag.tag()))?;
        let put = self.keep_blob(tag.repo(), entry, &upload)?;
        match self.complete(tag, now) {
            Ok(_) => Ok(Kept::Put(put)),
            Err(StoreError::Quota(what)) => Ok(Kept::TooLarge(what)),
            Err(error) => Err(error),
        }
    }

    /// The node at a path of a whole tree: its entry and its content, checked; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn node(
        &self,
        repo: &RepoName,
        tag: &Tag,
        path: &[String],
    ) -> Result<Option<(Entry, Blob)>, StoreError> {
        let Some(entry) = self.node_entry(repo, tag, path)? else {
            return Ok(None);
        };
        match self.blob(repo, &entry, None)? {
            Some(blob) => Ok(Some((entry, blob))),
            // The tree was whole once.
            None => Err(damaged(&repo.blob(&entry.digest.sha256()))),
        }
    }

    /// The entry of the node at a path of a whole tree; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn node_entry(
        &self,
        repo: &RepoName,
        tag: &Tag,
        path: &[String],
    ) -> Result<Option<Entry>, StoreError> {
        let mut entry = tag.entry.clone();
        for name in path {
            if !entry.is_directory() {
                return Ok(None);
            }
            let Some(directory) = self.directory(repo, &entry)? else {
                return Err(damaged(&repo.blob(&entry.digest.sha256())));
            };
            match directory.get(name) {
                Some(child) => entry = child.clone(),
                None => return Ok(None),
            }
        }
        Ok(Some(entry))
    }

    pub(crate) fn directory(
        &self,
        repo: &RepoName,
        entry: &Entry,
    ) -> Result<Option<Directory>, StoreError> {
        let Some(bytes) = self.read_blob(repo, entry)? else {
            return Ok(None);
        };
        let damaged = |_| damaged(&repo.blob(&entry.digest.sha256()));
        Directory::from_bytes(&bytes).map(Some).map_err(damaged)
    }

    /// Lets a tag be seen if its whole tree has arrived; what is to be seen then.
    pub(super) fn complete(
        &self,
        tag: &TagName,
        now: Timestamp,
    ) -> Result<Option<Tag>, StoreError> {
        let Some(entry) = self.table(&PENDING).value(&tag.parts())? else {
            return self.tag(tag);
        };
        if self.whole(tag.repo(), &entry, 0, &mut HashMap::new())?.is_none() {
            return Ok(None);
        }
        // Of what is there some may be about to be removed. What is spared now and still there then, stays.
        self.spare_blobs(tag.repo(), || self.digests(tag.repo(), &entry))?;
        let Some(totals) = self.whole(tag.repo(), &entry, 0, &mut HashMap::new())? else {
            return Ok(None);
        };
        let steward = self.steward(tag.repo(), &entry)?;
        let complete = Tag { entry, completed_at: now.0, steward };
        // Of several trees that get whole at once one is first, and stays.
        let seen = match self.table(&TAGS).create(&tag.parts(), &complete)? {
            Put::Created => {
                tracing::info!(%tag, digest = %complete.digest(), files = totals.files, bytes = totals.bytes, "published");
                Some(complete)
            }
            Put::Same | Put::Conflict => self.tag(tag)?,
        };
        self.table(&PENDING).delete(&tag.parts())?;
        Ok(seen)
    }

    /// The digests of the nodes of a tree, as far as it has arrived.
    fn digests(&self, repo: &RepoName, root: &Entry) -> Result<HashSet<Sha256>, StoreError> {
        let (mut found, mut open) = (HashSet::new(), vec![root.clone()]);
        let mut seen = HashSet::new();
        while let Some(entry) = open.pop() {
            let digest = entry.digest.sha256();
            found.insert(digest);
            if entry.is_directory()
                && seen.insert(digest)
                && let Some(directory) = self.directory(repo, &entry)?
            {
                open.extend(directory.iter().map(|(_, child)| child.clone()));
            }
        }
        Ok(found)
    }

    /// How much is below an entry, if everything has arrived. Clients send in order, so what comes last is looked at first.
    /// What a tree has several times is looked at once, as it is in `known` then.
    fn whole(
        &self,
        repo: &RepoName,
        entry: &Entry,
        depth: usize,
        known: &mut HashMap<(Sha256, u64), Totals>,
    ) -> Result<Option<Totals>, StoreError> {
        let digest = entry.digest.sha256();
        // The same bytes can be there as a file and as a directory, and be claimed to have another length.
        let mut totals = Totals::of(entry).check(depth)?;
        if !entry.is_directory() {
            let there = self.backend.length(&repo.blob(&digest))? == Some(entry.length);
            return Ok(there.then_some(totals));
        }
        if let Some(known) = known.get(&(digest, entry.length)) {
            return known.check(depth).map(Some);
        }
        let Some(directory) = self.directory(repo, entry)? else {
            return Ok(None);
        };
        for (_, child) in directory.iter().rev() {
            let Some(child) = self.whole(repo, child, depth + 1, known)? else {
                return Ok(None);
            };
            totals.add(&child);
            totals.check(depth)?;
        }
        known.insert((digest, entry.length), totals);
        Ok(Some(totals))
    }

    /// The Steward that a package's configuration names, if it names one by https.
    ///
    /// Only that key is looked at: a newer configuration than this registry knows is none of its business.
    fn steward(&self, repo: &RepoName, root: &Entry) -> Result<Option<String>, StoreError> {
        if !root.is_directory() {
            return Ok(None);
        }
        let directory = self.directory(repo, root)?;
        let Some(entry) = directory.as_ref().and_then(|d| d.get(CONFIG)) else {
            return Ok(None);
        };
        if entry.is_directory() || entry.length > limits::CONFIG_BYTES_MAX as u64 {
            return Ok(None);
        }
        let bytes = self.read_blob(repo, entry)?;
        let text = bytes.and_then(|b| String::from_utf8(b).ok());
        let table = text.and_then(|t| t.parse::<toml::Table>().ok());
        let url = table.as_ref().and_then(|t| t.get("steward")).and_then(|v| v.as_str());
        let plain = |u: &&str| {
            u.len() <= STEWARD_BYTES_MAX
                && u.starts_with("https://")
                && u.bytes().all(|b| b.is_ascii_graphic())
        };
        Ok(url.filter(plain).map(str::to_owned))
    }
}
