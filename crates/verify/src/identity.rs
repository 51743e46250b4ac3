// SPDX-License-Identifier: Apache-2.0

//! From a chain to an identity.

use std::net::IpAddr;

use const_oid::AssociatedOid;
use der::Decode;
use der::asn1::{Ia5StringRef, ObjectIdentifier};
use evidence::result::{AttestationResult, CERTIFICATE_POLICY, EXTENSION};
use rustls::pki_types::CertificateDer;
use types::digest::Sha256;
use types::peer::{Attested, Peer};
use types::slug::{self, Slug};
use types::time::Timestamp;
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{CertificatePolicies, SubjectAltName};

use crate::{Anchors, Refusal, Requirements, VerifyError, path};

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
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// What a chain (leaf first, DER) proves at `now`, if that is what is required: [`identify`] and [`Requirements::check`] in one.
///
/// # Errors
/// [`Refusal`].
pub fn verify_chain(
    chain: &[CertificateDer<'_>],
    anchors: &Anchors,
    requirements: &Requirements,
    now: Timestamp,
    usage: Usage,
) -> Result<Identity, Refusal> {
    let identity = identify(chain, anchors, now, usage)?;
    requirements.check(&identity, now)?;
    Ok(identity)
}

/// What a chain (leaf first, DER) proves at `now`, whatever that is.
///
/// # Errors
/// [`VerifyError`]; there is no identity that must be checked twice.
pub fn identify(
    chain: &[CertificateDer<'_>],
    anchors: &Anchors,
    now: Timestamp,
    usage: Usage,
) -> Result<Identity, VerifyError> {
    path::validate(chain, anchors, now, usage)?;
    let leaf = chain.first().ok_or(VerifyError::Chain)?;
    read(leaf)
}

/// Reads a certificate whose path is verified.
fn read(der: &[u8]) -> Result<Identity, VerifyError> {
    let certificate =
        Certificate::from_der(der).map_err(|error| VerifyError::Malformed(error.to_string()))?;
    let tbs = certificate.tbs_certificate();
    let mut with_result = tbs.extensions().into_iter().flatten().filter(|e| e.extn_id == EXTENSION);
    let result = match (with_result.next(), with_result.next()) {
        (Some(one), None) => one.extn_value.as_bytes(),
        (None, _) => return Err(VerifyError::NoResult),
        (Some(_), Some(_)) => {
            return Err(VerifyError::Malformed("it has two attestation results".to_owned()));
        }
    };
    let result = AttestationResult::from_extension(result).map_err(VerifyError::Result)?;
    let names = match extension(&certificate)? {
        Some(alternatives) => names(alternatives)?,
        None => Names::default(),
    };
    let workload = result.facts.workload.as_ref();
    if names.digest.as_ref() != workload.map(|w| &w.digest) {
        return Err(VerifyError::Names("the digest"));
    }
    if names.slug.as_ref() != workload.and_then(|w| w.slug.as_ref()) {
        return Err(VerifyError::Names("the workload's name"));
    }
    let policy_uri = extension(&certificate)?.map(policy_uri).transpose()?.flatten();
    let tail = format!("/policy/{}", result.policy.to_hex());
    if policy_uri.as_ref().is_some_and(|uri| !uri.ends_with(&tail)) {
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

fn extension<T: AssociatedOid + for<'a> Decode<'a>>(
    certificate: &Certificate,
) -> Result<Option<T>, VerifyError> {
    path::extension(certificate).map_err(VerifyError::Malformed)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn peer(result: &AttestationResult) -> Peer {
    let facts = &result.facts;
    let attested = Attested {
        tee: facts.tee.name().to_owned(),
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

fn names(alternatives: SubjectAltName) -> Result<Names, VerifyError> {
    let malformed =
        |what: &str| VerifyError::Malformed(format!("subject alternative name: {what}"));
    let mut names = Names::default();
    for name in alternatives.0 {
        match name {
            GeneralName::UniformResourceIdentifier(uri) if uri.as_str().starts_with("ni:") => {
                let digest =
                    Sha256::from_ni(uri.as_str()).map_err(|error| malformed(&error.to_string()))?;
                if names.digest.replace(digest).is_some() {
                    return Err(malformed("two digests"));
                }
            }
            GeneralName::UniformResourceIdentifier(uri) => {
                let slug =
                    Slug::from_uri(uri.as_str()).map_err(|error| malformed(&error.to_string()))?;
                if names.slug.replace(slug).is_some() {
                    return Err(malformed("two workloads"));
                }
            }
            GeneralName::DnsName(dns) if is_host(dns.as_str()) => {
                names.dns.push(dns.as_str().to_owned());
            }
            GeneralName::IpAddress(ip) => names.ip.push(
                address(ip.as_bytes())
                    .ok_or_else(|| malformed("an address of a strange length"))?,
            ),
            _ => return Err(malformed("a kind of name that no Steward issues")),
        }
    }
    Ok(names)
}

/// Whether a Steward's policy can grant this name: in lower case, no wildcards, no address.
fn is_host(name: &str) -> bool {
    slug::valid_host(name) && !name.contains(':') && name.parse::<IpAddr>().is_err()
}

/// An address out of its 4 or 16 bytes.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// Whether there is nothing in `text` that could play tricks with a terminal or a log.
fn printable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The CPS URI of our certificate policy; at most one.
fn policy_uri(policies: CertificatePolicies) -> Result<Option<String>, VerifyError> {
    let malformed = |what: &str| VerifyError::Malformed(format!("certificate policies: {what}"));
    let ours = policies.0.into_iter().filter(|p| p.policy_identifier == CERTIFICATE_POLICY);
    let mut uri = None;
    for qualifier in ours.flat_map(|policy| policy.policy_qualifiers.unwrap_or_default()) {
        if qualifier.policy_qualifier_id != CPS {
            continue;
        }
        let text = qualifier
            .qualifier
            .and_then(|any| any.decode_as::<Ia5StringRef<'_>>().map(|t| t.as_str().to_owned()).ok())
            .filter(|text| printable(text))
            .ok_or_else(|| malformed("a CPS that is no URI"))?;
        if uri.replace(text).is_some() {
            return Err(malformed("two CPS URIs"));
        }
    }
    Ok(uri)
}

#[cfg(test)]
mod tests;
