// SPDX-License-Identifier: Apache-2.0

//! What the policy says of an enclave or a TD: attributes, identities and measurements.

use testkit::silicon::intel::{Knobs, Tee};

use super::{Edit, SGX, TDX, refused, taken};

#[test]
fn what_an_enclave_says() {
    let other = hex::encode([0; 32]);
    let (measurement, signer) = (hex::encode([0x4d; 32]), hex::encode([0x53; 32]));
    let rows: [(&str, Edit, String, &str); 26] = [
        ("debugging", |k| k.quote.sgx.attributes.0 |= 2, String::new(), "debug"),
        (
            "debugging, not named",
            |k| k.quote.sgx.attributes.0 |= 2,
            "features = [\"KSS\"]".into(),
            "debug",
        ),
        (
            "the provisioning key",
            |k| k.quote.sgx.attributes.0 |= 0x10,
            String::new(),
            "provision-key",
        ),
        ("the launch key", |k| k.quote.sgx.attributes.0 |= 0x20, String::new(), "provision-key"),
        (
            "one key of the two",
            |k| k.quote.sgx.attributes.0 |= 0x20,
            "features = [\"ProvisioningKey\"]".into(),
            "provision-key",
        ),
        ("a reserved attribute", |k| k.quote.sgx.attributes.0 |= 8, String::new(), "attributes"),
        (
            "an unknown attribute",
            |k| k.quote.sgx.attributes.0 |= 1 << 11,
            String::new(),
            "attributes",
        ),
        ("no INIT", |k| k.quote.sgx.attributes.0 &= !1, String::new(), "attributes"),
        (
            "CET, not named",
            |k| k.quote.sgx.attributes.0 |= 0x40,
            "features = [\"KSS\"]".into(),
            "attributes",
        ),
        (
            "KSS, not named",
            |k| k.quote.sgx.attributes.0 |= 0x80,
            "features = []".into(),
            "attributes",
        ),
        ("CPINFO", |k| k.quote.sgx.misc_select = 2, String::new(), "misc-select"),
        (
            "EXINFO, not named",
            |k| k.quote.sgx.misc_select = 1,
            "misc_select = []".into(),
            "misc-select",
        ),
        ("an unknown MISCSELECT", |k| k.quote.sgx.misc_select = 4, String::new(), "misc-select"),
        ("a configuration", |k| k.quote.sgx.config_id[63] = 1, String::new(), "config-id"),
        ("no configuration", |_| (), format!("config_id = [\"{}\"]", "01".repeat(64)), "config-id"),
        ("its version", |k| k.quote.sgx.config_svn = 1, String::new(), "config-id"),
        ("no version", |_| (), "config_svn = [1]".into(), "config-id"),
        (
            "an extended product",
            |k| k.quote.sgx.extended_product_id[0] = 1,
            String::new(),
            "ext-product-id",
        ),
        ("a family", |k| k.quote.sgx.family_id[15] = 1, String::new(), "family-id"),
        ("another product", |_| (), "enclave_product_id = 0".into(), "product-id"),
        ("an old enclave", |_| (), "enclave_security_version = 3".into(), "enclave-svn"),
        ("another measurement", |_| (), format!("hash = [\"{other}\"]"), "measurement"),
        (
            "a refused measurement",
            |_| (),
            format!("hash_blacklist = [\"{measurement}\"]"),
            "measurement",
        ),
        ("another signer", |_| (), format!("signer = [\"{other}\"]"), "signer"),
        ("a refused signer", |_| (), format!("signer_blacklist = [\"{signer}\"]"), "signer"),
        // Offset of the body, of its first reserved byte.
        (
            "reserved bytes",
            |k| k.quote.overwrite.push((48 + 20, 1)),
            String::new(),
            "report-reserved",
        ),
    ];
    for (what, edit, line, check) in rows {
        refused(what, Tee::Sgx, edit, &format!("{SGX}{line}\n"), check);
    }
    for at in [48 + 31, 48 + 96, 48 + 127, 48 + 160, 48 + 191, 48 + 262, 48 + 303] {
        let edit = |k: &mut Knobs| k.quote.overwrite.push((at, 1));
        refused("reserved bytes", Tee::Sgx, edit, "", "report-reserved");
    }
    let fine: [(&str, Edit, String, &[&str]); 12] = [
        ("CET, KSS and AEX notify", |k| k.quote.sgx.attributes.0 |= 0x4c0, String::new(), &[]),
        (
            "debugging",
            |k| k.quote.sgx.attributes.0 |= 2,
            "features = [\"Debug\"]".into(),
            &["debug"],
        ),
        (
            "both keys",
            |k| k.quote.sgx.attributes.0 |= 0x30,
            "features = [\"ProvisioningKey\", \"EInitKey\"]".into(),
            &["einit-key", "provision-key"],
        ),
        ("nothing to relax", |_| (), "features = [\"ProvisioningKey\", \"Debug\"]".into(), &[]),
        ("EXINFO", |k| k.quote.sgx.misc_select = 1, String::new(), &[]),
        ("CPINFO", |k| k.quote.sgx.misc_select = 2, "misc_select = [\"CPINFO\"]".into(), &[]),
        (
            "a configuration",
            |k| (k.quote.sgx.config_id, k.quote.sgx.config_svn) = ([1; 64], 3),
            format!("config_id = [\"{}\"]\nconfig_svn = [2, 3]", "01".repeat(64)),
            &[],
        ),
        (
            "an extended product of a family",
            |k| (k.quote.sgx.extended_product_id, k.quote.sgx.family_id) = ([1; 16], [2; 16]),
            format!(
                "ext_product_id = [\"{}\"]\nfamily_id = [\"{}\"]",
                "01".repeat(16),
                "02".repeat(16)
            ),
            &[],
        ),
        ("the product", |_| (), "enclave_product_id = 1\nenclave_security_version = 2".into(), &[]),
        ("the measurement", |_| (), format!("hash = [\"{measurement}\"]"), &[]),
        ("the signer", |_| (), format!("signer = [\"{other}\", \"{signer}\"]"), &[]),
        (
            "others are refused",
            |_| (),
            format!("hash_blacklist = [\"{other}\"]\nsigner_blacklist = [\"{other}\"]"),
            &[],
        ),
    ];
    for (what, edit, line, relaxations) in fine {
        let verified = taken(what, Tee::Sgx, edit, &format!("{SGX}{line}\n"), relaxations);
        let pins = line.starts_with("hash =") || line.starts_with("signer =");
        assert_eq!(verified.facts.pinned, pins, "{what}");
        assert_eq!(verified.facts.debug, relaxations == ["debug"], "{what}");
    }
}

#[test]
fn what_a_td_says() {
    let (other, listed) = (hex::encode([9; 48]), hex::encode([1; 48]));
    let mrtd = hex::encode([0x7d; 48]);
    let rows: [(&str, Edit, String, &str); 30] = [
        ("debugging", |k| k.quote.tdx.attributes |= 1, String::new(), "debug"),
        ("profiling", |k| k.quote.tdx.attributes |= 1 << 4, String::new(), "debug"),
        ("more profiling", |k| k.quote.tdx.attributes |= 1 << 6, String::new(), "debug"),
        (
            "exceptions for the host",
            |k| k.quote.tdx.attributes = 0,
            String::new(),
            "sept-ve-disable",
        ),
        ("migration", |k| k.quote.tdx.attributes |= 1 << 29, String::new(), "migratable"),
        ("a reserved attribute", |k| k.quote.tdx.attributes |= 1 << 8, String::new(), "attributes"),
        (
            "another reserved one",
            |k| k.quote.tdx.attributes |= 1 << 40,
            String::new(),
            "attributes",
        ),
        ("one of no name", |k| k.quote.tdx.attributes |= 1 << 18, String::new(), "attributes"),
        (
            "a provisioning agent",
            |k| k.quote.tdx.attributes |= 1 << 62,
            String::new(),
            "attributes",
        ),
        (
            "PKS, not named",
            |k| k.quote.tdx.attributes |= 1 << 30,
            "features = []".into(),
            "attributes",
        ),
        (
            "one of its own machines",
            |k| (k.quote.version, k.quote.body, k.quote.tdx.vm) = (5, 4, 1),
            String::new(),
            "attributes",
        ),
        (
            "service TDs, in TDX 1.0",
            |k| k.quote.tdx.attributes |= 1 << 17,
            String::new(),
            "service-td",
        ),
        (
            "service TDs that may be",
            |k| service(k, 3, 1 << 17, [0; 48], [0; 48]),
            String::new(),
            "service-td",
        ),
        ("a service TD", |k| service(k, 3, 0, [1; 48], [0; 48]), String::new(), "service-td"),
        (
            "another service TD",
            |k| service(k, 3, 0, [1; 48], [0; 48]),
            format!("service_td = [\"{other}\"]"),
            "service-td",
        ),
        (
            "another service TD now",
            |k| service(k, 4, 1 << 17, [1; 48], [2; 48]),
            format!("service_td = [\"{listed}\"]"),
            "service-td",
        ),
        (
            "a service TD bound later",
            |k| service(k, 4, 1 << 17, [0; 48], [2; 48]),
            format!("service_td = [\"{listed}\"]"),
            "service-td",
        ),
        ("no SSE", |k| k.quote.tdx.xfam &= !2, String::new(), "xfam"),
        ("unknown features", |k| k.quote.tdx.xfam |= 1 << 40, String::new(), "xfam"),
        ("other features than named", |_| (), "xfam = [\"0300000000000000\"]".into(), "xfam"),
        ("a configuration", |k| k.quote.tdx.config_id[47] = 1, String::new(), "config-id"),
        ("no configuration", |_| (), format!("config_id = [\"{listed}\"]"), "config-id"),
        ("an owner", |k| k.quote.tdx.owner[0] = 1, String::new(), "owner"),
        ("an owner's configuration", |k| k.quote.tdx.owner_config[0] = 1, String::new(), "owner"),
        ("another measurement", |_| (), format!("hash = [\"{other}\"]"), "measurement"),
        ("a refused measurement", |_| (), format!("hash_blacklist = [\"{mrtd}\"]"), "measurement"),
        ("another RTMR 0", |_| (), format!("rtmr0 = [\"{other}\"]"), "rtmr"),
        ("another RTMR 3", |_| (), format!("rtmr3 = [\"{other}\"]"), "rtmr"),
        ("another module", |_| (), format!("mrseam = [\"{other}\"]"), "tdx-module"),
        ("another module's maker", |k| k.quote.tdx.seam_signer[0] = 1, String::new(), "tdx-module"),
    ];
    for (what, edit, line, check) in rows {
        refused(what, Tee::Tdx, edit, &format!("{TDX}{line}\n"), check);
    }
    let module: [(&str, Edit, &str); 5] = [
        ("a module with attributes", |k| k.quote.tdx.seam_attributes = 1, "tdx-module"),
        ("a module of no known line", |k| k.quote.tdx.tee_tcb_svn[1] = 2, "tdx-module"),
        ("a module below all levels", |k| k.quote.tdx.tee_tcb_svn[0] = 2, "no-tcb-level"),
        ("a loader below all levels", |k| k.quote.tdx.tee_tcb_svn[2] = 2, "no-tcb-level"),
        (
            "a module that is out of date",
            |k| k.tcb_info.module_status = "OutOfDate".into(),
            "tcb-status",
        ),
    ];
    for (what, edit, check) in module {
        refused(what, Tee::Tdx, edit, "", check);
    }
    let fine: [(&str, Edit, String, &[&str]); 9] = [
        ("debugging", |k| k.quote.tdx.attributes |= 1, "allow = [\"debug\"]".into(), &["debug"]),
        ("profiling", |k| k.quote.tdx.attributes |= 0x70, "allow = [\"debug\"]".into(), &["debug"]),
        ("nothing to relax", |_| (), "allow = [\"debug\"]".into(), &[]),
        (
            "benign attributes",
            |k| k.quote.tdx.attributes |= 1 << 16 | 1 << 27 | 1 << 30 | 1 << 31 | 1 << 63,
            String::new(),
            &[],
        ),
        (
            "a provisioning agent",
            |k| k.quote.tdx.attributes |= 1 << 62,
            "features = [\"TPA\"]".into(),
            &[],
        ),
        (
            "a service TD",
            |k| service(k, 3, 0, [1; 48], [0; 48]),
            format!("service_td = [\"{listed}\"]"),
            &[],
        ),
        (
            "a service TD, still",
            |k| service(k, 4, 1 << 17, [1; 48], [1; 48]),
            format!("service_td = [\"{listed}\"]"),
            &[],
        ),
        (
            "configuration and owners",
            |k| {
                (k.quote.tdx.config_id, k.quote.tdx.owner, k.quote.tdx.owner_config) =
                    ([1; 48], [1; 48], [1; 48])
            },
            format!(
                "config_id = [\"{listed}\"]\nowner = [\"{listed}\"]\nowner_config = [\"{listed}\"]"
            ),
            &[],
        ),
        (
            "module and features",
            |_| (),
            format!("mrseam = [\"{}\"]\nxfam = [\"e702060000000000\"]", hex::encode([0x5e; 48])),
            &[],
        ),
    ];
    for (what, edit, line, relaxations) in fine {
        let verified = taken(what, Tee::Tdx, edit, &format!("{TDX}{line}\n"), relaxations);
        assert_eq!(verified.facts.debug, relaxations == ["debug"], "{what}");
        assert!(!verified.facts.pinned);
    }
}

fn service(knobs: &mut Knobs, body: u16, attributes: u64, first: [u8; 48], now: [u8; 48]) {
    (knobs.quote.version, knobs.quote.body) = (5, body);
    knobs.quote.tdx.attributes |= attributes;
    (knobs.quote.tdx.service_td, knobs.quote.tdx.current_service_td) = (first, now);
}

/// Each name lets one bit pass, and without it the bit is refused.
#[test]
fn features_are_named_one_by_one() {
    let tdx = [("ICSSD", 16), ("LASS", 27), ("PKS", 30), ("KL", 31), ("TPA", 62), ("PERFMON", 63)];
    let sgx = [("CET", 6), ("KSS", 7), ("AEXNotify", 10)];
    let rows = tdx.map(|row| (Tee::Tdx, row)).into_iter().chain(sgx.map(|row| (Tee::Sgx, row)));
    for (tee, (name, bit)) in rows {
        let edit = |k: &mut Knobs| match tee {
            Tee::Sgx => k.quote.sgx.attributes.0 |= 1 << bit,
            Tee::Tdx => k.quote.tdx.attributes |= 1 << bit,
        };
        let section = if tee == Tee::Sgx { SGX } else { TDX };
        taken(name, tee, edit, &format!("{section}features = [\"{name}\"]\n"), &[]);
        refused(name, tee, edit, &format!("{section}features = []\n"), "attributes");
    }
}

/// MRTD alone covers the firmware only: what that boots is in the registers.
#[test]
fn a_td_is_pinned_by_all_that_was_measured() {
    let hash = format!("[tdx]\nhash = [\"{}\"]\n", hex::encode([0x7d; 48]));
    let register = |index: u8| format!("rtmr{index} = [\"{}\"]\n", hex::encode([0x10 + index; 48]));
    let pinned = |edit: Edit, text: &str| taken("pins", Tee::Tdx, edit, text, &[]).facts.pinned;
    let all: String = (0..4).map(register).collect();
    assert!(pinned(|_| (), &format!("{hash}{all}")));
    assert!(!pinned(|_| (), &format!("[tdx]\n{all}")));
    assert!(!pinned(|_| (), &hash));
    for left_out in 0..4 {
        let some: String = (0..4).filter(|index| *index != left_out).map(register).collect();
        assert!(!pinned(|_| (), &format!("{hash}{some}")), "{left_out}");
    }
    // Nothing was measured into the last two.
    let empty: Edit = |k| (k.quote.tdx.rtmrs[2], k.quote.tdx.rtmrs[3]) = ([0; 48], [0; 48]);
    assert!(pinned(empty, &format!("{hash}{}{}", register(0), register(1))));
    assert!(pinned(|k| k.quote.tdx.rtmrs = [[0; 48]; 4], &hash));
}
