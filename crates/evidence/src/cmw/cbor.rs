// SPDX-License-Identifier: Apache-2.0

//! CMW in deterministic CBOR (RFC 8949 section 4.2.1): what is read is what would be written.

use std::convert::Infallible;

use minicbor::{Decoder, Encoder};

use super::{COLLECTION, Cmw, Collection, NotEvidence, Record};

type Failed = minicbor::decode::Error;

pub(super) fn parse(bytes: &[u8]) -> Result<Cmw, NotEvidence> {
    let mut decoder = Decoder::new(bytes);
    let cmw = match decoder.datatype() {
        Ok(minicbor::data::Type::Array) => record(&mut decoder).ok().flatten().map(Cmw::Record),
        Ok(minicbor::data::Type::Map) => {
            collection(&mut decoder).ok().flatten().map(Cmw::Collection)
        }
        _ => return Err(NotEvidence("it is neither a record nor a collection in CBOR")),
    };
    let cmw = cmw.ok_or(NotEvidence(
        "it is not the record or collection that docs/FORMATS.md 3.7 describes",
    ))?;
    if write(&cmw) != bytes {
        return Err(NotEvidence("it is not in deterministic CBOR"));
    }
    Ok(cmw)
}

fn record(d: &mut Decoder<'_>) -> Result<Option<Record>, Failed> {
    let count = d.array()?;
    if !matches!(count, Some(2 | 3)) {
        return Ok(None);
    }
    let (media_type, value) = (d.str()?.to_owned(), d.bytes()?.to_vec());
    let indicator = if count == Some(3) { Some(d.u64()?) } else { None };
    Ok(Some(Record { media_type, value, indicator }))
}

fn collection(d: &mut Decoder<'_>) -> Result<Option<Collection>, Failed> {
    let (mut typed, mut statement, mut claims, mut endorsements) = (false, None, None, None);
    for _ in 0..d.map()?.unwrap_or(0).min(5) {
        match d.str()? {
            "__cmwc_t" => typed = d.str()? == COLLECTION,
            "evidence" => statement = record(d)?,
            "claims" => claims = record(d)?,
            "endorsements" => endorsements = record(d)?,
            _ => return Ok(None),
        }
    }
    Ok(statement.filter(|_| typed).map(|statement| Collection { statement, claims, endorsements }))
}

pub(super) fn write(cmw: &Cmw) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out);
    // Writing to memory does not fail.
    let _ = match cmw {
        Cmw::Record(record) => write_record(&mut encoder, record),
        Cmw::Collection(collection) => write_collection(&mut encoder, collection),
    };
    out
}

type Written = Result<(), minicbor::encode::Error<Infallible>>;

fn write_record(e: &mut Encoder<&mut Vec<u8>>, record: &Record) -> Written {
    e.array(2 + u64::from(record.indicator.is_some()))?;
    e.str(&record.media_type)?.bytes(&record.value)?;
    if let Some(indicator) = record.indicator {
        e.u64(indicator)?;
    }
    Ok(())
}

/// Labels in the order of their encoding: the shorter first.
fn write_collection(e: &mut Encoder<&mut Vec<u8>>, collection: &Collection) -> Written {
    let Collection { statement, claims, endorsements } = collection;
    e.map(2 + u64::from(claims.is_some()) + u64::from(endorsements.is_some()))?;
    if let Some(claims) = claims {
        write_record(e.str("claims")?, claims)?;
    }
    e.str("__cmwc_t")?.str(COLLECTION)?;
    write_record(e.str("evidence")?, statement)?;
    if let Some(endorsements) = endorsements {
        write_record(e.str("endorsements")?, endorsements)?;
    }
    Ok(())
}
