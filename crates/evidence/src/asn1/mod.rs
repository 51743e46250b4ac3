// SPDX-License-Identifier: Apache-2.0

//! As much DER as certificates, revocation lists and requests take (X.690 section 10).
//!
//! Reading borrows: what was signed is what is checked, byte for byte, never something encoded again.

#[cfg(feature = "appraisal")]
pub(crate) mod path;
#[cfg(feature = "appraisal")]
mod x509;

#[cfg(feature = "appraisal")]
use base64::{Engine as _, engine::general_purpose::STANDARD};
use der::asn1::AnyRef;
use der::{Decode as _, ErrorKind, Reader as _, Result, SliceReader, Tag};

#[cfg(feature = "appraisal")]
pub(crate) use x509::{Certificate, Crl, Signed, name};

/// SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
/// SET.
pub(crate) const SET: u8 = 0x31;
/// OCTET STRING.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// BIT STRING.
pub(crate) const BIT_STRING: u8 = 0x03;
/// OBJECT IDENTIFIER.
pub(crate) const OID: u8 = 0x06;
/// UTF8String.
pub(crate) const UTF8_STRING: u8 = 0x0c;

/// A value with its tag and its length.
pub(crate) fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len().to_be_bytes();
    let significant: Vec<u8> = length.iter().copied().skip_while(|b| *b == 0).collect();
    let mut out = Vec::with_capacity(value.len() + 10);
    out.push(tag);
    if value.len() < 128 {
        out.push(significant.first().copied().unwrap_or(0));
    } else {
        // At most 8 bytes of length.
        out.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
        out.extend_from_slice(&significant);
    }
    out.extend_from_slice(value);
    out
}

/// Reads the whole of `der` as one SEQUENCE.
pub(crate) fn sequence<'a, T>(
    der: &'a [u8],
    read: impl FnOnce(&mut SliceReader<'a>) -> Result<T>,
) -> Result<T> {
    let mut reader = SliceReader::new(der)?;
    let value = reader.sequence(read)?;
    reader.finish()?;
    Ok(value)
}

/// The next value, which must be of this tag, with its header.
pub(crate) fn element<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> Result<&'a [u8]> {
    let found = Tag::peek(reader)?;
    if found != tag {
        return Err(reader.error(ErrorKind::TagUnexpected { expected: Some(tag), actual: found }));
    }
    reader.tlv_bytes()
}

/// The contents of one value that stands alone in `der`.
pub(crate) fn contents(der: &[u8]) -> Result<&[u8]> {
    Ok(AnyRef::from_der(der)?.value())
}

/// Whether another value of this tag follows.
pub(crate) fn follows(reader: &SliceReader<'_>, tag: Tag) -> bool {
    Tag::peek(reader).is_ok_and(|found| found == tag)
}

/// Anything else that is wrong.
pub(crate) fn wrong(reader: &mut SliceReader<'_>) -> der::Error {
    reader.error(ErrorKind::Failed)
}

/// AlgorithmIdentifier `ecdsa-with-SHA256`.
pub(crate) const ECDSA_SHA256: [u8; 12] =
    [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// AlgorithmIdentifier of a P-256 key and the BIT STRING header in front of its point.
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The same of a P-384 key.
const P384_SPKI: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];

fn point<'a>(spki: &'a [u8], prefix: &[u8], bytes: usize) -> Option<&'a [u8]> {
    let point = spki.strip_prefix(prefix)?;
    (point.len() == bytes && point.first() == Some(&4)).then_some(point)
}

/// The uncompressed point (65 bytes) in the SPKI of a P-256 key.
pub(crate) fn p256_point(spki: &[u8]) -> Option<&[u8]> {
    point(spki, &P256_SPKI, 65)
}

/// The uncompressed point (97 bytes) in the SPKI of a P-384 key.
pub(crate) fn p384_point(spki: &[u8]) -> Option<&[u8]> {
    point(spki, &P384_SPKI, 97)
}

/// In front of the uncompressed point in a SubjectPublicKeyInfo, and bytes of the point: P-256, P-384, P-521.
#[cfg(feature = "appraisal")]
const EC_SPKIS: [(&[u8], usize); 3] = [
    (&P256_SPKI, 65),
    (&P384_SPKI, 97),
    (
        &[
            0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
            0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
        ],
        133,
    ),
];

/// The uncompressed point in the SPKI of a key on one of three curves.
#[cfg(feature = "appraisal")]
pub(crate) fn ec_point(spki: &[u8]) -> Option<&[u8]> {
    EC_SPKIS.iter().find_map(|(head, bytes)| point(spki, head, *bytes))
}

/// The contents of all PEM blocks with this label (RFC 7468); at most `max`. Lines may have any length: not all that Intel's
/// tools make have 64.
#[cfg(feature = "appraisal")]
pub(crate) fn pem(
    text: &str,
    label: &str,
    max: usize,
) -> std::result::Result<Vec<Vec<u8>>, String> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let mut found = Vec::new();
    for block in text.split_inclusive(&end) {
        let Some((_, text)) = block.split_once(&begin) else { continue };
        let text = text.strip_suffix(&end).ok_or("a block of PEM does not end")?;
        let text: String = text.split_ascii_whitespace().collect();
        let der = STANDARD.decode(text).map_err(|error| format!("a block is no PEM: {error}"))?;
        found.push(der);
        if found.len() > max {
            return Err(format!("there are more than {max} blocks of {label}"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "appraisal")]
    #[test]
    fn pem_has_lines_of_any_length() {
        let block = |body: &str| format!("-----BEGIN A-----{body}-----END A-----");
        let read = |text: &str| pem(text, "A", 2);
        assert_eq!(read("text, and nothing else"), Ok(vec![]));
        for body in ["\nAAEC\n", "\r\nAA\r\nEC\r\n", "AAEC"] {
            assert_eq!(read(&block(body)), Ok(vec![vec![0, 1, 2]]));
        }
        let (two, three) = (block("AA==").repeat(2), block("AA==").repeat(3));
        assert_eq!(read(&format!("a{two}\0")), Ok(vec![vec![0], vec![0]]));
        assert!(read(&three).is_err());
        assert!(read("-----BEGIN A-----AAEC").is_err());
        for body in ["AAE", "AAEC-", "AB==", "Proc-Type: 4\n\nAAEC"] {
            assert!(read(&block(body)).is_err(), "{body}");
        }
    }

    #[test]
    fn lengths_are_minimal() {
        assert_eq!(tlv(4, &[]), [4, 0]);
        assert_eq!(tlv(4, &[7; 127])[..2], [4, 127]);
        assert_eq!(tlv(4, &[7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(4, &[7; 300])[..4], [4, 0x82, 1, 44]);
    }
}
