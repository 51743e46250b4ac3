// SPDX-License-Identifier: Apache-2.0

//! What travels with a report: the VCEK and revocation lists (docs/FORMATS.md 3.2 to 3.4).

use std::fmt;

use der::asn1::Utf8StringRef;
use der::{Decode as _, Reader as _, Tag};
use types::limits;

use super::report::REPORT_BYTES;
use crate::asn1::{self, SEQUENCE, UTF8_STRING};

/// Longest URL of a revocation list.
const URL_BYTES_MAX: usize = 256;

/// Bytes that are no endorsements, or no answer of `get_attestation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotEndorsements(String);

impl fmt::Display for NotEndorsements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the endorsements are malformed: {}", self.0)
    }
}

impl std::error::Error for NotEndorsements {}

/// `SEQUENCE { vcek Certificate, crl CrlList, asvk Certificate OPTIONAL }`: the certificate of the chip's key, revocation
/// lists with their URLs, and the certificate of the key that signs VLEKs.
///
/// The certificates and lists are DER values of which only the outermost header has been looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endorsements {
    /// Certificate of the VCEK or VLEK.
    pub vcek: Vec<u8>,
    /// URL and contents of each revocation list.
    pub crls: Vec<(String, Vec<u8>)>,
    /// Certificate of the key that signed a VLEK, for verifiers that have not got it. Nothing is believed because of it
    /// alone: a root that is known has to vouch for it.
    pub asvk: Option<Vec<u8>>,
}

impl Endorsements {
    /// DER.
    ///
    /// # Errors
    /// What [`Self::from_der`] would not read.
    pub fn to_der(&self) -> Result<Vec<u8>, NotEndorsements> {
        let mut list = Vec::new();
        for (url, crl) in &self.crls {
            let url = asn1::tlv(UTF8_STRING, url.as_bytes());
            list.extend(asn1::tlv(SEQUENCE, &[&url[..], crl].concat()));
        }
        let list = asn1::tlv(SEQUENCE, &asn1::tlv(SEQUENCE, &list));
        let asvk = self.asvk.as_deref().unwrap_or_default();
        let der = asn1::tlv(SEQUENCE, &[&self.vcek[..], &list, asvk].concat());
        let same = Self::from_der(&der)? == *self;
        same.then_some(der).ok_or_else(|| {
            NotEndorsements("a certificate or revocation list is no DER value".into())
        })
    }

    /// Reads DER, bounded.
    ///
    /// # Errors
    /// Another form; certificates, lists and URLs that are too large or too many.
    pub fn from_der(der: &[u8]) -> Result<Self, NotEndorsements> {
        let read = asn1::sequence(der, |reader| {
            let vcek = asn1::element(reader, Tag::Sequence)?.to_vec();
            let mut crls = Vec::new();
            reader.sequence(|outer| {
                outer.sequence(|list| {
                    while !list.is_finished() {
                        crls.push(list.sequence(|entry| {
                            let url = Utf8StringRef::decode(entry)?.as_str().to_owned();
                            let crl = asn1::element(entry, Tag::Sequence)?.to_vec();
                            Ok::<_, der::Error>((url, crl))
                        })?);
                        if crls.len() > limits::CRLS_MAX {
                            return Err(asn1::wrong(list));
                        }
                    }
                    Ok(())
                })
            })?;
            let more = !reader.is_finished();
            let asvk =
                if more { Some(asn1::element(reader, Tag::Sequence)?.to_vec()) } else { None };
            Ok(Self { vcek, crls, asvk })
        });
        let found = read.map_err(|e| NotEndorsements(e.to_string()))?;
        let fits = found.vcek.len() <= limits::CERTIFICATE_BYTES_MAX
            && found.asvk.as_ref().is_none_or(|asvk| asvk.len() <= limits::CERTIFICATE_BYTES_MAX)
            && found
                .crls
                .iter()
                .all(|(url, crl)| url.len() <= URL_BYTES_MAX && crl.len() <= limits::CRL_BYTES_MAX);
        fits.then_some(found).ok_or_else(|| {
            NotEndorsements("a certificate, a revocation list or its URL is too large".into())
        })
    }
}

/// Splits an answer of `get_attestation` (docs/FORMATS.md 3.4) into report and DER of the endorsements.
///
/// # Errors
/// Not 1184 bytes and one DER value.
pub fn split_attestation(blob: &[u8]) -> Result<(&[u8], &[u8]), NotEndorsements> {
    if blob.len() > limits::ATTESTATION_BYTES_MAX {
        return Err(NotEndorsements("the attestation is larger than 64 KiB".into()));
    }
    let (report, endorsements) = blob
        .split_at_checked(REPORT_BYTES)
        .ok_or_else(|| NotEndorsements("the attestation is shorter than a report".into()))?;
    Endorsements::from_der(endorsements)?;
    Ok((report, endorsements))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endorsements(crls: usize) -> Endorsements {
        let crl = asn1::tlv(SEQUENCE, &[5, 0]);
        Endorsements {
            vcek: asn1::tlv(SEQUENCE, &[1; 200]),
            crls: vec![("https://example.com/crl".into(), crl); crls],
            asvk: None,
        }
    }

    #[test]
    fn round_trip() {
        for crls in [0, 1, limits::CRLS_MAX] {
            let endorsements = endorsements(crls);
            let der = endorsements.to_der().unwrap();
            assert_eq!(Endorsements::from_der(&der).as_ref(), Ok(&endorsements));
            let asvk = Some(asn1::tlv(SEQUENCE, &[2; 200]));
            let longer = Endorsements { asvk, ..endorsements };
            let der = longer.to_der().unwrap();
            assert_eq!(Endorsements::from_der(&der), Ok(longer));
        }
    }

    #[test]
    fn too_much_is_refused() {
        assert!(endorsements(limits::CRLS_MAX + 1).to_der().is_err());
        let large = asn1::tlv(SEQUENCE, &vec![0; limits::CRL_BYTES_MAX]);
        for edit in [
            (|e, large| e.vcek = large) as fn(&mut Endorsements, Vec<u8>),
            |e, large| e.crls[0].1 = large,
            |e, _| e.crls[0].0 = "x".repeat(URL_BYTES_MAX + 1),
            |e, _| e.vcek = vec![1, 2, 3],
            |e, _| e.vcek.push(0),
            |e, _| e.crls[0].1.clear(),
            |e, large| e.asvk = Some(large),
            |e, _| e.asvk = Some(Vec::new()),
            |e, _| e.asvk = Some([asn1::tlv(SEQUENCE, &[]), asn1::tlv(SEQUENCE, &[])].concat()),
        ] {
            let mut endorsements = endorsements(1);
            edit(&mut endorsements, large.clone());
            assert!(endorsements.to_der().is_err());
        }
    }

    #[test]
    fn attestations_are_split_at_the_report() {
        let der = endorsements(1).to_der().unwrap();
        let blob = [&[7; REPORT_BYTES][..], &der].concat();
        assert_eq!(split_attestation(&blob), Ok((&[7; REPORT_BYTES][..], &der[..])));
        assert!(split_attestation(&blob[..REPORT_BYTES - 1]).is_err());
        assert!(split_attestation(&blob[..blob.len() - 1]).is_err());
        assert!(split_attestation(&[&blob[..], &[0]].concat()).is_err());
        assert!(split_attestation(&[]).is_err());
        assert!(split_attestation(&vec![0; limits::ATTESTATION_BYTES_MAX + 1]).is_err());
    }

    proptest! {
        #[test]
        fn reading_never_panics(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            noise in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut bytes = endorsements(2).to_der().unwrap();
            for (at, xor) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= xor;
            }
            for bytes in [bytes, noise] {
                if let Ok(read) = Endorsements::from_der(&bytes) {
                    prop_assert_eq!(read.to_der(), Ok(bytes));
                }
            }
        }
    }
}
