// SPDX-License-Identifier: Apache-2.0

//! What the store needs of the place where its bytes are: nine operations.
//!
//! Two places have them. A bucket is the `object_store` crate's S3, GCS, Azure or memory. A directory is our own
//! [`Disk`](super::disk::Disk) and not that crate's: its local store cannot compare and swap (it refuses
//! `PutMode::Update`), deletes without flushing the directory, and takes back no name whose flush failed. Calls block;
//! whoever serves requests makes them where blocking is allowed.
//!
//! What every place promises: a write that returned success is durable; a key holds all the bytes of one write or none; of
//! several writes on one condition exactly one succeeds, whoever makes them; reads and lists see every finished write.

use std::fmt;
use std::io::Read;

use types::time::Timestamp;

use super::staging::Temporary;
use super::{Key, StoreError};

/// Which bytes a key held when it was read. To compare with, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub(super) tag: Option<String>,
    pub(super) generation: Option<String>,
}

/// On what condition something is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum When<'a> {
    /// There is nothing.
    Absent,
    /// There is what was read.
    Is(&'a Version),
}

/// Whether a name was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    New,
    Taken,
}

/// Bytes of an object, from some place on.
pub(crate) struct Opened {
    /// Length of the whole object in bytes.
    pub(crate) length: u64,
    /// What follows the place that was asked for.
    pub(crate) bytes: Box<dyn Read + Send>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("length", &self.length).finish_non_exhaustive()
    }
}

/// A place for bytes.
pub(super) trait Backend: fmt::Debug + Send + Sync {
    /// A small object, of at most `max` bytes, and its version; `None` if there is none.
    fn read(&self, key: &Key, max: usize) -> Result<Option<(Vec<u8>, Version)>, StoreError>;

    /// Writes a small object; its version, or `None` if the condition does not hold.
    fn write(&self, key: &Key, bytes: &[u8], when: When<'_>)
    -> Result<Option<Version>, StoreError>;

    /// Removes an object; no error if there is none.
    fn remove(&self, key: &Key) -> Result<(), StoreError>;

    /// At most `max` keys that begin with `prefix` (which ends in `/`) and come after `after`, in the order of their bytes.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<String>, StoreError>;

    /// The length of an object in bytes; `None` if there is none.
    fn length(&self, key: &Key) -> Result<Option<u64>, StoreError>;

    /// The bytes of an object from `from` on, which is at most its length; `None` if there is none.
    fn open(&self, key: &Key, from: u64) -> Result<Option<Opened>, StoreError>;

    /// A local file for bytes that arrive.
    fn stage(&self) -> Result<Temporary, StoreError>;

    /// Gives staged bytes a name that has none. For content that is named by its digest: two that come at once may both hear
    /// [`Named::New`].
    fn publish(&self, staged: &Temporary, key: &Key) -> Result<Named, StoreError>;

    /// Whether every operation waits for another machine, so that several at once are faster.
    fn is_far(&self) -> bool {
        false
    }

    /// Gives staged bytes a name, in place of what has it.
    fn replace(&self, staged: &Temporary, key: &Key) -> Result<(), StoreError>;

    /// Staged files that a dead process left and that were not touched since `before`: how many, and their bytes; they are
    /// removed if `remove` says so. A bucket's are in the scratch directories of their processes, which go otherwise.
    fn stale(&self, _before: Timestamp, _remove: bool) -> Result<(u64, u64), StoreError> {
        Ok((0, 0))
    }
}
