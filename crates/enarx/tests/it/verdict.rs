// SPDX-License-Identifier: Apache-2.0

//! `enarx verify`, on files and on what is neither; what it says of a real Keep is tested with `enarx up`.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use testkit::pki::Issued;

use crate::bare_enarx;
use crate::keeps::{Steward, WORKLOAD, digest, file, now, path, result};

fn said(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn command(arguments: &[&str]) -> Command {
    let mut command = bare_enarx();
    command.arg("verify").args(arguments);
    command
}

fn verify(arguments: &[&str]) -> (i32, String, String) {
    said(command(arguments).output().unwrap())
}

/// The exit code for a Keep's certificate with these expectations, and the JSON.
fn judge(steward: &Steward, keep: &Issued, expected: &[&str]) -> (i32, Value) {
    let chain = file(keep.chain_pem());
    let mut arguments = vec![path(&chain), "--ca", steward.root(), "--json"];
    arguments.extend(expected.iter().flat_map(|one| ["--expect", one]));
    let (code, stdout, stderr) = verify(&arguments);
    assert_eq!(stderr, "");
    (code, serde_json::from_str(&stdout).unwrap())
}

#[test]
fn what_cannot_be_asked_is_not_refused() {
    let steward = Steward::new();
    let root = steward.root();
    let (code, stdout, stderr) = verify(&["localhost:1", "--ca", root]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.starts_with("error: cannot ask localhost:1 for its certificate\n"), "{stderr}");
    assert!(stderr.contains("  next: check its name and port"), "{stderr}");
    let (code, _, stderr) = verify(&["none/chain.pem", "--ca", root]);
    assert_eq!(code, 2);
    assert!(stderr.starts_with("error: cannot read none/chain.pem\n"), "{stderr}");
    let (code, _, stderr) = verify(&["a b", "--ca", root]);
    assert_eq!(code, 2);
    assert!(stderr.contains("neither a file nor a server"), "{stderr}");
    let (code, _, _) = verify(&["localhost:1"]);
    assert_eq!(code, 2);
    let (code, _, stderr) = verify(&["localhost:1", "--ca", "/dev/null"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("it has none in PEM"), "{stderr}");
    assert!(stderr.contains("  next: name the Steward's root with --ca"), "{stderr}");
}

#[test]
fn what_is_no_expectation_is_explained() {
    for (wrong, says) in [
        ("app", "wanted KEY=VALUE"),
        ("colour=blue", "the keys are tier, workload"),
        ("measurement=xyz", "hex digits"),
        ("tier=contraindicated", "by name only"),
    ] {
        let (code, stdout, stderr) =
            verify(&["localhost:1", "--ca", "/dev/null", "--expect", wrong]);
        assert_eq!((code, stdout.as_str()), (2, ""));
        assert!(stderr.contains(says), "{stderr}");
    }
}

#[test]
fn what_is_no_chain_has_a_next_step() {
    let steward = Steward::new();
    let keep = steward.keep(&result());
    for (bytes, says) in [
        (keep.chain_der[0].clone(), "openssl x509 -inform der"),
        (keep.key_pem().into_bytes(), "-----BEGIN CERTIFICATE-----"),
        (Vec::new(), "-----BEGIN CERTIFICATE-----"),
    ] {
        let chain = file(bytes);
        let (code, stdout, stderr) = verify(&[path(&chain), "--ca", steward.root()]);
        assert_eq!((code, stdout.as_str()), (2, ""));
        assert!(stderr.contains("  next: ") && stderr.contains(says), "{stderr}");
    }
    // A Keep's certificate is nobody's root.
    let (root, chain) = (file(keep.chain_pem()), file(keep.chain_pem()));
    let (code, _, stderr) = verify(&[path(&chain), "--ca", path(&root)]);
    assert_eq!(code, 2);
    assert!(stderr.starts_with("error: cannot trust "), "{stderr}");
    assert!(stderr.contains("no certificate authority"), "{stderr}");
}

#[test]
fn a_certificate_without_evidence_is_refused() {
    let steward = Steward::new();
    let (chain, _) = steward.ca.issue_localhost(now()).unwrap();
    let chain = file(&chain);
    let arguments = [path(&chain), "--ca", steward.root()];
    let (code, _, stderr) = verify(&[&arguments[..], &["--insecure-allow-simulated"]].concat());
    assert_eq!(code, 1);
    assert!(stderr.starts_with("error: refused: "), "{stderr}");
    let (code, stdout, _) = verify(&[&arguments[..], &["--json"]].concat());
    assert_eq!(code, 1);
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&json["ok"], &json["proved"]), (&Value::Bool(false), &Value::Null));
    assert_eq!(json["check"], "certificate.result.missing");
    assert!(json["refused"].is_string() && json["next"].is_string());
}

#[test]
fn a_keep_is_judged_by_what_is_expected_of_it() {
    let steward = Steward::new();
    let mut proved = result();
    proved.facts.signer = Some("bb".repeat(48));
    let keep = steward.keep(&proved);
    let (code, json) = judge(&steward, &keep, &[]);
    assert_eq!(code, 0, "{json}");
    let facts: Value =
        serde_json::from_str(&serde_json::to_string(&proved.facts).unwrap()).unwrap();
    assert_eq!(json["proved"]["facts"], facts);
    assert_eq!(json["proved"]["peer"]["workload"], WORKLOAD);
    assert_eq!(json["proved"]["appraised_at"], proved.issued_at.to_string());

    let all = [
        "workload=store.example.com/team/app:^1".to_owned(),
        format!("digest={}", digest()),
        "tee=snp".to_owned(),
        "tier=affirming".to_owned(),
        format!("measurement={}", "aa".repeat(48)),
        format!("signer={}", "bb".repeat(48)),
        format!("policy={}", proved.policy),
        "max-age=1h".to_owned(),
    ];
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    let (code, json) = judge(&steward, &keep, &all);
    assert_eq!((code, json["expected"].as_array().unwrap().len()), (0, 8), "{json}");
    let zero = format!("sha256:{}", "0".repeat(64));
    for wrong in [
        "workload=store.example.com/team/other".to_owned(),
        format!("digest={zero}"),
        "tee=tdx".to_owned(),
        format!("measurement={}", "0".repeat(96)),
        format!("signer={}", "0".repeat(96)),
        format!("policy={zero}"),
    ] {
        let key = wrong.split_once('=').unwrap().0;
        let others = || all.iter().copied().filter(|one| !one.starts_with(key));
        let expected: Vec<_> = others().chain([wrong.as_str()]).collect();
        let (code, json) = judge(&steward, &keep, &expected);
        assert_eq!(
            (code, json["check"].as_str()),
            (1, Some(format!("requirement.{key}").as_str()))
        );
        // Beside the right one it does no harm.
        let expected: Vec<_> = all.iter().copied().chain([wrong.as_str()]).collect();
        assert_eq!(judge(&steward, &keep, &expected).0, 0, "{wrong}");
    }
    let mut old = proved;
    old.issued_at = now().minus(7_200);
    let (code, json) = judge(&steward, &steward.keep(&old), &all);
    assert_eq!((code, json["check"].as_str()), (1, Some("requirement.max-age")));
}

#[test]
fn expectations_come_from_the_environment_too() {
    let steward = Steward::new();
    let chain = file(steward.keep(&result()).chain_pem());
    let with = |expected: &str| {
        let mut command = command(&[path(&chain), "--ca", steward.root()]);
        said(command.env("ENARX_EXPECT", expected).output().unwrap()).0
    };
    assert_eq!(with("workload=store.example.com/team/app:>=1.0.0, <1.4.0\ntee=snp"), 0);
    assert_eq!(with("workload=store.example.com/team/app:>=1.0.0, <1.2.0\ntee=snp"), 1);
    assert_eq!(with("workload=store.example.com/team/app:^1\ntee=sgx"), 1);
    assert_eq!(with("colour=blue"), 2);
}

#[test]
fn standard_input_will_do() {
    let steward = Steward::new();
    let with = |text: &[u8]| {
        let mut child = command(&["-", "--ca", steward.root()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text).unwrap();
        said(child.wait_with_output().unwrap())
    };
    let keep = steward.keep(&result());
    let (code, stdout, _) = with(format!("depth=0\n{}---\n", keep.chain_pem()).as_bytes());
    assert_eq!(code, 0);
    assert!(stdout.contains(WORKLOAD), "{stdout}");
    let (code, _, stderr) = with(b"");
    assert_eq!(code, 2);
    assert!(stderr.contains("the certificates in standard input\n"), "{stderr}");
    assert_eq!(with(steward.expired().chain_pem().as_bytes()).0, 1);
}

#[test]
fn what_is_revoked_is_refused() {
    let steward = Steward::new();
    let keep = steward.keep(&result());
    let chain = file(keep.chain_pem());
    let with = |list: &[u8]| {
        let list = file(list);
        verify(&[path(&chain), "--ca", steward.root(), "--json", "--crl", path(&list)])
    };
    let (from, to) = (now().minus(60), now().plus(3_600));
    let list = |revoked: &[&[u8]], to| steward.ca.revoke_pem(revoked, from, to).unwrap();
    assert_eq!(with(list(&[], to).as_bytes()).0, 0);
    for list in [list(&[&keep.chain_der[0]], to), list(&[], now().minus(1))] {
        let (code, stdout, _) = with(list.as_bytes());
        let json: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!((code, json["check"].as_str()), (1, Some("chain.revocation")));
    }
    let (code, _, stderr) = with(b"none");
    assert_eq!(code, 2);
    assert!(stderr.contains("cannot use the revocation lists in"), "{stderr}");
}

#[test]
fn simulated_and_relaxed_are_let_in_by_name_only() {
    let steward = Steward::new();
    let mut simulated = result();
    simulated.facts.simulated = true;
    let chain = file(steward.keep(&simulated).chain_pem());
    let arguments = [path(&chain), "--ca", steward.root()];
    let (code, stdout, stderr) = verify(&arguments);
    assert_eq!(code, 1);
    assert!(stdout.contains("SIMULATED"), "{stdout}");
    assert!(stderr.contains("--insecure-allow-simulated"), "{stderr}");
    assert_eq!(verify(&[&arguments[..], &["--expect", "tier=warning"]].concat()).0, 1);
    assert_eq!(verify(&[&arguments[..], &["--insecure-allow-simulated"]].concat()).0, 0);

    let mut relaxed = result();
    relaxed.facts.relaxations = vec!["crl-grace".into()];
    let keep = steward.keep(&relaxed);
    let (code, json) = judge(&steward, &keep, &[]);
    assert_eq!((code, json["check"].as_str()), (1, Some("requirement.tier")));
    assert_eq!(judge(&steward, &keep, &["tier=warning"]).0, 0);
}
