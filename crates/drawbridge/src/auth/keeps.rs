// SPDX-License-Identifier: Apache-2.0

//! Keeps: client certificates that a Steward issued for an attested workload.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use types::digest::Sha256;
use types::time::Timestamp;
use verify::{Anchors, ReleasePolicy};

/// What a client showed in the handshake; its own certificate comes first. Not judged.
pub type Certificates = Arc<Vec<CertificateDer<'static>>>;

/// What a release policy says of a client: the description of the Keep, or the check that failed and why.
pub type Verdict = Result<String, (&'static str, String)>;

/// Which Keeps get anything where the owner of a repository wrote no policy, and whose word counts.
#[derive(Clone, Debug)]
pub struct Keeps {
    stewards: Anchors,
    default: ReleasePolicy,
}

impl Keeps {
    /// Keeps with certificates below these roots; simulated ones only if told so.
    pub fn new(roots: Vec<CertificateDer<'static>>, allow_simulated: bool) -> Self {
        let stewards = Anchors { roots, ..Anchors::default() };
        Self { stewards, default: ReleasePolicy::same_workload(allow_simulated) }
    }

    /// Whether a client with these certificates gets the workload with this digest.
    pub fn judge(
        &self,
        certificates: &[CertificateDer<'_>],
        policy: Option<&ReleasePolicy>,
        workload: &Sha256,
        now: Timestamp,
    ) -> Verdict {
        let policy = policy.unwrap_or(&self.default);
        match policy.judge(certificates, &self.stewards, workload, now) {
            Ok(released) => Ok(released.identity.peer.to_json()),
            Err(why) => Err((why.check(), why.to_string())),
        }
    }
}
