// SPDX-License-Identifier: Apache-2.0

//! The CA's private key: in a file, or in a token.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

#[cfg(feature = "pkcs11")]
use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    EcdsaVerificationAlgorithm, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chassis::secret::{self, Secret, SecretError};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ID_EC_PUBLIC_KEY, SECP_256_R_1, SECP_384_R_1,
};
use der::asn1::Any;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use super::AuthorityError;
#[cfg(feature = "pkcs11")]
use super::pkcs11::{self, TokenError, TokenKey, Uri, UriError};
use crate::x509;

/// A curve with the hash that goes with it.
#[derive(Clone, Copy)]
pub(crate) struct Suite {
    signing: &'static EcdsaSigningAlgorithm,
    verification: &'static EcdsaVerificationAlgorithm,
    signature: ObjectIdentifier,
    curve: ObjectIdentifier,
    #[cfg(feature = "pkcs11")]
    digest: &'static digest::Algorithm,
}

const P384: Suite = Suite {
    signing: &ECDSA_P384_SHA384_ASN1_SIGNING,
    verification: &ECDSA_P384_SHA384_ASN1,
    signature: ECDSA_WITH_SHA_384,
    curve: SECP_384_R_1,
    #[cfg(feature = "pkcs11")]
    digest: &digest::SHA384,
};
const P256: Suite = Suite {
    signing: &ECDSA_P256_SHA256_ASN1_SIGNING,
    verification: &ECDSA_P256_SHA256_ASN1,
    signature: ECDSA_WITH_SHA_256,
    curve: SECP_256_R_1,
    #[cfg(feature = "pkcs11")]
    digest: &digest::SHA256,
};

impl Suite {
    pub(super) fn of_curve(curve: ObjectIdentifier) -> Option<Self> {
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

/// How the URI of a key in a token begins.
pub(super) const SCHEME: &str = "pkcs11:";

/// Where a private key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file of mode 0600: PEM (PKCS#8 or SEC 1), or the URI of a key in a token.
    File(PathBuf),
    /// A key in a token, by its URI.
    #[cfg(feature = "pkcs11")]
    Token(Box<Uri>),
}

impl FromStr for KeySource {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with(SCHEME) {
            return Self::token(text);
        }
        Ok(Self::File(PathBuf::from(text)))
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            #[cfg(feature = "pkcs11")]
            Self::Token(uri) => uri.fmt(f),
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
    /// The text names no key in a token.
    #[cfg(feature = "pkcs11")]
    Uri(UriError),
    /// The token does not have the key, or does not sign with it.
    #[cfg(feature = "pkcs11")]
    Token(Box<Uri>, TokenError),
    /// This program was built without PKCS#11.
    NoTokens,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::NoKey(path, error) => write!(f, "{}: {error}", path.display()),
            #[cfg(feature = "pkcs11")]
            Self::Uri(error) => error.fmt(f),
            #[cfg(feature = "pkcs11")]
            Self::Token(uri, error) => write!(f, "the key {uri} cannot be used: {error}"),
            Self::NoTokens => {
                f.write_str("this Steward was built without PKCS#11; the key must be in a file")
            }
        }
    }
}

impl std::error::Error for KeyError {}

impl KeySource {
    #[cfg(feature = "pkcs11")]
    fn token(uri: &str) -> Result<Self, KeyError> {
        uri.parse().map(|uri| Self::Token(Box::new(uri))).map_err(KeyError::Uri)
    }

    #[cfg(not(feature = "pkcs11"))]
    fn token(_: &str) -> Result<Self, KeyError> {
        Err(KeyError::NoTokens)
    }

    /// What a key file must hold to stand for this key: its PEM, or its URI.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`]
    pub fn to_file(&self) -> Result<Secret, KeyError> {
        match self {
            Self::File(path) => secret::read(path).map_err(KeyError::Unreadable),
            #[cfg(feature = "pkcs11")]
            Self::Token(uri) => Ok(Secret::new(format!("{}\n", uri.as_given()).into_bytes())),
        }
    }

    /// Opens the key.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn open(&self) -> Result<Signer, KeyError> {
        match self {
            Self::File(path) => {
                let secret = secret::read(path).map_err(KeyError::Unreadable)?;
                match std::str::from_utf8(secret.expose()) {
                    Ok(text) if text.starts_with(SCHEME) => Self::token(text.trim_end())?.open(),
                    _ => Signer::from_pem(secret.expose())
                        .map_err(|error| KeyError::NoKey(path.clone(), error)),
                }
            }
            #[cfg(feature = "pkcs11")]
            Self::Token(uri) => {
                Signer::in_token(uri).map_err(|error| KeyError::Token(uri.clone(), error))
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
    #[cfg(feature = "pkcs11")]
    Token(Box<TokenKey>),
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
        let der = private_key(pem).ok_or(AuthorityError::Key)?;
        let pair = [P384, P256].into_iter().find_map(|suite| {
            let pair = EcdsaKeyPair::from_private_key_der(suite.signing, &der).ok()?;
            Some((pair, suite))
        });
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

    /// The key in a token, which shows that it signs.
    #[cfg(feature = "pkcs11")]
    fn in_token(uri: &Uri) -> Result<Self, TokenError> {
        let (key, public) = TokenKey::open(uri)?;
        let this = Self { key: Key::Token(Box::new(key)), public };
        this.try_out().map_err(|error| TokenError::other(error.to_string()))?;
        Ok(this)
    }

    /// Signs something that is no certificate, and checks it; does nothing for a key that is held in memory.
    ///
    /// # Errors
    /// [`AuthorityError::Unavailable`]: the token does not sign.
    pub fn try_out(&self) -> Result<(), AuthorityError> {
        match &self.key {
            Key::Held(_) => Ok(()),
            #[cfg(feature = "pkcs11")]
            Key::Token(_) => {
                let message = b"steward: does this key sign?";
                let signature = self.sign(message)?;
                if self.public.verify(message, &signature) {
                    return Ok(());
                }
                let why = "the token signs with another key than the one beside it";
                Err(AuthorityError::Unavailable(why.to_owned()))
            }
        }
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
            #[cfg(feature = "pkcs11")]
            Key::Token(key) => {
                let unavailable =
                    |why: &dyn fmt::Display| AuthorityError::Unavailable(why.to_string());
                let digest = digest::digest(self.public.suite.digest, message);
                let pair = key.sign(digest.as_ref()).map_err(|error| unavailable(&error))?;
                pkcs11::to_der(&pair, digest.as_ref().len())
                    .ok_or_else(|| unavailable(&"the token's signature has another length"))
            }
        }
    }
}

/// The DER in the first block PRIVATE KEY (PKCS#8) or EC PRIVATE KEY (SEC 1) of a PEM file. Other readers of PEM leave copies
/// of the key behind; here every buffer is wiped.
fn private_key(pem: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut lines = std::str::from_utf8(pem).ok()?.lines().map(str::trim_end);
    let label = lines.find_map(|line| {
        let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
        ["PRIVATE KEY", "EC PRIVATE KEY"].contains(&label).then_some(label)
    })?;
    // Room for all of it at once: a growing buffer would leave copies behind.
    let mut base64 = Zeroizing::new(Vec::with_capacity(pem.len()));
    for line in lines {
        if let Some(end) = line.strip_prefix("-----END ") {
            let mut der = Zeroizing::new(vec![0; base64.len()]);
            let length = STANDARD.decode_slice(&base64, &mut der).ok()?;
            der.truncate(length);
            return (end.strip_suffix("-----") == Some(label)).then_some(der);
        }
        base64.extend_from_slice(line.as_bytes());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der, PublicKeyX509Der};
    use der::{Decode as _, Encode as _};

    fn pair(signer: &Signer) -> &EcdsaKeyPair {
        match &signer.key {
            Key::Held(pair) => pair,
            #[cfg(feature = "pkcs11")]
            Key::Token(_) => panic!("it is in a token"),
        }
    }

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
    fn pem_is_read_as_others_write_it() {
        let (signer, pem) = Signer::generate().unwrap();
        let parameters =
            "-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n";
        let pair = pair(&signer);
        let sec1 = AsDer::<EcPrivateKeyRfc5915Der<'_>>::as_der(&pair.private_key()).unwrap();
        let sec1 = x509::to_pem("EC PRIVATE KEY", sec1.as_ref()).unwrap();
        for text in [
            pem.replace('\n', "\r\n"),
            format!("some words\n{}", *pem),
            format!("{parameters}{sec1}"),
            pem.lines().collect::<Vec<_>>().join("  \n"),
        ] {
            let again = Signer::from_pem(text.as_bytes()).unwrap();
            assert_eq!(again.public.point, signer.public.point);
        }
        for text in [
            String::new(),
            parameters.to_owned(),
            pem.replace("END PRIVATE", "END EC PRIVATE"),
            pem.replace("-----END PRIVATE KEY-----", ""),
            pem.replacen('M', "Proc-Type: 4,ENCRYPTED\nM", 1),
            pem.replacen('M', "!", 1),
            pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
        ] {
            assert_eq!(
                Signer::from_pem(text.as_bytes()).err(),
                Some(AuthorityError::Key),
                "{text}"
            );
        }
    }

    #[test]
    fn public_keys_are_written_as_others_write_them() {
        let (signer, _) = Signer::generate().unwrap();
        let pair = pair(&signer);
        let theirs = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
        assert_eq!(signer.public.spki().unwrap().to_der().unwrap(), theirs.as_ref());
        let spki = SubjectPublicKeyInfoOwned::from_der(theirs.as_ref()).unwrap();
        assert_eq!(PublicKey::of(&spki).unwrap().point, signer.public.point);
    }
}
