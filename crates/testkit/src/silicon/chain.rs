// SPDX-License-Identifier: Apache-2.0

//! Certificates and CRLs in AMD's form.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair, RSA_PSS_SHA384, RsaKeyPair};
use const_oid::ObjectIdentifier;
use types::time::Timestamp;

use super::SiliconError;
use super::issue::{CrlSpec, VekSpec};
use crate::pki::enc;

const SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
pub(super) const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
pub(super) const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
/// NULL.
const NULL: [u8; 2] = [5, 0];

/// RSASSA-PSS with SHA-384; with `trailer`, the default of the trailer field is written out, as AMD does.
fn algorithm(trailer: bool) -> Vec<u8> {
    let hash = enc::seq(&[&enc::oid(SHA_384), &NULL]);
    let mask = enc::seq(&[&enc::oid(MGF1), &hash]);
    let trailer = if trailer { enc::tlv(0xa3, &[2, 1, 1]) } else { Vec::new() };
    let parameters = enc::seq(&[
        &enc::tlv(0xa0, &hash),
        &enc::tlv(0xa1, &mask),
        &enc::tlv(0xa2, &[2, 1, 48]),
        &trailer,
    ]);
    enc::seq(&[&enc::oid(RSASSA_PSS), &parameters])
}

/// A name with AMD's attributes.
pub(super) fn name(common_name: &str, organisation: &str) -> Vec<u8> {
    let attribute = |oid: &str, value: Vec<u8>| {
        let oid = ObjectIdentifier::new_unwrap(oid);
        enc::tlv(0x31, &enc::seq(&[&enc::oid(oid), &value]))
    };
    enc::seq(&[
        &attribute("2.5.4.11", enc::utf8("Engineering")),
        &attribute("2.5.4.6", enc::tlv(0x13, b"US")),
        &attribute("2.5.4.7", enc::utf8("Santa Clara")),
        &attribute("2.5.4.8", enc::utf8("CA")),
        &attribute("2.5.4.10", enc::utf8(organisation)),
        &attribute("2.5.4.3", enc::utf8(common_name)),
    ])
}

/// SubjectPublicKeyInfo of a key pair.
pub(super) fn spki<K: KeyPair>(key: &K) -> Result<Vec<u8>, SiliconError>
where
    K::PublicKey: AsDer<PublicKeyX509Der<'static>>,
{
    let der = key.public_key().as_der().map_err(|_| SiliconError::Crypto)?;
    Ok(der.as_ref().to_vec())
}

/// Extensions, one after the other.
#[derive(Default)]
pub(super) struct Extensions(Vec<u8>);

impl Extensions {
    pub(super) fn add(&mut self, oid: ObjectIdentifier, critical: bool, value: &[u8]) {
        let critical = if critical { enc::yes() } else { Vec::new() };
        let octets = enc::octets(value);
        self.0.extend(enc::seq(&[&enc::oid(oid), &critical, &octets]));
    }

    /// SEQUENCE OF Extension.
    pub(super) fn sequence(&self) -> Vec<u8> {
        enc::seq(&[&self.0])
    }

    fn add_all(&mut self, extra: &[(String, bool, Vec<u8>)]) {
        for (oid, critical, value) in extra {
            self.add(ObjectIdentifier::new_unwrap(oid), *critical, value);
        }
    }
}

/// Whether it is an authority, and how many may be below.
pub(super) fn basic_constraints(ca: bool, path_length: Option<u8>) -> Vec<u8> {
    let ca = if ca { enc::yes() } else { Vec::new() };
    let length = path_length.map_or_else(Vec::new, |length| vec![2, 1, length]);
    enc::seq(&[&ca, &length])
}

/// AMD's extensions of a VCEK or VLEK.
pub(super) fn vek(spec: &VekSpec) -> Extensions {
    let amd = |tail: &str| ObjectIdentifier::new_unwrap(&format!("1.3.6.1.4.1.3704.1.{tail}"));
    let number = |value: u8| {
        let content = if value < 0x80 { vec![value] } else { vec![0, value] };
        enc::tlv(2, &content)
    };
    let tcb = &spec.tcb;
    let mut all = Extensions::default();
    all.add(amd("1"), false, &number(u8::from(spec.fmc.is_some())));
    all.add(amd("2"), false, &enc::tlv(0x16, spec.product_name.as_bytes()));
    if let Some(fmc) = spec.fmc {
        all.add(amd("3.9"), false, &number(fmc));
    }
    // Turin's FMC takes the place of one of the reserved parts.
    let reserved =
        if spec.fmc.is_some() { &["3.5", "3.6", "3.7"][..] } else { &["3.4", "3.5", "3.6", "3.7"] };
    all.add(amd("3.1"), false, &number(tcb.bootloader));
    all.add(amd("3.2"), false, &number(tcb.tee));
    for tail in reserved {
        all.add(amd(tail), false, &number(0));
    }
    all.add(amd("3.3"), false, &number(tcb.snp));
    all.add(amd("3.8"), false, &number(tcb.microcode));
    if let Some(hwid) = &spec.hwid {
        all.add(amd("4"), false, hwid);
    }
    if let Some(csp) = &spec.csp {
        all.add(amd("5"), false, &enc::tlv(0x16, csp.as_bytes()));
    }
    all.add_all(&spec.extra);
    all
}

/// What is signed in a certificate.
pub(super) struct Tbs<'a> {
    pub(super) serial: &'a [u8],
    pub(super) issuer: &'a [u8],
    pub(super) validity: (Timestamp, Timestamp),
    pub(super) subject: &'a [u8],
    pub(super) spki: &'a [u8],
    pub(super) extensions: Extensions,
    pub(super) trailer: bool,
}

fn signed(tbs: &[u8], trailer: bool, key: &RsaKeyPair) -> Result<Vec<u8>, SiliconError> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PSS_SHA384, &SystemRandom::new(), tbs, &mut signature)
        .map_err(|_| SiliconError::Crypto)?;
    Ok(enc::seq(&[tbs, &algorithm(trailer), &enc::bits(&signature)]))
}

pub(super) fn certificate(tbs: &Tbs<'_>, key: &RsaKeyPair) -> Result<Vec<u8>, SiliconError> {
    let bytes = enc::seq(&[
        // Version 3.
        &enc::tlv(0xa0, &[2, 1, 2]),
        &enc::tlv(2, tbs.serial),
        &algorithm(tbs.trailer),
        tbs.issuer,
        &enc::seq(&[&enc::time(tbs.validity.0), &enc::time(tbs.validity.1)]),
        tbs.subject,
        tbs.spki,
        &enc::tlv(0xa3, &tbs.extensions.sequence()),
    ]);
    signed(&bytes, tbs.trailer, key)
}

pub(super) fn crl(spec: &CrlSpec, key: &RsaKeyPair) -> Result<Vec<u8>, SiliconError> {
    let this_update = enc::time(spec.this_update);
    let entries: Vec<u8> = spec
        .revoked
        .iter()
        .flat_map(|serial| enc::seq(&[&enc::tlv(2, serial), &this_update]))
        .collect();
    let entries = if entries.is_empty() { entries } else { enc::seq(&[&entries]) };
    let mut extensions = Extensions::default();
    extensions.add(CRL_NUMBER, false, &[2, 1, 1]);
    extensions.add_all(&spec.extra);
    let bytes = enc::seq(&[
        // Version 2.
        &[2, 1, 1],
        &algorithm(spec.trailer),
        &name(&spec.issuer, super::ORGANISATION),
        &this_update,
        &spec.next_update.map_or_else(Vec::new, enc::time),
        &entries,
        &enc::tlv(0xa0, &extensions.sequence()),
    ]);
    signed(&bytes, spec.trailer, key)
}
