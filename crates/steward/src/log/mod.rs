// SPDX-License-Identifier: Apache-2.0

//! The issuance log: every certificate is on disk before it leaves (docs/FORMATS.md section 4.2).
//!
//! One JSON line per certificate in a [`chassis::journal`]. A certificate whose entry did not reach the disk does not leave.

pub mod entry;
pub mod verify;

use std::path::Path;
use std::sync::Arc;

use chassis::journal::Journal;
pub use chassis::journal::{Head, LogError, Receipt};

use entry::Record;

/// The log of a Steward that serves.
#[derive(Debug)]
pub struct IssuanceLog(Option<Journal>);

impl IssuanceLog {
    /// Opens the log in `dir`, made if it is not there. What a crash left of a last entry is cut, and said in the
    /// program's log: its certificate never left.
    ///
    /// # Errors
    /// See [`LogError`]: another process writes it, its last file is broken, or the file system fails.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        Journal::open(dir, entry::SHAPE).map(|journal| Self(Some(journal)))
    }

    /// No log: certificates leave without a trace. For tests and development only.
    pub const fn insecure_none() -> Self {
        Self(None)
    }

    /// Where the log ends; none without a log.
    pub fn head(&self) -> Option<Head> {
        self.0.as_ref().map(Journal::head)
    }

    /// Has `records` written, all or none, one after the other. Does not block; the receipt does.
    ///
    /// # Errors
    /// [`LogError::Busy`] if too many wait, [`LogError::TooLong`] if a record is too large.
    pub fn append(&self, records: &[Record]) -> Result<Receipt, LogError> {
        match &self.0 {
            Some(journal) => journal.append(records.iter().map(Record::to_json).collect()),
            None => Ok(Receipt::none()),
        }
    }

    /// Tries to go on after a failure. Where the log ends then; none without a log. Blocks.
    ///
    /// # Errors
    /// What still fails.
    pub fn reopen(&self) -> Result<Option<Head>, Arc<LogError>> {
        self.0.as_ref().map(Journal::reopen).transpose()
    }
}

#[cfg(test)]
mod tests {
    use types::digest::Sha256;
    use types::time::Timestamp;

    use super::*;

    #[test]
    fn without_a_log_nothing_is_recorded() {
        let log = IssuanceLog::insecure_none();
        let (policy, text) = (Sha256::of(b"policy"), String::new);
        let record = Record::new(Timestamp(1), text(), policy, text(), text(), b"");
        log.append(&[record]).unwrap().wait().unwrap();
        assert_eq!(log.head(), None);
        assert_eq!(log.reopen().unwrap(), None);
    }
}
