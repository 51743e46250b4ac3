// SPDX-License-Identifier: Apache-2.0

//! Claims: what the report data stand for (docs/FORMATS.md 3.1).

use std::convert::Infallible;
use std::fmt;

use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};
use sha2::{Digest as _, Sha384, Sha512};
use types::digest::Sha256;
use types::limits;
use types::slug::Slug;

use crate::container::Kind;

/// SHA-384 in the registry of RFC 6920.
const SHA_384: u8 = 7;
/// Least and most bytes of a nonce.
pub const NONCE_BYTES: std::ops::RangeInclusive<usize> = 8..=64;

/// What a Keep binds to its report, beside the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// SHA-384 of the DER of the public key's SubjectPublicKeyInfo.
    pub pubkey_hash: [u8; 48],
    /// A nonce of Steward's, 8 to 64 bytes.
    pub nonce: Option<Vec<u8>>,
    /// The workload that the Keep is going to run, and nothing else.
    pub workload: Option<WorkloadClaim>,
}

/// A workload, as the Keep claims it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadClaim {
    /// Digest of its root.
    pub digest: Sha256,
    /// Its name, without digest. Present if and only if `statement` is.
    pub slug: Option<Slug>,
    /// The registry's statement about that name (docs/FORMATS.md 2.3), unchecked.
    pub statement: Option<String>,
}

/// Bytes that are no claims in their one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotClaims(&'static str);

impl fmt::Display for NotClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the claims are malformed: {}", self.0)
    }
}

impl std::error::Error for NotClaims {}

/// What [`Claims::pubkey_hash`] is for this key (DER of the SubjectPublicKeyInfo).
pub fn pubkey_hash_of(spki_der: &[u8]) -> [u8; 48] {
    Sha384::digest(spki_der).into()
}

impl Claims {
    /// Deterministic CBOR (RFC 8949 section 4.2.1).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        // Writing to memory does not fail.
        let _ = self.encode(&mut out);
        out
    }

    /// Keys in the order of their encoding: the shorter first.
    fn encode<W: Write<Error = Infallible>>(
        &self,
        out: W,
    ) -> Result<(), minicbor::encode::Error<Infallible>> {
        let mut e = Encoder::new(out);
        let count = 1 + u64::from(self.nonce.is_some()) + u64::from(self.workload.is_some());
        e.map(count)?;
        if let Some(nonce) = &self.nonce {
            e.str("nonce")?.bytes(nonce)?;
        }
        if let Some(workload) = &self.workload {
            e.str("workload")?;
            let count =
                1 + u64::from(workload.slug.is_some()) + u64::from(workload.statement.is_some());
            e.map(count)?;
            if let Some(slug) = &workload.slug {
                e.str("slug")?.str(&slug.to_string())?;
            }
            e.str("digest")?.bytes(&workload.digest.0)?;
            if let Some(statement) = &workload.statement {
                e.str("statement")?.str(statement)?;
            }
        }
        let mut hash = Vec::new();
        Encoder::new(&mut hash).array(2)?.u8(SHA_384)?.bytes(&self.pubkey_hash)?;
        e.str("pubkey-hash")?.bytes(&hash)?;
        Ok(())
    }

    /// Reads claims: at most [`limits::CLAIMS_BYTES_MAX`] bytes, deterministic, no other keys.
    ///
    /// # Errors
    /// Everything that [`Self::to_bytes`] does not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotClaims> {
        if bytes.len() > limits::CLAIMS_BYTES_MAX {
            return Err(NotClaims("they are larger than any"));
        }
        let claims = Self::decode(bytes)
            .ok()
            .flatten()
            .ok_or(NotClaims("they are not the map that docs/FORMATS.md describes"))?;
        if claims.nonce.as_ref().is_some_and(|n| !NONCE_BYTES.contains(&n.len())) {
            return Err(NotClaims("the nonce has not 8 to 64 bytes"));
        }
        if let Some(workload) = &claims.workload {
            if workload.slug.is_some() != workload.statement.is_some() {
                return Err(NotClaims("a workload's name comes with its registry's statement"));
            }
            if workload.slug.as_ref().is_some_and(|slug| slug.digest.is_some()) {
                return Err(NotClaims("the workload's name carries a digest of its own"));
            }
        }
        if claims.to_bytes() != bytes {
            return Err(NotClaims("they are not in deterministic CBOR"));
        }
        Ok(claims)
    }

    fn decode(bytes: &[u8]) -> Result<Option<Self>, minicbor::decode::Error> {
        let mut d = Decoder::new(bytes);
        let (mut hash, mut nonce, mut workload) = (None, None, None);
        for _ in 0..d.map()?.unwrap_or(0).min(4) {
            match d.str()? {
                "nonce" => nonce = Some(d.bytes()?.to_vec()),
                "workload" => match Self::decode_workload(&mut d)? {
                    Some(decoded) => workload = Some(decoded),
                    None => return Ok(None),
                },
                "pubkey-hash" => {
                    let mut inner = Decoder::new(d.bytes()?);
                    let whole = inner.array()? == Some(2) && inner.u8()? == SHA_384;
                    hash = inner.bytes()?.try_into().ok().filter(|_| whole);
                }
                _ => return Ok(None),
            }
        }
        Ok(hash.map(|pubkey_hash| Self { pubkey_hash, nonce, workload }))
    }

    fn decode_workload(
        d: &mut Decoder<'_>,
    ) -> Result<Option<WorkloadClaim>, minicbor::decode::Error> {
        let (mut digest, mut slug, mut statement) = (None, None, None);
        for _ in 0..d.map()?.unwrap_or(0).min(4) {
            match d.str()? {
                "slug" => match d.str()?.parse() {
                    Ok(parsed) => slug = Some(parsed),
                    Err(_) => return Ok(None),
                },
                "digest" => digest = d.bytes()?.try_into().ok().map(Sha256),
                "statement" => statement = Some(d.str()?.to_owned()),
                _ => return Ok(None),
            }
        }
        Ok(digest.map(|digest| WorkloadClaim { digest, slug, statement }))
    }

    /// What the report must carry: SHA-512 of the bytes.
    pub fn report_data(&self) -> [u8; 64] {
        report_data(&self.to_bytes())
    }
}

/// Report data for claims as they were sent.
pub fn report_data(claims: &[u8]) -> [u8; 64] {
    Sha512::digest(claims).into()
}

/// Report data of evidence without claims, which binds a key and nothing else (docs/FORMATS.md 3.2): SHA-256 of the key's
/// SPKI for SGX, SHA-384 for every other kind; the rest is zero.
pub fn legacy_report_data(kind: Kind, spki_der: &[u8]) -> [u8; 64] {
    let hash = match kind {
        Kind::Sgx => Sha256::of(spki_der).0.to_vec(),
        _ => pubkey_hash_of(spki_der).to_vec(),
    };
    let mut data = [0; 64];
    for (to, from) in data.iter_mut().zip(hash) {
        *to = from;
    }
    data
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claims() -> Claims {
        Claims {
            pubkey_hash: [0xab; 48],
            nonce: Some(vec![1; 8]),
            workload: Some(WorkloadClaim {
                digest: Sha256([2; 32]),
                slug: Some("store.example.com/team/app:1.2.0".parse().unwrap()),
                statement: Some("e30.e30.AA".into()),
            }),
        }
    }

    #[test]
    fn round_trip() {
        let full = claims();
        let mut local = claims();
        local.nonce = None;
        local.workload =
            Some(WorkloadClaim { digest: Sha256([9; 32]), slug: None, statement: None });
        let bare = Claims { pubkey_hash: [0; 48], nonce: None, workload: None };
        for claims in [full, local, bare] {
            assert_eq!(Claims::from_bytes(&claims.to_bytes()), Ok(claims.clone()));
            assert_eq!(claims.report_data(), report_data(&claims.to_bytes()));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let bare = Claims { pubkey_hash: [0x11; 48], nonce: None, workload: None };
        let expected = format!("a16b7075626b65792d68617368{}{}", "583482075830", "11".repeat(48));
        assert_eq!(hex::encode(bare.to_bytes()), expected);
        let report_data = "e1784c91b60bb124d2ba7227d965c472fe93d93e847c0ab2117995c2ac207e34\
                           58c90aa957d16b6a4582ac56d5d96b390711761d0493adc179db493fc097864f";
        assert_eq!(hex::encode(bare.report_data()), report_data);
        let keys: Vec<usize> = ["nonce", "workload", "slug", "digest", "statement", "pubkey-hash"]
            .iter()
            .map(|key| {
                let bytes = claims().to_bytes();
                bytes.windows(key.len()).position(|w| w == key.as_bytes()).unwrap()
            })
            .collect();
        assert!(keys.is_sorted(), "{keys:?}");
    }

    #[test]
    fn refuses_what_it_would_not_write() {
        let good = claims();
        let change = |edit: &dyn Fn(&mut Claims)| {
            let mut claims = good.clone();
            edit(&mut claims);
            Claims::from_bytes(&claims.to_bytes()).unwrap_err()
        };
        change(&|c| c.nonce = Some(vec![0; 7]));
        change(&|c| c.nonce = Some(vec![0; 65]));
        change(&|c| c.workload.as_mut().unwrap().slug = None);
        change(&|c| c.workload.as_mut().unwrap().statement = None);
        change(&|c| {
            let workload = c.workload.as_mut().unwrap();
            workload.slug.as_mut().unwrap().digest = Some(Sha256([0; 32]));
        });
        change(&|c| {
            c.workload.as_mut().unwrap().statement = Some("x".repeat(limits::CLAIMS_BYTES_MAX));
        });
        let bytes = good.to_bytes();
        assert!(Claims::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        assert!(Claims::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(Claims::from_bytes(&[]).is_err());
        // The count of the map in the long form: readable, but not deterministic.
        assert!(Claims::from_bytes(&[&[0xb8, 0x03][..], &bytes[1..]].concat()).is_err());
        // An indefinite map.
        assert!(Claims::from_bytes(&[&[0xbf][..], &bytes[1..], &[0xff]].concat()).is_err());
    }

    #[test]
    fn legacy_data_is_the_hash_and_zeros() {
        let data = legacy_report_data(Kind::Snp, b"key");
        assert_eq!(data[..48], pubkey_hash_of(b"key"));
        assert_eq!(data[48..], [0; 16]);
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_would_be_written(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            noise in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = claims().to_bytes();
            for (at, xor) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= xor;
            }
            for bytes in [bytes, noise] {
                if let Ok(claims) = Claims::from_bytes(&bytes) {
                    prop_assert_eq!(claims.to_bytes(), bytes);
                }
            }
        }
    }
}
