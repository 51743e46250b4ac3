// SPDX-License-Identifier: Apache-2.0

//! Writing requests.

use const_oid::ObjectIdentifier;

use super::{ATTRIBUTES, ECDSA_SHA384, EVIDENCE, EXTENSION_REQUEST, parse};
use crate::asn1::{self, BIT_STRING, OCTET_STRING, OID, SEQUENCE, SET};

/// What the Keep's key signs to make a request.
#[derive(Clone, Debug)]
pub struct Tbs(Vec<u8>);

impl Tbs {
    /// The bytes to sign: a P-384 key with ECDSA and SHA-384, a P-256 key with SHA-256.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The request, with the signature in DER put to it.
    pub fn assemble(&self, signature: &[u8]) -> Vec<u8> {
        assemble(&self.0, signature)
    }
}

/// A request of any signed part, with its signature in DER. The algorithm follows from the key in the signed part.
pub fn assemble(info: &[u8], signature: &[u8]) -> Vec<u8> {
    let algorithm = match parse::info(info).ok().and_then(|info| parse::key(info.spki)) {
        Some((algorithm, ..)) => algorithm,
        None => ECDSA_SHA384,
    };
    let signature = asn1::tlv(BIT_STRING, &[&[0], signature].concat());
    asn1::tlv(SEQUENCE, &[info, &algorithm, &signature].concat())
}

/// A request for the key `spki_der` with one attribute, of type `oid` and with `value`, DER; see
/// [`bundle`](super::bundle).
pub fn build_attribute(spki_der: &[u8], oid: ObjectIdentifier, value: &[u8]) -> Tbs {
    let kind = asn1::tlv(OID, oid.as_bytes());
    let attribute = asn1::tlv(SEQUENCE, &[kind, asn1::tlv(SET, value)].concat());
    // Version 0, no subject.
    let start: &[u8] = &[0x02, 1, 0, SEQUENCE, 0];
    let attributes = asn1::tlv(ATTRIBUTES, &attribute);
    Tbs(asn1::tlv(SEQUENCE, &[start, spki_der, &attributes].concat()))
}

/// A request for the key `spki_der` with evidence that carries claims; `extension` is from [`encode_evidence`](crate::encode_evidence).
pub fn build(spki_der: &[u8], extension: &[u8]) -> Tbs {
    build_with(spki_der, EVIDENCE, extension)
}

/// A request with an extension of any type, as [`LEGACY_SNP`] with [`encode_legacy_snp`](crate::encode_legacy_snp).
pub fn build_with(spki_der: &[u8], oid: ObjectIdentifier, extension: &[u8]) -> Tbs {
    let oid = asn1::tlv(OID, oid.as_bytes());
    let extension = asn1::tlv(SEQUENCE, &[oid, asn1::tlv(OCTET_STRING, extension)].concat());
    build_attribute(spki_der, EXTENSION_REQUEST, &asn1::tlv(SEQUENCE, &extension))
}
