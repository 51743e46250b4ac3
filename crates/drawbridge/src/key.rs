// SPDX-License-Identifier: Apache-2.0

//! The registry's own key, which signs what its tags stand for (docs/FORMATS.md 2.3).

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use drawbridge_core::statement::{self, Statement};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::store::{Store, StoreError, Tag, TagName};

/// Name of the key's file in the store.
const FILE: &str = "registry.key.pem";

/// A P-256 key pair. Its private half is never shown.
pub struct RegistryKey {
    pair: EcdsaKeyPair,
    /// For what comes back to this registry, and to those that share its store.
    sealing: RandomizedNonceKey,
    spki: Vec<u8>,
    thumbprint: String,
}

impl fmt::Debug for RegistryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryKey").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

impl RegistryKey {
    /// The key in this store; made there if there is none.
    ///
    /// # Errors
    /// [`StoreError::Key`] and failures of the file system.
    pub fn open(store: &Store) -> Result<Self, StoreError> {
        let pem = store.own_file(FILE, || {
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())
                .map_err(|_| StoreError::Key("the system's cryptography failed to make a key"))?;
            Ok(pem("PRIVATE KEY", pkcs8.as_ref()).into_bytes())
        })?;
        Self::parse(&pem)
    }

    /// The key in this store, if there is one.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub(crate) fn existing(store: &Store) -> Result<Option<Self>, StoreError> {
        let found = store.own_file_if_there(FILE)?;
        found.map(|pem| Self::parse(&pem)).transpose()
    }

    fn parse(pem: &[u8]) -> Result<Self, StoreError> {
        let unusable = StoreError::Key(
            "registry.key.pem in the store is no P-256 key as PKCS#8; restore it from a backup, \
             or remove it to get a new one, which Stewards must then be told",
        );
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).ok().and_then(|der| {
            let pair =
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der());
            let pair = pair.ok()?;
            let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
            let spki = spki.as_ref().to_vec();
            let thumbprint = statement::thumbprint(&spki)?;
            let sealing = sealing_key(der.secret_pkcs8_der())?;
            Some(Self { pair, sealing, spki, thumbprint })
        });
        key.ok_or(unusable)
    }

    /// The public half, as PEM of its SubjectPublicKeyInfo.
    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki)
    }

    /// The public half, DER of its SubjectPublicKeyInfo.
    pub fn public_der(&self) -> &[u8] {
        &self.spki
    }

    /// The key's name in statements (RFC 7638, SHA-256, base64url).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Text that only this registry, and those that share its store, can read or make.
    ///
    /// # Errors
    /// [`StoreError::Key`] if the system's randomness fails.
    pub fn seal(&self, text: &[u8]) -> Result<String, StoreError> {
        let mut bytes = text.to_vec();
        let nonce = self.sealing.seal_in_place_append_tag(Aad::empty(), &mut bytes);
        let nonce =
            nonce.map_err(|_| StoreError::Key("the system's cryptography failed to seal"))?;
        bytes.extend_from_slice(nonce.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What was sealed; `None` if this is nothing of the kind.
    pub fn unseal(&self, sealed: &str) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let at = bytes.len().checked_sub(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(&bytes.split_off(at)).ok()?;
        let text = self.sealing.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?;
        Some(text.to_vec())
    }

    /// The registry's signed word on a tag, under its public host name.
    ///
    /// # Errors
    /// [`StoreError::Key`] if the system's randomness fails.
    pub fn state(&self, host: &str, name: &TagName, tag: &Tag) -> Result<String, StoreError> {
        let statement = Statement {
            digest: tag.digest(),
            host: host.to_owned(),
            iat: tag.completed_at,
            repo: name.repo().repo().to_owned(),
            tag: name.tag().to_owned(),
            user: name.repo().user().as_str().to_owned(),
        };
        let failed = StoreError::Key("the system's cryptography failed to sign");
        let input = statement.signing_input(&self.thumbprint);
        let Ok(signature) = self.pair.sign(&SystemRandom::new(), input.as_bytes()) else {
            return Err(failed);
        };
        match signature.as_ref().try_into() {
            Ok(raw) => Ok(statement::assemble(&input, raw)),
            Err(_) => Err(failed),
        }
    }
}

/// A key of its own for another purpose (HKDF, RFC 5869).
fn sealing_key(secret: &[u8]) -> Option<RandomizedNonceKey> {
    let secret = Salt::new(HKDF_SHA256, b"drawbridge").extract(secret);
    let mut key = [0; 32];
    secret.expand(&[b"sealed text"], &AES_256_GCM).ok()?.fill(&mut key).ok()?;
    RandomizedNonceKey::new(&AES_256_GCM, &key).ok()
}

/// RFC 7468: lines of 64 characters.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for (n, c) in text.chars().enumerate() {
        out.push(c);
        if n % 64 == 63 {
            out.push('\n');
        }
    }
    if !text.len().is_multiple_of(64) {
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use drawbridge_core::statement::Parsed;
    use drawbridge_core::{Entry, media};

    use super::*;
    use crate::store::{RepoName, UserName};

    #[test]
    fn the_key_stays_and_signs() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let key = RegistryKey::open(&store).unwrap();
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(RegistryKey::open(&store).unwrap().thumbprint(), key.thumbprint());
        let repo = RepoName::new(UserName::new("ann").unwrap(), "app").unwrap();
        let name = TagName::new(repo, "1.0.0").unwrap();
        let entry = Entry::of(b"x", media::WASM);
        let tag = Tag { entry, completed_at: 7, steward: None };
        let jws = key.state("store.example.com", &name, &tag).unwrap();
        let parsed = Parsed::parse(&jws).unwrap();
        assert_eq!(parsed.kid, key.thumbprint());
        assert_eq!(parsed.statement.iat, 7);
        assert_eq!(parsed.statement.slug().unwrap().to_string(), "store.example.com/ann/app:1.0.0");
        let point = &key.public_der()[26..];
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(&parsed.signing_input, &parsed.signature)
            .unwrap();
    }

    #[test]
    fn a_spoilt_key_is_an_error_with_a_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        std::fs::File::create(dir.path().join(FILE)).unwrap();
        let error = RegistryKey::open(&store).unwrap_err().to_string();
        assert!(error.contains("backup"), "{error}");
    }

    #[test]
    fn pem_has_lines_of_64() {
        assert_eq!(
            pem("X", &[0; 48]),
            format!("-----BEGIN X-----\n{}\n-----END X-----\n", "A".repeat(64))
        );
        assert_eq!(pem("X", &[]), "-----BEGIN X-----\n-----END X-----\n");
        let key = pem("PUBLIC KEY", &[1; 91]);
        assert!(key.lines().all(|l| l.len() <= 64));
    }
}
