// SPDX-License-Identifier: Apache-2.0

//! Attestation results without certificates: signed JWTs.

use std::process::Command;

use ::evidence::claims::{Claims, pubkey_hash_of};
use ::evidence::cmw::{self, Form};
use ::evidence::{Evidence, Kind};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use x509_cert::Certificate;

use crate::issuance::believing;
use crate::keep::{Keep, MEASUREMENT, SILICON, policy, unnamed};
use crate::nonce::{nonce, strict};
use crate::steward::{Answer, Steward, write};

const APPRAISE: &str = "/v1/appraise";

/// Evidence of `keep`'s key, with this nonce.
fn evidence(keep: &Keep, nonce: Option<Vec<u8>>) -> Evidence {
    let parts = Keep::evidence_of(&SILICON, &Claims { nonce, ..keep.claims(Some(unnamed())) });
    Evidence {
        kind: Kind::Snp,
        statement: parts.report,
        claims: Some(parts.claims),
        endorsements: parts.endorsements,
    }
}

fn ask(steward: &Steward, evidence: &Evidence) -> Answer {
    steward.post_to(APPRAISE, cmw::JSON, &cmw::encode(Form::Json, evidence))
}

/// Header and claims of a JWT whose signature and chain are this Steward's.
fn read(steward: &Steward, answer: &Answer) -> [Value; 2] {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert!(answer.content_type.starts_with("application/eat+jwt; eat_profile="));
    let jwt = String::from_utf8(answer.body.clone()).unwrap();
    let (input, signature) = jwt.rsplit_once('.').unwrap();
    let (header, claims) = input.split_once('.').unwrap();
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let [header, claims] =
        [header, claims].map(|part| serde_json::from_slice::<Value>(&decode(part)).unwrap());
    let issuer = STANDARD.decode(header["x5c"][0].as_str().unwrap()).unwrap();
    let pem = std::fs::read(steward.files.path("ca/ca.pem")).unwrap();
    let (_, ca) = der::pem::decode_vec(&pem).unwrap();
    assert_eq!(issuer, ca);
    let issuer: Certificate = der::Decode::from_der(&issuer).unwrap();
    let key = issuer.tbs_certificate().subject_public_key_info();
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key.subject_public_key.raw_bytes())
        .verify(input.as_bytes(), &decode(signature))
        .unwrap();
    assert_eq!((&header["alg"], &header["typ"]), (&"ES384".into(), &"eat+jwt".into()));
    [header, claims]
}

#[test]
fn a_result_is_a_signed_jwt_about_key_and_nonce() {
    let steward = believing(strict());
    let keep = Keep::new();
    let fresh = nonce(&steward);
    let good = evidence(&keep, Some(fresh.clone()));
    let [_, claims] = read(&steward, &ask(&steward, &good));
    assert_eq!(claims["iss"], "https://steward.example.com");
    assert_eq!(claims["eat_profile"], "tag:ietf.org,2026:rats/ear#04");
    assert_eq!(claims["eat_nonce"], URL_SAFE_NO_PAD.encode(fresh));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 86_400);
    assert_eq!(claims["enarx.bound"]["pubkey_hash"], hex::encode(pubkey_hash_of(&keep.spki)));
    let keep_says = &claims["submods"]["keep"];
    assert_eq!(keep_says["ear.status"], "contraindicated");
    assert_eq!(keep_says["enarx"]["measurement"], hex::encode(MEASUREMENT));
    assert_eq!(keep_says["enarx"]["relaxations"], Value::Array(Vec::new()));
    steward.logged(&["appraised", "snp"]);
    // The nonce serves for one thing.
    assert_eq!(ask(&steward, &good).check(), (400, "nonce".to_owned()));

    // The other ways to send it.
    for form in [Form::Cbor, Form::Json] {
        let media_type = if form == Form::Cbor { cmw::CBOR } else { cmw::JSON };
        let whole = evidence(&keep, Some(nonce(&steward)));
        let record = cmw::encode_record(form, &whole).unwrap();
        read(&steward, &steward.post_to(APPRAISE, media_type, &record));
    }
    let Evidence { statement, claims, endorsements, .. } = evidence(&keep, Some(nonce(&steward)));
    let container =
        ::evidence::encode_evidence(Kind::Snp, &statement, &claims.unwrap(), &endorsements);
    read(&steward, &steward.post_to(APPRAISE, cmw::EVIDENCE, &container));
}

#[test]
fn what_is_not_appraised() {
    let steward = believing(strict());
    let keep = Keep::new();
    let fresh = nonce(&steward);
    let mut flipped = evidence(&keep, Some(fresh.clone()));
    flipped.statement[0x90] ^= 1;
    let mut other = evidence(&keep, Some(fresh.clone()));
    *other.claims.as_mut().unwrap().last_mut().unwrap() ^= 1;
    let without = Evidence { claims: None, ..evidence(&keep, Some(fresh)) };
    let large = vec![b' '; types::limits::REQUEST_BYTES_MAX + 1];
    let send = |media_type, body: &[u8]| steward.post_to(APPRAISE, media_type, body).check();
    for (got, expected) in [
        (ask(&steward, &flipped).check(), (400, "report-signature")),
        (ask(&steward, &other).check(), (400, "key-binding")),
        (ask(&steward, &evidence(&keep, None)).check(), (400, "nonce-missing")),
        // Without claims it is of any age.
        (ask(&steward, &without).check(), (400, "nonce-missing")),
        (send(cmw::JSON, b"{}"), (400, "evidence-malformed")),
        (send(cmw::CBOR, b""), (400, "evidence-malformed")),
        (send("application/vnd.enarx.snp", b""), (400, "evidence-malformed")),
        (send("application/json", b"{}"), (415, "http.content-type")),
        (send(cmw::JSON, &large), (413, "http.body-size")),
    ] {
        assert_eq!(got, (expected.0, expected.1.to_owned()));
    }
    steward.logged(&["refused", "report-signature"]);
}

#[test]
fn evidence_of_any_age_says_so() {
    let steward = believing(policy(&[]));
    let keep = Keep::new();
    let without = Evidence { claims: None, ..evidence(&keep, None) };
    let [_, claims] = read(&steward, &ask(&steward, &without));
    let facts = &claims["submods"]["keep"]["enarx"];
    assert_eq!(facts["relaxations"], serde_json::json!(["nonce-missing"]));
    let report_data = hex::encode(&without.statement[0x50..0x90]);
    assert_eq!(claims["enarx.bound"]["report_data"], report_data);
    assert_eq!(claims.get("eat_nonce"), None);
}

#[test]
fn another_library_verifies_the_jwt() {
    let steward = believing(strict());
    let answer = ask(&steward, &evidence(&Keep::new(), Some(nonce(&steward))));
    let jwt = String::from_utf8(answer.body).unwrap();
    let program = "\
import sys, jwt
from cryptography import x509
ca, token = sys.argv[1:]
key = x509.load_pem_x509_certificate(open(ca, 'rb').read()).public_key()
claims = jwt.decode(token, key, algorithms=['ES384'], issuer='https://steward.example.com')
print(claims['submods']['keep']['enarx']['tee'])
";
    let script = steward.files.path("verify.py");
    write(&script, program, 0o644);
    let known = Command::new("python3").args(["-c", "import jwt, cryptography"]).output();
    if !known.is_ok_and(|output| output.status.success()) {
        println!("SKIP another_library_verifies_the_jwt: Python has no PyJWT with cryptography");
        return;
    }
    let run = |token: &str| {
        let ca = steward.files.path("ca/ca.pem");
        Command::new("python3").arg(&script).arg(ca).arg(token).output().unwrap()
    };
    let output = run(&jwt);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"snp\n");
    let (input, signature) = jwt.rsplit_once('.').unwrap();
    let forged = format!("{input}.{}", signature.chars().rev().collect::<String>());
    assert!(!run(&forged).status.success());
}
