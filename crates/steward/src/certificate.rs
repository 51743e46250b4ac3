// SPDX-License-Identifier: Apache-2.0

//! The certificate of a Keep (docs/FORMATS.md section 4). Nothing in it comes from the request but the public key.

use std::net::IpAddr;

use const_oid::db::rfc5280::{ID_AD_CA_ISSUERS, ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH, ID_QT_CPS};
use der::asn1::{Any, Ia5String, OctetString};
use der::{Decode as _, Encode as _};
use evidence::csr::EVIDENCE;
use evidence::result::{AttestationResult, CERTIFICATE_POLICY, EXTENSION, NO_REV_AVAIL};
use spki::SubjectPublicKeyInfoRef;
use types::time::Timestamp;
use x509_cert::certificate::Version;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::certpolicy::{PolicyInformation, PolicyQualifierInfo};
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints,
    CertificatePolicies, CrlDistributionPoints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::serial_number::SerialNumber;

use crate::authority::{Authority, AuthorityError};
use crate::x509;

/// DER of NULL.
const NULL: [u8; 2] = [5, 0];

/// Longest validity of a certificate, in seconds: 28 days.
pub const LIFETIME_SECONDS_MAX: u64 = 28 * 86_400;
/// How long before now a certificate begins, in seconds: clocks differ.
pub const SKEW_SECONDS: u64 = 300;
/// Organisational unit of certificates for simulated TEEs.
pub const SIMULATED: &str = "simulated TEE";

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub struct Order {
    /// The Keep's public key, DER of the SubjectPublicKeyInfo.
    pub spki_der: Vec<u8>,
    /// DNS names that the policy grants.
    pub dns: Vec<String>,
    /// IP addresses that the policy grants.
    pub ip: Vec<IpAddr>,
    /// First second.
    pub not_before: Timestamp,
    /// Last second.
    pub not_after: Timestamp,
    /// Where the policy can be read.
    pub policy_uri: String,
    /// Where the certificate of the issuer can be fetched, DER.
    pub issuer_uri: String,
    /// Where the issuer's revocation list can be fetched; none if nobody revokes.
    pub list_uri: Option<String>,
    /// The evidence itself, if the policy shows it.
    pub evidence: Option<Vec<u8>>,
    /// What was attested. Digest and name of the workload come from here, and from nowhere else.
    pub result: AttestationResult,
}

/// First and last second of a certificate that is asked for at `now`, for `lifetime` seconds, under this issuer.
pub fn window(
    now: Timestamp,
    lifetime_seconds: u64,
    authority: &Authority,
) -> (Timestamp, Timestamp) {
    let first = now.minus(SKEW_SECONDS).max(authority.not_before());
    let last = first.plus(lifetime_seconds.min(LIFETIME_SECONDS_MAX)).min(authority.not_after());
    (first, last)
}

impl Order {
    /// The subject: what a person sees first.
    pub(crate) fn subject(&self) -> der::Result<Any> {
        let facts = &self.result.facts;
        let name = match &facts.workload {
            Some(workload) => match &workload.slug {
                Some(slug) => slug.name(),
                None => {
                    let hex: String = workload.digest.to_hex().chars().take(16).collect();
                    format!("sha256:{hex}…")
                }
            },
            None => "Enarx Keep".to_owned(),
        };
        let name = x509::common_name(&name);
        if facts.simulated {
            x509::name(&[(x509::ORGANIZATIONAL_UNIT, SIMULATED), (x509::COMMON_NAME, &name)])
        } else {
            x509::name(&[(x509::COMMON_NAME, &name)])
        }
    }

    /// The subject's alternative names, in order; may be none.
    pub(crate) fn names(&self) -> der::Result<Vec<GeneralName>> {
        let uri = |text: String| Ia5String::new(&text).map(GeneralName::UniformResourceIdentifier);
        let mut names = Vec::new();
        if let Some(workload) = &self.result.facts.workload {
            if let Some(slug) = &workload.slug {
                names.push(uri(slug.uri())?);
            }
            names.push(uri(workload.digest.to_ni())?);
        }
        for dns in &self.dns {
            names.push(GeneralName::DnsName(Ia5String::new(dns)?));
        }
        for ip in &self.ip {
            names.push(GeneralName::IpAddress(match ip {
                IpAddr::V4(ip) => OctetString::new(ip.octets())?,
                IpAddr::V6(ip) => OctetString::new(ip.octets())?,
            }));
        }
        Ok(names)
    }

    /// All extensions, in the order in which they stand in the certificate; `result` is the value of that with the result.
    pub(crate) fn extensions(
        &self,
        authority: &Authority,
        result: Vec<u8>,
    ) -> der::Result<Vec<Extension>> {
        let spki = SubjectPublicKeyInfoRef::from_der(&self.spki_der)?;
        let cps = Any::encode_from(&Ia5String::new(&self.policy_uri)?)?;
        let mut extensions = vec![
            x509::extension(true, &KeyUsage(KeyUsages::DigitalSignature.into()))?,
            x509::extension(false, &ExtendedKeyUsage(vec![ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH]))?,
            x509::extension(true, &BasicConstraints { ca: false, path_len_constraint: None })?,
        ];
        let names = self.names()?;
        if !names.is_empty() {
            extensions.push(x509::extension(false, &SubjectAltName(names))?);
        }
        let authority_key_id = AuthorityKeyIdentifier {
            key_identifier: Some(OctetString::new(authority.key_id())?),
            ..AuthorityKeyIdentifier::default()
        };
        let key_id = x509::key_id(spki.subject_public_key.raw_bytes());
        let policy = PolicyInformation {
            policy_identifier: CERTIFICATE_POLICY,
            policy_qualifiers: Some(vec![PolicyQualifierInfo {
                policy_qualifier_id: ID_QT_CPS,
                qualifier: Some(cps),
            }]),
        };
        let access = AccessDescription {
            access_method: ID_AD_CA_ISSUERS,
            access_location: GeneralName::UniformResourceIdentifier(Ia5String::new(
                &self.issuer_uri,
            )?),
        };
        extensions.extend([
            x509::extension(false, &authority_key_id)?,
            x509::extension(false, &SubjectKeyIdentifier(OctetString::new(key_id)?))?,
            x509::extension(false, &CertificatePolicies(vec![policy]))?,
            x509::extension(false, &AuthorityInfoAccessSyntax(vec![access]))?,
            self.revocation()?,
            x509::raw_extension(EXTENSION, false, result)?,
        ]);
        if let Some(evidence) = &self.evidence {
            extensions.push(x509::raw_extension(EVIDENCE, false, evidence.clone())?);
        }
        Ok(extensions)
    }

    /// Where to ask whether it is revoked, or that there is no need to (RFC 9608).
    fn revocation(&self) -> der::Result<Extension> {
        let Some(uri) = &self.list_uri else {
            return x509::raw_extension(NO_REV_AVAIL, false, NULL.to_vec());
        };
        let uri = GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?);
        let point = DistributionPoint {
            distribution_point: Some(DistributionPointName::FullName(vec![uri])),
            reasons: None,
            crl_issuer: None,
        };
        x509::extension(false, &CrlDistributionPoints(vec![point]))
    }

    fn tbs(&self, serial: &[u8], authority: &Authority) -> der::Result<Vec<u8>> {
        x509::Tbs {
            version: Version::V3,
            serial: SerialNumber::new(serial)?,
            signature: authority.algorithm(),
            issuer: authority.subject().clone(),
            validity: x509::validity(self.not_before, self.not_after)?,
            subject: self.subject()?,
            spki: Any::from_der(&self.spki_der)?,
            extensions: self.extensions(authority, self.result.to_extension())?,
        }
        .to_der()
    }
}

/// A certificate that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// Its serial number, hex.
    pub serial: String,
}

/// Makes the certificate that `order` describes. It is not checked yet: see [`crate::lint`].
///
/// # Errors
/// The system's randomness or cryptography fails, or the order holds what X.509 cannot express.
pub fn make(order: &Order, authority: &Authority) -> Result<Issued, AuthorityError> {
    let internal = |error: String| AuthorityError::Internal(error);
    let serial = x509::serial().map_err(|_| internal("no randomness".to_owned()))?;
    let tbs = order.tbs(&serial, authority).map_err(|error| internal(error.to_string()))?;
    let signature = authority.sign(&tbs)?;
    let der = x509::assemble(&tbs, authority.algorithm(), &signature)
        .map_err(|error| internal(error.to_string()))?;
    Ok(Issued { der, serial: hex::encode(serial) })
}
