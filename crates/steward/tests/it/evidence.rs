// SPDX-License-Identifier: Apache-2.0

//! Evidence that is refused, each with the name of the check.

use ::evidence::snp::Endorsements;
use const_oid::ObjectIdentifier;
use testkit::silicon::{Options, SimulatedSnp};

use crate::issuance::believing;
use crate::keep::{Keep, Registry, SILICON, digest, named, policy, unnamed};
use crate::steward::{Setup, Steward};

fn refused(check: &str) -> (u16, String) {
    (400, check.to_owned())
}

#[test]
fn simulated_silicon_is_believed_only_when_told_to() {
    let steward = Steward::start(Setup { policy: policy(&[]), ..Setup::default() });
    let keep = Keep::new();
    let answer = steward.request(&keep.request(&keep.evidence(Some(unnamed()))));
    assert_eq!(answer.check(), refused("untrusted-root"));
    assert!(answer.problem().hint.unwrap().contains("--insecure-simulated-roots"));
    steward.logged(&["refused", "untrusted-root"]);
}

#[test]
fn other_simulated_silicon_is_not_believed_either() {
    let steward = believing(policy(&[]));
    let now = chassis::clock::Clock::System.now();
    let other = SimulatedSnp::generate(now, Options::default()).unwrap();
    let keep = Keep::new();
    let parts = Keep::evidence_of(&other, &keep.claims(Some(unnamed())));
    let answer = steward.request(&keep.request(&parts));
    assert_eq!(answer.check().0, 400);
    assert!(["untrusted-root", "vek-signature"].contains(&answer.check().1.as_str()));
}

#[test]
fn no_evidence_no_certificate() {
    let steward = believing(policy(&[]));
    let keep = Keep::new();
    // A request as any TLS client makes it.
    let plain =
        keep.request_with(ObjectIdentifier::new_unwrap("2.5.29.17"), b"\x30\x0b\x82\x09localhost");
    let missing = (401, "evidence-missing".to_owned());
    assert_eq!(steward.request(&plain).check(), missing);
    let bare = steward.request(&keep.request_without_extensions());
    assert_eq!(bare.check(), missing);
    let kvm = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.58270.1.1");
    let answer = steward.request(&keep.request_with(kvm, b""));
    assert_eq!(answer.check(), refused("evidence-unsupported"));
}

#[test]
fn evidence_for_another_key() {
    let steward = believing(policy(&[]));
    let (honest, thief) = (Keep::new(), Keep::new());
    let parts = honest.evidence(Some(unnamed()));
    let answer = steward.request(&thief.request(&parts));
    assert_eq!(answer.check(), refused("key-binding"));

    // The same request with the other key put in, unsigned by it.
    let request = honest.request(&parts);
    let at = request.windows(honest.spki.len()).position(|window| window == honest.spki).unwrap();
    let mut forged = request.clone();
    forged[at..at + thief.spki.len()].copy_from_slice(&thief.spki);
    assert_eq!(steward.request(&forged).check(), refused("request-signature"));
    assert_eq!(steward.request(&request).status, 200);
}

#[test]
fn one_flipped_byte() {
    let steward = believing(policy(&[]));
    let keep = Keep::new();
    let parts = keep.evidence(Some(unnamed()));
    let check = |parts: &crate::keep::Parts| steward.request(&keep.request(parts)).check();

    // Measurement, report data, and the signature itself.
    for (at, expected) in [(0x90, "report-signature"), (0x2a0, "report-signature")] {
        let mut flipped = parts.clone();
        flipped.report[at] ^= 1;
        assert_eq!(check(&flipped), refused(expected), "report byte {at:#x}");
    }
    let mut flipped = parts.clone();
    *flipped.claims.last_mut().unwrap() ^= 1;
    assert_eq!(check(&flipped), refused("key-binding"));

    let endorsements = Endorsements::from_der(&parts.endorsements).unwrap();
    let with = |endorsements: Endorsements| crate::keep::Parts {
        endorsements: endorsements.to_der().unwrap(),
        ..parts.clone()
    };
    let mut flipped = endorsements.clone();
    *flipped.vcek.last_mut().unwrap() ^= 1;
    assert_eq!(check(&with(flipped)), refused("vek-signature"));
    let mut flipped = endorsements.clone();
    *flipped.crls[0].1.last_mut().unwrap() ^= 1;
    assert_eq!(check(&with(flipped)), refused("crl-signature"));
    let mut without = endorsements;
    without.crls.clear();
    assert_eq!(check(&with(without)), refused("crl-missing"));
    assert_eq!(steward.request(&keep.request(&parts)).status, 200);
}

#[test]
fn a_keep_that_can_be_debugged() {
    let steward = believing(policy(&[]));
    let keep = Keep::new();
    let parts = Keep::evidence_of(&SILICON.debuggable(), &keep.claims(Some(unnamed())));
    let answer = steward.request(&keep.request(&parts));
    assert_eq!(answer.check(), refused("debug"));
}

#[test]
fn a_keep_other_than_the_pinned_one() {
    let steward = believing(format!("[snp]\nhash = [\"{}\"]\n", "11".repeat(48)));
    let keep = Keep::new();
    let answer = steward.request(&keep.request(&keep.evidence(Some(unnamed()))));
    assert_eq!(answer.check(), refused("measurement"));
}

#[test]
fn a_name_that_nobody_vouches_for() {
    let (registry, stranger) = (Registry::new(), Registry::new());
    let steward = believing(policy(&[&registry]));
    let keep = Keep::new();
    let ask = |statement: &str| {
        let parts = keep.evidence(Some(named(statement)));
        steward.request(&keep.request(&parts))
    };
    assert_eq!(ask(&registry.statement(digest())).status, 200);
    // A name without statement is no claim at all.
    let mut alone = named("");
    alone.statement = None;
    let answer = steward.request(&keep.request(&keep.evidence(Some(alone))));
    assert_eq!(answer.check(), refused("claims-malformed"));
    // A statement about another digest.
    let other = types::digest::Sha256::of(b"another workload");
    let answer = ask(&registry.statement(other));
    assert_eq!(answer.check(), refused("statement"));
    // A statement by a registry that the policy does not know.
    let answer = ask(&stranger.statement(digest()));
    assert_eq!(answer.check(), refused("registry"));
    // A statement whose signature was changed.
    let mut forged = registry.statement(digest());
    let last = if forged.pop() == Some('A') { 'Q' } else { 'A' };
    forged.push(last);
    assert_eq!(ask(&forged).check().0, 400);
}
