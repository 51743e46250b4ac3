// SPDX-License-Identifier: Apache-2.0

//! Keys of an issuer, as its JWK set has them (RFC 7517), and what they can check.

use drawbridge_core::jwk::{Algorithm, Jwk, PublicKey};
use serde::Deserialize;

use super::jwt::TokenError;

/// Most keys taken from an issuer.
pub(super) const KEYS_MAX: usize = 64;
/// Longest subject and longest key id, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 1024;

/// A public key, and the one algorithm that its issuer wants it used with, if it says so.
#[derive(Debug)]
pub(super) struct Key {
    key: PublicKey,
    only: Option<Algorithm>,
}

impl Key {
    /// Whether this key can check that algorithm.
    fn takes(&self, algorithm: Algorithm) -> bool {
        self.key.takes(algorithm) && self.only.is_none_or(|only| only == algorithm)
    }

    /// Checks a signature that claims to be by this algorithm.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), TokenError> {
        if !self.takes(algorithm) {
            return Err(TokenError::Algorithm);
        }
        match verify::jws::is_good(&self.key, algorithm, message, signature) {
            true => Ok(()),
            false => Err(TokenError::Signature),
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
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    #[serde(flatten)]
    jwk: Jwk,
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
        self.with(kid).next().is_some()
    }

    pub(super) fn with<'a>(&'a self, kid: &'a str) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(move |(id, _)| id == kid).map(|(_, key)| key)
    }
}

fn read_key(wire: WireKey) -> Option<(String, Key)> {
    if wire.usage.is_some_and(|u| u != "sig") {
        return None;
    }
    // A key for an algorithm that we do not take is no key for us.
    let only = match wire.alg.as_deref() {
        Some(name) => Some(Algorithm::named(name)?),
        None => None,
    };
    let key = Key { key: PublicKey::from_jwk(&wire.jwk)?, only };
    // One that says that it is for another kind's algorithm is good for nothing.
    if only.is_some_and(|only| !key.takes(only)) {
        return None;
    }
    Some((wire.kid.filter(|k| k.len() <= NAME_BYTES_MAX)?, key))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

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
            {"kty": "EC", "crv": "P-256", "kid": "5", "x": x, "y": x, "alg": "ES384"},
            {"kty": "EC", "crv": "P-256", "kid": "5", "x": x, "y": x, "alg": "RS256"},
            {"kty": "EC", "crv": "secp256k1", "kid": "5", "x": x, "y": x},
            {"kty": "OKP", "crv": "Ed448", "kid": "5", "x": x},
            {"kty": "RSA", "kid": "5", "n": x, "e": "AQAB", "alg": "HS256"},
            {"kty": "RSA", "kid": "5", "n": x, "e": "AQAB", "alg": "ES256"},
            {"kty": "EC", "crv": "P-256", "x": x, "y": x},
            {"kty": "EC", "crv": "P-256", "kid": "6", "x": x, "y": x, "x5c": ["…"]},
            7,
        ]});
        let keys = KeySet::parse(set.to_string().as_bytes()).unwrap();
        assert!(keys.has("6"));
        assert_eq!(keys.0.len(), 1);
    }
}
