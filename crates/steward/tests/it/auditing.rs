// SPDX-License-Identifier: Apache-2.0

//! Every decision is written down and counted, and nothing leaves that is not.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use der::{Decode as _, Encode as _};
use serde_json::Value;
use types::digest::Sha256;

use crate::keep::{Keep, MEASUREMENT, SILICON, policy, unnamed};
use crate::steward::{Files, Setup, Steward};

fn request() -> Vec<u8> {
    let keep = Keep::new();
    keep.request(&keep.evidence(Some(unnamed())))
}

fn bundle(requests: &[&[u8]]) -> Vec<u8> {
    let parts: Vec<der::asn1::Any> =
        requests.iter().map(|request| der::asn1::Any::from_der(request).unwrap()).collect();
    parts.to_der().unwrap()
}

fn setup(audit: &Path) -> Setup {
    let more = ["--audit-log".to_owned(), audit.to_str().unwrap().to_owned()].to_vec();
    Setup {
        policy: policy(&[]),
        simulated_roots: Some(SILICON.roots_pem()),
        more,
        ..Setup::default()
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn decisions(steward: &Steward, tee: &str, verdict: &str, reason: &str) -> f64 {
    let labels = format!("tee=\"{tee}\",verdict=\"{verdict}\",reason=\"{reason}\"");
    steward.metric(&format!("steward_decisions_total{{{labels}}}"))
}

#[test]
fn every_decision_has_its_line_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let setup = setup(&path);
    let digest = Sha256::of(setup.policy.as_bytes()).to_string();
    let steward = Steward::start(setup);

    let [_, leaf] = steward.request(&request()).path();
    let serial = {
        let leaf = <x509_cert::Certificate as der::Decode>::from_der(&leaf).unwrap();
        hex::encode(leaf.tbs_certificate().serial_number().as_bytes())
    };
    let garbage = steward.request(b"garbage").problem();
    let mut flipped = request();
    *flipped.last_mut().unwrap() ^= 1;
    let flipped_refused = steward.request(&flipped).problem();
    let half = bundle(&[&request(), &flipped, &request()]);
    assert_eq!(steward.post(steward::http::PKCS10_BUNDLE, &half).status, 400);
    let whole = bundle(&[&request(), &request()]);
    assert_eq!(steward.post(steward::http::PKCS10_BUNDLE, &whole).status, 200);

    let lines = lines(&path);
    let verdicts: Vec<&str> = lines.iter().map(|line| line["verdict"].as_str().unwrap()).collect();
    assert_eq!(
        verdicts,
        ["issued", "refused", "refused", "withheld", "refused", "issued", "issued"]
    );
    let issued = &lines[0];
    assert_eq!(issued["measurement"], hex::encode(MEASUREMENT));
    assert_eq!((&issued["tee"], &issued["evidence"]), (&"snp".into(), &"snp".into()));
    assert_eq!(
        (&issued["simulated"], &issued["status"]),
        (&true.into(), &"contraindicated".into())
    );
    assert_eq!(issued["policy"], digest);
    assert!(serial.ends_with(issued["serial"].as_str().unwrap()), "{serial} {issued}");
    assert!(issued["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{issued}");
    assert!(issued["checks"].is_null(), "{issued}");
    assert_eq!(lines[1]["checks"][0]["check"], "request-malformed");
    assert_eq!(lines[1]["request_id"], garbage.request_id.unwrap());
    assert_eq!(lines[2]["checks"][0]["check"], flipped_refused.check.clone().unwrap());
    assert_eq!(lines[2]["checks"][0]["detail"], flipped_refused.detail);
    assert_eq!(lines[3]["checks"][0]["check"], "steward.bundle");
    assert_eq!(lines[3]["request_of_bundle"], serde_json::json!([1, 3]));
    assert_eq!(lines[4]["request_of_bundle"], serde_json::json!([2, 3]));
    assert_eq!(lines[6]["request_of_bundle"], serde_json::json!([2, 2]));
    assert_eq!(lines[5]["request_id"], lines[6]["request_id"]);

    assert_eq!(decisions(&steward, "snp", "issued", "none"), 3.0);
    assert_eq!(decisions(&steward, "none", "refused", "request-malformed"), 1.0);
    assert_eq!(decisions(&steward, "snp", "withheld", "steward.bundle"), 1.0);
    assert_eq!(steward.metric("steward_issued_total"), 3.0);
    assert_eq!(steward.metric("steward_log_entries_total"), 3.0);
    assert_eq!(steward.metric("steward_decision_duration_seconds_count"), 7.0);
    assert_eq!(steward.metric(&format!("steward_policy_info{{digest=\"{digest}\"}}")), 1.0);
    assert!(steward.metric("steward_ca_not_after_seconds") > 1.7e9);

    // Moved away, and opened again.
    let old = dir.path().join("old.jsonl");
    std::fs::rename(&path, &old).unwrap();
    assert!(steward.operator("/readyz").problem().detail.contains("audit log"));
    steward.signal("HUP");
    while steward.metric("reloads_total{result=\"ok\"}") < 1.0 {}
    steward.request(b"garbage");
    assert_eq!(self::lines(&path).len(), 1);
    assert_eq!(self::lines(&old).len(), 7);
}

#[test]
fn nothing_leaves_that_is_not_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let mut setup = setup(&path);
    // The issuance log, which would meet the limit too, is not kept here.
    setup.more.push("--insecure-no-issuance-log".to_owned());
    let files = Arc::new(Files::new(&setup));
    let serve = files.serve(&setup);
    let mut command = Command::new("bash");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "bash"])
        .arg(serve.get_program())
        .args(serve.get_args());
    let steward = Steward::run(files, command);
    let request = request();
    let refused = loop {
        let answer = steward.request(&request);
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(refused.check(), (503, "steward.audit".to_owned()));
    assert_eq!(refused.retry_after.as_deref(), Some("1"));
    assert!(steward.operator("/readyz").problem().detail.contains("audit log"));
    // One for the certificate, one for that it was withheld.
    assert_eq!(steward.metric("steward_audit_failures_total"), 2.0);
    assert_eq!(steward.request(b"garbage").check(), (400, "request-malformed".to_owned()));
    // Whole lines but perhaps the last.
    let text = std::fs::read_to_string(&path).unwrap();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    assert!(whole.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
    assert!(!whole.is_empty());
}
