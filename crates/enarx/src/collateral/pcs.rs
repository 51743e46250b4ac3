// SPDX-License-Identifier: Apache-2.0

//! Intel's provisioning certification service (PCS), version 4, and caching services (PCCS) that speak as it does.

use std::fmt;

use types::limits;
use ureq::http::HeaderMap;

use super::fetch::Base;
use super::piece::Piece;
use super::recognise::{Found, Recognised, recognise, recognise_piece};

/// Where the service is.
pub const PCS: &str = "https://api.trustedservices.intel.com";
/// Where Intel has its root's revocation list, which the service itself has not.
const ROOT: &str = "https://certificates.trustedservices.intel.com";
const ROOT_CRL: &str = "/IntelSGXRootCA.der";
/// The header that a subscription key goes into.
pub const SUBSCRIPTION_HEADER: &str = "Ocp-Apim-Subscription-Key";

/// Base, path and query of a piece; `None`: another vendor's, or a PCK certificate, for which [`PckId::target`] asks.
pub(super) fn target(piece: &Piece, base: &Base) -> Option<(Base, String)> {
    let target = match piece {
        Piece::IntelRootCrl if base.join("") == PCS => {
            return Some((Base::parse(ROOT).ok()?, ROOT_CRL.to_owned()));
        }
        Piece::IntelRootCrl => "/sgx/certification/v4/rootcacrl".to_owned(),
        Piece::IntelPckCrl { ca } => {
            format!("/sgx/certification/v4/pckcrl?ca={}&encoding=der", ca.name())
        }
        Piece::IntelTcb { tee, fmspc } => {
            format!("/{}/certification/v4/tcb?fmspc={}", tee.name(), hex::encode(fmspc))
        }
        Piece::IntelQe { tee } => format!("/{}/certification/v4/qe/identity", tee.name()),
        _ => return None,
    };
    Some((base.clone(), target))
}

/// The headers in which the chain of a piece's issuer comes; the first that is there counts.
const fn chain_headers(piece: &Piece) -> &'static [&'static str] {
    match piece {
        Piece::IntelTcb { .. } => &["TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain"],
        Piece::IntelQe { .. } => &["SGX-Enclave-Identity-Issuer-Chain"],
        Piece::IntelPckCrl { .. } => &["SGX-PCK-CRL-Issuer-Chain"],
        Piece::IntelPck { .. } => &["SGX-PCK-Certificate-Issuer-Chain"],
        _ => &[],
    }
}

/// Reads an answer about `piece`.
///
/// # Errors
/// In words: no such piece, or the chain of its issuer is missing or broken.
pub(super) fn read(piece: &Piece, headers: &HeaderMap, body: &[u8]) -> Result<Recognised, String> {
    let mut found = recognise_piece(body)?;
    let names = chain_headers(piece);
    if names.is_empty() {
        return Ok(found);
    }
    match recognise(&chain(names, headers)?) {
        Ok(Found::IssuerChain(chain)) => found.chain = Some(chain),
        _ => return Err("the chain of its issuer is none of Intel's".to_owned()),
    }
    Ok(found)
}

/// Reads a PCK certificate: itself in the body, its issuers in a header.
///
/// # Errors
/// As [`read`].
pub(super) fn read_pck(headers: &HeaderMap, body: &[u8]) -> Result<Recognised, String> {
    let chain = chain(&["SGX-PCK-Certificate-Issuer-Chain"], headers)?;
    let whole = [body, b"\n", &chain].concat();
    if whole.len() > limits::COLLATERAL_CHAIN_BYTES_MAX {
        return Err("its chain is larger than any".to_owned());
    }
    recognise_piece(&whole)
}

fn chain(names: &[&str], headers: &HeaderMap) -> Result<Vec<u8>, String> {
    let value = names.iter().find_map(|name| headers.get(*name)).ok_or_else(|| {
        format!("the header {} with the chain of its issuer is missing", names.join(" or "))
    })?;
    if value.len() > limits::COLLATERAL_CHAIN_BYTES_MAX {
        return Err("the chain of its issuer is larger than any".to_owned());
    }
    percent_decoded(value.as_bytes()).ok_or_else(|| "the chain of its issuer is garbled".to_owned())
}

/// Undoes URL encoding; a plus sign stays one (base64 has them).
fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let digits = [*rest.next()?, *rest.next()?];
        let mut value = [0];
        hex::decode_to_slice(digits, &mut value).ok()?;
        out.extend(value);
    }
    Some(out)
}

/// How a platform names itself when it asks for its certificate: a line of `pckid_retrieval.csv`, as Intel's tool
/// PCKIDRetrievalTool writes it.
#[derive(Clone, PartialEq, Eq)]
pub struct PckId {
    encrypted_ppid: String,
    pceid: String,
    cpusvn: String,
    pcesvn: String,
    qeid: String,
}

impl fmt::Debug for PckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PckId").field("qeid", &self.qeid).finish_non_exhaustive()
    }
}

impl PckId {
    /// Reads the first line: encrypted PPID, PCE ID, CPUSVN, PCE's SVN, QE ID, all in hex; more may follow.
    ///
    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let line = text.lines().find(|line| !line.trim().is_empty()).ok_or("it is empty")?;
        let mut fields = line.split(',').map(str::trim);
        let mut field = |name: &str, bytes: &[usize]| {
            let value = fields.next().unwrap_or_default();
            let fits = bytes.iter().any(|bytes| value.len() == 2 * bytes);
            if fits && value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                Ok(value.to_ascii_lowercase())
            } else {
                Err(format!("its {name} is not {} bytes in hex", bytes.first().unwrap_or(&0)))
            }
        };
        Ok(Self {
            encrypted_ppid: field("encrypted PPID", &[384])?,
            pceid: field("PCE ID", &[2])?,
            cpusvn: field("CPUSVN", &[16])?,
            pcesvn: field("PCE SVN", &[2])?,
            qeid: field("QE ID", &[16])?,
        })
    }

    /// Path and query. A caching service finds platforms by QE ID, which Intel's own service does not take.
    pub fn target(&self, base: &Base) -> String {
        let Self { encrypted_ppid, pceid, cpusvn, pcesvn, qeid } = self;
        let qeid = if base.join("") == PCS { String::new() } else { format!("&qeid={qeid}") };
        format!(
            "/sgx/certification/v4/pckcert?encrypted_ppid={encrypted_ppid}&cpusvn={cpusvn}&pcesvn={pcesvn}&pceid={pceid}{qeid}"
        )
    }
}

/// Beginnings of what the firmware wants registered.
const PLATFORM_MANIFEST: [u8; 16] = [
    0x17, 0x8e, 0x87, 0x4b, 0x49, 0xe4, 0x4a, 0xa5, 0x99, 0xbb, 0x30, 0x57, 0x17, 0x09, 0x25, 0xb4,
];
const ADD_PACKAGE: [u8; 16] = [
    0x69, 0x65, 0x19, 0xca, 0x73, 0xc1, 0x47, 0x85, 0xa0, 0xf6, 0x4d, 0x28, 0x9d, 0x37, 0xe9, 0x95,
];

/// What the firmware wants to be told to Intel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// A platform for the first time.
    Platform(Vec<u8>),
    /// A processor that was added.
    Package(Vec<u8>),
}

impl Registration {
    /// Reads the variable `SgxRegistrationServerRequest` as Linux shows it: four bytes of attributes, version, length, and the
    /// request.
    ///
    /// # Errors
    /// In words.
    pub fn parse(variable: &[u8]) -> Result<Self, String> {
        let short = || "it is cut short".to_owned();
        let body = variable.get(4..).ok_or_else(short)?;
        let word = |at: usize| -> Option<[u8; 2]> { body.get(at..at + 2)?.try_into().ok() };
        let version = u16::from_le_bytes(word(0).ok_or_else(short)?);
        let (length, at) = match version {
            1 | 2 => (u32::from(u16::from_le_bytes(word(2).ok_or_else(short)?)), 4),
            3 => {
                let length = body.get(2..6).and_then(|bytes| bytes.try_into().ok());
                (u32::from_le_bytes(length.ok_or_else(short)?), 6)
            }
            _ => return Err(format!("its version {version} is not known")),
        };
        let request = body.get(at..).unwrap_or_default();
        if usize::try_from(length).ok() != Some(request.len()) {
            return Err(format!("it says {length} bytes and has {}", request.len()));
        }
        if request.starts_with(&PLATFORM_MANIFEST) {
            Ok(Self::Platform(request.to_vec()))
        } else if request.starts_with(&ADD_PACKAGE) {
            Ok(Self::Package(request.to_vec()))
        } else {
            Err("it is neither a platform manifest nor a request to add a processor".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
