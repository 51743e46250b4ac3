// SPDX-License-Identifier: Apache-2.0

//! Trust anchors of Intel's quotes: roots by the fingerprint of their key. The certificate itself comes with each quote.

use const_oid::db::rfc4519::COMMON_NAME;
use types::digest::Sha256;
use types::limits;

use crate::asn1::{self, Certificate};
use crate::crypto::{Scheme, Verifier};

/// SHA-256 of the key of Intel's root (DER of the SubjectPublicKeyInfo), of which there are two certificates. Any other root
/// is simulated silicon.
pub const INTEL_FINGERPRINT: &str =
    "a0af031289f5d5d4132f9186068a7fc13628633ba235777472e29b6b6c67a49e";

/// Common name of roots.
pub(super) const ROOT_NAME: &str = "Intel SGX Root CA";

/// A root of the certificates of SGX and TDX platforms.
///
/// Every chain carries its root's certificate as the last one, so the key's fingerprint is all that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    fingerprint: String,
}

impl Root {
    /// Intel's own.
    pub fn intel() -> Self {
        Self { fingerprint: INTEL_FINGERPRINT.to_owned() }
    }

    /// Those among PEM certificates: the ones named `Intel SGX Root CA`.
    pub(crate) fn among_pem(text: &str, verifier: &dyn Verifier) -> Result<Vec<Self>, String> {
        let mut roots = Vec::new();
        for der in asn1::pem(text, "CERTIFICATE", 16)? {
            let Ok(certificate) = Certificate::parse(&der) else { continue };
            if common_name(certificate.subject) != Some(ROOT_NAME) {
                continue;
            }
            let signed = &certificate.signed;
            let own = der.len() <= limits::CERTIFICATE_BYTES_MAX
                && certificate.issuer == certificate.subject
                && asn1::p256_point(certificate.spki).is_some_and(|point| {
                    let scheme = Scheme::EcdsaP256Sha256Der;
                    verifier.verify_endorsement(scheme, point, signed.tbs, signed.signature).is_ok()
                });
            if !own {
                return Err(format!("{ROOT_NAME} is not signed by itself, with a key of P-256"));
            }
            roots.push(Self { fingerprint: Sha256::of(certificate.spki).to_hex() });
        }
        Ok(roots)
    }

    /// Whether this is not Intel's.
    pub fn simulated(&self) -> bool {
        self.fingerprint != INTEL_FINGERPRINT
    }

    /// Whether this is the root's key (DER of the SubjectPublicKeyInfo).
    pub(super) fn is(&self, spki: &[u8]) -> bool {
        Sha256::of(spki).to_hex() == self.fingerprint
    }
}

/// The common name, if there is exactly one.
pub(super) fn common_name(name: &[u8]) -> Option<&str> {
    let attributes = asn1::name(name).ok()?;
    let mut names = attributes.into_iter().filter(|(oid, _)| *oid == COMMON_NAME);
    match (names.next(), names.next()) {
        (Some((_, name)), None) => Some(name),
        _ => None,
    }
}
