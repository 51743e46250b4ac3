// SPDX-License-Identifier: Apache-2.0

//! Freshness: evidence that was made for this Steward, just now, and once.

use ::evidence::claims::Claims;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::clock::Clock;

use crate::issuance::believing;
use crate::keep::{Keep, MEASUREMENT, SILICON, policy, unnamed};
use crate::steward::{Answer, Setup, Steward, write};

/// A policy that pins the Keep of these tests and takes no evidence of unknown age.
pub(crate) fn strict() -> String {
    format!("[snp]\nhash = [\"{}\"]\n", hex::encode(MEASUREMENT))
}

/// A nonce of this Steward's.
pub(crate) fn nonce(steward: &Steward) -> Vec<u8> {
    let answer = steward.get("/v1/nonce");
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/json"));
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["expires_in"], 300);
    URL_SAFE_NO_PAD.decode(answer["nonce"].as_str().unwrap()).unwrap()
}

/// A request of `keep`'s with evidence for an unnamed workload and this nonce.
pub(crate) fn request(keep: &Keep, nonce: Option<Vec<u8>>) -> Vec<u8> {
    let claims = Claims { nonce, ..keep.claims(Some(unnamed())) };
    keep.request(&Keep::evidence_of(&SILICON, &claims))
}

fn bundle(steward: &Steward, requests: &[&[u8]]) -> Answer {
    let parts: Vec<der::asn1::Any> =
        requests.iter().map(|der| der::Decode::from_der(der).unwrap()).collect();
    steward.post(steward::http::PKCS10_BUNDLE, &der::Encode::to_der(&parts).unwrap())
}

fn refused(check: &str) -> (u16, String) {
    (400, check.to_owned())
}

#[test]
fn a_nonce_is_demanded_and_serves_once() {
    let steward = believing(strict());
    let keep = Keep::new();
    let missing = steward.request(&request(&keep, None));
    assert_eq!(missing.check(), refused("nonce-missing"));
    assert!(missing.problem().hint.unwrap().contains("GET /v1/nonce"));

    let fresh = nonce(&steward);
    assert_ne!(fresh, nonce(&steward));
    let good = request(&keep, Some(fresh.clone()));
    assert_eq!(steward.request(&good).status, 200);
    assert_eq!(steward.request(&good).check(), refused("nonce"));
    assert_eq!(steward.request(&request(&Keep::new(), Some(fresh))).check(), refused("nonce"));

    let mut forged = nonce(&steward);
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(steward.request(&request(&keep, Some(forged))).check(), refused("nonce"));
    let other = nonce(&believing(strict()));
    assert_eq!(steward.request(&request(&keep, Some(other))).check(), refused("nonce"));
    steward.logged(&["refused", "nonce", "not handed out by this Steward"]);
}

#[test]
fn what_is_refused_uses_up_no_nonce() {
    let steward = believing(strict());
    let (keep, thief) = (Keep::new(), Keep::new());
    let fresh = nonce(&steward);
    let claims = Claims { nonce: Some(fresh.clone()), ..keep.claims(Some(unnamed())) };
    let stolen = thief.request(&Keep::evidence_of(&SILICON, &claims));
    assert_eq!(steward.request(&stolen).check(), refused("key-binding"));
    assert_eq!(steward.request(&request(&keep, Some(fresh))).status, 200);
}

#[test]
fn a_bundle_takes_one_nonce_for_each_and_uses_all_or_none() {
    let steward = believing(strict());
    let (a, b) = (nonce(&steward), nonce(&steward));
    let request = |nonce: &Vec<u8>| request(&Keep::new(), Some(nonce.clone()));
    let (first, second, same) = (request(&a), request(&b), request(&a));
    assert_eq!(bundle(&steward, &[&first, &second, &same]).check(), refused("nonce"));
    assert_eq!(bundle(&steward, &[&first, &second]).status, 200);
    assert_eq!(steward.request(&second).check(), refused("nonce"));
}

#[test]
fn an_old_nonce_is_refused() {
    let now = Clock::System.now();
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("nonce.key");
    write(&key, "5a".repeat(32), 0o600);
    let at = |time| {
        Steward::start(Setup {
            policy: strict(),
            simulated_roots: Some(SILICON.roots_pem()),
            time: Some(time),
            more: vec!["--nonce-key".to_owned(), key.to_str().unwrap().to_owned()],
            ..Setup::default()
        })
    };
    let before = nonce(&at(now));
    let keep = Keep::new();
    // Instances with one key take each other's nonces.
    assert_eq!(at(now.plus(300)).request(&request(&keep, Some(before.clone()))).status, 200);
    let late = at(now.plus(301)).request(&request(&keep, Some(before)));
    assert_eq!(late.check(), refused("nonce"));
    assert!(late.problem().detail.contains("301 seconds ago"), "{late:?}");
}

#[test]
fn doing_without_is_written_into_the_certificate() {
    let steward = believing(policy(&[]));
    let keep = Keep::new();
    let relaxations = |nonce| {
        let answer = steward.request(&request(&keep, nonce));
        crate::issuance::identity(&steward, &answer).result.facts.relaxations
    };
    assert_eq!(relaxations(None), ["nonce-missing"]);
    assert!(relaxations(Some(nonce(&steward))).is_empty());
}
