// SPDX-License-Identifier: Apache-2.0

//! Reading all of a log: for `steward log verify` and `steward log show`, and for whoever audits.

use std::path::Path;

pub use chassis::journal::{Expected, Summary};
use chassis::journal::{Line, LogError};
use types::digest::Sha256;

use super::entry::{Entry, SHAPE};

/// Reads every entry of the log in `dir`, in order, and checks the chain; `each` sees every whole entry with its hash.
/// The log may grow meanwhile.
///
/// # Errors
/// The first entry that is broken or out of place, or a failure of the file system.
pub fn read(
    dir: &Path,
    expected: Expected,
    mut each: impl FnMut(&Entry, Sha256) -> Result<(), LogError>,
) -> Result<Summary, LogError> {
    chassis::journal::read(dir, SHAPE, expected, |line: Line<'_>| {
        match serde_json::from_str(line.record) {
            Ok(issued) => each(&Entry { index: line.index, prev: line.prev, issued }, line.hash),
            // It was found to be a record.
            Err(_) => Ok(()),
        }
    })
}
