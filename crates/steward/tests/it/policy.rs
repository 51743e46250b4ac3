// SPDX-License-Identifier: Apache-2.0

//! Policies in words, held against each other, and tried on recorded evidence.

use std::fs;
use std::path::Path;

use ::evidence::snp::split_attestation;
use serde_json::Value;
use testkit::silicon::{Options, SimulatedSnp};
use types::time::Timestamp;

use crate::steward::{run, stderr, write};

const NOW: Timestamp = Timestamp(1_800_000_000);

fn said(arguments: &[&str]) -> (i32, Value) {
    let output = run(arguments);
    let value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), value)
}

fn file(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write(&path, bytes, 0o644);
    path.to_str().unwrap().to_owned()
}

#[test]
fn policies_are_said_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let policy = file(dir.path(), "p.toml", b"[snp]\nallow = [\"debug\"]\n");
    let output = run(&["policy", "explain", &policy]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.contains("Let pass:\n   - The host may debug the guest"), "{text}");
    let (code, value) = said(&["policy", "explain", &policy, "--json"]);
    assert_eq!(code, 0);
    let sentences = value["sections"][0]["sentences"].as_array().unwrap();
    assert!(sentences.iter().any(|s| s["effect"] == "relaxation"), "{value}");
    let missing = run(&["policy", "explain", "/no/such/file"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("cannot read the policy"));
}

#[test]
fn relaxations_that_ended_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let text = b"[snp]\nallow = [{ name = \"debug\", until = 2020-02-29 }, \"alias-check\"]\n";
    let policy = file(dir.path(), "p.toml", text);
    let output = run(&["policy", "check", &policy]);
    assert!(output.status.success());
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("warning: debug in snp.allow ended on 2020-02-29"), "{told}");
    assert_eq!(told.matches("warning").count(), 1, "{told}");
    let (code, value) = said(&["policy", "check", &policy, "--json"]);
    let ended =
        serde_json::json!([{ "key": "snp.allow", "name": "debug", "last_day": "2020-02-29" }]);
    assert_eq!((code, &value["ended"]), (0, &ended));
}

#[test]
fn policies_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let strict = file(dir.path(), "a.toml", b"[snp]\nproducts = [\"Genoa\"]\n");
    let loose = b"[snp]\nproducts = [\"Genoa\", \"Turin\"]\nallow = [\"crl-missing\"]\n";
    let loose = file(dir.path(), "b.toml", loose);
    let same = file(dir.path(), "c.toml", b"# said otherwise\n[snp]\nproducts = ['Genoa']\n");
    assert_eq!(said(&["policy", "diff", &strict, &same, "--json"]).0, 0);
    let (code, value) = said(&["policy", "diff", &strict, &loose, "--json"]);
    assert_eq!(code, 1);
    let changes = value["changes"].as_array().unwrap();
    let loosening: Vec<_> = changes.iter().filter(|change| change["loosens"] == true).collect();
    assert_eq!(loosening.len(), 1, "{value}");
    assert_eq!(loosening[0]["effect"], "relaxation");
    assert_eq!(changes.iter().filter(|change| change["replaced"] == true).count(), 2);
    // The other way round, the relaxation goes.
    let (_, value) = said(&["policy", "diff", &loose, &strict, "--json"]);
    assert!(value["changes"].as_array().unwrap().iter().all(|c| c["loosens"] == false));
    let broken = file(dir.path(), "d.toml", b"[snp]\nprodcts = []\n");
    assert_eq!(run(&["policy", "diff", &strict, &broken]).status.code(), Some(2));
}

#[test]
fn policies_are_tried_on_recorded_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let silicon = SimulatedSnp::generate(NOW, Options::default()).unwrap();
    let roots = file(dir.path(), "roots.pem", silicon.roots_pem().as_bytes());
    let facts =
        b"[[verdict]]\nat = \"2027-01-15T08:00:00Z\"\npolicy = \"mine\"\nexpect = \"accept\"\n";
    for (name, silicon) in [("good", silicon.clone()), ("debug", silicon.debuggable())] {
        let blob = silicon.attestation(&[7; 64], &[1; 48]).unwrap();
        let (report, _) = split_attestation(&blob).unwrap();
        file(dir.path(), &format!("cases/{name}/report.bin"), report);
        file(dir.path(), &format!("cases/{name}/vek.der"), silicon.vcek());
        file(dir.path(), &format!("cases/{name}/product.crl"), silicon.crl());
        file(dir.path(), &format!("cases/{name}/facts.toml"), facts);
    }
    file(dir.path(), "cases/broken.csr", b"no request");
    let policy = file(dir.path(), "p.toml", b"");
    let cases = dir.path().join("cases");
    let cases = cases.to_str().unwrap();
    let common = ["policy", "test", &policy, "--evidence", cases];
    let trusting = [&common[..], &["--insecure-simulated-roots", &roots, "--json"]].concat();

    // Nobody's silicon is believed unless it is said so.
    let (code, value) = said(&[&common[..], &["--at", "2027-01-15T08:00:00Z", "--json"]].concat());
    assert_eq!(code, 0);
    assert!(value.as_array().unwrap().iter().all(|row| row["accepted"] == false), "{value}");
    assert_eq!(value[1]["failed"][0]["check"], "untrusted-root");

    let (code, value) = said(&[&trusting[..], &["--at", "2027-01-15T08:00:00Z"]].concat());
    assert_eq!(code, 0);
    let accepted: Vec<_> = value.as_array().unwrap().iter().map(|r| &r["accepted"]).collect();
    assert_eq!(accepted, [false, false, true], "{value}");
    assert_eq!(value[0]["failed"][0]["check"], "request-malformed");
    assert_eq!(value[2]["status"], "contraindicated");

    // facts.toml wants both accepted; one is a debug guest.
    let (code, value) = said(&[&trusting[..], &["--expected", "mine"]].concat());
    assert_eq!(code, 1);
    assert_eq!((&value[1]["expected"], &value[1]["accepted"]), (&true.into(), &false.into()));

    let empty = tempfile::tempdir().unwrap();
    let nothing = run(&["policy", "test", &policy, "--evidence", empty.path().to_str().unwrap()]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(stderr(&nothing).contains("there is no evidence"));
}
