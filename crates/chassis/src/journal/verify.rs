// SPDX-License-Identifier: Apache-2.0

//! Reading all of a journal.

use std::path::Path;

use types::digest::Sha256;

use super::LogError;
use super::entry::{Line, Link, Shape};
use super::files::{self, Head, Lines, Next};

/// What a reader expects besides an unbroken chain.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// Hash of the last entry in the files that were moved away; nothing was, if not given.
    pub after: Option<Sha256>,
    /// A head that was noted earlier: the chain must still go through it.
    pub through: Option<Sha256>,
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Index of the first entry that is here.
    pub first: u64,
    /// Where it ends.
    pub head: Head,
    /// Bytes behind the last entry: one that is being written, or that a crash tore.
    pub torn_bytes: u64,
    /// Whether [`Expected::through`] was met; true if there is none.
    pub passed_through: bool,
}

/// Reads every entry of the journal in `dir`, in order, and checks the chain; `each` sees every whole entry.
/// The log may grow meanwhile.
///
/// # Errors
/// The first entry that is broken or out of place, or a failure of the file system.
pub fn read(
    dir: &Path,
    shape: Shape,
    expected: Expected,
    mut each: impl FnMut(Line<'_>) -> Result<(), LogError>,
) -> Result<Summary, LogError> {
    let files = files::list(dir)?;
    let start = match (files.first(), expected.after) {
        (None, _) => {
            return Err(LogError::Misplaced(dir.to_owned(), "there is no log here".to_owned()));
        }
        (Some((0, _)), None) => Link::start(),
        (Some((index, _)), Some(prev)) => Link { next: *index, prev },
        (Some((_, path)), None) => {
            let why = "the entries before it are missing; if they were moved away, give the hash of the last of them with --after";
            return Err(LogError::Misplaced(path.clone(), why.to_owned()));
        }
    };
    let mut link = start;
    let mut passed_through = expected.through.is_none_or(|hash| hash == start.prev);
    let mut torn_bytes = 0;
    for (place, (index, path)) in files.iter().enumerate() {
        if *index != link.next {
            let why = format!("entry {} should be its first", link.next);
            return Err(LogError::Misplaced(path.clone(), why));
        }
        let mut lines = Lines::open(path)?;
        loop {
            match lines.advance()? {
                Next::Line => {
                    let line = link.read(shape, lines.line()).map_err(|flaw| lines.broken(flaw))?;
                    passed_through |= expected.through == Some(line.hash);
                    each(line)?;
                }
                Next::End(0) => break,
                Next::End(torn) if place + 1 == files.len() => {
                    torn_bytes = torn as u64;
                    break;
                }
                Next::End(_) => return Err(lines.broken(super::entry::Flaw::Length)),
            }
        }
    }
    Ok(Summary { first: start.next, head: link.into(), torn_bytes, passed_through })
}
