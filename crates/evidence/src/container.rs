// SPDX-License-Identifier: Apache-2.0

//! Evidence as it travels: what kind it is, and how its parts are held together (docs/FORMATS.md 3.2 and 3.3).

use der::asn1::OctetStringRef;
use der::{Decode as _, Tag};
use minicbor::data::Tag as CborTag;
use minicbor::{Decoder, Encoder};
use types::limits;

use crate::asn1::{self, OCTET_STRING, SEQUENCE};

/// CBOR tag of an Intel quote (CCC interoperable RA-TLS).
const QUOTE: u64 = 60_000;
/// CBOR tag of a TEE report.
const TEE_REPORT: u64 = 60_001;

/// What made the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// AMD SEV-SNP: a report of 1184 bytes.
    Snp,
    /// Intel SGX: a DCAP quote.
    Sgx,
    /// Intel TDX: a DCAP quote.
    Tdx,
    /// AWS Nitro Enclaves: an attestation document.
    Nitro,
    /// Arm CCA: a token.
    Cca,
    /// Azure's virtual TPM, rooted in SEV-SNP.
    AzureSnp,
    /// Azure's virtual TPM, rooted in TDX.
    AzureTdx,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Snp, Self::Sgx, Self::Tdx, Self::Nitro, Self::Cca, Self::AzureSnp, Self::AzureTdx];

    /// The name for machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snp => "snp",
            Self::Sgx => "sgx",
            Self::Tdx => "tdx",
            Self::Nitro => "nitro",
            Self::Cca => "cca",
            Self::AzureSnp => "azure-snp",
            Self::AzureTdx => "azure-tdx",
        }
    }

    /// What a quote of Intel's is of, by its header: version, and from version 4 on the TEE.
    pub fn of_quote(quote: &[u8]) -> Option<Self> {
        match quote {
            [3, 0, ..] | [4 | 5, 0, _, _, 0, 0, 0, 0, ..] => Some(Self::Sgx),
            [4 | 5, 0, _, _, 0x81, 0, 0, 0, ..] => Some(Self::Tdx),
            _ => None,
        }
    }
}

/// Evidence as it came, not appraised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What it is said to be.
    pub kind: Kind,
    /// What the TEE signed: report, quote, document, token, or what Azure's tools gather.
    pub statement: Vec<u8>,
    /// CBOR of the claims (docs/FORMATS.md 3.1). Without, the statement binds the key and nothing else.
    pub claims: Option<Vec<u8>>,
    /// Certificates, revocation lists and vendors' documents; the form depends on the kind.
    pub endorsements: Vec<u8>,
}

/// The extension value of evidence with claims (docs/FORMATS.md 3.3): tag 60000 for quotes, 60001 for everything else.
pub fn encode_evidence(
    kind: Kind,
    statement: &[u8],
    claims: &[u8],
    endorsements: &[u8],
) -> Vec<u8> {
    let tag = match kind {
        Kind::Sgx | Kind::Tdx => QUOTE,
        _ => TEE_REPORT,
    };
    let mut out = Vec::with_capacity(statement.len() + claims.len() + endorsements.len() + 32);
    let mut encoder = Encoder::new(&mut out);
    // Writing to memory does not fail.
    let _ = encoder
        .tag(CborTag::new(tag))
        .and_then(|e| e.array(3)?.bytes(statement)?.bytes(claims)?.bytes(endorsements));
    out
}

pub(crate) fn decode_evidence(value: &[u8]) -> Option<Evidence> {
    let mut d = Decoder::new(value);
    let tag = d.tag().ok()?.as_u64();
    if d.array().ok()? != Some(3) {
        return None;
    }
    let mut next = || Some(d.bytes().ok()?.to_vec());
    let (statement, claims, endorsements) = (next()?, next()?, next()?);
    let kind = match tag {
        QUOTE => Kind::of_quote(&statement)?,
        TEE_REPORT => Kind::Snp,
        _ => return None,
    };
    let same = encode_evidence(kind, &statement, &claims, &endorsements) == value;
    let fits = claims.len() <= limits::CLAIMS_BYTES_MAX;
    (same && fits).then_some(Evidence { kind, statement, claims: Some(claims), endorsements })
}

/// The extension value of legacy SNP evidence (docs/FORMATS.md 3.2).
pub fn encode_legacy_snp(report: &[u8], endorsements: &[u8]) -> Vec<u8> {
    asn1::tlv(SEQUENCE, &[endorsements, &asn1::tlv(OCTET_STRING, report)].concat())
}

pub(crate) fn decode_legacy_snp(value: &[u8]) -> Option<Evidence> {
    asn1::sequence(value, |reader| {
        let endorsements = asn1::element(reader, Tag::Sequence)?.to_vec();
        let statement = <&OctetStringRef>::decode(reader)?.as_bytes().to_vec();
        Ok(Evidence { kind: Kind::Snp, statement, claims: None, endorsements })
    })
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_say_what_they_are_of() {
        assert_eq!(Kind::of_quote(&[3, 0, 2, 0, 0, 0, 0, 0]), Some(Kind::Sgx));
        assert_eq!(Kind::of_quote(&[4, 0, 2, 0, 0, 0, 0, 0]), Some(Kind::Sgx));
        assert_eq!(Kind::of_quote(&[4, 0, 2, 0, 0x81, 0, 0, 0]), Some(Kind::Tdx));
        assert_eq!(Kind::of_quote(&[5, 0, 2, 0, 0x81, 0, 0, 0]), Some(Kind::Tdx));
        for other in [&[][..], &[4, 0, 2, 0, 0x82, 0, 0, 0], &[6, 0, 2, 0, 0x81, 0, 0, 0]] {
            assert_eq!(Kind::of_quote(other), None);
        }
    }

    #[test]
    fn evidence_with_claims_round_trips() {
        let quote = [5, 0, 2, 0, 0x81, 0, 0, 0];
        for (kind, statement) in [(Kind::Snp, &[1; 4][..]), (Kind::Tdx, &quote)] {
            let value = encode_evidence(kind, statement, &[2; 3], &[3; 2]);
            let wanted = Evidence {
                kind,
                statement: statement.to_vec(),
                claims: Some(vec![2; 3]),
                endorsements: vec![3; 2],
            };
            assert_eq!(decode_evidence(&value), Some(wanted));
            assert_eq!(decode_evidence(&[&value[..], &[0]].concat()), None);
        }
    }
}
