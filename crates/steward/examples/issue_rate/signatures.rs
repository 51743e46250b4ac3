// SPDX-License-Identifier: Apache-2.0

//! The signature operations of an issuance, and nothing else.

use std::sync::Mutex;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, EcdsaKeyPair, EcdsaVerificationAlgorithm,
    KeyPair as _, Signature, UnparsedPublicKey,
};
use evidence::crypto::{AwsLc, BadSignature, Cached, Scheme, Verifier};

use crate::requests::Curve;

/// A check: scheme, key, message, signature.
type Check = (Scheme, [Vec<u8>; 3]);

/// AWS-LC, with a list of what it was asked.
#[derive(Default)]
struct Recording(Mutex<Vec<Check>>);

impl Verifier for Recording {
    fn verify(&self, scheme: Scheme, k: &[u8], m: &[u8], s: &[u8]) -> Result<(), BadSignature> {
        self.0.lock().unwrap().push((scheme, [k, m, s].map(<[u8]>::to_vec)));
        AwsLc.verify(scheme, k, m, s)
    }
}

/// The checks that `appraise` makes.
pub(crate) struct Checks {
    /// When nothing is remembered.
    pub(crate) cold: Vec<Check>,
    /// When the endorsements are.
    pub(crate) known: Vec<Check>,
}

impl Checks {
    pub(crate) fn of(appraise: impl Fn(&dyn Verifier)) -> Self {
        let verifier = Recording::default();
        let cached = Cached::new(&verifier, 64);
        let run = || {
            appraise(&cached);
            std::mem::take(&mut *verifier.0.lock().unwrap())
        };
        let (cold, known) = (run(), run());
        assert!(cold.len() > known.len() && known.len() >= 2, "{} {}", cold.len(), known.len());
        Self { cold, known }
    }
}

/// Makes these checks, one after the other.
pub(crate) fn make(checks: &[Check]) {
    for (scheme, [key, message, signature]) in checks {
        AwsLc.verify(*scheme, key, message, signature).unwrap();
    }
}

/// A CA's key.
pub(crate) struct Own {
    key: EcdsaKeyPair,
    random: SystemRandom,
    algorithm: &'static EcdsaVerificationAlgorithm,
}

/// About as long as a certificate.
const MESSAGE: [u8; 2048] = [0; 2048];

impl Own {
    pub(crate) fn new(curve: Curve) -> Self {
        let algorithm: &'static EcdsaVerificationAlgorithm = match curve {
            Curve::P384 => &ECDSA_P384_SHA384_ASN1,
            Curve::P256 => &ECDSA_P256_SHA256_ASN1,
        };
        Self { key: curve.generate(), random: SystemRandom::new(), algorithm }
    }

    /// The signature that a certificate gets.
    pub(crate) fn sign(&self) -> Signature {
        self.key.sign(&self.random, &MESSAGE).unwrap()
    }

    /// Checks it again.
    pub(crate) fn check(&self, signature: &Signature) {
        UnparsedPublicKey::new(self.algorithm, self.key.public_key().as_ref())
            .verify(&MESSAGE, signature.as_ref())
            .unwrap();
    }
}
