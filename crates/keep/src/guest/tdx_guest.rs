// SPDX-License-Identifier: Apache-2.0

//! Reports through `/dev/tdx_guest` (Linux, `Documentation/virt/coco/tdx-guest.rst`), and where a quote has its report data.

use std::fs::File;
use std::path::Path;

use super::{GuestError, REPORT_DATA_BYTES, speaks_of};
use crate::sys;

/// The device.
pub const PATH: &str = "dev/tdx_guest";
/// Offset of the report data in a TDREPORT (REPORTMACSTRUCT).
const IN_REPORT: usize = 128;
/// Bytes of a quote's header.
const HEADER: usize = 48;
/// Bytes that stand before the body in version 5: its type and its length.
const BODY_HEADER: usize = 6;
/// Offset of the report data in a TD's body, of both kinds.
const IN_BODY: usize = 520;

/// The TDREPORT over `report_data`, from the device below `root`. Only the quoting enclave of the same processor can check it.
///
/// # Errors
/// [`GuestError`].
pub fn report(root: &Path, report_data: &[u8; REPORT_DATA_BYTES]) -> Result<Vec<u8>, GuestError> {
    let path = root.join(PATH);
    let failed = |error| GuestError::File(path.display().to_string(), error);
    let device = File::options().read(true).write(true).open(&path).map_err(failed)?;
    let report = sys::td_report(&device, report_data).map_err(failed)?.to_vec();
    speaks_of(&report, IN_REPORT, report_data)?;
    Ok(report)
}

/// Checks that this is a TDX quote over the report data.
pub(super) fn check_quote(
    quote: &[u8],
    report_data: &[u8; REPORT_DATA_BYTES],
) -> Result<(), GuestError> {
    // Version, kind of key, TEE.
    let at = match quote {
        [4, 0, _, _, 0x81, 0, 0, 0, ..] => HEADER + IN_BODY,
        [5, 0, _, _, 0x81, 0, 0, 0, ..] => HEADER + BODY_HEADER + IN_BODY,
        _ => return Err(GuestError::Wrong("it is no quote of a TD, version 4 or 5".to_owned())),
    };
    speaks_of(quote, at, report_data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_told_by_their_header() {
        for (version, at) in [(4, 568), (5, 574)] {
            let mut quote = vec![0; 700];
            quote[0] = version;
            quote[4] = 0x81;
            quote[at..at + 64].copy_from_slice(&[3; 64]);
            assert!(check_quote(&quote, &[3; 64]).is_ok());
            assert!(check_quote(&quote, &[4; 64]).is_err());
            assert!(check_quote(&quote[..at + 63], &[3; 64]).is_err());
            quote[4] = 0;
            assert!(check_quote(&quote, &[3; 64]).is_err());
        }
        assert!(check_quote(&[], &[3; 64]).is_err());
    }

    #[test]
    fn real_quotes_have_their_report_data_there() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/evidence/tdx");
        if !folder.is_dir() {
            use std::io::Write as _;
            let _ = writeln!(
                std::io::stderr(),
                "SKIP real_quotes_have_their_report_data_there: no evidence of real hardware"
            );
            return;
        }
        for case in ["v4-up-to-date-near-2026", "v5-td15ex", "v5-up-to-date-google"] {
            let read = |name: &str| std::fs::read(folder.join(case).join(name)).unwrap();
            let facts = String::from_utf8(read("facts.toml")).unwrap();
            let line = facts.lines().find(|line| line.starts_with("report_data = ")).unwrap();
            let hex = line.split('"').nth(1).unwrap();
            let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
            let wanted: [u8; 64] = std::array::from_fn(byte);
            check_quote(&read("quote.bin"), &wanted).unwrap();
        }
    }
}
