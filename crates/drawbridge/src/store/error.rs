// SPDX-License-Identifier: Apache-2.0

//! Why the store cannot.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::Exceeded;

/// Why the store cannot do what was asked. After any of these, nothing was promised.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system, or somebody's share of it, is full.
    Full,
    /// The file system failed.
    Io(io::Error),
    /// What lies on the disk is not what was put there.
    Damaged(PathBuf),
    /// A limit of the registry.
    Quota(&'static str),
    /// A quota of an owner is used up.
    Exceeded(Box<Exceeded>),
    /// The directory has other things in it.
    Foreign(PathBuf),
    /// The store is of another version.
    Version(PathBuf),
    /// Another registry serves this store.
    Locked(PathBuf),
    /// A name has characters that no name has.
    Name,
    /// The bucket failed.
    Bucket(Box<dyn std::error::Error + Send + Sync>),
    /// The bucket does not keep to the conditions of writes.
    Unconditional,
    /// The store cannot be reached as it was asked for.
    Setup(String),
    /// The bucket has other things under this prefix.
    ForeignBucket(String),
    /// Others changed the same thing all the time.
    Busy,
    /// The registry's own key cannot be read or made.
    Key(&'static str),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full,
            _ => Self::Io(error),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the registry's disk is full"),
            Self::Io(error) => write!(f, "the registry's disk failed: {error}"),
            Self::Damaged(path) => {
                write!(f, "{} is damaged: it is not what was stored", path.display())
            }
            Self::Quota(what) => f.write_str(what),
            Self::Exceeded(quota) => quota.fmt(f),
            Self::Foreign(path) => write!(
                f,
                "{} has files in it but is no store of a Drawbridge; give an empty or a new directory",
                path.display()
            ),
            Self::Version(path) => write!(
                f,
                "{} is a store of another version of Drawbridge; run a version that knows it",
                path.display()
            ),
            Self::Locked(path) => write!(
                f,
                "{} is served by another process; stop that one or give another directory",
                path.display()
            ),
            Self::Name => f.write_str("the name has characters that no name has"),
            Self::Bucket(_) => f.write_str("the registry's bucket failed"),
            Self::Unconditional => f.write_str(
                "the bucket takes conditional writes (If-None-Match, If-Match) and ignores their condition, so two \
                 registries would overwrite each other's tags; take a server that keeps to them",
            ),
            Self::Setup(what) => f.write_str(what),
            Self::ForeignBucket(what) => write!(
                f,
                "{what} has objects in it but is no store of a Drawbridge; give an empty or a new prefix"
            ),
            Self::Busy => f.write_str("others are changing the same thing; try again"),
            Self::Key(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Bucket(error) => Some(&**error),
            _ => None,
        }
    }
}
