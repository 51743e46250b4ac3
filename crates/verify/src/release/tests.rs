// SPDX-License-Identifier: Apache-2.0

use evidence::result::AttestationResult;
use testkit::pki::{DevCa, Profile, sample_result};

use super::*;
use crate::testing::{NOW, anchors, chain, digest, keep, result, slug, steward};

fn policy(text: &str) -> ReleasePolicy {
    ReleasePolicy::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The rule that releases, or the check that does not.
fn judge(text: &str, ca: &DevCa, trusted: &Anchors, result: &AttestationResult) -> String {
    let chain = chain(&keep(ca, result));
    match policy(text).judge(&chain, trusted, &digest(), NOW) {
        Ok(released) => {
            assert_eq!(released.identity.result, *result);
            released.rule.to_owned()
        }
        Err(why) => why.check().to_owned(),
    }
}

#[test]
fn every_key_lets_in_and_keeps_out() {
    let ca = steward();
    let trusted = anchors(&ca);
    let good = result();
    let facts = &good.facts;
    let with = |line: &str| judge(&format!("[[release]]\n{line}\n"), &ca, &trusted, &good);
    let other = "11".repeat(32);
    for (line, expected) in [
        (String::new(), "rule 1"),
        ("name = \"live\"".to_owned(), "live"),
        (format!("tee = [\"{}\"]", facts.tee.name()), "rule 1"),
        ("tee = [\"sgx\", \"tdx\"]".to_owned(), "requirement.tee"),
        (format!("measurement = [\"{other}\", \"{}\"]", facts.measurement), "rule 1"),
        (format!("measurement = [\"{other}\"]"), "requirement.measurement"),
        (format!("signer = [\"{other}\"]"), "requirement.signer"),
        (format!("policy = [\"{}\"]", good.policy), "rule 1"),
        (format!("policy = [\"sha256:{other}\"]"), "requirement.policy"),
        ("max-age = \"1h\"".to_owned(), "rule 1"),
        ("tier = \"warning\"".to_owned(), "rule 1"),
        // Other readers never keep the workload itself out.
        (format!("digest = [\"sha256:{other}\"]"), "rule 1"),
        ("workload = [\"store.example.com/team/other\"]".to_owned(), "rule 1"),
    ] {
        assert_eq!(with(&line), expected, "{line}");
    }
    let mut old = good.clone();
    old.issued_at = NOW.minus(7200);
    let age = "[[release]]\nmax-age = \"1h\"\n";
    assert_eq!(judge(age, &ca, &trusted, &old), "requirement.max-age");
}

#[test]
fn without_a_policy_only_the_very_workload_on_genuine_silicon() {
    let ca = steward();
    let judge = |simulated, result: &AttestationResult| {
        let chain = chain(&keep(&ca, result));
        let policy = ReleasePolicy::same_workload(simulated);
        match policy.judge(&chain, &anchors(&ca), &digest(), NOW) {
            Ok(_) => String::new(),
            Err(why) => why.check().to_owned(),
        }
    };
    assert_eq!(judge(false, &result()), "");
    let other = sample_result(Sha256([9; 32]), None, NOW);
    assert_eq!(judge(false, &other), "release.workload");
    let mut fake = result();
    fake.facts.simulated = true;
    assert_eq!(judge(false, &fake), "requirement.genuine");
    assert_eq!(judge(true, &fake), "");
    let mut none = result();
    none.facts.workload = None;
    assert_eq!(judge(false, &none), "release.workload");
    let mut relaxed = result();
    relaxed.facts.relaxations = vec!["alias-check".to_owned()];
    assert_eq!(judge(true, &relaxed), "requirement.tier");
    let mut debug = result();
    debug.facts.debug = true;
    assert_eq!(judge(true, &debug), "requirement.debug");
}

#[test]
fn other_workloads_read_if_they_are_named() {
    let ca = steward();
    let trusted = anchors(&ca);
    let reader = sample_result(
        Sha256([9; 32]),
        Some("store.example.com/team/reader:1.2.0".parse().unwrap()),
        NOW,
    );
    let with = |line: &str| judge(&format!("[[release]]\n{line}\n"), &ca, &trusted, &reader);
    assert_eq!(with(""), "release.workload");
    assert_eq!(with(&format!("digest = [\"{}\"]", Sha256([9; 32]))), "rule 1");
    assert_eq!(with(&format!("digest = [\"{}\"]", Sha256([8; 32]))), "release.workload");
    assert_eq!(with("workload = [\"store.example.com/team/reader:^1\"]"), "rule 1");
    assert_eq!(with("workload = [\"store.example.com/team/reader:^2\"]"), "release.workload");
    // Being named is not enough: everything else holds as well.
    let line = format!("digest = [\"{}\"]\ntee = [\"sgx\"]", Sha256([9; 32]));
    assert_eq!(with(&line), "requirement.tee");
    assert_eq!(slug().user, "team");
}

#[test]
fn simulated_silicon_only_by_its_ugly_name() {
    let ca = steward();
    let trusted = anchors(&ca);
    let mut fake = result();
    fake.facts.simulated = true;
    let with = |line: &str| judge(&format!("[[release]]\n{line}\n"), &ca, &trusted, &fake);
    assert_eq!(with(""), "requirement.genuine");
    assert_eq!(with("tier = \"warning\""), "requirement.genuine");
    assert_eq!(with("insecure-release-to-simulated = false"), "requirement.genuine");
    assert_eq!(with("insecure-release-to-simulated = true"), "rule 1");
    assert!(policy("[[release]]\ninsecure-release-to-simulated = true").releases_to_simulated());
    assert!(!policy("[[release]]").releases_to_simulated());
}

#[test]
fn owners_choose_their_stewards() {
    let (own, operators) = (steward(), steward());
    let pem = own.certificate_pem();
    let by_pem = format!("[[release]]\nsteward = ['''{pem}''']\n");
    let print = |ca: &DevCa| Sha256::of(ca.certificate_der());
    let by_print = |ca: &DevCa| format!("[[release]]\nsteward = [\"{}\"]\n", print(ca));
    let trusted = anchors(&operators);
    assert_eq!(judge(&by_pem, &own, &trusted, &result()), "rule 1");
    assert_eq!(judge("[[release]]", &own, &trusted, &result()), "chain.path");
    // An owner's choice leaves the operator's Stewards out.
    assert_eq!(judge(&by_pem, &operators, &trusted, &result()), "chain.path");
    // By its fingerprint, if the operator has the certificate.
    assert_eq!(judge(&by_print(&operators), &operators, &trusted, &result()), "rule 1");
    assert_ne!(judge(&by_print(&own), &operators, &trusted, &result()), "rule 1");
    // Without any Steward nobody proves anything.
    assert_eq!(judge("[[release]]", &own, &Anchors::default(), &result()), "chain.anchor");
}

#[test]
fn one_rule_of_several_is_enough() {
    let ca = steward();
    let trusted = anchors(&ca);
    let two = "[[release]]\nname = \"a\"\ntee = [\"sgx\"]\n[[release]]\nname = \"b\"\n";
    assert_eq!(judge(two, &ca, &trusted, &result()), "b");
    let none =
        "[[release]]\nname = \"a\"\ntee = [\"sgx\"]\n[[release]]\nname = \"b\"\ntee = [\"tdx\"]\n";
    assert_eq!(judge(none, &ca, &trusted, &result()), "release.policy");
    let chain = chain(&keep(&ca, &result()));
    let why = policy(none).judge(&chain, &trusted, &digest(), NOW).unwrap_err().to_string();
    assert!(why.contains("; a: its tee is not sgx") && why.contains("; b: its tee"), "{why}");
    assert_eq!(judge("release = []", &ca, &trusted, &result()), "release.nobody");
}

#[test]
fn a_certificate_of_a_server_is_none_of_a_client() {
    let ca = steward();
    let profile = Profile { client: false, ..Profile::keep(&result()) };
    let chain = chain(&ca.issue(&profile, NOW).unwrap());
    let why = policy("[[release]]").judge(&chain, &anchors(&ca), &digest(), NOW).unwrap_err();
    assert_eq!(why.check(), "chain.path");
}

#[test]
fn mistakes_are_shown_where_they_are() {
    for (text, line, column, message) in [
        ("", 1, 1, "says nothing"),
        ("[[releases]]", 1, 3, "unknown key"),
        ("release = 1", 1, 11, "array"),
        ("[[release]]\ntees = []", 2, 1, "unknown key"),
        ("[[release]]\ntee = []", 2, 7, "empty"),
        ("[[release]]\ntee = \"snp\"", 2, 7, "array"),
        ("[[release]]\ntee = [\"snp\", \"x\"]", 2, 15, "wanted one of"),
        ("[[release]]\nmeasurement = [\"00\"]", 2, 16, "hex digits"),
        ("[[release]]\npolicy = [\"00\"]", 2, 11, "sha256:"),
        ("[[release]]\ntier = \"contraindicated\"", 2, 8, "nobody should"),
        ("[[release]]\nmax-age = \"1\"", 2, 11, "unit"),
        ("[[release]]\nsteward = [\"x\"]", 2, 12, "PEM"),
        ("[[release]]\nname = \"a b\"", 2, 8, "letters"),
        ("[[release]]\ninsecure-release-to-simulated = 1", 2, 33, "true or false"),
    ] {
        let error = ReleasePolicy::parse(text).unwrap_err();
        assert!(error.message.contains(message), "{text:?}: {error}");
        assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
    }
    let no_authority = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----";
    assert!(
        ReleasePolicy::parse(&format!("[[release]]\nsteward = ['''{no_authority}''']")).is_err()
    );
    let many = "[[release]]\n".repeat(limits::RELEASE_RULES_MAX + 1);
    assert!(ReleasePolicy::parse(&many).unwrap_err().message.contains("at most"));
    let long = " ".repeat(limits::RELEASE_POLICY_BYTES_MAX + 1);
    assert!(ReleasePolicy::parse(&long).unwrap_err().message.contains("larger"));
}
