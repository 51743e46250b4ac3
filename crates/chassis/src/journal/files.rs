// SPDX-License-Identifier: Apache-2.0

//! The directory of a log. Its files are named after the index of their first entry, `00000000000000000000.jsonl`, so that
//! they are in order; `lock` is held by the process that writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use types::digest::Sha256;
use types::limits;

use super::LogError;
use super::entry::{self, Flaw, Link, Shape};

/// Name of the file that is locked.
const LOCK: &str = "lock";
/// Digits of the index in a file's name.
const DIGITS: usize = 20;
const SUFFIX: &str = ".jsonl";

/// Where a log ends: whoever notes it can tell later that nothing before it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many entries there are, those in files that were moved away included.
    pub entries: u64,
    /// Hash of the last one; zeros if there is none.
    pub hash: Sha256,
}

impl From<Link> for Head {
    fn from(link: Link) -> Self {
        Self { entries: link.next, hash: link.prev }
    }
}

/// The name of the file whose first entry has this index.
pub(super) fn path(dir: &Path, index: u64) -> PathBuf {
    dir.join(format!("{index:020}{SUFFIX}"))
}

/// The directory, for its owner only if it is new.
pub(super) fn make(dir: &Path) -> Result<(), LogError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|error| LogError::Io("make", dir.to_owned(), error))
}

/// Makes this process the only one that writes the log, for as long as the file stays open.
pub(super) fn lock(dir: &Path) -> Result<File, LogError> {
    let path = dir.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(|error| LogError::Io("open", path.clone(), error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(LogError::Locked(dir.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(LogError::Io("lock", path, error)),
    }
}

/// The files of the log with the index of their first entry, in order.
pub(super) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let unreadable = |error| LogError::Io("read", dir.to_owned(), error);
    let mut files = Vec::new();
    for item in fs::read_dir(dir).map_err(unreadable)? {
        let item = item.map_err(unreadable)?;
        let name = item.file_name();
        let Some(digits) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) else {
            continue;
        };
        if digits.len() == DIGITS
            && let Ok(index) = digits.parse()
        {
            files.push((index, item.path()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Reads one file of the log, line by line.
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: u64,
    /// Bytes of the lines that were read whole.
    whole: u64,
    line: Vec<u8>,
}

/// What comes next in a file.
pub(super) enum Next {
    /// A line with its end.
    Line,
    /// Nothing, or this many bytes of a line that never ended.
    End(usize),
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        let file =
            File::open(path).map_err(|error| LogError::Io("read", path.to_owned(), error))?;
        let (path, reader) = (path.to_owned(), BufReader::new(file));
        Ok(Self { path, reader, number: 0, whole: 0, line: Vec::new() })
    }

    /// Reads the next line, which [`Self::line`] shows then.
    pub(super) fn advance(&mut self) -> Result<Next, LogError> {
        self.line.clear();
        let room = limits::LOG_ENTRY_BYTES_MAX as u64 + 1;
        (&mut self.reader)
            .take(room)
            .read_until(b'\n', &mut self.line)
            .map_err(|error| LogError::Io("read", self.path.clone(), error))?;
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.whole += self.line.len() as u64;
            return Ok(Next::Line);
        }
        if self.line.len() > limits::LOG_ENTRY_BYTES_MAX {
            return Err(self.broken(Flaw::Length));
        }
        Ok(Next::End(self.line.len()))
    }

    /// The line that was read last.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// Bytes of all lines that were read whole.
    pub(super) const fn whole(&self) -> u64 {
        self.whole
    }

    /// That this line is broken.
    pub(super) fn broken(&self, flaw: Flaw) -> LogError {
        LogError::Broken(self.path.clone(), self.number, flaw)
    }
}

/// Where the chain stands behind the last entry of a file that is complete; none if the file is empty.
pub(super) fn end_of(path: &Path, shape: Shape) -> Result<Option<Link>, LogError> {
    let unreadable = |error: io::Error| LogError::Io("read", path.to_owned(), error);
    let mut file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length == 0 {
        return Ok(None);
    }
    // The longest entry, and the end of the line before it.
    let start = length.saturating_sub(limits::LOG_ENTRY_BYTES_MAX as u64 + 1);
    file.seek(SeekFrom::Start(start)).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(limits::LOG_ENTRY_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let misplaced = |why: String| LogError::Misplaced(path.to_owned(), why);
    let body = bytes.strip_suffix(b"\n").ok_or_else(|| {
        misplaced("its last line does not end, though another file follows".to_owned())
    })?;
    let from = body.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = bytes.get(from..).unwrap_or_default();
    let line =
        entry::parse(shape, line).map_err(|flaw| misplaced(format!("its last line: {flaw}")))?;
    Ok(Some(Link { next: line.index + 1, prev: line.hash }))
}
