// SPDX-License-Identifier: Apache-2.0

//! Journals: what happened, on disk before it takes effect, in a form in which nobody changes it unnoticed.
//!
//! One JSON line per record, each with the hash of the one before it. One thread writes; whatever waits while the disk is busy
//! goes to the disk together. Steward records certificates so, Drawbridge what it released and refused.
//!
//! | module | what it does |
//! |---|---|
//! | `entry` | one line: written, read, and its place in the chain |
//! | `files` | the directory: names, lock, reading line by line |
//! | `tail` | the end of the log: recovery after a crash, appending, rotation by size |
//! | `writer` | the thread that many requests share |
//! | `verify` | reading all of it |

mod entry;
mod files;
mod tail;
mod verify;
mod writer;

use std::fmt;
use std::io;
use std::path::PathBuf;

pub use entry::{Flaw, GENESIS, Line, Shape};
pub use files::Head;
pub use verify::{Expected, Summary, read};
pub use writer::{Journal, Receipt};

/// Why something is not in the log.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogError {
    /// The file system fails; what was tried, on which path.
    Io(&'static str, PathBuf, io::Error),
    /// Another process writes this log.
    Locked(PathBuf),
    /// An entry is not as it was written; its file, its line there, counted from 1, and what is wrong.
    Broken(PathBuf, u64, Flaw),
    /// A file of the log is missing or out of place; the file, and what is wrong.
    Misplaced(PathBuf, String),
    /// An entry would be longer than readers take, in bytes.
    TooLong(usize),
    /// More waits to be written than may wait.
    Busy,
    /// An earlier failure closed the log, with its words; it opens again on SIGHUP or restart.
    Closed(String),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(what, path, error) => {
                write!(f, "cannot {what} {}: {error}", path.display())
            }
            Self::Locked(path) => write!(
                f,
                "the log {} is written by another process; each service needs its own",
                path.display()
            ),
            Self::Broken(path, line, flaw) => {
                write!(f, "the log is broken at line {line} of {}: {flaw}", path.display())
            }
            Self::Misplaced(path, why) => {
                write!(f, "the log is broken at {}: {why}", path.display())
            }
            Self::TooLong(bytes) => {
                write!(f, "an entry of {bytes} bytes is too long for the log")
            }
            Self::Busy => f.write_str("the log cannot keep up"),
            Self::Closed(why) => {
                write!(f, "the log is closed until SIGHUP or restart: {why}")
            }
        }
    }
}

impl std::error::Error for LogError {}
