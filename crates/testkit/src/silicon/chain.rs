// SPDX-License-Identifier: Apache-2.0

//! Certificates and CRLs in AMD's form.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair as _, RSA_PSS_SHA384, RsaKeyPair};
use const_oid::ObjectIdentifier;
use types::time::Timestamp;

use super::{ORGANISATION, Shape, SiliconError};
use crate::pki::enc;

const SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
/// NULL.
const NULL: [u8; 2] = [5, 0];

/// RSASSA-PSS with SHA-384, the trailer field written out, as AMD does.
fn algorithm() -> Vec<u8> {
    let hash = enc::seq(&[&enc::oid(SHA_384), &NULL]);
    let mask = enc::seq(&[&enc::oid(MGF1), &hash]);
    let parameters = enc::seq(&[
        &enc::tlv(0xa0, &hash),
        &enc::tlv(0xa1, &mask),
        &enc::tlv(0xa2, &[2, 1, 48]),
        &enc::tlv(0xa3, &[2, 1, 1]),
    ]);
    enc::seq(&[&enc::oid(RSASSA_PSS), &parameters])
}

/// A name with AMD's attributes and our organisation.
pub(super) fn name(common_name: &str) -> Vec<u8> {
    let attribute = |oid: &str, value: Vec<u8>| {
        let oid = ObjectIdentifier::new_unwrap(oid);
        enc::tlv(0x31, &enc::seq(&[&enc::oid(oid), &value]))
    };
    enc::seq(&[
        &attribute("2.5.4.11", enc::utf8("Engineering")),
        &attribute("2.5.4.6", enc::tlv(0x13, b"US")),
        &attribute("2.5.4.7", enc::utf8("Santa Clara")),
        &attribute("2.5.4.8", enc::utf8("CA")),
        &attribute("2.5.4.10", enc::utf8(ORGANISATION)),
        &attribute("2.5.4.3", enc::utf8(common_name)),
    ])
}

pub(super) fn spki_rsa(key: &RsaKeyPair) -> Result<Vec<u8>, SiliconError> {
    let der: PublicKeyX509Der<'_> = key
        .public_key()
        .as_der()
        .map_err(|_| SiliconError::Crypto)?;
    Ok(der.as_ref().to_vec())
}

pub(super) fn spki_p384(key: &EcdsaKeyPair) -> Result<Vec<u8>, SiliconError> {
    let der: PublicKeyX509Der<'_> = key
        .public_key()
        .as_der()
        .map_err(|_| SiliconError::Crypto)?;
    Ok(der.as_ref().to_vec())
}

fn extension(oid: ObjectIdentifier, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { enc::yes() } else { Vec::new() };
    enc::seq(&[&enc::oid(oid), &critical, &enc::octets(value)])
}

/// Extensions of ARK (no path length) and ASK (0).
pub(super) fn authority(path_length: Option<u8>) -> Vec<u8> {
    let (constraints, usage) = match path_length {
        // keyCertSign and cRLSign.
        None => (enc::seq(&[&enc::yes()]), [3, 2, 1, 6]),
        // keyCertSign.
        Some(length) => (enc::seq(&[&enc::yes(), &[2, 1, length]]), [3, 2, 2, 4]),
    };
    [
        extension(KEY_USAGE, true, &usage),
        extension(BASIC_CONSTRAINTS, true, &constraints),
    ]
    .concat()
}

/// AMD's extensions of a VCEK.
pub(super) fn vcek(shape: &Shape) -> Vec<u8> {
    let amd = |tail: &str| ObjectIdentifier::new_unwrap(&format!("1.3.6.1.4.1.3704.1.{tail}"));
    let number = |tail: &str, value: u8| {
        let content = if value < 0x80 {
            vec![value]
        } else {
            vec![0, value]
        };
        extension(amd(tail), false, &enc::tlv(2, &content))
    };
    let tcb = &shape.tcb;
    let mut all = vec![
        number("1", 0),
        extension(
            amd("2"),
            false,
            &enc::tlv(0x16, shape.product_name().as_bytes()),
        ),
    ];
    if let Some(fmc) = shape.fmc {
        all.push(number("3.9", fmc));
    }
    all.extend([
        number("3.1", tcb.bootloader),
        number("3.2", tcb.tee),
        number("3.4", 0),
        number("3.5", 0),
        number("3.6", 0),
        number("3.7", 0),
        number("3.3", tcb.snp),
        number("3.8", tcb.microcode),
        extension(amd("4"), false, &shape.hwid()),
    ]);
    all.concat()
}

/// What is signed in a certificate.
pub(super) struct Tbs<'a> {
    pub(super) serial: &'a [u8],
    pub(super) issuer: &'a [u8],
    pub(super) validity: (Timestamp, Timestamp),
    pub(super) subject: &'a [u8],
    pub(super) spki: &'a [u8],
    pub(super) extensions: &'a [u8],
}

fn signed(tbs: &[u8], key: &RsaKeyPair) -> Result<Vec<u8>, SiliconError> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PSS_SHA384, &SystemRandom::new(), tbs, &mut signature)
        .map_err(|_| SiliconError::Crypto)?;
    Ok(enc::seq(&[tbs, &algorithm(), &enc::bits(&signature)]))
}

pub(super) fn certificate(tbs: &Tbs<'_>, key: &RsaKeyPair) -> Result<Vec<u8>, SiliconError> {
    let bytes = enc::seq(&[
        // Version 3.
        &enc::tlv(0xa0, &[2, 1, 2]),
        &enc::tlv(2, tbs.serial),
        &algorithm(),
        tbs.issuer,
        &enc::seq(&[&enc::time(tbs.validity.0), &enc::time(tbs.validity.1)]),
        tbs.subject,
        tbs.spki,
        &enc::tlv(0xa3, &enc::seq(&[tbs.extensions])),
    ]);
    signed(&bytes, key)
}

pub(super) fn crl(
    issuer: &[u8],
    from: Timestamp,
    until: Timestamp,
    revoked: &[Vec<u8>],
    key: &RsaKeyPair,
) -> Result<Vec<u8>, SiliconError> {
    let entries: Vec<u8> = revoked
        .iter()
        .flat_map(|serial| enc::seq(&[&enc::tlv(2, serial), &enc::time(from)]))
        .collect();
    let entries = if entries.is_empty() {
        Vec::new()
    } else {
        enc::seq(&[&entries])
    };
    let bytes = enc::seq(&[
        // Version 2.
        &[2, 1, 1],
        &algorithm(),
        issuer,
        &enc::time(from),
        &enc::time(until),
        &entries,
        &enc::tlv(
            0xa0,
            &enc::seq(&[&extension(CRL_NUMBER, false, &[2, 1, 1])]),
        ),
    ]);
    signed(&bytes, key)
}
