// SPDX-License-Identifier: Apache-2.0

//! As much DER as writing a certificate takes (X.690 section 10).

use const_oid::ObjectIdentifier;
use types::time::Timestamp;

/// A value with its tag and its length.
pub(crate) fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let bytes = value.len().to_be_bytes();
    let significant: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
    match (value.len(), significant.len()) {
        (0..=127, _) => out.push(significant.first().copied().unwrap_or(0)),
        // At most 8 bytes of length.
        (_, n) => {
            out.push(0x80 | u8::try_from(n).unwrap_or(8));
            out.extend(significant);
        }
    }
    out.extend_from_slice(value);
    out
}

/// SEQUENCE of already encoded parts.
pub(crate) fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// OBJECT IDENTIFIER.
pub(crate) fn oid(oid: ObjectIdentifier) -> Vec<u8> {
    tlv(0x06, oid.as_bytes())
}

/// OCTET STRING.
pub(crate) fn octets(bytes: &[u8]) -> Vec<u8> {
    tlv(0x04, bytes)
}

/// BIT STRING without unused bits.
pub(crate) fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], bytes].concat())
}

/// A positive INTEGER of these bytes, whose first must be from 1 to 127.
pub(crate) fn positive(bytes: &[u8]) -> Vec<u8> {
    tlv(0x02, bytes)
}

/// BOOLEAN TRUE.
pub(crate) fn yes() -> Vec<u8> {
    vec![0x01, 0x01, 0xff]
}

/// UTF8String.
pub(crate) fn utf8(text: &str) -> Vec<u8> {
    tlv(0x0c, text.as_bytes())
}

/// UTCTime until 2049, else GeneralizedTime (RFC 5280 section 4.1.2.5).
pub(crate) fn time(at: Timestamp) -> Vec<u8> {
    let (year, month, day, hour, minute, second) = at.civil();
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    if (1950..2050).contains(&year) {
        tlv(0x17, format!("{:02}{rest}", year % 100).as_bytes())
    } else {
        tlv(0x18, format!("{year:04}{rest}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal() {
        assert_eq!(tlv(4, &[]), [4, 0]);
        assert_eq!(tlv(4, &[7; 127])[..2], [4, 127]);
        assert_eq!(tlv(4, &[7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(4, &[7; 300])[..4], [4, 0x82, 1, 44]);
    }

    #[test]
    fn times_change_form_in_2050() {
        let utc: Timestamp = "2049-12-31T23:59:59Z".parse().unwrap();
        assert_eq!(time(utc), [&[0x17, 13][..], b"491231235959Z"].concat());
        assert_eq!(time(utc.plus(1)), [&[0x18, 15][..], b"20500101000000Z"].concat());
    }
}
