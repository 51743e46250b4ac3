// SPDX-License-Identifier: Apache-2.0

//! The issuer's keys. Those that take long to make are made when first used.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::Decode as _;
use der::asn1::Uint;
use serde_json::{Value, json};

use super::{OidcError, random};

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA PKCS#1 1.5 with SHA-256.
    Rs256,
    /// RSA PSS with SHA-256.
    Ps256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Es256, Self::Rs256, Self::Ps256, Self::EdDsa];

    /// Its name in a header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

struct Named<K> {
    kid: String,
    key: K,
}

pub(crate) struct Keys {
    ec: Named<EcdsaKeyPair>,
    ed: Named<Ed25519KeyPair>,
    rsa: Option<Named<RsaKeyPair>>,
}

impl Keys {
    pub(crate) fn generate() -> Result<Self, OidcError> {
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Ok(Self {
            ec: named(ec.map_err(|_| OidcError::Crypto)?)?,
            ed: named(Ed25519KeyPair::generate().map_err(|_| OidcError::Crypto)?)?,
            rsa: None,
        })
    }

    fn rsa(&mut self) -> Result<&Named<RsaKeyPair>, OidcError> {
        let rsa = match self.rsa.take() {
            Some(rsa) => rsa,
            None => named(RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| OidcError::Crypto)?)?,
        };
        Ok(self.rsa.insert(rsa))
    }

    pub(crate) fn kid(&mut self, algorithm: Algorithm) -> Result<String, OidcError> {
        Ok(match algorithm {
            Algorithm::Es256 => self.ec.kid.clone(),
            Algorithm::EdDsa => self.ed.kid.clone(),
            Algorithm::Rs256 | Algorithm::Ps256 => self.rsa()?.kid.clone(),
        })
    }

    /// The bytes of the public key.
    pub(crate) fn public(&mut self, algorithm: Algorithm) -> Result<Vec<u8>, OidcError> {
        Ok(match algorithm {
            Algorithm::Es256 => self.ec.key.public_key().as_ref().to_vec(),
            Algorithm::EdDsa => self.ed.key.public_key().as_ref().to_vec(),
            Algorithm::Rs256 | Algorithm::Ps256 => self.rsa()?.key.public_key().as_ref().to_vec(),
        })
    }

    pub(crate) fn sign(
        &mut self,
        algorithm: Algorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, OidcError> {
        let random = SystemRandom::new();
        let encoding = match algorithm {
            Algorithm::Es256 => {
                let signature = self.ec.key.sign(&random, message);
                return Ok(signature.map_err(|_| OidcError::Crypto)?.as_ref().to_vec());
            }
            Algorithm::EdDsa => return Ok(self.ed.key.sign(message).as_ref().to_vec()),
            Algorithm::Rs256 => &RSA_PKCS1_SHA256,
            Algorithm::Ps256 => &RSA_PSS_SHA256,
        };
        let key = &self.rsa()?.key;
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(encoding, &random, message, &mut signature).map_err(|_| OidcError::Crypto)?;
        Ok(signature)
    }

    /// The JWK set (RFC 7517) of the keys that were used.
    pub(crate) fn jwks(&self) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        // An uncompressed point: 4, x, y.
        let point = self.ec.key.public_key().as_ref();
        let (x, y) = (point.get(1..33).unwrap_or(&[]), point.get(33..65).unwrap_or(&[]));
        let mut keys = vec![
            json!({"kty": "EC", "use": "sig", "alg": "ES256", "crv": "P-256", "kid": self.ec.kid, "x": b64(x), "y": b64(y)}),
            json!({"kty": "OKP", "use": "sig", "alg": "EdDSA", "crv": "Ed25519", "kid": self.ed.kid, "x": b64(self.ed.key.public_key().as_ref())}),
        ];
        if let Some(rsa) = &self.rsa {
            // RSAPublicKey ::= SEQUENCE { n INTEGER, e INTEGER } (RFC 8017 appendix A.1.1).
            let parts = Vec::<Uint>::from_der(rsa.key.public_key().as_ref()).unwrap_or_default();
            let part = |n: usize| parts.get(n).map(|p| b64(p.as_bytes()));
            keys.push(
                json!({"kty": "RSA", "use": "sig", "kid": rsa.kid, "n": part(0), "e": part(1)}),
            );
        }
        json!({ "keys": keys })
    }
}

fn named<K>(key: K) -> Result<Named<K>, OidcError> {
    Ok(Named { kid: URL_SAFE_NO_PAD.encode(random::<9>()?), key })
}
