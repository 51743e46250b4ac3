// SPDX-License-Identifier: Apache-2.0

//! Certification requests with evidence (PKCS#10, RFC 2986; docs/FORMATS.md 3.2, 3.3, 3.5 and 3.7).
//!
//! A request says nothing that a certificate repeats but its public key. So the form is narrow: no subject, one attribute
//! with one piece of evidence, as an extension or as an attestation bundle.

mod attribute;
mod build;
mod parse;

use const_oid::ObjectIdentifier;

use crate::container::Evidence;

pub use attribute::bundle;
pub use build::{Tbs, assemble, build, build_attribute, build_with};

/// `extensionRequest` (PKCS#9).
const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
/// `id-aa-attestation`: the attribute with an attestation bundle (draft-ietf-lamps-csr-attestation-27 and later).
pub const ATTESTATION: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.59");
/// `tcg-dice-conceptual-message-wrapper`: evidence with claims.
pub const EVIDENCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.9");
/// SNP evidence without claims.
pub const LEGACY_SNP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.58270.1.3");
/// SGX evidence without claims.
pub const LEGACY_SGX: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.58270.1.2");
/// What KVM had in the place of evidence: nothing.
const LEGACY_KVM: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.58270.1.1");
/// AlgorithmIdentifier `ecdsa-with-SHA384`.
const ECDSA_SHA384: [u8; 12] =
    [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// `[0]` of the attributes.
const ATTRIBUTES: u8 = 0xa0;

/// A certification request whose own signature has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The public key, DER of the SubjectPublicKeyInfo: P-256 or P-384.
    pub spki_der: Vec<u8>,
    /// The evidence.
    pub evidence: Evidence,
}
