// SPDX-License-Identifier: Apache-2.0

//! The Keep's key: made inside of the TEE, never leaves it.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use zeroize::Zeroizing;

/// A P-384 key. Its PKCS#8 form is wiped when dropped.
pub struct Key {
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
    spki: Vec<u8>,
}

/// The cryptographic library could not make or use a key, which it does only without randomness or memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError;

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the Keep's key cannot be made or used: is there a source of randomness?")
    }
}

impl std::error::Error for KeyError {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

impl Key {
    /// A new key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn generate() -> Result<Self, KeyError> {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &SystemRandom::new())
                .map_err(|_| KeyError)?;
        let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &pkcs8)
            .map_err(|_| KeyError)?;
        let spki = pair.public_key().as_der().map_err(|_| KeyError)?.as_ref().to_vec();
        Ok(Self { pair, pkcs8, spki })
    }

    /// The public key: DER SubjectPublicKeyInfo, 120 bytes.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The private key for TLS, PKCS#8 DER. Never to be shown to anybody.
    pub(crate) fn pkcs8_der(&self) -> &[u8] {
        &self.pkcs8
    }

    /// ECDSA over SHA-384, signature in DER.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError)?;
        Ok(signature.as_ref().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};

    #[test]
    fn signs_with_a_p384_key_of_its_own() {
        let key = Key::generate().unwrap();
        assert_eq!(key.spki_der().len(), 120);
        let signature = key.sign(b"message").unwrap();
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, key.spki_der())
            .verify(b"message", &signature)
            .unwrap();
        assert_ne!(Key::generate().unwrap().spki_der(), key.spki_der());
        assert_eq!(format!("{key:?}"), "Key { .. }");
    }
}
