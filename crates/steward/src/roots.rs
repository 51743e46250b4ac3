// SPDX-License-Identifier: Apache-2.0

//! Whose silicon is believed: the vendors' roots, built in, and for development those of simulated silicon.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use evidence::Anchors;
use evidence::crypto::AwsLc;

/// Largest file of simulated roots, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why there are no roots.
#[derive(Debug)]
pub enum RootsError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file holds no roots of simulated silicon, and why.
    Invalid(PathBuf, String),
    /// The roots that are built in are not those of the vendor.
    BuiltIn(String),
}

impl fmt::Display for RootsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(f, "cannot read the simulated roots {}: {error}", path.display())
            }
            Self::Invalid(path, why) => {
                write!(f, "{} holds no roots of simulated silicon: {why}", path.display())
            }
            Self::BuiltIn(why) => write!(f, "the built-in vendor roots are damaged: {why}"),
        }
    }
}

impl std::error::Error for RootsError {}

/// The vendors' roots, built in.
///
/// # Errors
/// [`RootsError::BuiltIn`]: this program is damaged.
pub fn vendors() -> Result<Anchors, RootsError> {
    Anchors::vendors(&AwsLc).map_err(|error| RootsError::BuiltIn(error.to_string()))
}

/// The roots of simulated silicon in `path` (PEM). Only for development: whoever has their key can attest to anything.
/// Certificates say so.
///
/// # Errors
/// The file cannot be read, or holds anything but roots that are not a vendor's.
pub fn insecure_simulated(path: &Path) -> Result<Anchors, RootsError> {
    let mut pem = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut pem))
        .map_err(|error| RootsError::Unreadable(path.to_owned(), error))?;
    Anchors::simulated(&pem, &AwsLc)
        .map_err(|error| RootsError::Invalid(path.to_owned(), error.to_string()))
}
