// SPDX-License-Identifier: Apache-2.0

//! Certificates and revocation lists in Intel's form.

use const_oid::ObjectIdentifier;
use der::pem::LineEnding;
use types::time::Timestamp;

use super::super::chain::{BASIC_CONSTRAINTS, Extensions, KEY_USAGE, basic_constraints, spki};
use super::{ORGANISATION, SiliconError, SimulatedIntel, sign};
use crate::pki::enc;

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
/// Intel's extension of a PCK certificate.
const SGX: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1");
/// An extension that nobody knows.
const UNKNOWN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.58270.99.1");
/// keyCertSign and cRLSign.
const ISSUES: [u8; 4] = [3, 2, 1, 6];
/// digitalSignature and nonRepudiation.
const SIGNS: [u8; 4] = [3, 2, 6, 0xc0];

const ROOT: &str = "Intel SGX Root CA";
pub(super) const SIGNER: &str = "Intel SGX TCB Signing";

/// Who issues a revocation list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The root.
    Root,
    /// The authority of PCK certificates.
    Pck,
}

/// What the platform's certificate says.
#[derive(Clone, Debug)]
pub struct PckSpec {
    /// Its common name.
    pub subject: String,
    /// `Platform` or `Processor`: which authority issues it.
    pub authority: String,
    /// Whether that authority is one at all.
    pub authority_issues: bool,
    /// Whether it has an extension that nobody knows, and which is critical.
    pub unknown_extension: bool,
    /// Whether it has Intel's extension.
    pub own_extension: bool,
    /// Family, model, stepping and so on.
    pub fmspc: [u8; 6],
    /// Identity of the provisioning certification enclave.
    pub pce_id: [u8; 2],
    /// Identity of the platform.
    pub ppid: [u8; 16],
    /// Security versions of the sixteen components.
    pub components: [u8; 16],
    /// Security version of the provisioning certification enclave.
    pub pce_svn: u16,
    /// Type of SGX: 0 standard, 1 scalable, 2 scalable with integrity.
    pub sgx_type: u8,
    /// Dynamic platform, cached keys, SMT; none for the authority `Processor`.
    pub flags: Option<[bool; 3]>,
    /// First and last second.
    pub validity: (Timestamp, Timestamp),
    /// First and last second of its authority.
    pub authority_validity: (Timestamp, Timestamp),
    /// Serial number: contents of the INTEGER.
    pub serial: Vec<u8>,
    /// Whether somebody else signs it.
    pub other_signer: bool,
}

impl PckSpec {
    pub(super) fn of(validity: (Timestamp, Timestamp)) -> Self {
        Self {
            subject: "Intel SGX PCK Certificate".to_owned(),
            authority: "Platform".to_owned(),
            authority_issues: true,
            unknown_extension: false,
            own_extension: true,
            fmspc: [0x00, 0x60, 0x6a, 0, 0, 0],
            pce_id: [0, 0],
            ppid: [0x9d; 16],
            components: [9; 16],
            pce_svn: 13,
            sgx_type: 1,
            flags: Some([false; 3]),
            validity,
            authority_validity: validity,
            serial: vec![0x21],
            other_signer: false,
        }
    }
}

/// What a revocation list says.
#[derive(Clone, Debug)]
pub struct CrlSpec {
    /// When it was made, and when the next one comes.
    pub validity: (Timestamp, Timestamp),
    /// Contents of the serial numbers that it lists.
    pub revoked: Vec<Vec<u8>>,
    /// Whether somebody else signs it.
    pub other_signer: bool,
    /// Whether it is one of the other authority.
    pub other_issuer: bool,
    /// Whether it says when the next one comes.
    pub endless: bool,
    /// Whether it has an extension that nobody knows, and which is critical.
    pub unknown_extension: bool,
}

impl CrlSpec {
    pub(super) const fn of(validity: (Timestamp, Timestamp)) -> Self {
        Self {
            validity,
            revoked: Vec::new(),
            other_signer: false,
            other_issuer: false,
            endless: false,
            unknown_extension: false,
        }
    }
}

/// Certificates as PEM, one after the other.
pub(super) fn pem(chain: &[Vec<u8>]) -> String {
    chain
        .iter()
        .map(|der| der::pem::encode_string("CERTIFICATE", LineEnding::LF, der).unwrap_or_default())
        .collect()
}

fn name(common_name: &str) -> Vec<u8> {
    let attribute = |oid: &str, text: &str| {
        let oid = ObjectIdentifier::new_unwrap(oid);
        let value = enc::tlv(0x13, text.as_bytes());
        // PrintableString has no underscore or the like; none is used.
        enc::tlv(0x31, &enc::seq(&[&enc::oid(oid), &value]))
    };
    enc::seq(&[
        &attribute("2.5.4.3", common_name),
        &attribute("2.5.4.10", ORGANISATION),
        &attribute("2.5.4.7", "Santa Clara"),
        &attribute("2.5.4.8", "CA"),
        &attribute("2.5.4.6", "US"),
    ])
}

fn algorithm() -> Vec<u8> {
    enc::seq(&[&enc::oid(ECDSA_WITH_SHA256)])
}

struct Tbs<'a> {
    serial: &'a [u8],
    issuer: &'a str,
    validity: (Timestamp, Timestamp),
    subject: &'a str,
    spki: &'a [u8],
    extensions: Extensions,
}

impl Tbs<'_> {
    fn to_der(&self) -> Vec<u8> {
        enc::seq(&[
            &enc::tlv(0xa0, &[2, 1, 2]),
            &enc::tlv(2, self.serial),
            &algorithm(),
            &name(self.issuer),
            &enc::seq(&[&enc::time(self.validity.0), &enc::time(self.validity.1)]),
            &name(self.subject),
            self.spki,
            &enc::tlv(0xa3, &self.extensions.sequence()),
        ])
    }
}

fn extensions(ca: bool, length: Option<u8>) -> Extensions {
    let mut extensions = Extensions::default();
    extensions.add(KEY_USAGE, true, if ca { &ISSUES } else { &SIGNS });
    extensions.add(BASIC_CONSTRAINTS, true, &basic_constraints(ca, length));
    extensions
}

/// INTEGER of a small number.
fn number(value: u16) -> Vec<u8> {
    let bytes: Vec<u8> = value.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
    let sign: &[u8] = match bytes.first() {
        None => &[0],
        Some(first) if *first >= 0x80 => &[0],
        Some(_) => &[],
    };
    enc::tlv(2, &[sign, &bytes].concat())
}

/// Intel's extension: what the platform is, and its TCB.
fn sgx(spec: &PckSpec) -> Vec<u8> {
    let oid = |tail: &str| enc::oid(ObjectIdentifier::new_unwrap(&format!("{SGX}.{tail}")));
    let entry = |tail: &str, value: &[u8]| enc::seq(&[&oid(tail), value]);
    let mut tcb = Vec::new();
    for (index, svn) in spec.components.iter().enumerate() {
        tcb.extend(entry(&format!("2.{}", index + 1), &number(u16::from(*svn))));
    }
    tcb.extend(entry("2.17", &number(spec.pce_svn)));
    tcb.extend(entry("2.18", &enc::octets(&spec.components)));
    let mut all = entry("1", &enc::octets(&spec.ppid));
    all.extend(entry("2", &enc::seq(&[&tcb])));
    all.extend(entry("3", &enc::octets(&spec.pce_id)));
    all.extend(entry("4", &enc::octets(&spec.fmspc)));
    all.extend(entry("5", &enc::tlv(0x0a, &[spec.sgx_type])));
    if let Some(flags) = spec.flags {
        all.extend(entry("6", &enc::octets(&[0x16; 16])));
        let mut configuration = Vec::new();
        for (index, flag) in flags.into_iter().enumerate() {
            let value = enc::tlv(1, &[if flag { 0xff } else { 0 }]);
            configuration.extend(entry(&format!("7.{}", index + 1), &value));
        }
        all.extend(entry("7", &enc::seq(&[&configuration])));
    }
    enc::seq(&[&all])
}

impl SimulatedIntel {
    fn issue(
        &self,
        tbs: &Tbs<'_>,
        authority: Authority,
        other: bool,
    ) -> Result<Vec<u8>, SiliconError> {
        let key = match authority {
            _ if other => &self.other_der,
            Authority::Root => &self.root,
            Authority::Pck => &self.authority,
        };
        let tbs = tbs.to_der();
        let signature = sign(key, &tbs)?;
        Ok(enc::seq(&[&tbs, &algorithm(), &enc::bits(&signature)]))
    }

    pub(super) fn root_certificate(&self) -> Result<Vec<u8>, SiliconError> {
        const YEARS: u64 = 10 * 365 * 86_400;
        let tbs = Tbs {
            serial: &[0x11],
            issuer: ROOT,
            validity: (self.now.minus(YEARS), self.now.plus(YEARS)),
            subject: ROOT,
            spki: &spki(&self.root)?,
            extensions: extensions(true, Some(1)),
        };
        self.issue(&tbs, Authority::Root, false)
    }

    pub(super) fn signer_chain(
        &self,
        name: &str,
        validity: (Timestamp, Timestamp),
    ) -> Result<String, SiliconError> {
        let tbs = Tbs {
            serial: &[0x12],
            issuer: ROOT,
            validity,
            subject: name,
            spki: &spki(&self.signer)?,
            extensions: extensions(false, None),
        };
        Ok(pem(&[self.issue(&tbs, Authority::Root, false)?, self.root_certificate()?]))
    }

    /// PCK, its authority, root.
    pub(super) fn pck_chain(&self, spec: &PckSpec) -> Result<String, SiliconError> {
        let above = authority_name(spec);
        let mut own = extensions(false, None);
        if spec.own_extension {
            own.add(SGX, false, &sgx(spec));
        }
        if spec.unknown_extension {
            own.add(UNKNOWN, true, &[5, 0]);
        }
        let pck = Tbs {
            serial: &spec.serial,
            issuer: &above,
            validity: spec.validity,
            subject: &spec.subject,
            spki: &spki(&self.pck)?,
            extensions: own,
        };
        let authority = Tbs {
            serial: &[0x13],
            issuer: ROOT,
            validity: spec.authority_validity,
            subject: &above,
            spki: &spki(&self.authority)?,
            extensions: extensions(spec.authority_issues, spec.authority_issues.then_some(0)),
        };
        Ok(pem(&[
            self.issue(&pck, Authority::Pck, spec.other_signer)?,
            self.issue(&authority, Authority::Root, false)?,
            self.root_certificate()?,
        ]))
    }

    pub(super) fn crl(
        &self,
        spec: &CrlSpec,
        authority: Authority,
        pck: &PckSpec,
    ) -> Result<Vec<u8>, SiliconError> {
        let above = authority_name(pck);
        let issuer = match (authority, spec.other_issuer) {
            (Authority::Root, false) => ROOT.to_owned(),
            (Authority::Pck, false) => above,
            (_, true) => "Intel SGX PCK Somebody Else CA".to_owned(),
        };
        let made = enc::time(spec.validity.0);
        let entries: Vec<u8> = spec
            .revoked
            .iter()
            .flat_map(|serial| enc::seq(&[&enc::tlv(2, serial), &made]))
            .collect();
        let entries = if entries.is_empty() { entries } else { enc::seq(&[&entries]) };
        let mut extensions = Extensions::default();
        extensions.add(CRL_NUMBER, false, &[2, 1, 1]);
        if spec.unknown_extension {
            extensions.add(UNKNOWN, true, &[5, 0]);
        }
        let tbs = enc::seq(&[
            &[2, 1, 1],
            &algorithm(),
            &name(&issuer),
            &made,
            &if spec.endless { Vec::new() } else { enc::time(spec.validity.1) },
            &entries,
            &enc::tlv(0xa0, &extensions.sequence()),
        ]);
        let key = match authority {
            _ if spec.other_signer => &self.other_der,
            Authority::Root => &self.root,
            Authority::Pck => &self.authority,
        };
        let signature = sign(key, &tbs)?;
        Ok(enc::seq(&[&tbs, &algorithm(), &enc::bits(&signature)]))
    }
}

fn authority_name(spec: &PckSpec) -> String {
    format!("Intel SGX PCK {} CA", spec.authority)
}
