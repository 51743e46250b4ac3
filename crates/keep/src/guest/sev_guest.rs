// SPDX-License-Identifier: Apache-2.0

//! Reports through `/dev/sev-guest` (Linux, `Documentation/virt/coco/sev-guest.rst`), and the table of certificates that a
//! host sends along (GHCB specification 56421, section 4.1.8.1).

use std::fmt;
use std::fs::File;
use std::path::Path;

use super::{CERTIFICATES_BYTES_MAX, GuestError, REPORT_DATA_BYTES, Statement, speaks_of};
use crate::sys;

/// The device.
pub const PATH: &str = "dev/sev-guest";
/// Bytes of a report.
pub const REPORT_BYTES: usize = 1184;
/// Most certificates in a table.
const ENTRIES_MAX: usize = 16;
/// Hypervisor's error: there is not enough room for the certificates.
const TOO_SHORT: u64 = 1;

/// What a certificate of a host's table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// The chip's key.
    Vcek,
    /// The cloud provider's key.
    Vlek,
    /// AMD's intermediate authority (ASK or ASVK).
    Ask,
    /// AMD's root.
    Ark,
    /// A revocation list.
    Crl,
    /// Something else.
    Other,
}

impl CertificateKind {
    const GUIDS: [(Self, u128); 5] = [
        (Self::Vcek, 0x63da758d_e664_4564_adc5_f4b93be8accd),
        (Self::Vlek, 0xa8074bc2_a25a_483e_aae6_39c045a0b8a1),
        (Self::Ask, 0x4ab7b379_bbac_4fe4_a02f_05aef327c782),
        (Self::Ark, 0xc0b406a4_a803_4952_9743_3fb6014cd0ae),
        (Self::Crl, 0x92f81bc3_5811_4d3d_97ff_d19f88dc67ea),
    ];

    fn of(guid: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, rest @ ..] = guid;
        let [i, j, k, l, m, n, o, p] = rest;
        // Some hosts write the first three parts little endian.
        let mixed = [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p];
        let values = [u128::from_be_bytes(guid), u128::from_be_bytes(mixed)];
        let found = Self::GUIDS.into_iter().find(|(_, guid)| values.contains(guid));
        found.map_or(Self::Other, |(kind, _)| kind)
    }
}

impl fmt::Display for CertificateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vcek => "vcek",
            Self::Vlek => "vlek",
            Self::Ask => "ask",
            Self::Ark => "ark",
            Self::Crl => "crl",
            Self::Other => "other",
        })
    }
}

/// Asks the device below `root`.
pub(super) fn statement(
    root: &Path,
    report_data: &[u8; REPORT_DATA_BYTES],
) -> Result<Statement, GuestError> {
    let path = root.join(PATH);
    let name = path.display().to_string();
    let device = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|error| GuestError::File(name.clone(), error))?;
    let refused = |failed: sys::DeviceError| match failed.firmware {
        0 => GuestError::File(name.clone(), failed.error),
        firmware => GuestError::Firmware(firmware),
    };
    // With room for no certificate, the host says how much they need.
    let mut table = Vec::new();
    let wanted = match sys::snp_ext_report(&device, report_data, &mut table) {
        Ok(response) => return snp(&*response, &table, report_data),
        Err((failed, wanted)) if failed.firmware >> 32 == TOO_SHORT => wanted,
        // A hypervisor that has none need not know the request.
        Err((failed, _)) if failed.firmware != 0 => {
            let response = sys::snp_report(&device, report_data).map_err(refused)?;
            return snp(&*response, &[], report_data);
        }
        Err((failed, _)) => return Err(refused(failed)),
    };
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    if wanted > CERTIFICATES_BYTES_MAX {
        let what = format!("the host has {wanted} bytes of certificates, which is too much");
        return Err(GuestError::Wrong(what));
    }
    table.resize(wanted, 0);
    let response = sys::snp_ext_report(&device, report_data, &mut table)
        .map_err(|(failed, _)| refused(failed))?;
    snp(&*response, &table, report_data)
}

/// Splits the firmware's response (SNP firmware ABI 56860, MSG_REPORT_RSP): status, length, reserved bytes, report.
fn snp(
    response: &[u8],
    table: &[u8],
    report_data: &[u8; REPORT_DATA_BYTES],
) -> Result<Statement, GuestError> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(response.get(at..at + 4)?.try_into().ok()?))
    };
    let (status, length) = (word(0), word(4));
    if status != Some(0) {
        return Err(GuestError::Firmware(u64::from(status.unwrap_or(u32::MAX))));
    }
    if length.and_then(|length| usize::try_from(length).ok()) != Some(REPORT_BYTES) {
        return Err(GuestError::Wrong("the report has not 1184 bytes".to_owned()));
    }
    let report = response.get(32..32 + REPORT_BYTES).unwrap_or_default().to_vec();
    check(&report, report_data)?;
    Ok(Statement::Snp { report, certificates: certificates(table)? })
}

/// Checks that this is a report over the report data.
pub(super) fn check(
    report: &[u8],
    report_data: &[u8; REPORT_DATA_BYTES],
) -> Result<(), GuestError> {
    if report.len() != REPORT_BYTES {
        return Err(GuestError::Wrong(format!("a report has 1184 bytes, not {}", report.len())));
    }
    speaks_of(report, 80, report_data)
}

/// Reads a host's table of certificates: entries of GUID, offset and length, up to an empty one.
///
/// # Errors
/// [`GuestError::Wrong`]: a table that points outside of itself, or has too many entries.
pub fn certificates(table: &[u8]) -> Result<Vec<(CertificateKind, Vec<u8>)>, GuestError> {
    let wrong = |what: &str| GuestError::Wrong(format!("the host's table of certificates {what}"));
    let mut found = Vec::new();
    if table.is_empty() {
        return Ok(found);
    }
    let (entries, _) = table.as_chunks::<24>();
    for entry in entries {
        if *entry == [0; 24] {
            return Ok(found);
        }
        if found.len() == ENTRIES_MAX {
            return Err(wrong("has too many entries"));
        }
        let [guid @ .., a, b, c, d, e, f, g, h] = entry;
        let offset = u32::from_le_bytes([*a, *b, *c, *d]);
        let length = u32::from_le_bytes([*e, *f, *g, *h]);
        let bytes = usize::try_from(offset)
            .ok()
            .zip(usize::try_from(length).ok())
            .and_then(|(offset, length)| table.get(offset..offset.checked_add(length)?))
            .ok_or_else(|| wrong("points outside of itself"))?;
        found.push((CertificateKind::of(*guid), bytes.to_vec()));
    }
    Err(wrong("has no end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(u128, u32, u32)], length: usize) -> Vec<u8> {
        let mut table = Vec::new();
        for (guid, offset, length) in entries {
            table.extend(guid.to_be_bytes());
            table.extend(offset.to_le_bytes());
            table.extend(length.to_le_bytes());
        }
        table.resize(length, 0);
        table
    }

    #[test]
    fn tables_are_read_and_bounded() {
        let (vcek, ark) = (CertificateKind::GUIDS[0].1, CertificateKind::GUIDS[3].1);
        let mut bytes = table(&[(vcek, 100, 5), (ark, 105, 3), (1, 0, 0)], 120);
        bytes[100..108].copy_from_slice(b"vcek!ark");
        let wanted = vec![
            (CertificateKind::Vcek, b"vcek!".to_vec()),
            (CertificateKind::Ark, b"ark".to_vec()),
            (CertificateKind::Other, vec![]),
        ];
        assert_eq!(certificates(&bytes).unwrap(), wanted);
        // The other way to write a GUID.
        bytes[..8].copy_from_slice(&[0x8d, 0x75, 0xda, 0x63, 0x64, 0xe6, 0x64, 0x45]);
        assert_eq!(certificates(&bytes).unwrap(), wanted);
        assert!(certificates(&[]).unwrap().is_empty());
        assert!(certificates(&[0; 4096]).unwrap().is_empty());
        for wrong in [
            table(&[(vcek, 100, 5)], 104),
            table(&[(vcek, u32::MAX, u32::MAX)], 200),
            table(&[(vcek, 0, 1)], 47),
            table(&[(vcek, 0, 1); 17], 1000),
            vec![1; 10],
        ] {
            assert!(matches!(certificates(&wrong), Err(GuestError::Wrong(_))));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_table_and_no_response_panics(bytes in proptest::collection::vec(0_u8.., 0..2_000)) {
            let _ = certificates(&bytes);
            let _ = snp(&bytes, &bytes, &[0; 64]);
            let _ = check(&bytes, &[0; 64]);
        }
    }

    #[test]
    fn responses_of_the_firmware() {
        let mut response = vec![0; 4000];
        response[4..8].copy_from_slice(&1184_u32.to_le_bytes());
        response[32 + 80..32 + 144].copy_from_slice(&[9; 64]);
        let statement = snp(&response, &[], &[9; 64]).unwrap();
        assert!(matches!(&statement, Statement::Snp { report, .. } if report.len() == 1184));
        assert!(matches!(snp(&response, &[], &[8; 64]), Err(GuestError::Wrong(_))));
        response[0] = 0x16;
        assert!(matches!(snp(&response, &[], &[9; 64]), Err(GuestError::Firmware(0x16))));
        response[0] = 0;
        response[4] += 1;
        assert!(matches!(snp(&response, &[], &[9; 64]), Err(GuestError::Wrong(_))));
        assert!(snp(&[], &[], &[9; 64]).is_err());
    }

    #[test]
    fn real_tables_are_read() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../../shared/evidence/snp/genoa-v3-veraison-tsm/tsm-report.cbor");
        let Ok(map) = std::fs::read(file) else {
            use std::io::Write as _;
            let _ = writeln!(
                std::io::stderr(),
                "SKIP real_tables_are_read: no evidence of real hardware"
            );
            return;
        };
        // The first value of the map: a byte string with a length of two bytes.
        assert_eq!(map[1..10], *b"gauxblobY");
        let length = usize::from(u16::from_be_bytes([map[10], map[11]]));
        let found = certificates(&map[12..12 + length]).unwrap();
        let kinds: Vec<_> = found.iter().map(|(kind, _)| *kind).collect();
        use CertificateKind::{Ark, Ask, Vcek};
        assert_eq!(kinds, [Ark, Ask, Vcek]);
    }
}
