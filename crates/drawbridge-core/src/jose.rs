// SPDX-License-Identifier: Apache-2.0

//! Tags that are signed by their author: a JWS in JSON (RFC 7515 section 7.2, general or flattened) whose payload is the
//! tag's entry (docs/FORMATS.md 2.14).
//!
//! What is signed is the entry alone, of whatever tag: such a signature says who made the content, and not what it is called.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use types::limits;
use types::time::Timestamp;

use crate::entry::TagRecord;
use crate::keys::OwnerKey;
use crate::signature::{Check, Refused, by_key, still_counts};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    payload: String,
    /// General form.
    signatures: Option<Vec<One>>,
    /// Flattened form.
    protected: Option<String>,
    header: Option<Unprotected>,
    signature: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    protected: String,
    header: Option<Unprotected>,
    signature: String,
}

/// Nothing in it is believed but which key to try.
#[derive(Deserialize)]
struct Unprotected {
    kid: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Protected {
    alg: String,
    kid: Option<String>,
    #[serde(rename = "typ")]
    _typ: Option<String>,
    #[serde(rename = "cty")]
    _cty: Option<String>,
}

/// A signed tag, taken apart; no signature is checked.
pub struct Jose {
    wire: Wire,
    /// What the tag stands for.
    pub tag: TagRecord,
}

impl std::fmt::Debug for Jose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jose").field("tag", &self.tag).finish_non_exhaustive()
    }
}

impl Jose {
    /// Reads a signed tag, bounded; what is no entry in its one form is none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > limits::JOSE_BYTES_MAX {
            return Err("a signed tag is larger than 16 KiB".to_owned());
        }
        let wire: Wire = serde_json::from_slice(bytes)
            .map_err(|error| format!("a signed tag is a JWS in JSON: {error}"))?;
        let payload = URL_SAFE_NO_PAD.decode(&wire.payload);
        let payload = payload.map_err(|_| "the payload is not base64url".to_owned())?;
        let tag = TagRecord::from_bytes(&payload).map_err(|error| error.to_string())?;
        Ok(Self { wire, tag })
    }

    /// Whether all of its signatures, of which there is at least one, are by keys of these that count now.
    ///
    /// # Errors
    /// What is wrong with the first that does not.
    pub fn judge(
        &self,
        keys: &[OwnerKey],
        now: Timestamp,
        check: Check<'_>,
    ) -> Result<(), Refused> {
        let wire = &self.wire;
        let all: Vec<(&str, Option<&Unprotected>, &str)> =
            match (&wire.signatures, &wire.protected, &wire.signature) {
                (Some(all), None, None) if wire.header.is_none() => all
                    .iter()
                    .map(|one| {
                        (one.protected.as_str(), one.header.as_ref(), one.signature.as_str())
                    })
                    .collect(),
                (None, Some(protected), Some(signature)) => {
                    vec![(protected, wire.header.as_ref(), signature)]
                }
                _ => return Err(Refused::Form),
            };
        if all.is_empty() || all.len() > limits::SIGNATURES_MAX {
            return Err(Refused::Form);
        }
        for (protected, unprotected, signature) in all {
            let decode = |text| URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused::Form);
            // Also what is critical is unknown here, and refused.
            let header: Protected =
                serde_json::from_slice(&decode(protected)?).map_err(|_| Refused::Form)?;
            let kid = header.kid.as_ref().or(unprotected.and_then(|header| header.kid.as_ref()));
            let kid = kid.ok_or(Refused::UnknownKey)?;
            let message = format!("{protected}.{}", wire.payload);
            let signature = decode(signature)?;
            let key = by_key((kid, &header.alg), (message.as_bytes(), &signature), keys, check)?;
            still_counts(key, now)?;
        }
        Ok(())
    }
}
