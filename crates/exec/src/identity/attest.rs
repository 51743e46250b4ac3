// SPDX-License-Identifier: Apache-2.0

//! Evidence: the TEE's word on the Keep, bound to the Keep's key and to the workload it is going to run.

use std::fmt;
use std::io;

use evidence::claims::{Claims, WorkloadClaim, pubkey_hash_of};
use evidence::csr;
use evidence::snp::Report;
use types::digest::Sha256;
use types::slug::Slug;

use crate::identity::key::{Key, KeyError};
use crate::sys::{NoEvidence, Technology};

/// Where evidence comes from: report data in, blob of docs/FORMATS.md 3.4 out. [`crate::sys::attestation`], but for tests.
pub type Platform<'a> = &'a dyn Fn(&[u8; 64]) -> Result<(Vec<u8>, Technology), NoEvidence>;

/// Why there is no evidence.
#[derive(Debug)]
pub enum AttestError {
    /// This backend cannot attest.
    Unsupported,
    /// It can, but failed.
    Platform(io::Error),
    /// It can, but with a technology that this version does not carry to Steward.
    Technology(Technology),
    /// What it gave is not evidence of this Keep.
    Evidence(String),
    /// The key cannot be used.
    Key(KeyError),
}

impl fmt::Display for AttestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => f.write_str("this backend cannot attest"),
            Self::Platform(error) => write!(f, "the platform failed to attest: {error}"),
            Self::Technology(technology) => {
                write!(f, "evidence of {technology:?} is not supported by this version")
            }
            Self::Evidence(detail) => {
                write!(f, "the platform's evidence is not about this Keep: {detail}")
            }
            Self::Key(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AttestError {}

/// The workload that the Keep is going to run and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'a> {
    /// Digest of its root.
    pub digest: &'a Sha256,
    /// Its name and the registry's signed word on the name, where it comes out of a registry.
    pub named: Option<(&'a Slug, &'a str)>,
}

/// Evidence, as it goes into the certification request.
#[derive(Debug)]
pub struct Evidence {
    /// The report, parsed, for those who want to know what it says.
    pub report: Report,
    /// The extension's value (docs/FORMATS.md 3.3).
    extension: Vec<u8>,
}

/// Whether this backend can attest at all, as far as it says so.
pub fn can_attest(platform: Platform<'_>) -> bool {
    !matches!(platform(&[0; 64]), Err(NoEvidence::Unsupported))
}

/// Asks the TEE to attest to this key and workload, now: the nonce is Steward's.
///
/// # Errors
/// [`AttestError`]. Evidence that is about something else is refused here already, not only by Steward.
pub fn attest(
    key: &Key,
    workload: Workload<'_>,
    nonce: &[u8],
    platform: Platform<'_>,
) -> Result<Evidence, AttestError> {
    let claims = Claims {
        pubkey_hash: pubkey_hash_of(key.spki_der()),
        nonce: Some(nonce.to_vec()),
        workload: Some(WorkloadClaim {
            digest: *workload.digest,
            slug: workload.named.map(|(slug, _)| slug.clone().without_digest()),
            statement: workload.named.map(|(_, statement)| statement.to_owned()),
        }),
    };
    let report_data = claims.report_data();
    let (blob, technology) = platform(&report_data).map_err(|error| match error {
        NoEvidence::Unsupported => AttestError::Unsupported,
        NoEvidence::Failed(error) => AttestError::Platform(error),
    })?;
    if technology != Technology::Snp {
        return Err(AttestError::Technology(technology));
    }
    let wrong = |detail: &dyn fmt::Display| AttestError::Evidence(detail.to_string());
    let (report_bytes, endorsements) =
        evidence::snp::split_attestation(&blob).map_err(|error| wrong(&error))?;
    let report = Report::parse(report_bytes).map_err(|error| wrong(&error))?;
    if report.report_data != report_data {
        return Err(wrong(&"it carries other report data than was asked for"));
    }
    let extension = evidence::encode_evidence(
        evidence::Kind::Snp,
        report_bytes,
        &claims.to_bytes(),
        endorsements,
    );
    Ok(Evidence { report, extension })
}

/// The certification request: this key, this evidence, signed. PKCS#10 DER.
///
/// # Errors
/// [`AttestError::Key`].
pub fn request(key: &Key, evidence: &Evidence) -> Result<Vec<u8>, AttestError> {
    let tbs = csr::build(key.spki_der(), &evidence.extension);
    let signature = key.sign(tbs.bytes()).map_err(AttestError::Key)?;
    Ok(tbs.assemble(&signature))
}
