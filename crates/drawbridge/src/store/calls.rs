// SPDX-License-Identifier: Apache-2.0

//! The calls by which a store's directory changes, all of them, so that tests can write them down and try a power cut after
//! each (`super::tests::cuts`).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Writes a call down that succeeded. Nothing outside of tests.
macro_rules! seen {
    ($($effect:tt)*) => {
        #[cfg(test)]
        seen::note(|| seen::Effect::$($effect)*);
    };
}

/// A new file, for writing.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    seen!(Create(path.to_owned()));
    Ok(file)
}

/// Adds to the end of a file that was created here.
#[cfg_attr(not(test), expect(unused_variables, reason = "only tests write it down"))]
pub(super) fn write(file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    seen!(Write(path.to_owned(), bytes.to_vec()));
    Ok(())
}

/// Makes the content of a file, or the names in a directory, outlive a power cut.
#[cfg_attr(not(test), expect(unused_variables, reason = "only tests write it down"))]
pub(super) fn flush(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    seen!(Flush(path.to_owned()));
    Ok(())
}

/// The same for what is at a path.
pub(super) fn flush_at(path: &Path) -> io::Result<()> {
    flush(&File::open(path)?, path)
}

/// Gives a file one more name, which nothing has yet.
pub(super) fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    seen!(Link(from.to_owned(), to.to_owned()));
    Ok(())
}

/// Gives a file another name, in place of what has it.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    seen!(Rename(from.to_owned(), to.to_owned()));
    Ok(())
}

/// Takes a name away.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    seen!(Remove(path.to_owned()));
    Ok(())
}

/// Makes a directory, and with `recursive` those above it; then no error if it is there.
pub(super) fn make_dir(path: &Path, recursive: bool) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(recursive).create(path)?;
    seen!(MakeDir(path.to_owned()));
    Ok(())
}

/// What was seen of them on a thread.
#[cfg(test)]
pub(super) mod seen {
    use std::cell::RefCell;
    use std::path::PathBuf;

    /// What changed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(in super::super) enum Effect {
        Create(PathBuf),
        Write(PathBuf, Vec<u8>),
        Flush(PathBuf),
        Link(PathBuf, PathBuf),
        Rename(PathBuf, PathBuf),
        Remove(PathBuf),
        MakeDir(PathBuf),
        /// A test was told that something is done.
        Told,
    }

    thread_local! {
        static EFFECTS: RefCell<Option<Vec<Effect>>> = const { RefCell::new(None) };
    }

    /// What `work` does on this thread.
    pub(in super::super) fn of(work: impl FnOnce()) -> Vec<Effect> {
        EFFECTS.with_borrow_mut(|effects| *effects = Some(Vec::new()));
        work();
        EFFECTS.take().unwrap_or_default()
    }

    pub(in super::super) fn note(effect: impl FnOnce() -> Effect) {
        EFFECTS.with_borrow_mut(|effects| effects.as_mut().map(|all| all.push(effect())));
    }
}
