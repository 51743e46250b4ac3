// SPDX-License-Identifier: Apache-2.0

//! Signature checks, behind a trait: by AWS-LC (feature `aws-lc`), or in Rust alone (feature `pure`) where C does not
//! compile. Both take the same keys and signatures and no others.

#[cfg(feature = "aws-lc")]
mod aws_lc;
mod cached;
#[cfg(any(feature = "aws-lc", feature = "pure"))]
mod form;
#[cfg(feature = "pure")]
mod pure;

use std::fmt;

#[cfg(feature = "aws-lc")]
pub use aws_lc::AwsLc;
pub use cached::Cached;
#[cfg(feature = "pure")]
pub use pure::Pure;

/// A signature that does not verify, or a key that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature does not verify")
    }
}

impl std::error::Error for BadSignature {}

/// The signature schemes of evidence, endorsements, requests and tag statements.
///
/// Keys on curves are uncompressed points (SEC 1, `04 ‖ x ‖ y`), RSA keys the DER of a PKCS#1 `RSAPublicKey`. `Fixed`
/// signatures are `r ‖ s`, big endian, each as long as the curve's order; `Der` ones are `SEQUENCE { r, s }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// ECDSA, P-256, SHA-256: `r ‖ s`, 64 bytes.
    EcdsaP256Sha256Fixed,
    /// The same in DER.
    EcdsaP256Sha256Der,
    /// ECDSA, P-384, SHA-384: `r ‖ s`, 96 bytes.
    EcdsaP384Sha384Fixed,
    /// The same in DER.
    EcdsaP384Sha384Der,
    /// ECDSA, P-521, SHA-512: `r ‖ s`, 132 bytes.
    EcdsaP521Sha512Fixed,
    /// RSASSA-PSS, SHA-384, MGF1 with SHA-384, 48 bytes of salt; 2048 to 8192 bits.
    RsaPssSha384,
    /// RSASSA-PKCS1-v1_5, SHA-256; 2048 to 8192 bits.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5, SHA-384; 2048 to 8192 bits.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5, SHA-512; 2048 to 8192 bits.
    RsaPkcs1Sha512,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::EcdsaP256Sha256Fixed,
        Self::EcdsaP256Sha256Der,
        Self::EcdsaP384Sha384Fixed,
        Self::EcdsaP384Sha384Der,
        Self::EcdsaP521Sha512Fixed,
        Self::RsaPssSha384,
        Self::RsaPkcs1Sha256,
        Self::RsaPkcs1Sha384,
        Self::RsaPkcs1Sha512,
    ];

    #[cfg(any(feature = "aws-lc", feature = "pure"))]
    const fn signature(self) -> Signature {
        match self {
            Self::EcdsaP256Sha256Fixed => Signature::Fixed(32),
            Self::EcdsaP256Sha256Der => Signature::Der(32),
            Self::EcdsaP384Sha384Fixed => Signature::Fixed(48),
            Self::EcdsaP384Sha384Der => Signature::Der(48),
            Self::EcdsaP521Sha512Fixed => Signature::Fixed(66),
            Self::RsaPssSha384
            | Self::RsaPkcs1Sha256
            | Self::RsaPkcs1Sha384
            | Self::RsaPkcs1Sha512 => Signature::Rsa,
        }
    }
}

/// The form of a scheme's signatures.
#[cfg(any(feature = "aws-lc", feature = "pure"))]
#[derive(Clone, Copy)]
enum Signature {
    /// `r ‖ s`, each in this many bytes.
    Fixed(usize),
    /// `SEQUENCE { r, s }`, each in at most this many bytes.
    Der(usize),
    /// A number below the modulus.
    Rsa,
}

/// Checks signatures.
pub trait Verifier: Send + Sync {
    /// Whether `signature` over `message` is one of the key `public`.
    ///
    /// # Errors
    /// [`BadSignature`].
    fn verify(
        &self,
        scheme: Scheme,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature>;

    /// The same for what many pieces of evidence have in common: a certificate, a list, a document of a vendor. An
    /// implementation may remember what verified before; it must not remember anything else.
    ///
    /// # Errors
    /// [`BadSignature`].
    fn verify_endorsement(
        &self,
        scheme: Scheme,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        self.verify(scheme, public, message, signature)
    }
}

impl<V: Verifier + ?Sized> Verifier for &V {
    fn verify(
        &self,
        scheme: Scheme,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        (**self).verify(scheme, public, message, signature)
    }

    fn verify_endorsement(
        &self,
        scheme: Scheme,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        (**self).verify_endorsement(scheme, public, message, signature)
    }
}
