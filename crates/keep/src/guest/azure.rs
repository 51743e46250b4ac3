// SPDX-License-Identifier: Apache-2.0

//! Evidence of Azure's confidential virtual machines (docs/FORMATS.md 3.8). Their paravisor (HCL) keeps the hardware's report
//! in the virtual TPM, and puts into it what the guest writes there.
//!
//! Source: Microsoft, "Guest attestation for confidential virtual machines"
//! (<https://learn.microsoft.com/azure/confidential-computing/guest-attestation-confidential-virtual-machines-design>).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use types::digest::Sha256;

use super::tpm::{Device, Tpm, TpmError, Transport};
use super::{GuestError, REPORT_DATA_BYTES};

/// The device.
pub const PATH: &str = "dev/tpmrm0";
/// Where the HCL report is.
const HCL_REPORT: u32 = 0x0140_0001;
/// Where the guest writes its report data.
const USER_DATA: u32 = 0x0140_0002;
/// The attestation key.
const AK: u32 = 0x8100_0003;
/// Where Azure keeps the certificate of that key.
const AK_CERTIFICATE: u32 = 0x01c1_01d0;
/// Most bytes of the report, and of the certificate.
const HCL_BYTES_MAX: u16 = 8 * 1024;
const CERTIFICATE_BYTES_MAX: u16 = 8 * 1024;
/// Bytes of the header, and of the hardware's report behind it.
const HEADER_BYTES: usize = 32;
const HARDWARE_BYTES: usize = 1184;
/// How often to look whether the report shows what was written, and how long to wait in between: the paravisor makes a new
/// one, which takes a second or more.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// What the virtual TPM says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VtpmEvidence {
    /// HCL report: header, hardware report, runtime data. Bytes after the runtime data are cut off.
    pub hcl: Vec<u8>,
    /// TPMS_ATTEST over all SHA-256 registers, with SHA-256 of the report data as qualifying data.
    pub message: Vec<u8>,
    /// Its signature by the attestation key, RSASSA-PKCS1-v1_5 with SHA-256.
    pub signature: Vec<u8>,
    /// The SHA-256 registers.
    pub pcrs: BTreeMap<u8, [u8; 32]>,
    /// Certificate of the attestation key, DER, if Azure left one.
    pub certificate: Option<Vec<u8>>,
}

impl VtpmEvidence {
    /// Whether the hardware's report is one of SEV-SNP; otherwise it is a TDREPORT, for which Azure's quoting service
    /// (on the machine's metadata address) makes a quote.
    pub fn is_snp(&self) -> bool {
        // Kind of the hardware's report in the header of the runtime data: 2 is SEV-SNP, 4 TDX.
        let at = HEADER_BYTES + HARDWARE_BYTES + 8;
        self.hcl.get(at..at + 4) == Some(&2_u32.to_le_bytes())
    }
}

/// Asks the TPM below `root`.
pub(super) fn collect(
    root: &Path,
    report_data: &[u8; REPORT_DATA_BYTES],
) -> Result<VtpmEvidence, GuestError> {
    let path = root.join(PATH);
    let device =
        Device::open(&path).map_err(|error| GuestError::File(path.display().to_string(), error))?;
    let pause = || std::thread::sleep(PAUSE);
    Ok(gather(&mut Tpm(device), report_data, pause)?)
}

/// Writes the report data, waits for a report that shows them, and has it quoted.
fn gather(
    tpm: &mut Tpm<impl Transport>,
    report_data: &[u8; REPORT_DATA_BYTES],
    mut pause: impl FnMut(),
) -> Result<VtpmEvidence, TpmError> {
    // Before anything is written: only a machine of this kind has such a report.
    tpm.nv_size(HCL_REPORT)?;
    tpm.nv_write(USER_DATA, report_data)?;
    let hex: String = report_data.iter().map(|byte| format!("{byte:02X}")).collect();
    let mut hcl = None;
    for look in 0..LOOKS {
        if look > 0 {
            pause();
        }
        let report = trimmed(tpm.nv_read(HCL_REPORT, HCL_BYTES_MAX)?)?;
        let runtime = report.get(HEADER_BYTES + HARDWARE_BYTES..).unwrap_or_default();
        if runtime.windows(hex.len()).any(|window| window.eq_ignore_ascii_case(hex.as_bytes())) {
            hcl = Some(report);
            break;
        }
    }
    let hcl = hcl.ok_or(TpmError::Stale)?;
    let before = tpm.pcrs()?;
    let quote = tpm.quote(AK, &Sha256::of(report_data).0)?;
    if tpm.pcrs()? != before {
        return Err(TpmError::Changed);
    }
    let certificate = match tpm.nv_read(AK_CERTIFICATE, CERTIFICATE_BYTES_MAX) {
        Ok(bytes) => der(&bytes),
        Err(error) if error.no_such_index() => None,
        Err(error) => return Err(error),
    };
    Ok(VtpmEvidence {
        hcl,
        message: quote.message,
        signature: quote.signature,
        pcrs: before.values,
        certificate,
    })
}

/// The report without the rest of its index: the runtime data say how long they are.
fn trimmed(mut report: Vec<u8>) -> Result<Vec<u8>, TpmError> {
    let malformed = TpmError::Malformed("NV_Read of the HCL report");
    if !report.starts_with(b"HCLA") {
        return Err(malformed);
    }
    // Behind the hardware's report: length of all, version, kinds of report and hash, length of the runtime data.
    let at = HEADER_BYTES + HARDWARE_BYTES;
    let word = |at: usize| {
        let bytes = report.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let end = word(at + 16).and_then(|length| (at + 20).checked_add(length));
    match end {
        Some(end) if end <= report.len() => {
            report.truncate(end);
            Ok(report)
        }
        _ => Err(malformed),
    }
}

/// The one DER value at the beginning; the index is filled up with zeros.
fn der(bytes: &[u8]) -> Option<Vec<u8>> {
    match bytes {
        [0x30, 0x82, a, b, ..] => {
            let length = usize::from(u16::from_be_bytes([*a, *b]));
            bytes.get(..4 + length).map(<[u8]>::to_vec)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
