// SPDX-License-Identifier: Apache-2.0

//! Conceptual message wrappers (RFC 9999) around evidence, and the media types of both (docs/FORMATS.md 3.7).
//!
//! A *record* is evidence in one piece. A *collection* has statement, claims and endorsements apart. Nothing is nested.

mod cbor;
mod json;

use std::fmt;

use types::limits;

use crate::container::{self, Evidence, Kind};

/// Media type of a CMW in CBOR.
pub const CBOR: &str = "application/cmw+cbor";
/// Media type of a CMW in JSON.
pub const JSON: &str = "application/cmw+json";
/// Media type of evidence with claims and endorsements in one piece (docs/FORMATS.md 3.3).
pub const EVIDENCE: &str = "application/vnd.enarx.evidence+cbor";
/// Media type of claims (docs/FORMATS.md 3.1).
pub const CLAIMS: &str = "application/vnd.enarx.claims+cbor";
/// Type of the collections here.
pub const COLLECTION: &str = "tag:enarx.dev,2026:evidence";

/// Indicator of endorsements (RFC 9999 section 3.2).
const ENDORSEMENTS_BIT: u64 = 2;
/// Indicator of evidence.
const EVIDENCE_BIT: u64 = 4;

/// The two ways to write a CMW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Deterministic CBOR.
    Cbor,
    /// JSON.
    Json,
}

/// Bytes that are no evidence, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotEvidence(&'static str);

impl fmt::Display for NotEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the evidence cannot be read: {}", self.0)
    }
}

impl std::error::Error for NotEvidence {}

/// Media type of what a TEE of this kind signs, alone.
pub const fn statement_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Snp => "application/vnd.enarx.snp",
        Kind::Sgx => "application/vnd.enarx.sgx",
        Kind::Tdx => "application/vnd.enarx.tdx",
        Kind::Nitro => "application/vnd.enarx.nitro",
        Kind::Cca => "application/vnd.enarx.cca",
        Kind::AzureSnp => "application/vnd.enarx.azure-snp",
        Kind::AzureTdx => "application/vnd.enarx.azure-tdx",
    }
}

/// Media type of the endorsements that go with it.
pub const fn endorsements_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Snp => "application/vnd.enarx.snp-endorsements",
        Kind::Sgx => "application/vnd.enarx.sgx-endorsements",
        Kind::Tdx => "application/vnd.enarx.tdx-endorsements",
        Kind::Nitro => "application/vnd.enarx.nitro-endorsements",
        Kind::Cca => "application/vnd.enarx.cca-endorsements",
        Kind::AzureSnp => "application/vnd.enarx.azure-snp-endorsements",
        Kind::AzureTdx => "application/vnd.enarx.azure-tdx-endorsements",
    }
}

/// A record: media type, value, indicator.
struct Record {
    media_type: String,
    value: Vec<u8>,
    indicator: Option<u64>,
}

/// A collection, with the labels that it may have.
struct Collection {
    statement: Record,
    claims: Option<Record>,
    endorsements: Option<Record>,
}

/// A CMW, taken apart and not understood yet.
enum Cmw {
    Record(Record),
    Collection(Collection),
}

/// Reads a CMW.
///
/// # Errors
/// Bytes that are not in this form, larger than a request may be, or no evidence.
pub fn decode(form: Form, bytes: &[u8]) -> Result<Evidence, NotEvidence> {
    if bytes.len() > limits::REQUEST_BYTES_MAX {
        return Err(NotEvidence("it is larger than 64 KiB"));
    }
    let cmw = match form {
        Form::Cbor => cbor::parse(bytes)?,
        Form::Json => json::parse(bytes)?,
    };
    let evidence = match cmw {
        Cmw::Record(record) => {
            expect(&record, EVIDENCE_BIT)?;
            alone(&record.media_type, record.value)?
        }
        Cmw::Collection(collection) => collected(collection)?,
    };
    let large = evidence.claims.as_ref().is_some_and(|c| c.len() > limits::CLAIMS_BYTES_MAX);
    if large {
        return Err(NotEvidence("the claims are larger than any"));
    }
    Ok(evidence)
}

/// Reads a body of this media type, without parameters: a CMW, or bare evidence. `None`: this is no media type of evidence.
pub fn decode_body(media_type: &str, bytes: &[u8]) -> Option<Result<Evidence, NotEvidence>> {
    match media_type {
        CBOR => Some(decode(Form::Cbor, bytes)),
        JSON => Some(decode(Form::Json, bytes)),
        EVIDENCE => Some(alone(media_type, bytes.to_vec())),
        _ if kind_of(media_type).is_some() => Some(alone(media_type, bytes.to_vec())),
        _ => None,
    }
}

/// Writes evidence as a collection.
pub fn encode(form: Form, evidence: &Evidence) -> Vec<u8> {
    let record = |media_type: &str, value: &Vec<u8>, indicator| Record {
        media_type: media_type.to_owned(),
        value: value.clone(),
        indicator: Some(indicator),
    };
    let endorsements = Some(&evidence.endorsements).filter(|endorsements| !endorsements.is_empty());
    let collection = Collection {
        statement: record(statement_type(evidence.kind), &evidence.statement, EVIDENCE_BIT),
        claims: evidence.claims.as_ref().map(|claims| record(CLAIMS, claims, EVIDENCE_BIT)),
        endorsements: endorsements
            .map(|bytes| record(endorsements_type(evidence.kind), bytes, ENDORSEMENTS_BIT)),
    };
    write(form, &Cmw::Collection(collection))
}

/// Writes evidence with claims and endorsements as a record. `None`: there is no form for its kind, or it has no claims.
pub fn encode_record(form: Form, evidence: &Evidence) -> Option<Vec<u8>> {
    let Evidence { kind, statement, claims, endorsements } = evidence;
    let value = container::encode_evidence(*kind, statement, claims.as_ref()?, endorsements);
    // Others are not told from SNP there.
    container::decode_evidence(&value).filter(|decoded| decoded == evidence)?;
    let media_type = EVIDENCE.to_owned();
    let record = Record { media_type, value, indicator: Some(EVIDENCE_BIT) };
    Some(write(form, &Cmw::Record(record)))
}

fn write(form: Form, cmw: &Cmw) -> Vec<u8> {
    match form {
        Form::Cbor => cbor::write(cmw),
        Form::Json => json::write(cmw),
    }
}

fn kind_of(media_type: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| statement_type(*kind) == media_type)
}

/// An indicator that is there says what the media type says.
fn expect(record: &Record, indicator: u64) -> Result<(), NotEvidence> {
    if record.indicator.is_none_or(|found| found == indicator) {
        Ok(())
    } else {
        Err(NotEvidence("an indicator contradicts its media type"))
    }
}

/// Evidence in one piece.
fn alone(media_type: &str, value: Vec<u8>) -> Result<Evidence, NotEvidence> {
    if media_type == EVIDENCE {
        return container::decode_evidence(&value)
            .ok_or(NotEvidence("it is not the array that docs/FORMATS.md 3.3 describes"));
    }
    let kind = kind_of(media_type).ok_or(NotEvidence("its media type is none of evidence"))?;
    of_kind(kind, &value)?;
    Ok(Evidence { kind, statement: value, claims: None, endorsements: Vec::new() })
}

fn collected(collection: Collection) -> Result<Evidence, NotEvidence> {
    let Collection { statement, claims, endorsements } = collection;
    expect(&statement, EVIDENCE_BIT)?;
    let kind = kind_of(&statement.media_type)
        .ok_or(NotEvidence("the media type of its evidence is none of a TEE"))?;
    of_kind(kind, &statement.value)?;
    if let Some(claims) = &claims {
        expect(claims, EVIDENCE_BIT)?;
        if claims.media_type != CLAIMS {
            return Err(NotEvidence("the media type of its claims is another"));
        }
    }
    if let Some(endorsements) = &endorsements {
        expect(endorsements, ENDORSEMENTS_BIT)?;
        if endorsements.media_type != endorsements_type(kind) {
            return Err(NotEvidence("its endorsements are of another kind than its evidence"));
        }
    }
    Ok(Evidence {
        kind,
        statement: statement.value,
        claims: claims.map(|claims| claims.value),
        endorsements: endorsements.map(|endorsements| endorsements.value).unwrap_or_default(),
    })
}

/// A quote is of what it is said to be of.
fn of_kind(kind: Kind, statement: &[u8]) -> Result<(), NotEvidence> {
    let quote = matches!(kind, Kind::Sgx | Kind::Tdx);
    if quote && Kind::of_quote(statement) != Some(kind) {
        return Err(NotEvidence("the quote is of another TEE than its media type says"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
