// SPDX-License-Identifier: Apache-2.0

//! Local files for bytes on their way in, until it is known that they are what they should be.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use types::time::Timestamp;

use super::calls;

/// Beginning of the names of directories for a bucket's uploads.
const SCRATCH: &str = "drawbridge-";
/// Ending of the files that say who is alive.
const LOCK: &str = ".lock";

/// A directory of temporary files.
#[derive(Debug)]
pub(super) struct Staging {
    dir: PathBuf,
    /// Makes names that nobody else who works on the same directory makes.
    nonce: u64,
    counter: AtomicU64,
}

/// A file on its way; removed when dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
}

impl Staging {
    /// Makes the directory.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        calls::make_dir(&dir, true)?;
        Ok(Self::at(dir))
    }

    /// A directory that is there.
    pub(super) fn at(dir: PathBuf) -> Self {
        let nonce = RandomState::new().build_hasher().finish();
        Self { dir, nonce, counter: AtomicU64::new(0) }
    }

    /// A directory of this process's own below `scratch`, and the lock that says so. Those of processes that are gone are
    /// removed.
    pub(super) fn scratch(scratch: &Path) -> io::Result<(Self, File)> {
        DirBuilder::new().mode(0o700).recursive(true).create(scratch)?;
        for entry in fs::read_dir(scratch)? {
            let path = entry?.path();
            let lock = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(LOCK));
            let Some(dir) = lock.filter(|name| name.starts_with(SCRATCH)) else {
                continue;
            };
            // Whoever holds it is alive.
            if File::open(&path)?.try_lock().is_ok() {
                let dir = scratch.join(dir);
                if dir.try_exists()? {
                    fs::remove_dir_all(dir)?;
                }
                fs::remove_file(&path)?;
            }
        }
        let nonce = RandomState::new().build_hasher().finish();
        let name = format!("{SCRATCH}{nonce:016x}");
        let mut options = OpenOptions::new();
        let lock = scratch.join(format!("{name}{LOCK}"));
        let lock = options.write(true).create_new(true).mode(0o600).open(lock)?;
        lock.lock()?;
        Ok((Self::open(scratch.join(name))?, lock))
    }

    /// Removes what a killed process left behind; how many files that were.
    pub(super) fn sweep(&self) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.dir)? {
            calls::remove(&entry?.path())?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Files that nobody has touched since `before`: how many, and their bytes.
    pub(super) fn stale(&self, before: Timestamp, remove: bool) -> io::Result<(u64, u64)> {
        let (mut files, mut bytes) = (0, 0);
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            // Whoever wrote it may be done by now.
            let Ok(metadata) = entry.metadata() else { continue };
            let touched = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            if !metadata.is_file() || touched.as_secs() >= before.0 {
                continue;
            }
            if remove {
                match fs::remove_file(entry.path()) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    removed => removed?,
                }
            }
            files += 1;
            bytes += metadata.len();
        }
        Ok((files, bytes))
    }

    pub(super) fn temporary(&self) -> io::Result<Temporary> {
        let n = self.counter.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{:016x}-{n}", self.nonce));
        let file = calls::create(&path)?;
        Ok(Temporary { file, path })
    }
}

impl Temporary {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        calls::write(&mut self.file, &self.path, bytes)
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        calls::flush(&self.file, &self.path)
    }

    /// The content so far, of at most `max` bytes.
    pub(super) fn read_back(&self, max: usize) -> io::Result<Vec<u8>> {
        read_file(&self.path, max)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A leftover is removed at the next start.
        let _ = calls::remove(&self.path);
    }
}

/// The content of a file of at most `max` bytes.
pub(super) fn read_file(path: &Path, max: usize) -> io::Result<Vec<u8>> {
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
