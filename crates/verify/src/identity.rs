// SPDX-License-Identifier: Apache-2.0

//! From a chain to an identity.

use std::net::IpAddr;
use std::time::Duration;

use der::asn1::{Ia5StringRef, ObjectIdentifier};
use der::{Decode as _, Encode as _};
use evidence::result::{AttestationResult, CERTIFICATE_POLICY, EXTENSION};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use types::digest::Sha256;
use types::limits;
use types::peer::{Attested, Peer};
use types::slug::Slug;
use types::time::Timestamp;
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{CertificatePolicies, SubjectAltName};

use crate::{Anchors, VerifyError};

/// id-qt-cps (RFC 5280 section 4.2.1.4).
const CPS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.2.1");

/// In which role the certificate was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// By a TLS client.
    Client,
    /// By a TLS server.
    Server,
}

/// What a certificate of a Steward proves. Every field is backed by a chain to one of the caller's anchors.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The peer as a workload sees it.
    pub peer: Peer,
    /// What the Steward proved.
    pub result: AttestationResult,
    /// The workload's name, if a registry vouches for it; without digest.
    pub slug: Option<Slug>,
    /// Digest of the workload.
    pub digest: Option<Sha256>,
    /// DNS names that the Steward's policy grants to the workload.
    pub dns: Vec<String>,
    /// Addresses that the Steward's policy grants to the workload.
    pub ip: Vec<IpAddr>,
    /// Where the policy can be read, if the certificate says so.
    pub policy_uri: Option<String>,
    /// Subject, RFC 4514.
    pub subject: String,
    /// Issuer, RFC 4514.
    pub issuer: String,
    /// Serial number, hex.
    pub serial: String,
    /// First second of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
    /// The certificate itself, DER.
    pub leaf_der: Vec<u8>,
}

/// What a chain (leaf first, DER) proves at `now`.
///
/// # Errors
/// [`VerifyError`]; there is no identity that must be checked twice.
pub fn identify(
    chain: &[CertificateDer<'_>],
    anchors: &Anchors,
    now: Timestamp,
    usage: Usage,
) -> Result<Identity, VerifyError> {
    verify_path(chain, anchors, now, usage)?;
    let leaf = chain.first().ok_or(VerifyError::Chain)?;
    read(leaf)
}

/// Path validation (RFC 5280) to one of the anchors, for this usage, at `now`.
fn verify_path(
    chain: &[CertificateDer<'_>],
    anchors: &Anchors,
    now: Timestamp,
    usage: Usage,
) -> Result<(), VerifyError> {
    let sensible = chain.len() <= limits::CHAIN_CERTIFICATES_MAX
        && chain.iter().all(|certificate| certificate.len() <= limits::CERTIFICATE_BYTES_MAX);
    let (true, Some((leaf, issuers))) = (sensible, chain.split_first()) else {
        return Err(VerifyError::Chain);
    };
    let anchors = anchors.for_chain(chain, now)?;
    let path = |error: webpki::Error| VerifyError::Path(explain(&error));
    let usage = match usage {
        Usage::Client => webpki::KeyUsage::client_auth(),
        Usage::Server => webpki::KeyUsage::server_auth(),
    };
    let leaf = webpki::EndEntityCert::try_from(leaf).map_err(path)?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(now.0));
    leaf.verify_for_usage(algorithms().all, &anchors, issuers, time, usage, None, None).map_err(path)?;
    Ok(())
}

/// The signature algorithms of our provider.
pub(crate) fn algorithms() -> WebPkiSupportedAlgorithms {
    rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms
}

fn explain(error: &webpki::Error) -> String {
    match error {
        webpki::Error::UnknownIssuer => "its issuer is not trusted".to_owned(),
        webpki::Error::CertExpired { time, not_after } => format!(
            "it expired at {}, and it is {}",
            Timestamp(not_after.as_secs()),
            Timestamp(time.as_secs())
        ),
        webpki::Error::CertNotValidYet { time, not_before } => format!(
            "it is valid from {} on, and it is {}",
            Timestamp(not_before.as_secs()),
            Timestamp(time.as_secs())
        ),
        other => other.to_string(),
    }
}

/// Whether a certificate's own dates hold at `now`. One that does not parse is valid at no time.
pub(crate) fn valid_at(certificate: &[u8], now: Timestamp) -> bool {
    Certificate::from_der(certificate).is_ok_and(|certificate| {
        let validity = certificate.tbs_certificate().validity();
        let (from, to) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
        (from.as_secs()..=to.as_secs()).contains(&now.0)
    })
}

/// Reads a certificate whose path is verified.
fn read(der: &[u8]) -> Result<Identity, VerifyError> {
    let malformed = |error: der::Error| VerifyError::Malformed(error.to_string());
    let certificate = Certificate::from_der(der).map_err(malformed)?;
    let tbs = certificate.tbs_certificate();
    let extension = |oid: ObjectIdentifier| -> Result<Option<&[u8]>, VerifyError> {
        let mut found = tbs.extensions().into_iter().flatten().filter(|e| e.extn_id == oid);
        let first = found.next().map(|e| e.extn_value.as_bytes());
        if found.next().is_some() {
            return Err(VerifyError::Malformed(format!("extension {oid} is there twice")));
        }
        Ok(first)
    };
    let result = extension(EXTENSION)?.ok_or(VerifyError::NoResult)?;
    let result = AttestationResult::from_extension(result).map_err(VerifyError::Result)?;
    let names = match extension(const_oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME)? {
        Some(value) => names(value)?,
        None => Names::default(),
    };
    let workload = result.facts.workload.as_ref();
    if names.digest.as_ref() != workload.map(|w| &w.digest) {
        return Err(VerifyError::Names("the digest"));
    }
    if names.slug.as_ref() != workload.and_then(|w| w.slug.as_ref()) {
        return Err(VerifyError::Names("the workload's name"));
    }
    let policy_uri = match extension(const_oid::db::rfc5280::ID_CE_CERTIFICATE_POLICIES)? {
        Some(value) => policy_uri(value).map_err(malformed)?,
        None => None,
    };
    if policy_uri.as_ref().is_some_and(|uri| !uri.ends_with(&format!("/policy/{}", result.policy.to_hex()))) {
        return Err(VerifyError::Names("the policy"));
    }
    let validity = tbs.validity();
    Ok(Identity {
        peer: peer(&result),
        slug: names.slug,
        digest: names.digest,
        dns: names.dns,
        ip: names.ip,
        policy_uri,
        subject: tbs.subject().to_string(),
        issuer: tbs.issuer().to_string(),
        serial: hex(tbs.serial_number().as_bytes()),
        not_before: Timestamp(validity.not_before.to_unix_duration().as_secs()),
        not_after: Timestamp(validity.not_after.to_unix_duration().as_secs()),
        leaf_der: der.to_vec(),
        result,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn peer(result: &AttestationResult) -> Peer {
    let facts = &result.facts;
    let attested = Attested {
        tee: facts.tee.clone(),
        simulated: facts.simulated,
        measurement: facts.measurement.clone(),
        policy: result.policy,
    };
    match &facts.workload {
        None => Peer::Anonymous,
        Some(workload) => match &workload.slug {
            None => Peer::Local { digest: workload.digest, attested },
            Some(slug) => Peer::Keep { workload: slug.clone(), digest: workload.digest, attested },
        },
    }
}

#[derive(Default)]
struct Names {
    slug: Option<Slug>,
    digest: Option<Sha256>,
    dns: Vec<String>,
    ip: Vec<IpAddr>,
}

fn names(value: &[u8]) -> Result<Names, VerifyError> {
    let malformed = |what: &str| VerifyError::Malformed(format!("subject alternative name: {what}"));
    let alternatives = SubjectAltName::from_der(value).map_err(|error| malformed(&error.to_string()))?;
    let mut names = Names::default();
    for name in alternatives.0 {
        match name {
            GeneralName::UniformResourceIdentifier(uri) if uri.as_str().starts_with("ni:") => {
                let digest = Sha256::from_ni(uri.as_str()).map_err(|error| malformed(&error.to_string()))?;
                if names.digest.replace(digest).is_some() {
                    return Err(malformed("two digests"));
                }
            }
            GeneralName::UniformResourceIdentifier(uri) => {
                let slug = Slug::from_uri(uri.as_str()).map_err(|error| malformed(&error.to_string()))?;
                if names.slug.replace(slug).is_some() {
                    return Err(malformed("two workloads"));
                }
            }
            GeneralName::DnsName(dns) => names.dns.push(dns.as_str().to_owned()),
            GeneralName::IpAddress(ip) => names.ip.push(match ip.as_bytes() {
                bytes if bytes.len() == 4 => <[u8; 4]>::try_from(bytes).map(IpAddr::from),
                bytes => <[u8; 16]>::try_from(bytes).map(IpAddr::from),
            }
            .map_err(|_| malformed("an address of a strange length"))?),
            _ => return Err(malformed("a kind of name that no Steward issues")),
        }
    }
    Ok(names)
}

/// The CPS URI of our certificate policy.
fn policy_uri(value: &[u8]) -> Result<Option<String>, der::Error> {
    let policies = CertificatePolicies::from_der(value)?;
    for policy in policies.0.iter().filter(|policy| policy.policy_identifier == CERTIFICATE_POLICY) {
        for qualifier in policy.policy_qualifiers.iter().flatten().filter(|q| q.policy_qualifier_id == CPS) {
            if let Some(any) = &qualifier.qualifier {
                let der = any.to_der()?;
                return Ok(Some(Ia5StringRef::from_der(&der)?.as_str().to_owned()));
            }
        }
    }
    Ok(None)
}
