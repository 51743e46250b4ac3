// SPDX-License-Identifier: Apache-2.0

//! The issuer's keys. Those that take long to make are made when first used.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaEncoding,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::Decode as _;
use der::asn1::Uint;
use serde_json::{Value, json};

use super::{OidcError, random};

/// How a token is signed (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// RSA PKCS#1 1.5 with SHA-256.
    Rs256,
    /// RSA PKCS#1 1.5 with SHA-384.
    Rs384,
    /// RSA PKCS#1 1.5 with SHA-512.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// RSA PSS with SHA-384.
    Ps384,
    /// RSA PSS with SHA-512.
    Ps512,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 10] = [
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::EdDsa,
    ];

    /// Its name in a header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::EdDsa => "EdDSA",
        }
    }
}

struct Named<K> {
    kid: String,
    key: K,
}

pub(crate) struct Keys {
    p256: Named<EcdsaKeyPair>,
    p384: Named<EcdsaKeyPair>,
    p521: Named<EcdsaKeyPair>,
    ed: Named<Ed25519KeyPair>,
    rsa: Option<Named<RsaKeyPair>>,
}

/// Which key an algorithm signs with.
enum Pair<'k> {
    Ec(&'k Named<EcdsaKeyPair>),
    Ed(&'k Named<Ed25519KeyPair>),
    Rsa(&'k Named<RsaKeyPair>, &'static dyn RsaEncoding),
}

impl Keys {
    pub(crate) fn generate() -> Result<Self, OidcError> {
        let ec = |curve| named(EcdsaKeyPair::generate(curve).map_err(|_| OidcError::Crypto)?);
        Ok(Self {
            p256: ec(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            p384: ec(&ECDSA_P384_SHA384_FIXED_SIGNING)?,
            p521: ec(&ECDSA_P521_SHA512_FIXED_SIGNING)?,
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

    fn pair(&mut self, algorithm: Algorithm) -> Result<Pair<'_>, OidcError> {
        let encoding: &'static dyn RsaEncoding = match algorithm {
            Algorithm::Es256 => return Ok(Pair::Ec(&self.p256)),
            Algorithm::Es384 => return Ok(Pair::Ec(&self.p384)),
            Algorithm::Es512 => return Ok(Pair::Ec(&self.p521)),
            Algorithm::EdDsa => return Ok(Pair::Ed(&self.ed)),
            Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
            Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
            Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
            Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
            Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
            Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
        };
        Ok(Pair::Rsa(self.rsa()?, encoding))
    }

    pub(crate) fn kid(&mut self, algorithm: Algorithm) -> Result<String, OidcError> {
        Ok(match self.pair(algorithm)? {
            Pair::Ec(named) => named.kid.clone(),
            Pair::Ed(named) => named.kid.clone(),
            Pair::Rsa(named, _) => named.kid.clone(),
        })
    }

    /// The bytes of the public key.
    pub(crate) fn public(&mut self, algorithm: Algorithm) -> Result<Vec<u8>, OidcError> {
        Ok(match self.pair(algorithm)? {
            Pair::Ec(named) => named.key.public_key().as_ref().to_vec(),
            Pair::Ed(named) => named.key.public_key().as_ref().to_vec(),
            Pair::Rsa(named, _) => named.key.public_key().as_ref().to_vec(),
        })
    }

    pub(crate) fn sign(
        &mut self,
        algorithm: Algorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, OidcError> {
        let random = SystemRandom::new();
        match self.pair(algorithm)? {
            Pair::Ec(named) => {
                let signature = named.key.sign(&random, message);
                Ok(signature.map_err(|_| OidcError::Crypto)?.as_ref().to_vec())
            }
            Pair::Ed(named) => Ok(named.key.sign(message).as_ref().to_vec()),
            Pair::Rsa(named, encoding) => {
                let mut signature = vec![0; named.key.public_modulus_len()];
                let signed = named.key.sign(encoding, &random, message, &mut signature);
                signed.map_err(|_| OidcError::Crypto)?;
                Ok(signature)
            }
        }
    }

    /// The JWK set (RFC 7517) of the keys that were used.
    pub(crate) fn jwks(&self) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let ec = |named: &Named<EcdsaKeyPair>, alg: &str, crv: &str| {
            // An uncompressed point: 4, x, y.
            let point = named.key.public_key().as_ref().get(1..).unwrap_or(&[]);
            let (x, y) = point.split_at(point.len() / 2);
            json!({"kty": "EC", "use": "sig", "alg": alg, "crv": crv, "kid": named.kid, "x": b64(x), "y": b64(y)})
        };
        let mut keys = vec![
            ec(&self.p256, "ES256", "P-256"),
            ec(&self.p384, "ES384", "P-384"),
            ec(&self.p521, "ES512", "P-521"),
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
