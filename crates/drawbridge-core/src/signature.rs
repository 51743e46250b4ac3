// SPDX-License-Identifier: Apache-2.0

//! Owners' signatures on versions (docs/FORMATS.md 2.14): a tag statement, said by a key of the owner and not of the registry.
//!
//! Everything about a signature but the arithmetic is decided here; whoever calls brings that ([`Check`]).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use types::digest::Sha256;
use types::limits;
use types::time::Timestamp;

use crate::jwk::{Algorithm, PublicKey};
use crate::keys::OwnerKey;
use crate::statement::{Header, Read, Statement};

/// Tells owners' signatures from registries' statements, whose payload is the same.
const TYP: &str = "enarx-tag-signature+jwt";
/// How far the signer's clock may be ahead, in seconds.
const SKEW_SECONDS: u64 = 300;

/// Whether a signature of this key and algorithm on a message is good.
pub type Check<'a> = &'a dyn Fn(&PublicKey, Algorithm, &[u8], &[u8]) -> bool;

/// What a signature must be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About<'a> {
    /// Public host of the registry.
    pub host: &'a str,
    /// Owner.
    pub user: &'a str,
    /// Repository.
    pub repo: &'a str,
    /// Version.
    pub tag: &'a str,
    /// What the version stands for.
    pub digest: Sha256,
}

/// A signature that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Thumbprint of the key.
    pub kid: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was made, by the signer's clock, in seconds since 1970.
    pub iat: u64,
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum Refused {
    Form,
    Algorithm,
    UnknownKey,
    Bad,
    Host,
    Repo,
    Tag,
    Digest,
    Future,
    Revoked,
    Expired,
}

impl Refused {
    /// The stable name of the check.
    pub const fn check(&self) -> &'static str {
        match self {
            Self::Form => "signature.form",
            Self::Algorithm => "signature.algorithm",
            Self::UnknownKey => "signature.key",
            Self::Bad => "signature.value",
            Self::Host => "signature.host",
            Self::Repo => "signature.repo",
            Self::Tag => "signature.tag",
            Self::Digest => "signature.digest",
            Self::Future => "signature.future",
            Self::Revoked => "signature.key-revoked",
            Self::Expired => "signature.key-expired",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => {
                "the signature is no JWS in compact form with exactly alg, kid, typ enarx-tag-signature+jwt and digest, host, iat, repo, tag, user"
            }
            Self::Algorithm => "the signature is not by an algorithm of its key",
            Self::UnknownKey => "the signature's key is none of the owner's",
            Self::Bad => "the signature does not match what it signs",
            Self::Host => "the signature is for another registry",
            Self::Repo => "the signature is for another repository",
            Self::Tag => "the signature is for another version",
            Self::Digest => "the signature is for other content than the version stands for",
            Self::Future => "the signature says that it was made in the future",
            Self::Revoked => "the signature's key is revoked",
            Self::Expired => "the signature's key has expired",
        })
    }
}

impl std::error::Error for Refused {}

/// What an owner's key signs, by this algorithm.
pub fn signing_input(statement: &Statement, kid: &str, algorithm: Algorithm) -> String {
    statement.input(&Header {
        alg: algorithm.name().to_owned(),
        kid: kid.to_owned(),
        typ: TYP.to_owned(),
    })
}

/// Puts a signature (for ES algorithms raw r and s) to what was signed.
pub fn assemble(signing_input: &str, signature: &[u8]) -> String {
    format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Whether a signature counts: by one of the owner's keys, about just this, by now.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn judge(
    jws: &str,
    about: &About<'_>,
    keys: &[OwnerKey],
    now: Timestamp,
    check: Check<'_>,
) -> Result<Signed, Refused> {
    let read = Read::parse(jws, TYP, limits::SIGNATURE_BYTES_MAX).map_err(|_| Refused::Form)?;
    let key = by_key(
        (&read.header.kid, &read.header.alg),
        (read.signing_input.as_bytes(), &read.signature),
        keys,
        check,
    )?;
    let Statement { digest, host, iat, repo, tag, user } = read.statement;
    let kind = match () {
        () if host != about.host => Some(Refused::Host),
        () if user != about.user || repo != about.repo => Some(Refused::Repo),
        () if tag != about.tag => Some(Refused::Tag),
        () if digest != about.digest => Some(Refused::Digest),
        () if iat > now.plus(SKEW_SECONDS).0 => Some(Refused::Future),
        () => None,
    };
    if let Some(refused) = kind {
        return Err(refused);
    }
    still_counts(key, now)?;
    Ok(Signed { kid: key.kid.clone(), name: key.name.clone(), iat })
}

/// The key that made a signature, of those that are given, whether it counts now or not.
pub(crate) fn by_key<'k>(
    (kid, alg): (&str, &str),
    (message, signature): (&[u8], &[u8]),
    keys: &'k [OwnerKey],
    check: Check<'_>,
) -> Result<&'k OwnerKey, Refused> {
    let algorithm = Algorithm::named(alg).filter(|found| found.name() == alg);
    let algorithm = algorithm.ok_or(Refused::Algorithm)?;
    let key = keys.iter().find(|key| key.kid == kid).ok_or(Refused::UnknownKey)?;
    let public = key.public().map_err(|_| Refused::UnknownKey)?;
    if !key.takes(&public, algorithm) {
        return Err(Refused::Algorithm);
    }
    if check(&public, algorithm, message, signature) { Ok(key) } else { Err(Refused::Bad) }
}

/// Whether what a key signed counts now.
pub(crate) fn still_counts(key: &OwnerKey, now: Timestamp) -> Result<(), Refused> {
    if key.revoked {
        return Err(Refused::Revoked);
    }
    match key.not_after {
        Some(end) if end < now.0 => Err(Refused::Expired),
        _ => Ok(()),
    }
}

/// The key that a signature names, for messages; not checked.
pub fn claimed_kid(jws: &str) -> Option<String> {
    Some(Read::parse(jws, TYP, limits::SIGNATURE_BYTES_MAX).ok()?.header.kid)
}

/// The digest that a signature is about; not checked.
pub fn claimed_digest(jws: &str) -> Option<Sha256> {
    Some(Read::parse(jws, TYP, limits::SIGNATURE_BYTES_MAX).ok()?.statement.digest)
}

/// What a registry says of a version's signatures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignaturesDocument {
    /// In the order in which they came.
    pub signatures: Vec<SignatureInfo>,
}

/// What a registry says of a signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureInfo {
    /// The signature, with what it says.
    pub jws: String,
    /// Thumbprint of the key that it names.
    pub kid: String,
    /// What the owner calls the key, if the signature counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When it came, in seconds since 1970.
    pub added_at: u64,
    /// Why it does not count, by the name of the check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jose::Jose;
    use crate::jwk::Curve;

    fn keys() -> [OwnerKey; 1] {
        let key = PublicKey::Ec(Curve::P256, [&[4][..], &[7; 64]].concat());
        [OwnerKey::new(&key, "laptop", None)]
    }

    fn about() -> About<'static> {
        let (host, user, repo, tag) = ("store.example.com", "team", "app", "1.2.0");
        About { host, user, repo, tag, digest: Sha256([0x11; 32]) }
    }

    fn signed() -> String {
        let statement = Statement {
            digest: Sha256([0x11; 32]),
            host: "store.example.com".into(),
            iat: 7,
            repo: "app".into(),
            tag: "1.2.0".into(),
            user: "team".into(),
        };
        assemble(&signing_input(&statement, &keys()[0].kid, Algorithm::Es256), b"good")
    }

    #[test]
    fn a_signature_counts_only_if_the_arithmetic_says_so() {
        let judge = |check: Check<'_>| judge(&signed(), &about(), &keys(), Timestamp(7), check);
        let seen = |_: &PublicKey, algorithm: Algorithm, message: &[u8], signature: &[u8]| {
            let whole = signed();
            let (input, _) = whole.rsplit_once('.').unwrap();
            algorithm == Algorithm::Es256 && message == input.as_bytes() && signature == b"good"
        };
        assert_eq!(judge(&seen).unwrap().kid, keys()[0].kid);
        assert_eq!(judge(&|_, _, _, _| false), Err(Refused::Bad));
        assert_eq!(claimed_kid(&signed()).as_ref(), Some(&keys()[0].kid));
        assert_eq!(claimed_digest(&signed()), Some(Sha256([0x11; 32])));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,300}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(judge(&text, &about(), &keys(), Timestamp(7), &|_, _, _, _| true).is_err());
            prop_assert!(Jose::parse(&bytes).is_err());
            let _ = PublicKey::from_spki(&bytes);
            let _ = PublicKey::from_rsa_der(&bytes);
        }

        /// Even if every signature were good: of what is signed no character may be another.
        #[test]
        fn only_one_text_says_it(at in any::<usize>(), byte in any::<u8>()) {
            let good = signed();
            let mut bytes = good.clone().into_bytes();
            let end = good.rfind('.').unwrap();
            bytes[at % end] = byte;
            let other = String::from_utf8(bytes).unwrap_or_default();
            let judged = judge(&other, &about(), &keys(), Timestamp(7), &|_, _, message, _| {
                message == &good.as_bytes()[..end]
            });
            prop_assert_eq!(judged.is_ok(), other == good);
        }
    }
}
