// SPDX-License-Identifier: Apache-2.0

//! Access tokens: JWT signed by an asymmetric key of the issuer (RFC 7515, 7519, 9068).
//!
//! The key decides about the algorithm, never the token alone: a key is used only with the algorithm of its own kind. `none`
//! and all symmetric algorithms do not exist here. Keys and URLs in a token's header are not looked at.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use drawbridge_core::jwk::Algorithm;
use serde::de::MapAccess;
use serde::{Deserialize, Deserializer};
use types::limits;
use types::time::Timestamp;

use super::jwk::{KeySet, NAME_BYTES_MAX};

/// How far the issuer's clock may be ahead of ours, in seconds.
const SKEW_SECONDS: u64 = 60;
/// Most audiences of a token.
const AUDIENCES_MAX: usize = 64;

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
    /// The registry has no such token of its own: it never had, or it was revoked.
    Revoked,
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
            Self::Revoked => "token.revoked",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the bearer token is no signed JWT, and no whole token of this registry",
            Self::Algorithm => {
                "the token is signed by an algorithm that is not taken here; RS, PS and ES with 256, 384 and 512 and EdDSA are, each with its own kind of key"
            }
            Self::NoKeyId => "the token does not name the key that signed it",
            Self::UnknownKey => "the issuer has no key of the token's key id",
            Self::Signature => "the token's signature is wrong",
            Self::Claims => "the token lacks one of the claims iss, sub, aud, iat, exp, or has one of a wrong type",
            Self::Issuer => "the token is of another issuer than this registry's",
            Self::Audience => "the token is for another audience than this registry",
            Self::Expired => "the token has expired",
            Self::Early => "the token is not valid yet",
            Self::Revoked => "the registry knows no such token; it was revoked, or never was",
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

/// What a good token of whatever issuer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Who issued it.
    pub issuer: String,
    /// Whom it stands for.
    pub subject: String,
    /// For whom it is.
    pub audiences: Vec<String>,
    /// What it allows.
    pub scopes: BTreeSet<String>,
    /// All of its claims.
    pub claims: serde_json::Map<String, serde_json::Value>,
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

/// A JSON object in which no name is there twice: readers would not agree which of the two counts (RFC 7515 section 4, RFC 7519
/// section 4).
struct Once(serde_json::Map<String, serde_json::Value>);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Once;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with each name once")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Once, A::Error> {
                let mut map = serde_json::Map::new();
                while let Some((name, value)) = access.next_entry()? {
                    if map.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("a name is there twice"));
                    }
                }
                Ok(Once(map))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
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
        let header = decode(header)?;
        let Once(_) = serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
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

    /// Who is said to have issued it.
    ///
    /// # Errors
    /// [`TokenError::Claims`].
    pub fn issuer(&self) -> Result<String, TokenError> {
        #[derive(Deserialize)]
        struct Issuer {
            iss: String,
        }
        let issuer: Issuer =
            serde_json::from_slice(&self.payload).map_err(|_| TokenError::Claims)?;
        Ok(issuer.iss)
    }

    /// Checks signature and claims. Without an audience, whoever asks must judge that of the token.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(
        &self,
        keys: &KeySet,
        issuer: &str,
        audience: Option<&str>,
        now: Timestamp,
    ) -> Result<Verified, TokenError> {
        let mut outcome = Err(TokenError::UnknownKey);
        for key in keys.with(&self.kid) {
            match key.verify(self.algorithm, self.signing_input, &self.signature) {
                Ok(()) => return self.check_claims(issuer, audience, now),
                // That it is wrong for one key says more than that another is of another kind.
                Err(TokenError::Algorithm) if outcome == Err(TokenError::Signature) => {}
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    fn check_claims(
        &self,
        issuer: &str,
        audience: Option<&str>,
        now: Timestamp,
    ) -> Result<Verified, TokenError> {
        let wrong = |_| TokenError::Claims;
        let claims: Claims = serde_json::from_slice(&self.payload).map_err(wrong)?;
        let Once(all) = serde_json::from_slice(&self.payload).map_err(wrong)?;
        if claims.sub.is_empty() || claims.sub.len() > NAME_BYTES_MAX {
            return Err(TokenError::Claims);
        }
        if claims.iss != issuer {
            return Err(TokenError::Issuer);
        }
        let audiences = match claims.aud {
            Audience::One(one) => vec![one],
            Audience::Many(many) => many,
        };
        if audiences.len() > AUDIENCES_MAX {
            return Err(TokenError::Claims);
        }
        if audience.is_some_and(|wanted| !audiences.iter().any(|one| one == wanted)) {
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
        let (issuer, subject) = (claims.iss, claims.sub);
        Ok(Verified { issuer, subject, audiences, scopes: scopes.collect(), claims: all })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
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

    fn judge(issuer: &DevIssuer, token: &str) -> Result<Verified, TokenError> {
        let (iss, aud) = ("http://127.0.0.1:1", Some("https://store/"));
        Unverified::parse(token)?.verify(&keys(issuer), iss, aud, NOW)
    }

    #[test]
    fn all_asymmetric_algorithms_are_taken() {
        let issuer = issuer();
        for algorithm in Sign::ALL {
            let token = issuer.mint(&good(&issuer), algorithm).unwrap();
            let person = judge(&issuer, &token).unwrap();
            assert_eq!(person.subject, "ann");
            assert_eq!(person.claims["aud"], "https://store/");
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
        // The right kind of key with another curve's or padding's name.
        let header = json!({"alg": "ES384", "kid": issuer.kid(Sign::Es256).unwrap()});
        let token = issuer.mint_with_header(&header, &claims, Sign::Es256).unwrap();
        assert_eq!(refused(&token), TokenError::Algorithm);
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

    fn more(name: &str, value: serde_json::Value) -> BTreeMap<String, serde_json::Value> {
        BTreeMap::from([(name.to_owned(), value)])
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
            (Minted { more: more("aud", json!(["a", "b"])), ..good.clone() }, TokenError::Audience),
            (Minted { more: more("aud", json!([])), ..good.clone() }, TokenError::Audience),
            (
                Minted { more: more("aud", json!(vec!["x"; 65])), ..good.clone() },
                TokenError::Claims,
            ),
            (Minted { more: more("exp", json!("never")), ..good.clone() }, TokenError::Claims),
            (Minted { more: more("iat", json!(-1)), ..good.clone() }, TokenError::Claims),
            (Minted { more: more("sub", json!(null)), ..good.clone() }, TokenError::Claims),
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
            Minted { more: more("aud", json!(["x", "https://store/"])), ..good.clone() },
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
}
