// SPDX-License-Identifier: Apache-2.0

//! What Steward publishes about its issuers: certificates, and revocation lists for those who want them.

use std::path::Path;
use std::sync::Arc;

use chassis::clock::Clock;
use der::Decode as _;
use rustls::pki_types::CertificateDer;
use verify::{Anchors, Usage, VerifyError, identify};
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{AuthorityInfoAccessSyntax, CrlDistributionPoints};

use crate::keep::{Keep, SILICON, policy, unnamed};
use crate::outside::openssl;
use crate::steward::{Answer, Files, Setup, Steward, run, stderr, write};

const URL: &str = "https://steward.example.com";

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

fn ca(arguments: &[&str]) -> Result<serde_json::Value, String> {
    let done = run(&[&["ca"], arguments, &["--json"]].concat());
    if done.status.success() {
        Ok(serde_json::from_slice(&done.stdout).unwrap())
    } else {
        Err(stderr(&done))
    }
}

/// A CA with a root that stays elsewhere.
struct Place {
    files: Arc<Files>,
    root: [String; 4],
    service: String,
}

impl Place {
    fn new() -> Self {
        let files = Arc::new(Files::new(&setup()));
        let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
        let (cert, key) = (path("ca/ca.pem"), path("ca/ca.key"));
        let root = ["--root-cert".to_owned(), cert, "--root-key".to_owned(), key];
        let this = Self { root, service: path("service"), files };
        this.change(&["intermediate", &this.service, "--name", "Example"]);
        this
    }

    fn change(&self, arguments: &[&str]) {
        let root: Vec<&str> = self.root.iter().map(String::as_str).collect();
        ca(&[arguments, &root].concat()).unwrap();
    }

    fn rotate(&self) {
        self.change(&["rotate", &self.service]);
    }

    /// `steward ca crl` for the issuer in service.
    fn list(&self, more: &[&str]) -> Result<serde_json::Value, String> {
        let path = |name: &str| self.files.path(name).to_str().unwrap().to_owned();
        let (dir, cert, key) = (path("lists"), path("service/ca.pem"), path("service/ca.key"));
        let arguments = ["crl", &dir, "--ca-cert", &cert, "--ca-key", &key];
        ca(&[&arguments[..], more].concat())
    }

    fn serve(&self, lists: bool) -> Steward {
        let mut command = self.files.serve(&setup());
        if lists {
            command.arg("--crl-dir").arg(self.files.path("lists"));
        }
        Steward::run(self.files.clone(), command)
    }

    fn anchors(&self) -> Anchors {
        let root = std::fs::read_to_string(self.files.path("service/root.pem")).unwrap();
        Anchors::from_pem(&root).unwrap()
    }
}

fn leaf(answer: &Answer) -> Certificate {
    Certificate::from_der(answer.certificates().last().unwrap()).unwrap()
}

fn serial(answer: &Answer) -> String {
    hex::encode(leaf(answer).tbs_certificate().serial_number().as_bytes())
}

/// Where the certificate says that its issuer is, below Steward's address.
fn issuer_path(answer: &Answer) -> String {
    let (_, access) = leaf(answer)
        .tbs_certificate()
        .get_extension::<AuthorityInfoAccessSyntax>()
        .unwrap()
        .unwrap();
    let GeneralName::UniformResourceIdentifier(uri) = &access.0[0].access_location else {
        panic!("no URI");
    };
    uri.as_str().strip_prefix(URL).unwrap().to_owned()
}

/// Where the certificate says that its revocation list is, below Steward's address.
fn list_path(answer: &Answer) -> Option<String> {
    let leaf = leaf(answer);
    let (_, points) = leaf.tbs_certificate().get_extension::<CrlDistributionPoints>().unwrap()?;
    let Some(DistributionPointName::FullName(names)) = &points.0[0].distribution_point else {
        panic!("no name");
    };
    let GeneralName::UniformResourceIdentifier(uri) = &names[0] else { panic!("no URI") };
    Some(uri.as_str().strip_prefix(URL).unwrap().to_owned())
}

fn says_that_nobody_revokes(answer: &Answer) -> bool {
    let oid = evidence::result::NO_REV_AVAIL;
    let leaf = leaf(answer);
    leaf.tbs_certificate().extensions().unwrap().iter().any(|e| e.extn_id == oid)
}

fn judged(anchors: &Anchors, answer: &Answer) -> Result<(), VerifyError> {
    let mut chain = answer.certificates();
    chain.remove(0);
    chain.reverse();
    let chain: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
    identify(&chain, anchors, Clock::System.now(), Usage::Server).map(drop)
}

#[test]
fn every_issuer_stays_where_certificates_say() {
    let place = Place::new();
    let steward = place.serve(false);
    let before = steward.request(&request());
    assert!(says_that_nobody_revokes(&before) && list_path(&before).is_none());
    let fetched = |steward: &Steward, answer: &Answer| {
        let found = steward.get(&issuer_path(answer));
        assert_eq!((found.status, found.content_type.as_str()), (200, "application/pkix-cert"));
        assert_eq!(found.body, answer.certificates()[1]);
    };
    fetched(&steward, &before);
    place.rotate();
    steward.signal("HUP");
    let after = loop {
        let answer = steward.request(&request());
        if issuer_path(&answer) != issuer_path(&before) {
            break answer;
        }
    };
    for answer in [&before, &after] {
        fetched(&steward, answer);
    }
    let none = steward.get(&issuer_path(&after).replace(".cer", ".crl"));
    assert_eq!(none.check(), (404, "steward.ca".to_owned()));
    assert_eq!(steward.stop(), Some(0));
    let steward = place.serve(false);
    for answer in [&before, &after] {
        fetched(&steward, answer);
    }
}

#[test]
fn a_certificate_is_revoked() {
    let place = Place::new();
    let mut command = place.files.serve(&setup());
    let refused = command.arg("--crl-dir").arg(place.files.path("lists")).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("steward ca crl"), "{}", stderr(&refused));
    assert_eq!(place.list(&[]).unwrap()["revoked"], 0);
    let steward = place.serve(true);
    let (bad, good) = (steward.request(&request()), steward.request(&request()));
    assert!(!says_that_nobody_revokes(&bad));
    let path = list_path(&bad).unwrap();
    let fetch = || {
        let found = steward.get(&path);
        assert_eq!((found.status, found.content_type.as_str()), (200, "application/pkix-crl"));
        found.body
    };
    let anchors = |list: &[u8]| {
        let mut anchors = place.anchors();
        anchors.crls.add(list).unwrap();
        anchors
    };
    let empty = fetch();
    for answer in [&bad, &good] {
        judged(&anchors(&empty), answer).unwrap();
    }

    let log = place.files.path("log");
    let log = log.to_str().unwrap();
    let error = place.list(&["--issuance-log", log, "--revoke", "0011"]).unwrap_err();
    assert!(error.contains("no certificate 0011"), "{error}");
    let error = place.list(&["--revoke", "xyz"]).unwrap_err();
    assert!(error.contains("no serial number"), "{error}");
    let bad_serial = serial(&bad).to_uppercase();
    let made = place.list(&["--issuance-log", log, "--revoke", &bad_serial]).unwrap();
    assert_eq!(made["revoked"], 1);
    steward.signal("HUP");
    steward.logged(&["a revocation list is read", "revoked=1"]);
    let list = loop {
        let list = fetch();
        if list != empty {
            break list;
        }
    };
    assert!(matches!(judged(&anchors(&list), &bad), Err(VerifyError::Revocation(_))));
    judged(&anchors(&list), &good).unwrap();

    // Also by openssl.
    write(&place.files.path("list.crl"), &list, 0o644);
    let path = |name: &str| place.files.path(name).to_str().unwrap().to_owned();
    for (answer, expected) in [(&bad, false), (&good, true)] {
        let [_, issuer, leaf] = <[Vec<u8>; 3]>::try_from(answer.certificates()).unwrap();
        for (name, der) in [("issuer.pem", issuer), ("leaf.pem", leaf)] {
            let pem = der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, &der);
            write(Path::new(&path(name)), pem.unwrap(), 0o644);
        }
        let (root, list) = (path("service/root.pem"), path("list.crl"));
        let arguments =
            ["verify", "-x509_strict", "-crl_check", "-CAfile", &root, "-CRLfile", &list];
        let (issuer, leaf) = (path("issuer.pem"), path("leaf.pem"));
        let arguments = [&arguments[..], &["-untrusted", &issuer, &leaf]].concat();
        let Some(output) = openssl(&arguments) else { return };
        assert_eq!(output.status.success(), expected, "{}", stderr(&output));
        assert_eq!(stderr(&output).contains("certificate revoked"), !expected);
    }
}

#[test]
fn an_issuer_without_a_list_does_not_take_over() {
    let place = Place::new();
    place.list(&[]).unwrap();
    let steward = place.serve(true);
    let before = steward.request(&request());
    place.rotate();
    steward.signal("HUP");
    steward.logged(&["the new CA is refused", "no revocation list"]);
    assert_eq!(issuer_path(&steward.request(&request())), issuer_path(&before));
    place.list(&["--hours", "1"]).unwrap();
    steward.signal("HUP");
    steward.logged(&["the CA is read"]);
    let after = loop {
        let answer = steward.request(&request());
        if issuer_path(&answer) != issuer_path(&before) {
            break answer;
        }
    };
    for answer in [&before, &after] {
        assert_eq!(steward.get(&list_path(answer).unwrap()).status, 200);
    }
    // A list that somebody tampered with is not taken, and the one before it stays.
    let path = place.files.path(&format!("lists{}", &list_path(&after).unwrap()[3..]));
    let mut list = std::fs::read(&path).unwrap();
    *list.last_mut().unwrap() ^= 1;
    write(&path, &list, 0o644);
    steward.signal("HUP");
    steward.logged(&["the new CA is refused", "not signed by this issuer"]);
    assert_ne!(steward.get(&list_path(&after).unwrap()).body, list);
    assert_eq!(steward.stop(), Some(0));
}
