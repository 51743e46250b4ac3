// SPDX-License-Identifier: Apache-2.0

use evidence::result::Facts;
use types::digest::Sha256;

use super::*;
use crate::testing::{NOW, digest, identity, result};

/// The identity of a Keep with these facts.
fn with(change: impl FnOnce(&mut Facts)) -> Identity {
    let mut result = result();
    change(&mut result.facts);
    identity(&result)
}

fn check(identity: &Identity, simulated: bool, warning: bool) -> &'static str {
    let tier = if warning { Tier::Warning } else { Tier::Affirming };
    let requirements = Requirements {
        allow_simulated: simulated,
        expected: vec![Expectation::Tier(tier)],
        ..Requirements::default()
    };
    requirements.check(identity, NOW).map_or_else(|unmet| unmet.check(), |()| "")
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
    assert_eq!(check(&relaxed, false, false), "requirement.tier");
    assert_eq!(check(&relaxed, true, false), "requirement.tier");
    assert_eq!(check(&relaxed, false, true), "");

    let unknown = with(|f| {
        f.pinned = false;
        f.workload = None;
    });
    assert_eq!(check(&unknown, false, false), "requirement.tier");
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
    let why = Requirements::default().check(&relaxed, NOW).unwrap_err();
    assert!(why.to_string().ends_with("alias-check, the policy does not pin this Keep"), "{why}");
    let rules = vec![PeerRule { digest: Some(Sha256([0; 32])), ..PeerRule::default() }];
    let why =
        Requirements { rules, ..Requirements::default() }.check(&with(|_| {}), NOW).unwrap_err();
    assert!(why.to_string().contains("but store.example.com/team/app:1.2.0"), "{why}");
}

#[test]
fn one_rule_must_be_met_whole() {
    let genuine = with(|facts| facts.signer = Some("bb".repeat(48)));
    let meets = |rules: Vec<PeerRule>| {
        Requirements { rules, ..Requirements::default() }.check(&genuine, NOW).is_ok()
    };
    let workload = |pattern: &str| PeerRule {
        workload: Some(pattern.parse().unwrap()),
        ..PeerRule::default()
    };
    let of_digest = |digest| PeerRule { digest: Some(digest), ..PeerRule::default() };
    let measured =
        |hex: &str| PeerRule { measurement: Some(hex.repeat(48)), ..PeerRule::default() };
    let tee = |name: &str| PeerRule { tee: Some(name.into()), ..PeerRule::default() };
    let signed = |hex: &str| PeerRule { signer: Some(hex.repeat(48)), ..PeerRule::default() };
    let under = |policy| PeerRule { policy: Some(policy), ..PeerRule::default() };

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
        (signed("bb"), true),
        (signed("ab"), false),
        (under(result().policy), true),
        (under(Sha256::of(b"another")), false),
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
        let expected = vec![Expectation::Tier(Tier::Warning)];
        Requirements { expected, rules: vec![rule.clone()], ..Requirements::default() }
            .check(identity, NOW)
            .is_ok()
    };
    assert!(!check(&named, &local) && check(&pinned, &local));
    assert!(!check(&named, &unknown) && !check(&pinned, &unknown));
}

/// The key under which an identity fails expectations, and what is said of it; empty if it meets them.
fn lacks(expected: &[&str], identity: &Identity) -> (&'static str, String) {
    match Requirements::expecting(expected.iter().copied()).unwrap().check(identity, NOW) {
        Ok(()) => ("", String::new()),
        Err(unmet) => (unmet.check(), unmet.to_string()),
    }
}

#[test]
fn every_key_is_judged() {
    let genuine = with(|facts| facts.signer = Some("bb".repeat(48)));
    let policy = result().policy.to_string();
    let other = Sha256::of(b"another").to_string();
    for (key, good, bad, says) in [
        ("workload", "store.example.com/team/app:^1", "store.example.com/team/app:^2", "but store"),
        ("digest", digest().to_string().as_str(), other.as_str(), "but sha256:"),
        ("tee", "snp", "sgx", "its tee is not sgx, but snp"),
        ("measurement", &"aa".repeat(48), &"ab".repeat(48), "but aaaa"),
        ("signer", &"bb".repeat(48), &"ab".repeat(48), "but bbbb"),
        ("policy", policy.as_str(), other.as_str(), "but sha256:"),
    ] {
        let (good, bad) = (format!("{key}={good}"), format!("{key}={bad}"));
        assert_eq!(lacks(&[&good], &genuine).0, "");
        let (check, said) = lacks(&[&bad], &genuine);
        assert_eq!(check, format!("requirement.{key}"));
        assert!(said.contains(says), "{said}");
        // Any value of a key will do, in any order; every key has to hold.
        assert_eq!(lacks(&[&good, &bad], &genuine).0, "");
        assert_eq!(lacks(&[&bad, &good], &genuine).0, "");
        assert_eq!(
            lacks(&[&bad, "tee=snp", "max-age=1h"], &genuine).0,
            if key == "tee" { "" } else { check }
        );
        assert_eq!(
            lacks(&["tee=tdx", &good], &genuine).0,
            if key == "tee" { "" } else { "requirement.tee" }
        );
    }
    let (_, said) = lacks(&["tee=sgx", "tee=tdx"], &genuine);
    assert_eq!(said, "its tee is not sgx or tdx, but snp");
    let mut old = result();
    old.issued_at = NOW.minus(7_200);
    let (check, said) = lacks(&["max-age=1h", "max-age=30m"], &identity(&old));
    assert_eq!(
        (check, said.as_str()),
        ("requirement.max-age", "it was appraised 2h ago, and not within 1h or 30m")
    );
    assert_eq!(lacks(&["max-age=1h", "max-age=2h"], &identity(&old)).0, "");
}

#[test]
fn what_is_not_there_is_not_as_expected() {
    let unknown = with(|f| {
        f.pinned = false;
        f.workload = None;
    });
    let name = "workload=store.example.com/team/app";
    assert_eq!(lacks(&["tier=warning"], &unknown).0, "");
    assert_eq!(lacks(&["tier=warning", name], &unknown).0, "requirement.workload");
    let digest = format!("digest={}", digest());
    assert_eq!(lacks(&["tier=warning", &digest], &unknown).0, "requirement.digest");
    assert_eq!(
        lacks(&[&format!("signer={}", "aa".repeat(48))], &with(|_| {})).0,
        "requirement.signer"
    );
    let local = with(|f| f.workload.as_mut().unwrap().slug = None);
    assert_eq!(lacks(&[name], &local).0, "requirement.workload");
    assert_eq!(lacks(&[&digest], &local).0, "");
}

#[test]
fn the_tier_is_affirming_unless_less_is_asked_for() {
    let relaxed = with(|f| f.relaxations = vec!["alias-check".into()]);
    assert_eq!(lacks(&[], &relaxed).0, "requirement.tier");
    assert_eq!(lacks(&["tier=affirming"], &relaxed).0, "requirement.tier");
    assert_eq!(lacks(&["tier=affirming", "tier=warning"], &relaxed).0, "");
    // Neither lets in what is simulated.
    let simulated = with(|f| f.simulated = true);
    assert_eq!(lacks(&["tier=warning"], &simulated).0, "requirement.genuine");
}
