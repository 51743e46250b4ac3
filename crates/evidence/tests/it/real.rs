// SPDX-License-Identifier: Apache-2.0

//! Evidence of real hardware, with the verdicts that are known for it (`evidence/README.md` beside the checkout).

use std::path::Path;

use enarx_evidence as evidence;
use evidence::Anchors;
use evidence::amd::{Roots, verify_vek};
use evidence::policy::Policy;
use evidence::result::TeeFacts;
use evidence::snp::{Endorsements, Report, verify_snp};
use types::time::Timestamp;

use crate::corpus::{self, Case, folder, hold, read};
use crate::crypto::Both;
use crate::world::decide_at;

fn anchors(folder: &Path) -> Vec<Roots> {
    ["milan", "genoa", "turin"]
        .map(|product| {
            let der = |kind| read(&folder.join(format!("roots/vendor/{product}-{kind}.der")));
            Roots::from_der(&der("ark"), &der("ask"), Some(&der("asvk")), &Both).unwrap()
        })
        .to_vec()
}

/// A policy file for the words of a verdict: takes what the case's guest is, and nothing that the words do not name.
fn policy(case: &Case, words: &str, has_crl: bool) -> Policy {
    let fact = |name: &str| case.fact(name).unwrap_or_default();
    let mut allow = vec!["\"alias-check\"", "\"chip-id-masked\"", "\"provisional-firmware\""];
    if !has_crl {
        allow.push("\"crl-missing\"");
    }
    let mut text = format!(
        "[snp]\nallow = [{}]\nfamily_id = [\"{}\"]\nimage_id = [\"{}\"]\nhost_data = [\"{}\"]\n",
        allow.join(", "),
        fact("family_id"),
        fact("image_id"),
        fact("host_data"),
    );
    if !words.contains("vcek only") {
        text.push_str("vlek = [\"CN=cc-us-east-2.amazonaws.com\"]\n");
    }
    if words.contains("max vmpl 1") {
        text.push_str("max_vmpl = 1\n");
    }
    if words == "min-tcb: snp>=8 and microcode>=115" {
        text.push_str("[snp.minimum_tcb.Milan]\nsnp = 8\nmicrocode = 115\n");
    }
    Policy::parse(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn crls(case: &Case) -> Vec<(String, Vec<u8>)> {
    ["milan.crl", "genoa.crl"]
        .into_iter()
        .filter_map(|name| Some((format!("https://kdsintf.amd.com/{name}"), case.optional(name)?)))
        .collect()
}

#[test]
fn reports_get_their_known_verdicts() {
    let Some(folder) = folder("reports_get_their_known_verdicts") else { return };
    let anchors = anchors(&folder);
    let (cases, others): (Vec<_>, Vec<_>) = corpus::cases(&folder, "snp")
        .into_iter()
        .partition(|case| case.path.join("report.bin").is_file());
    let tally = corpus::all_agree(&cases, |case, verdict| {
        let endorsements =
            Endorsements { vcek: case.file("vek.der"), crls: crls(case), asvk: None };
        let report = case.file("report.bin");
        let policy = policy(case, &verdict.policy, !endorsements.crls.is_empty());
        let outcome = verify_snp(&report, &endorsements, &policy.snp, &anchors, verdict.at, &Both);
        Some(outcome.inspect(|verified| {
            assert!(!verified.simulated && !verified.pinned);
            facts_agree(case, &verified.report);
        }))
    });
    // What has no report is judged by the tests below.
    let others = others.iter().map(|case| case.name.as_str());
    assert!(others.eq(["neg-genoa-revoked-ask", "vcek-shapes"]), "something is judged by nothing");
    assert!(cases.len() >= 13 && tally.agreed >= 18, "{} reports, {tally:?}", cases.len());
}

fn facts_agree(case: &Case, report: &Report) {
    let name = &case.name;
    let hex = |fact: &str, bytes: &[u8]| {
        assert_eq!(case.facts[fact].as_str(), Some(hex::encode(bytes).as_str()), "{name}: {fact}");
    };
    hex("measurement", &report.measurement);
    hex("report_data", &report.report_data);
    hex("host_data", &report.host_data);
    hex("id_key_digest", &report.id_key_digest);
    hex("author_key_digest", &report.author_key_digest);
    hex("family_id", &report.family_id);
    hex("image_id", &report.image_id);
    hex("chip_id", &report.chip_id);
    let number = |fact: &str, number: u32| {
        assert_eq!(case.facts[fact].as_integer(), Some(number.into()), "{name}: {fact}");
    };
    number("report_version", report.version);
    number("guest_svn", report.guest_svn);
    number("vmpl", report.vmpl);
    let flag = |fact: &str, flag: bool| {
        assert_eq!(case.facts[fact].as_bool(), Some(flag), "{name}: {fact}");
    };
    flag("policy_smt", report.policy.smt());
    flag("policy_debug", report.policy.debug());
    flag("policy_migrate_ma", report.policy.migrate_ma());
    flag("policy_single_socket", report.policy.single_socket());
    flag("alias_check_complete", report.platform_info.alias_check_complete());
    flag("author_key_en", report.key_info.author_key());
    flag("mask_chip_key", report.key_info.mask_chip_key());
    flag("chip_id_masked", report.chip_id_masked());
    let version = report.current_version.to_string();
    assert_eq!(case.facts["current_version"].as_str(), Some(version.as_str()), "{name}");
}

#[test]
fn the_request_of_the_original_enarx() {
    let Some(folder) = folder("the_request_of_the_original_enarx") else { return };
    let case = Case::of(&folder, "snp", "milan-v2-enarx-csr");
    let request = case.file("request.csr");
    let anchors = Anchors { amd: anchors(&folder), ..Anchors::default() };
    let fact = |name: &str| case.fact(name).unwrap().to_owned();
    let relaxed = Policy::parse("[snp]\nallow = [\"alias-check\"]\n").unwrap();
    for verdict in case.verdicts.iter().filter(|verdict| verdict.policy == "baseline") {
        let outcome = decide_at(&request, &relaxed, &anchors, verdict.at);
        hold(&case, verdict, outcome.map(drop));
    }
    let then: Timestamp = "2022-12-01T00:00:00Z".parse().unwrap();
    let decide = |policy: &str| {
        let policy = Policy::parse(&format!("[snp]\nallow = [\"alias-check\"]\n{policy}")).unwrap();
        decide_at(&request, &policy, &anchors, then)
    };
    let decision = decide("").unwrap();
    let facts = &decision.result.facts;
    assert_eq!(decision.spki_der.len(), 120);
    assert_eq!(facts.measurement, fact("measurement"));
    assert_eq!(facts.signer, Some(fact("author_key_digest")));
    let TeeFacts::Snp(snp) = &facts.tee else { panic!("no SNP") };
    assert_eq!(snp.id_key, Some(fact("id_key_digest")));
    assert_eq!(snp.chip_id, Some(fact("chip_id")));
    assert_eq!((snp.product.as_str(), snp.tcb.microcode), ("Milan", 93));
    assert_eq!(facts.relaxations, ["alias-check"]);
    assert!(!facts.simulated && !facts.debug && !facts.pinned);
    // A request of that time names no workload, whoever pins it.
    for pin in ["hash", "signer", "id_key_digest"] {
        let value = match pin {
            "hash" => fact("measurement"),
            "signer" => fact("author_key_digest"),
            _ => fact("id_key_digest"),
        };
        let decision = decide(&format!("{pin} = [\"{value}\"]\n")).unwrap();
        assert!(decision.result.facts.pinned && decision.result.facts.workload.is_none());
        assert_eq!(decision.names, evidence::Names::default());
    }
    // What the original's own tests refuse.
    let other = "00112233".repeat(12);
    assert_eq!(decide(&format!("signer = [\"{other}\"]\n")).unwrap_err().check, "signer");
    assert_eq!(decide("abi = \">254.0\"\n").unwrap_err().check, "abi");
    let id_key = fact("id_key_digest");
    let refused = decide(&format!("id_key_digest_blacklist = [\"{id_key}\"]\n")).unwrap_err();
    assert_eq!(refused.check, "id-key");
    // Without the relaxation, and with a byte of it changed anywhere.
    let strict = Policy::parse("").unwrap();
    let refused = decide_at(&request, &strict, &anchors, then).unwrap_err();
    assert_eq!(refused.check, "alias-check");
    for at in (0..request.len()).step_by(7) {
        let mut changed = request.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(decide_at(&changed, &relaxed, &anchors, then).is_err(), "byte {at}");
    }
}

#[test]
fn a_revoked_authority_vouches_for_nothing() {
    let Some(folder) = folder("a_revoked_authority_vouches_for_nothing") else { return };
    let case = Case::of(&folder, "snp", "neg-genoa-revoked-ask");
    let der = |name: &str| case.file(name);
    let policy = Policy::parse("").unwrap();
    for verdict in &case.verdicts {
        let ask =
            if verdict.policy.contains("ica-current.der") { "ica-current.der" } else { "ica.der" };
        let roots = Roots::from_der(&der("ark.der"), &der(ask), None, &Both).unwrap();
        assert!(!roots.simulated());
        let crl = der("genoa.crl");
        let outcome = roots.check_revocation(&[&crl], &policy.snp, verdict.at, &Both);
        hold(&case, verdict, outcome);
    }
}

#[test]
fn certificates_without_a_report() {
    let Some(folder) = folder("certificates_without_a_report") else { return };
    let case = Case::of(&folder, "snp", "vcek-shapes");
    let anchors = anchors(&folder);
    let policy = Policy::parse("[snp]\nallow = [\"crl-missing\"]\n").unwrap();
    let mut chains = 0;
    for verdict in &case.verdicts {
        let Some(file) = verdict.policy.strip_prefix("chain of ") else { continue };
        let der = case.file(file);
        let outcome = verify_vek(&der, &[], &anchors, &policy.snp, verdict.at, &Both);
        hold(&case, verdict, outcome.map(drop));
        chains += 1;
    }
    assert_eq!(chains, 3);
}

#[cfg(feature = "vendor-roots")]
#[test]
fn the_built_in_roots_are_the_vendors() {
    let built_in = evidence::amd::vendor_roots(&Both).unwrap();
    assert_eq!(built_in.len(), 3);
    assert!(built_in.iter().all(|roots| !roots.simulated() && roots.asvk_der().is_none()));
    let Some(folder) = folder("the_built_in_roots_are_the_vendors") else { return };
    for (ours, theirs) in built_in.iter().zip(anchors(&folder)) {
        assert_eq!((ours.ark_der(), ours.ask_der()), (theirs.ark_der(), theirs.ask_der()));
    }
}
