// SPDX-License-Identifier: Apache-2.0

//! What holds the two tokens together.

use minicbor::data::Tag;
use minicbor::{Decoder, Encoder};

use crate::cose::{self, Malformed, malformed};

/// CBOR tag of the collection (draft-ffm-rats-cca-token-00 and -01; RMM 1.0).
const COLLECTION: u64 = 399;
/// CBOR tag of the same as a collection of CMWs (draft-ffm-rats-cca-token-02 on).
const CMW_COLLECTION: u64 = 907;
/// CoAP content format of `application/eat+cwt`: the type of both CMWs.
const EAT_CWT: u16 = 263;
/// Labels of the platform's and the realm's token.
const PLATFORM: u32 = 44_234;
const REALM: u32 = 44_241;

/// A token, taken apart; nothing is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// The platform's, a COSE_Sign1.
    pub platform: &'a [u8],
    /// The realm's, likewise.
    pub realm: &'a [u8],
}

impl<'a> Token<'a> {
    /// Takes a token apart. There is one encoding for each form and order.
    ///
    /// # Errors
    /// Anything but the two tokens in one of the two forms.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut d = Decoder::new(bytes);
        let tag = d.tag()?.as_u64();
        if tag != COLLECTION && tag != CMW_COLLECTION {
            return malformed(format!("it is CBOR with the tag {tag}, not 399 or 907"));
        }
        let mut found = Vec::with_capacity(2);
        cose::map(&mut d, 2, false, |d| {
            let label = d.u32()?;
            if tag == CMW_COLLECTION {
                let format = d.array()? == Some(2) && d.u16()? == EAT_CWT;
                if !format {
                    return malformed("one of its tokens is no application/eat+cwt");
                }
            }
            found.push((label, d.bytes()?));
            Ok(label)
        })?;
        if encode(tag, &found) != bytes {
            return malformed("it is not in the shortest encoding, or something follows it");
        }
        match found.as_slice() {
            [(PLATFORM, platform), (REALM, realm)] | [(REALM, realm), (PLATFORM, platform)] => {
                Ok(Self { platform, realm })
            }
            _ => malformed("it has not one token of the platform and one of the realm"),
        }
    }
}

fn encode(tag: u64, tokens: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut e = Encoder::new(&mut out);
    // Writing to memory does not fail.
    let _ = e.tag(Tag::new(tag)).and_then(|e| e.map(u64::try_from(tokens.len()).unwrap_or(0)));
    for (label, token) in tokens {
        let _ = e.u32(*label);
        if tag == CMW_COLLECTION {
            let _ = e.array(2).and_then(|e| e.u16(EAT_CWT));
        }
        let _ = e.bytes(token);
    }
    out
}
