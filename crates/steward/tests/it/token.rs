// SPDX-License-Identifier: Apache-2.0

//! A CA whose key is in a token: Debian's SoftHSM, by PKCS#11.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm,
};
use chassis::clock::Clock;
use rustls::pki_types::CertificateDer;
use verify::{Anchors, Usage, identify};

use crate::keep::{Keep, SILICON, policy, unnamed};
use crate::steward::{Answer, Files, Setup, Steward, Stop, command, stderr, wait_until, write};

const LIBRARY: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "271828";

fn setup() -> Setup {
    Setup {
        policy: policy(&[]),
        simulated_roots: Some(SILICON.roots_pem()),
        ca: Some("hsm"),
        ..Setup::default()
    }
}

fn request() -> Vec<u8> {
    let keep = Keep::new();
    keep.request(&keep.evidence(Some(unnamed())))
}

/// SoftHSM with one token.
struct Token {
    files: Arc<Files>,
}

impl Token {
    /// A token, if SoftHSM is installed.
    fn new(test: &str) -> Option<Self> {
        let there = Command::new("softhsm2-util").arg("--version").output().is_ok();
        if !there || !Path::new(LIBRARY).exists() {
            eprintln!("SKIP {test}: Debian's package softhsm2 is not installed");
            return None;
        }
        let this = Self { files: Arc::new(Files::new(&setup())) };
        let tokens = this.files.path("tokens");
        std::fs::create_dir(&tokens).unwrap();
        let settings = format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display());
        write(&this.files.path("softhsm.conf"), settings, 0o644);
        write(&this.files.path("pin"), format!("{PIN}\n"), 0o600);
        this.util(&["--init-token", "--free", "--label", "steward", "--so-pin", "31415926"]);
        Some(this)
    }

    fn settings(&self, command: &mut Command) {
        command.env("SOFTHSM2_CONF", self.files.path("softhsm.conf"));
    }

    fn util(&self, arguments: &[&str]) {
        let mut command = Command::new("softhsm2-util");
        self.settings(&mut command);
        let done = command.args(arguments).args(["--pin", PIN]).output().unwrap();
        assert!(done.status.success(), "{}", stderr(&done));
    }

    /// Puts a new key into the token, and forgets it elsewhere.
    fn key(&self, label: &str, id: &str, algorithm: &'static EcdsaSigningAlgorithm) {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        let path = self.files.path("imported.key");
        let pem = der::pem::encode_string("PRIVATE KEY", der::pem::LineEnding::LF, der.as_ref());
        write(&path, pem.unwrap(), 0o600);
        let path = path.to_str().unwrap();
        self.util(&["--import", path, "--token", "steward", "--label", label, "--id", id]);
        std::fs::remove_file(path).unwrap();
    }

    fn uri(&self, object: &str) -> String {
        let pin = self.files.path("pin");
        format!(
            "pkcs11:token=steward;object={object}?module-path={LIBRARY}&pin-source=file:{}",
            pin.display()
        )
    }

    /// Runs `steward ca …`.
    fn ca(&self, arguments: &[&str]) -> Output {
        let mut command = command();
        self.settings(&mut command);
        command.arg("ca").args(arguments).output().unwrap()
    }

    /// Makes a root in the directory `hsm` with a key of the token.
    fn root(&self, object: &str) {
        let dir = self.files.path("hsm");
        let _ = std::fs::remove_dir_all(&dir);
        let dir = dir.to_str().unwrap();
        let made = self.ca(&["init", dir, "--name", "In a token", "--key", &self.uri(object)]);
        assert!(made.status.success(), "{}", stderr(&made));
    }

    fn serve(&self) -> Steward {
        let mut command = self.files.serve(&setup());
        self.settings(&mut command);
        Steward::run(self.files.clone(), command)
    }
}

fn trusted(root: &Path, answer: &Answer) {
    let anchors = Anchors::from_pem(&std::fs::read_to_string(root).unwrap()).unwrap();
    let mut chain = answer.certificates();
    chain.reverse();
    let chain: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
    identify(&chain, &anchors, Clock::System.now(), Usage::Server).unwrap();
}

#[test]
fn keys_in_a_token_sign() {
    let Some(token) = Token::new("keys_in_a_token_sign") else { return };
    token.key("small", "01", &ECDSA_P256_SHA256_ASN1_SIGNING);
    token.key("large", "02", &ECDSA_P384_SHA384_ASN1_SIGNING);
    for object in ["small", "large"] {
        token.root(object);
        let root = token.files.path("hsm/ca.pem");
        let key = std::fs::read_to_string(token.files.path("hsm/ca.key")).unwrap();
        assert_eq!(key.trim_end(), token.uri(object), "no key leaves the token");
        let steward = token.serve();
        for _ in 0..5 {
            trusted(&root, &steward.request(&request()));
        }
        assert_eq!(steward.stop(), Some(0));
    }
}

#[test]
fn a_token_goes_away_and_comes_back() {
    let Some(token) = Token::new("a_token_goes_away_and_comes_back") else { return };
    token.key("ca", "01", &ECDSA_P384_SHA384_ASN1_SIGNING);
    token.root("ca");
    let root = token.files.path("hsm/ca.pem");
    let steward = token.serve();
    for round in 0..3 {
        trusted(&root, &steward.request(&request()));
        std::fs::rename(token.files.path("tokens"), token.files.path("away")).unwrap();
        let refused = steward.request(&request());
        assert_eq!(refused.check(), (503, "steward.key".to_owned()), "round {round}");
        assert_eq!(refused.retry_after.as_deref(), Some("1"));
        steward.logged(&["the token does not sign"]);
        // At once again, within the pause: no answer from the token is needed for that.
        assert_eq!(steward.request(&request()).status, 503);
        assert_eq!(steward.get("/").status, 200, "Steward itself is well");
        std::fs::rename(token.files.path("away"), token.files.path("tokens")).unwrap();
        let start = Instant::now();
        let back = loop {
            let answer = steward.request(&request());
            if answer.status == 200 {
                break answer;
            }
            assert_eq!(answer.check(), (503, "steward.key".to_owned()));
            assert!(start.elapsed() < Duration::from_secs(30), "it does not come back");
        };
        trusted(&root, &back);
        steward.logged(&["the token is back"]);
    }
    assert_eq!(steward.stop(), Some(0));
}

#[test]
fn many_requests_survive_a_token_that_comes_and_goes() {
    let test = "many_requests_survive_a_token_that_comes_and_goes";
    let Some(token) = Token::new(test) else { return };
    token.key("ca", "01", &ECDSA_P256_SHA256_ASN1_SIGNING);
    token.root("ca");
    let root = token.files.path("hsm/ca.pem");
    let steward = token.serve();
    let (stop, issued) = (Stop::default(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let request = request();
                while !stop.is_set() {
                    let answer = steward.request(&request);
                    if answer.status == 200 {
                        trusted(&root, &answer);
                        issued.fetch_add(1, Ordering::SeqCst);
                    } else {
                        assert_eq!(answer.check(), (503, "steward.key".to_owned()));
                    }
                }
            });
        }
        let _stop = stop.on_drop();
        for _ in 0..5 {
            let enough = issued.load(Ordering::SeqCst) + 10;
            wait_until(|| issued.load(Ordering::SeqCst) >= enough);
            std::fs::rename(token.files.path("tokens"), token.files.path("away")).unwrap();
            steward.logged(&["the token does not sign"]);
            std::fs::rename(token.files.path("away"), token.files.path("tokens")).unwrap();
            steward.logged(&["the token is back"]);
        }
    });
    assert_eq!(steward.stop(), Some(0));
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let Some(token) = Token::new("a_wrong_pin_is_tried_once") else { return };
    token.key("ca", "01", &ECDSA_P384_SHA384_ASN1_SIGNING);
    token.root("ca");
    let steward = token.serve();
    steward.request(&request()).certificates();
    write(&token.files.path("pin"), "000000", 0o600);
    std::fs::rename(token.files.path("tokens"), token.files.path("away")).unwrap();
    assert_eq!(steward.request(&request()).status, 503);
    steward.logged(&["the token does not sign", "lasting=false"]);
    std::fs::rename(token.files.path("away"), token.files.path("tokens")).unwrap();
    steward.logged_while(&["the token does not sign", "lasting=true", "PIN"], || {
        assert_eq!(steward.request(&request()).check(), (503, "steward.key".to_owned()));
    });
    // The right one does not help by itself: nobody tries it before the operator says so.
    write(&token.files.path("pin"), PIN, 0o600);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(300) {
        assert_eq!(steward.request(&request()).status, 503);
    }
    steward.signal("HUP");
    steward.logged(&["the CA is read"]);
    while steward.request(&request()).status != 200 {
        assert!(start.elapsed() < Duration::from_secs(30), "it does not come back");
    }
    assert_eq!(steward.stop(), Some(0));
}

#[test]
fn an_intermediate_in_a_token_is_replaced_while_it_serves() {
    let test = "an_intermediate_in_a_token_is_replaced_while_it_serves";
    let Some(token) = Token::new(test) else { return };
    token.key("first", "01", &ECDSA_P256_SHA256_ASN1_SIGNING);
    token.key("second", "02", &ECDSA_P384_SHA384_ASN1_SIGNING);
    let path = |name: &str| token.files.path(name).to_str().unwrap().to_owned();
    let (dir, cert, key) = (path("hsm"), path("ca/ca.pem"), path("ca/ca.key"));
    let root = ["--root-cert", &cert, "--root-key", &key];
    let uri = token.uri("first");
    let made =
        token.ca(&[&["intermediate", &dir, "--name", "I", "--key", &uri][..], &root].concat());
    assert!(made.status.success(), "{}", stderr(&made));
    let steward = token.serve();
    let before = steward.request(&request());
    let uri = token.uri("second");
    let made = token.ca(&[&["rotate", &dir, "--key", &uri][..], &root].concat());
    assert!(made.status.success(), "{}", stderr(&made));
    steward.signal("HUP");
    // The first CA's line, then the second's.
    steward.logged(&["the CA is read"]);
    steward.logged(&["the CA is read"]);
    let after = loop {
        let answer = steward.request(&request());
        if answer.certificates()[1] != before.certificates()[1] {
            break answer;
        }
    };
    for answer in [&before, &after] {
        trusted(&token.files.path("hsm/root.pem"), answer);
    }
    assert_eq!(steward.stop(), Some(0));
}

#[test]
fn what_cannot_be_used_is_said() {
    let Some(token) = Token::new("what_cannot_be_used_is_said") else { return };
    token.key("ca", "01", &ECDSA_P384_SHA384_ASN1_SIGNING);
    let refused = |uri: &str, words: &str| {
        let dir = token.files.path("none");
        let made = token.ca(&["init", dir.to_str().unwrap(), "--name", "X", "--key", uri]);
        assert_eq!(made.status.code(), Some(2), "{}", stderr(&made));
        let said = stderr(&made);
        assert!(said.contains(words) && !said.contains(PIN), "{uri}: {said}");
        assert!(!dir.exists());
    };
    let good = token.uri("ca");
    refused(&token.uri("other"), "holds no such");
    refused(&good.replace("token=steward", "token=other"), "the token is not there");
    refused(&good.replace(LIBRARY, "/usr/lib/none.so"), "/usr/lib/none.so");
    refused(&good.replace(LIBRARY, "/lib/x86_64-linux-gnu/libm.so.6"), "C_GetFunctionList");
    refused(&format!("{good}&pin-value={PIN}"), "others can read it");
    let pin = token.files.path("pin");
    write(&pin, PIN, 0o644);
    refused(&good, "chmod 600");
    write(&pin, "000000", 0o600);
    refused(&good, "PIN");
    std::fs::remove_file(&pin).unwrap();
    refused(&good, "cannot read the key file");
    let (uri, _) = good.split_once("&pin-source").unwrap();
    refused(uri, "holds no such");
    // Two keys of one name: which one is meant?
    token.key("ca", "02", &ECDSA_P384_SHA384_ASN1_SIGNING);
    write(&pin, PIN, 0o600);
    refused(&good, "2 such objects");
    token.root("ca;id=%02");
}
