// SPDX-License-Identifier: Apache-2.0

//! The X.509 structures that Steward writes (RFC 5280 section 4.1), field by field.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use const_oid::{AssociatedOid, ObjectIdentifier};
use der::asn1::{
    Any, BitString, GeneralizedTime, OctetString, SequenceRef, SetOfVec, UtcTime, Utf8StringRef,
};
use der::{DateTime, Decode as _, Encode, Reader as _, Sequence, SliceReader};
use sha2::Digest as _;
use spki::AlgorithmIdentifierOwned;
use types::time::Timestamp;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::Version;
use x509_cert::ext::Extension;
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

/// Length of a serial number in bytes.
pub(crate) const SERIAL_BYTES: usize = 16;
/// Length of a key identifier in bytes.
pub(crate) const KEY_ID_BYTES: usize = 20;
/// Most characters of a common name (RFC 5280 appendix A.1, `ub-common-name`).
pub(crate) const COMMON_NAME_CHARS_MAX: usize = 64;

pub(crate) const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
pub(crate) const ORGANIZATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");

/// What is signed. Issuer and key are bytes that exist already, and stay those bytes.
#[derive(Sequence)]
pub(crate) struct Tbs {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(crate) version: Version,
    pub(crate) serial: SerialNumber,
    pub(crate) signature: AlgorithmIdentifierOwned,
    pub(crate) issuer: Any,
    pub(crate) validity: Validity,
    pub(crate) subject: Any,
    pub(crate) spki: Any,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    pub(crate) extensions: Vec<Extension>,
}

/// A certificate as it is assembled: what was signed, byte for byte, and the signature.
#[derive(Sequence)]
struct Signed {
    tbs: Any,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// Takes a certificate, a request or a list apart: what was signed is the bytes as they came, not a new encoding of them.
pub(crate) struct Split {
    pub(crate) tbs: Vec<u8>,
    pub(crate) algorithm: AlgorithmIdentifierOwned,
    pub(crate) signature: BitString,
}

/// See [`Split`].
pub(crate) fn split(der: &[u8]) -> der::Result<Split> {
    let body = <&SequenceRef>::from_der(der)?;
    let mut reader = SliceReader::new(body.as_bytes())?;
    let tbs = reader.tlv_bytes()?.to_vec();
    let (algorithm, signature) = (reader.decode()?, reader.decode()?);
    reader.finish()?;
    Ok(Split { tbs, algorithm, signature })
}

/// PEM with this label.
pub(crate) fn to_pem(label: &str, der: &[u8]) -> der::Result<String> {
    Ok(der::pem::encode_string(label, der::pem::LineEnding::LF, der)?)
}

/// Puts the signature to what was signed.
pub(crate) fn assemble(
    tbs: &[u8],
    algorithm: AlgorithmIdentifierOwned,
    signature: &[u8],
) -> der::Result<Vec<u8>> {
    Signed { tbs: Any::from_der(tbs)?, algorithm, signature: BitString::from_bytes(signature)? }
        .to_der()
}

/// A signature algorithm without parameters, as all of ECDSA are (RFC 5758 section 3.2).
pub(crate) fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters: None }
}

/// A serial number of 16 random bytes, positive, and never shorter for want of leading bits.
pub(crate) fn serial() -> Result<[u8; SERIAL_BYTES], aws_lc_rs::error::Unspecified> {
    let mut bytes = [0; SERIAL_BYTES];
    SystemRandom::new().fill(&mut bytes)?;
    let [first, ..] = &mut bytes;
    *first = (*first & 0x7f) | 0x40;
    Ok(bytes)
}

/// A distinguished name with these attributes, in order, each a UTF8String.
pub(crate) fn name(attributes: &[(ObjectIdentifier, &str)]) -> der::Result<Any> {
    let mut sequence = RdnSequence::default();
    for (oid, text) in attributes {
        let attribute =
            AttributeTypeAndValue { oid: *oid, value: Any::from(Utf8StringRef::new(text)?) };
        let set: SetOfVec<_> = SetOfVec::try_from(vec![attribute])?;
        sequence.push(RelativeDistinguishedName::try_from(set.into_vec())?);
    }
    Any::encode_from(&sequence)
}

/// The first 64 characters of `text`; the last is an ellipsis where something was cut.
pub(crate) fn common_name(text: &str) -> String {
    if text.chars().count() <= COMMON_NAME_CHARS_MAX {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(COMMON_NAME_CHARS_MAX - 1).collect();
    short.push('…');
    short
}

/// An extension with the value that `value` encodes to.
pub(crate) fn extension<T: AssociatedOid + Encode>(
    critical: bool,
    value: &T,
) -> der::Result<Extension> {
    raw_extension(T::OID, critical, value.to_der()?)
}

/// An extension with this DER as its value.
pub(crate) fn raw_extension(
    oid: ObjectIdentifier,
    critical: bool,
    value: Vec<u8>,
) -> der::Result<Extension> {
    Ok(Extension { extn_id: oid, critical, extn_value: OctetString::new(value)? })
}

/// The first 20 bytes of the SHA-256 of the key's bits (RFC 7093 section 2, method 1).
pub(crate) fn key_id(public_key: &[u8]) -> [u8; KEY_ID_BYTES] {
    let digest: [u8; 32] = sha2::Sha256::digest(public_key).into();
    let mut id = [0; KEY_ID_BYTES];
    for (to, from) in id.iter_mut().zip(digest) {
        *to = from;
    }
    id
}

/// First and last second, as UTCTime until 2049 and GeneralizedTime after (RFC 5280 section 4.1.2.5).
pub(crate) fn validity(first: Timestamp, last: Timestamp) -> der::Result<Validity> {
    Ok(Validity::new(time(first)?, time(last)?))
}

/// A time as [`validity`] writes it.
pub(crate) fn time(at: Timestamp) -> der::Result<Time> {
    let moment = DateTime::from_unix_duration(std::time::Duration::from_secs(at.0))?;
    if moment.year() < 2050 {
        UtcTime::from_date_time(moment).map(Time::UtcTime)
    } else {
        Ok(Time::GeneralTime(GeneralizedTime::from_date_time(moment)))
    }
}

/// What [`time`] was made from.
pub(crate) fn seconds(time: &Time) -> Timestamp {
    Timestamp(time.to_unix_duration().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_positive_and_of_full_length() {
        for _ in 0..64 {
            let serial = serial().unwrap();
            assert!((0x40..0x80).contains(&serial[0]));
            let der = SerialNumber::<x509_cert::certificate::Rfc5280>::new(&serial)
                .unwrap()
                .to_der()
                .unwrap();
            assert_eq!(der.len(), 2 + SERIAL_BYTES);
        }
    }

    #[test]
    fn common_names_fit() {
        assert_eq!(common_name("app:1.0.0"), "app:1.0.0");
        let long = common_name(&"ä".repeat(100));
        assert_eq!(long.chars().count(), COMMON_NAME_CHARS_MAX);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn times_change_form_in_2050() {
        let last: Timestamp = "2049-12-31T23:59:59Z".parse().unwrap();
        assert!(matches!(time(last), Ok(Time::UtcTime(_))));
        assert!(matches!(time(last.plus(1)), Ok(Time::GeneralTime(_))));
        assert_eq!(seconds(&time(last.plus(1)).unwrap()), last.plus(1));
    }
}
