// SPDX-License-Identifier: Apache-2.0

//! The certificates of a document: root, region, zone, instance, enclave (RFC 5280, as much as AWS uses).
//!
//! The path is the bundle in its order; nothing is searched for. AWS asks verifiers not to look for revocation lists, and
//! so does this one not: the lowest certificate lives three hours.

use types::time::Timestamp;

use super::{Document, Root};
use crate::asn1::path::{self, Fault};
use crate::asn1::{self, Certificate};
use crate::check::{Check, Refusal};
use crate::crypto::{Scheme, Verifier};

/// AlgorithmIdentifier of ECDSA with SHA-384.
const ECDSA_SHA384: [u8; 12] =
    [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];

/// The key that signs a document, genuine.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Its uncompressed point.
    pub(super) point: Vec<u8>,
    /// When its certificate begins.
    pub(super) not_before: Timestamp,
    /// When it ends.
    pub(super) not_after: Timestamp,
    /// Whether its root is not AWS's.
    pub(super) simulated: bool,
}

/// Verifies a document's certificates up to one of `roots`.
pub(super) fn verify(
    document: &Document<'_>,
    roots: &[Root],
    now: Timestamp,
    verifier: &dyn Verifier,
) -> Result<Leaf, Refusal> {
    let first = document.cabundle.first().copied().unwrap_or_default();
    let root = roots.iter().find(|root| root.is(first)).ok_or_else(|| {
        Refusal::new(
            Check::UntrustedRoot,
            "the first certificate of the document's bundle is no root that is trusted",
        )
    })?;
    let mut above = parse("root", first)?;
    let authorities = document.cabundle.len();
    path::authority(&above, authorities.saturating_sub(1), &[]).map_err(fault("the root"))?;
    path::current(&above, now).map_err(fault("the root"))?;
    for (index, der) in document.cabundle.iter().enumerate().skip(1) {
        let name = format!("certificate {index} of the document's bundle");
        let certificate = parse(&name, der)?;
        issued(&certificate, &above, |key, tbs, signature| {
            verifier.verify_endorsement(Scheme::EcdsaP384Sha384Der, key, tbs, signature).is_ok()
        })
        .map_err(fault(&name))?;
        let below = authorities.saturating_sub(index + 1);
        path::authority(&certificate, below, &[]).map_err(fault(&name))?;
        path::current(&certificate, now).map_err(fault(&name))?;
        above = certificate;
    }
    let name = "the document's certificate";
    let leaf = parse(name, document.certificate)?;
    // It is this enclave's alone.
    issued(&leaf, &above, |key, tbs, signature| {
        verifier.verify(Scheme::EcdsaP384Sha384Der, key, tbs, signature).is_ok()
    })
    .map_err(fault(name))?;
    path::end_entity(&leaf, &[]).map_err(fault(name))?;
    path::current(&leaf, now).map_err(fault(name))?;
    let point = asn1::p384_point(leaf.spki).unwrap_or_default().to_vec();
    let Certificate { not_before, not_after, .. } = leaf;
    Ok(Leaf { point, not_before, not_after, simulated: root.simulated() })
}

/// Whether a certificate can be a root: an authority without limits that signed itself.
pub(super) fn is_root(certificate: &Certificate<'_>, verifier: &dyn Verifier) -> bool {
    path::authority(certificate, 0, &[]).is_ok()
        && issued(certificate, certificate, |key, tbs, signature| {
            verifier.verify_endorsement(Scheme::EcdsaP384Sha384Der, key, tbs, signature).is_ok()
        })
        .is_ok()
}

/// A fault of this certificate.
fn fault(name: &str) -> impl FnOnce(Fault) -> Refusal {
    let name = name.to_owned();
    move |fault| {
        let expired = matches!(fault, Fault::Time { .. });
        let check = if expired { Check::CertificateExpired } else { Check::CertificateChain };
        Refusal::new(check, format!("{name} {fault}"))
    }
}

fn parse<'a>(name: &str, der: &'a [u8]) -> Result<Certificate<'a>, Refusal> {
    let malformed = |what: String| {
        let detail = format!("{name} is not as AWS makes them: {what}");
        Refusal::new(Check::CertificateMalformed, detail)
    };
    let certificate = Certificate::parse(der).map_err(|error| malformed(error.to_string()))?;
    if asn1::p384_point(certificate.spki).is_none() {
        return Err(malformed("its key is no P-384 key".to_owned()));
    }
    Ok(certificate)
}

/// `certificate` has the name of `above` for its issuer and is signed with its key, ECDSA with SHA-384.
fn issued(
    certificate: &Certificate<'_>,
    above: &Certificate<'_>,
    verifies: impl FnOnce(&[u8], &[u8], &[u8]) -> bool,
) -> Result<(), Fault> {
    path::named(certificate, above)?;
    path::algorithm(certificate, &[(ECDSA_SHA384, ())])?;
    let key = asn1::p384_point(above.spki).ok_or(Fault::Signature)?;
    path::signed(certificate, |tbs, signature| verifies(key, tbs, signature))
}
