// SPDX-License-Identifier: Apache-2.0

//! Files that are either there with all their bytes, or not there.
//!
//! The bytes go to a temporary name in the same directory, to the disk, and only then to their name; the directory goes
//! to the disk last. A crash at any point leaves the old file, or none, and perhaps a temporary one (`.tmp-…`).

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Prefix of temporary names.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// Writes `bytes` as `path`, replacing what is there. `mode` are the permission bits (0o600 for private keys).
///
/// # Errors
/// Any failure of the file system; `path` is then as it was.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = temporary(path, bytes, mode)?;
    finish(&temporary, fs::rename(&temporary, path), path)
}

/// Writes `bytes` as `path`, which must not exist. `mode` are the permission bits.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if there is something at `path`, or any other failure of the file system.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = temporary(path, bytes, mode)?;
    // A link, unlike a rename, fails if the name is taken.
    let published = fs::hard_link(&temporary, path);
    let _ = fs::remove_file(&temporary);
    published?;
    sync_parent(path)
}

/// Whether `directory` takes a new file of this size now. Nothing is left of it.
///
/// # Errors
/// Any failure of the file system, for example that it is full.
pub fn probe(directory: &Path, size_bytes: usize) -> io::Result<()> {
    let file = temporary(&directory.join("probe"), &vec![0; size_bytes], 0o600)?;
    fs::remove_file(file)
}

/// Puts the directory that holds `path` to the disk, and with it the names in it.
///
/// # Errors
/// Any failure of the file system.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn temporary(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut temporary =
        OsString::from(format!("{TEMPORARY_PREFIX}{}-{number}-", std::process::id()));
    temporary.push(name);
    let temporary = parent(path).join(temporary);
    let written = (|| {
        let mut file = create(&temporary, mode)?;
        file.write_all(bytes)?;
        file.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map(|()| temporary)
}

#[cfg(unix)]
fn create(path: &Path, mode: u32) -> io::Result<File> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let file = OpenOptions::new().write(true).create_new(true).mode(mode & 0o600).open(path)?;
    // Independent of the umask.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

#[cfg(not(unix))]
fn create(path: &Path, _: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn finish(temporary: &Path, result: io::Result<()>, path: &Path) -> io::Result<()> {
    if result.is_err() {
        let _ = fs::remove_file(temporary);
    }
    result?;
    sync_parent(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_and_refuses_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, b"1", 0o644).unwrap();
        write(&path, b"2", 0o644).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");
        let error = write_new(&path, b"3", 0o644).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"2");
        write_new(&dir.path().join("b"), b"4", 0o644).unwrap();
        assert_eq!(names(dir.path()), ["a", "b"], "no temporary file is left");
    }

    #[cfg(unix)]
    #[test]
    fn modes_are_as_asked() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o644] {
            let path = dir.path().join(format!("{mode}"));
            write(&path, b"", mode).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_probe_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        probe(dir.path(), 1000).unwrap();
        assert!(names(dir.path()).is_empty());
        assert!(probe(&dir.path().join("none"), 1).is_err());
    }

    #[test]
    fn a_failure_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("directory");
        fs::create_dir(&taken).unwrap();
        assert!(write(&taken, b"x", 0o600).is_err());
        assert!(write(&dir.path().join("none/such"), b"x", 0o600).is_err());
        assert!(write(Path::new("/"), b"x", 0o600).is_err());
        assert_eq!(names(dir.path()), ["directory"]);
    }
}
