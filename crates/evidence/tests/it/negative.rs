// SPDX-License-Identifier: Apache-2.0

//! What a verifier of SEV-SNP has to refuse, by the numbers that the project gives these tests: 1 to 22. Each row starts from
//! evidence that is taken, and changes one thing.

use std::collections::BTreeSet;
use std::io::{self, Write as _};

use enarx_evidence::amd::Roots;
use enarx_evidence::claims;
use enarx_evidence::crypto::{AwsLc, Cached};
use enarx_evidence::snp::{Endorsements, split_attestation, verify_snp};
use enarx_evidence::{Kind, csr, encode_legacy_snp};
use testkit::silicon::{ASK_SERIAL, CrlSpec, Key as Authority, Shape, SimulatedSnp, VekSpec};
use types::time::Timestamp;

use crate::crypto::Both;
use crate::world::{Key, MEASUREMENT, MILAN, NOW, TURIN, decide, parts, policy, roots, verify_at};

/// What was tried: number, what, and the check that failed; "taken" if none did.
struct Tried(Vec<(u8, String, String)>);

impl Tried {
    fn silicon(&mut self, number: u8, what: &str, silicon: &SimulatedSnp, policy: &str) {
        self.at(number, what, silicon, policy, NOW);
    }

    fn at(&mut self, n: u8, what: &str, silicon: &SimulatedSnp, policy: &str, now: Timestamp) {
        let outcome = verify_at(silicon, policy, now);
        let check = outcome.map_or_else(|refusal| refusal.check, |_| "taken");
        self.0.push((n, what.to_owned(), check.to_owned()));
    }

    fn shape(&mut self, number: u8, what: &str, policy: &str, change: impl FnOnce(&mut Shape)) {
        self.silicon(number, what, &MILAN.with_shape(change), policy);
    }

    fn vek(&mut self, number: u8, what: &str, change: impl FnOnce(&mut VekSpec)) {
        self.silicon(number, what, &MILAN.with_vek(change).unwrap(), "");
    }

    fn crl(&mut self, number: u8, what: &str, change: impl FnOnce(&mut CrlSpec)) {
        self.silicon(number, what, &MILAN.with_crl(change).unwrap(), "");
    }

    /// The bytes of a report, changed after they were signed.
    fn bytes(&mut self, number: u8, what: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let (mut report, endorsements) = parts(&MILAN.attestation(&[7; 64], &MEASUREMENT).unwrap());
        change(&mut report);
        let snp = policy("").snp;
        let outcome = verify_snp(&report, &endorsements, &snp, &roots(&MILAN), NOW, &Both);
        let check = outcome.map_or_else(|refusal| refusal.check, |_| "taken");
        self.0.push((number, what.to_owned(), check.to_owned()));
    }

    /// Each of this number failed by this check.
    fn expect(&self, number: u8, check: &str) {
        let rows: Vec<_> = self.0.iter().filter(|row| row.0 == number).collect();
        assert!(!rows.is_empty(), "nothing tried for {number}");
        for (_, what, found) in rows {
            assert_eq!(found, check, "{number}: {what}");
        }
    }
}

#[test]
fn the_start_of_all_rows_is_taken() {
    assert!(verify_at(&MILAN, "", NOW).is_ok() && verify_at(&TURIN, "", NOW).is_ok());
}

#[test]
fn negative_tests_1_to_8_keys_and_chips() {
    let mut t = Tried(Vec::new());
    t.shape(1, "debugging", "", |s| s.policy |= 1 << 19);
    t.expect(1, "debug");
    t.vek(2, "the VCEK of another chip, same TCB, same key", |v| v.hwid = Some(vec![9; 64]));
    t.expect(2, "chip-id-mismatch");
    t.shape(3, "a Genoa's report, a Milan's VCEK", "", |s| s.cpuid = (0x19, 0x11, 1));
    t.vek(3, "a Milan's report, a VCEK that says Genoa", |v| v.product_name = "Genoa-B1".into());
    t.expect(3, "product");
    t.shape(4, "a VLEK's report, a VCEK", "", |s| s.key_info = 1 << 2);
    t.expect(4, "vek-kind");
    let named = "[snp]\nvlek = [\"CN=a\"]\n";
    let vlek = MILAN.with_shape(|s| s.key_info = 1 << 2).with_vek(|v| v.make_vlek("CN=a")).unwrap();
    assert!(verify_at(&vlek, named, NOW).is_ok());
    t.silicon(5, "a VCEK's report, a VLEK", &vlek.with_shape(|s| s.key_info = 0), named);
    t.expect(5, "vek-kind");
    t.silicon(6, "a VLEK, none named", &vlek, "");
    t.silicon(6, "a VLEK of another provider", &vlek, "[snp]\nvlek = [\"CN=b\"]\n");
    t.silicon(6, "its name in another case", &vlek, "[snp]\nvlek = [\"CN=A\"]\n");
    t.expect(6, "vlek");
    let mut expired = Tried(Vec::new());
    let old = MILAN.with_shape(|s| s.key_info = 1 << 2).with_vek(|v| {
        v.make_vlek("CN=a");
        v.validity.1 = NOW.minus(1);
    });
    expired.silicon(6, "a VLEK past its time", &old.unwrap(), named);
    expired.expect(6, "certificate-expired");
    t.shape(7, "VMPL 1", "", |s| s.vmpl = 1);
    t.expect(7, "vmpl");
    t.crl(8, "a revoked authority", |c| c.revoked = vec![ASK_SERIAL.to_vec()]);
    t.expect(8, "revoked");
}

#[test]
fn negative_test_9_revocation_lists() {
    let mut t = Tried(Vec::new());
    t.crl(9, "of another issuer", |c| c.issuer = "ARK-Genoa".into());
    let (report, mut endorsements) = parts(&MILAN.attestation(&[7; 64], &MEASUREMENT).unwrap());
    endorsements.crls.clear();
    let snp = policy("").snp;
    let outcome = verify_snp(&report, &endorsements, &snp, &roots(&MILAN), NOW, &Both);
    t.0.push((9, "missing".into(), outcome.unwrap_err().check.into()));
    t.expect(9, "crl-missing");
    let mut t = Tried(Vec::new());
    t.crl(9, "expired", |c| c.next_update = Some(NOW.minus(1)));
    t.crl(9, "not yet valid", |c| c.this_update = NOW.plus(1));
    t.expect(9, "crl-expired");
    let mut t = Tried(Vec::new());
    t.crl(9, "signed by another", |c| c.signer = Authority::Ask);
    t.expect(9, "crl-signature");
}

#[test]
fn negative_tests_10_to_14_versions_and_identities() {
    let mut t = Tried(Vec::new());
    for (part, value) in [("bootloader", 5), ("tee", 1), ("snp", 25), ("microcode", 220)] {
        let floor = format!("[snp.minimum_tcb.Milan]\n{part} = {value}\n");
        t.silicon(10, part, &MILAN, &floor);
    }
    t.silicon(10, "FMC", &TURIN, "[snp.minimum_tcb.Turin]\nfmc = 2\n");
    t.expect(10, "tcb-minimum");
    for (field, name) in [(480, "above committed"), (56, "above current")] {
        for (part, value) in [(0, 3), (6, 23), (7, 218)] {
            t.shape(11, name, "", |s| s.overwrite.push((field + part, value)));
        }
    }
    t.expect(11, "tcb-order");
    let layout = |bytes: [u8; 8]| {
        [56, 384, 480, 496]
            .into_iter()
            .flat_map(move |field| bytes.into_iter().enumerate().map(move |(i, b)| (field + i, b)))
    };
    t.shape(12, "a Turin's layout", "", |s| {
        s.overwrite.extend(layout([1, 4, 0, 24, 0, 0, 0, 219]))
    });
    let reverse = TURIN.with_shape(|s| s.overwrite.extend(layout([4, 0, 0, 0, 0, 0, 24, 219])));
    t.silicon(12, "a Milan's layout in a Turin", &reverse, "");
    t.expect(12, "report-reserved");
    t.vek(13, "8 bytes on a Milan", |v| v.hwid = Some(vec![1; 8]));
    t.vek(13, "8 bytes wrapped", |v| v.hwid = Some([&[4, 8][..], &[1; 8]].concat()));
    t.vek(13, "another wrapping", |v| {
        let raw = v.hwid.take().unwrap();
        v.hwid = Some([&[0x0c, 64][..], &raw].concat());
    });
    let turin = TURIN.with_vek(|v| v.hwid = Some(vec![1; 64])).unwrap();
    t.silicon(13, "64 bytes on a Turin", &turin, "");
    t.expect(13, "vek-malformed");
    t.shape(14, "a masked chip", "", |s| s.mask_chip_id = true);
    t.expect(14, "chip-id-masked");
}

#[test]
fn negative_tests_15_to_20_bits_and_forms() {
    let mut t = Tried(Vec::new());
    let fields = [
        0x0c..0x10,
        0x41..0x48,
        0x49..0x50,
        0x18b..0x1a0,
        0x1eb..0x1ec,
        0x1ef..0x1f0,
        0x1f8..0x2a0,
        0x2d0..0x2e8,
        0x318..1184,
    ];
    for at in fields.into_iter().flatten() {
        for bit in 0..8 {
            t.bytes(15, &format!("bit {bit} of byte {at:#x}"), |r| r[at] |= 1 << bit);
        }
    }
    // Signed by the chip all the same.
    t.shape(15, "signed", "", |s| s.overwrite.push((0x208, 1)));
    t.shape(15, "the policy's bit 17 clear", "", |s| s.policy &= !(1 << 17));
    t.expect(15, "report-reserved");
    for version in [0, 1, 6, u32::MAX] {
        t.shape(16, &format!("version {version}"), "", |s| s.version = version);
    }
    t.expect(16, "report-malformed");
    for algorithm in [0, 2] {
        t.shape(17, "an algorithm", "", |s| s.overwrite.push((52, algorithm)));
    }
    t.expect(17, "report-malformed");
    let mut t = Tried(Vec::new());
    let order: Vec<u8> = hex::decode(
        "7329c5cc6a19ecec7aa7b048b20d1a58df2d37f4814d63c7ffffffffffffffffffffffffffffffffffffffffffffffff",
    )
    .unwrap();
    for at in [0x2a0, 0x2e8] {
        t.bytes(17, "zero", |r| r[at..at + 48].fill(0));
        t.bytes(17, "the order", |r| r[at..at + 48].copy_from_slice(&order));
        t.bytes(17, "all ones", |r| r[at..at + 48].fill(0xff));
        t.bytes(17, "another", |r| r[at] ^= 1);
    }
    t.expect(17, "report-signature");
    t.shape(18, "no alias check", "", |s| s.platform_info &= !(1 << 5));
    t.shape(18, "a version that cannot say so", "", |s| {
        (s.version, s.platform_info) = (2, 1);
    });
    t.expect(18, "alias-check");
    t.shape(19, "a migration agent", "", |s| s.policy |= 1 << 18);
    t.expect(19, "migration-agent");
    for bit in 26..64 {
        t.shape(20, &format!("policy bit {bit}"), "", |s| s.policy |= 1 << bit);
    }
    t.expect(20, "report-reserved");
}

#[test]
fn negative_test_21_report_data_are_compared_whole() {
    let key = Key::new();
    let data = claims::legacy_report_data(Kind::Snp, &key.spki);
    let check = |data: &[u8; 64]| {
        let blob = MILAN.attestation(data, &MEASUREMENT).unwrap();
        let (report, endorsements) = split_attestation(&blob).unwrap();
        let value = encode_legacy_snp(report, endorsements);
        let request = key.sign(&csr::build_with(&key.spki, csr::LEGACY_SNP, &value));
        decide(&request, "").map_or_else(|refusal| refusal.check, |_| "taken")
    };
    assert_eq!(check(&data), "taken");
    for at in 48..64 {
        let mut other = data;
        other[at] = 1;
        assert_eq!(check(&other), "key-binding", "byte {at}");
    }
}

#[test]
fn negative_test_22_lengths() {
    let mut t = Tried(Vec::new());
    for length in [0, 1, 671, 672, 1183, 1185, 2368] {
        t.bytes(22, &length.to_string(), |r| r.resize(length, 0));
    }
    t.expect(22, "report-malformed");
}

/// A window of time is exact to the second, at both ends, for everything that has one.
#[test]
fn windows_of_time_are_exact() {
    let (from, until) = (NOW.minus(10), NOW.plus(10));
    let ark = MILAN.authority(Authority::Ark, |a| a.validity = (from, until)).unwrap();
    let ask = MILAN.authority(Authority::Ask, |a| a.validity = (from, until)).unwrap();
    let with = |ark: &[u8], ask: &[u8]| vec![Roots::from_der(ark, ask, None, &Both).unwrap()];
    let vcek = MILAN.with_vek(|v| v.validity = (from, until)).unwrap();
    let crl = MILAN.with_crl(|c| (c.this_update, c.next_update) = (from, Some(until))).unwrap();
    let snp = policy("").snp;
    for (what, silicon, roots, check) in [
        ("ARK", &*MILAN, with(&ark, MILAN.ask()), "certificate-expired"),
        ("ASK", &*MILAN, with(MILAN.ark(), &ask), "certificate-expired"),
        ("VCEK", &vcek, roots(&MILAN), "certificate-expired"),
        ("list", &crl, roots(&MILAN), "crl-expired"),
    ] {
        let (report, endorsements) = parts(&silicon.attestation(&[7; 64], &MEASUREMENT).unwrap());
        for (now, expected) in [
            (from.minus(1), check),
            (from, "taken"),
            (from.plus(1), "taken"),
            (until.minus(1), "taken"),
            (until, "taken"),
            (until.plus(1), check),
        ] {
            let outcome = verify_snp(&report, &endorsements, &snp, &roots, now, &Both);
            let found = outcome.map_or_else(|refusal| refusal.check, |_| "taken");
            assert_eq!(found, expected, "{what} at {now}");
        }
    }
}

/// Every single bit of everything that is signed: report, VCEK, ARK, ASK, ASVK, revocation list.
#[test]
fn no_bit_of_what_is_signed_can_be_flipped() {
    let verifier = Cached::new(AwsLc, 64);
    let (report, good) = parts(&MILAN.attestation(&[7; 64], &MEASUREMENT).unwrap());
    // As much let pass as a policy can: signatures and form alone have to hold.
    let lax = policy(
        "[snp]\nmax_vmpl = 3\nvlek = [\"CN=a\"]\nallow = [\"alias-check\", \"chip-id-masked\", \"crl-expired\", \"crl-missing\", \"debug\", \"migration-agent\", \"provisional-firmware\"]\n",
    );
    let anchors = roots(&MILAN);
    let passes = |report: &[u8], endorsements: &Endorsements| {
        verify_snp(report, endorsements, &lax.snp, &anchors, NOW, &verifier).is_ok()
    };
    assert!(passes(&report, &good));
    let mut flipped = 0_u32;
    let mut each = |name: &str, bytes: &[u8], passes: &dyn Fn(Vec<u8>) -> bool| {
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.to_vec();
                changed[at] ^= 1 << bit;
                assert!(!passes(changed), "{name}: bit {bit} of byte {at}");
                flipped += 1;
            }
        }
    };
    each("report", &report, &|report| passes(&report, &good));
    each("VCEK", &good.vcek, &|vcek| passes(&report, &Endorsements { vcek, ..good.clone() }));
    let (ark, ask, asvk) = (MILAN.ark(), MILAN.ask(), MILAN.asvk());
    let take = |ark: &[u8], ask: &[u8], asvk: Option<&[u8]>| {
        Roots::from_der(ark, ask, asvk, &verifier).is_ok()
    };
    assert!(take(ark, ask, Some(asvk)));
    each("ARK", ark, &|ark| take(&ark, ask, None));
    each("ASK", ask, &|ask| take(ark, &ask, None));
    each("ASVK", asvk, &|asvk| take(ark, ask, Some(&asvk)));
    // A list whose issuer is changed is nobody's, and as good as none: so none may be missing here.
    let strict = policy("").snp;
    each("list", &good.crls[0].1, &|crl| {
        let crls = vec![("https://a/crl".to_owned(), crl)];
        let endorsements = Endorsements { crls, ..good.clone() };
        verify_snp(&report, &endorsements, &strict, &anchors, NOW, &verifier).is_ok()
    });
    let _ = writeln!(io::stderr(), "{flipped} bits flipped, none unnoticed");
    assert!(flipped > 50_000);
}

/// The numbers that this file has rows for.
#[test]
fn no_number_is_missing() {
    let source = include_str!("negative.rs");
    let mut numbers: BTreeSet<u8> = BTreeSet::from([21]);
    for call in ["silicon(", "shape(", "vek(", "crl(", "bytes("] {
        for rest in source.split(&format!("t.{call}")).skip(1) {
            numbers.extend(rest.split(',').next().and_then(|n| n.trim().parse::<u8>().ok()));
        }
    }
    assert!((1..=22).all(|number| numbers.contains(&number)), "{numbers:?}");
}
