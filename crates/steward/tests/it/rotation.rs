// SPDX-License-Identifier: Apache-2.0

//! A root that stays offline, intermediates in service under it, and changing from one to the next.

use std::path::Path;
use std::sync::Arc;

use chassis::clock::Clock;
use der::Decode as _;
use rustls::pki_types::CertificateDer;
use verify::{Anchors, Usage, identify};
use x509_cert::Certificate;

use crate::keep::{Keep, SILICON, policy, unnamed};
use crate::outside::openssl;
use crate::steward::{Answer, Files, Setup, Steward, Stop, run, stderr, write};

fn setup() -> Setup {
    Setup {
        policy: policy(&[]),
        simulated_roots: Some(SILICON.roots_pem()),
        ca: Some("service"),
        ..Setup::default()
    }
}

fn request() -> Vec<u8> {
    let keep = Keep::new();
    keep.request(&keep.evidence(Some(unnamed())))
}

/// Runs `steward ca …`, which must go well; what it says as JSON.
fn ca(arguments: &[&str]) -> serde_json::Value {
    let done = run(&[&["ca"], arguments, &["--json"]].concat());
    assert!(done.status.success(), "{}", stderr(&done));
    serde_json::from_slice(&done.stdout).unwrap()
}

fn refused(arguments: &[&str]) -> String {
    let done = run(&[&["ca"], arguments].concat());
    assert_eq!(done.status.code(), Some(2), "{}", stderr(&done));
    stderr(&done)
}

/// The root of these files, as arguments.
fn root(files: &Files) -> [String; 4] {
    let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
    ["--root-cert".to_owned(), path("ca/ca.pem"), "--root-key".to_owned(), path("ca/ca.key")]
}

fn with_root<'a>(arguments: &[&'a str], root: &'a [String; 4]) -> Vec<&'a str> {
    arguments.iter().copied().chain(root.iter().map(String::as_str)).collect()
}

/// Whether whoever trusts only the root in `root` takes this answer.
fn trusted(root: &Path, answer: &Answer) {
    let anchors = Anchors::from_pem(&std::fs::read_to_string(root).unwrap()).unwrap();
    let mut chain = answer.certificates();
    // Without the root, which whoever trusts it has.
    assert_eq!(chain.len(), 3);
    chain.remove(0);
    chain.reverse();
    let chain: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
    identify(&chain, &anchors, Clock::System.now(), Usage::Server).unwrap();
}

fn issuer_name(answer: &Answer) -> String {
    let leaf = answer.certificates().pop().unwrap();
    Certificate::from_der(&leaf).unwrap().tbs_certificate().issuer().to_string()
}

#[test]
fn an_intermediate_serves_and_the_next_one_takes_over() {
    let files = Arc::new(Files::new(&setup()));
    let service = files.path("service");
    let service = service.to_str().unwrap();
    let root = root(&files);
    let made = ca(&with_root(&["intermediate", service, "--name", "Example Steward"], &root));
    assert!(made["previous_key_id"].is_null());
    // The root goes offline.
    std::fs::rename(files.path("ca/ca.key"), files.path("offline.key")).unwrap();
    let command = files.serve(&setup());
    let steward = Steward::run(files.clone(), command);
    let before = steward.request(&request());
    trusted(&files.path("service/root.pem"), &before);
    let id = made["key_id"].as_str().unwrap();
    assert_eq!(issuer_name(&before), format!("CN=Example Steward {}", &id[..8]));
    let pem = std::fs::read(files.path("service/ca.pem")).unwrap();
    assert_eq!(steward.get("/ca.pem").body, pem, "issuer and root");

    // Nothing is made without the root's key, and nothing changes.
    let said = refused(&with_root(&["rotate", service], &root));
    assert!(said.contains("cannot read the key file"), "{said}");
    std::fs::rename(files.path("offline.key"), files.path("ca/ca.key")).unwrap();
    let rotated = ca(&with_root(&["rotate", service, "--days", "30"], &root));
    assert_eq!(rotated["previous_key_id"], made["key_id"]);
    assert_eq!(steward.request(&request()).certificates()[1], before.certificates()[1]);
    steward.signal("HUP");
    steward.logged(&["the CA is read", rotated["key_id"].as_str().unwrap()]);
    let after = loop {
        let answer = steward.request(&request());
        if issuer_name(&answer) != issuer_name(&before) {
            break answer;
        }
    };
    for answer in [&before, &after] {
        trusted(&files.path("service/root.pem"), answer);
    }
    assert!(issuer_name(&after).starts_with("CN=Example Steward "), "the name stays");

    // Both also for openssl, which gets the intermediate from the chain.
    for (name, answer) in [("before", &before), ("after", &after)] {
        let [_, issuer, leaf] = <[Vec<u8>; 3]>::try_from(answer.certificates()).unwrap();
        let path = |part: &str| files.path(&format!("{name}-{part}.pem"));
        for (part, der) in [("issuer", issuer), ("leaf", leaf)] {
            let pem = der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, &der);
            write(&path(part), pem.unwrap(), 0o644);
        }
        let (root, issuer, leaf) = (files.path("service/root.pem"), path("issuer"), path("leaf"));
        let arguments = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"];
        let files = [root.to_str(), Some("-untrusted"), issuer.to_str(), leaf.to_str()];
        let arguments: Vec<&str> =
            arguments.into_iter().chain(files.into_iter().flatten()).collect();
        if let Some(output) = openssl(&arguments) {
            assert!(output.status.success(), "{}", stderr(&output));
        }
    }
    let verified = run(&["log", "verify", files.path("log").to_str().unwrap()]);
    assert!(verified.status.success());
}

#[test]
fn a_bad_pair_is_refused_and_the_old_one_stays() {
    let files = Arc::new(Files::new(&setup()));
    let service = files.path("service");
    let root = root(&files);
    let arguments = ["intermediate", service.to_str().unwrap(), "--name", "Example"];
    let made = ca(&with_root(&arguments, &root));
    let command = files.serve(&setup());
    let steward = Steward::run(files.clone(), command);
    let answer = steward.request(&request());
    let (before, mut forged) = (issuer_name(&answer), answer.certificates().remove(1));
    let path = |name: &str| files.path(&format!("service/current/{name}"));
    let (chain, key) =
        (std::fs::read(path("ca.pem")).unwrap(), std::fs::read(path("ca.key")).unwrap());
    let other = std::fs::read(files.path("tls.key")).unwrap();
    *forged.last_mut().unwrap() ^= 1;
    let pem =
        |der: &[u8]| der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der).unwrap();
    let root_pem = std::fs::read_to_string(files.path("service/root.pem")).unwrap();
    for (name, bytes, mode, words) in [
        ("ca.key", other, 0o600, "does not belong"),
        ("ca.key", key.clone(), 0o644, "chmod 600"),
        (
            "ca.pem",
            format!("{}{root_pem}", pem(&forged)).into_bytes(),
            0o644,
            "signature of certificate 1",
        ),
        ("ca.pem", b"none".to_vec(), 0o644, "no PEM"),
    ] {
        write(&path(name), &bytes, mode);
        steward.signal("HUP");
        steward.logged(&["the new CA is refused", words]);
        assert_eq!(issuer_name(&steward.request(&request())), before);
        write(&path("ca.pem"), &chain, 0o644);
        write(&path("ca.key"), &key, 0o600);
    }
    steward.signal("HUP");
    steward.logged(&["the CA is read", made["key_id"].as_str().unwrap()]);
    assert_eq!(steward.stop(), Some(0));
}

#[test]
fn every_answer_while_the_ca_changes_is_of_one_piece() {
    let files = Arc::new(Files::new(&setup()));
    let service = files.path("service");
    let service = service.to_str().unwrap();
    let root = root(&files);
    ca(&with_root(&["intermediate", service, "--name", "Example"], &root));
    let command = files.serve(&setup());
    let steward = Steward::run(files.clone(), command);
    let stop = Stop::default();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .map(|_| {
                let (steward, stop, files) = (&steward, &stop, &files);
                scope.spawn(move || {
                    let (request, mut issuers) = (request(), std::collections::HashSet::new());
                    while !stop.is_set() {
                        let answer = steward.request(&request);
                        trusted(&files.path("service/root.pem"), &answer);
                        issuers.insert(issuer_name(&answer));
                    }
                    issuers.len()
                })
            })
            .collect();
        let stopping = stop.on_drop();
        for _ in 0..5 {
            let rotated = ca(&with_root(&["rotate", service], &root));
            steward.signal("HUP");
            steward.logged(&["the CA is read", rotated["key_id"].as_str().unwrap()]);
        }
        drop(stopping);
        for client in clients {
            assert!(client.join().unwrap() > 1, "clients saw no change");
        }
    });
}

#[test]
fn a_root_on_another_machine_signs_a_request() {
    let (files, there) = (Files::new(&setup()), Files::new(&setup()));
    let service = files.path("service");
    let service = service.to_str().unwrap();
    let asked = ca(&["intermediate", service, "--name", "Example Steward", "--csr-only"]);
    let csr = asked["request"].as_str().unwrap();
    assert!(!files.path("service/ca.pem").exists(), "nothing is in service yet");
    let chain = there.path("chain.pem");
    let chain = chain.to_str().unwrap();
    let root = root(&there);
    let signed = run(&with_root(&["ca", "sign", csr, "--out", chain], &root));
    assert!(signed.status.success(), "{}", stderr(&signed));
    let again = run(&with_root(&["ca", "sign", csr, "--out", chain], &root));
    assert_eq!(again.status.code(), Some(1), "not over a file that is there");
    let installed = ca(&["install", service, chain]);
    assert_eq!(installed["key_id"], asked["key_id"]);

    // The next one the same way, with another name.
    let asked = ca(&["rotate", service, "--csr-only"]);
    let csr = asked["request"].as_str().unwrap();
    let printed = run(&with_root(&["ca", "sign", csr, "--name", "Other"], &root));
    let next = files.path("next.pem");
    write(&next, &printed.stdout, 0o644);
    let next = next.to_str().unwrap();
    assert_eq!(ca(&["install", service, next])["previous_key_id"], installed["key_id"]);
    // And back, as long as the first one is valid.
    assert_eq!(ca(&["install", service, chain])["previous_key_id"], asked["key_id"]);
    ca(&["install", service, next]);

    let files = Arc::new(files);
    let command = files.serve(&setup());
    let steward = Steward::run(files.clone(), command);
    let answer = steward.request(&request());
    trusted(&there.path("ca/ca.pem"), &answer);
    assert!(issuer_name(&answer).starts_with("CN=Other "));

    // What does not fit is refused.
    let said = refused(&["install", service, there.path("ca/ca.pem").to_str().unwrap()]);
    assert!(said.contains("is not in"), "{said}");
    write(&next_of(&files), "garbage", 0o644);
    let said = refused(&with_root(&["sign", next_of(&files).to_str().unwrap()], &root));
    assert!(said.contains("certificate request"), "{said}");
    let said = refused(&["intermediate", service, "--name", "Again", "--csr-only"]);
    assert!(said.contains("rotate"), "{said}");
    let empty = files.path("empty");
    let said = refused(&["rotate", empty.to_str().unwrap(), "--csr-only"]);
    assert!(said.contains("intermediate"), "{said}");
    let said = refused(&["rotate", service]);
    assert!(said.contains("--csr-only"), "{said}");
}

fn next_of(files: &Files) -> std::path::PathBuf {
    files.path("no-request.csr")
}

#[test]
fn a_root_that_others_made_signs_a_request() {
    let files = Arc::new(Files::new(&setup()));
    let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
    let service = path("service");
    let asked = ca(&["intermediate", &service, "--name", "Example", "--csr-only"]);
    let csr = asked["request"].as_str().unwrap();
    write(
        &files.path("extensions"),
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
        0o644,
    );
    for kind in ["rsa:2048", "ed25519"] {
        let (root, key, chain) =
            (path(&format!("{kind}.pem")), path(&format!("{kind}.key")), path("chain.pem"));
        let Some(made) = openssl(&[
            "req",
            "-x509",
            "-newkey",
            kind,
            "-nodes",
            "-subj",
            "/O=Corporation/CN=Root",
            "-days",
            "3650",
            "-addext",
            "keyUsage=critical,keyCertSign",
            "-keyout",
            &key,
            "-out",
            &root,
        ]) else {
            return;
        };
        assert!(made.status.success(), "{}", stderr(&made));
        let signed = openssl(&[
            "x509",
            "-req",
            "-in",
            csr,
            "-CA",
            &root,
            "-CAkey",
            &key,
            "-days",
            "90",
            "-extfile",
            &path("extensions"),
            "-out",
            &path("issuer.pem"),
        ])
        .unwrap();
        assert!(signed.status.success(), "{}", stderr(&signed));
        let read = |name: &str| std::fs::read_to_string(name).unwrap();
        write(Path::new(&chain), format!("{}{}", read(&path("issuer.pem")), read(&root)), 0o644);
        ca(&["install", &service, &chain]);
        let command = files.serve(&setup());
        let steward = Steward::run(files.clone(), command);
        trusted(Path::new(&root), &steward.request(&request()));
        assert_eq!(steward.stop(), Some(0));
    }
}
