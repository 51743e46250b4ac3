// SPDX-License-Identifier: Apache-2.0

//! `enarx verify` where there is nothing to judge; what it says of a real Keep is tested with `enarx up`.

use crate::bare_enarx;

fn verify(arguments: &[&str]) -> (i32, String, String) {
    let output = bare_enarx().arg("verify").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A root, as PEM, in a file of its own.
fn root() -> tempfile::NamedTempFile {
    let ca = testkit::pki::DevCa::generate("test", now()).unwrap();
    file(&ca.certificate_pem())
}

fn now() -> types::time::Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    types::time::Timestamp(since.as_secs())
}

fn file(text: &str) -> tempfile::NamedTempFile {
    use std::io::Write as _;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn what_cannot_be_asked_is_not_refused() {
    let root = root();
    let root = root.path().to_str().unwrap();
    let (code, stdout, stderr) = verify(&["localhost:1", "--ca", root]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.starts_with("error: cannot ask localhost:1 for its certificate\n"), "{stderr}");
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
    let (code, _, _) = verify(&["localhost:1", "--ca", root, "--expect-measurement", "xyz"]);
    assert_eq!(code, 2);
}

#[test]
fn a_certificate_without_evidence_is_refused() {
    let ca = testkit::pki::DevCa::generate("test", now()).unwrap();
    let (chain, _) = ca.issue_localhost(now()).unwrap();
    let (root, chain) = (file(&ca.certificate_pem()), file(&chain));
    let (root, chain) = (root.path().to_str().unwrap(), chain.path().to_str().unwrap());
    let (code, _, stderr) = verify(&[chain, "--ca", root, "--insecure-allow-simulated"]);
    assert_eq!(code, 1);
    assert!(stderr.starts_with("error: refused: "), "{stderr}");
    let (code, stdout, _) = verify(&[chain, "--ca", root, "--json"]);
    assert_eq!(code, 1);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json["ok"], false);
    assert!(json["refused"].is_string());
}
