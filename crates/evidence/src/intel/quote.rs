// SPDX-License-Identifier: Apache-2.0

//! Quotes, taken apart (Intel SGX DCAP ECDSA quoting library API and TDX DCAP quoting library API, quote formats 3, 4, 5).

use types::limits;

use crate::container::Kind;

/// Intel's quoting enclave.
const VENDOR: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];
/// Bytes of a header.
const HEADER_BYTES: usize = 48;
/// Bytes of an SGX report body.
pub(super) const ENCLAVE_BYTES: usize = 384;
/// Attestation key type: ECDSA, P-256.
const ECDSA_P256: u16 = 2;
/// Certification data: certificates in PEM.
const PCK_CHAIN: u16 = 5;
/// Certification data: report of the quoting enclave, and certification data again.
const QE_REPORT: u16 = 6;

/// What a quote is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// SGX.
    Enclave,
    /// TDX 1.0.
    Td10,
    /// TDX 1.5.
    Td15,
    /// TDX 1.5 with what quotes of version 5 add to it.
    Td15Extended,
}

impl Body {
    const fn bytes(self) -> usize {
        match self {
            Self::Enclave => ENCLAVE_BYTES,
            Self::Td10 => 584,
            Self::Td15 => 648,
            Self::Td15Extended => 885,
        }
    }
}

/// A quote. Slices are of the bytes that came.
#[derive(Clone, Debug)]
pub(super) struct Quote<'a> {
    pub(super) body: Body,
    /// The report of enclave or TD.
    pub(super) report: &'a [u8],
    /// What the attestation key signed: header and report.
    pub(super) signed: &'a [u8],
    /// `r ‖ s`.
    pub(super) signature: &'a [u8],
    /// `x ‖ y`.
    pub(super) attestation_key: &'a [u8],
    /// Report of the quoting enclave.
    pub(super) qe_report: &'a [u8],
    /// `r ‖ s`, of the PCK.
    pub(super) qe_signature: &'a [u8],
    /// What the report of the quoting enclave binds, beside the attestation key.
    pub(super) qe_auth_data: &'a [u8],
    /// The certificates, PEM, if the quote carries them.
    pub(super) pck_chain: Option<&'a [u8]>,
}

impl Quote<'_> {
    pub(super) const fn kind(&self) -> Kind {
        match self.body {
            Body::Enclave => Kind::Sgx,
            _ => Kind::Tdx,
        }
    }
}

/// Reads bytes from the front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Bytes behind their number.
    fn sized(&mut self) -> Option<&'a [u8]> {
        let bytes = self.u32()?;
        self.take(usize::try_from(bytes).ok()?)
    }
}

const SHORT: &str = "it ends too early";

impl<'a> Quote<'a> {
    /// Reads a quote of version 3 (SGX), 4 or 5 (TDX). It may be padded with zeros.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        if bytes.len() > limits::QUOTE_BYTES_MAX {
            return Err("it is larger than any");
        }
        let mut reader = Reader(bytes);
        let (version, body) = header(&mut reader)?;
        let report = reader.take(body.bytes()).ok_or(SHORT)?;
        let signed = bytes.get(..bytes.len() - reader.0.len()).ok_or(SHORT)?;
        let mut auth = Reader(reader.sized().ok_or(SHORT)?);
        if reader.0.iter().any(|byte| *byte != 0) {
            return Err("something other than zeros follows after its end");
        }
        let signature = auth.take(64).ok_or(SHORT)?;
        let attestation_key = auth.take(64).ok_or(SHORT)?;
        if version > 3 {
            if auth.u16().ok_or(SHORT)? != QE_REPORT {
                return Err("its certification data are not the quoting enclave's report");
            }
            let inner = auth.sized().ok_or(SHORT)?;
            if !auth.0.is_empty() {
                return Err("something follows after its certification data");
            }
            auth = Reader(inner);
        }
        let qe_report = auth.take(ENCLAVE_BYTES).ok_or(SHORT)?;
        let qe_signature = auth.take(64).ok_or(SHORT)?;
        let length = auth.u16().ok_or(SHORT)?;
        let qe_auth_data = auth.take(length.into()).ok_or(SHORT)?;
        let kind = auth.u16().ok_or(SHORT)?;
        let data = auth.sized().ok_or(SHORT)?;
        if !auth.0.is_empty() {
            return Err("something follows after its certification data");
        }
        let pck_chain = match kind {
            1..PCK_CHAIN => None,
            PCK_CHAIN => Some(data),
            _ => return Err("its certification data are of no kind that certifies a platform"),
        };
        Ok(Self {
            body,
            report,
            signed,
            signature,
            attestation_key,
            qe_report,
            qe_signature,
            qe_auth_data,
            pck_chain,
        })
    }
}

/// Version, and what kind of report follows.
fn header(reader: &mut Reader<'_>) -> Result<(u16, Body), &'static str> {
    let mut header = Reader(reader.take(HEADER_BYTES).ok_or(SHORT)?);
    let version = header.u16().ok_or(SHORT)?;
    let key = header.u16().ok_or(SHORT)?;
    let tee = header.u32().ok_or(SHORT)?;
    let _versions = header.u32().ok_or(SHORT)?;
    let vendor: [u8; 16] = header.array().ok_or(SHORT)?;
    if vendor != VENDOR {
        return Err("it is not made by Intel's quoting enclave");
    }
    if key != ECDSA_P256 {
        return Err("its attestation key is not one of P-256");
    }
    let body = match (version, tee) {
        (3, 0) => Body::Enclave,
        (4, 0x81) => Body::Td10,
        (5, 0x81) => {
            let kind = reader.u16().ok_or(SHORT)?;
            let size = reader.u32().ok_or(SHORT)?;
            let body = match kind {
                2 => Body::Td10,
                3 => Body::Td15,
                4 => Body::Td15Extended,
                _ => return Err("its body is no report of a TD"),
            };
            if usize::try_from(size) != Ok(body.bytes()) {
                return Err("its body has another size than its type");
            }
            body
        }
        (4 | 5, 0) => return Err("SGX quotes of version 4 and 5 are not taken, only of version 3"),
        _ => return Err("it is none of version 3 (SGX), 4 or 5 (TDX)"),
    };
    Ok((version, body))
}
