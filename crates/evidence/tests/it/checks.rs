// SPDX-License-Identifier: Apache-2.0

//! Each check of a report and its chain, failing: a table of what is wrong, and what has to say so.

use crate::crypto::Both;
use enarx_evidence::amd::Roots;
use enarx_evidence::claims::Claims;
use enarx_evidence::csr::Request;
use enarx_evidence::snp::{self, Endorsements, verify_snp};
use enarx_evidence::{Anchors, Check, Kind};
use testkit::silicon::{ARK_SERIAL, ASK_SERIAL, CrlSpec, Key, Shape, SimulatedSnp, VekSpec};
use types::limits::{
    ATTESTATION_BYTES_MAX, CERTIFICATE_BYTES_MAX, CLAIMS_BYTES_MAX, CRL_BYTES_MAX,
    REQUEST_BYTES_MAX,
};
use types::time::Timestamp;

use crate::world::{DAY, MEASUREMENT, MILAN, NOW, TURIN, parts, policy, roots, verify, verify_at};

fn refused(what: &str, silicon: &SimulatedSnp, policy: &str, check: &str) {
    refused_at(what, silicon, policy, NOW, check);
}

fn refused_at(what: &str, silicon: &SimulatedSnp, policy: &str, now: Timestamp, check: &str) {
    match verify_at(silicon, policy, now) {
        Ok(_) => panic!("{what}: taken"),
        Err(refusal) => {
            assert_eq!(refusal.check, check, "{what}: {refusal}");
            assert!(!refusal.detail.is_empty() && !refusal.hint.is_empty());
            assert!(refusal.seen.is_some() || refusal.others.is_empty(), "{what}: {refusal:?}");
        }
    }
}

/// Taken, with exactly these relaxations.
fn taken(what: &str, silicon: &SimulatedSnp, policy: &str, relaxations: &[&str]) {
    taken_at(what, silicon, policy, NOW, relaxations);
}

fn taken_at(
    what: &str,
    silicon: &SimulatedSnp,
    policy: &str,
    now: Timestamp,
    relaxations: &[&str],
) {
    let verified =
        verify_at(silicon, policy, now).unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
    assert_eq!(verified.relaxations, relaxations, "{what}");
}

#[test]
fn every_check_is_seen_to_fail() {
    let tables = concat!(
        include_str!("cca.rs"),
        include_str!("checks.rs"),
        include_str!("intel/collateral.rs"),
        include_str!("intel/platform.rs"),
        include_str!("intel/quote.rs"),
        include_str!("intel/workload.rs"),
        include_str!("nitro.rs"),
        include_str!("requests.rs"),
        include_str!("vtpm.rs"),
    );
    let unseen: Vec<_> = Check::ALL
        .iter()
        .map(|check| check.name())
        .filter(|name| !tables.contains(&format!("\"{name}\"")))
        .collect();
    assert!(unseen.is_empty(), "no test fails {unseen:?}");
}

#[test]
fn nothing_wrong() {
    for (silicon, product, fmc) in [(&*MILAN, "Milan", None), (&*TURIN, "Turin", Some(1))] {
        for version in 2..=5 {
            let silicon = silicon.with_shape(|shape| shape.version = version);
            let verified = verify(&silicon, "").unwrap();
            assert_eq!((verified.product.name(), verified.tcb.fmc), (product, fmc));
            assert!(verified.simulated && !verified.pinned && verified.relaxations.is_empty());
            assert_eq!(verified.report.measurement, MEASUREMENT);
        }
    }
}

#[cfg(feature = "vendor-roots")]
#[test]
fn the_vendors_own_roots_are_there() {
    let vendors = Anchors::vendors(&Both).unwrap();
    assert_eq!((vendors.amd.len(), vendors.intel.len(), vendors.nitro.len()), (3, 1, 1));
    assert!(vendors.amd.iter().all(|root| !root.simulated()));
    assert!(!vendors.intel[0].simulated() && !vendors.nitro[0].simulated());
    // Nobody can give them as roots of simulated silicon.
    let milan = &vendors.amd[0];
    let pem: String = [milan.ark_der(), milan.ask_der()]
        .map(|der| der::pem::encode_string("CERTIFICATE", Default::default(), der).unwrap())
        .concat();
    let error = Anchors::simulated(&pem, &Both).unwrap_err().to_string();
    assert!(error.contains("built in"), "{error}");
}

#[test]
fn what_a_report_says() {
    type Edit = fn(&mut Shape);
    let rows: [(&str, Edit, &str, &str); 35] = [
        ("debugging", |s| s.policy |= 1 << 19, "", "debug"),
        ("a migration agent", |s| s.policy |= 1 << 18, "", "migration-agent"),
        ("bit 17 clear", |s| s.policy &= !(1 << 17), "", "report-reserved"),
        ("an unknown policy bit", |s| s.policy |= 1 << 26, "", "report-reserved"),
        ("an unknown platform bit", |s| s.platform_info |= 1 << 8, "", "report-reserved"),
        ("an unknown key bit", |s| s.key_info |= 1 << 5, "", "report-reserved"),
        ("a byte after the signature", |s| s.overwrite.push((1183, 1)), "", "report-reserved"),
        ("a byte between the numbers", |s| s.overwrite.push((672 + 71, 1)), "", "report-reserved"),
        ("VMPL 1", |s| s.vmpl = 1, "", "vmpl"),
        ("VMPL 2 of 1", |s| s.vmpl = 2, "max_vmpl = 1", "vmpl"),
        ("the host's report", |s| s.vmpl = u32::MAX, "max_vmpl = 3", "vmpl"),
        ("version 1", |s| s.version = 1, "", "report-malformed"),
        ("version 6", |s| s.version = 6, "", "report-malformed"),
        ("another algorithm", |s| s.overwrite.push((52, 2)), "", "report-malformed"),
        ("signed by nobody", |s| s.key_info = 7 << 2, "", "report-malformed"),
        ("a VLEK with a VCEK", |s| s.key_info = 1 << 2, "", "vek-kind"),
        ("no alias check", |s| s.platform_info &= !(1 << 5), "", "alias-check"),
        ("a masked chip", |s| s.mask_chip_id = true, "", "chip-id-masked"),
        ("another chip", |s| s.chip = 2, "", "chip-id-mismatch"),
        ("an unlisted chip", |_| (), "chip_id = [\"CHIP\"]", "chip"),
        ("CPUID of a Genoa", |s| s.cpuid = (0x19, 0x11, 1), "", "product"),
        ("CPUID of none", |s| s.cpuid = (0x17, 0x31, 0), "", "product"),
        ("a product not taken", |_| (), "products = [\"Genoa\"]", "product"),
        ("a newer ABI than runs", |s| s.policy = s.policy & !0xff | 56, "", "abi"),
        ("an ABI of another major", |s| s.policy = s.policy & !0xffff | 0x201, "", "abi"),
        ("an older ABI than wanted", |_| (), "abi = \">=1.52\"", "abi"),
        ("SMT, not listed", |_| (), "policy_flags = []", "policy-flags"),
        (
            "one socket, not listed",
            |s| s.policy |= 1 << 20,
            "policy_flags = [\"SMT\"]",
            "policy-flags",
        ),
        (
            "debugging, allowed and not listed",
            |s| s.policy |= 1 << 19,
            "allow = [\"debug\"]\npolicy_flags = [\"SMT\"]",
            "policy-flags",
        ),
        ("SMT where TSME is wanted", |_| (), "platform_info_flags = \"TSME\"", "platform-flags"),
        (
            "both where one is wanted",
            |s| s.platform_info |= 2,
            "platform_info_flags = \"SME\"",
            "platform-flags",
        ),
        ("a family", |s| s.overwrite.push((16, 1)), "", "family-id"),
        ("an image", |s| s.overwrite.push((32, 1)), "", "image-id"),
        ("host data", |s| s.overwrite.push((192, 1)), "", "host-data"),
        ("an old guest", |s| s.guest_svn = 1, "minimum_guest_svn = 2", "guest-svn"),
    ];
    for (what, edit, policy, check) in rows {
        let policy = format!("[snp]\n{}\n", policy.replace("CHIP", &"ab".repeat(64)));
        refused(what, &MILAN.with_shape(edit), &policy, check);
    }
    let fine: [(&str, Edit, &str); 4] = [
        ("SMT, listed", |_| (), "policy_flags = [\"SMT\"]"),
        (
            "all that can be listed",
            |s| s.policy |= 1 << 20,
            "policy_flags = [\"SMT\", \"SingleSocket\"]",
        ),
        ("bits that no list speaks of", |s| s.policy |= 1 << 22, "policy_flags = [\"SMT\"]"),
        ("SMT without TSME", |_| (), "platform_info_flags = \"SME\""),
    ];
    for (what, edit, policy) in fine {
        taken(what, &MILAN.with_shape(edit), &format!("[snp]\n{policy}\n"), &[]);
    }
    let chip = verify(&MILAN, "").unwrap().report.chip_id;
    taken("a listed chip", &MILAN, &format!("[snp]\nchip_id = [\"{}\"]\n", hex::encode(chip)), &[]);
}

#[test]
fn all_failures_of_a_genuine_report_are_told() {
    let wrong = MILAN.with_shape(|s| {
        s.policy |= 1 << 19 | 1 << 18;
        s.vmpl = 2;
        s.platform_info &= !(1 << 5);
        s.mask_chip_id = true;
        s.overwrite.push((192, 1));
    });
    let text = format!(
        "[snp]\nproducts = [\"Turin\"]\nhash = [\"{}\"]\n[snp.minimum_tcb.Milan]\nsnp = 99\n",
        "11".repeat(48)
    );
    let refusal = verify(&wrong, &text).unwrap_err();
    let mut names = vec![refusal.check];
    names.extend(refusal.others.iter().map(|other| other.check));
    names.dedup();
    let expected = [
        "product",
        "tcb-minimum",
        "chip-id-masked",
        "debug",
        "migration-agent",
        "alias-check",
        "vmpl",
        "host-data",
        "measurement",
    ];
    assert_eq!(names, expected);
    let seen = refusal.seen.unwrap();
    assert_eq!((seen.kind, seen.product.as_str(), seen.simulated), (Kind::Snp, "Milan", true));
    assert_eq!(seen.measurement, hex::encode(MEASUREMENT));
    // What is allowed is not told as a failure, whatever else fails.
    let some = text.replace("products", "allow = [\"debug\", \"alias-check\"]\nproducts");
    let refusal = verify(&wrong, &some).unwrap_err();
    let names: Vec<_> = refusal.others.iter().map(|other| other.check).collect();
    assert!(!names.contains(&"debug") && !names.contains(&"alias-check"), "{names:?}");
    assert!(names.contains(&"migration-agent"));
}

#[test]
fn what_is_not_genuine_shows_nothing() {
    let wrong = MILAN.with_shape(|s| s.policy |= 1 << 19);
    let (mut report, endorsements) = parts(&wrong.attestation(&[7; 64], &MEASUREMENT).unwrap());
    let strict = policy("");
    let check = |report: &[u8], roots: &[Roots]| {
        let refusal =
            verify_snp(report, &endorsements, &strict.snp, roots, NOW, &Both).unwrap_err();
        (refusal.check, refusal.others.len(), refusal.seen.is_some())
    };
    assert_eq!(check(&report, &roots(&MILAN)), ("debug", 0, true));
    assert_eq!(check(&report, &roots(&TURIN)), ("untrusted-root", 0, false));
    report[144] ^= 1;
    assert_eq!(check(&report, &roots(&MILAN)), ("report-signature", 0, false));
    // A number that no signature has.
    report[144] ^= 1;
    report[672..720].fill(0);
    assert_eq!(check(&report, &roots(&MILAN)), ("report-signature", 0, false));
    // A list that is missing is a failure like others, if the rest is genuine, and only then.
    let missing = wrong.with_crl(|crl| crl.issuer = "ARK-Genoa".into()).unwrap();
    let refusal = verify(&missing, "").unwrap_err();
    assert_eq!((refusal.check, refusal.others[0].check), ("crl-missing", "debug"));
    assert!(refusal.seen.is_some());
    let forged = missing.with_vek(|v| v.spki = Some(crate::world::Key::new().spki)).unwrap();
    let refusal = verify(&forged, "").unwrap_err();
    assert_eq!((refusal.check, refusal.others.len()), ("report-signature", 0));
    assert!(refusal.seen.is_none());
}

#[test]
fn what_is_required() {
    type Edit = fn(&mut Shape);
    let rows: [(&str, Edit); 12] = [
        ("no-smt", |s| s.policy &= !(1 << 16)),
        ("single-socket", |s| s.policy |= 1 << 20),
        ("no-cxl", |_| ()),
        ("aes-256-xts", |s| s.policy |= 1 << 22),
        ("rapl-disabled", |s| s.policy |= 1 << 23),
        ("ciphertext-hiding", |s| s.platform_info |= 1 << 4),
        ("page-swap-disabled", |s| s.policy |= 1 << 25),
        ("tsme", |s| s.platform_info |= 1 << 1),
        ("ecc", |s| s.platform_info |= 1 << 2),
        ("no-tio", |_| ()),
        ("id-block", |s| s.overwrite.push((224, 1))),
        ("author-key", |s| {
            s.key_info |= 1;
            s.overwrite.push((272, 1));
        }),
    ];
    for (name, edit) in rows {
        let policy = format!("[snp]\nrequire = [\"{name}\"]\n");
        taken(name, &MILAN.with_shape(edit), &policy, &[]);
        let without = MILAN.with_shape(|s| {
            s.policy |= 1 << 21;
            s.platform_info |= 1 << 7;
        });
        refused(name, &without, &policy, "require");
    }
    // Guest and platform can each see to these.
    let rapl = MILAN.with_shape(|s| s.platform_info |= 1 << 3);
    taken("by the platform", &rapl, "[snp]\nrequire = [\"rapl-disabled\"]\n", &[]);
    let hiding = MILAN.with_shape(|s| s.policy |= 1 << 24);
    taken("by the guest", &hiding, "[snp]\nrequire = [\"ciphertext-hiding\"]\n", &[]);
    // An author's key takes the flag and the digest.
    let policy = "[snp]\nrequire = [\"author-key\"]\n";
    refused("no digest", &MILAN.with_shape(|s| s.key_info |= 1), policy, "require");
    let unflagged = MILAN.with_shape(|s| s.overwrite.push((272, 1)));
    refused("no flag", &unflagged, policy, "require");
}

#[test]
fn each_relaxation_lets_one_thing_pass() {
    type Edit = fn(&mut Shape);
    let rows: [(&str, &str, Edit); 6] = [
        ("alias-check", "allow = [\"alias-check\"]", |s| s.platform_info = 1),
        ("chip-id-masked", "allow = [\"chip-id-masked\"]", |s| s.mask_chip_id = true),
        ("debug", "allow = [\"debug\"]", |s| s.policy |= 1 << 19),
        ("migration-agent", "allow = [\"migration-agent\"]", |s| s.policy |= 1 << 18),
        ("provisional-firmware", "allow = [\"provisional-firmware\"]", |s| {
            s.overwrite.push((488, 21));
        }),
        ("vmpl", "max_vmpl = 1", |s| s.vmpl = 1),
    ];
    for (name, line, _) in rows {
        let policy = format!("[snp]\n{line}\n");
        taken("nothing to relax", &MILAN, &policy, &[]);
        for (other, _, edit) in rows {
            let silicon = MILAN.with_shape(edit);
            if other == name {
                taken(other, &silicon, &policy, &[name]);
            } else {
                let check = if other == "provisional-firmware" { "firmware" } else { other };
                refused(other, &silicon, &policy, check);
            }
        }
    }
    let missing = MILAN.with_crl(|crl| crl.issuer = "ARK-Genoa".into()).unwrap();
    taken("no list", &missing, "[snp]\nallow = [\"crl-missing\"]\n", &["crl-missing"]);
    refused("no list", &missing, "[snp]\nallow = [\"crl-expired\"]\n", "crl-missing");
    let later = NOW.plus(370 * DAY);
    let expired = "[snp]\nallow = [\"crl-expired\"]\n";
    taken_at("an old list", &MILAN, expired, later, &["crl-expired"]);
    let named = "[snp]\nallow = [\"crl-missing\"]\n";
    refused_at("an old list", &MILAN, named, later, "crl-expired");
    let revoked = MILAN.with_crl(|crl| crl.revoked = vec![ASK_SERIAL.to_vec()]).unwrap();
    refused_at("an old list that revokes", &revoked, expired, later, "revoked");
}

#[test]
fn tcb_versions() {
    // Current, committed, reported and launch TCB: bootloader, tee, snp and microcode of a Milan.
    let parts = [("bootloader", 0, 4), ("tee", 1, 0), ("snp", 6, 24), ("microcode", 7, 219)];
    for (name, at, value) in parts {
        let change =
            |field: usize, value: u8| MILAN.with_shape(|s| s.overwrite.push((field + at, value)));
        refused(name, &change(384, value + 1), "", "tcb-mismatch");
        if value > 0 {
            refused(name, &change(384, value - 1), "", "tcb-mismatch");
            refused(name, &change(480, value - 1), "", "tcb-order");
            refused(name, &change(56, value - 1), "", "tcb-order");
        }
        refused(name, &change(480, value + 1), "", "tcb-order");
        refused(name, &change(56, value + 1), "", "firmware");
        let named = "[snp]\nallow = [\"provisional-firmware\"]\n";
        taken(name, &change(56, value + 1), named, &["provisional-firmware"]);
        let floor = |value: u8| format!("[snp.minimum_tcb.Milan]\n{name} = {value}\n");
        taken(name, &MILAN, &floor(value), &[]);
        refused(name, &MILAN, &floor(value + 1), "tcb-minimum");
        if value > 0 {
            refused(name, &change(496, value - 1), &floor(value), "tcb-minimum");
        }
        taken(name, &MILAN, &floor(value + 1).replace("Milan", "Genoa"), &[]);
    }
    for field in [56, 384, 480, 496] {
        for reserved in 2..6 {
            let silicon = MILAN.with_shape(|s| s.overwrite.push((field + reserved, 1)));
            refused("reserved bytes of a TCB", &silicon, "", "report-reserved");
            let silicon = TURIN.with_shape(|s| s.overwrite.push((field + reserved + 2, 1)));
            if (4..7).contains(&(reserved + 2)) {
                refused("reserved bytes of a Turin's TCB", &silicon, "", "report-reserved");
            }
        }
    }
    refused("another FMC", &TURIN.with_shape(|s| s.fmc = Some(2)), "", "tcb-mismatch");
    refused("a floor for FMC", &TURIN, "[snp.minimum_tcb.Turin]\nfmc = 2\n", "tcb-minimum");
    // Committed firmware above the one that runs: build, minor, major.
    for at in [492, 493, 494] {
        let silicon = MILAN.with_shape(|s| s.overwrite.push((at, 99)));
        refused("firmware", &silicon, "", "tcb-order");
    }
}

#[test]
fn firmware_and_mitigations() {
    // Firmware 1.55.20 is committed and runs.
    for (minimum, met) in [
        ("1.55.20", true),
        ("1.55.19", true),
        ("1.55.21", false),
        ("1.56.0", false),
        ("1.54.99", true),
        ("2.0.0", false),
        ("0.99.99", true),
    ] {
        let policy = format!("[snp]\nminimum_firmware = \"{minimum}\"\n");
        if met {
            taken(minimum, &MILAN, &policy, &[]);
        } else {
            refused(minimum, &MILAN, &policy, "firmware");
        }
    }
    // What runs does not make up for what is committed.
    let newer = MILAN.with_shape(|s| s.overwrite.push((488, 30)));
    let policy = "[snp]\nminimum_firmware = \"1.55.25\"\nallow = [\"provisional-firmware\"]\n";
    refused("newer, not committed", &newer, policy, "firmware");
    for at in [488, 489, 490] {
        let newer = MILAN.with_shape(|s| s.overwrite.push((at, 99)));
        refused("build, minor, major", &newer, "", "firmware");
    }

    let policy = "[snp]\nmitigations = [0, 9]\n";
    let vectors = |version: u32, launch: [u8; 2], current: [u8; 2]| {
        MILAN.with_shape(|s| {
            s.version = version;
            let bytes = [(0x1f8, launch[0]), (0x1f9, launch[1])];
            s.overwrite.extend(bytes);
            s.overwrite.extend([(0x200, current[0]), (0x201, current[1])]);
        })
    };
    taken("both", &vectors(5, [1, 2], [1, 2]), policy, &[]);
    taken("more", &vectors(5, [0xff, 2], [3, 0x82]), policy, &[]);
    refused("one missing at launch", &vectors(5, [1, 0], [1, 2]), policy, "mitigations");
    refused("one missing now", &vectors(5, [1, 2], [0, 2]), policy, "mitigations");
    refused("none", &vectors(5, [0, 0], [0, 0]), policy, "mitigations");
    refused("not in the report", &vectors(4, [0, 0], [0, 0]), policy, "mitigations");
    taken("none wanted", &vectors(5, [0, 0], [0, 0]), "", &[]);
}

#[test]
fn what_a_policy_refuses_by_name() {
    let chip = hex::encode(verify(&MILAN, "").unwrap().report.chip_id);
    let other = "ab".repeat(64);
    let deny = |line: &str| format!("[snp]\n{line}\n");
    refused("a product", &MILAN, &deny("products_blacklist = [\"Milan\"]"), "product");
    taken("another", &MILAN, &deny("products_blacklist = [\"Genoa\", \"Turin\"]"), &[]);
    refused("a chip", &MILAN, &deny(&format!("chip_id_blacklist = [\"{chip}\"]")), "chip");
    let elsewhere = deny(&format!("chip_id_blacklist = [\"{other}\"]"));
    taken("another chip", &MILAN, &elsewhere, &[]);
    // A chip that hides might be any.
    let masked = MILAN.with_shape(|s| s.mask_chip_id = true);
    refused("hidden", &masked, &format!("{elsewhere}allow = [\"chip-id-masked\"]\n"), "chip");
    let author = "a0".repeat(48);
    let keyed = MILAN.with_shape(|s| {
        s.key_info |= 1;
        s.overwrite.extend((272..320).map(|at| (at, 0xa0)));
    });
    refused("a key", &keyed, &deny(&format!("signer_blacklist = [\"{author}\"]")), "signer");
    let another = deny(&format!("signer_blacklist = [\"{}\"]", "a1".repeat(48)));
    taken("another key", &keyed, &another, &[]);
}

#[test]
fn who_the_guest_is() {
    let (ours, other) = (hex::encode(MEASUREMENT), "11".repeat(48));
    let keyed = MILAN.with_shape(|s| {
        s.key_info |= 1;
        s.overwrite.extend((224..272).map(|at| (at, 0x1d)));
        s.overwrite.extend((272..320).map(|at| (at, 0xa0)));
    });
    let (id, author) = ("1d".repeat(48), "a0".repeat(48));
    let pinned = |silicon: &SimulatedSnp, text: &str| {
        verify(silicon, &format!("[snp]\n{text}\n")).map(|v| v.pinned)
    };
    for text in [
        format!("hash = [\"{other}\", \"{ours}\"]"),
        format!("signer = [\"{author}\"]"),
        format!("id_key_digest = [\"{id}\"]"),
        format!("hash = [\"{ours}\"]\nsigner = [\"{author}\"]\nid_key_digest = [\"{id}\"]"),
    ] {
        assert_eq!(pinned(&keyed, &text), Ok(true), "{text}");
    }
    for text in [String::new(), format!("hash_blacklist = [\"{other}\"]")] {
        assert_eq!(pinned(&keyed, &text), Ok(false), "{text}");
    }
    let zero = "00".repeat(48);
    let rows = [
        (&keyed, format!("hash = [\"{other}\"]"), "measurement"),
        (&keyed, format!("hash_blacklist = [\"{ours}\"]"), "measurement"),
        (&keyed, format!("hash = [\"{other}\"]\nsigner = [\"{author}\"]"), "measurement"),
        (&keyed, format!("hash = [\"{ours}\"]\nsigner = [\"{other}\"]"), "signer"),
        (&keyed, format!("id_key_digest = [\"{other}\"]"), "id-key"),
        (&keyed, format!("id_key_digest_blacklist = [\"{id}\"]"), "id-key"),
        // No key is no key, even where a policy lists zero.
        (&MILAN, format!("signer = [\"{zero}\"]"), "signer"),
        (&MILAN, format!("id_key_digest = [\"{zero}\"]"), "id-key"),
    ];
    for (silicon, text, check) in rows {
        refused(&text, silicon, &format!("[snp]\n{text}\n"), check);
    }
    // An author key digest without the flag that there is one.
    let unflagged = keyed.with_shape(|s| s.key_info = 0);
    refused("no flag", &unflagged, &format!("[snp]\nsigner = [\"{author}\"]\n"), "signer");
    // Family, image and host data that a policy lists.
    let listed = MILAN.with_shape(|s| s.overwrite.extend([(16, 1), (32, 2), (192, 3)]));
    let first = |byte: u8, length: usize| format!("{byte:02x}{}", "00".repeat(length - 1));
    let text = format!(
        "[snp]\nfamily_id = [\"{}\"]\nimage_id = [\"{}\"]\nhost_data = [\"{}\"]\n",
        first(1, 16),
        first(2, 16),
        first(3, 32)
    );
    taken("listed", &listed, &text, &[]);
    refused("not listed", &MILAN, &text, "family-id");
}

#[test]
fn the_certificate_of_the_chips_key() {
    type Edit = fn(&mut VekSpec);
    let point: Vec<u8> = vec![0x30, 0x03, 0x03, 0x01, 0x00];
    let rows: [(&str, Edit, &str); 19] = [
        ("signed by the root", |v| v.signer = Key::Ark, "vek-signature"),
        ("issued by nobody known", |v| v.issuer = "SEV-Genoa".into(), "untrusted-root"),
        ("named otherwise", |v| v.subject = "VCEK".into(), "vek-name"),
        ("named as a VLEK", |v| v.subject = "SEV-VLEK".into(), "vek-name"),
        ("of another organisation", |v| v.organisation = "AMD".into(), "vek-name"),
        ("of another product", |v| v.product_name = "Genoa-B1".into(), "product"),
        ("of an unknown product", |v| v.product_name = "Naples-B1".into(), "vek-malformed"),
        ("with FMC", |v| v.fmc = Some(1), "vek-malformed"),
        ("without identity", |v| v.hwid = None, "vek-malformed"),
        ("with a short identity", |v| v.hwid = Some(vec![1; 8]), "vek-malformed"),
        ("with a long identity", |v| v.hwid = Some(vec![1; 65]), "vek-malformed"),
        ("with identity and provider", |v| v.csp = Some("CN=a".into()), "vek-malformed"),
        ("with another identity", |v| v.hwid = Some(vec![1; 64]), "chip-id-mismatch"),
        ("of another TCB", |v| v.tcb.snp -= 1, "tcb-mismatch"),
        (
            "with a critical extension",
            |v| v.extra.push(("2.5.29.19".into(), true, vec![0x30, 0])),
            "vek-malformed",
        ),
        (
            "with an extension twice",
            |v| v.extra.push(("1.3.6.1.4.1.3704.1.2".into(), false, vec![0x16, 0])),
            "vek-malformed",
        ),
        (
            "with an identity twice",
            |v| v.extra.push(("1.3.6.1.4.1.3704.1.4".into(), false, vec![1; 64])),
            "vek-malformed",
        ),
        ("not begun", |v| v.validity.0 = NOW.plus(1), "certificate-expired"),
        ("ended", |v| v.validity.1 = NOW.minus(1), "certificate-expired"),
    ];
    for (what, edit, check) in rows {
        refused(what, &MILAN.with_vek(edit).unwrap(), "", check);
    }
    let keyless = MILAN.with_vek(|v| v.spki = Some(point.clone())).unwrap();
    refused("without a key", &keyless, "", "vek-malformed");
    let spki = crate::world::Key::new().spki;
    let other = MILAN.with_vek(|v| v.spki = Some(spki.clone())).unwrap();
    refused("of another key", &other, "", "report-signature");
    // What AMD does in some certificates and not in others is taken.
    taken("no trailer", &MILAN.with_vek(|v| v.trailer = false).unwrap(), "", &[]);
    let wrap = |v: &mut VekSpec| {
        let raw = v.hwid.take().unwrap();
        v.hwid = Some([&[0x04, 64], &raw[..]].concat());
    };
    taken("wrapped identity", &MILAN.with_vek(wrap).unwrap(), "", &[]);
    taken("no stepping", &MILAN.with_vek(|v| v.product_name = "Milan".into()).unwrap(), "", &[]);
    let extended = |v: &mut VekSpec| v.extra.push(("2.5.29.14".into(), false, vec![4, 1, 0]));
    taken("an extension more", &MILAN.with_vek(extended).unwrap(), "", &[]);
    let edge = MILAN.with_vek(|v| v.validity = (NOW, NOW)).unwrap();
    taken("valid for this second", &edge, "", &[]);
    refused(
        "8 bytes more",
        &TURIN.with_vek(|v| v.hwid = Some(vec![1; 64])).unwrap(),
        "",
        "vek-malformed",
    );
    refused("no FMC", &TURIN.with_vek(|v| v.fmc = None).unwrap(), "", "vek-malformed");
}

#[test]
fn what_is_larger_than_any() {
    let (report, good) = parts(&MILAN.attestation(&[7; 64], &MEASUREMENT).unwrap());
    let detail = |endorsements: &Endorsements, check: &str| {
        let (policy, roots) = (policy(""), roots(&MILAN));
        let outcome = verify_snp(&report, endorsements, &policy.snp, &roots, NOW, &Both);
        let refusal = outcome.unwrap_err();
        assert_eq!(refusal.check, check, "{refusal}");
        refusal.detail
    };
    for (over, told) in [(0, false), (1, true)] {
        let certificate = vec![0x30; CERTIFICATE_BYTES_MAX + over];
        let mut other = good.clone();
        other.vcek.clone_from(&certificate);
        assert_eq!(detail(&other, "vek-malformed").contains("larger"), told);
        let mut other = good.clone();
        other.crls[0].1 = vec![0x30; CRL_BYTES_MAX + over];
        assert_eq!(detail(&other, "crl-malformed").contains("larger"), told);
        let error = Roots::from_der(&certificate, &certificate, None, &Both).unwrap_err();
        assert_eq!(error.to_string().contains("larger"), told);
        let error = snp::split_attestation(&vec![0; ATTESTATION_BYTES_MAX + over]).unwrap_err();
        assert_eq!(error.to_string().contains("larger"), told);
        let error = Claims::from_bytes(&vec![0; CLAIMS_BYTES_MAX + over]).unwrap_err();
        assert_eq!(error.to_string().contains("larger"), told);
        let error = Request::parse(&vec![0x30; REQUEST_BYTES_MAX + over], &Both).unwrap_err();
        assert_eq!(error.check, "request-malformed");
        assert_eq!(error.detail.contains("larger"), told);
    }
}

#[test]
fn keys_of_cloud_providers() {
    let vlek = MILAN.with_shape(|s| s.key_info = 1 << 2).with_vek(|v| v.make_vlek("CN=a")).unwrap();
    taken("named", &vlek, "[snp]\nvlek = [\"CN=b\", \"CN=a\"]\n", &["vlek"]);
    refused("not named", &vlek, "", "vlek");
    refused("another one named", &vlek, "[snp]\nvlek = [\"CN=b\"]\n", "vlek");
    let mixed = vlek.with_shape(|s| s.key_info = 0);
    refused("report of a VCEK", &mixed, "[snp]\nvlek = [\"CN=a\"]\n", "vek-kind");
    let by_ask = MILAN
        .with_shape(|s| s.key_info = 1 << 2)
        .with_vek(|v| {
            v.make_vlek("CN=a");
            v.issuer = "SEV-Milan".into();
        })
        .unwrap();
    refused("issued by the ASK", &by_ask, "[snp]\nvlek = [\"CN=a\"]\n", "untrusted-root");
}

#[test]
fn the_authority_for_providers_may_come_along() {
    let vlek = MILAN.with_shape(|s| s.key_info = 1 << 2).with_vek(|v| v.make_vlek("CN=a")).unwrap();
    let roots = |silicon: &SimulatedSnp| {
        Roots::from_der(silicon.ark(), silicon.ask(), None, &Both).unwrap()
    };
    let policy = policy("[snp]\nvlek = [\"CN=a\"]\n");
    let verify = |silicon: &SimulatedSnp, asvk: Option<Vec<u8>>, roots: &[Roots], now| {
        let (report, mut endorsements) =
            parts(&silicon.attestation(&[7; 64], &MEASUREMENT).unwrap());
        endorsements.asvk = asvk;
        verify_snp(&report, &endorsements, &policy.snp, roots, now, &Both)
            .map(|verified| verified.relaxations)
            .map_err(|refusal| refusal.check)
    };
    let ours = [roots(&MILAN)];
    let asvk = |change: fn(&mut testkit::silicon::AuthoritySpec)| {
        let all = |spec: &mut testkit::silicon::AuthoritySpec| {
            spec.subject = "SEV-VLEK-Milan".into();
            spec.serial = testkit::silicon::ASVK_SERIAL.to_vec();
            change(spec);
        };
        Some(MILAN.authority(Key::Ask, all).unwrap())
    };
    let good = || asvk(|_| ());
    assert_eq!(verify(&vlek, good(), &ours, NOW), Ok(vec!["vlek".to_owned()]));
    assert_eq!(verify(&vlek, Some(MILAN.asvk().to_vec()), &ours, NOW), Ok(vec!["vlek".to_owned()]));
    // Without one, roots that have none know no VLEK; and it vouches for nothing but VLEKs.
    assert_eq!(verify(&vlek, None, &ours, NOW), Err("untrusted-root"));
    assert_eq!(verify(&vlek, good(), &[roots(&TURIN)], NOW), Err("untrusted-root"));
    let vcek = MILAN.with_vek(|v| v.issuer = "SEV-VLEK-Milan".into()).unwrap();
    assert_eq!(verify(&vcek, good(), &ours, NOW), Err("untrusted-root"));
    for (what, asvk) in [
        ("the ASK", Some(MILAN.ask().to_vec())),
        ("another product's", Some(TURIN.asvk().to_vec())),
        ("signed by itself", asvk(|a| a.signer = Key::Ask)),
        ("issued by another", asvk(|a| a.issuer = "ARK-Genoa".into())),
        ("of another organisation", asvk(|a| a.organisation = "AMD".into())),
        ("no authority", asvk(|a| a.ca = false)),
        ("over authorities", asvk(|a| a.path_length = Some(1))),
        ("for lists", asvk(|a| a.key_usage = [1, 6])),
        ("not critical", asvk(|a| a.critical = false)),
        ("no certificate", Some(vec![0x30, 0])),
        ("too large", Some(vec![0; 17 * 1024])),
    ] {
        assert_eq!(verify(&vlek, asvk, &ours, NOW), Err("untrusted-root"), "{what}");
    }
    let other_key = asvk(|a| a.key = Key::Ark);
    assert_eq!(verify(&vlek, other_key, &ours, NOW), Err("vek-signature"));
    // Its dates and its revocation count like the ASK's.
    let old = asvk(|a| a.validity.1 = NOW.minus(1));
    assert_eq!(verify(&vlek, old, &ours, NOW), Err("certificate-expired"));
    let young = asvk(|a| a.validity.0 = NOW.plus(1));
    assert_eq!(verify(&vlek, young, &ours, NOW), Err("certificate-expired"));
    let revoked =
        vlek.with_crl(|c| c.revoked = vec![testkit::silicon::ASVK_SERIAL.to_vec()]).unwrap();
    assert_eq!(verify(&revoked, good(), &ours, NOW), Err("revoked"));
    taken(
        "the ASK's list has the ASVK",
        &MILAN
            .with_crl(|c| {
                c.revoked = vec![testkit::silicon::ASVK_SERIAL.to_vec()];
            })
            .unwrap(),
        "",
        &[],
    );
}

#[test]
fn revocation_lists() {
    type Edit = fn(&mut CrlSpec);
    let rows: [(&str, Edit, &str); 9] = [
        ("of another root", |c| c.issuer = "ARK-Genoa".into(), "crl-missing"),
        ("of the ASK, which may not", |c| c.issuer = "SEV-Milan".into(), "crl-missing"),
        ("signed by another key", |c| c.signer = Key::Ask, "crl-signature"),
        ("from the future", |c| c.this_update = NOW.plus(1), "crl-expired"),
        ("past its time", |c| c.next_update = Some(NOW.minus(1)), "crl-expired"),
        ("without end", |c| c.next_update = None, "crl-malformed"),
        (
            "with a critical extension",
            |c| c.extra.push(("2.5.29.28".into(), true, vec![0x30, 0])),
            "crl-malformed",
        ),
        ("with the ASK in it", |c| c.revoked = vec![vec![9], ASK_SERIAL.to_vec()], "revoked"),
        ("with the ARK in it", |c| c.revoked = vec![ARK_SERIAL.to_vec()], "revoked"),
    ];
    for (what, edit, check) in rows {
        refused(what, &MILAN.with_crl(edit).unwrap(), "", check);
    }
    let other = MILAN.with_crl(|c| c.revoked = vec![vec![9], vec![0x7f, 0, 2]]).unwrap();
    taken("others in it", &other, "", &[]);
    // All VCEKs have serial 0, and the root issued none of them: the entry names nobody here.
    let zero = MILAN.with_crl(|c| c.revoked = vec![vec![0]]).unwrap();
    taken("serial 0 in it", &zero, "", &[]);
    taken("a written-out trailer", &MILAN.with_crl(|c| c.trailer = true).unwrap(), "", &[]);
    let edge = MILAN.with_crl(|c| (c.this_update, c.next_update) = (NOW, Some(NOW))).unwrap();
    taken("valid for this second", &edge, "", &[]);

    let (report, good) = parts(&MILAN.attestation(&[7; 64], &MEASUREMENT).unwrap());
    let strict = policy("");
    let with = |crls: &[&[u8]]| {
        let mut endorsements = good.clone();
        endorsements.crls =
            crls.iter().map(|crl| ("https://a/crl".to_owned(), crl.to_vec())).collect();
        verify_snp(&report, &endorsements, &strict.snp, &roots(&MILAN), NOW, &Both)
            .map(drop)
            .map_err(|refusal| refusal.check)
    };
    let old = MILAN.with_crl(|c| c.next_update = Some(NOW.minus(1))).unwrap();
    let revoking = MILAN.with_crl(|c| c.revoked = vec![ASK_SERIAL.to_vec()]).unwrap();
    assert_eq!(with(&[]), Err("crl-missing"));
    assert_eq!(with(&[MILAN.crl(), TURIN.crl()]), Ok(()));
    assert_eq!(with(&[TURIN.crl()]), Err("crl-missing"));
    assert_eq!(with(&[old.crl(), MILAN.crl()]), Ok(()));
    assert_eq!(with(&[MILAN.crl(), revoking.crl()]), Err("revoked"));
    assert_eq!(with(&[&[0x30, 0]]), Err("crl-malformed"));
}

#[test]
fn authorities() {
    let ark = MILAN.ark();
    let ask = MILAN.ask();
    let take = |ark: &[u8], ask: &[u8], asvk: Option<&[u8]>| Roots::from_der(ark, ask, asvk, &Both);
    assert!(take(ark, ask, Some(MILAN.asvk())).unwrap().simulated());
    let other = |key, change: fn(&mut testkit::silicon::AuthoritySpec)| {
        MILAN.authority(key, change).unwrap()
    };
    for (what, change) in [
        ("no authority", (|a| a.ca = false) as fn(&mut testkit::silicon::AuthoritySpec)),
        ("not for certificates", |a| a.key_usage = [1, 2]),
        ("for more than that", |a| a.key_usage = [1, 0x86]),
        ("not critical", |a| a.critical = false),
        ("of an unknown product", |a| {
            a.subject = a.subject.replace("Milan", "Naples");
            a.issuer = a.subject.clone();
        }),
        ("signed by another key", |a| a.signer = Key::Ask),
        ("issued by another", |a| a.issuer = "ARK-Genoa".into()),
    ] {
        assert!(take(&other(Key::Ark, change), ask, None).is_err(), "an ARK {what}");
    }
    for (what, change) in [
        ("no authority", (|a| a.ca = false) as fn(&mut testkit::silicon::AuthoritySpec)),
        ("for lists", |a| a.key_usage = [1, 6]),
        ("over authorities", |a| a.path_length = Some(1)),
        ("over any number of authorities", |a| a.path_length = None),
        ("of another product", |a| a.subject = "SEV-Genoa".into()),
        ("of another organisation", |a| a.organisation = "AMD".into()),
        ("signed by itself", |a| a.signer = Key::Ask),
        ("issued by another", |a| a.issuer = "ARK-Genoa".into()),
    ] {
        assert!(take(ark, &other(Key::Ask, change), None).is_err(), "an ASK {what}");
        assert!(take(ark, ask, Some(&other(Key::Ask, change))).is_err(), "an ASVK {what}");
    }
    assert!(take(ark, TURIN.ask(), None).is_err() && take(ask, ask, None).is_err());
    // Their dates count when they are used.
    let old = other(Key::Ask, |a| a.validity.1 = NOW.minus(1));
    let roots = take(ark, &old, None).unwrap();
    let (report, endorsements) = parts(&MILAN.attestation(&[7; 64], &MEASUREMENT).unwrap());
    let refusal =
        verify_snp(&report, &endorsements, &policy("").snp, &[roots], NOW, &Both).unwrap_err();
    assert_eq!(refusal.check, "certificate-expired");
}

#[test]
fn only_the_roots_that_are_given_count() {
    let (report, endorsements) = parts(&MILAN.attestation(&[7; 64], &MEASUREMENT).unwrap());
    let check = |anchors: &[Roots]| {
        verify_snp(&report, &endorsements, &policy("").snp, anchors, NOW, &Both)
            .map(drop)
            .map_err(|refusal| refusal.check)
    };
    assert_eq!(check(&[]), Err("untrusted-root"));
    assert_eq!(check(&roots(&TURIN)), Err("untrusted-root"));
    assert_eq!(check(&[roots(&TURIN), roots(&MILAN)].concat()), Ok(()));
    // Another maker's roots under the same names.
    let namesake = SimulatedSnp::generate(NOW, testkit::silicon::Options::default()).unwrap();
    assert_eq!(check(&roots(&namesake)), Err("vek-signature"));
    assert_eq!(check(&[roots(&namesake), roots(&MILAN)].concat()), Ok(()));
    #[cfg(feature = "vendor-roots")]
    assert_eq!(check(&enarx_evidence::amd::vendor_roots(&Both).unwrap()), Err("untrusted-root"));
}
