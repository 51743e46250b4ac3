// SPDX-License-Identifier: Apache-2.0

//! Certification requests with evidence (PKCS#10, RFC 2986; docs/FORMATS.md 3.2, 3.3 and 3.5).
//!
//! A request says nothing that a certificate repeats but its public key. So the form is narrow: no subject, one attribute,
//! one extension.

use const_oid::ObjectIdentifier;
use der::asn1::{BitStringRef, OctetStringRef};
use der::{Decode as _, Tag, TagNumber};
use types::limits;

use crate::asn1::{self, BIT_STRING, OCTET_STRING, OID, SEQUENCE, SET, p256_point, p384_point};
use crate::check::{Check, Refusal, ensure};
use crate::container::{self, Evidence};
use crate::crypto::{Scheme, Verifier};
use crate::intel;

/// `extensionRequest` (PKCS#9).
const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
/// `tcg-dice-conceptual-message-wrapper`: evidence with claims.
pub const EVIDENCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.5.4.9");
/// SNP evidence without claims.
pub const LEGACY_SNP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.58270.1.3");
/// SGX evidence without claims.
pub const LEGACY_SGX: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.58270.1.2");
/// What KVM had in the place of evidence: nothing.
const LEGACY_KVM: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.58270.1.1");
/// AlgorithmIdentifier `ecdsa-with-SHA256`.
const ECDSA_SHA256: [u8; 12] =
    [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
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

/// What is signed in a request.
struct Info<'a> {
    subject: &'a [u8],
    spki: &'a [u8],
    attributes: &'a [u8],
}

struct Parts<'a> {
    info: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

fn parts(der: &[u8]) -> der::Result<Parts<'_>> {
    asn1::sequence(der, |reader| {
        let info = asn1::element(reader, Tag::Sequence)?;
        let algorithm = asn1::element(reader, Tag::Sequence)?;
        let signature = BitStringRef::decode(reader)?;
        let signature = signature.as_bytes().ok_or_else(|| asn1::wrong(reader))?;
        Ok(Parts { info, algorithm, signature })
    })
}

fn info(der: &[u8]) -> der::Result<Info<'_>> {
    asn1::sequence(der, |reader| {
        if u8::decode(reader)? != 0 {
            return Err(asn1::wrong(reader));
        }
        let subject = asn1::element(reader, Tag::Sequence)?;
        let spki = asn1::element(reader, Tag::Sequence)?;
        let tag = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
        let attributes = asn1::contents(asn1::element(reader, tag)?)?;
        Ok(Info { subject, spki, attributes })
    })
}

/// An extension: type, whether critical, value.
type Extension<'a> = (ObjectIdentifier, bool, &'a [u8]);

/// The one extension of the one attribute; `None` if the attribute asks for none.
fn extension(attributes: &[u8]) -> der::Result<Option<Extension<'_>>> {
    asn1::sequence(attributes, |attribute| {
        if ObjectIdentifier::decode(attribute)? != EXTENSION_REQUEST {
            return Err(asn1::wrong(attribute));
        }
        let values = asn1::contents(asn1::element(attribute, Tag::Set)?)?;
        if values == [SEQUENCE, 0] {
            return Ok(None);
        }
        let extension = asn1::sequence(values, |list| asn1::element(list, Tag::Sequence))?;
        asn1::sequence(extension, |extension| {
            let oid = ObjectIdentifier::decode(extension)?;
            let critical = asn1::follows(extension, Tag::Boolean) && bool::decode(extension)?;
            let value = <&OctetStringRef>::decode(extension)?.as_bytes();
            Ok(Some((oid, critical, value)))
        })
    })
}

/// Algorithm of a request's signature, its scheme and the public point, by the kind of key.
fn key(spki: &[u8]) -> Option<([u8; 12], Scheme, &[u8])> {
    match (p256_point(spki), p384_point(spki)) {
        (Some(point), _) => Some((ECDSA_SHA256, Scheme::EcdsaP256Sha256Der, point)),
        (_, Some(point)) => Some((ECDSA_SHA384, Scheme::EcdsaP384Sha384Der, point)),
        _ => None,
    }
}

impl Request {
    /// Reads a request and checks that its own key signed it.
    ///
    /// # Errors
    /// The refusal, which names the check: form, key, signature, evidence.
    pub fn parse(der: &[u8], verifier: &dyn Verifier) -> Result<Self, Refusal> {
        let malformed = |what: String| Refusal::new(Check::RequestMalformed, what);
        if der.len() > limits::REQUEST_BYTES_MAX {
            return Err(malformed("the request is larger than 64 KiB".into()));
        }
        let parts = parts(der).and_then(|parts| Ok((info(parts.info)?, parts)));
        let (info, parts) =
            parts.map_err(|e| malformed(format!("it is no PKCS#10 request in DER: {e}")))?;
        ensure(info.subject == [SEQUENCE, 0], Check::RequestMalformed, || {
            "the request asks for a subject; Steward gives names, the request does not".into()
        })?;
        let (algorithm, scheme, point) = key(info.spki).ok_or_else(|| {
            let detail = "the request's key is not an uncompressed point of P-256 or P-384";
            Refusal::new(Check::RequestKey, detail)
        })?;
        let signed = parts.algorithm == algorithm
            && verifier.verify(scheme, point, parts.info, parts.signature).is_ok();
        ensure(signed, Check::RequestSignature, || {
            "the request's own signature does not verify".into()
        })?;
        let extension =
            if info.attributes.is_empty() { Ok(None) } else { extension(info.attributes) };
        let extension = extension.map_err(|e| {
            malformed(format!("the request has not one extensionRequest with one extension: {e}"))
        })?;
        let Some((oid, critical, value)) = extension else {
            return Err(Refusal::new(Check::EvidenceMissing, "the request carries no evidence"));
        };
        ensure(oid != LEGACY_KVM, Check::EvidenceUnsupported, || {
            "the request says that its Keep runs without a TEE (KVM)".into()
        })?;
        let evidence = match oid {
            EVIDENCE => container::decode_evidence(value),
            LEGACY_SGX => intel::decode_legacy(value),
            LEGACY_SNP => container::decode_legacy_snp(value),
            _ => {
                return Err(Refusal::new(
                    Check::EvidenceMissing,
                    format!("the request asks for the extension {oid}, which is no evidence"),
                ));
            }
        };
        ensure(!critical, Check::RequestMalformed, || "the evidence is marked critical".into())?;
        let evidence = evidence.ok_or_else(|| {
            Refusal::new(Check::EvidenceMalformed, "the evidence's container cannot be read")
        })?;
        Ok(Self { spki_der: info.spki.to_vec(), evidence })
    }
}

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
    let algorithm = match self::info(info).ok().and_then(|info| key(info.spki)) {
        Some((algorithm, ..)) => algorithm,
        None => ECDSA_SHA384,
    };
    let signature = asn1::tlv(BIT_STRING, &[&[0], signature].concat());
    asn1::tlv(SEQUENCE, &[info, &algorithm, &signature].concat())
}

/// A request for the key `spki_der` with evidence that carries claims; `extension` is from [`encode_evidence`](crate::encode_evidence).
pub fn build(spki_der: &[u8], extension: &[u8]) -> Tbs {
    build_with(spki_der, EVIDENCE, extension)
}

/// A request with an extension of any type, as [`LEGACY_SNP`] with [`encode_legacy_snp`](crate::encode_legacy_snp).
pub fn build_with(spki_der: &[u8], oid: ObjectIdentifier, extension: &[u8]) -> Tbs {
    let oid = asn1::tlv(OID, oid.as_bytes());
    let extension = asn1::tlv(SEQUENCE, &[oid, asn1::tlv(OCTET_STRING, extension)].concat());
    let values = asn1::tlv(SET, &asn1::tlv(SEQUENCE, &extension));
    let kind = asn1::tlv(OID, EXTENSION_REQUEST.as_bytes());
    let attributes = asn1::tlv(ATTRIBUTES, &asn1::tlv(SEQUENCE, &[kind, values].concat()));
    // Version 0, no subject.
    let start: &[u8] = &[0x02, 1, 0, SEQUENCE, 0];
    Tbs(asn1::tlv(SEQUENCE, &[start, spki_der, &attributes].concat()))
}
