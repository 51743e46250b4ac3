// SPDX-License-Identifier: Apache-2.0

//! What the policy says of a platform: Intel's statuses, advisories, and what it has to be.

use enarx_evidence::Kind;
use enarx_evidence::policy::{Policy, TcbStatus};
use enarx_evidence::result::TeeFacts;
use testkit::silicon::intel::{Knobs, Tee};
use types::time::Timestamp;

use super::{Edit, is_refused, judge, judge_at, kind, refused, taken};
use crate::world::{DAY, NOW};

fn accept(tee: Tee, status: &str, advisories: &str, until: &str) -> String {
    let tee = kind(tee).name();
    format!(
        "[[{tee}.accept]]\nstatus = \"{status}\"\nadvisories = [{advisories}]\nuntil = {until}\n"
    )
}

#[test]
fn each_status_is_accepted_by_name_and_for_a_time() {
    // 2027-01-15T08:00:00Z.
    assert_eq!(NOW.to_string(), "2027-01-15T08:00:00Z");
    let last_second = Timestamp(NOW.0 - NOW.0 % DAY + DAY - 1);
    for status in TcbStatus::ALL {
        let name = status.name();
        let relaunch = name.starts_with("TDRelaunch");
        let tees = if relaunch { &[Tee::Tdx][..] } else { &[Tee::Sgx, Tee::Tdx] };
        for tee in tees {
            let edit = |k: &mut Knobs| {
                if relaunch {
                    // Launched under a module that is out of date by now, running under one that is not.
                    k.quote.version = 5;
                    k.quote.tdx.tee_tcb_svn = [5; 16];
                    k.quote.tdx.tee_tcb_svn[1] = 1;
                    let last = k.tcb_info.levels.len() - 1;
                    k.tcb_info.levels[last].status = "OutOfDate".into();
                    for level in &mut k.tcb_info.levels {
                        level.advisories.clear();
                        level.sgx = vec![1; 16];
                        level.pce_svn = 1;
                    }
                    if name.ends_with("ConfigurationNeeded") {
                        k.tcb_info.levels[0].status = "ConfigurationNeeded".into();
                    }
                } else {
                    k.tcb_info.levels[0].status = name.into();
                }
            };
            let relaxation = format!("tcb-status {name} until 2027-01-15");
            if status == TcbStatus::UpToDate {
                taken(name, *tee, edit, "", &[]);
                continue;
            }
            refused(name, *tee, edit, "", "tcb-status");
            let accepting = accept(*tee, name, "", "2027-01-15");
            let verified = taken(name, *tee, edit, &accepting, &[&relaxation]);
            let (TeeFacts::Sgx(_) | TeeFacts::Tdx(_)) = verified.facts.tee else { panic!() };
            assert!(judge_at(*tee, edit, &accepting, last_second).is_ok());
            let refusal = is_refused(
                name,
                judge_at(*tee, edit, &accepting, last_second.plus(1)),
                "tcb-status",
            );
            assert!(refusal.detail.contains("until 2027-01-15"), "{refusal}");
            // Any other status that is accepted does not help.
            let others: String = TcbStatus::ALL
                .into_iter()
                .filter(|other| *other != status && *other != TcbStatus::UpToDate)
                .map(|other| accept(*tee, other.name(), "", "2027-12-31"))
                .collect();
            refused(name, *tee, edit, &others, "tcb-status");
        }
    }
}

#[test]
fn what_is_revoked_is_never_accepted() {
    let all = |tee| -> String {
        let others = TcbStatus::ALL.into_iter().filter(|status| *status != TcbStatus::UpToDate);
        others.map(|status| accept(tee, status.name(), "", "2027-12-31")).collect()
    };
    let rows: [(&str, Tee, Edit); 5] = [
        ("the platform", Tee::Sgx, |k| k.tcb_info.levels[0].status = "Revoked".into()),
        ("the platform", Tee::Tdx, |k| k.tcb_info.levels[0].status = "Revoked".into()),
        ("the quoting enclave", Tee::Sgx, |k| k.qe_identity.status = "Revoked".into()),
        ("the module", Tee::Tdx, |k| k.tcb_info.module_status = "Revoked".into()),
        ("what runs now", Tee::Tdx, |k| {
            k.quote.version = 5;
            k.quote.tdx.tee_tcb_svn2 = [5; 16];
            k.quote.tdx.tee_tcb_svn2[1] = 1;
            for level in &mut k.tcb_info.levels {
                level.sgx = vec![1; 16];
                level.pce_svn = 1;
            }
            k.tcb_info.levels[2].status = "Revoked".into();
        }),
    ];
    for (what, tee, edit) in rows {
        let refusal = is_refused(what, judge(tee, edit, &all(tee)), "tcb-status");
        assert!(refusal.detail.contains("Revoked") && refusal.seen.is_some(), "{refusal}");
    }
    let error = Policy::parse(&accept(Tee::Sgx, "Revoked", "", "2027-12-31"));
    assert!(error.unwrap_err().to_string().contains("never accepted"));
}

#[test]
fn advisories_are_accepted_by_name() {
    let hardening = |k: &mut Knobs| {
        // The second level: SWHardeningNeeded, INTEL-SA-00615.
        k.pck.components = [7; 16];
    };
    let tee = Tee::Sgx;
    let both = judge(tee, hardening, "").unwrap_err();
    assert_eq!((both.check, both.others[0].check), ("tcb-status", "advisory"));
    let status = accept(tee, "SWHardeningNeeded", "", "2027-12-31");
    refused("no advisory", tee, hardening, &status, "advisory");
    let other = accept(tee, "SWHardeningNeeded", "\"INTEL-SA-00586\"", "2027-12-31");
    refused("another advisory", tee, hardening, &other, "advisory");
    let elsewhere = accept(tee, "OutOfDate", "\"INTEL-SA-00615\"", "2027-12-31");
    refused("with another status", tee, hardening, &format!("{status}{elsewhere}"), "advisory");
    let expired = accept(tee, "SWHardeningNeeded", "\"INTEL-SA-00615\"", "2027-01-14");
    refused("not any more", tee, hardening, &format!("{status}{expired}"), "advisory");
    let named = accept(tee, "SWHardeningNeeded", "\"INTEL-SA-00615\"", "2027-06-30");
    let relaxed = [
        "advisory INTEL-SA-00615 until 2027-06-30",
        "tcb-status SWHardeningNeeded until 2027-06-30",
    ];
    let verified = taken("named", tee, hardening, &named, &relaxed);
    let TeeFacts::Sgx(facts) = verified.facts.tee else { panic!() };
    assert_eq!(facts.dcap.status, "SWHardeningNeeded");
    assert_eq!(facts.dcap.advisories, ["INTEL-SA-00615"]);
    // The later date counts.
    let relaxed = [
        "advisory INTEL-SA-00615 until 2027-06-30",
        "tcb-status SWHardeningNeeded until 2027-12-31",
    ];
    taken("named twice", tee, hardening, &format!("{named}{status}"), &relaxed);
    // The original's key accepts the advisory, and no longer the status with it.
    let legacy = "[sgx]\nallowed_advisories = [\"INTEL-SA-00615\"]\n";
    refused("the original's key", tee, hardening, legacy, "tcb-status");
    let relaxed = ["advisory INTEL-SA-00615", "tcb-status SWHardeningNeeded until 2027-12-31"];
    taken("the original's key", tee, hardening, &format!("{legacy}{status}"), &relaxed);
    // Advisories of platforms that are up to date, and of the quoting enclave.
    let up_to_date =
        |k: &mut Knobs| k.tcb_info.levels[0].advisories = vec!["INTEL-SA-09999".into()];
    refused("up to date", tee, up_to_date, "", "advisory");
    let named = accept(tee, "UpToDate", "\"INTEL-SA-09999\"", "2027-06-30");
    taken("up to date", tee, up_to_date, &named, &["advisory INTEL-SA-09999 until 2027-06-30"]);
    let old_qe = |k: &mut Knobs| k.quote.qe.svn = 2;
    let refusal = judge(tee, old_qe, "").unwrap_err();
    assert_eq!((refusal.check, refusal.others[0].check), ("tcb-status", "advisory"));
    assert!(refusal.others[0].detail.contains("INTEL-SA-00477"));
}

#[test]
fn what_platforms_have_to_be() {
    let [fmspc, ppid] = ["00606a000000".to_owned(), hex::encode([0x9d; 16])];
    let (other_fmspc, other_ppid) = ("00606a000001", "00".repeat(16));
    for tee in [Tee::Sgx, Tee::Tdx] {
        let name = kind(tee).name();
        let policy = |line: String| format!("[{name}]\n{line}\n");
        for (line, passes) in [
            (format!("fmspc = [\"{fmspc}\"]"), true),
            (format!("fmspc = [\"{other_fmspc}\"]"), false),
            (format!("fmspc_blacklist = [\"{fmspc}\"]"), false),
            (format!("fmspc_blacklist = [\"{other_fmspc}\"]"), true),
            (format!("ppid = [\"{other_ppid}\", \"{ppid}\"]"), true),
            (format!("ppid = [\"{other_ppid}\"]"), false),
            (format!("ppid_blacklist = [\"{ppid}\"]"), false),
            (format!("ppid_blacklist = [\"{other_ppid}\"]"), true),
        ] {
            match passes {
                true => drop(taken(&line, tee, |_| (), &policy(line.clone()), &[])),
                false => refused(&line, tee, |_| (), &policy(line.clone()), "platform"),
            }
        }
        for (index, requirement) in
            ["static-platform", "no-cached-keys", "no-smt"].into_iter().enumerate()
        {
            let required = policy(format!("require = [\"{requirement}\"]"));
            let flags = |value: bool| {
                move |k: &mut Knobs| {
                    let mut flags = [!value; 3];
                    flags[index] = value;
                    k.pck.flags = Some(flags);
                }
            };
            taken(requirement, tee, flags(false), &required, &[]);
            refused(requirement, tee, flags(true), &required, "require");
            refused(requirement, tee, |k| k.pck.flags = None, &required, "require");
            taken(requirement, tee, flags(true), "", &[]);
        }
        let least = |number| policy(format!("minimum_evaluation_number = {number}"));
        taken("18 of 18", tee, |_| (), &least(18), &[]);
        refused("18 of 19", tee, |_| (), &least(19), "evaluation-number");
        refused(
            "TCB info",
            tee,
            |k| k.tcb_info.evaluation_number = 17,
            &least(18),
            "evaluation-number",
        );
        refused(
            "identity",
            tee,
            |k| k.qe_identity.evaluation_number = 17,
            &least(18),
            "evaluation-number",
        );
        let levels: [(&str, Edit); 3] = [
            ("components below all levels", |k| k.pck.components = [2; 16]),
            ("PCE below all levels", |k| k.pck.pce_svn = 4),
            ("no levels", |k| k.tcb_info.levels.clear()),
        ];
        for (what, edit) in levels {
            refused(what, tee, edit, "", "no-tcb-level");
        }
    }
}

#[test]
fn all_that_is_wrong_is_told() {
    let wrong = |k: &mut Knobs| {
        k.quote.sgx.attributes.0 |= 2;
        k.quote.sgx.config_svn = 1;
        k.tcb_info.levels[0].status = "OutOfDate".into();
    };
    let refusal = judge(Tee::Sgx, wrong, "[sgx]\nrequire = [\"no-smt\"]\nenclave_product_id = 9\n");
    let refusal = refusal.unwrap_err();
    let others: Vec<_> = refusal.others.iter().map(|other| other.check).collect();
    assert_eq!(
        (refusal.check, &others[..]),
        ("debug", &["config-id", "product-id", "tcb-status"][..])
    );
    let seen = refusal.seen.unwrap();
    assert_eq!((seen.kind, seen.simulated), (Kind::Sgx, true));
    // What Intel's rules refuse is told once, with the rest.
    let wrong = |k: &mut Knobs| {
        k.quote.tdx.attributes = 1;
        k.quote.tdx.xfam = 0;
    };
    let refusal = judge(Tee::Tdx, wrong, "").unwrap_err();
    let others: Vec<_> = refusal.others.iter().map(|other| other.check).collect();
    assert_eq!((refusal.check, &others[..]), ("debug", &["sept-ve-disable", "xfam"][..]));
}
