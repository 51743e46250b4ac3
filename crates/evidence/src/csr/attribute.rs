// SPDX-License-Identifier: Apache-2.0

//! Attestation bundles (draft-ietf-lamps-csr-attestation-27 and later, section 4) that carry a conceptual message wrapper.
//!
//! ```asn1
//! AttestationBundle ::= SEQUENCE {
//!   attestations SEQUENCE SIZE (1..MAX) OF AttestationStatement,
//!   certs SEQUENCE SIZE (1..MAX) OF LimitedCertChoices OPTIONAL }
//! AttestationStatement ::= SEQUENCE { type OBJECT IDENTIFIER, stmt ANY DEFINED BY type }
//! CMW ::= CHOICE { json UTF8String, cbor OCTET STRING }  -- RFC 9999 section 6.1
//! ```

use const_oid::ObjectIdentifier;
use der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber};
use types::limits;

use crate::asn1::{self, OCTET_STRING, OID, SEQUENCE, UTF8_STRING};
use crate::check::{Check, Refusal, ensure};
use crate::cmw::{self, Form};
use crate::container::Evidence;
use crate::result;

/// A statement: type, value.
type Statement<'a> = (ObjectIdentifier, &'a [u8]);

/// The statements of a bundle, and how many certificates come with them.
fn parse(bundle: &[u8]) -> der::Result<(Vec<Statement<'_>>, usize)> {
    asn1::sequence(bundle, |bundle| {
        let mut statements = Vec::new();
        for statement in elements(asn1::element(bundle, Tag::Sequence)?)? {
            statements.push(asn1::sequence(statement, |statement| {
                Ok((ObjectIdentifier::decode(statement)?, statement.tlv_bytes()?))
            })?);
        }
        let mut certificates = 0;
        if !bundle.is_finished() {
            for choice in elements(asn1::element(bundle, Tag::Sequence)?)? {
                certificate(choice)?;
                certificates += 1;
            }
        }
        Ok((statements, certificates))
    })
}

/// The values in a SEQUENCE OF, of which there must be one at least.
fn elements(sequence: &[u8]) -> der::Result<Vec<&[u8]>> {
    asn1::sequence(sequence, |list| {
        let mut found = vec![list.tlv_bytes()?];
        while !list.is_finished() {
            found.push(list.tlv_bytes()?);
        }
        Ok(found)
    })
}

/// A certificate, or a certificate of another format: `[3] IMPLICIT SEQUENCE`.
fn certificate(choice: &[u8]) -> der::Result<()> {
    let other = Tag::ContextSpecific { constructed: true, number: TagNumber(3) };
    let mut reader = SliceReader::new(choice)?;
    match Tag::peek(&reader)? {
        Tag::Sequence => Ok(()),
        tag if tag == other => Ok(()),
        _ => Err(asn1::wrong(&mut reader)),
    }
}

/// The evidence in a bundle.
pub(super) fn evidence(bundle: &[u8]) -> Result<Evidence, Refusal> {
    let malformed = |what: String| Refusal::new(Check::EvidenceMalformed, what);
    let (statements, certificates) =
        parse(bundle).map_err(|e| malformed(format!("it is no AttestationBundle in DER: {e}")))?;
    // They are read, not used: evidence has its endorsements with it.
    ensure(certificates <= limits::CHAIN_CERTIFICATES_MAX, Check::EvidenceMalformed, || {
        format!("a bundle has at most {} certificates", limits::CHAIN_CERTIFICATES_MAX)
    })?;
    let (kind, statement) = match statements.as_slice() {
        [statement] => *statement,
        several => {
            return Err(Refusal::new(
                Check::EvidenceAmbiguous,
                format!(
                    "the bundle has {} statements, and one certificate one piece of evidence",
                    several.len()
                ),
            ));
        }
    };
    ensure(kind == result::EXTENSION, Check::EvidenceUnsupported, || {
        format!(
            "the statement is of the type {kind}; Steward takes id-pe-cmw, {}",
            result::EXTENSION
        )
    })?;
    let (form, cmw) = match statement.first() {
        Some(&UTF8_STRING) => (Form::Json, asn1::contents(statement)),
        Some(&OCTET_STRING) => (Form::Cbor, asn1::contents(statement)),
        _ => {
            return Err(malformed(
                "the statement is no CMW: neither UTF8String nor OCTET STRING".into(),
            ));
        }
    };
    let cmw = cmw.map_err(|e| malformed(format!("the statement is no CMW: {e}")))?;
    cmw::decode(form, cmw).map_err(|error| malformed(error.to_string()))
}

/// The value of the attribute [`ATTESTATION`](super::ATTESTATION): a bundle with one statement, the CMW `cmw`.
pub fn bundle(form: Form, cmw: &[u8]) -> Vec<u8> {
    let tag = match form {
        Form::Json => UTF8_STRING,
        Form::Cbor => OCTET_STRING,
    };
    let oid = asn1::tlv(OID, result::EXTENSION.as_bytes());
    let statement = asn1::tlv(SEQUENCE, &[oid, asn1::tlv(tag, cmw)].concat());
    asn1::tlv(SEQUENCE, &asn1::tlv(SEQUENCE, &statement))
}
