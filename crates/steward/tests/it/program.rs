// SPDX-License-Identifier: Apache-2.0

//! The program without any evidence: files, flags, the interface, its end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use types::digest::Sha256;

use crate::steward::{Files, Setup, Steward, run, stderr, write};

#[test]
fn a_ca_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca");
    let ca = ca.to_str().unwrap();
    let made = run(&["ca", "init", ca, "--name", "Example", "--json"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let said: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert!(said["fingerprint"].as_str().unwrap().starts_with("sha256:"));
    let key = std::fs::read(said["key"].as_str().unwrap()).unwrap();
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = std::fs::metadata(dir.path().join("ca").join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!((mode("ca.key"), mode("ca.pem")), (0o600, 0o644));

    let again = run(&["ca", "init", ca, "--name", "Example"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("not overwritten"));
    assert_eq!(std::fs::read(said["key"].as_str().unwrap()).unwrap(), key);

    let unnamed = dir.path().join("b");
    let unnamed = run(&["ca", "init", unnamed.to_str().unwrap(), "--name", ""]);
    assert_eq!(unnamed.status.code(), Some(2));
    assert!(!dir.path().join("b").exists(), "nothing is left behind");
}

#[test]
fn an_unknown_key_in_the_policy_is_shown() {
    let setup = Setup { policy: "[snp]\nminimum_gest_svn = 3\n".to_owned(), ..Setup::default() };
    let files = Files::new(&setup);
    let policy = files.path("policy.toml");
    let policy = policy.to_str().unwrap();

    let checked = run(&["policy", "check", policy]);
    assert_eq!(checked.status.code(), Some(2));
    let said = stderr(&checked);
    for words in ["line 2", "^^^^", "did you mean `minimum_guest_svn`?"] {
        assert!(said.contains(words), "{said}");
    }
    let checked = run(&["policy", "check", policy, "--json"]);
    assert_eq!(checked.status.code(), Some(2));
    let verdict: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&verdict["ok"], &verdict["line"]), (&false.into(), &2.into()));

    let served = files.serve(&setup).output().unwrap();
    assert_eq!(served.status.code(), Some(2));
    assert!(stderr(&served).contains("^^^^"), "{}", stderr(&served));

    write(&files.path("policy.toml"), "", 0o644);
    let checked = run(&["policy", "check", policy, "--json"]);
    assert!(checked.status.success());
    let verdict: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(verdict["digest"], Sha256::of(b"").to_string());
}

#[test]
fn files_that_do_not_fit_end_it_in_one_line() {
    let setup = Setup::default();
    let files = Files::new(&setup);
    let refused = |words: &str| {
        let output = files.serve(&setup).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
        let said = stderr(&output);
        assert!(said.contains(words), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    };
    let key = std::fs::read(files.path("ca/ca.key")).unwrap();
    write(&files.path("ca/ca.key"), &key, 0o640);
    refused("chmod 600");
    std::fs::remove_file(files.path("ca/ca.key")).unwrap();
    refused("cannot read the key file");
    let other = std::fs::read(files.path("tls.key")).unwrap();
    write(&files.path("ca/ca.key"), &other, 0o600);
    refused("does not belong to the first certificate");
    write(&files.path("ca/ca.key"), "no key", 0o600);
    refused("no PEM block");
    write(&files.path("ca/ca.key"), &key, 0o600);
    write(&files.path("tls.key"), &key, 0o600);
    refused("does not belong to the first certificate");
    write(&files.path("tls.key"), &other, 0o604);
    refused("chmod 600");
    write(&files.path("tls.key"), &other, 0o600);
    write(&files.path("ca/ca.pem"), "", 0o600);
    refused("no PEM with 1 to 7");
    std::fs::remove_file(files.path("policy.toml")).unwrap();
    std::fs::remove_file(files.path("ca/ca.pem")).unwrap();
    refused("the CA certificate: cannot read");
}

#[test]
fn simulated_roots_must_say_so() {
    let setup = Setup { simulated_roots: Some(String::new()), ..Setup::default() };
    let files = Files::new(&setup);
    let two = files.tls.certificate_pem().repeat(2);
    for roots in [String::new(), files.tls.certificate_pem(), two] {
        write(&files.path("roots.pem"), roots, 0o644);
        let output = files.serve(&setup).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("roots.pem"), "{}", stderr(&output));
    }
}

#[test]
fn certificates_do_not_name_every_address() {
    let files = Files::new(&Setup::default());
    let output = crate::steward::command()
        .args(["serve", "--addr", "0.0.0.0:0", "--policy", "p", "--tls-cert", "c"])
        .args(["--tls-key", "k", "--ca-cert", "c", "--ca-key", "k", "--issuance-log", "l"])
        .current_dir(files.dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--url"), "{}", stderr(&output));
}

#[test]
fn a_taken_port_says_what_to_do() {
    let steward = Steward::start(Setup::default());
    let setup = Setup { addr: Some(steward.addr()), ..Setup::default() };
    let output = Files::new(&setup).serve(&setup).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("the port is taken"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn the_interface_answers_what_is_not_about_evidence() {
    let policy = "# the policy\n[certificate]\nlifetime_hours = 2\n";
    let steward = Steward::start(Setup { policy: policy.to_owned(), ..Setup::default() });
    assert_eq!(steward.get("/").status, 200);
    let ca = steward.get("/ca.pem");
    let file = std::fs::read(steward.files.path("ca/ca.pem")).unwrap();
    assert_eq!((ca.status, ca.body), (200, file));
    let digest = Sha256::of(policy.as_bytes()).to_hex();
    let answer = steward.get(&format!("/policy/{digest}"));
    assert_eq!((answer.status, answer.body.as_slice()), (200, policy.as_bytes()));
    for unknown in ["/policy/00", &format!("/policy/{}", "0".repeat(64))] {
        assert_eq!(steward.get(unknown).check(), (404, "steward.policy".to_owned()));
    }
    assert_eq!(steward.get("/nothing").check(), (404, "http.path".to_owned()));
    let ca = steward.post("application/pkcs10", b"");
    assert_eq!(ca.status, 400);
}

#[test]
fn what_is_no_request_is_refused() {
    let steward = Steward::start(Setup::default());
    let check = |status: u16, check: &str| (status, check.to_owned());
    let wrong = steward.post("text/plain", b"x");
    assert_eq!(wrong.check(), check(415, "http.content-type"));
    let garbage = steward.request(b"garbage");
    assert_eq!(garbage.check(), check(400, "request-malformed"));
    let large = steward.request(&vec![0x30; types::limits::REQUEST_BYTES_MAX + 1]);
    assert_eq!(large.check(), check(413, "http.body-size"));
    let huge = steward.request(&vec![0x30; types::limits::BUNDLE_BYTES_MAX + 1]);
    assert_eq!(huge.check(), check(413, "http.body-size"));
    let bundle = steward.post(steward::http::PKCS10_BUNDLE, b"\x30\x00");
    assert_eq!(bundle.check(), check(400, "steward.bundle"));
    let bundle = steward.post(steward::http::PKCS10_BUNDLE, b"\x30\x02\x05\x00");
    assert_eq!(bundle.check(), check(400, "request-malformed"));
    steward.logged(&["refused", "request-malformed"]);
}

#[test]
fn garbage_instead_of_tls_harms_nobody() {
    let steward = Steward::start(Setup::default());
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], b""] {
        let mut stream = TcpStream::connect(steward.addr()).unwrap();
        // It may be gone before all is written.
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"));
    }
    assert_eq!(steward.get("/").status, 200);
    assert_eq!(steward.stop(), Some(0));
}

#[test]
fn a_new_policy_comes_into_force_and_a_bad_one_does_not() {
    let steward = Steward::start(Setup::default());
    let known = |policy: &str| {
        let path = format!("/policy/{}", Sha256::of(policy.as_bytes()).to_hex());
        steward.get(&path).status == 200
    };
    let new = "[certificate]\nlifetime_hours = 1\n";
    assert!(known("") && !known(new));
    write(&steward.files.path("policy.toml"), new, 0o644);
    steward.signal("HUP");
    steward.logged(&["read again"]);
    assert!(known("") && known(new));

    let bad = "[certificate]\nlifetime_hours = 100000\n";
    write(&steward.files.path("policy.toml"), bad, 0o644);
    steward.signal("HUP");
    steward.logged(&["refused", "line 2", &Sha256::of(new.as_bytes()).to_string()]);
    assert!(known(new) && !known(bad));
    assert_eq!(steward.stop(), Some(0));
}

#[test]
fn completions_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let printed = run(&["completions", shell]);
        assert!(printed.status.success());
        assert!(String::from_utf8_lossy(&printed.stdout).contains("insecure-simulated-roots"));
    }
}
