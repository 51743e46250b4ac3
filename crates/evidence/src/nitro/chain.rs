// SPDX-License-Identifier: Apache-2.0

//! The certificates of a document: root, region, zone, instance, enclave (RFC 5280, as much as AWS uses).
//!
//! The path is the bundle in its order; nothing is searched for. AWS asks verifiers not to look for revocation lists, and
//! so does this one not: the lowest certificate lives three hours.

use const_oid::db::rfc5280::{ID_CE_BASIC_CONSTRAINTS, ID_CE_KEY_USAGE};
use der::Decode as _;
use types::time::Timestamp;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};

use super::{Document, Root};
use crate::asn1::{self, Certificate};
use crate::check::{Check, Refusal, ensure};
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
    authority("root", &above, authorities.saturating_sub(1))?;
    current("root", &above, now)?;
    for (index, der) in document.cabundle.iter().enumerate().skip(1) {
        let name = format!("certificate {index} of the document's bundle");
        let certificate = parse(&name, der)?;
        let signed = issued(&certificate, &above, |key, tbs, signature| {
            verifier.verify_endorsement(Scheme::EcdsaP384Sha384Der, key, tbs, signature).is_ok()
        });
        ensure(signed, Check::CertificateChain, || not_issued(&name))?;
        authority(&name, &certificate, authorities.saturating_sub(index + 1))?;
        current(&name, &certificate, now)?;
        above = certificate;
    }
    let name = "the document's certificate";
    let leaf = parse(name, document.certificate)?;
    // It is this enclave's alone.
    let signed = issued(&leaf, &above, |key, tbs, signature| {
        verifier.verify(Scheme::EcdsaP384Sha384Der, key, tbs, signature).is_ok()
    });
    ensure(signed, Check::CertificateChain, || not_issued(name))?;
    ensure(end_entity(&leaf) == Some(true), Check::CertificateChain, || {
        format!("{name} is not one that may sign documents and nothing else")
    })?;
    current(name, &leaf, now)?;
    let point = asn1::p384_point(leaf.spki).unwrap_or_default().to_vec();
    let Certificate { not_before, not_after, .. } = leaf;
    Ok(Leaf { point, not_before, not_after, simulated: root.simulated() })
}

/// Whether a certificate can be a root: an authority without limits that signed itself.
pub(super) fn is_root(certificate: &Certificate<'_>, verifier: &dyn Verifier) -> bool {
    authority("root", certificate, 0).is_ok()
        && issued(certificate, certificate, |key, tbs, signature| {
            verifier.verify_endorsement(Scheme::EcdsaP384Sha384Der, key, tbs, signature).is_ok()
        })
}

fn not_issued(name: &str) -> String {
    format!("{name} is not issued by the one above it")
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

/// Whether `certificate` has the name of `above` for its issuer and is signed with its key, ECDSA with SHA-384.
fn issued(
    certificate: &Certificate<'_>,
    above: &Certificate<'_>,
    verifies: impl FnOnce(&[u8], &[u8], &[u8]) -> bool,
) -> bool {
    let signed = &certificate.signed;
    certificate.issuer == above.subject
        && certificate.algorithm == ECDSA_SHA384
        && signed.algorithm == ECDSA_SHA384
        && asn1::p384_point(above.spki)
            .is_some_and(|key| verifies(key, signed.tbs, signed.signature))
}

/// Basic constraints and key usage; `None` if one is there twice or malformed, or if another extension is critical.
fn constraints(
    certificate: &Certificate<'_>,
) -> Option<(Option<BasicConstraints>, Option<KeyUsage>)> {
    let known = |oid| [ID_CE_BASIC_CONSTRAINTS, ID_CE_KEY_USAGE].contains(&oid);
    if certificate.extensions.iter().any(|e| e.critical && !known(e.extn_id)) {
        return None;
    }
    let value = |oid| {
        let extension = certificate.extension(oid).ok()?;
        Some(extension.map(|extension| extension.extn_value.as_bytes()))
    };
    let basic = value(ID_CE_BASIC_CONSTRAINTS)?.map(BasicConstraints::from_der).transpose().ok()?;
    let usage = value(ID_CE_KEY_USAGE)?.map(KeyUsage::from_der).transpose().ok()?;
    Some((basic, usage))
}

/// An authority, with `below` authorities below it at most as many as it allows.
fn authority(name: &str, certificate: &Certificate<'_>, below: usize) -> Result<(), Refusal> {
    let allowed = match constraints(certificate) {
        Some((Some(basic), Some(usage))) => {
            basic.ca
                && basic.path_len_constraint.is_none_or(|length| below <= usize::from(length))
                && usage.0.contains(KeyUsages::KeyCertSign)
        }
        _ => false,
    };
    ensure(allowed, Check::CertificateChain, || {
        format!("{name} may not issue certificates, or not so many below each other")
    })
}

/// Whether this is no authority, and may sign.
fn end_entity(certificate: &Certificate<'_>) -> Option<bool> {
    let (basic, usage) = constraints(certificate)?;
    let authority = basic.is_some_and(|basic| basic.ca);
    Some(!authority && usage?.0.contains(KeyUsages::DigitalSignature))
}

fn current(name: &str, certificate: &Certificate<'_>, now: Timestamp) -> Result<(), Refusal> {
    let Certificate { not_before, not_after, .. } = certificate;
    ensure((*not_before..=*not_after).contains(&now), Check::CertificateExpired, || {
        format!("{name} is valid from {not_before} to {not_after}, and it is {now}")
    })
}
