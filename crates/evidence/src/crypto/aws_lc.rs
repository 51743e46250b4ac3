// SPDX-License-Identifier: Apache-2.0

//! Signature checks by AWS-LC.

use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA384,
    UnparsedPublicKey,
};

use super::{BadSignature, Scheme, Verifier, form};

/// [`Verifier`] by AWS-LC.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

impl Verifier for AwsLc {
    fn verify(
        &self,
        scheme: Scheme,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        if !form::holds(scheme, public, signature) {
            return Err(BadSignature);
        }
        let algorithm: &'static dyn signature::VerificationAlgorithm = match scheme {
            Scheme::EcdsaP256Sha256Fixed => &ECDSA_P256_SHA256_FIXED,
            Scheme::EcdsaP256Sha256Der => &ECDSA_P256_SHA256_ASN1,
            Scheme::EcdsaP384Sha384Fixed => &ECDSA_P384_SHA384_FIXED,
            Scheme::EcdsaP384Sha384Der => &ECDSA_P384_SHA384_ASN1,
            Scheme::EcdsaP521Sha512Fixed => &ECDSA_P521_SHA512_FIXED,
            Scheme::RsaPssSha384 => &RSA_PSS_2048_8192_SHA384,
            Scheme::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            Scheme::RsaPkcs1Sha384 => &RSA_PKCS1_2048_8192_SHA384,
            Scheme::RsaPkcs1Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        };
        UnparsedPublicKey::new(algorithm, public)
            .verify(message, signature)
            .map_err(|_| BadSignature)
    }
}
