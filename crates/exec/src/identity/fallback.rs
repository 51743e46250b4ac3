// SPDX-License-Identifier: Apache-2.0

//! The certificate of a Keep that has none: signed by itself, for `localhost`, proving nothing.
//!
//! TLS cannot do without a certificate. Whoever checks this one finds no anchor and no attestation result.

use types::time::Timestamp;

use crate::identity::key::{Key, KeyError};

/// Its lifetime, seconds: 28 days.
const LIFETIME: u64 = 28 * 86_400;
/// Clocks of others may be behind by this, seconds.
const SKEW: u64 = 3_600;

/// 1.2.840.10045.4.3.3, ecdsa-with-SHA384.
const ECDSA_SHA384: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// 2.5.4.3, commonName.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
/// 2.5.29.17, subjectAltName.
const SUBJECT_ALT_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x11];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// An X.509 v3 certificate for `localhost` with this key, DER.
///
/// # Errors
/// [`KeyError`].
pub(crate) fn certificate(key: &Key, now: Timestamp) -> Result<Vec<u8>, KeyError> {
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| KeyError)?;
    // Positive, and no leading zero.
    serial[0] = serial[0] & 0x7f | 0x40;
    let algorithm = tlv(SEQUENCE, &[&ECDSA_SHA384]);
    let name = {
        let attribute = tlv(SEQUENCE, &[&COMMON_NAME, &tlv(0x0c, &[b"localhost"])]);
        tlv(SEQUENCE, &[&tlv(SET, &[&attribute])])
    };
    let validity = tlv(SEQUENCE, &[&time(now.minus(SKEW)), &time(now.plus(LIFETIME))]);
    let names = tlv(SEQUENCE, &[&tlv(0x82, &[b"localhost"])]);
    let extension = tlv(SEQUENCE, &[&SUBJECT_ALT_NAME, &tlv(0x04, &[&names])]);
    let body = tlv(
        SEQUENCE,
        &[
            &tlv(0xa0, &[&[0x02, 0x01, 0x02]]),
            &tlv(0x02, &[&serial]),
            &algorithm,
            &name,
            &validity,
            &name,
            key.spki_der(),
            &tlv(0xa3, &[&tlv(SEQUENCE, &[&extension])]),
        ],
    );
    let signature = key.sign(&body)?;
    Ok(tlv(SEQUENCE, &[&body, &algorithm, &tlv(0x03, &[&[0], &signature])]))
}

/// UTCTime up to 2049, GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5).
fn time(at: Timestamp) -> Vec<u8> {
    let (year, month, day, hour, minute, second) = at.civil();
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    if (1950..2050).contains(&year) {
        tlv(0x17, &[format!("{:02}{rest}", year % 100).as_bytes()])
    } else {
        tlv(0x18, &[format!("{year:04}{rest}").as_bytes()])
    }
}

/// One DER element with the concatenation of `parts` as its content.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let digits: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    match digits.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        // At most eight digits.
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            out.extend_from_slice(long);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_der() {
        assert_eq!(tlv(0x04, &[]), [4, 0]);
        assert_eq!(tlv(0x04, &[&[7; 127]])[..2], [4, 127]);
        assert_eq!(tlv(0x04, &[&[7; 128]])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(0x04, &[&[7; 300]])[..4], [4, 0x82, 1, 44]);
    }

    #[test]
    fn times_change_form_in_2050() {
        assert_eq!(time("2049-12-31T23:59:59Z".parse().unwrap()), b"\x17\x0d491231235959Z");
        assert_eq!(time("2050-01-01T00:00:00Z".parse().unwrap()), b"\x18\x0f20500101000000Z");
    }

    #[test]
    fn is_a_certificate_of_its_own_key() {
        let key = Key::generate().unwrap();
        let der = rustls::pki_types::CertificateDer::from(
            certificate(&key, Timestamp(1_800_000_000)).unwrap(),
        );
        let parsed = rustls::server::ParsedCertificate::try_from(&der).unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        rustls::client::verify_server_name(&parsed, &name).unwrap();
    }
}
