// SPDX-License-Identifier: Apache-2.0

//! Signature checks, behind a trait so that another implementation can take the place of AWS-LC.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED,
    RSA_PSS_2048_8192_SHA384, UnparsedPublicKey, VerificationAlgorithm,
};

/// A signature that does not verify, or a key that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature does not verify")
    }
}

impl std::error::Error for BadSignature {}

/// The signature schemes that evidence, requests and tag statements use. Points are uncompressed (SEC 1, `04 ‖ x ‖ y`).
pub trait Verifier: Send + Sync {
    /// ECDSA with P-384 and SHA-384. `public`: 97 bytes; `signature`: r and s, big endian, 48 bytes each.
    ///
    /// # Errors
    /// [`BadSignature`].
    fn ecdsa_p384_sha384(
        &self,
        public: &[u8],
        message: &[u8],
        signature: &[u8; 96],
    ) -> Result<(), BadSignature>;

    /// The same with the signature as DER `SEQUENCE { r, s }`.
    ///
    /// # Errors
    /// [`BadSignature`].
    fn ecdsa_p384_sha384_der(
        &self,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature>;

    /// ECDSA with P-256 and SHA-256. `public`: 65 bytes; `signature`: r and s, big endian, 32 bytes each.
    ///
    /// # Errors
    /// [`BadSignature`].
    fn ecdsa_p256_sha256(
        &self,
        public: &[u8],
        message: &[u8],
        signature: &[u8; 64],
    ) -> Result<(), BadSignature>;

    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384 and 48 bytes of salt. `public`: DER of a PKCS#1 `RSAPublicKey`.
    ///
    /// # Errors
    /// [`BadSignature`].
    fn rsa_pss_sha384(
        &self,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature>;
}

/// [`Verifier`] by AWS-LC.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

fn check(
    algorithm: &'static dyn VerificationAlgorithm,
    public: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    UnparsedPublicKey::new(algorithm, public).verify(message, signature).map_err(|_| BadSignature)
}

impl Verifier for AwsLc {
    fn ecdsa_p384_sha384(
        &self,
        public: &[u8],
        message: &[u8],
        signature: &[u8; 96],
    ) -> Result<(), BadSignature> {
        check(&ECDSA_P384_SHA384_FIXED, public, message, signature)
    }

    fn ecdsa_p384_sha384_der(
        &self,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        check(&ECDSA_P384_SHA384_ASN1, public, message, signature)
    }

    fn ecdsa_p256_sha256(
        &self,
        public: &[u8],
        message: &[u8],
        signature: &[u8; 64],
    ) -> Result<(), BadSignature> {
        check(&ECDSA_P256_SHA256_FIXED, public, message, signature)
    }

    fn rsa_pss_sha384(
        &self,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        check(&RSA_PSS_2048_8192_SHA384, public, message, signature)
    }
}
