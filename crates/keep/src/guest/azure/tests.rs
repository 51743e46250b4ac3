// SPDX-License-Identifier: Apache-2.0

use super::super::tpm::fake::{Fake, register};
use super::*;

/// An HCL report in an index of 2600 bytes, as Azure has it; `kind` is 2 for SEV-SNP and 4 for TDX.
fn hcl(kind: u8, user_data: &[u8]) -> Vec<u8> {
    let hex: String = user_data.iter().map(|byte| format!("{byte:02X}")).collect();
    let json = format!("{{\"keys\":[],\"user-data\":\"{hex}\"}}");
    let mut report = b"HCLA".to_vec();
    report.resize(HEADER_BYTES + HARDWARE_BYTES, 0);
    let length = u32::try_from(json.len()).unwrap();
    for word in [length + 20, 1, kind.into(), 1, length] {
        report.extend(word.to_le_bytes());
    }
    report.extend(json.as_bytes());
    report.resize(2_600, 0);
    report
}

/// A machine whose paravisor shows at once what is written.
fn machine() -> Tpm<Fake> {
    let mut tpm = Tpm(Fake {
        written: Some(|nv| {
            let shown = hcl(2, &nv[&USER_DATA]);
            nv.insert(HCL_REPORT, shown);
        }),
        ..Fake::default()
    });
    tpm.0.nv.insert(HCL_REPORT, hcl(2, &[0; 64]));
    tpm
}

#[test]
fn everything_is_gathered() {
    let mut tpm = machine();
    let certificate = [&[0x30, 0x82, 0, 3, 2, 1, 5][..], &[0; 100]].concat();
    tpm.0.nv.insert(AK_CERTIFICATE, certificate);
    let found = gather(&mut tpm, &[0xab; 64], || panic!("nothing to wait for")).unwrap();
    assert!(found.is_snp());
    assert!(found.hcl.ends_with(b"ABAB\"}"));
    assert_eq!(found.message, [b"quote of ", &Sha256::of(&[0xab; 64]).0[..]].concat());
    assert_eq!((found.pcrs.len(), found.pcrs[&23]), (24, register(23)));
    assert_eq!(found.certificate, Some(vec![0x30, 0x82, 0, 3, 2, 1, 5]));
    // Again, over something else, and without a certificate.
    tpm.0.nv.remove(&AK_CERTIFICATE);
    let found = gather(&mut tpm, &[1; 64], || {}).unwrap();
    assert_eq!((found.certificate, tpm.0.defined.len()), (None, 1));
}

#[test]
fn the_paravisor_is_waited_for_but_not_for_ever() {
    let mut tpm = machine();
    tpm.0.written = None;
    let mut pauses = 0;
    let result = gather(&mut tpm, &[1; 64], || pauses += 1);
    assert!(matches!(result, Err(TpmError::Stale)), "{result:?}");
    assert_eq!(pauses, LOOKS - 1);
}

#[test]
fn other_tpms_are_left_alone() {
    let mut tpm = Tpm(Fake::default());
    assert!(gather(&mut tpm, &[1; 64], || {}).unwrap_err().no_such_index());
    assert!(tpm.0.defined.is_empty());
    // Something else at that index.
    for wrong in [vec![7; 100], b"HCLA".to_vec(), {
        let mut report = hcl(2, &[1; 64]);
        report[HEADER_BYTES + HARDWARE_BYTES + 18] = 1;
        report
    }] {
        let mut tpm = Tpm(Fake::default());
        tpm.0.nv.insert(HCL_REPORT, wrong);
        let result = gather(&mut tpm, &[1; 64], || {});
        assert!(matches!(result, Err(TpmError::Malformed(_))), "{result:?}");
    }
    let mut tpm = machine();
    tpm.0.nv.insert(HCL_REPORT, vec![0; 9_000]);
    tpm.0.written = None;
    assert!(matches!(gather(&mut tpm, &[1; 64], || {}), Err(TpmError::Size(..))));
}

#[test]
fn registers_that_change_meanwhile_are_noticed() {
    let mut tpm = machine();
    tpm.0.drift = 1;
    assert!(matches!(gather(&mut tpm, &[1; 64], || {}), Err(TpmError::Changed)));
}

#[test]
fn real_reports_are_trimmed_to_what_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/evidence/vtpm");
    if !folder.is_dir() {
        use std::io::Write as _;
        let _ = writeln!(
            std::io::stderr(),
            "SKIP real_reports_are_trimmed_to_what_they_say: no evidence of real hardware"
        );
        return;
    }
    for (case, snp) in [("azure-snp-milan-v2-userdata", true), ("azure-tdx-trustee", false)] {
        let report = std::fs::read(folder.join(case).join("hcl_report.bin")).unwrap();
        let hcl = trimmed(report).unwrap();
        assert_eq!(hcl.last(), Some(&b'}'), "{case}");
        assert_eq!(VtpmEvidence { hcl, ..VtpmEvidence::default() }.is_snp(), snp);
    }
}
