// SPDX-License-Identifier: Apache-2.0

//! Silicon and tools that are not ours: a request from a real chip, and what OpenSSL says of our certificates.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use types::time::Timestamp;

use crate::issuance::believing;
use crate::keep::{Keep, Registry, digest, named, policy};
use crate::steward::{Setup, Steward, write};

/// A time at which everything in the real request is current.
const THEN: &str = "2022-12-01T00:00:00Z";
/// The platform that made the request answers in version 2, which cannot say whether memory is aliased.
const POLICY: &str = "[snp]\nallow = [\"alias-check\"]\n";

/// The request that a Keep on an EPYC 7003 made in 2022, if the evidence of real hardware is beside the checkout.
fn real_request() -> Option<Vec<u8>> {
    let path = "../shared/evidence/snp/milan-v2-enarx-csr/request.csr";
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../.."].iter().collect();
    let request = std::fs::read(root.join(path)).ok();
    if request.is_none() {
        println!("SKIP real_request: no {path} beside the checkout");
    }
    request
}

pub(crate) fn openssl(arguments: &[&str]) -> Option<Output> {
    match Command::new("openssl").args(arguments).output() {
        Ok(output) => Some(output),
        Err(_) => {
            println!("SKIP openssl: the program is not installed");
            None
        }
    }
}

/// Whether `openssl verify` accepts `leaf` under `ca` at `time` for `purpose`.
fn verified(ca: &Path, leaf: &Path, time: Timestamp, purpose: &str) -> Option<bool> {
    let output = openssl(&[
        "verify",
        "-x509_strict",
        "-attime",
        &time.0.to_string(),
        "-purpose",
        purpose,
        "-CAfile",
        ca.to_str()?,
        leaf.to_str()?,
    ])?;
    Some(output.status.success())
}

fn as_text(leaf: &Path) -> Option<String> {
    let output = openssl(&["x509", "-in", leaf.to_str()?, "-noout", "-text"])?;
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

fn save(path: &Path, certificate: &[u8]) {
    let pem = der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, certificate);
    write(path, pem.unwrap(), 0o644);
}

#[test]
fn a_real_request_gets_a_certificate_at_its_time() {
    let Some(request) = real_request() else {
        return;
    };
    let then: Timestamp = THEN.parse().unwrap();
    let steward = Steward::start(Setup {
        policy: POLICY.to_owned(),
        time: Some(then),
        ca_not_before: Some(then.minus(86_400)),
        ..Setup::default()
    });
    steward.logged(&["WARNING", "CLOCK"]);
    let [_, leaf] = steward.request(&request).path();
    let path = steward.files.path("leaf.pem");
    save(&path, &leaf);
    let ca = steward.files.path("ca/ca.pem");
    for purpose in ["sslserver", "sslclient"] {
        let at = |time| verified(&ca, &path, time, purpose);
        assert_ne!(at(then), Some(false));
        assert_ne!(at(then.plus(86_401)), Some(true), "not for longer than a day");
    }
    if let Some(text) = as_text(&path) {
        assert!(text.contains("CN = Enarx Keep") && !text.contains("simulated TEE"), "{text}");
    }
}

#[test]
fn a_real_request_is_refused_today() {
    let Some(request) = real_request() else {
        return;
    };
    let steward = Steward::start(Setup { policy: POLICY.to_owned(), ..Setup::default() });
    let answer = steward.request(&request);
    assert_eq!(answer.check(), (400, "crl-expired".to_owned()));
}

#[test]
fn openssl_shows_the_workload() {
    let registry = Registry::new();
    let steward = believing(policy(&[&registry]));
    let keep = Keep::new();
    let parts = keep.evidence(Some(named(&registry.statement(digest()))));
    let [_, leaf] = steward.request(&keep.request(&parts)).path();
    let path = steward.files.path("leaf.pem");
    save(&path, &leaf);
    let now = chassis::clock::Clock::System.now();
    let ca = steward.files.path("ca/ca.pem");
    assert_ne!(verified(&ca, &path, now, "sslserver"), Some(false));
    let Some(text) = as_text(&path) else { return };
    for words in [
        "OU = simulated TEE, CN = app:1.2.0",
        "URI:https://store.example.com/team/app:1.2.0",
        &format!("URI:{}", digest().to_ni()),
        "Policy: 1.3.6.1.4.1.58270.2.1",
        "CPS: https://steward.example.com/policy/",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "CA:FALSE",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
}
