// SPDX-License-Identifier: Apache-2.0

//! Access tokens: JWT signed by an asymmetric key of the issuer (RFC 7515, 7519, 9068).
//!
//! The key decides about the algorithm, never the token alone: a key is used only with the algorithm of its own kind. `none`
//! and all symmetric algorithms do not exist here. Keys and URLs in a token's header are not looked at.

use std::collections::BTreeSet;
use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use types::limits;
use types::time::Timestamp;

/// How far the issuer's clock may be ahead of ours, in seconds.
const SKEW_SECONDS: u64 = 60;
/// Most keys taken from an issuer.
const KEYS_MAX: usize = 64;
/// Longest subject and longest key id, in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// Why a token is no good. The texts name no part of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Not a signed token in compact form, or too long.
    Malformed,
    /// Signed by an algorithm that is not taken, or not by that of its key.
    Algorithm,
    /// It does not say by which key it is signed.
    NoKeyId,
    /// The issuer has no such key.
    UnknownKey,
    /// The signature is wrong.
    Signature,
    /// The claims are not those of an access token.
    Claims,
    /// Of another issuer.
    Issuer,
    /// For another audience.
    Audience,
    /// It has ended.
    Expired,
    /// It has not begun.
    Early,
}

impl TokenError {
    /// The stable name of the check.
    pub const fn check(self) -> &'static str {
        match self {
            Self::Malformed => "token.form",
            Self::Algorithm => "token.algorithm",
            Self::NoKeyId => "token.key-id",
            Self::UnknownKey => "token.key",
            Self::Signature => "token.signature",
            Self::Claims => "token.claims",
            Self::Issuer => "token.issuer",
            Self::Audience => "token.audience",
            Self::Expired => "token.expired",
            Self::Early => "token.not-yet-valid",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the bearer token is no signed JWT",
            Self::Algorithm => {
                "the token is signed by an algorithm that is not taken here; RS256, PS256, ES256 and EdDSA are, each with its own kind of key"
            }
            Self::NoKeyId => "the token does not name the key that signed it",
            Self::UnknownKey => "the issuer has no key of the token's key id",
            Self::Signature => "the token's signature is wrong",
            Self::Claims => "the token lacks one of the claims iss, sub, aud, iat, exp, or has one of a wrong type",
            Self::Issuer => "the token is of another issuer than this registry's",
            Self::Audience => "the token is for another audience than this registry",
            Self::Expired => "the token has expired",
            Self::Early => "the token is not valid yet",
        })
    }
}

impl std::error::Error for TokenError {}

/// A person, by a good token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The token's subject.
    pub subject: String,
    /// What the token allows.
    pub scopes: BTreeSet<String>,
}

/// Whom tokens must be of and for.
#[derive(Clone, Debug)]
pub struct Expectations {
    /// The `iss` of every token.
    pub issuer: String,
    /// What `aud` must have in it.
    pub audience: String,
}

#[derive(Debug)]
enum Key {
    Rsa { n: Vec<u8>, e: Vec<u8>, only: Option<Algorithm> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    EdDsa,
}

impl Algorithm {
    fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// The keys of an issuer.
#[derive(Debug, Default)]
pub struct KeySet(Vec<(String, Key)>);

#[derive(Deserialize)]
struct WireSet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct WireKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a JWK set (RFC 7517); keys for other purposes, of other kinds or without an id are left out.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] if this is no JWK set, or one with more than 64 keys.
    pub fn parse(json: &[u8]) -> Result<Self, TokenError> {
        let set: WireSet = serde_json::from_slice(json).map_err(|_| TokenError::Malformed)?;
        if set.keys.len() > KEYS_MAX {
            return Err(TokenError::Malformed);
        }
        let keys =
            set.keys.into_iter().filter_map(|key| read_key(serde_json::from_value(key).ok()?));
        Ok(Self(keys.collect()))
    }

    /// Whether there is a key of this id.
    pub fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|(id, _)| id == kid)
    }
}

fn read_key(wire: WireKey) -> Option<(String, Key)> {
    if wire.usage.is_some_and(|u| u != "sig") {
        return None;
    }
    let bytes = |part: &Option<String>| URL_SAFE_NO_PAD.decode(part.as_ref()?).ok();
    let coordinate = |part: &Option<String>| bytes(part).filter(|b| b.len() == 32);
    // A key for an algorithm that we do not take is no key for us.
    let only = match wire.alg.as_deref() {
        Some(name) => Some(Algorithm::named(name)?),
        None => None,
    };
    let fits = |algorithm| only.is_none_or(|o| o == algorithm);
    let key = match (wire.kty.as_str(), wire.crv.as_deref()) {
        ("RSA", None) if fits(Algorithm::Rs256) || fits(Algorithm::Ps256) => {
            Key::Rsa { n: bytes(&wire.n)?, e: bytes(&wire.e)?, only }
        }
        ("EC", Some("P-256")) if fits(Algorithm::Es256) => {
            Key::P256([vec![4], coordinate(&wire.x)?, coordinate(&wire.y)?].concat())
        }
        ("OKP", Some("Ed25519")) if fits(Algorithm::EdDsa) => Key::Ed25519(coordinate(&wire.x)?),
        _ => return None,
    };
    Some((wire.kid.filter(|k| k.len() <= NAME_BYTES_MAX)?, key))
}

/// A token taken apart, nothing checked.
#[derive(Debug)]
pub struct Unverified<'a> {
    signing_input: &'a [u8],
    payload: Vec<u8>,
    signature: Vec<u8>,
    algorithm: Algorithm,
    /// The id of the key that is said to have signed.
    pub kid: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    iat: u64,
    exp: u64,
    nbf: Option<u64>,
    #[serde(default)]
    scope: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`TokenError::Malformed`], [`TokenError::Algorithm`], [`TokenError::NoKeyId`].
    pub fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > limits::TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
        let known_type = header.typ.as_deref().is_none_or(|typ| {
            ["jwt", "at+jwt", "application/at+jwt"].iter().any(|t| typ.eq_ignore_ascii_case(t))
        });
        if header.crit.is_some() || !known_type {
            return Err(TokenError::Malformed);
        }
        let algorithm = Algorithm::named(&header.alg).ok_or(TokenError::Algorithm)?;
        let kid = header.kid.ok_or(TokenError::NoKeyId)?;
        Ok(Self {
            signing_input: signing_input.as_bytes(),
            payload: decode(payload)?,
            signature: decode(signature)?,
            algorithm,
            kid,
        })
    }

    /// Checks signature and claims.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(
        &self,
        keys: &KeySet,
        expected: &Expectations,
        now: Timestamp,
    ) -> Result<Person, TokenError> {
        let mut candidates = keys.0.iter().filter(|(id, _)| *id == self.kid).peekable();
        if candidates.peek().is_none() {
            return Err(TokenError::UnknownKey);
        }
        let mut outcome = Err(TokenError::Algorithm);
        for (_, key) in candidates {
            match self.check_signature(key) {
                Ok(()) => return self.check_claims(expected, now),
                Err(TokenError::Algorithm) => {}
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    fn check_signature(&self, key: &Key) -> Result<(), TokenError> {
        let (message, signature) = (self.signing_input, self.signature.as_slice());
        let good = match (key, self.algorithm) {
            (Key::Rsa { n, e, only }, algorithm @ (Algorithm::Rs256 | Algorithm::Ps256))
                if only.is_none_or(|o| o == algorithm) =>
            {
                let parameters = if algorithm == Algorithm::Rs256 {
                    &RSA_PKCS1_2048_8192_SHA256
                } else {
                    &RSA_PSS_2048_8192_SHA256
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (Key::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            (Key::Ed25519(point), Algorithm::EdDsa) => {
                UnparsedPublicKey::new(&ED25519, point).verify(message, signature)
            }
            _ => return Err(TokenError::Algorithm),
        };
        good.map_err(|_| TokenError::Signature)
    }

    fn check_claims(&self, expected: &Expectations, now: Timestamp) -> Result<Person, TokenError> {
        let claims: Claims =
            serde_json::from_slice(&self.payload).map_err(|_| TokenError::Claims)?;
        if claims.sub.is_empty() || claims.sub.len() > NAME_BYTES_MAX {
            return Err(TokenError::Claims);
        }
        if claims.iss != expected.issuer {
            return Err(TokenError::Issuer);
        }
        let meant = match &claims.aud {
            Audience::One(one) => *one == expected.audience,
            Audience::Many(many) => many.contains(&expected.audience),
        };
        if !meant {
            return Err(TokenError::Audience);
        }
        if claims.exp <= now.0 {
            return Err(TokenError::Expired);
        }
        let latest = now.plus(SKEW_SECONDS).0;
        if claims.iat > latest || claims.nbf.is_some_and(|nbf| nbf > latest) {
            return Err(TokenError::Early);
        }
        let scopes = claims.scope.split(' ').filter(|s| !s.is_empty()).map(str::to_owned);
        Ok(Person { scopes: scopes.collect(), subject: claims.sub })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use testkit::oidc::{Algorithm as Sign, Claims as Minted, DevIssuer};

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000);

    fn issuer() -> DevIssuer {
        DevIssuer::generate("http://127.0.0.1:1", None, Arc::new(|| NOW)).unwrap()
    }

    fn keys(issuer: &DevIssuer) -> KeySet {
        KeySet::parse(issuer.jwks().to_string().as_bytes()).unwrap()
    }

    fn good(issuer: &DevIssuer) -> Minted {
        issuer.claims("ann", "https://store/", "read:a  manage:b")
    }

    fn judge(issuer: &DevIssuer, token: &str) -> Result<Person, TokenError> {
        let expected =
            Expectations { issuer: "http://127.0.0.1:1".into(), audience: "https://store/".into() };
        Unverified::parse(token)?.verify(&keys(issuer), &expected, NOW)
    }

    #[test]
    fn all_four_algorithms_are_taken() {
        let issuer = issuer();
        for algorithm in Sign::ALL {
            let token = issuer.mint(&good(&issuer), algorithm).unwrap();
            let person = judge(&issuer, &token).unwrap();
            assert_eq!(person.subject, "ann");
            assert_eq!(person.scopes.into_iter().collect::<Vec<_>>(), ["manage:b", "read:a"]);
        }
    }

    #[test]
    fn forged_algorithms_are_refused() {
        let issuer = issuer();
        let claims = good(&issuer);
        let refused = |token: &str| judge(&issuer, token).unwrap_err();
        assert_eq!(refused(&issuer.mint_unsigned(&claims)), TokenError::Algorithm);
        for algorithm in Sign::ALL {
            let token = issuer.mint_confused(&claims, algorithm).unwrap();
            assert_eq!(refused(&token), TokenError::Algorithm);
        }
        // A key of one kind under the name of another.
        for (named, signed) in
            [("RS256", Sign::Es256), ("ES256", Sign::Rs256), ("EdDSA", Sign::Es256)]
        {
            let header = json!({"alg": named, "kid": issuer.kid(signed).unwrap()});
            let token = issuer.mint_with_header(&header, &claims, signed).unwrap();
            assert_eq!(refused(&token), TokenError::Algorithm);
        }
        // PS256 under the name of RS256: the right kind of key, a wrong signature.
        let header = json!({"alg": "RS256", "kid": issuer.kid(Sign::Ps256).unwrap()});
        let token = issuer.mint_with_header(&header, &claims, Sign::Ps256).unwrap();
        assert_eq!(refused(&token), TokenError::Signature);
    }

    #[test]
    fn keys_must_be_named_and_known() {
        let issuer = issuer();
        let claims = good(&issuer);
        let mint = |header| issuer.mint_with_header(&header, &claims, Sign::Es256).unwrap();
        let kid = issuer.kid(Sign::Es256).unwrap();
        let refused = |token: &str| judge(&issuer, token).unwrap_err();
        assert_eq!(refused(&mint(json!({"alg": "ES256"}))), TokenError::NoKeyId);
        assert_eq!(refused(&mint(json!({"alg": "ES256", "kid": "x"}))), TokenError::UnknownKey);
        assert_eq!(
            refused(&mint(json!({"alg": "ES256", "kid": kid, "crit": ["b64"]}))),
            TokenError::Malformed
        );
        assert_eq!(
            refused(&mint(json!({"alg": "ES256", "kid": kid, "typ": "enarx-tag+jwt"}))),
            TokenError::Malformed
        );
        // The key in the header is not looked at.
        let other = DevIssuer::generate("http://127.0.0.1:1", None, Arc::new(|| NOW)).unwrap();
        let header = json!({"alg": "ES256", "kid": kid, "jwk": other.jwks()["keys"][0]});
        let token = other.mint_with_header(&header, &claims, Sign::Es256).unwrap();
        assert_eq!(refused(&token), TokenError::Signature);
        // A key that was taken back.
        let token = issuer.mint(&claims, Sign::Es256).unwrap();
        issuer.rotate().unwrap();
        assert_eq!(judge(&issuer, &token).unwrap_err(), TokenError::UnknownKey);
    }

    #[test]
    fn claims_must_fit() {
        let issuer = issuer();
        let good = good(&issuer);
        let cases = [
            (Minted { issuer: "https://else".into(), ..good.clone() }, TokenError::Issuer),
            (Minted { issuer: "http://127.0.0.1:1/".into(), ..good.clone() }, TokenError::Issuer),
            (Minted { audience: "https://else/".into(), ..good.clone() }, TokenError::Audience),
            (Minted { subject: String::new(), ..good.clone() }, TokenError::Claims),
            (Minted { subject: "x".repeat(1025), ..good.clone() }, TokenError::Claims),
            (Minted { expires_at: NOW, ..good.clone() }, TokenError::Expired),
            (Minted { issued_at: NOW.plus(61), ..good.clone() }, TokenError::Early),
            (Minted { not_before: Some(NOW.plus(61)), ..good.clone() }, TokenError::Early),
        ];
        for (claims, error) in cases {
            let token = issuer.mint(&claims, Sign::EdDsa).unwrap();
            assert_eq!(judge(&issuer, &token).unwrap_err(), error);
        }
        for claims in [
            Minted { expires_at: NOW.plus(1), ..good.clone() },
            Minted { issued_at: NOW.plus(60), not_before: Some(NOW.plus(60)), ..good.clone() },
        ] {
            assert!(judge(&issuer, &issuer.mint(&claims, Sign::EdDsa).unwrap()).is_ok());
        }
    }

    #[test]
    fn every_flipped_character_is_refused() {
        let issuer = issuer();
        let token = issuer.mint(&good(&issuer), Sign::Es256).unwrap();
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bytes).unwrap();
            assert!(judge(&issuer, &bad).is_err(), "{at}");
        }
        for bad in ["", ".", "..", "a.b.c", &format!("{token}."), &format!(".{token}"), &token[1..]]
        {
            assert!(judge(&issuer, bad).is_err());
        }
        assert!(judge(&issuer, &"x".repeat(limits::TOKEN_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn key_sets_are_bounded_and_forgiving() {
        assert!(KeySet::parse(b"{}").is_err());
        let many = json!({"keys": vec![json!({}); KEYS_MAX + 1]});
        assert!(KeySet::parse(many.to_string().as_bytes()).is_err());
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        let set = json!({"keys": [
            {"kty": "oct", "kid": "1", "k": "AAAA"},
            {"kty": "EC", "crv": "P-384", "kid": "2", "x": x, "y": x},
            {"kty": "EC", "crv": "P-256", "kid": "3", "x": x, "y": "AA"},
            {"kty": "EC", "crv": "P-256", "kid": "4", "x": x, "y": x, "use": "enc"},
            {"kty": "EC", "crv": "P-256", "kid": "5", "x": x, "y": x, "alg": "ES512"},
            {"kty": "EC", "crv": "P-256", "x": x, "y": x},
            {"kty": "EC", "crv": "P-256", "kid": "6", "x": x, "y": x, "x5c": ["…"]},
            7,
        ]});
        let keys = KeySet::parse(set.to_string().as_bytes()).unwrap();
        assert!(keys.has("6"));
        assert_eq!(keys.0.len(), 1);
    }
}
