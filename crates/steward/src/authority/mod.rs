// SPDX-License-Identifier: Apache-2.0

//! The certificate authority: the issuer's chain and its key.
//!
//! | module | what it does |
//! |---|---|
//! | `signer` | the private key: where it is, and signing with it |
//! | `pkcs11` | a key that stays in a token |
//! | `chain` | whether relying parties would accept the chain |
//! | [`create`] | making roots and intermediates |
//! | [`crl`] | revocation lists |
//! | [`directory`] | where an intermediate in service is kept |

pub mod create;
pub mod crl;
pub mod directory;

mod chain;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod signer;

pub use create::CA_SECONDS;
#[cfg(feature = "pkcs11")]
pub use pkcs11::{TokenError, Uri, UriError};
pub use signer::{KeyError, KeySource, Signer};

use std::fmt;

use der::asn1::Any;
use der::{Decode as _, Encode as _};
use spki::AlgorithmIdentifierOwned;
use types::time::Timestamp;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, SubjectKeyIdentifier};
use zeroize::Zeroizing;

use crate::x509;
use signer::PublicKey;

/// Why there is no authority, or why it does not sign.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The certificate file is no PEM with 1 to 7 certificates.
    Chain,
    /// The key file is no PEM with one P-256 or P-384 key (PKCS#8 or SEC 1).
    Key,
    /// The key is not that of the first certificate.
    OtherKey,
    /// A certificate may not issue the one before it, or those of Keeps; its place, counted from 1, and why.
    NoIssuer(usize, &'static str),
    /// A certificate's time: not yet, or no more; its place, its first and last second.
    Expired(usize, Timestamp, Timestamp),
    /// A certificate of the chain did not issue the one before it; its place, counted from 1, and why.
    Order(usize, &'static str),
    /// The signature of a certificate is not that of the one above it; its place, counted from 1.
    Signature(usize),
    /// A common name that a CA cannot have.
    Name,
    /// A certificate request that nothing is signed for, and why.
    Request(&'static str),
    /// The key is in a token that cannot be reached at the moment, with its words.
    Unavailable(String),
    /// The system's cryptography or an encoding failed.
    Internal(String),
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain => write!(
                f,
                "the CA file is no PEM with 1 to {} CERTIFICATE blocks, the issuer's first; `steward ca init` makes one",
                chain::CERTIFICATES_MAX
            ),
            Self::Key => f.write_str(
                "the CA key is no PEM block PRIVATE KEY or EC PRIVATE KEY with a P-256 or P-384 key; `steward ca init` makes one",
            ),
            Self::OtherKey => f.write_str(
                "the CA key does not belong to the first certificate of the CA file; the issuer's own certificate comes first",
            ),
            Self::NoIssuer(place, why) => {
                write!(f, "certificate {place} of the CA file may not issue what it would: {why}")
            }
            Self::Expired(place, first, last) => write!(
                f,
                "certificate {place} of the CA file is valid from {first} to {last} only; check the clock, or make a new one"
            ),
            Self::Order(place, why) => write!(
                f,
                "certificate {place} of the CA file did not issue the one before it: {why}; the order is issuer, then each one's issuer"
            ),
            Self::Signature(place) => write!(
                f,
                "the signature of certificate {place} of the CA file is not by the key of the one that should have issued it"
            ),
            Self::Name => f.write_str("the common name needs 1 to 64 printable characters, those of an intermediate 1 to 55"),
            Self::Request(why) => write!(f, "the certificate request is refused: {why}"),
            Self::Unavailable(why) => write!(f, "the CA's key cannot be used at the moment: {why}"),
            Self::Internal(why) => write!(f, "the CA failed: {why}"),
        }
    }
}

impl std::error::Error for AuthorityError {}

fn internal(error: impl fmt::Display) -> AuthorityError {
    AuthorityError::Internal(error.to_string())
}

/// An issuer with its key.
pub struct Authority {
    signer: Signer,
    public: PublicKey,
    /// DER, the issuer first.
    chain: Vec<Vec<u8>>,
    subject: Any,
    key_id: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    /// Whether CAs are allowed below it.
    above_others: bool,
    /// Whether certificates say where its revocation list is.
    names_list: bool,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("certificates", &self.chain.len())
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Takes a chain (PEM, issuer first) and the issuer's key (PEM, PKCS#8 or SEC 1).
    ///
    /// # Errors
    /// See [`AuthorityError`]: the pieces do not fit, or the issuer may not issue at `now`.
    pub fn from_pem(
        chain_pem: &[u8],
        key_pem: &[u8],
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        Self::new(chain_pem, Signer::from_pem(key_pem)?, now)
    }

    /// Takes a chain (PEM, issuer first) and the issuer's key.
    ///
    /// # Errors
    /// As [`Self::from_pem`].
    pub fn new(chain_pem: &[u8], signer: Signer, now: Timestamp) -> Result<Self, AuthorityError> {
        let chain = chain::read(chain_pem, now)?;
        let tbs = chain.issuer.tbs_certificate();
        let public = public_key(&chain.issuer)?;
        if public.point != signer.public().point {
            return Err(AuthorityError::OtherKey);
        }
        let key_id = subject_key_id(&chain.issuer, &public);
        let above_others = match tbs.get_extension::<BasicConstraints>() {
            Ok(Some((_, constraints))) => constraints.path_len_constraint != Some(0),
            _ => true,
        };
        let subject = tbs.subject().to_der().map_err(internal)?;
        Ok(Self {
            signer,
            public,
            subject: Any::from_der(&subject).map_err(internal)?,
            key_id,
            not_before: chain.not_before,
            not_after: chain.not_after,
            above_others,
            names_list: false,
            chain: chain.der,
        })
    }

    /// The same, with certificates that say where its revocation list is (instead of that there is none).
    #[must_use]
    pub fn naming_list(self) -> Self {
        Self { names_list: true, ..self }
    }

    /// Whether certificates say where its revocation list is.
    pub const fn names_list(&self) -> bool {
        self.names_list
    }

    /// Whether it issues for Keeps only, so that nothing of it lives longer than their certificates.
    const fn issues_for_keeps(&self) -> bool {
        !self.above_others
    }

    /// The chain, DER, the issuer first.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The chain as PEM, the issuer first.
    ///
    /// # Errors
    /// None in practice: the chain was parsed from PEM.
    pub fn chain_pem(&self) -> Result<String, AuthorityError> {
        self.chain.iter().map(|der| x509::to_pem("CERTIFICATE", der).map_err(internal)).collect()
    }

    /// The first second of issuer and all above it.
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The last second of issuer and all above it.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    pub(crate) const fn subject(&self) -> &Any {
        &self.subject
    }

    pub(crate) fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    pub(crate) fn algorithm(&self) -> AlgorithmIdentifierOwned {
        self.public.suite.algorithm()
    }

    /// Whether the key signs now. A key in memory always does.
    ///
    /// # Errors
    /// [`AuthorityError::Unavailable`]
    pub fn try_out(&self) -> Result<(), AuthorityError> {
        self.signer.try_out()
    }

    /// Signs `message`; the signature as DER.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AuthorityError> {
        self.signer.sign(message)
    }

    /// Whether `signature` (DER) is this issuer's over `message`.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify(message, signature)
    }
}

/// What a CA file says of its first certificate. Nothing of it is checked.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// Identifier of its key as Steward derives it, hex: the name of its directory.
    pub key_id: String,
    /// Identifier of its key as the certificate has it, hex: the name of what it publishes.
    pub subject_key_id: String,
    /// Its last second.
    pub not_after: Timestamp,
    /// Its common name, without what intermediates have behind it, if that is all of its name.
    pub base_name: Option<String>,
}

/// Reads the first certificate of a CA file (PEM).
///
/// # Errors
/// [`AuthorityError::Chain`], or [`AuthorityError::NoIssuer`] if its key is not one that a CA may have.
pub fn inspect(pem: &[u8]) -> Result<Inspected, AuthorityError> {
    let der = chain::blocks(pem)?.into_iter().next().ok_or(AuthorityError::Chain)?;
    let certificate = Certificate::from_der(&der).map_err(|_| AuthorityError::Chain)?;
    let tbs = certificate.tbs_certificate();
    let key = public_key(&certificate)?;
    let subject = tbs.subject().to_der().map_err(internal)?;
    let base_name = create::common_name(&subject)
        .map(|name| create::base_of(&name).map(str::to_owned).unwrap_or(name));
    Ok(Inspected {
        key_id: hex::encode(key.id()),
        subject_key_id: hex::encode(subject_key_id(&certificate, &key)),
        not_after: x509::seconds(&tbs.validity().not_after),
        base_name,
        der,
    })
}

fn public_key(certificate: &Certificate) -> Result<PublicKey, AuthorityError> {
    PublicKey::of(certificate.tbs_certificate().subject_public_key_info())
        .ok_or(AuthorityError::NoIssuer(1, "its key is neither of P-256 nor of P-384"))
}

fn subject_key_id(certificate: &Certificate, key: &PublicKey) -> Vec<u8> {
    match certificate.tbs_certificate().get_extension::<SubjectKeyIdentifier>() {
        Ok(Some((_, id))) => id.0.as_bytes().to_vec(),
        _ => key.id().to_vec(),
    }
}

/// A new root with its key.
pub struct NewAuthority {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The private key, PEM (PKCS#8). Wiped when dropped.
    pub key_pem: Zeroizing<String>,
    /// The certificate, DER.
    pub certificate_der: Vec<u8>,
    /// Its last second.
    pub not_after: Timestamp,
}

impl fmt::Debug for NewAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAuthority").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// Makes a root with a new key: P-384, self-signed, for ten years from `not_before` on.
///
/// # Errors
/// [`AuthorityError::Internal`] if the system's randomness fails, [`AuthorityError::Name`] if `common_name` is refused.
pub fn generate(common_name: &str, not_before: Timestamp) -> Result<NewAuthority, AuthorityError> {
    let (signer, key_pem) = Signer::generate()?;
    let new = create::root(common_name, &signer, not_before)?;
    let (certificate_pem, certificate_der) = (new.chain_pem, new.der);
    Ok(NewAuthority { certificate_pem, key_pem, certificate_der, not_after: new.not_after })
}

#[cfg(test)]
mod tests;
