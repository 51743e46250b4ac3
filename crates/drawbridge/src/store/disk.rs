// SPDX-License-Identifier: Apache-2.0

//! Files that are there whole or not at all, and stay.
//!
//! Everything is written to a temporary file of the same file system, flushed, given its name in one step, and the
//! directory is flushed. Only then does a call return success. What a killed process leaves are temporaries, which the next
//! start removes. While one process compares and swaps, no other touches the name: a lock file, chosen by the key, is held.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use types::digest::Sha256;
use types::time::Timestamp;

use super::backend::{Backend, Named, Opened, Version, When};
use super::staging::{Staging, Temporary, read_file};
use super::{Key, StoreError, calls};

/// Directory of temporary files, below the root.
pub(super) const TEMPORARIES: &str = "tmp";
/// Directory of the files that are locked to compare and swap.
const LOCKS: &str = "locks";
/// How many records can be swapped at once.
const LOCKS_COUNT: u8 = 16;
/// How many directories are remembered as flushed.
const FLUSHED_MAX: usize = 10_000;

/// A directory tree with durable files.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    staging: Staging,
    /// Directories that are known to outlive a power cut.
    flushed: Mutex<HashSet<PathBuf>>,
}

impl Disk {
    /// Makes the root and the directory of temporaries.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let staging = Staging::open(root.join(TEMPORARIES))?;
        calls::make_dir(&root.join(LOCKS), true)?;
        calls::flush_at(root)?;
        Ok(Self { root: root.to_owned(), staging, flushed: Mutex::new(HashSet::new()) })
    }

    /// One that is there already. Nothing is made.
    pub(super) fn existing(root: &Path) -> Self {
        let staging = Staging::at(root.join(TEMPORARIES));
        Self { root: root.to_owned(), staging, flushed: Mutex::new(HashSet::new()) }
    }

    /// Removes what a killed process left behind; how many files that were.
    pub(super) fn sweep(&self) -> io::Result<usize> {
        self.staging.sweep()
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_path())
    }

    /// Held while a name is given, swapped or taken back.
    fn swapping(&self, key: &Key) -> io::Result<File> {
        let number = Sha256::of(key.as_str().as_bytes()).0[0] % LOCKS_COUNT;
        let path = self.root.join(LOCKS).join(number.to_string());
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
        // Released with the file, whichever way the process ends.
        file.lock()?;
        Ok(file)
    }

    fn version(bytes: &[u8]) -> Version {
        Version { tag: Some(Sha256::of(bytes).to_hex()), generation: None }
    }

    fn prepare(&self, temporary: &Temporary, key: &Key) -> io::Result<PathBuf> {
        temporary.flush()?;
        self.parent(key)?;
        Ok(self.path(key))
    }

    fn parent(&self, key: &Key) -> io::Result<()> {
        key.as_path().parent().map_or(Ok(()), |parent| self.ensure_dir(parent))
    }

    fn link(&self, from: &Path, key: &Key) -> io::Result<Named> {
        let path = self.path(key);
        // Nobody else may count on a name that is taken back below.
        let _held = self.swapping(key)?;
        match calls::link(from, &path) {
            Ok(()) => {
                self.settle(&path).inspect_err(|_| {
                    // Nobody was told that it is there.
                    let _ = calls::remove(&path);
                })?;
                Ok(Named::New)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                calls::flush_at(&path)?;
                self.settle(&path)?;
                Ok(Named::Taken)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a directory below the root, durably.
    fn ensure_dir(&self, relative: &Path) -> io::Result<()> {
        // Held while flushing: whoever comes second must not believe in a directory that is not durable yet.
        let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut path = PathBuf::new();
        for part in relative.components() {
            path.push(part);
            if flushed.contains(&path) {
                continue;
            }
            let absolute = self.root.join(&path);
            match calls::make_dir(&absolute, false) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            self.settle(&absolute)?;
            if flushed.len() >= FLUSHED_MAX {
                flushed.clear();
            }
            flushed.insert(path.clone());
        }
        Ok(())
    }

    /// Makes the name of this file or directory durable.
    fn settle(&self, path: &Path) -> io::Result<()> {
        calls::flush_at(path.parent().unwrap_or(&self.root))
    }
}

impl Backend for Disk {
    fn read(&self, key: &Key, max: usize) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let bytes = absent(read_file(&self.path(key), max))?;
        Ok(bytes.map(|bytes| {
            let version = Self::version(&bytes);
            (bytes, version)
        }))
    }

    /// The version is the digest of the bytes: a record that was changed and changed back is the same record.
    fn write(
        &self,
        key: &Key,
        bytes: &[u8],
        when: When<'_>,
    ) -> Result<Option<Version>, StoreError> {
        let mut temporary = self.stage()?;
        temporary.write(bytes)?;
        let written = match when {
            When::Absent => self.publish(&temporary, key)? == Named::New,
            When::Is(version) => {
                let _held = self.swapping(key)?;
                let found = absent(fs::read(self.path(key)))?;
                let same = found.is_some_and(|found| Self::version(&found) == *version);
                if same {
                    self.replace(&temporary, key)?;
                }
                same
            }
        };
        Ok(written.then(|| Self::version(bytes)))
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        let _held = self.swapping(key)?;
        let path = self.path(key);
        match calls::remove(&path) {
            Ok(()) => Ok(self.settle(&path)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<String>, StoreError> {
        let mut keys = Vec::new();
        walk(&self.root, prefix, after.unwrap_or(""), max, &mut keys)?;
        Ok(keys)
    }

    fn length(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        Ok(absent(fs::metadata(self.path(key)).map(|m| m.len()))?)
    }

    fn open(&self, key: &Key, from: u64) -> Result<Option<Opened>, StoreError> {
        let Some(mut file) = absent(File::open(self.path(key)))? else {
            return Ok(None);
        };
        let length = file.metadata()?.len();
        if from > 0 {
            file.seek(SeekFrom::Start(from))?;
        }
        Ok(Some(Opened { length, bytes: Box::new(file) }))
    }

    fn stage(&self) -> Result<Temporary, StoreError> {
        Ok(self.staging.temporary()?)
    }

    fn publish(&self, staged: &Temporary, key: &Key) -> Result<Named, StoreError> {
        self.prepare(staged, key)?;
        Ok(self.link(staged.path(), key)?)
    }

    fn replace(&self, staged: &Temporary, key: &Key) -> Result<(), StoreError> {
        let path = self.prepare(staged, key)?;
        calls::rename(staged.path(), &path)?;
        Ok(self.settle(&path)?)
    }

    fn stale(&self, before: Timestamp, remove: bool) -> Result<(u64, u64), StoreError> {
        Ok(self.staging.stale(before, remove)?)
    }
}

/// Adds the keys below `prefix` that come after `after`, in the order of their bytes, until there are `max`.
fn walk(
    root: &Path,
    prefix: &str,
    after: &str,
    max: usize,
    keys: &mut Vec<String>,
) -> io::Result<()> {
    let Some(entries) = absent(fs::read_dir(root.join(prefix)))? else {
        return Ok(());
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        // Whatever is not UTF-8 is not of ours.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // The order is that of whole keys: a directory's name goes on with a slash.
        let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
        let key = format!("{prefix}{name}{slash}");
        if key.as_str() > after || after.starts_with(&key) && !slash.is_empty() {
            found.push(key);
        }
    }
    found.sort_unstable();
    for key in found {
        if keys.len() >= max {
            break;
        }
        if key.ends_with('/') {
            walk(root, &key, after, max, keys)?;
        } else {
            keys.push(key);
        }
    }
    Ok(())
}

fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path()).unwrap();
        let mut temporary = disk.stage().unwrap();
        temporary.write(b"half").unwrap();
        std::mem::forget(temporary);
        let count = || fs::read_dir(dir.path().join(TEMPORARIES)).unwrap().count();
        assert_eq!(count(), 1);
        assert_eq!(Disk::open(dir.path()).unwrap().sweep().unwrap(), 1);
        assert_eq!(count(), 0);
    }
}
