// SPDX-License-Identifier: Apache-2.0

//! Signature checks in Rust alone (RustCrypto).

use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::pss::Pss;
use rsa::traits::SignatureScheme;
use rsa::{BigUint, RsaPublicKey};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::form::{self, Rsa};
use super::{BadSignature, Scheme, Verifier};

/// Bytes of the salt of PSS.
const SALT_BYTES: usize = 48;
/// Largest RSA key, in bits.
const RSA_BITS_MAX: usize = 8192;

/// [`Verifier`] by RustCrypto, for platforms that AWS-LC does not compile for. Some three to ten times slower.
///
/// The crate `rsa` leaks private keys through time (RUSTSEC-2023-0071). There are none here: it only verifies.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pure;

/// One curve: verifies `r ‖ s` over a digest. Points off the curve and numbers out of their range are refused.
macro_rules! curve {
    ($name:ident, $curve:ident) => {
        fn $name(public: &[u8], digest: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
            use $curve::ecdsa::signature::hazmat::PrehashVerifier as _;
            use $curve::ecdsa::{Signature, VerifyingKey};

            let key = VerifyingKey::from_sec1_bytes(public).map_err(|_| BadSignature)?;
            let signature = Signature::from_slice(signature).map_err(|_| BadSignature)?;
            key.verify_prehash(digest, &signature).map_err(|_| BadSignature)
        }
    };
}

curve!(p256, p256);
curve!(p384, p384);
curve!(p521, p521);

fn rsa(
    public: &[u8],
    scheme: impl SignatureScheme,
    digest: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    let Rsa { modulus, exponent } = Rsa::read(public).ok_or(BadSignature)?;
    let number = BigUint::from_bytes_be;
    RsaPublicKey::new_with_max_size(number(modulus), number(exponent), RSA_BITS_MAX)
        .and_then(|key| key.verify(scheme, digest, signature))
        .map_err(|_| BadSignature)
}

impl Verifier for Pure {
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
        let sha256 = || Sha256::digest(message);
        let sha384 = || Sha384::digest(message);
        let sha512 = || Sha512::digest(message);
        let fixed = |bytes| form::fixed(signature, bytes).ok_or(BadSignature);
        match scheme {
            Scheme::EcdsaP256Sha256Fixed => p256(public, &sha256(), signature),
            Scheme::EcdsaP256Sha256Der => p256(public, &sha256(), &fixed(32)?),
            Scheme::EcdsaP384Sha384Fixed => p384(public, &sha384(), signature),
            Scheme::EcdsaP384Sha384Der => p384(public, &sha384(), &fixed(48)?),
            Scheme::EcdsaP521Sha512Fixed => p521(public, &sha512(), signature),
            Scheme::RsaPssSha384 => {
                rsa(public, Pss::new_with_salt::<Sha384>(SALT_BYTES), &sha384(), signature)
            }
            Scheme::RsaPkcs1Sha256 => {
                rsa(public, Pkcs1v15Sign::new::<Sha256>(), &sha256(), signature)
            }
            Scheme::RsaPkcs1Sha384 => {
                rsa(public, Pkcs1v15Sign::new::<Sha384>(), &sha384(), signature)
            }
            Scheme::RsaPkcs1Sha512 => {
                rsa(public, Pkcs1v15Sign::new::<Sha512>(), &sha512(), signature)
            }
        }
    }
}
