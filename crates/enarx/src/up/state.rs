// SPDX-License-Identifier: Apache-2.0

//! The state directory of `enarx up`: the only place that it touches.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::failure::{Context as _, Failure};
use crate::files;

/// The file by which a directory is known as ours.
const MARKER: &str = "ENARX-UP";
const MARKER_TEXT: &str =
    "State of `enarx up`. Everything in this directory is made anew at each start.\n";

/// A fresh, locked state directory. The lock goes with this value.
#[derive(Debug)]
pub(super) struct State {
    directory: PathBuf,
    // Held for its lock.
    _lock: File,
}

impl State {
    /// Where the state is unless told otherwise: `$XDG_STATE_HOME/enarx/up`.
    ///
    /// # Errors
    /// If the environment does not say.
    pub(super) fn default_directory() -> Result<PathBuf, Failure> {
        Ok(files::state_directory()?.join("up"))
    }

    /// Makes `directory` anew. One that is not empty and not ours is left alone, and so is one that is in use.
    ///
    /// # Errors
    /// In these cases, and if it cannot be made.
    pub(super) fn create(directory: &Path) -> Result<Self, Failure> {
        let what = || format!("cannot use {} as the state directory", directory.display());
        files::make_private_directory(directory)?;
        let directory = &fs::canonicalize(directory).context(what())?;
        let marker = directory.join(MARKER);
        let empty = fs::read_dir(directory).context(what())?.next().is_none();
        if !empty && !marker.is_file() {
            return Err(Failure::new(what())
                .why("it holds files that are not from `enarx up`, and nothing of yours is touched")
                .next("name an empty or new directory with --state"));
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&marker)
            .context(what())?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(what())
                    .why("another `enarx up` is using it")
                    .next("end that one with Ctrl-C, or name another directory with --state"));
            }
            Err(TryLockError::Error(error)) => return Err(Failure::new(what()).why(error)),
        }
        for entry in fs::read_dir(directory).context(what())? {
            let path = entry.context(what())?.path();
            if path == marker {
                continue;
            }
            let removed = if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.context(format!("cannot remove {}", path.display()))?;
        }
        use std::io::Write as _;
        lock.set_len(0).and_then(|()| (&lock).write_all(MARKER_TEXT.as_bytes())).context(what())?;
        Ok(Self { directory: directory.clone(), _lock: lock })
    }

    /// A path in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The directory itself.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes a directory in it.
    ///
    /// # Errors
    /// If that fails.
    pub(super) fn make_directory(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        files::make_private_directory(&path)?;
        Ok(path)
    }

    /// Writes a file in it, readable by this user only.
    ///
    /// # Errors
    /// If that fails.
    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        files::write_private(&path, bytes.as_ref())?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_made_anew_if_it_is_ours() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("up");
        let state = State::create(&directory).unwrap();
        state.write("x", "old").unwrap();
        state.make_directory("sub").unwrap();
        drop(state);
        let state = State::create(&directory).unwrap();
        assert!(!state.path("x").exists() && !state.path("sub").exists());
    }

    #[test]
    fn leaves_others_alone() {
        let scratch = tempfile::tempdir().unwrap();
        File::create(scratch.path().join("mine")).unwrap();
        let failure = State::create(scratch.path()).unwrap_err();
        assert!(failure.next.unwrap().contains("--state"));
        assert!(scratch.path().join("mine").exists());
    }

    #[test]
    fn is_for_one_at_a_time() {
        let scratch = tempfile::tempdir().unwrap();
        let first = State::create(scratch.path()).unwrap();
        first.write("x", "kept").unwrap();
        assert!(State::create(scratch.path()).unwrap_err().why.unwrap().contains("another"));
        assert!(first.path("x").exists());
    }

    #[test]
    fn does_not_follow_links_out() {
        let scratch = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        File::create(outside.path().join("precious")).unwrap();
        let state = State::create(scratch.path()).unwrap();
        std::os::unix::fs::symlink(outside.path(), state.path("link")).unwrap();
        drop(state);
        State::create(scratch.path()).unwrap();
        assert!(outside.path().join("precious").exists());
        assert!(!scratch.path().join("link").exists());
    }
}
