// SPDX-License-Identifier: Apache-2.0

//! The certificate authority: the issuer's certificate, its key, and making a new one.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    EcdsaVerificationAlgorithm, KeyPair as _, UnparsedPublicKey,
};
use const_oid::ObjectIdentifier;
use der::asn1::{Any, OctetString};
use der::pem::PemLabel;
use der::{Decode as _, Encode as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use spki::AlgorithmIdentifierOwned;
use types::limits;
use types::time::Timestamp;
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::serial_number::SerialNumber;
use zeroize::Zeroize as _;

use crate::x509;

/// How long a new CA is valid, in seconds: ten years of 365.25 days.
pub const CA_SECONDS: u64 = 315_576_000;
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

/// Why there is no authority, or why it does not sign.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The certificate file is no PEM with 1 to 8 certificates.
    Chain,
    /// The key file is no PEM with one P-256 or P-384 key (PKCS#8 or SEC 1).
    Key,
    /// The key is not that of the first certificate.
    OtherKey,
    /// The first certificate may not issue certificates, and why.
    NoIssuer(&'static str),
    /// The first certificate's time: not yet, or no more; its first and last second.
    Expired(Timestamp, Timestamp),
    /// A certificate of the chain did not issue the one before it; its place, counted from 1.
    Order(usize),
    /// The system's cryptography or an encoding failed.
    Internal(String),
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain => write!(
                f,
                "the CA file is no PEM with 1 to {} CERTIFICATE blocks, the issuer's first; `steward ca init` makes one",
                limits::CHAIN_CERTIFICATES_MAX
            ),
            Self::Key => f.write_str(
                "the CA key is no PEM block PRIVATE KEY or EC PRIVATE KEY with a P-256 or P-384 key; `steward ca init` makes one",
            ),
            Self::OtherKey => f.write_str(
                "the CA key does not belong to the first certificate of the CA file; the issuer's own certificate comes first",
            ),
            Self::NoIssuer(why) => {
                write!(f, "the first certificate of the CA file may not issue certificates: {why}")
            }
            Self::Expired(first, last) => write!(
                f,
                "the CA certificate is valid from {first} to {last} only; check the clock, or make a new one"
            ),
            Self::Order(place) => write!(
                f,
                "certificate {place} of the CA file did not issue the one before it; the order is issuer, then each one's issuer"
            ),
            Self::Internal(why) => write!(f, "the CA failed: {why}"),
        }
    }
}

impl std::error::Error for AuthorityError {}

fn internal(error: impl fmt::Display) -> AuthorityError {
    AuthorityError::Internal(error.to_string())
}

/// The algorithm that goes with the CA's key.
#[derive(Clone, Copy)]
struct Suite {
    signing: &'static EcdsaSigningAlgorithm,
    verification: &'static EcdsaVerificationAlgorithm,
    oid: ObjectIdentifier,
}

const P384: Suite = Suite {
    signing: &ECDSA_P384_SHA384_ASN1_SIGNING,
    verification: &ECDSA_P384_SHA384_ASN1,
    oid: ECDSA_WITH_SHA384,
};
const P256: Suite = Suite {
    signing: &ECDSA_P256_SHA256_ASN1_SIGNING,
    verification: &ECDSA_P256_SHA256_ASN1,
    oid: ECDSA_WITH_SHA256,
};

/// An issuer with its key.
pub struct Authority {
    key: EcdsaKeyPair,
    suite: Suite,
    /// DER, the issuer first.
    chain: Vec<Vec<u8>>,
    subject: Any,
    key_id: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
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
        let chain = read_chain(chain_pem)?;
        let parsed = chain
            .iter()
            .map(|der| Certificate::from_der(der).map_err(|_| AuthorityError::Chain))
            .collect::<Result<Vec<_>, _>>()?;
        let Some(issuer) = parsed.first() else {
            return Err(AuthorityError::Chain);
        };
        for (place, pair) in parsed.windows(2).enumerate() {
            if let [below, above] = pair
                && below.tbs_certificate().issuer() != above.tbs_certificate().subject()
            {
                return Err(AuthorityError::Order(place + 2));
            }
        }
        let (key, suite) = read_key(key_pem)?;
        let tbs = issuer.tbs_certificate();
        let public = tbs.subject_public_key_info().subject_public_key.raw_bytes();
        if public != key.public_key().as_ref() {
            return Err(AuthorityError::OtherKey);
        }
        may_issue(issuer)?;
        let (not_before, not_after) =
            (x509::seconds(&tbs.validity().not_before), x509::seconds(&tbs.validity().not_after));
        if now < not_before || now >= not_after {
            return Err(AuthorityError::Expired(not_before, not_after));
        }
        let key_id = match tbs.get_extension::<SubjectKeyIdentifier>() {
            Ok(Some((_, id))) => id.0.as_bytes().to_vec(),
            _ => x509::key_id(public).to_vec(),
        };
        let subject = tbs.subject().to_der().map_err(internal)?;
        Ok(Self {
            key,
            suite,
            chain,
            subject: Any::from_der(&subject).map_err(internal)?,
            key_id,
            not_before,
            not_after,
        })
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
        self.chain.iter().map(|der| to_pem(Certificate::PEM_LABEL, der)).collect()
    }

    /// The issuer's first second.
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The issuer's last second.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    pub(crate) fn subject(&self) -> &Any {
        &self.subject
    }

    pub(crate) fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    pub(crate) fn algorithm(&self) -> AlgorithmIdentifierOwned {
        x509::algorithm(self.suite.oid)
    }

    /// Signs `message`; the signature as DER.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, AuthorityError> {
        sign(&self.key, message)
    }

    /// Whether `signature` (DER) is this issuer's over `message`.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.suite.verification, self.key.public_key().as_ref())
            .verify(message, signature)
            .is_ok()
    }
}

fn sign(key: &EcdsaKeyPair, message: &[u8]) -> Result<Vec<u8>, AuthorityError> {
    key.sign(&SystemRandom::new(), message)
        .map(|signature| signature.as_ref().to_vec())
        .map_err(|_| internal("signing failed"))
}

fn read_key(pem: &[u8]) -> Result<(EcdsaKeyPair, Suite), AuthorityError> {
    let mut key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| AuthorityError::Key)?;
    let pair = [P384, P256].into_iter().find_map(|suite| {
        EcdsaKeyPair::from_private_key_der(suite.signing, key.secret_der())
            .ok()
            .map(|pair| (pair, suite))
    });
    key.zeroize();
    pair.ok_or(AuthorityError::Key)
}

fn read_chain(pem: &[u8]) -> Result<Vec<Vec<u8>>, AuthorityError> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .take(limits::CHAIN_CERTIFICATES_MAX + 1)
        .map(|der| match der {
            Ok(der) if der.len() <= limits::CERTIFICATE_BYTES_MAX => Ok(der.to_vec()),
            _ => Err(AuthorityError::Chain),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if chain.is_empty() || chain.len() > limits::CHAIN_CERTIFICATES_MAX {
        return Err(AuthorityError::Chain);
    }
    Ok(chain)
}

fn may_issue(issuer: &Certificate) -> Result<(), AuthorityError> {
    let tbs = issuer.tbs_certificate();
    if tbs.version() != Version::V3 {
        return Err(AuthorityError::NoIssuer("it is not of version 3"));
    }
    match tbs.get_extension::<BasicConstraints>() {
        Ok(Some((_, constraints))) if constraints.ca => {}
        _ => return Err(AuthorityError::NoIssuer("its basic constraints are not cA")),
    }
    match tbs.get_extension::<KeyUsage>() {
        Ok(None) => {}
        Ok(Some((_, usage))) if usage.key_cert_sign() => {}
        _ => return Err(AuthorityError::NoIssuer("its key usage lacks keyCertSign")),
    }
    if tbs.subject().is_empty() {
        return Err(AuthorityError::NoIssuer("its subject is empty"));
    }
    Ok(())
}

fn to_pem(label: &str, der: &[u8]) -> Result<String, AuthorityError> {
    der::pem::encode_string(label, der::pem::LineEnding::LF, der).map_err(internal)
}

/// A new root, as PEM.
pub struct NewAuthority {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key, PKCS#8. Wiped when dropped.
    pub key_pem: zeroize::Zeroizing<String>,
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

/// Makes a root that issues end-entity certificates only: P-384, self-signed, for ten years from `not_before` on.
///
/// # Errors
/// [`AuthorityError::Internal`] if the system's randomness fails or `common_name` (1 to 64 characters) is refused.
pub fn generate(common_name: &str, not_before: Timestamp) -> Result<NewAuthority, AuthorityError> {
    let characters = common_name.chars().count();
    if !(1..=x509::COMMON_NAME_CHARS_MAX).contains(&characters)
        || common_name.chars().any(char::is_control)
    {
        return Err(internal("the common name needs 1 to 64 printable characters"));
    }
    let key = EcdsaKeyPair::generate(P384.signing).map_err(internal)?;
    let public = key.public_key();
    let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(public).map_err(internal)?;
    let name = x509::name(&[(x509::COMMON_NAME, common_name)]).map_err(internal)?;
    let not_after = not_before.plus(CA_SECONDS);
    let serial = x509::serial().map_err(internal)?;
    let build = || {
        let key_id = OctetString::new(x509::key_id(public.as_ref()))?;
        x509::Tbs {
            version: Version::V3,
            serial: SerialNumber::new(&serial)?,
            signature: x509::algorithm(P384.oid),
            issuer: name.clone(),
            validity: x509::validity(not_before, not_after)?,
            subject: name.clone(),
            spki: Any::from_der(spki.as_ref())?,
            extensions: vec![
                x509::extension(
                    true,
                    &BasicConstraints { ca: true, path_len_constraint: Some(0) },
                )?,
                x509::extension(true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?,
                x509::extension(false, &SubjectKeyIdentifier(key_id.clone()))?,
                x509::extension(
                    false,
                    &AuthorityKeyIdentifier {
                        key_identifier: Some(key_id),
                        ..AuthorityKeyIdentifier::default()
                    },
                )?,
            ],
        }
        .to_der()
    };
    let tbs = build().map_err(internal)?;
    let signature = sign(&key, &tbs)?;
    let certificate_der =
        x509::assemble(&tbs, x509::algorithm(P384.oid), &signature).map_err(internal)?;
    let pkcs8 = key.to_pkcs8v1().map_err(internal)?;
    let new = NewAuthority {
        certificate_pem: to_pem(Certificate::PEM_LABEL, &certificate_der)?,
        key_pem: zeroize::Zeroizing::new(to_pem("PRIVATE KEY", pkcs8.as_ref())?),
        certificate_der,
        not_after,
    };
    // What cannot be used again is not given out.
    Authority::from_pem(new.certificate_pem.as_bytes(), new.key_pem.as_bytes(), not_before)?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000);

    #[test]
    fn a_new_root_is_what_it_should_be() {
        let new = generate("Example CA", NOW).unwrap();
        let authority =
            Authority::from_pem(new.certificate_pem.as_bytes(), new.key_pem.as_bytes(), NOW)
                .unwrap();
        assert_eq!(authority.not_after(), NOW.plus(CA_SECONDS));
        assert_eq!(authority.chain_pem().unwrap(), new.certificate_pem);
        let parsed = Certificate::from_der(&new.certificate_der).unwrap();
        let tbs = parsed.tbs_certificate();
        assert_eq!(tbs.subject(), tbs.issuer());
        assert_eq!(tbs.serial_number().as_bytes().len(), 16);
        let (critical, constraints) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
        assert!(critical && constraints.ca && constraints.path_len_constraint == Some(0));
        let (critical, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
        assert!(critical && usage.key_cert_sign() && usage.crl_sign());
        assert!(!usage.digital_signature());
        assert!(format!("{authority:?} {new:?}").find("PRIVATE").is_none());
    }

    #[test]
    fn common_names_are_bounded() {
        for name in ["", "a\nb", &"x".repeat(65)] {
            assert!(generate(name, NOW).is_err(), "{name:?}");
        }
    }

    #[test]
    fn pieces_that_do_not_fit_are_refused() {
        let (a, b) = (generate("A", NOW).unwrap(), generate("B", NOW).unwrap());
        let load = |chain: &str, key: &str, now| {
            Authority::from_pem(chain.as_bytes(), key.as_bytes(), now).unwrap_err()
        };
        assert_eq!(load(&a.certificate_pem, &b.key_pem, NOW), AuthorityError::OtherKey);
        assert_eq!(load("", &a.key_pem, NOW), AuthorityError::Chain);
        assert_eq!(load(&a.key_pem, &a.key_pem, NOW), AuthorityError::Chain);
        assert_eq!(load(&a.certificate_pem, &a.certificate_pem, NOW), AuthorityError::Key);
        let both = format!("{}{}", a.certificate_pem, b.certificate_pem);
        assert_eq!(load(&both, &a.key_pem, NOW), AuthorityError::Order(2));
        assert_eq!(load(&a.certificate_pem.repeat(9), &a.key_pem, NOW), AuthorityError::Chain);
        for time in [NOW.minus(86_400), NOW.plus(CA_SECONDS)] {
            assert!(matches!(
                load(&a.certificate_pem, &a.key_pem, time),
                AuthorityError::Expired(..)
            ));
        }
    }

    #[test]
    fn a_leaf_is_no_issuer() {
        let ca = testkit::pki::DevCa::generate("CA", NOW).unwrap();
        let (chain, key) = ca.issue_localhost(NOW).unwrap();
        let error = Authority::from_pem(chain.as_bytes(), key.as_bytes(), NOW).unwrap_err();
        assert!(matches!(error, AuthorityError::NoIssuer(_)), "{error}");
        // A P-256 root, made elsewhere, serves as well.
        let (root, key) = (ca.certificate_pem(), ca.key_pem());
        assert!(Authority::from_pem(root.as_bytes(), key.as_bytes(), NOW).is_ok());
    }
}
