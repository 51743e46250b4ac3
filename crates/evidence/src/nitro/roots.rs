// SPDX-License-Identifier: Apache-2.0

//! Trust anchors of Nitro documents: roots by fingerprint. The certificate itself comes with each document.

use const_oid::db::rfc4519::COMMON_NAME;
use types::digest::Sha256;
use types::limits::NITRO_CERTIFICATE_BYTES_MAX;

use super::chain;
use crate::asn1::{self, Certificate};
use crate::crypto::Verifier;

/// SHA-256 of AWS's root certificate (G1, DER). Any other root is simulated silicon.
pub const AWS_FINGERPRINT: &str =
    "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";

/// Common name of roots.
const ROOT_NAME: &str = "aws.nitro-enclaves";

/// A root of Nitro's certificates.
///
/// Every document carries its root as the first certificate of its bundle, so a fingerprint is all that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    fingerprint: String,
}

impl Root {
    /// AWS's own.
    pub fn aws() -> Self {
        Self { fingerprint: AWS_FINGERPRINT.to_owned() }
    }

    /// Those among PEM certificates: the ones named `aws.nitro-enclaves`.
    pub(crate) fn among_pem(text: &str, verifier: &dyn Verifier) -> Result<Vec<Self>, String> {
        let mut roots = Vec::new();
        for der in asn1::pem(text, "CERTIFICATE", 16)? {
            let Ok(certificate) = Certificate::parse(&der) else { continue };
            let attributes = asn1::name(certificate.subject).unwrap_or_default();
            if !attributes.contains(&(COMMON_NAME, ROOT_NAME)) {
                continue;
            }
            let small = der.len() <= NITRO_CERTIFICATE_BYTES_MAX;
            if !small || !chain::is_root(&certificate, verifier) {
                return Err(format!("{ROOT_NAME} is no root as AWS makes them"));
            }
            roots.push(Self { fingerprint: Sha256::of(&der).to_hex() });
        }
        Ok(roots)
    }

    /// Whether this is not AWS's.
    pub fn simulated(&self) -> bool {
        self.fingerprint != AWS_FINGERPRINT
    }

    /// Whether this is the root's certificate.
    pub(crate) fn is(&self, certificate: &[u8]) -> bool {
        Sha256::of(certificate).to_hex() == self.fingerprint
    }
}
