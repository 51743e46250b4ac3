// SPDX-License-Identifier: Apache-2.0

//! Keys of an issuer, as its JWK set has them (RFC 7517), and what they can check.

use aws_lc_rs::signature::{
    self, ED25519, EcdsaVerificationAlgorithm, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::jwt::TokenError;

/// Most keys taken from an issuer.
pub(super) const KEYS_MAX: usize = 64;
/// Longest subject and longest key id, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 1024;

/// The asymmetric algorithms of RFC 7518 section 3.1 and RFC 8037. There are no others here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            // RFC 9864 calls the one curve that is taken by its own name.
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Self::Es256 | Self::Es384 | Self::Es512 | Self::EdDsa => return None,
        })
    }
}

/// A curve with the one algorithm that it is used with, and the length of a coordinate in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    fn named(name: &str) -> Option<Self> {
        match name {
            "P-256" => Some(Self::P256),
            "P-384" => Some(Self::P384),
            "P-521" => Some(Self::P521),
            _ => None,
        }
    }

    const fn algorithm(self) -> Algorithm {
        match self {
            Self::P256 => Algorithm::Es256,
            Self::P384 => Algorithm::Es384,
            Self::P521 => Algorithm::Es512,
        }
    }

    const fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    const fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::P384 => &signature::ECDSA_P384_SHA384_FIXED,
            Self::P521 => &signature::ECDSA_P521_SHA512_FIXED,
        }
    }
}

#[derive(Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ec(Curve, Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A public key, and the one algorithm that its issuer wants it used with, if it says so.
#[derive(Debug)]
pub(super) struct Key {
    material: Material,
    only: Option<Algorithm>,
}

impl Key {
    /// Whether this key can check that algorithm.
    fn takes(&self, algorithm: Algorithm) -> bool {
        let kind = match &self.material {
            Material::Rsa { .. } => algorithm.rsa().is_some(),
            Material::Ec(curve, _) => curve.algorithm() == algorithm,
            Material::Ed25519(_) => algorithm == Algorithm::EdDsa,
        };
        kind && self.only.is_none_or(|only| only == algorithm)
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
        let good = match &self.material {
            Material::Rsa { n, e } => {
                let parameters = algorithm.rsa().ok_or(TokenError::Algorithm)?;
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            Material::Ec(curve, point) => {
                UnparsedPublicKey::new(curve.verification(), point).verify(message, signature)
            }
            Material::Ed25519(point) => {
                UnparsedPublicKey::new(&ED25519, point).verify(message, signature)
            }
        };
        good.map_err(|_| TokenError::Signature)
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
    let bytes = |part: &Option<String>| URL_SAFE_NO_PAD.decode(part.as_ref()?).ok();
    let exactly = |part, length| bytes(part).filter(|b| b.len() == length);
    // A key for an algorithm that we do not take is no key for us.
    let only = match wire.alg.as_deref() {
        Some(name) => Some(Algorithm::named(name)?),
        None => None,
    };
    let material = match (wire.kty.as_str(), wire.crv.as_deref()) {
        ("RSA", None) => Material::Rsa { n: bytes(&wire.n)?, e: bytes(&wire.e)? },
        ("EC", Some(curve)) => {
            let curve = Curve::named(curve)?;
            let length = curve.coordinate_bytes();
            let point = [vec![4], exactly(&wire.x, length)?, exactly(&wire.y, length)?].concat();
            Material::Ec(curve, point)
        }
        ("OKP", Some("Ed25519")) => Material::Ed25519(exactly(&wire.x, 32)?),
        _ => return None,
    };
    let key = Key { material, only };
    // One that says that it is for another kind's algorithm is good for nothing.
    if only.is_some_and(|only| !key.takes(only)) {
        return None;
    }
    Some((wire.kid.filter(|k| k.len() <= NAME_BYTES_MAX)?, key))
}

#[cfg(test)]
mod tests {
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
