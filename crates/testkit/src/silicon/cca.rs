// SPDX-License-Identifier: Apache-2.0

//! Simulated Arm CCA: a platform with its key, a realm with its key, and tokens of both.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use der::pem::LineEnding;

use super::SiliconError;
use super::chain;
use super::sign1::{Envelope, Value, cbor, cbor_map, set};

/// Curves of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// P-256, ES256.
    P256,
    /// P-384, ES384.
    P384,
    /// P-521, ES512.
    P521,
}

impl Curve {
    /// Number of the algorithm and of the curve (RFC 9053).
    pub const fn numbers(self) -> (i64, i64) {
        match self {
            Self::P256 => (-7, 1),
            Self::P384 => (-35, 2),
            Self::P521 => (-36, 3),
        }
    }

    fn generate(self) -> Result<EcdsaKeyPair, SiliconError> {
        let algorithm = match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Self::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
        };
        EcdsaKeyPair::generate(algorithm).map_err(|_| SiliconError::Crypto)
    }
}

/// Labels of claims that other claims depend on.
const CHALLENGE: i64 = 10;
const PUBLIC_KEY: i64 = 44_237;
const KEY_HASH: i64 = 44_240;
/// Labels of the two tokens, and the content format of the form in CMWs.
const PLATFORM: i64 = 44_234;
const REALM: i64 = 44_241;
const EAT_CWT: i64 = 263;
/// Tags of the two forms.
const COLLECTION: u64 = 399;
const CMW_COLLECTION: u64 = 907;

/// What tokens claim and how they are put together.
#[derive(Clone, Debug)]
pub struct CcaShape {
    /// Whether the platform's token has the profile of 2023, not the one before.
    pub platform_2023: bool,
    /// Whether the realm's has, and its key is a COSE_Key, not a point.
    pub realm_2023: bool,
    /// Whether the two are CMWs.
    pub cmw: bool,
    /// Claims of the platform in the place of others, or taken out. The challenge follows from the realm's key unless it
    /// stands here.
    pub platform: Vec<(i64, Option<Value>)>,
    /// Likewise of the realm.
    pub realm: Vec<(i64, Option<Value>)>,
    /// Around the platform's claims.
    pub platform_envelope: Envelope,
    /// Around the realm's.
    pub realm_envelope: Envelope,
}

/// A simulated platform with a realm.
#[derive(Clone)]
pub struct SimulatedCca {
    cpak: Arc<EcdsaKeyPair>,
    rak: Arc<EcdsaKeyPair>,
    rak_curve: Curve,
    shape: CcaShape,
}

impl std::fmt::Debug for SimulatedCca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedCca").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl SimulatedCca {
    /// Identity of the implementation.
    pub const IMPLEMENTATION: [u8; 32] = [0x1d; 32];
    /// Identity of the platform.
    pub const INSTANCE: [u8; 33] = [1; 33];
    /// What the realm was at its beginning.
    pub const MEASUREMENT: [u8; 32] = [0x4d; 32];

    /// Makes the keys of platform and realm, and the shape of a token with nothing wrong.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn generate(platform: Curve, realm: Curve) -> Result<Self, SiliconError> {
        Ok(Self {
            cpak: Arc::new(platform.generate()?),
            rak: Arc::new(realm.generate()?),
            rak_curve: realm,
            shape: CcaShape {
                platform_2023: true,
                realm_2023: true,
                cmw: false,
                platform: Vec::new(),
                realm: Vec::new(),
                platform_envelope: Envelope::of(platform.numbers().0, true),
                realm_envelope: Envelope::of(realm.numbers().0, true),
            },
        })
    }

    /// The same with other tokens.
    #[must_use]
    pub fn with_shape(&self, change: impl FnOnce(&mut CcaShape)) -> Self {
        let mut other = self.clone();
        change(&mut other.shape);
        other
    }

    /// The same on a platform that is debugged.
    #[must_use]
    pub fn debuggable(&self) -> Self {
        self.with_shape(|shape| shape.platform.push((2395, Some(Value::from(0x5000)))))
    }

    /// The platform's public key, PEM: for a policy, or for Steward's `--insecure-simulated-roots`.
    pub fn key_pem(&self) -> String {
        let spki = chain::spki(&*self.cpak).unwrap_or_default();
        der::pem::encode_string("PUBLIC KEY", LineEnding::LF, &spki).unwrap_or_default()
    }

    /// The realm's public key as a COSE_Key.
    pub fn realm_cose_key(&self) -> Vec<(Value, Value)> {
        let point = self.realm_point();
        let (_, coordinates) = point.split_at_checked(1).unwrap_or_default();
        let (x, y) = coordinates.split_at_checked(coordinates.len() / 2).unwrap_or_default();
        let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
        vec![
            (Value::from(1), Value::from(2)),
            (Value::from(-1), Value::from(self.rak_curve.numbers().1)),
            (Value::from(-2), bytes(x)),
            (Value::from(-3), bytes(y)),
        ]
    }

    /// The realm's public key as an uncompressed point.
    pub fn realm_point(&self) -> Vec<u8> {
        self.rak.public_key().as_ref().to_vec()
    }

    /// What the realm's token claims about these 64 bytes.
    pub fn realm_claims(&self, challenge: &[u8; 64]) -> Vec<(Value, Value)> {
        let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
        let key = if self.shape.realm_2023 {
            cbor_map(&self.realm_cose_key())
        } else {
            self.realm_point()
        };
        let mut claims = vec![
            (Value::from(CHALLENGE), bytes(challenge)),
            (Value::from(44_235), bytes(&[0; 64])),
            (Value::from(44_236), Value::from("sha-256")),
            (Value::from(PUBLIC_KEY), bytes(&key)),
            (Value::from(44_238), bytes(&Self::MEASUREMENT)),
            (Value::from(44_239), Value::Array([0, 1, 0, 0].map(|byte| bytes(&[byte; 32])).into())),
            (Value::from(KEY_HASH), Value::from("sha-256")),
        ];
        if self.shape.realm_2023 {
            let profile = Value::from("tag:arm.com,2023:realm#1.0.0");
            claims.insert(0, (Value::from(265), profile));
        }
        for (label, value) in &self.shape.realm {
            set(&mut claims, *label, value.clone());
        }
        claims
    }

    /// What the platform's token claims for a realm with these claims.
    pub fn platform_claims(&self, realm: &[(Value, Value)]) -> Vec<(Value, Value)> {
        let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
        let claim = |label: i64| {
            let found = realm.iter().find(|(found, _)| *found == Value::from(label));
            found.map(|(_, value)| value)
        };
        let key = claim(PUBLIC_KEY).and_then(Value::as_bytes).cloned().unwrap_or_default();
        let algorithm = match claim(KEY_HASH).and_then(Value::as_text) {
            Some("sha-384") => &SHA384,
            Some("sha-512") => &SHA512,
            _ => &SHA256,
        };
        let profile = if self.shape.platform_2023 {
            "tag:arm.com,2023:cca_platform#1.0.0"
        } else {
            "http://arm.com/CCA-SSD/1.0.0"
        };
        let component = |name: &str, byte| {
            Value::Map(vec![
                (Value::from(1), Value::from(name)),
                (Value::from(2), bytes(&[byte; 32])),
                (Value::from(4), Value::from("1.2.3")),
                (Value::from(5), bytes(&[0x51; 32])),
                (Value::from(6), Value::from("sha-256")),
            ])
        };
        let mut claims = vec![
            (Value::from(265), Value::from(profile)),
            (Value::from(CHALLENGE), bytes(digest(algorithm, &key).as_ref())),
            (Value::from(2396), bytes(&Self::IMPLEMENTATION)),
            (Value::from(256), bytes(&Self::INSTANCE)),
            (Value::from(2401), bytes(&[0xcf; 4])),
            (Value::from(2395), Value::from(0x3000)),
            (Value::from(2402), Value::from("sha-256")),
            (Value::from(2400), Value::from("https://simulated.invalid")),
            (
                Value::from(2399),
                Value::Array(vec![component("BL31", 0xb1), component("RMM", 0xb2)]),
            ),
        ];
        for (label, value) in &self.shape.platform {
            set(&mut claims, *label, value.clone());
        }
        claims
    }

    /// Signs claims (CBOR) with the platform's key.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn sign_platform(&self, claims: &[u8]) -> Result<Vec<u8>, SiliconError> {
        self.shape.platform_envelope.sign(claims, &self.cpak)
    }

    /// Signs claims (CBOR) with the realm's key.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn sign_realm(&self, claims: &[u8]) -> Result<Vec<u8>, SiliconError> {
        self.shape.realm_envelope.sign(claims, &self.rak)
    }

    /// Puts two tokens together.
    pub fn collect(&self, platform: Vec<u8>, realm: Vec<u8>) -> Vec<u8> {
        let token = |bytes| {
            let bytes = Value::Bytes(bytes);
            if self.shape.cmw { Value::Array(vec![Value::from(EAT_CWT), bytes]) } else { bytes }
        };
        let tokens = Value::Map(vec![
            (Value::from(PLATFORM), token(platform)),
            (Value::from(REALM), token(realm)),
        ]);
        let tag = if self.shape.cmw { CMW_COLLECTION } else { COLLECTION };
        cbor(&Value::Tag(tag, Box::new(tokens)))
    }

    /// A token over these 64 bytes.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn token(&self, challenge: &[u8; 64]) -> Result<Vec<u8>, SiliconError> {
        let realm = self.realm_claims(challenge);
        let platform = self.sign_platform(&cbor_map(&self.platform_claims(&realm)))?;
        Ok(self.collect(platform, self.sign_realm(&cbor_map(&realm))?))
    }
}
