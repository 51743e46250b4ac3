// SPDX-License-Identifier: Apache-2.0

//! Keeps: client certificates that a Steward issued for an attested workload.

use rustls::pki_types::CertificateDer;
use types::digest::Sha256;
use types::time::Timestamp;

/// Which Keeps get anything at all.
#[derive(Clone, Debug)]
pub struct Keeps {
    anchors: verify::Anchors,
    requirements: verify::Requirements,
}

/// An attested Keep, or why it is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The certificate says what the Keep runs.
    Attested {
        /// Digest of the one workload that it runs.
        digest: Sha256,
        /// What goes into the log.
        description: String,
    },
    /// The certificate says too little; why.
    Refused(String),
}

impl Keeps {
    /// Keeps with certificates below these roots; simulated ones only if told so.
    pub fn new(roots: Vec<CertificateDer<'static>>, allow_simulated: bool) -> Self {
        Self {
            anchors: verify::Anchors { roots, ..Default::default() },
            requirements: verify::Requirements { allow_simulated, ..Default::default() },
        }
    }

    /// What a client's certificates say of it; its own comes first.
    pub fn appraise(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Keep {
        let (anchors, requirements) = (&self.anchors, &self.requirements);
        let identity =
            match verify::verify_chain(chain, anchors, requirements, now, verify::Usage::Client) {
                Ok(identity) => identity,
                Err(refusal) => return Keep::Refused(refusal.to_string()),
            };
        match identity.digest {
            Some(digest) => {
                let description = identity.peer.to_json();
                Keep::Attested { digest, description }
            }
            None => Keep::Refused("the certificate names no workload".to_owned()),
        }
    }
}
