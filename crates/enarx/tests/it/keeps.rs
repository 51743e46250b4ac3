// SPDX-License-Identifier: Apache-2.0

//! A Steward's authority and certificates of Keeps, made for tests.

use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use evidence::result::AttestationResult;
use tempfile::NamedTempFile;
use testkit::pki::{DevCa, Issued, Profile, sample_result};
use types::digest::Sha256;
use types::time::Timestamp;

/// The workload of [`result`].
pub(crate) const WORKLOAD: &str = "store.example.com/team/app:1.2.0";

pub(crate) fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

/// The digest of [`WORKLOAD`].
pub(crate) fn digest() -> Sha256 {
    Sha256::of(b"a workload")
}

/// What a Steward proved just now about a genuine Keep that runs [`WORKLOAD`].
pub(crate) fn result() -> AttestationResult {
    sample_result(digest(), Some(WORKLOAD.parse().unwrap()), now())
}

/// A Steward's authority, and its root in a file.
pub(crate) struct Steward {
    pub(crate) ca: DevCa,
    root: NamedTempFile,
}

impl Steward {
    pub(crate) fn new() -> Self {
        let ca = DevCa::generate("a Steward", now()).unwrap();
        let root = file(ca.certificate_pem());
        Self { ca, root }
    }

    /// The file with the root.
    pub(crate) fn root(&self) -> &str {
        path(&self.root)
    }

    /// A Keep's certificate and its key.
    pub(crate) fn keep(&self, result: &AttestationResult) -> Issued {
        self.ca.issue(&Profile::keep(result), now()).unwrap()
    }

    /// One that ended a minute ago.
    pub(crate) fn expired(&self) -> Issued {
        let validity = Some((now().minus(3_600), now().minus(60)));
        self.ca.issue(&Profile { validity, ..Profile::keep(&result()) }, now()).unwrap()
    }
}

/// A temporary file with this text.
pub(crate) fn file(text: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_ref()).unwrap();
    file
}

/// Its path.
pub(crate) fn path(file: &impl AsRef<Path>) -> &str {
    file.as_ref().to_str().unwrap()
}
