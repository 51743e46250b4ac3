// SPDX-License-Identifier: Apache-2.0

//! What some bytes are: told by their contents, never by their name or by where they came from.

use evidence::amd::{Product, VekKind, read_vek};
use serde::Deserialize;
use serde_json::value::RawValue;
use types::limits;
use types::time::Timestamp;

use super::piece::{IntelTee, PckCa, Piece, Vek};
use super::x509::{self, Cert, List};

/// Common name of Intel's root.
pub(super) const INTEL_ROOT: &str = "Intel SGX Root CA";
/// Common name of the certificate that signs TCB infos and enclave identities.
pub(super) const TCB_SIGNING: &str = "Intel SGX TCB Signing";
/// Common name of certificates of platforms' keys.
const PCK: &str = "Intel SGX PCK Certificate";

/// A piece with its contents, well-formed, not authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// What it is.
    pub piece: Piece,
    /// Its contents as they are kept: DER, or PEM of a chain, or JSON as received.
    pub bytes: Vec<u8>,
    /// The issuer's chain as PEM, issuer first, where there is one beside it.
    pub chain: Option<String>,
    /// Since when it holds.
    pub issued: Timestamp,
    /// Until when it holds.
    pub until: Timestamp,
}

/// What bytes may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A piece of collateral.
    Piece(Recognised),
    /// A chain that belongs to Intel's JSON documents or to revocation lists; PEM.
    IssuerChain(String),
}

/// Tells what `bytes` are.
///
/// # Errors
/// In words: nothing that is known, or broken.
pub fn recognise(bytes: &[u8]) -> Result<Found, String> {
    let start = bytes.trim_ascii_start();
    if bytes.first() == Some(&0x30) {
        return der(bytes);
    }
    if start.first() == Some(&b'{') {
        return json(bytes).map(Found::Piece);
    }
    if find(bytes, b"-----BEGIN ") {
        return pem(bytes);
    }
    // Caching services answer with the root's list in hex.
    if let Ok(der_bytes) = hex::decode(bytes.trim_ascii())
        && der_bytes.first() == Some(&0x30)
    {
        return der(&der_bytes);
    }
    Err("it is no certificate, revocation list, TCB info or enclave identity".to_owned())
}

/// As [`recognise`], for those who expect a piece.
///
/// # Errors
/// As [`recognise`], and if it is the chain of an issuer.
pub fn recognise_piece(bytes: &[u8]) -> Result<Recognised, String> {
    match recognise(bytes)? {
        Found::Piece(found) => Ok(found),
        Found::IssuerChain(_) => Err("it is the chain of an issuer, and nothing else".to_owned()),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn der(bytes: &[u8]) -> Result<Found, String> {
    // A certificate has a signature algorithm and a name where a list has others, so that nothing is both.
    match List::read(bytes) {
        Ok(list) => crl(&list, bytes).map(Found::Piece),
        Err(why) => match Cert::read(bytes) {
            Ok(certificate) => single(&certificate).map(Found::Piece),
            Err(also) => Err(format!("it is neither: {why}; {also}")),
        },
    }
}

fn crl(list: &List, bytes: &[u8]) -> Result<Recognised, String> {
    let piece = match list.issuer.as_str() {
        INTEL_ROOT => Piece::IntelRootCrl,
        name if name == PckCa::Platform.common_name() => Piece::IntelPckCrl { ca: PckCa::Platform },
        name if name == PckCa::Processor.common_name() => {
            Piece::IntelPckCrl { ca: PckCa::Processor }
        }
        name => match product(name, "ARK-") {
            Some(product) => Piece::SnpCrl { product },
            None => {
                return Err(format!(
                    "it is a revocation list of \"{}\", whom nobody asked",
                    name.escape_debug()
                ));
            }
        },
    };
    let bytes = bytes.to_vec();
    Ok(Recognised { piece, bytes, chain: None, issued: list.from, until: list.until })
}

fn product(name: &str, prefix: &str) -> Option<Product> {
    name.strip_prefix(prefix)?.parse().ok()
}

fn single(certificate: &Cert) -> Result<Recognised, String> {
    let unknown = |why: String| {
        format!("it is a certificate of \"{}\": {why}", certificate.subject.escape_debug())
    };
    let (product, tcb, kind) =
        read_vek(&certificate.der).map_err(|refusal| unknown(refusal.to_string()))?;
    match kind {
        VekKind::Vcek(hwid) => Ok(Recognised {
            piece: Piece::SnpVcek { product, hwid, tcb: tcb.encode(product) },
            bytes: certificate.der.clone(),
            chain: None,
            issued: certificate.from,
            until: certificate.until,
        }),
        VekKind::Vlek(_) => Err(unknown(
            "a provider hands its VLEK out with each report, there is nothing to keep".to_owned(),
        )),
    }
}

fn pem(bytes: &[u8]) -> Result<Found, String> {
    if let Some(list) = x509::list(bytes) {
        return der(&list);
    }
    let chain = x509::certificates(bytes)?;
    let Some(leaf) = chain.first() else {
        return Err("it has no certificate and no revocation list".to_owned());
    };
    if chain.len() == 1 {
        return single(leaf).map(Found::Piece);
    }
    let text = x509::to_pem(&chain)?;
    if text.len() > limits::COLLATERAL_CHAIN_BYTES_MAX {
        return Err("the chain is larger than any".to_owned());
    }
    let issued = chain.iter().map(|c| c.from).max().unwrap_or_default();
    let until = chain.iter().map(|c| c.until).min().unwrap_or_default();
    let piece = match leaf.subject.as_str() {
        PCK => {
            let facts =
                leaf.sgx().unwrap_or_else(|| Err("it has no extension of Intel".to_owned()))?;
            Piece::IntelPck { ppid: facts.ppid, tcb: facts.tcb }
        }
        TCB_SIGNING => return Ok(Found::IssuerChain(text)),
        name if [PckCa::Platform, PckCa::Processor].iter().any(|ca| ca.common_name() == name) => {
            return Ok(Found::IssuerChain(text));
        }
        name => match (product(name, "SEV-VLEK-"), product(name, "SEV-")) {
            (Some(product), _) => Piece::SnpChain { product, vek: Vek::Vlek },
            (None, Some(product)) => Piece::SnpChain { product, vek: Vek::Vcek },
            (None, None) => {
                return Err(format!(
                    "it is a chain below \"{}\", which is unknown",
                    name.escape_debug()
                ));
            }
        },
    };
    Ok(Found::Piece(Recognised { piece, bytes: text.into_bytes(), chain: None, issued, until }))
}

/// The line of platforms (FMSPC) that the first PCK certificate within these bytes is of: of a chain, or of a quote.
///
/// # Errors
/// If there is none.
pub fn fmspc(bytes: &[u8]) -> Result<[u8; 6], String> {
    // A quote has its chain as PEM text somewhere within.
    let begin = b"-----BEGIN CERTIFICATE-----";
    let at = bytes.windows(begin.len()).position(|window| window == begin);
    let text = at.and_then(|at| bytes.get(at..)).ok_or("there is no certificate in PEM in it")?;
    let end = b"-----END CERTIFICATE-----";
    let at = text.windows(end.len()).position(|window| window == end);
    let first =
        at.and_then(|at| text.get(..at + end.len())).ok_or("the certificate in it has no end")?;
    let certificates = x509::certificates(first)?;
    let leaf = certificates.first().ok_or("there is no certificate in PEM in it")?;
    let facts = leaf.sgx().ok_or("its first certificate is no PCK certificate")??;
    Ok(facts.fmspc)
}

/// A document of Intel: what is signed, and the signature.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, rename = "tcbInfo")]
    tcb: Option<&'a RawValue>,
    #[serde(borrow, rename = "enclaveIdentity")]
    identity: Option<&'a RawValue>,
    signature: String,
}

/// What is common to both.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inner {
    id: String,
    version: u32,
    issue_date: Timestamp,
    next_update: Timestamp,
    fmspc: Option<String>,
    /// Read, so that a document without it is none.
    #[serde(rename = "tcbEvaluationDataNumber")]
    _number: u32,
    tcb_levels: Vec<serde::de::IgnoredAny>,
}

/// What of a document of Intel is signed, and the signature (`r ‖ s`).
pub(super) fn signed(bytes: &[u8]) -> Result<(&[u8], Vec<u8>), String> {
    let malformed = |error: serde_json::Error| format!("it is no document of Intel: {error}");
    let document: Document<'_> = serde_json::from_slice(bytes).map_err(malformed)?;
    let ((Some(raw), None) | (None, Some(raw))) = (document.tcb, document.identity) else {
        return Err("it has not one of tcbInfo and enclaveIdentity".to_owned());
    };
    let signature = hex::decode(&document.signature)
        .ok()
        .filter(|bytes| bytes.len() == 64)
        .ok_or("its signature is not 64 bytes in hex")?;
    Ok((raw.get().as_bytes(), signature))
}

fn json(bytes: &[u8]) -> Result<Recognised, String> {
    if bytes.len() > limits::COLLATERAL_JSON_BYTES_MAX {
        return Err("it is larger than any document of Intel".to_owned());
    }
    let (raw, _) = signed(bytes)?;
    let inner: Inner = serde_json::from_slice(raw)
        .map_err(|error| format!("it is no document of Intel: {error}"))?;
    if inner.tcb_levels.is_empty() {
        return Err("it lists no TCB level".to_owned());
    }
    let piece = match (inner.id.as_str(), inner.version, &inner.fmspc) {
        ("SGX", 3, Some(fmspc)) => Piece::IntelTcb { tee: IntelTee::Sgx, fmspc: line(fmspc)? },
        ("TDX", 3, Some(fmspc)) => Piece::IntelTcb { tee: IntelTee::Tdx, fmspc: line(fmspc)? },
        ("QE", 2, None) => Piece::IntelQe { tee: IntelTee::Sgx },
        ("TD_QE", 2, None) => Piece::IntelQe { tee: IntelTee::Tdx },
        (id, version, _) => {
            return Err(format!("its kind \"{}\" version {version} is unknown", id.escape_debug()));
        }
    };
    Ok(Recognised {
        piece,
        bytes: bytes.to_vec(),
        chain: None,
        issued: inner.issue_date,
        until: inner.next_update,
    })
}

/// A line of platforms, 12 hex digits.
///
/// # Errors
/// Anything else.
pub fn line(text: &str) -> Result<[u8; 6], String> {
    let mut bytes = [0; 6];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| "an FMSPC is 12 hex digits, for example 00606a000000".to_owned())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
