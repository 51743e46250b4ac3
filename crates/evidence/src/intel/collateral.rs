// SPDX-License-Identifier: Apache-2.0

//! What travels with a quote: revocation lists, TCB info and QE identity (docs/FORMATS.md 3.9).

use std::convert::Infallible;
use std::fmt;

use der::asn1::{OctetStringRef, Utf8StringRef};
use der::pem::{self, LineEnding};
use der::{Decode as _, Reader as _, Tag};
use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};
use types::limits;

use crate::asn1;
use crate::container::{Evidence, Kind};

/// Longest chain of certificates in one piece of collateral: leaf, authority, root.
const CHAIN_MAX: usize = 3;

/// Intel's word on a platform, as Intel's service (PCS) or a cache of it (PCCS) gives it. Nothing of it is checked.
///
/// What is missing is `None`. A verifier wants all but `pck_chain`, which quotes mostly carry themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collateral {
    /// Revocation lists, DER: that of the root and that of the authority that signed the PCK certificate. Others are
    /// ignored.
    pub crls: Vec<Vec<u8>>,
    /// Body of the answer about the TCB: JSON with `tcbInfo` and `signature`.
    pub tcb_info: Option<String>,
    /// Body of the answer about the quoting enclave: JSON with `enclaveIdentity` and `signature`.
    pub qe_identity: Option<String>,
    /// Certificates of who signed `tcb_info`, PEM: leaf, root.
    pub tcb_info_chain: Option<String>,
    /// Certificates of who signed `qe_identity`, PEM; without, they are those of `tcb_info`.
    pub qe_identity_chain: Option<String>,
    /// The platform's own certificates, PEM: PCK, its authority, root. For quotes that carry none.
    pub pck_chain: Option<String>,
}

/// Bytes that are no collateral.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotCollateral(&'static str);

impl fmt::Display for NotCollateral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the collateral is malformed: {}", self.0)
    }
}

impl std::error::Error for NotCollateral {}

impl Collateral {
    /// The texts, by name, in the order of deterministic CBOR: the shorter names first.
    fn texts(&self) -> [(&'static str, &Option<String>); 5] {
        [
            ("tcb-info", &self.tcb_info),
            ("pck-chain", &self.pck_chain),
            ("qe-identity", &self.qe_identity),
            ("tcb-info-chain", &self.tcb_info_chain),
            ("qe-identity-chain", &self.qe_identity_chain),
        ]
    }

    /// Deterministic CBOR (RFC 8949 section 4.2.1).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        // Writing to memory does not fail.
        let _ = self.encode(&mut out);
        out
    }

    fn encode<W: Write<Error = Infallible>>(
        &self,
        out: W,
    ) -> Result<(), minicbor::encode::Error<Infallible>> {
        let texts: Vec<_> = self
            .texts()
            .into_iter()
            .filter_map(|(name, text)| Some((name, text.as_ref()?)))
            .collect();
        let mut e = Encoder::new(out);
        let lists = usize::from(!self.crls.is_empty());
        e.map((texts.len() + lists) as u64)?;
        if lists > 0 {
            e.str("crls")?.array(self.crls.len() as u64)?;
            for crl in &self.crls {
                e.bytes(crl)?;
            }
        }
        for (name, text) in texts {
            e.str(name)?.str(text)?;
        }
        Ok(())
    }

    /// Reads collateral, bounded.
    ///
    /// # Errors
    /// Everything that [`Self::to_bytes`] does not write, and parts that are too large or too many.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotCollateral> {
        let found = Self::decode(bytes)
            .map_err(|_| NotCollateral("it is not the map that docs/FORMATS.md 3.9 describes"))?;
        let fits = |text: &Option<String>, max| text.as_ref().is_none_or(|text| text.len() <= max);
        let bounded = found.crls.iter().all(|crl| crl.len() <= limits::CRL_BYTES_MAX)
            && fits(&found.tcb_info, limits::TCB_INFO_BYTES_MAX)
            && fits(&found.qe_identity, limits::QE_IDENTITY_BYTES_MAX)
            && [&found.tcb_info_chain, &found.qe_identity_chain, &found.pck_chain]
                .into_iter()
                .all(|chain| fits(chain, limits::CERTIFICATE_BYTES_MAX));
        if !bounded {
            return Err(NotCollateral("a part of it is too large"));
        }
        if found.to_bytes() != bytes {
            return Err(NotCollateral("it is not in deterministic CBOR"));
        }
        Ok(found)
    }

    fn decode(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        let wrong = || minicbor::decode::Error::message("not collateral");
        let mut d = Decoder::new(bytes);
        let mut found = Self::default();
        for _ in 0..d.map()?.filter(|count| *count <= 6).ok_or_else(wrong)? {
            let text = match d.str()? {
                "crls" => {
                    let max = limits::CRLS_MAX as u64;
                    let count = d.array()?.filter(|count| *count <= max).ok_or_else(wrong)?;
                    for _ in 0..count {
                        found.crls.push(d.bytes()?.to_vec());
                    }
                    continue;
                }
                "tcb-info" => &mut found.tcb_info,
                "pck-chain" => &mut found.pck_chain,
                "qe-identity" => &mut found.qe_identity,
                "tcb-info-chain" => &mut found.tcb_info_chain,
                "qe-identity-chain" => &mut found.qe_identity_chain,
                _ => return Err(wrong()),
            };
            *text = Some(d.str()?.to_owned());
        }
        Ok(found)
    }
}

/// Reads legacy SGX evidence (docs/FORMATS.md 3.2), which has no QE identity.
pub(crate) fn decode_legacy(value: &[u8]) -> Option<Evidence> {
    let (statement, collateral) = asn1::sequence(value, |reader| {
        let quote = <&OctetStringRef>::decode(reader)?.as_bytes().to_vec();
        let mut found = Collateral::default();
        reader.sequence(|outer| {
            outer.sequence(|list| {
                while !list.is_finished() {
                    found.crls.push(list.sequence(|entry| {
                        Utf8StringRef::decode(entry)?;
                        Ok::<_, der::Error>(asn1::element(entry, Tag::Sequence)?.to_vec())
                    })?);
                    if found.crls.len() > limits::CRLS_MAX {
                        return Err(asn1::wrong(list));
                    }
                }
                Ok(())
            })
        })?;
        reader.sequence(|signed| {
            let mut chain = String::new();
            signed.sequence(|certificates| {
                let mut count = 0_usize;
                while !certificates.is_finished() {
                    let der = asn1::element(certificates, Tag::Sequence)?;
                    let pem = pem::encode_string("CERTIFICATE", LineEnding::LF, der);
                    chain.push_str(&pem.map_err(|_| asn1::wrong(certificates))?);
                    count += 1;
                    if count > CHAIN_MAX {
                        return Err(asn1::wrong(certificates));
                    }
                }
                Ok::<_, der::Error>(())
            })?;
            let body = <&OctetStringRef>::decode(signed)?.as_bytes().to_vec();
            let body = String::from_utf8(body).map_err(|_| asn1::wrong(signed))?;
            (found.tcb_info, found.tcb_info_chain) = (Some(body), Some(chain));
            Ok::<_, der::Error>(())
        })?;
        Ok((quote, found))
    })
    .ok()?;
    let endorsements = collateral.to_bytes();
    Some(Evidence { kind: Kind::Sgx, statement, claims: None, endorsements })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::asn1::{OCTET_STRING, SEQUENCE, UTF8_STRING, tlv};

    fn full() -> Collateral {
        Collateral {
            crls: vec![vec![1, 2], vec![3]],
            tcb_info: Some("{}".into()),
            qe_identity: Some("[]".into()),
            tcb_info_chain: Some("a".into()),
            qe_identity_chain: Some("b".into()),
            pck_chain: Some("c".into()),
        }
    }

    #[test]
    fn round_trips() {
        for collateral in [full(), Collateral::default()] {
            assert_eq!(Collateral::from_bytes(&collateral.to_bytes()), Ok(collateral));
        }
    }

    #[test]
    fn names_are_in_order() {
        let bytes = full().to_bytes();
        assert_eq!(bytes[..6], *b"\xa6\x64crls");
        let full = full();
        let names = full.texts().map(|(name, _)| (name.len(), name));
        assert!(names.is_sorted());
    }

    #[test]
    fn one_form_only() {
        let bytes = full().to_bytes();
        for wrong in [
            &bytes[..bytes.len() - 1],
            &[&bytes[..], &[0]].concat(),
            // Indefinite length; an empty list; a name twice; an unknown name.
            &[&[0xbf], &bytes[1..], &[0xff]].concat(),
            b"\xa1\x64crls\x80",
            b"\xa2\x69pck-chain\x61c\x69pck-chain\x61c",
            b"\xa1\x69pck-chaim\x61c",
            b"\xa0\x00",
        ] {
            assert!(Collateral::from_bytes(wrong).is_err(), "{wrong:02x?}");
        }
    }

    #[test]
    fn too_much_is_refused() {
        type Edit = fn(&mut Collateral, usize);
        let rows: [(usize, Edit); 6] = [
            (limits::TCB_INFO_BYTES_MAX, |c, n| c.tcb_info = Some("x".repeat(n))),
            (limits::QE_IDENTITY_BYTES_MAX, |c, n| c.qe_identity = Some("x".repeat(n))),
            (limits::CERTIFICATE_BYTES_MAX, |c, n| c.tcb_info_chain = Some("x".repeat(n))),
            (limits::CERTIFICATE_BYTES_MAX, |c, n| c.pck_chain = Some("x".repeat(n))),
            (limits::CRL_BYTES_MAX, |c, n| c.crls = vec![vec![0; n]]),
            (limits::CRLS_MAX, |c, n| c.crls = vec![vec![0]; n]),
        ];
        for (max, edit) in rows {
            for (size, fits) in [(max, true), (max + 1, false)] {
                let mut collateral = full();
                edit(&mut collateral, size);
                assert_eq!(Collateral::from_bytes(&collateral.to_bytes()).is_ok(), fits);
            }
        }
    }

    #[test]
    fn the_old_form_is_read() {
        let certificate = tlv(SEQUENCE, &[5, 0]);
        let legacy = |crls: usize, certificates: usize, body: &[u8]| {
            let entry = [tlv(UTF8_STRING, b"https://a"), tlv(SEQUENCE, &[5, 0])].concat();
            let list = tlv(SEQUENCE, &tlv(SEQUENCE, &tlv(SEQUENCE, &entry).repeat(crls)));
            let certificates = tlv(SEQUENCE, &certificate.repeat(certificates));
            let signed = tlv(SEQUENCE, &[certificates, tlv(OCTET_STRING, body)].concat());
            tlv(SEQUENCE, &[tlv(OCTET_STRING, &[3, 0, 7]), list, signed].concat())
        };
        let found = decode_legacy(&legacy(2, 2, b"{}")).unwrap();
        assert_eq!((found.kind, &found.statement[..]), (Kind::Sgx, &[3, 0, 7][..]));
        assert_eq!(found.claims, None);
        let collateral = Collateral::from_bytes(&found.endorsements).unwrap();
        assert_eq!(collateral.crls, [[0x30, 2, 5, 0], [0x30, 2, 5, 0]]);
        assert_eq!(collateral.tcb_info.as_deref(), Some("{}"));
        assert_eq!(collateral.tcb_info_chain.unwrap().matches("BEGIN CERTIFICATE").count(), 2);
        assert_eq!((collateral.qe_identity, collateral.pck_chain), (None, None));
        assert!(decode_legacy(&legacy(limits::CRLS_MAX, CHAIN_MAX, b"{}")).is_some());
        for wrong in [
            legacy(limits::CRLS_MAX + 1, 2, b"{}"),
            legacy(2, CHAIN_MAX + 1, b"{}"),
            legacy(2, 2, &[0xff]),
            legacy(2, 2, b"{}")[..9].to_vec(),
            [legacy(2, 2, b"{}"), vec![0]].concat(),
        ] {
            assert_eq!(decode_legacy(&wrong), None);
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Collateral::from_bytes(&bytes);
            let _ = decode_legacy(&bytes);
        }
    }
}
