// SPDX-License-Identifier: Apache-2.0

//! A certificate authority for development: servers on this machine, clients, and wrong ones for negative tests.
//!
//! P-256 with ECDSA-SHA256 throughout. Every certificate names its purpose in the organisation, so that nobody takes one for real.

mod crl;
pub(crate) mod enc;

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use const_oid::ObjectIdentifier;
use der::{Decode as _, Encode as _, pem};
use evidence::result::{
    self, AttestationResult, Facts, SnpFacts, TcbSummary, TeeFacts, WorkloadName,
};
use types::digest::Sha256;
use types::slug::Slug;
use types::time::Timestamp;
use x509_cert::Certificate;

/// Organisation in every subject.
pub const ORGANIZATION: &str = "Enarx development, not for production";

/// How long a development CA is valid, in seconds (one year).
const CA_SECONDS: u64 = 365 * 86_400;
/// How long a certificate is valid unless told otherwise, in seconds (30 days).
const LEAF_SECONDS: u64 = 30 * 86_400;
/// How long before `now` certificates begin, in seconds: clocks differ.
const SKEW_SECONDS: u64 = 3_600;

const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// Why there is no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PkiError {
    /// The system's randomness, or a signature, failed.
    Crypto,
    /// A PEM or DER text given to [`DevCa::from_pem`] is no CA certificate with its P-256 key.
    Malformed,
}

impl fmt::Display for PkiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crypto => "the system's cryptography failed to make a key or a signature",
            Self::Malformed => "not a CA certificate with its P-256 key in PKCS#8, both as PEM",
        })
    }
}

impl std::error::Error for PkiError {}

/// An extension beyond those that a certificate of its kind has.
#[derive(Clone, Debug)]
pub struct Extension {
    /// What it is.
    pub oid: ObjectIdentifier,
    /// Whether a reader that does not know it must refuse the certificate.
    pub critical: bool,
    /// Its DER value, not yet wrapped in an OCTET STRING.
    pub value: Vec<u8>,
}

/// What goes into a certificate.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Common name of the subject.
    pub common_name: String,
    /// DNS names.
    pub dns: Vec<String>,
    /// IP addresses.
    pub ip: Vec<IpAddr>,
    /// URIs.
    pub uri: Vec<String>,
    /// Extended key usage `serverAuth`.
    pub server: bool,
    /// Extended key usage `clientAuth`.
    pub client: bool,
    /// Whether this is a subordinate CA.
    pub ca: bool,
    /// First and last second; an hour ago and 30 days ahead if `None`.
    pub validity: Option<(Timestamp, Timestamp)>,
    /// Further extensions.
    pub extensions: Vec<Extension>,
}

impl Profile {
    /// A certificate such as a Steward issues for a Keep about which it proved this (docs/FORMATS.md 4).
    pub fn keep(result: &AttestationResult) -> Self {
        let workload = result.facts.workload.as_ref();
        let slug = workload.and_then(|w| w.slug.as_ref());
        let uri = slug.map(Slug::uri).into_iter().chain(workload.map(|w| w.digest.to_ni()));
        Self {
            common_name: slug.map_or_else(|| "Enarx Keep".to_owned(), Slug::name),
            uri: uri.collect(),
            server: true,
            client: true,
            extensions: vec![Extension {
                oid: result::EXTENSION,
                critical: false,
                value: result.to_extension(),
            }],
            ..Self::default()
        }
    }
}

/// What a Steward would have proved about a genuine, pinned Keep that runs this workload: for tests of relying parties.
pub fn sample_result(digest: Sha256, slug: Option<Slug>, now: Timestamp) -> AttestationResult {
    AttestationResult {
        build: "testkit".to_owned(),
        issued_at: now,
        policy: Sha256::of(b"policy"),
        facts: Facts {
            debug: false,
            measurement: "aa".repeat(48),
            pinned: true,
            relaxations: Vec::new(),
            signer: None,
            simulated: false,
            tee: TeeFacts::Snp(SnpFacts {
                chip_id: Some("cc".repeat(64)),
                guest_svn: 0,
                id_key: None,
                product: "Milan".to_owned(),
                tcb: TcbSummary { bootloader: 2, fmc: None, microcode: 93, snp: 6, tee: 0 },
                vmpl: 0,
            }),
            vtpm: None,
            workload: Some(WorkloadName { digest, slug: slug.map(Slug::without_digest) }),
        },
    }
}

/// A certificate with its chain and its key.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, then those above it but the root, DER.
    pub chain_der: Vec<Vec<u8>>,
    /// The private key, PKCS#8 DER.
    pub key_der: Vec<u8>,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("certificates", &self.chain_der.len())
            .finish_non_exhaustive()
    }
}

impl Issued {
    /// The chain as PEM.
    pub fn chain_pem(&self) -> String {
        self.chain_der.iter().map(|der| to_pem("CERTIFICATE", der)).collect()
    }

    /// The private key as PEM.
    pub fn key_pem(&self) -> String {
        to_pem("PRIVATE KEY", &self.key_der)
    }
}

/// A certificate authority for development.
pub struct DevCa {
    key: EcdsaKeyPair,
    key_der: Vec<u8>,
    certificate: Vec<u8>,
    subject: Vec<u8>,
    /// The certificates above this CA but the root, if this is a subordinate CA.
    above: Vec<Vec<u8>>,
}

impl fmt::Debug for DevCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevCa").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

impl DevCa {
    /// A new root with a new key, valid for a year from `now`.
    ///
    /// # Errors
    /// [`PkiError::Crypto`].
    pub fn generate(common_name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let (key, key_der) = generate_key()?;
        let subject = name(common_name);
        let profile = Profile {
            ca: true,
            validity: Some((now.minus(SKEW_SECONDS), now.plus(CA_SECONDS))),
            ..Profile::default()
        };
        let spki = spki(&key)?;
        let certificate = certificate(&profile, &subject, &spki, &subject, &key, now)?;
        Ok(Self { key, key_der, certificate, subject, above: Vec::new() })
    }

    /// A CA from what [`Self::certificate_pem`] and [`Self::key_pem`] gave.
    ///
    /// # Errors
    /// [`PkiError::Malformed`].
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, PkiError> {
        let decode = |label: &str, text: &str| match pem::decode_vec(text.as_bytes()) {
            Ok((found, der)) if found == label => Ok(der),
            _ => Err(PkiError::Malformed),
        };
        let (certificate, key_der) =
            (decode("CERTIFICATE", certificate)?, decode("PRIVATE KEY", key)?);
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key_der)
            .map_err(|_| PkiError::Malformed)?;
        let parsed = Certificate::from_der(&certificate).map_err(|_| PkiError::Malformed)?;
        let tbs = parsed.tbs_certificate();
        let own = tbs.subject_public_key_info().to_der().map_err(|_| PkiError::Malformed)?;
        if own != spki(&key)? {
            return Err(PkiError::Malformed);
        }
        let subject = tbs.subject().to_der().map_err(|_| PkiError::Malformed)?;
        Ok(Self { key, key_der, certificate, subject, above: Vec::new() })
    }

    /// A CA below this one.
    ///
    /// # Errors
    /// [`PkiError::Crypto`].
    pub fn subordinate(&self, common_name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let (key, key_der) = generate_key()?;
        let subject = name(common_name);
        let profile = Profile { ca: true, ..Profile::default() };
        let certificate =
            certificate(&profile, &subject, &spki(&key)?, &self.subject, &self.key, now)?;
        let mut above = vec![certificate.clone()];
        above.extend(self.above.iter().cloned());
        Ok(Self { key, key_der, certificate, subject, above })
    }

    /// The CA's certificate, DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The CA's certificate, PEM.
    pub fn certificate_pem(&self) -> String {
        to_pem("CERTIFICATE", &self.certificate)
    }

    /// The CA's private key, PKCS#8 PEM.
    pub fn key_pem(&self) -> String {
        to_pem("PRIVATE KEY", &self.key_der)
    }

    fn public_key(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }

    /// SHA-256 of the CA's certificate.
    pub fn fingerprint(&self) -> Sha256 {
        Sha256::of(&self.certificate)
    }

    /// A server's certificate for these names: `(chain, key)`, both PEM.
    ///
    /// # Errors
    /// [`PkiError::Crypto`].
    pub fn issue_server(
        &self,
        dns: &[&str],
        ips: &[IpAddr],
        now: Timestamp,
    ) -> Result<(String, String), PkiError> {
        let profile = Profile {
            common_name: dns.first().map_or_else(|| "server".to_owned(), |d| (*d).to_owned()),
            dns: dns.iter().map(|d| (*d).to_owned()).collect(),
            ip: ips.to_vec(),
            server: true,
            ..Profile::default()
        };
        self.issue(&profile, now).map(|issued| (issued.chain_pem(), issued.key_pem()))
    }

    /// A server's certificate for `localhost`, `127.0.0.1` and `::1`: `(chain, key)`, both PEM.
    ///
    /// # Errors
    /// [`PkiError::Crypto`].
    pub fn issue_localhost(&self, now: Timestamp) -> Result<(String, String), PkiError> {
        let ips = [
            IpAddr::from(std::net::Ipv4Addr::LOCALHOST),
            IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        ];
        self.issue_server(&["localhost"], &ips, now)
    }

    /// A client's certificate that attests to nothing: `(chain, key)`, both PEM.
    ///
    /// # Errors
    /// [`PkiError::Crypto`].
    pub fn issue_client(
        &self,
        common_name: &str,
        now: Timestamp,
    ) -> Result<(String, String), PkiError> {
        let profile =
            Profile { common_name: common_name.to_owned(), client: true, ..Profile::default() };
        self.issue(&profile, now).map(|issued| (issued.chain_pem(), issued.key_pem()))
    }

    /// A certificate with a new key.
    ///
    /// # Errors
    /// [`PkiError::Crypto`].
    pub fn issue(&self, profile: &Profile, now: Timestamp) -> Result<Issued, PkiError> {
        let (key, key_der) = generate_key()?;
        let chain_der = self.issue_for(profile, &spki(&key)?, now)?;
        Ok(Issued { chain_der, key_der })
    }

    /// A certificate for a key that somebody else holds (`spki`: DER); the chain, DER.
    ///
    /// # Errors
    /// [`PkiError::Crypto`].
    pub fn issue_for(
        &self,
        profile: &Profile,
        spki: &[u8],
        now: Timestamp,
    ) -> Result<Vec<Vec<u8>>, PkiError> {
        let subject = name(&profile.common_name);
        let leaf = certificate(profile, &subject, spki, &self.subject, &self.key, now)?;
        let mut chain = vec![leaf];
        chain.extend(self.above.iter().cloned());
        Ok(chain)
    }
}

/// Writes and signs a certificate.
fn certificate(
    profile: &Profile,
    subject: &[u8],
    spki: &[u8],
    issuer: &[u8],
    key: &EcdsaKeyPair,
    now: Timestamp,
) -> Result<Vec<u8>, PkiError> {
    let random = SystemRandom::new();
    let mut serial = [0; 16];
    random.fill(&mut serial).map_err(|_| PkiError::Crypto)?;
    // Positive, and without a leading zero byte.
    serial[0] = serial[0] & 0x7f | 0x40;
    let (from, to) = profile.validity.unwrap_or((now.minus(SKEW_SECONDS), now.plus(LEAF_SECONDS)));
    let algorithm = enc::seq(&[&enc::oid(ECDSA_SHA256)]);
    let issuer_key = key.public_key().as_ref();
    let tbs = enc::seq(&[
        // Version 3.
        &enc::tlv(0xa0, &[0x02, 0x01, 0x02]),
        &enc::positive(&serial),
        &algorithm,
        issuer,
        &enc::seq(&[&enc::time(from), &enc::time(to)]),
        subject,
        spki,
        &enc::tlv(0xa3, &extensions(profile, spki, issuer_key)),
    ]);
    let signature = key.sign(&random, &tbs).map_err(|_| PkiError::Crypto)?;
    Ok(enc::seq(&[&tbs, &algorithm, &enc::bits(signature.as_ref())]))
}

fn extensions(profile: &Profile, spki: &[u8], issuer_key: &[u8]) -> Vec<u8> {
    let extension = |id: ObjectIdentifier, critical: bool, value: &[u8]| {
        let critical = if critical { enc::yes() } else { Vec::new() };
        enc::seq(&[&enc::oid(id), &critical, &enc::octets(value)])
    };
    let mut all = Vec::new();
    let (constraints, usage): (_, &[u8]) = if profile.ca {
        // keyCertSign and cRLSign.
        (enc::seq(&[&enc::yes()]), &[0x03, 0x02, 0x01, 0x06])
    } else {
        // digitalSignature.
        (enc::seq(&[]), &[0x03, 0x02, 0x07, 0x80])
    };
    all.extend(extension(BASIC_CONSTRAINTS, true, &constraints));
    all.extend(extension(KEY_USAGE, true, usage));
    let mut purposes = Vec::new();
    if profile.server {
        purposes.extend(enc::oid(SERVER_AUTH));
    }
    if profile.client {
        purposes.extend(enc::oid(CLIENT_AUTH));
    }
    if !purposes.is_empty() {
        all.extend(extension(EXTENDED_KEY_USAGE, false, &enc::seq(&[&purposes])));
    }
    let names = alternative_names(profile);
    if !names.is_empty() {
        all.extend(extension(SUBJECT_ALT_NAME, false, &enc::seq(&[&names])));
    }
    // The key's bits end every SPKI of an elliptic curve: 65 or 97 bytes.
    let point = if spki.len() > 110 { 97 } else { 65 };
    let subject_key = spki.get(spki.len().saturating_sub(point)..).unwrap_or(spki);
    all.extend(extension(SUBJECT_KEY_ID, false, &enc::octets(&key_id(subject_key))));
    let authority = enc::seq(&[&enc::tlv(0x80, &key_id(issuer_key))]);
    all.extend(extension(AUTHORITY_KEY_ID, false, &authority));
    for other in &profile.extensions {
        all.extend(extension(other.oid, other.critical, &other.value));
    }
    enc::seq(&[&all])
}

fn alternative_names(profile: &Profile) -> Vec<u8> {
    let mut names = Vec::new();
    for dns in &profile.dns {
        names.extend(enc::tlv(0x82, dns.as_bytes()));
    }
    for uri in &profile.uri {
        names.extend(enc::tlv(0x86, uri.as_bytes()));
    }
    for ip in &profile.ip {
        match ip {
            IpAddr::V4(ip) => names.extend(enc::tlv(0x87, &ip.octets())),
            IpAddr::V6(ip) => names.extend(enc::tlv(0x87, &ip.octets())),
        }
    }
    names
}

fn name(common_name: &str) -> Vec<u8> {
    let part = |id, text| enc::tlv(0x31, &enc::seq(&[&enc::oid(id), &enc::utf8(text)]));
    enc::seq(&[&part(ORGANIZATION_NAME, ORGANIZATION), &part(COMMON_NAME, common_name)])
}

/// The first 20 bytes of the key's SHA-256 (RFC 7093 section 2, method 1).
fn key_id(key: &[u8]) -> [u8; 20] {
    let digest = Sha256::of(key).0;
    std::array::from_fn(|i| digest[i])
}

fn generate_key() -> Result<(EcdsaKeyPair, Vec<u8>), PkiError> {
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())
        .map_err(|_| PkiError::Crypto)?;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).map_err(|_| PkiError::Crypto)?;
    Ok((key, pkcs8.as_ref().to_vec()))
}

fn spki(key: &EcdsaKeyPair) -> Result<Vec<u8>, PkiError> {
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| PkiError::Crypto)?;
    Ok(der.as_ref().to_vec())
}

fn to_pem(label: &'static str, der: &[u8]) -> String {
    // Only a label outside of ASCII can fail, and ours are constants.
    pem::encode_string(label, pem::LineEnding::LF, der).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000);

    #[test]
    fn certificates_parse_and_say_what_was_asked() {
        let ca = DevCa::generate("test CA", NOW).unwrap();
        let root = Certificate::from_der(ca.certificate_der()).unwrap();
        assert_eq!(root.tbs_certificate().issuer(), root.tbs_certificate().subject());
        let (chain, key) = ca.issue_localhost(NOW).unwrap();
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
        let leaf = Certificate::load_pem_chain(chain.as_bytes()).unwrap().remove(0);
        let tbs = leaf.tbs_certificate();
        assert_eq!(tbs.issuer(), root.tbs_certificate().subject());
        assert_eq!(tbs.extensions().unwrap().len(), 6);
        assert_eq!(tbs.validity().not_before.to_unix_duration().as_secs(), NOW.0 - SKEW_SECONDS);
        // What was written is canonical: reading and writing again gives the same bytes.
        let (_, der) = pem::decode_vec(chain.as_bytes()).unwrap();
        assert_eq!(leaf.to_der().unwrap(), der);
    }

    #[test]
    fn a_saved_ca_is_the_same_ca() {
        let ca = DevCa::generate("test CA", NOW).unwrap();
        let again = DevCa::from_pem(&ca.certificate_pem(), &ca.key_pem()).unwrap();
        assert_eq!(again.fingerprint(), ca.fingerprint());
        let other = DevCa::generate("test CA", NOW).unwrap();
        let mixed = DevCa::from_pem(&ca.certificate_pem(), &other.key_pem());
        assert_eq!(mixed.err(), Some(PkiError::Malformed));
        assert!(DevCa::from_pem("", &ca.key_pem()).is_err());
    }

    #[test]
    fn a_subordinate_brings_its_chain() {
        let root = DevCa::generate("root", NOW).unwrap();
        let middle = root.subordinate("middle", NOW).unwrap();
        let issued = middle.issue(&Profile::default(), NOW).unwrap();
        assert_eq!(issued.chain_der.len(), 2);
        assert_eq!(issued.chain_der[1], middle.certificate_der());
    }
}
