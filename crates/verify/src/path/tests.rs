// SPDX-License-Identifier: Apache-2.0

use testkit::pki::{DevCa, Profile};
use types::config::RootPin;

use super::*;
use crate::testing::{NOW, anchors, chain, keep, result, steward};

fn failure(chain: &[CertificateDer<'_>], anchors: &Anchors, now: Timestamp) -> VerifyError {
    validate(chain, anchors, now, Usage::Client).unwrap_err()
}

fn root(ca: &DevCa) -> CertificateDer<'static> {
    CertificateDer::from(ca.certificate_der().to_vec())
}

#[test]
fn lengths_are_bounded() {
    let ca = steward();
    let good = chain(&keep(&ca, &result()));
    assert_eq!(failure(&[], &anchors(&ca), NOW), VerifyError::Chain);
    let mut many = good.clone();
    many.resize(limits::CHAIN_CERTIFICATES_MAX, root(&ca));
    assert!(validate(&many, &anchors(&ca), NOW, Usage::Client).is_ok());
    many.push(root(&ca));
    assert_eq!(failure(&many, &anchors(&ca), NOW), VerifyError::Chain);
    let large = CertificateDer::from(vec![0x30; limits::CERTIFICATE_BYTES_MAX + 1]);
    assert_eq!(failure(std::slice::from_ref(&large), &anchors(&ca), NOW), VerifyError::Chain);
    assert_eq!(failure(&[good[0].clone(), large], &anchors(&ca), NOW), VerifyError::Chain);
}

#[test]
fn without_an_anchor_nobody_is_anybody() {
    let ca = steward();
    let mut chain = chain(&keep(&ca, &result()));
    let none = failure(&chain, &Anchors::default(), NOW);
    assert_eq!(none.check(), "chain.anchor");
    // The chain's own root proves nothing.
    chain.push(root(&ca));
    assert_eq!(failure(&chain, &Anchors::default(), NOW).check(), "chain.anchor");
    let other = DevCa::generate("another Steward", NOW).unwrap();
    let other = failure(&chain, &anchors(&other), NOW);
    assert_eq!(other, VerifyError::Path("its issuer is not trusted".to_owned()));
}

#[test]
fn an_authority_of_the_same_name_is_another() {
    let (ours, theirs) = (steward(), steward());
    let mut chain = chain(&keep(&theirs, &result()));
    assert_eq!(failure(&chain, &anchors(&ours), NOW).check(), "chain.path");
    chain.push(root(&theirs));
    assert_eq!(failure(&chain, &anchors(&ours), NOW).check(), "chain.path");
}

#[test]
fn a_root_can_be_pinned_by_its_fingerprint() {
    let ca = steward();
    let pinned = Anchors::from_pins(&[RootPin::Fingerprint(ca.fingerprint())]);
    let mut sent = chain(&keep(&ca, &result()));
    // The peer has to send it.
    assert_eq!(failure(&sent, &pinned, NOW).check(), "chain.anchor");
    sent.push(root(&ca));
    assert!(validate(&sent, &pinned, NOW, Usage::Client).is_ok());
    // Another root in its place, or a Keep's own certificate.
    sent[1] = root(&steward());
    assert_eq!(failure(&sent, &pinned, NOW).check(), "chain.anchor");
    let leaf =
        Anchors { fingerprints: vec![types::digest::Sha256::of(&sent[0])], ..Anchors::default() };
    sent.push(sent[0].clone());
    assert_eq!(failure(&sent, &leaf, NOW).check(), "chain.anchor");
    // A subordinate is no root.
    let middle = ca.subordinate("a subordinate", NOW).unwrap();
    let sent = chain(&keep(&middle, &result()));
    let pinned = Anchors { fingerprints: vec![middle.fingerprint()], ..Anchors::default() };
    assert_eq!(failure(&sent, &pinned, NOW).check(), "chain.anchor");
    let given = Anchors::from_pins(&[RootPin::Certificate(middle.certificate_der().to_vec())]);
    assert!(validate(&sent, &given, NOW, Usage::Client).is_ok());
}

#[test]
fn authorities_may_stand_in_between() {
    let ca = steward();
    let middle = ca.subordinate("a subordinate", NOW).unwrap();
    let chain = chain(&keep(&middle, &result()));
    assert_eq!(chain.len(), 2);
    assert!(validate(&chain, &anchors(&ca), NOW, Usage::Client).is_ok());
    // Left out.
    assert_eq!(failure(&chain[..1], &anchors(&ca), NOW).check(), "chain.path");
}

#[test]
fn dates_count_everywhere() {
    let ca = steward();
    let good = chain(&keep(&ca, &result()));
    let last = Timestamp(NOW.0 + 30 * 86_400);
    assert!(validate(&good, &anchors(&ca), last, Usage::Client).is_ok());
    let late = failure(&good, &anchors(&ca), last.plus(1)).to_string();
    assert!(late.contains("expired at 2027-02-14T08:00:00Z"), "{late}");
    let early = failure(&good, &anchors(&ca), NOW.minus(3_601));
    // The root begins at that second, too.
    assert_eq!(early.check(), "chain.anchor");
    // A Keep's certificate that outlives its root.
    let validity = Some((NOW, NOW.plus(1_000 * 86_400)));
    let long = chain(&ca.issue(&Profile { validity, ..Profile::keep(&result()) }, NOW).unwrap());
    let after = NOW.plus(400 * 86_400);
    assert_eq!(failure(&long, &anchors(&ca), after).check(), "chain.anchor");
}

#[test]
fn a_keep_vouches_for_nobody() {
    let ca = steward();
    let issued = keep(&ca, &result());
    // Signed with the Keep's key, under the Keep's certificate.
    let posing = DevCa::from_pem(&issued.chain_pem(), &issued.key_pem()).unwrap();
    let mut forged = chain(&keep(&posing, &result()));
    forged.push(CertificateDer::from(issued.chain_der[0].clone()));
    assert_eq!(failure(&forged, &anchors(&ca), NOW).check(), "chain.path");
    // Given as an anchor.
    let as_anchor = anchors(&posing);
    assert_eq!(failure(&forged, &as_anchor, NOW).check(), "chain.anchor");
}

#[test]
fn anchors_come_from_pem() {
    let (one, two) = (steward(), steward());
    let both = format!("text before\n{}{}", one.certificate_pem(), two.certificate_pem());
    assert_eq!(Anchors::from_pem(&both).unwrap().roots, [root(&one), root(&two)]);
    let issued = keep(&one, &result());
    for pem in ["", "no PEM", &one.key_pem(), &issued.chain_pem(), &both.replace('M', "?")] {
        assert!(Anchors::from_pem(pem).is_err(), "{pem}");
    }
    assert!(Anchors::default().is_empty());
}
