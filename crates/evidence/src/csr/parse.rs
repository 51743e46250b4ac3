// SPDX-License-Identifier: Apache-2.0

//! Reading requests.

use const_oid::ObjectIdentifier;
use der::asn1::{BitStringRef, OctetStringRef};
use der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber};
use types::limits;

use super::{
    ATTESTATION, ECDSA_SHA384, EVIDENCE, EXTENSION_REQUEST, LEGACY_KVM, LEGACY_SGX, LEGACY_SNP,
    Request, attribute,
};
use crate::asn1::{self, ECDSA_SHA256, SEQUENCE, p256_point, p384_point};
use crate::check::{Check, Refusal, ensure};
use crate::container::{self, Evidence};
use crate::crypto::{Scheme, Verifier};
use crate::intel;

/// What is signed in a request.
pub(super) struct Info<'a> {
    subject: &'a [u8],
    pub(super) spki: &'a [u8],
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

pub(super) fn info(der: &[u8]) -> der::Result<Info<'_>> {
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

/// Algorithm of a request's signature, its scheme and the public point, by the kind of key.
pub(super) fn key(spki: &[u8]) -> Option<([u8; 12], Scheme, &[u8])> {
    match (p256_point(spki), p384_point(spki)) {
        (Some(point), _) => Some((ECDSA_SHA256, Scheme::EcdsaP256Sha256Der, point)),
        (_, Some(point)) => Some((ECDSA_SHA384, Scheme::EcdsaP384Sha384Der, point)),
        _ => None,
    }
}

/// An attribute: type, and its one value.
type Attribute<'a> = (ObjectIdentifier, &'a [u8]);

/// All attributes; each must have one value.
fn attributes(mut set: &[u8]) -> der::Result<Vec<Attribute<'_>>> {
    let mut found = Vec::new();
    while !set.is_empty() {
        let mut reader = SliceReader::new(set)?;
        let attribute = asn1::element(&mut reader, Tag::Sequence)?;
        set = reader.read_slice(reader.remaining_len())?;
        found.push(asn1::sequence(attribute, |attribute| {
            let oid = ObjectIdentifier::decode(attribute)?;
            let values = asn1::contents(asn1::element(attribute, Tag::Set)?)?;
            let mut reader = SliceReader::new(values)?;
            let value = reader.tlv_bytes()?;
            reader.finish()?;
            Ok((oid, value))
        })?);
    }
    Ok(found)
}

/// An extension: type, whether critical, value.
type Extension<'a> = (ObjectIdentifier, bool, &'a [u8]);

/// All extensions that are asked for.
fn extensions(request: &[u8]) -> der::Result<Vec<Extension<'_>>> {
    asn1::sequence(request, |list| {
        let mut found = Vec::new();
        while !list.is_finished() {
            let extension = asn1::element(list, Tag::Sequence)?;
            found.push(asn1::sequence(extension, |extension| {
                let oid = ObjectIdentifier::decode(extension)?;
                let critical = asn1::follows(extension, Tag::Boolean) && bool::decode(extension)?;
                let value = <&OctetStringRef>::decode(extension)?.as_bytes();
                Ok((oid, critical, value))
            })?);
        }
        Ok(found)
    })
}

fn malformed(what: impl Into<String>) -> Refusal {
    Refusal::new(Check::RequestMalformed, what)
}

fn missing(what: impl Into<String>) -> Refusal {
    Refusal::new(Check::EvidenceMissing, what)
}

impl Request {
    /// Reads a request and checks that its own key signed it.
    ///
    /// # Errors
    /// The refusal, which names the check: form, key, signature, evidence.
    pub fn parse(der: &[u8], verifier: &dyn Verifier) -> Result<Self, Refusal> {
        if der.len() > limits::REQUEST_BYTES_MAX {
            return Err(malformed("the request is larger than 64 KiB"));
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
        let evidence = evidence(info.attributes)?;
        Ok(Self { spki_der: info.spki.to_vec(), evidence })
    }
}

/// The one piece of evidence in the attributes.
fn evidence(set: &[u8]) -> Result<Evidence, Refusal> {
    let attributes = attributes(set)
        .map_err(|e| malformed(format!("an attribute is malformed, or has not one value: {e}")))?;
    if let Some((oid, _)) =
        attributes.iter().find(|(oid, _)| ![EXTENSION_REQUEST, ATTESTATION].contains(oid))
    {
        return Err(malformed(format!(
            "the request has the attribute {oid}; Steward takes none but extensionRequest and id-aa-attestation"
        )));
    }
    match attributes.as_slice() {
        [] => Err(missing("the request carries no evidence")),
        [(ATTESTATION, value)] => attribute::evidence(value),
        [(_, value)] => requested(value),
        _ => Err(Refusal::new(
            Check::EvidenceAmbiguous,
            "the request has several attributes, each of which could carry evidence",
        )),
    }
}

/// The evidence in an extension request.
fn requested(value: &[u8]) -> Result<Evidence, Refusal> {
    let extensions = extensions(value)
        .map_err(|e| malformed(format!("the extensionRequest is malformed: {e}")))?;
    let (oid, critical, value) = match extensions.as_slice() {
        [] => return Err(missing("the request carries no evidence")),
        [extension] => *extension,
        several => {
            let known = |oid| [EVIDENCE, LEGACY_KVM, LEGACY_SGX, LEGACY_SNP].contains(oid);
            return Err(if several.iter().filter(|(oid, ..)| known(oid)).count() > 1 {
                let what = "the request asks for several extensions with evidence";
                Refusal::new(Check::EvidenceAmbiguous, what)
            } else {
                malformed(
                    "the request asks for several extensions; Steward gives them, the request does not",
                )
            });
        }
    };
    ensure(!critical, Check::RequestMalformed, || {
        format!("the extension {oid} is marked critical")
    })?;
    ensure(oid != LEGACY_KVM, Check::EvidenceUnsupported, || {
        "the request says that its Keep runs without a TEE (KVM)".into()
    })?;
    let evidence = match oid {
        EVIDENCE => container::decode_evidence(value),
        LEGACY_SGX => intel::decode_legacy(value),
        LEGACY_SNP => container::decode_legacy_snp(value),
        _ => {
            return Err(missing(format!(
                "the request asks for the extension {oid}, which is no evidence"
            )));
        }
    };
    evidence.ok_or_else(|| {
        Refusal::new(Check::EvidenceMalformed, "the evidence's container cannot be read")
    })
}
