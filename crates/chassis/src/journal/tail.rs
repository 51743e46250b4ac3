// SPDX-License-Identifier: Apache-2.0

//! The end of a log: found again after a crash, and appended to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use types::limits;

use super::LogError;
use super::entry::{Flaw, Link, Shape};
use super::files::{self, Lines, Next};
use crate::durable;

/// A file that is appended to. Tests have one that fails.
pub(super) trait Medium: Send {
    /// Writes all of `bytes` at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Puts all that was written to the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts everything behind the first `length` bytes, and puts that to the disk.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Medium for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.sync_all()
    }
}

/// Opens a file to append to it; makes it if it is not there.
pub(super) type Open = Arc<dyn Fn(&Path) -> io::Result<Box<dyn Medium>> + Send + Sync>;

/// [`Open`] on the file system.
pub(super) fn open_file(path: &Path) -> io::Result<Box<dyn Medium>> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(Box::new(options.open(path)?))
}

/// The end of a log.
pub(super) struct Tail {
    dir: PathBuf,
    shape: Shape,
    open: Open,
    /// Size at which a new file is begun, in bytes.
    file_bytes_max: u64,
    path: PathBuf,
    medium: Box<dyn Medium>,
    /// Bytes of the file that are on the disk.
    durable: u64,
    link: Link,
    /// Why nothing is written any more.
    closed: Option<String>,
}

impl Tail {
    /// Finds the end of the log in `dir`, which is this process's alone. What a crash left of a last entry is cut; the
    /// number of bytes is returned as well.
    pub(super) fn recover(
        dir: &Path,
        shape: Shape,
        open: Open,
        file_bytes_max: u64,
    ) -> Result<(Self, u64), LogError> {
        let files = files::list(dir)?;
        let before = match files.as_slice() {
            [.., (_, path), _] => files::end_of(path, shape)?,
            _ => None,
        };
        let (path, found) = match files.last() {
            Some((index, path)) => (path.clone(), read_last(path, shape, *index, before)?),
            None => (files::path(dir, 0), Found { link: Link::start(), whole: 0, torn: 0 }),
        };
        let failed = |what| {
            let path = path.clone();
            move |error| LogError::Io(what, path, error)
        };
        let mut medium = open(&path).map_err(failed("open"))?;
        // Also puts to the disk what an earlier process wrote and did not live to.
        medium.cut(found.whole).map_err(failed("cut"))?;
        durable::sync_parent(&path).map_err(failed("sync the directory of"))?;
        let tail = Self {
            dir: dir.to_owned(),
            shape,
            open,
            file_bytes_max,
            path,
            medium,
            durable: found.whole,
            link: found.link,
            closed: None,
        };
        Ok((tail, found.torn))
    }

    pub(super) const fn link(&self) -> Link {
        self.link
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Puts entries with these records (JSON) to the disk, all or none.
    pub(super) fn commit<'a>(
        &mut self,
        records: impl Iterator<Item = &'a str>,
    ) -> Result<(), LogError> {
        if let Some(why) = &self.closed {
            return Err(LogError::Closed(why.clone()));
        }
        if self.durable >= self.file_bytes_max {
            self.begin_file()?;
        }
        let (mut link, mut lines) = (self.link, Vec::new());
        records.for_each(|record| link.extend(self.shape.member, record, &mut lines));
        if let Err(error) = self.medium.append(&lines) {
            // Nothing of it was promised to anybody: once it is gone, the log is as it was.
            if let Err(worse) = self.medium.cut(self.durable) {
                self.close("cut", &worse);
            }
            return Err(LogError::Io("write", self.path.clone(), error));
        }
        if let Err(error) = self.medium.sync() {
            // Whether the bytes are on the disk is not known, and asking again would not tell.
            self.close("sync", &error);
            let _ = self.medium.cut(self.durable);
            return Err(LogError::Io("sync", self.path.clone(), error));
        }
        self.durable += lines.len() as u64;
        self.link = link;
        Ok(())
    }

    /// Tries to go on after a failure: what is not known to be on the disk is cut, the file is read again, and must end
    /// where it did.
    pub(super) fn reopen(&mut self) -> Result<(), LogError> {
        if self.closed.is_none() {
            return Ok(());
        }
        let failed = |what| {
            let path = self.path.clone();
            move |error| LogError::Io(what, path, error)
        };
        let mut medium = (self.open)(&self.path).map_err(failed("open"))?;
        medium.cut(self.durable).map_err(failed("cut"))?;
        let (again, _) =
            Self::recover(&self.dir, self.shape, self.open.clone(), self.file_bytes_max)?;
        if again.link != self.link {
            let why = "it does not end where it did when it failed".to_owned();
            return Err(LogError::Misplaced(again.path, why));
        }
        *self = again;
        Ok(())
    }

    fn begin_file(&mut self) -> Result<(), LogError> {
        let path = files::path(&self.dir, self.link.next);
        let failed = |error| LogError::Io("begin", path.clone(), error);
        let medium = (self.open)(&path).map_err(failed)?;
        durable::sync_parent(&path).map_err(failed)?;
        self.medium = medium;
        self.path = path;
        self.durable = 0;
        Ok(())
    }

    fn close(&mut self, what: &str, error: &io::Error) {
        self.closed = Some(format!("cannot {what} {}: {error}", self.path.display()));
    }
}

/// What the last file holds.
struct Found {
    link: Link,
    /// Bytes of whole entries.
    whole: u64,
    /// Bytes behind them.
    torn: u64,
}

/// Reads the last file, whose name says `index`; `before` is where the file before it ends, if there is one.
fn read_last(
    path: &Path,
    shape: Shape,
    index: u64,
    before: Option<Link>,
) -> Result<Found, LogError> {
    let misplaced = |why: &str| LogError::Misplaced(path.to_owned(), why.to_owned());
    let mut link = match before {
        Some(link) => Some(link),
        None if index == 0 => Some(Link::start()),
        // The files before it were moved away: its own first entry says what came before.
        None => None,
    };
    if link.is_some_and(|link| link.next != index) {
        return Err(misplaced("the entries before it are missing"));
    }
    let mut lines = Lines::open(path)?;
    loop {
        match lines.advance()? {
            Next::Line => {}
            Next::End(torn) => {
                let link = link.ok_or_else(|| {
                    misplaced("it is empty, and the files before it are not there")
                })?;
                return Ok(Found { link, whole: lines.whole(), torn: torn as u64 });
            }
        }
        let mut here = match link {
            Some(link) => link,
            None => {
                let first = super::entry::parse(shape, lines.line());
                let first = first.map_err(|flaw| lines.broken(flaw))?;
                Link { next: index, prev: first.prev }
            }
        };
        here.read(shape, lines.line()).map_err(|flaw: Flaw| lines.broken(flaw))?;
        link = Some(here);
    }
}

/// Size of a file at which the next is begun, unless told otherwise.
pub(super) const FILE_BYTES_MAX: u64 = limits::LOG_FILE_BYTES_MAX as u64;

#[cfg(test)]
mod tests;
