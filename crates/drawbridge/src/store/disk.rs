// SPDX-License-Identifier: Apache-2.0

//! Files that are there whole or not at all, and stay.
//!
//! Everything is written to a temporary file of the same file system, flushed, given its name in one step, and the
//! directory is flushed. Only then does a call return success. What a killed process leaves are temporaries, which the next
//! start removes.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Directory of temporary files, below the root.
pub(super) const TEMPORARIES: &str = "tmp";
/// How many directories are remembered as flushed.
const FLUSHED_MAX: usize = 10_000;

/// A directory tree with durable files.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    /// Directories that are known to outlive a power cut.
    flushed: Mutex<HashSet<PathBuf>>,
    counter: AtomicU64,
}

/// Whether a name was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    New,
    Taken,
}

/// A file on its way; removed when dropped before it got a name.
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// The content so far, of at most `max` bytes.
    pub(super) fn read_back(&self, max: usize) -> io::Result<Vec<u8>> {
        read_file(&self.path, max)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A leftover is removed at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

impl Disk {
    /// Makes the root and the directory of temporaries.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.mode(0o700).recursive(true);
        builder.create(root.join(TEMPORARIES))?;
        sync_dir(root)?;
        Ok(Self {
            root: root.to_owned(),
            flushed: Mutex::new(HashSet::new()),
            counter: AtomicU64::new(0),
        })
    }

    /// Removes what a killed process left behind; how many files that were.
    pub(super) fn sweep(&self) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(self.root.join(TEMPORARIES))? {
            fs::remove_file(entry?.path())?;
            removed += 1;
        }
        Ok(removed)
    }

    pub(super) fn temporary(&self) -> io::Result<Temporary> {
        let n = self.counter.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(TEMPORARIES).join(format!("{}-{n}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Temporary { file, path })
    }

    /// Gives a file its name unless that is taken. On success it is durable, also if it was there before.
    pub(super) fn publish(&self, temporary: &Temporary, relative: &Path) -> io::Result<Named> {
        let path = self.prepare(temporary, relative)?;
        match fs::hard_link(&temporary.path, &path) {
            Ok(()) => {
                self.settle(&path).inspect_err(|_| {
                    // Nobody was told that it is there.
                    let _ = fs::remove_file(&path);
                })?;
                Ok(Named::New)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                File::open(&path)?.sync_all()?;
                self.settle(&path)?;
                Ok(Named::Taken)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives a file its name, in place of what has it.
    pub(super) fn replace(&self, temporary: &Temporary, relative: &Path) -> io::Result<()> {
        let path = self.prepare(temporary, relative)?;
        fs::rename(&temporary.path, &path)?;
        self.settle(&path)
    }

    /// Removes a file; no error if there is none.
    pub(super) fn remove(&self, relative: &Path) -> io::Result<()> {
        let path = self.root.join(relative);
        match fs::remove_file(&path) {
            Ok(()) => self.settle(&path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The content of a file of at most `max` bytes, or `None` if there is none.
    pub(super) fn read(&self, relative: &Path, max: usize) -> io::Result<Option<Vec<u8>>> {
        absent(read_file(&self.root.join(relative), max))
    }

    /// A file to read, or `None` if there is none.
    pub(super) fn open_file(&self, relative: &Path) -> io::Result<Option<File>> {
        absent(File::open(self.root.join(relative)))
    }

    /// The length of a file, or `None` if there is none.
    pub(super) fn length(&self, relative: &Path) -> io::Result<Option<u64>> {
        absent(fs::metadata(self.root.join(relative)).map(|m| m.len()))
    }

    /// The names in a directory, none if there is none.
    pub(super) fn list(&self, relative: &Path) -> io::Result<Vec<String>> {
        let Some(entries) = absent(fs::read_dir(self.root.join(relative)))? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in entries {
            // Whatever is not UTF-8 is not of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn prepare(&self, temporary: &Temporary, relative: &Path) -> io::Result<PathBuf> {
        temporary.file.sync_all()?;
        if let Some(parent) = relative.parent() {
            self.ensure_dir(parent)?;
        }
        Ok(self.root.join(relative))
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
            match DirBuilder::new().mode(0o700).create(&absolute) {
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
        sync_dir(path.parent().unwrap_or(&self.root))
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_file(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::with_capacity(max.min(64 * 1024));
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file is longer than it may be",
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(disk: &Disk, bytes: &[u8]) -> Temporary {
        let mut temporary = disk.temporary().unwrap();
        temporary.write(bytes).unwrap();
        temporary
    }

    #[test]
    fn names_are_given_once_and_temporaries_go() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path()).unwrap();
        let at = Path::new("a/b/c");
        assert_eq!(disk.read(at, 10).unwrap(), None);
        assert_eq!(disk.publish(&write(&disk, b"one"), at).unwrap(), Named::New);
        assert_eq!(disk.publish(&write(&disk, b"two"), at).unwrap(), Named::Taken);
        assert_eq!(disk.read(at, 10).unwrap().unwrap(), b"one");
        assert!(disk.read(at, 2).is_err());
        assert_eq!(disk.length(at).unwrap(), Some(3));
        disk.replace(&write(&disk, b"two"), at).unwrap();
        assert_eq!(disk.read(at, 10).unwrap().unwrap(), b"two");
        assert_eq!(disk.list(Path::new("a/b")).unwrap(), ["c"]);
        assert!(disk.list(Path::new(TEMPORARIES)).unwrap().is_empty());
        disk.remove(at).unwrap();
        disk.remove(at).unwrap();
        assert_eq!(disk.length(at).unwrap(), None);
        assert!(disk.list(Path::new("none")).unwrap().is_empty());
    }

    #[test]
    fn what_a_killed_process_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path()).unwrap();
        std::mem::forget(write(&disk, b"half"));
        assert_eq!(disk.list(Path::new(TEMPORARIES)).unwrap().len(), 1);
        assert_eq!(Disk::open(dir.path()).unwrap().sweep().unwrap(), 1);
        assert!(disk.list(Path::new(TEMPORARIES)).unwrap().is_empty());
    }

    #[test]
    fn one_of_many_writers_wins() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path()).unwrap();
        let at = Path::new("x/name");
        let new = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8u8)
                .map(|n| {
                    let disk = &disk;
                    scope.spawn(move || disk.publish(&write(disk, &[n]), at).unwrap())
                })
                .collect();
            writers.into_iter().map(|w| w.join().unwrap()).filter(|n| *n == Named::New).count()
        });
        assert_eq!(new, 1);
    }
}
