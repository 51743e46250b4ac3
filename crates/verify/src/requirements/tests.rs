// SPDX-License-Identifier: Apache-2.0

use evidence::result::Facts;
use types::digest::Sha256;

use super::*;
use crate::testing::{digest, identity, result};

/// The identity of a Keep with these facts.
fn with(change: impl FnOnce(&mut Facts)) -> Identity {
    let mut result = result();
    change(&mut result.facts);
    identity(&result)
}

fn check(identity: &Identity, simulated: bool, warning: bool) -> &'static str {
    let requirements =
        Requirements { allow_simulated: simulated, allow_warning: warning, rules: Vec::new() };
    requirements.check(identity).map_or_else(|unmet| unmet.check(), |()| "")
}

#[test]
fn only_genuine_keeps_unless_told_otherwise() {
    let genuine = with(|_| {});
    assert_eq!(check(&genuine, false, false), "");

    let simulated = with(|f| f.simulated = true);
    assert_eq!(check(&simulated, false, false), "requirement.genuine");
    assert_eq!(check(&simulated, false, true), "requirement.genuine");
    assert_eq!(check(&simulated, true, false), "");

    let relaxed = with(|f| f.relaxations = vec!["alias-check".into()]);
    assert_eq!(check(&relaxed, false, false), "requirement.affirming");
    assert_eq!(check(&relaxed, true, false), "requirement.affirming");
    assert_eq!(check(&relaxed, false, true), "");

    let unknown = with(|f| {
        f.pinned = false;
        f.workload = None;
    });
    assert_eq!(check(&unknown, false, false), "requirement.affirming");
    assert_eq!(check(&unknown, false, true), "");

    // Nothing lets in what its host can debug.
    let debug = with(|f| f.debug = true);
    assert_eq!(check(&debug, true, true), "requirement.debug");
}

#[test]
fn refusals_say_why() {
    let relaxed = with(|f| {
        f.relaxations = vec!["alias-check".into()];
        f.pinned = false;
        f.workload = None;
    });
    let why = Requirements::default().check(&relaxed).unwrap_err();
    assert!(why.to_string().ends_with("alias-check, the policy does not pin this Keep"), "{why}");
    let rules = vec![PeerRule { digest: Some(Sha256([0; 32])), ..PeerRule::default() }];
    let why = Requirements { rules, ..Requirements::default() }.check(&with(|_| {})).unwrap_err();
    assert!(why.to_string().contains("but store.example.com/team/app:1.2.0"), "{why}");
}

#[test]
fn one_rule_must_be_met_whole() {
    let genuine = with(|_| {});
    let meets = |rules: Vec<PeerRule>| {
        Requirements { rules, ..Requirements::default() }.check(&genuine).is_ok()
    };
    let workload = |pattern: &str| PeerRule {
        workload: Some(pattern.parse().unwrap()),
        ..PeerRule::default()
    };
    let of_digest = |digest| PeerRule { digest: Some(digest), ..PeerRule::default() };
    let measured =
        |hex: &str| PeerRule { measurement: Some(hex.repeat(48)), ..PeerRule::default() };
    let tee = |name: &str| PeerRule { tee: Some(name.into()), ..PeerRule::default() };

    for (rule, meant) in [
        (workload("store.example.com/team/app"), true),
        (workload("store.example.com/team/app:1.2.0"), true),
        (workload("store.example.com/team/app:^1.1"), true),
        (workload("store.example.com/team/app:1.2.1"), false),
        (workload("store.example.com/team/app:^2"), false),
        (workload("store.example.com/team/other"), false),
        (workload("store.example.com/else/app"), false),
        (workload("example.com/team/app"), false),
        (of_digest(digest()), true),
        (of_digest(Sha256::of(b"another")), false),
        (measured("aa"), true),
        (measured("ab"), false),
        (tee("snp"), true),
        (tee("sgx"), false),
    ] {
        assert_eq!(meets(vec![rule.clone()]), meant, "{rule:?}");
        // Any of several will do.
        assert!(meets(vec![rule.clone(), of_digest(digest())]), "{rule:?}");
        // All of one must.
        let both = PeerRule { digest: rule.digest.or(Some(digest())), ..rule };
        assert_eq!(meets(vec![both.clone()]), meant, "{both:?}");
    }
}

#[test]
fn names_that_nobody_vouches_for_meet_no_rule() {
    let local = with(|f| f.workload.as_mut().unwrap().slug = None);
    let unknown = with(|f| {
        f.pinned = false;
        f.workload = None;
    });
    let named = PeerRule {
        workload: Some("store.example.com/team/app".parse().unwrap()),
        ..PeerRule::default()
    };
    let pinned = PeerRule { digest: Some(digest()), ..PeerRule::default() };
    let check = |rule: &PeerRule, identity| {
        Requirements { allow_warning: true, rules: vec![rule.clone()], ..Requirements::default() }
            .check(identity)
            .is_ok()
    };
    assert!(!check(&named, &local) && check(&pinned, &local));
    assert!(!check(&named, &unknown) && !check(&pinned, &unknown));
}
