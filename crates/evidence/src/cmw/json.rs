// SPDX-License-Identifier: Apache-2.0

//! CMW in JSON. White space and the order of members do not matter; members that are unknown or stand there twice do.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{COLLECTION, Cmw, Collection, NotEvidence, Record};

/// `[type, value, ind]`; the last may be missing.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire {
    Two(String, String),
    Three(String, String, u64),
}

/// Members in the order of their names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCollection {
    #[serde(rename = "__cmwc_t")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claims: Option<Wire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endorsements: Option<Wire>,
    evidence: Wire,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Cmw, NotEvidence> {
    match bytes.trim_ascii_start().first() {
        Some(b'[') => {
            let wire = serde_json::from_slice(bytes)
                .map_err(|_| NotEvidence("it is not a record of two or three members in JSON"))?;
            Ok(Cmw::Record(record(wire)?))
        }
        Some(b'{') => {
            let wire: WireCollection = serde_json::from_slice(bytes).map_err(|_| {
                NotEvidence("it is not the collection that docs/FORMATS.md 3.7 describes")
            })?;
            if wire.kind != COLLECTION {
                return Err(NotEvidence("it is a collection of another type"));
            }
            Ok(Cmw::Collection(Collection {
                statement: record(wire.evidence)?,
                claims: wire.claims.map(record).transpose()?,
                endorsements: wire.endorsements.map(record).transpose()?,
            }))
        }
        _ => Err(NotEvidence("it is neither a record nor a collection in JSON")),
    }
}

fn record(wire: Wire) -> Result<Record, NotEvidence> {
    let (media_type, value, indicator) = match wire {
        Wire::Two(media_type, value) => (media_type, value, None),
        Wire::Three(media_type, value, indicator) => (media_type, value, Some(indicator)),
    };
    let value = URL_SAFE_NO_PAD
        .decode(value)
        .map_err(|_| NotEvidence("a value is not base64url without padding"))?;
    Ok(Record { media_type, value, indicator })
}

fn wire(record: &Record) -> Wire {
    let (media_type, value) = (record.media_type.clone(), URL_SAFE_NO_PAD.encode(&record.value));
    match record.indicator {
        None => Wire::Two(media_type, value),
        Some(indicator) => Wire::Three(media_type, value, indicator),
    }
}

pub(super) fn write(cmw: &Cmw) -> Vec<u8> {
    // Strings and numbers always serialise.
    match cmw {
        Cmw::Record(record) => serde_json::to_vec(&wire(record)),
        Cmw::Collection(Collection { statement, claims, endorsements }) => {
            serde_json::to_vec(&WireCollection {
                kind: COLLECTION.to_owned(),
                claims: claims.as_ref().map(wire),
                endorsements: endorsements.as_ref().map(wire),
                evidence: wire(statement),
            })
        }
    }
    .unwrap_or_default()
}
