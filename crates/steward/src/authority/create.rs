// SPDX-License-Identifier: Apache-2.0

//! Making authorities: a root, an intermediate under it, and the request for one whose root is on another machine.

use std::fmt;

use der::asn1::{Any, OctetString};
use der::{Decode as _, Encode as _};
use types::limits;
use types::time::Timestamp;
use x509_cert::certificate::Version;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::name::RdnSequence;
use x509_cert::request::{CertReq, CertReqInfo, Version as RequestVersion};
use x509_cert::serial_number::SerialNumber;

use super::signer::{PublicKey, Signer};
use super::{Authority, AuthorityError, internal};
use crate::x509;

/// How long a new root is valid, in seconds: ten years of 365.25 days.
pub const CA_SECONDS: u64 = 315_576_000;
/// How long a new intermediate is valid unless told otherwise, in days.
pub const INTERMEDIATE_DAYS: u32 = 90;
/// Label of a request in PEM.
const REQUEST_LABEL: &str = "CERTIFICATE REQUEST";
/// Digits of the key identifier in an intermediate's name.
const NAME_DIGITS: usize = 8;

/// The certificate of a CA that was just made.
#[derive(Clone, Debug)]
pub struct NewCertificate {
    /// Its chain as PEM, its own certificate first.
    pub chain_pem: String,
    /// Its own certificate, DER.
    pub der: Vec<u8>,
    /// Its last second.
    pub not_after: Timestamp,
}

impl NewCertificate {
    /// The last certificate of the chain, PEM.
    ///
    /// # Errors
    /// [`AuthorityError::Chain`]: there is none.
    pub fn root_pem(&self) -> Result<String, AuthorityError> {
        let blocks = super::chain::blocks(self.chain_pem.as_bytes())?;
        let last = blocks.last().ok_or(AuthorityError::Chain)?;
        x509::to_pem("CERTIFICATE", last).map_err(internal)
    }
}

/// Checks a common name: 1 to 64 printable characters.
fn name(common_name: &str) -> Result<Any, AuthorityError> {
    let characters = common_name.chars().count();
    if !(1..=x509::COMMON_NAME_CHARS_MAX).contains(&characters)
        || common_name.chars().any(char::is_control)
    {
        return Err(AuthorityError::Name);
    }
    x509::name(&[(x509::COMMON_NAME, common_name)]).map_err(internal)
}

/// The name of an intermediate: `base`, and the beginning of its key identifier, so that no two are of one name.
fn intermediate_name(base: &str, key: &PublicKey) -> Result<Any, AuthorityError> {
    let digits: String = hex::encode(key.id()).chars().take(NAME_DIGITS).collect();
    name(&format!("{base} {digits}"))
}

/// The name that an intermediate was made with; none if it has another shape.
pub fn base_of(common_name: &str) -> Option<&str> {
    let (base, digits) = common_name.rsplit_once(' ')?;
    let hex = digits.len() == NAME_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
    (hex && !base.is_empty()).then_some(base)
}

/// What a CA certificate says, but for its signature.
struct Content<'a> {
    subject: &'a Any,
    key: &'a PublicKey,
    issuer: &'a Any,
    issuer_key_id: &'a [u8],
    window: (Timestamp, Timestamp),
    path_length: u8,
}

/// The certificate, signed by `signer`.
fn certificate(content: &Content<'_>, signer: &Signer) -> Result<Vec<u8>, AuthorityError> {
    let algorithm = signer.public().suite.algorithm();
    let serial = x509::serial().map_err(internal)?;
    let build = || {
        let constraints =
            BasicConstraints { ca: true, path_len_constraint: Some(content.path_length) };
        x509::Tbs {
            version: Version::V3,
            serial: SerialNumber::new(&serial)?,
            signature: algorithm.clone(),
            issuer: content.issuer.clone(),
            validity: x509::validity(content.window.0, content.window.1)?,
            subject: content.subject.clone(),
            spki: Any::encode_from(&content.key.spki()?)?,
            extensions: vec![
                x509::extension(true, &constraints)?,
                x509::extension(true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?,
                x509::extension(false, &SubjectKeyIdentifier(OctetString::new(content.key.id())?))?,
                x509::extension(
                    false,
                    &AuthorityKeyIdentifier {
                        key_identifier: Some(OctetString::new(content.issuer_key_id)?),
                        ..AuthorityKeyIdentifier::default()
                    },
                )?,
            ],
        }
        .to_der()
    };
    let tbs = build().map_err(internal)?;
    let signature = signer.sign(&tbs)?;
    x509::assemble(&tbs, algorithm, &signature).map_err(internal)
}

/// Makes a root: self-signed, for ten years from `not_before` on. It may issue for Keeps itself, or have intermediates.
///
/// # Errors
/// [`AuthorityError::Name`] if `common_name` (1 to 64 characters) is refused, or what the key says.
pub fn root(
    common_name: &str,
    signer: &Signer,
    not_before: Timestamp,
) -> Result<NewCertificate, AuthorityError> {
    let subject = name(common_name)?;
    let window = (not_before, not_before.plus(CA_SECONDS));
    let content = Content {
        subject: &subject,
        key: signer.public(),
        issuer: &subject,
        issuer_key_id: &signer.public().id(),
        window,
        path_length: 1,
    };
    let der = certificate(&content, signer)?;
    let chain_pem = x509::to_pem("CERTIFICATE", &der).map_err(internal)?;
    // What cannot be used is not given out.
    super::chain::read(chain_pem.as_bytes(), not_before)?;
    Ok(NewCertificate { chain_pem, der, not_after: window.1 })
}

/// The request for an intermediate that is to be called `base` (and the beginning of its key identifier), as PEM.
///
/// # Errors
/// [`AuthorityError::Name`], or what the key says.
pub fn request(base: &str, signer: &Signer) -> Result<String, AuthorityError> {
    let subject = intermediate_name(base, signer.public())?.to_der().map_err(internal)?;
    let info = || -> der::Result<CertReqInfo> {
        Ok(CertReqInfo {
            version: RequestVersion::V1,
            subject: x509_cert::name::Name::from_der(&subject)?,
            public_key: signer.public().spki()?,
            attributes: Default::default(),
        })
    };
    let info = info().map_err(internal)?;
    let signature = signer.sign(&info.to_der().map_err(internal)?)?;
    let request = CertReq {
        info,
        algorithm: signer.public().suite.algorithm(),
        signature: der::asn1::BitString::from_bytes(&signature).map_err(internal)?,
    };
    x509::to_pem(REQUEST_LABEL, &request.to_der().map_err(internal)?).map_err(internal)
}

/// Who asks to become an intermediate.
pub struct Candidate {
    key: PublicKey,
    base: String,
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Candidate {
    /// Whoever has this key, to be called `base` (and the beginning of the key identifier).
    pub fn new(base: &str, signer: &Signer) -> Self {
        Self { key: signer.public().clone(), base: base.to_owned() }
    }

    /// Whoever made this request (PEM), and has its key. Nothing of it counts but key and common name.
    ///
    /// # Errors
    /// [`AuthorityError::Request`]
    pub fn from_request(pem: &[u8]) -> Result<Self, AuthorityError> {
        if pem.len() > limits::REQUEST_BYTES_MAX {
            return Err(AuthorityError::Request("it is too long"));
        }
        let read = || {
            let (label, der) = der::pem::decode_vec(pem).ok()?;
            let request = CertReq::from_der(&der).ok().filter(|_| label == REQUEST_LABEL)?;
            Some((x509::split(&der).ok()?, request))
        };
        let (signed, request) =
            read().ok_or(AuthorityError::Request("it is no PEM of a certificate request"))?;
        let key = PublicKey::of(&request.info.public_key)
            .ok_or(AuthorityError::Request("its key is neither of P-256 nor of P-384"))?;
        let signature = signed.signature.as_bytes().unwrap_or_default();
        if signed.algorithm != key.suite.algorithm() || !key.verify(&signed.tbs, signature) {
            return Err(AuthorityError::Request("it is not signed by its own key"));
        }
        let subject = request.info.subject.to_der().map_err(internal)?;
        let common_name = common_name(&subject)
            .ok_or(AuthorityError::Request("it does not ask for exactly one common name"))?;
        let base = base_of(&common_name).unwrap_or(&common_name).to_owned();
        Ok(Self { key, base })
    }

    /// The same, under another name.
    #[must_use]
    pub fn named(self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self }
    }
}

/// The only common name in a DER name, if there is exactly one and nothing else.
pub fn common_name(name: &[u8]) -> Option<String> {
    use der::asn1::{PrintableStringRef, Utf8StringRef};
    let sequence = RdnSequence::from_der(name).ok()?;
    let mut attributes = sequence.as_ref().iter().flat_map(|rdn| rdn.as_ref().iter());
    let only = attributes.next().filter(|attribute| attribute.oid == x509::COMMON_NAME)?;
    if attributes.next().is_some() {
        return None;
    }
    only.value
        .decode_as::<Utf8StringRef<'_>>()
        .map(|text| text.as_str().to_owned())
        .or_else(|_| {
            only.value.decode_as::<PrintableStringRef<'_>>().map(|text| text.as_str().to_owned())
        })
        .ok()
}

/// Makes an intermediate under `root`, for `days` (at least one) from `not_before` on, and not for longer than the root. It
/// issues for Keeps, and has no CAs below it.
///
/// # Errors
/// [`AuthorityError::Name`], or that the root's path length does not allow it, or what the root's key says.
pub fn intermediate(
    candidate: &Candidate,
    root: &Authority,
    not_before: Timestamp,
    days: u32,
    now: Timestamp,
) -> Result<NewCertificate, AuthorityError> {
    let subject = intermediate_name(&candidate.base, &candidate.key)?;
    let first = not_before.max(root.not_before());
    let last = first.plus(u64::from(days.max(1)) * 86_400).min(root.not_after());
    let content = Content {
        subject: &subject,
        key: &candidate.key,
        issuer: root.subject(),
        issuer_key_id: root.key_id(),
        window: (first, last),
        path_length: 0,
    };
    let der = certificate(&content, &root.signer)?;
    let mut chain_pem = x509::to_pem("CERTIFICATE", &der).map_err(internal)?;
    chain_pem.push_str(&root.chain_pem()?);
    super::chain::read(chain_pem.as_bytes(), now)?;
    Ok(NewCertificate { chain_pem, der, not_after: last })
}
