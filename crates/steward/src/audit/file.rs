// SPDX-License-Identifier: Apache-2.0

//! The file with a line for each decision. It only ever grows; whoever moves it away sends SIGHUP.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Its owner writes, its group reads.
const MODE: u32 = 0o640;

#[derive(Debug)]
pub(super) struct AuditFile {
    path: PathBuf,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// The last line has no end: the disk was full, or Steward was killed.
    torn: bool,
}

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(MODE).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not an ordinary file"));
        }
        let torn = file.seek(SeekFrom::End(0))? > 0 && {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            last != *b"\n"
        };
        Ok(Self { file, torn })
    }
}

impl AuditFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), open: Mutex::new(Open::new(path)?) })
    }

    pub(super) fn reopen(&self) -> io::Result<()> {
        let new = Open::new(&self.path)?;
        *self.lock() = new;
        Ok(())
    }

    /// Writes a line with its end, in one piece, behind all others.
    pub(super) fn append(&self, line: &str) -> io::Result<()> {
        let mut open = self.lock();
        if open.torn {
            open.file.write_all(b"\n")?;
        }
        open.torn = true;
        open.file.write_all(line.as_bytes())?;
        open.torn = false;
        Ok(())
    }

    /// Whether the file is still there under its name, and what was last written is whole.
    pub(super) fn ready(&self) -> io::Result<()> {
        if self.lock().torn {
            return Err(io::Error::other("the last line could not be written"));
        }
        std::fs::metadata(&self.path).map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_follow_each_other_also_after_a_torn_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let read = || std::fs::read_to_string(&path).unwrap();
        AuditFile::open(&path).unwrap().append("1\n").unwrap();
        let file = AuditFile::open(&path).unwrap();
        file.append("2\n").unwrap();
        assert_eq!(read(), "1\n2\n");
        chassis::durable::write(&path, b"1\nto", 0o600).unwrap();
        let file = AuditFile::open(&path).unwrap();
        file.append("2\n").unwrap();
        assert_eq!(read(), "1\nto\n2\n");
        // It was moved away: lines go after it until it is opened by its name again.
        let old = dir.path().join("old");
        std::fs::rename(&path, &old).unwrap();
        assert!(file.ready().is_err());
        file.append("3\n").unwrap();
        file.reopen().unwrap();
        file.append("4\n").unwrap();
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "1\nto\n2\n3\n");
        assert_eq!(read(), "4\n");
        assert!(file.ready().is_ok());
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o137, 0);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(AuditFile::open(dir.path()).is_err());
        assert!(AuditFile::open(Path::new("/dev/null")).is_err());
        assert!(AuditFile::open(&dir.path().join("none/such")).is_err());
    }

    #[test]
    fn a_full_disk_is_an_error_and_not_ready() {
        if !Path::new("/dev/full").exists() {
            eprintln!("SKIP a_full_disk_is_an_error_and_not_ready: there is no /dev/full");
            return;
        }
        let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let open = Mutex::new(Open { file: full, torn: false });
        let file = AuditFile { path: PathBuf::from("/dev/full"), open };
        assert!(file.append("1\n").is_err());
        assert!(file.ready().is_err());
    }
}
