// SPDX-License-Identifier: Apache-2.0

//! What the realm's token claims.

use minicbor::Decoder;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use types::limits::{CCA_CLAIMS_MAX, CCA_KEY_BYTES_MAX};

use super::key;
use crate::cose::{self, Label, Malformed, malformed};

/// The profile of realm tokens that name one. Those before name none.
const PROFILE_2023: &str = "tag:arm.com,2023:realm#1.0.0";

/// Labels of claims.
const CHALLENGE: i64 = 10;
const PROFILE: i64 = 265;
const PERSONALIZATION: i64 = 44_235;
const HASH_ALGORITHM: i64 = 44_236;
const PUBLIC_KEY: i64 = 44_237;
const INITIAL: i64 = 44_238;
const EXTENSIBLE: i64 = 44_239;
const KEY_HASH_ALGORITHM: i64 = 44_240;

/// Extensible measurements of a realm.
const EXTENSIBLE_COUNT: usize = 4;

/// A hash algorithm by its name (IANA Named Information).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// `sha-256`
    Sha256,
    /// `sha-384`
    Sha384,
    /// `sha-512`
    Sha512,
}

impl HashAlgorithm {
    pub(super) fn read(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        match d.str()? {
            "sha-256" => Ok(Self::Sha256),
            "sha-384" => Ok(Self::Sha384),
            "sha-512" => Ok(Self::Sha512),
            other => {
                let other = other.escape_debug();
                malformed(format!("a hash algorithm is unknown: \"{other}\""))
            }
        }
    }

    /// The hash of `bytes`.
    pub fn of(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// The claims of a realm's token. Those that are not known are passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmClaims<'a> {
    /// 64 bytes that the realm had signed.
    pub challenge: [u8; 64],
    /// What whoever made the realm calls it.
    pub personalization: [u8; 64],
    /// What the realm was at its beginning; 32, 48 or 64 bytes.
    pub initial: &'a [u8],
    /// What it added since, four times as many bytes.
    pub extensible: [&'a [u8]; EXTENSIBLE_COUNT],
    /// The key that signs, as it is hashed.
    pub public_key: &'a [u8],
    /// The key's uncompressed point.
    pub point: Vec<u8>,
    /// How the platform hashes it.
    pub key_hash: HashAlgorithm,
}

#[derive(Default)]
struct Fields<'a> {
    profile: Option<&'a str>,
    challenge: Option<&'a [u8]>,
    personalization: Option<&'a [u8]>,
    hash_algorithm: Option<HashAlgorithm>,
    public_key: Option<&'a [u8]>,
    initial: Option<&'a [u8]>,
    extensible: Option<Vec<&'a [u8]>>,
    key_hash: Option<HashAlgorithm>,
}

impl<'a> RealmClaims<'a> {
    /// Reads the payload of a realm's token.
    ///
    /// # Errors
    /// Anything that is not as the specification has it; a profile that is not known.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut d = Decoder::new(payload);
        let mut fields = Fields::default();
        cose::map(&mut d, CCA_CLAIMS_MAX, false, |d| fields.entry(d))?;
        cose::finish(&d)?;
        let public_key = required(fields.public_key, "public key")?;
        let point = match fields.profile {
            None => key::of_point(public_key),
            Some(PROFILE_2023) => key::of_cose_key(public_key),
            Some(other) => {
                let other = other.escape_debug();
                return malformed(format!("its realm's profile is unknown: \"{other}\""));
            }
        };
        let point = point.ok_or_else(|| {
            Malformed("its realm's key is none, or not written as its profile has it".to_owned())
        })?;
        let initial = required(fields.initial, "initial measurement")?;
        let extensible = required(fields.extensible, "extensible measurements")?;
        // Implementations pad measurements to 64 bytes; none cuts them.
        let hash = required(fields.hash_algorithm, "hash algorithm")?;
        let same = extensible.iter().all(|value| value.len() == initial.len());
        if !same || initial.len() < hash.bytes() {
            return malformed("its realm's measurements are not of the hash algorithm's length");
        }
        let long = |field: Option<&[u8]>, name| {
            let bytes = required(field, name)?;
            bytes.try_into().map_err(|_| Malformed(format!("its realm's {name} has not 64 bytes")))
        };
        Ok(Self {
            challenge: long(fields.challenge, "challenge")?,
            personalization: long(fields.personalization, "personalization value")?,
            initial,
            extensible: extensible
                .try_into()
                .map_err(|_| Malformed("it has not four extensible measurements".to_owned()))?,
            public_key,
            point,
            key_hash: required(fields.key_hash, "hash algorithm of its key")?,
        })
    }
}

fn required<T>(field: Option<T>, name: &str) -> Result<T, Malformed> {
    field.ok_or_else(|| Malformed(format!("its realm's token has no {name}")))
}

impl<'a> Fields<'a> {
    fn entry(&mut self, d: &mut Decoder<'a>) -> Result<Label<'a>, Malformed> {
        let label = cose::label(d)?;
        match label {
            Label::Number(PROFILE) => self.profile = Some(d.str()?),
            Label::Number(CHALLENGE) => self.challenge = Some(d.bytes()?),
            Label::Number(PERSONALIZATION) => self.personalization = Some(d.bytes()?),
            Label::Number(HASH_ALGORITHM) => self.hash_algorithm = Some(HashAlgorithm::read(d)?),
            Label::Number(PUBLIC_KEY) => {
                self.public_key = Some(cose::bytes(d, 1..=CCA_KEY_BYTES_MAX)?);
            }
            Label::Number(INITIAL) => self.initial = Some(cose::hash(d)?),
            Label::Number(EXTENSIBLE) => {
                let lengths = EXTENSIBLE_COUNT..=EXTENSIBLE_COUNT;
                self.extensible = Some(cose::array(d, lengths, cose::hash)?);
            }
            Label::Number(KEY_HASH_ALGORITHM) => self.key_hash = Some(HashAlgorithm::read(d)?),
            _ => d.skip()?,
        }
        Ok(label)
    }
}
