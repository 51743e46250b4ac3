// SPDX-License-Identifier: Apache-2.0

//! What is gathered on such a machine, as one piece of evidence (docs/FORMATS.md 3.8).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;

use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};
use types::limits;

/// Most PCRs of a bank.
const PCRS_MAX: u64 = 24;

/// HCL report, TPM quote, PCRs, and for TDX the quote. Deterministic CBOR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Certificates of the AK, leaf first, DER; may be empty.
    pub certificates: Vec<Vec<u8>>,
    /// HCL report: header, hardware report, runtime data.
    pub hcl: Vec<u8>,
    /// TPMS_ATTEST, as the TPM signed it.
    pub message: Vec<u8>,
    /// SHA-256 PCRs that the quote covers, by index.
    pub pcrs: BTreeMap<u8, [u8; 32]>,
    /// TD quote; empty for SEV-SNP.
    pub quote: Vec<u8>,
    /// RSASSA-PKCS1-v1_5 signature with SHA-256 of the AK.
    pub signature: Vec<u8>,
}

/// Bytes that are no bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotABundle;

impl fmt::Display for NotABundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the evidence is not the map that docs/FORMATS.md 3.8 describes")
    }
}

impl std::error::Error for NotABundle {}

impl Bundle {
    /// Deterministic CBOR (RFC 8949 section 4.2.1): the shorter keys first.
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
        let mut e = Encoder::new(out);
        e.map(6)?;
        e.str("hcl")?.bytes(&self.hcl)?;
        e.str("pcrs")?.map(self.pcrs.len() as u64)?;
        for (index, value) in &self.pcrs {
            e.u8(*index)?.bytes(value)?;
        }
        e.str("quote")?.bytes(&self.quote)?;
        e.str("message")?.bytes(&self.message)?;
        e.str("signature")?.bytes(&self.signature)?;
        e.str("certificates")?.array(self.certificates.len() as u64)?;
        for certificate in &self.certificates {
            e.bytes(certificate)?;
        }
        Ok(())
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// Everything that [`Self::to_bytes`] does not write, and more PCRs or certificates than there can be.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotABundle> {
        let bundle = Self::decode(bytes).map_err(|_| NotABundle)?;
        if bundle.to_bytes() == bytes { Ok(bundle) } else { Err(NotABundle) }
    }

    fn decode(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        let wrong = || minicbor::decode::Error::message("not a bundle");
        let mut d = Decoder::new(bytes);
        let mut bundle = Self::default();
        for _ in 0..d.map()?.filter(|count| *count == 6).ok_or_else(wrong)? {
            match d.str()? {
                "hcl" => bundle.hcl = d.bytes()?.to_vec(),
                "message" => bundle.message = d.bytes()?.to_vec(),
                "quote" => bundle.quote = d.bytes()?.to_vec(),
                "signature" => bundle.signature = d.bytes()?.to_vec(),
                "pcrs" => {
                    let count = d.map()?.filter(|count| *count <= PCRS_MAX).ok_or_else(wrong)?;
                    for _ in 0..count {
                        let index = d.u8()?;
                        let value = d.bytes()?.try_into().map_err(|_| wrong())?;
                        bundle.pcrs.insert(index, value);
                    }
                }
                "certificates" => {
                    let max = limits::CHAIN_CERTIFICATES_MAX as u64;
                    let count = d.array()?.filter(|count| *count <= max).ok_or_else(wrong)?;
                    for _ in 0..count {
                        bundle.certificates.push(d.bytes()?.to_vec());
                    }
                }
                _ => return Err(wrong()),
            }
        }
        Ok(bundle)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bundle() -> Bundle {
        Bundle {
            certificates: vec![vec![1], vec![2, 3]],
            hcl: vec![4; 40],
            message: vec![5; 30],
            pcrs: (0..24).map(|index| (index, [index; 32])).collect(),
            quote: vec![6; 20],
            signature: vec![7; 10],
        }
    }

    #[test]
    fn round_trips() {
        for bundle in [bundle(), Bundle::default()] {
            assert_eq!(Bundle::from_bytes(&bundle.to_bytes()), Ok(bundle));
        }
    }

    #[test]
    fn one_form_only() {
        let bytes = bundle().to_bytes();
        assert!(Bundle::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        assert!(Bundle::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        let mut indefinite = bytes.clone();
        indefinite[0] = 0xbf;
        indefinite.push(0xff);
        assert!(Bundle::from_bytes(&indefinite).is_err());
        let mut many = bundle();
        many.certificates = vec![vec![]; limits::CHAIN_CERTIFICATES_MAX + 1];
        assert!(Bundle::from_bytes(&many.to_bytes()).is_err());
        let mut many = bundle();
        many.pcrs.insert(24, [0; 32]);
        assert!(Bundle::from_bytes(&many.to_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Bundle::from_bytes(&bytes);
        }
    }
}
