// SPDX-License-Identifier: Apache-2.0

//! Enrolment over Secure Transport, by programs that know nothing of us: curl and OpenSSL.

use std::path::Path;
use std::process::Command;

use ::evidence::claims::{Claims, pubkey_hash_of};
use ::evidence::{Kind, encode_evidence};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::issuance::believing;
use crate::keep::{Keep, SILICON, unnamed};
use crate::nonce::{nonce, request, strict};
use crate::outside::openssl;
use crate::steward::{Steward, write};

const ENROLL: &str = "/.well-known/est/simpleenroll";

/// Runs OpenSSL, which must succeed; `None`: it is not there.
fn ran(arguments: &[&str]) -> Option<Vec<u8>> {
    let output = openssl(arguments)?;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// Runs curl against Steward; what it got. `None`: it is not there.
fn curl(steward: &Steward, arguments: &[&str], path: &str) -> Option<Vec<u8>> {
    let tls = steward.files.path("tls-root.pem");
    write(&tls, steward.files.tls.certificate_pem(), 0o644);
    let mut command = Command::new("curl");
    command.args(["-q", "--silent", "--show-error", "--fail-with-body", "--cacert"]).arg(tls);
    let Ok(output) = command.args(arguments).arg(format!("{}{path}", steward.url)).output() else {
        println!("SKIP curl: the program is not installed");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// The certificates in a certs-only message in base64, as PEM.
fn certificates(dir: &Path, message: &[u8]) -> Option<String> {
    let der = dir.join("message.p7");
    write(&der, STANDARD.decode(message).unwrap(), 0o644);
    let pem = ran(&["pkcs7", "-inform", "DER", "-in", der.to_str()?, "-print_certs"])?;
    Some(String::from_utf8(pem).unwrap())
}

/// The request of OpenSSL's own making, with the evidence that it takes as a file: DER.
fn request_by_openssl(steward: &Steward, dir: &Path) -> Option<Vec<u8>> {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let key = path("key.pem");
    ran(&["ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", &key])?;
    let spki = ran(&["pkey", "-in", &key, "-pubout", "-outform", "DER"])?;
    // What a TEE and the program in it would do.
    let claims = Claims {
        pubkey_hash: pubkey_hash_of(&spki),
        nonce: Some(nonce(steward)),
        workload: Some(unnamed()),
    };
    let parts = Keep::evidence_of(&SILICON, &claims);
    let value = encode_evidence(Kind::Snp, &parts.report, &parts.claims, &parts.endorsements);
    let config = format!(
        "[req]\nprompt = no\ndistinguished_name = none\nreq_extensions = evidence\n[none]\n[evidence]\n2.23.133.5.4.9 = DER:{}\n",
        hex::encode(value)
    );
    write(&dir.join("req.cnf"), config, 0o644);
    let request = path("request.der");
    let config = path("req.cnf");
    ran(&[
        "req", "-new", "-sha384", "-key", &key, "-subj", "/", "-config", &config, "-outform",
        "DER", "-out", &request,
    ])?;
    Some(std::fs::read(request).unwrap())
}

#[test]
fn curl_and_openssl_enrol_by_est() {
    let steward = believing(strict());
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for endpoint in [ENROLL, "/.well-known/est/simplereenroll"] {
        let Some(request) = request_by_openssl(&steward, dir.path()) else { return };
        write(&dir.path().join("request.b64"), STANDARD.encode(request), 0o644);
        let body = format!("@{}", path("request.b64"));
        let header = "Content-Type: application/pkcs10";
        let Some(root) = curl(&steward, &[], "/.well-known/est/cacerts") else { return };
        let sent = ["--header", header, "--data-binary", &body];
        let Some(issued) = curl(&steward, &sent, endpoint) else { return };

        let root = certificates(dir.path(), &root).unwrap();
        let issued = certificates(dir.path(), &issued).unwrap();
        assert_eq!(root.matches("BEGIN CERTIFICATE").count(), 1);
        assert_eq!(issued.matches("BEGIN CERTIFICATE").count(), 1);
        write(&dir.path().join("ca.pem"), root, 0o644);
        write(&dir.path().join("leaf.pem"), issued, 0o644);
        let (ca, leaf) = (path("ca.pem"), path("leaf.pem"));
        ran(&["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", &ca, &leaf]).unwrap();
        let key = ran(&["pkey", "-in", &path("key.pem"), "-pubout"]).unwrap();
        let certified = ran(&["x509", "-in", &leaf, "-noout", "-pubkey"]).unwrap();
        assert_eq!(key, certified);
    }
    let Some(wanted) = curl(&steward, &[], "/.well-known/est/csrattrs") else { return };
    write(&dir.path().join("attributes.der"), STANDARD.decode(wanted).unwrap(), 0o644);
    let shown = ran(&["asn1parse", "-inform", "DER", "-in", &path("attributes.der")]).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    for words in ["id-ecPublicKey", "secp384r1", "2.23.133.5.4.9", "1.2.840.113549.1.9.16.2.59"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn est_answers_as_it_should() {
    let steward = believing(strict());
    let keep = Keep::new();
    let body = |nonce| STANDARD.encode(request(&keep, nonce)).into_bytes();
    let answer = steward.post_to(ENROLL, "application/pkcs10", &body(Some(nonce(&steward))));
    assert_eq!(
        (answer.status, answer.content_type.as_str()),
        (200, "application/pkcs7-mime; smime-type=certs-only")
    );
    let ca = steward.get("/.well-known/est/cacerts");
    assert_eq!((ca.status, ca.content_type.as_str()), (200, "application/pkcs7-mime"));
    let attributes = steward.get("/.well-known/est/csrattrs");
    assert_eq!(attributes.content_type, "application/csrattrs");

    let refused = |media_type, body: &[u8]| steward.post_to(ENROLL, media_type, body).check();
    let no_evidence = STANDARD.encode(keep.request_without_extensions());
    let large = vec![b'A'; 4 * (types::limits::REQUEST_BYTES_MAX / 3 + 1)];
    for (got, expected) in [
        (refused("application/pkcs10", &body(None)), (400, "nonce-missing")),
        (refused("application/pkcs10", no_evidence.as_bytes()), (401, "evidence-missing")),
        (refused("application/pkcs10", &request(&keep, None)), (400, "request-malformed")),
        (refused("application/pkcs10", b""), (400, "request-malformed")),
        (refused("text/plain", &body(None)), (415, "http.content-type")),
        (refused("application/pkcs10", &large), (413, "http.body-size")),
    ] {
        assert_eq!(got, (expected.0, expected.1.to_owned()));
    }
}
