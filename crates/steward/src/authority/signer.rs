// SPDX-License-Identifier: Apache-2.0

//! The CA's private key: in a file, or in a token.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    EcdsaVerificationAlgorithm, KeyPair as _, UnparsedPublicKey,
};
use chassis::secret::{self, SecretError};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ID_EC_PUBLIC_KEY, SECP_256_R_1, SECP_384_R_1,
};
use der::asn1::Any;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::{Zeroize as _, Zeroizing};

use super::AuthorityError;
use crate::x509;

/// A curve with the hash that goes with it.
#[derive(Clone, Copy)]
pub(crate) struct Suite {
    signing: &'static EcdsaSigningAlgorithm,
    verification: &'static EcdsaVerificationAlgorithm,
    signature: ObjectIdentifier,
    curve: ObjectIdentifier,
}

const P384: Suite = Suite {
    signing: &ECDSA_P384_SHA384_ASN1_SIGNING,
    verification: &ECDSA_P384_SHA384_ASN1,
    signature: ECDSA_WITH_SHA_384,
    curve: SECP_384_R_1,
};
const P256: Suite = Suite {
    signing: &ECDSA_P256_SHA256_ASN1_SIGNING,
    verification: &ECDSA_P256_SHA256_ASN1,
    signature: ECDSA_WITH_SHA_256,
    curve: SECP_256_R_1,
};

impl Suite {
    fn of_curve(curve: ObjectIdentifier) -> Option<Self> {
        [P384, P256].into_iter().find(|suite| suite.curve == curve)
    }

    /// The algorithm of its signatures.
    pub(crate) fn algorithm(self) -> AlgorithmIdentifierOwned {
        x509::algorithm(self.signature)
    }
}

/// A public key that a CA may have.
#[derive(Clone)]
pub(crate) struct PublicKey {
    pub(crate) suite: Suite,
    /// The point, uncompressed.
    pub(crate) point: Vec<u8>,
}

impl PublicKey {
    /// The key in a SubjectPublicKeyInfo, if it is one of P-256 or P-384.
    pub(crate) fn of(spki: &SubjectPublicKeyInfoOwned) -> Option<Self> {
        let curve = spki.algorithm.parameters.as_ref()?.decode_as().ok()?;
        let suite = Suite::of_curve(curve).filter(|_| spki.algorithm.oid == ID_EC_PUBLIC_KEY)?;
        Some(Self { suite, point: spki.subject_public_key.raw_bytes().to_vec() })
    }

    /// The key as a SubjectPublicKeyInfo.
    pub(crate) fn spki(&self) -> der::Result<SubjectPublicKeyInfoOwned> {
        Ok(SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned {
                oid: ID_EC_PUBLIC_KEY,
                parameters: Some(Any::encode_from(&self.suite.curve)?),
            },
            subject_public_key: der::asn1::BitString::from_bytes(&self.point)?,
        })
    }

    /// Its identifier, as it stands in certificates.
    pub(crate) fn id(&self) -> [u8; x509::KEY_ID_BYTES] {
        x509::key_id(&self.point)
    }

    /// Whether `signature` (DER) is this key's over `message`.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.suite.verification, &self.point)
            .verify(message, signature)
            .is_ok()
    }
}

/// Where a private key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file of mode 0600: PEM (PKCS#8 or SEC 1).
    File(PathBuf),
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err("expected a file".to_owned());
        }
        Ok(Self::File(PathBuf::from(text)))
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Why there is no key.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read, or others may read it.
    Unreadable(SecretError),
    /// The file holds no key that a CA may have.
    NoKey(PathBuf, AuthorityError),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::NoKey(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for KeyError {}

impl KeySource {
    /// Opens the key.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn open(&self) -> Result<Signer, KeyError> {
        match self {
            Self::File(path) => {
                let secret = secret::read(path).map_err(KeyError::Unreadable)?;
                Signer::from_pem(secret.expose())
                    .map_err(|error| KeyError::NoKey(path.clone(), error))
            }
        }
    }
}

/// A private key that signs. It is never shown, and wiped when dropped.
pub struct Signer {
    key: Key,
    public: PublicKey,
}

enum Key {
    Held(EcdsaKeyPair),
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

impl Signer {
    /// The key in PEM (PKCS#8 or SEC 1; P-256 or P-384).
    ///
    /// # Errors
    /// [`AuthorityError::Key`]
    pub fn from_pem(pem: &[u8]) -> Result<Self, AuthorityError> {
        let mut der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| AuthorityError::Key)?;
        let pair = [P384, P256].into_iter().find_map(|suite| {
            EcdsaKeyPair::from_private_key_der(suite.signing, der.secret_der())
                .ok()
                .map(|pair| (pair, suite))
        });
        der.zeroize();
        let (pair, suite) = pair.ok_or(AuthorityError::Key)?;
        Ok(Self::held(pair, suite))
    }

    /// A new P-384 key, and its PEM (PKCS#8).
    ///
    /// # Errors
    /// [`AuthorityError::Internal`]: the system's randomness fails.
    pub fn generate() -> Result<(Self, Zeroizing<String>), AuthorityError> {
        let failed = |error: &dyn fmt::Display| AuthorityError::Internal(error.to_string());
        let pair = EcdsaKeyPair::generate(P384.signing).map_err(|error| failed(&error))?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|error| failed(&error))?;
        let pem = x509::to_pem("PRIVATE KEY", pkcs8.as_ref()).map_err(|error| failed(&error))?;
        Ok((Self::held(pair, P384), Zeroizing::new(pem)))
    }

    fn held(pair: EcdsaKeyPair, suite: Suite) -> Self {
        let point = pair.public_key().as_ref().to_vec();
        Self { public: PublicKey { suite, point }, key: Key::Held(pair) }
    }

    /// Identifier of its public key, hex.
    pub fn key_id(&self) -> String {
        hex::encode(self.public.id())
    }

    pub(crate) const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`; the signature as DER.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AuthorityError> {
        match &self.key {
            Key::Held(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| AuthorityError::Internal("signing failed".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use der::{Decode as _, Encode as _};

    #[test]
    fn a_new_key_is_read_back_and_is_never_shown() {
        let (signer, pem) = Signer::generate().unwrap();
        let again = Signer::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(again.public.point, signer.public.point);
        let signature = again.sign(b"message").unwrap();
        assert!(signer.public.verify(b"message", &signature));
        assert!(!signer.public.verify(b"another", &signature));
        assert_eq!(format!("{signer:?}"), "Signer(…)");
    }

    #[test]
    fn public_keys_are_written_as_others_write_them() {
        let (signer, _) = Signer::generate().unwrap();
        let Key::Held(pair) = &signer.key;
        let theirs = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        assert_eq!(signer.public.spki().unwrap().to_der().unwrap(), theirs.as_ref());
        let spki = SubjectPublicKeyInfoOwned::from_der(theirs.as_ref()).unwrap();
        assert_eq!(PublicKey::of(&spki).unwrap().point, signer.public.point);
    }
}
