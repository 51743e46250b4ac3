// SPDX-License-Identifier: Apache-2.0

//! The HCL report: a header of 32 bytes, the hardware's report in 1184 bytes, and the runtime data with their own header.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::asn1::{self, SEQUENCE};

const HEADER_BYTES: usize = 32;
const HARDWARE_BYTES: usize = 1184;
const RUNTIME_HEADER_BYTES: usize = 20;
/// Largest HCL report: what the TPM's index (0x01400001) holds, and a margin.
const HCL_BYTES_MAX: usize = 16 * 1024;
/// INTEGER of DER.
const INTEGER: u8 = 2;

/// What the hardware report is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hardware {
    Snp,
    Tdx,
}

/// Which properties the machine is configured with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Configuration {
    #[serde(default)]
    pub(super) console_enabled: bool,
    #[serde(default)]
    pub(super) secure_boot: bool,
}

/// An HCL report, read but not verified.
#[derive(Debug)]
pub(super) struct Hcl<'a> {
    pub(super) hardware: Hardware,
    /// SNP report, or TDREPORT with padding.
    pub(super) report: &'a [u8],
    /// What the hardware's report data have to be: the hash of the runtime data.
    pub(super) report_data: [u8; 64],
    /// Public part of the AK, DER of a PKCS#1 `RSAPublicKey`.
    pub(super) ak: Vec<u8>,
    /// What the guest wrote.
    pub(super) user_data: Option<[u8; 64]>,
    pub(super) configuration: Configuration,
}

#[derive(Deserialize)]
struct Runtime {
    keys: Vec<Key>,
    #[serde(rename = "vm-configuration", default)]
    configuration: Configuration,
    #[serde(rename = "user-data")]
    user_data: Option<String>,
}

#[derive(Deserialize)]
struct Key {
    kid: String,
    kty: String,
    e: String,
    n: String,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

impl<'a> Hcl<'a> {
    /// Reads a report.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        if bytes.len() > HCL_BYTES_MAX {
            return Err("it is larger than any");
        }
        let (header, rest) =
            bytes.split_at_checked(HEADER_BYTES).ok_or("it is shorter than its header")?;
        if !header.starts_with(b"HCLA") || !matches!(word(header, 4), Some(1 | 2)) {
            return Err("its signature or version is not known");
        }
        let (report, rest) =
            rest.split_at_checked(HARDWARE_BYTES).ok_or("it has no whole hardware report")?;
        let (runtime, rest) =
            rest.split_at_checked(RUNTIME_HEADER_BYTES).ok_or("it has no runtime data")?;
        let field = |at| word(runtime, at).unwrap_or(u32::MAX);
        let hardware = match field(8) {
            2 => Hardware::Snp,
            4 => Hardware::Tdx,
            _ => return Err("its hardware is neither SEV-SNP nor TDX"),
        };
        let length = usize::try_from(field(16)).unwrap_or(usize::MAX);
        let (variable, padding) =
            rest.split_at_checked(length).ok_or("its runtime data are cut off")?;
        let sizes = usize::try_from(field(0)) == Ok(length.saturating_add(RUNTIME_HEADER_BYTES));
        if !sizes || field(4) != 1 {
            return Err("the header of its runtime data contradicts itself");
        }
        if padding.iter().any(|byte| *byte != 0) {
            return Err("there is something after its runtime data");
        }
        let hash = match field(12) {
            1 => Sha256::digest(variable).to_vec(),
            2 => Sha384::digest(variable).to_vec(),
            3 => Sha512::digest(variable).to_vec(),
            _ => return Err("the hash of its runtime data is not known"),
        };
        let mut report_data = [0; 64];
        for (to, from) in report_data.iter_mut().zip(hash) {
            *to = from;
        }
        let runtime: Runtime =
            serde_json::from_slice(variable).map_err(|_| "its runtime data are malformed")?;
        let mut aks = runtime.keys.iter().filter(|key| key.kid == "HCLAkPub");
        let ak = match (aks.next(), aks.next()) {
            (Some(key), None) => rsa(key).ok_or("the AK in its runtime data is no RSA key")?,
            _ => return Err("its runtime data have not one AK"),
        };
        let user_data = match runtime.user_data {
            None => None,
            Some(text) => {
                let mut data = [0; 64];
                hex::decode_to_slice(text, &mut data)
                    .map_err(|_| "its user-data are not 128 hex digits")?;
                Some(data)
            }
        };
        let configuration = runtime.configuration;
        Ok(Self { hardware, report, report_data, ak, user_data, configuration })
    }
}

/// DER of a PKCS#1 `RSAPublicKey`.
fn rsa(key: &Key) -> Option<Vec<u8>> {
    if key.kty != "RSA" {
        return None;
    }
    let integer = |text: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let start = bytes.iter().position(|byte| *byte != 0)?;
        let magnitude = bytes.get(start..)?;
        let sign: &[u8] = if magnitude.first()? & 0x80 == 0 { &[] } else { &[0] };
        Some(asn1::tlv(INTEGER, &[sign, magnitude].concat()))
    };
    Some(asn1::tlv(SEQUENCE, &[integer(&key.n)?, integer(&key.e)?].concat()))
}
