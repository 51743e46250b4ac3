// SPDX-License-Identifier: Apache-2.0

//! Whole requests: form, binding, names.

use const_oid::ObjectIdentifier;
use enarx_evidence::claims::{self, Claims, WorkloadClaim};
use enarx_evidence::cmw::{self, Form};
use enarx_evidence::crypto::AwsLc;
use enarx_evidence::csr;
use enarx_evidence::result::{Status, TeeFacts};
use enarx_evidence::snp::split_attestation;
use enarx_evidence::{
    Anchors, Context, Evidence, Kind, Nonces, appraise, encode_evidence, encode_legacy_snp,
};
use proptest::prelude::*;
use types::digest::Sha256;
use types::slug::Slug;
use types::time::Timestamp;

use crate::world::{
    Key, MEASUREMENT, MILAN, NOW, Registry, decide, decide_at, decide_fast, policy, roots, tlv,
};

const HOST: &str = "store.example.com";

fn slug() -> Slug {
    format!("{HOST}/team/app:1.2.0").parse().unwrap()
}

fn digest() -> Sha256 {
    Sha256::of(b"the package")
}

fn workload(named: Option<(&Slug, String)>) -> WorkloadClaim {
    let (slug, statement) = named.map(|(slug, statement)| (slug.clone(), statement)).unzip();
    WorkloadClaim { digest: digest(), slug, statement }
}

fn pinned() -> String {
    format!("[snp]\nhash = [\"{}\"]\n", hex::encode(MEASUREMENT))
}

fn check(request: &[u8], policy: &str) -> &'static str {
    match decide(request, policy) {
        Ok(decision) => panic!("taken: {decision:?}"),
        Err(refusal) => refusal.check,
    }
}

#[test]
fn names_follow_from_pin_statement_and_grant() {
    let (key, registry) = (Key::new(), Registry::new());
    let statement = registry.statement(&slug(), digest(), NOW);
    let named = key.request(&MILAN, &key.claims(Some(workload(Some((&slug(), statement))))));
    let local = key.request(&MILAN, &key.claims(Some(workload(None))));
    let bare = key.request(&MILAN, &key.claims(None));
    let grants = format!(
        "[[grant]]\nworkload = \"{HOST}/team/app:^1\"\ndns = [\"b.example.com\", \"a.example.com\"]\nip = [\"192.0.2.7\"]\n\
         [[grant]]\nworkload = \"{HOST}/team/other\"\ndns = [\"other.example.com\"]\n"
    );
    let full = format!("{}{}{grants}", pinned(), registry.entry(HOST));

    let decision = decide(&named, &full).unwrap();
    assert_eq!(decision.spki_der, key.spki);
    assert_eq!((decision.names.slug, decision.names.digest), (Some(slug()), Some(digest())));
    assert_eq!(decision.names.dns, ["a.example.com", "b.example.com"]);
    assert_eq!(decision.names.ip.len(), 1);
    assert_eq!(decision.lifetime_seconds, 86_400);
    let result = &decision.result;
    assert_eq!((result.build.as_str(), result.issued_at), ("test 1", NOW));
    assert_eq!(result.policy, policy(&full).digest);
    assert!(result.facts.simulated && result.facts.pinned);
    let TeeFacts::Snp(own) = &result.facts.tee else { panic!("{:?}", result.facts) };
    let chip = crate::world::verify(&MILAN, "").unwrap().report.chip_id;
    assert_eq!((&own.chip_id, &own.id_key), (&Some(hex::encode(chip)), &None));
    assert_eq!((own.tcb.bootloader, own.tcb.snp, own.tcb.microcode), (4, 24, 219));
    assert_eq!(result.status(), Status::Contraindicated, "simulated silicon proves nothing");
    let name = result.facts.workload.clone().unwrap();
    assert_eq!((name.slug, name.digest), (Some(slug()), digest()));

    let decision = decide(&local, &full).unwrap();
    assert_eq!((decision.names.slug, decision.names.digest), (None, Some(digest())));
    assert!(decision.names.dns.is_empty() && decision.names.ip.is_empty());
    let decision = decide(&bare, &full).unwrap();
    assert!(decision.result.facts.pinned && decision.result.facts.workload.is_none());

    // Nobody pins the Keep: it may claim what it likes, and gets no name at all.
    let unpinned = format!("{}{grants}", registry.entry(HOST));
    for request in [&named, &local, &bare] {
        let decision = decide(request, &unpinned).unwrap();
        assert_eq!(decision.names, enarx_evidence::Names::default());
        assert!(!decision.result.facts.pinned && decision.result.facts.workload.is_none());
    }
}

#[test]
fn a_name_takes_its_registrys_word() {
    let (key, registry, stranger) = (Key::new(), Registry::new(), Registry::new());
    let policy = format!("{}{}", pinned(), registry.entry(HOST));
    let ask = |slug: &Slug, statement: String| {
        let claims = key.claims(Some(workload(Some((slug, statement)))));
        check(&key.request(&MILAN, &claims), &policy)
    };
    let good = registry.statement(&slug(), digest(), NOW);
    let other: Slug = format!("{HOST}/team/app:1.2.1").parse().unwrap();
    let elsewhere: Slug = "other.example.com/team/app:1.2.0".parse().unwrap();
    assert_eq!(ask(&slug(), stranger.statement(&slug(), digest(), NOW)), "registry");
    assert_eq!(ask(&elsewhere, registry.statement(&elsewhere, digest(), NOW)), "registry");
    assert_eq!(ask(&slug(), registry.statement(&slug(), Sha256::of(b"another"), NOW)), "statement");
    assert_eq!(ask(&other, good.clone()), "statement");
    assert_eq!(ask(&slug(), registry.statement(&slug(), digest(), NOW.plus(301))), "statement");
    assert_eq!(ask(&slug(), "a.b.c".into()), "statement");
    // Which of the two is missing is said.
    let detail = |slug: &Slug, statement: String| {
        let claims = key.claims(Some(workload(Some((slug, statement)))));
        decide(&key.request(&MILAN, &claims), &policy).unwrap_err().detail
    };
    let strangers = detail(&slug(), stranger.statement(&slug(), digest(), NOW));
    assert!(strangers.contains("with another key"), "{strangers}");
    let unknown = detail(&elsewhere, registry.statement(&elsewhere, digest(), NOW));
    assert!(unknown.contains("names no registry other.example.com"), "{unknown}");
    // A statement that was signed, with another signature of the same registry put to it.
    let elsewhere = registry.statement(&other, digest(), NOW);
    let (input, _) = good.rsplit_once('.').unwrap();
    let (_, signature) = elsewhere.rsplit_once('.').unwrap();
    assert_eq!(ask(&slug(), format!("{input}.{signature}")), "statement");
    // A name without statement, and a statement without name, are no claims.
    let mut claims = key.claims(Some(workload(Some((&slug(), good)))));
    claims.workload.as_mut().unwrap().statement = None;
    assert_eq!(check(&key.request(&MILAN, &claims), &policy), "claims-malformed");
}

#[test]
fn evidence_is_bound_to_key_and_claims() {
    let (key, thief) = (Key::new(), Key::new());
    let claims = key.claims(Some(workload(None)));
    let blob = MILAN.attestation(&claims.report_data(), &MEASUREMENT).unwrap();
    let (report, endorsements) = split_attestation(&blob).unwrap();
    let request = |key: &Key, claims: &[u8]| {
        let value = encode_evidence(Kind::Snp, report, claims, endorsements);
        key.sign(&csr::build(&key.spki, &value))
    };
    assert!(decide(&request(&key, &claims.to_bytes()), "").is_ok());
    // The evidence with another key; with claims about that key; with another workload.
    let stolen = request(&thief, &claims.to_bytes());
    assert_eq!(check(&stolen, ""), "key-binding");
    // The evidence is genuine all the same: the log may know of what it was.
    let seen = decide(&stolen, "").unwrap_err().seen.unwrap();
    assert_eq!((seen.kind, seen.measurement), (Kind::Snp, hex::encode(MEASUREMENT)));
    assert_eq!(check(&request(&thief, &thief.claims(None).to_bytes()), ""), "key-binding");
    assert_eq!(check(&request(&key, &key.claims(None).to_bytes()), ""), "key-binding");
    // A nonce that nobody handed out would only look like freshness.
    let mut stale = key.claims(None);
    stale.nonce = Some(vec![1; 16]);
    assert_eq!(check(&key.request(&MILAN, &stale), ""), "nonce");
    // What binds the key alone is no evidence for claims, and claims are none for the old form.
    let value = encode_legacy_snp(report, endorsements);
    let legacy = key.sign(&csr::build_with(&key.spki, csr::LEGACY_SNP, &value));
    assert_eq!(check(&legacy, ""), "key-binding");
}

#[test]
fn evidence_is_shown_if_the_policy_says_so() {
    let key = Key::new();
    let claims = key.claims(None);
    let blob = MILAN.attestation(&claims.report_data(), &MEASUREMENT).unwrap();
    let (report, endorsements) = split_attestation(&blob).unwrap();
    let value = encode_evidence(Kind::Snp, report, &claims.to_bytes(), endorsements);
    let request = key.sign(&csr::build(&key.spki, &value));
    assert_eq!(decide(&request, "").unwrap().evidence, None);
    // Without its endorsements, which are many times as large.
    let shown = encode_evidence(Kind::Snp, report, &claims.to_bytes(), &[]);
    let policy = "[certificate]\ninclude_evidence = true\n";
    assert_eq!(decide(&request, policy).unwrap().evidence, Some(shown));
}

/// Nonces of a verifier that took [`NOW`] for the last second of `FRESH`.
struct One;

const FRESH: [u8; 40] = [3; 40];

impl Nonces for One {
    fn check(&self, nonce: &[u8], now: Timestamp) -> Result<(), String> {
        match (nonce == FRESH, now <= NOW) {
            (true, true) => Ok(()),
            (true, false) => Err("it is too old".into()),
            (false, _) => Err("it was not handed out".into()),
        }
    }
}

#[test]
fn evidence_is_as_fresh_as_its_nonce() {
    let key = Key::new();
    let request = |nonce: Option<&[u8]>| {
        let claims =
            Claims { nonce: nonce.map(<[u8]>::to_vec), ..key.claims(Some(workload(None))) };
        key.request(&MILAN, &claims)
    };
    let decide = |request: &[u8], text: &str, now| {
        let policy = policy(text);
        let anchors = Anchors { amd: roots(&MILAN), ..Anchors::default() };
        let context = Context {
            policy: &policy,
            anchors: &anchors,
            nonces: Some(&One),
            build: "test 1",
            now,
            verifier: &AwsLc,
        };
        appraise(request, &context)
    };
    let refused = |request: &[u8], text: &str, now| decide(request, text, now).unwrap_err().check;

    let decision = decide(&request(Some(&FRESH)), "", NOW).unwrap();
    assert_eq!(decision.nonce.as_deref(), Some(&FRESH[..]));
    assert!(decision.result.facts.relaxations.is_empty());
    assert_eq!(refused(&request(Some(&FRESH)), "", NOW.plus(1)), "nonce");
    assert_eq!(refused(&request(Some(&[4; 40])), "", NOW), "nonce");
    assert_eq!(refused(&request(Some(&FRESH[..39])), "", NOW), "nonce");
    assert_eq!(refused(&request(None), "", NOW), "nonce-missing");

    // The policy may do without, which the certificate says; a nonce that is there still has to be right.
    let lax = "[request]\nallow = [\"nonce-missing\"]\n";
    let decision = decide(&request(None), lax, NOW).unwrap();
    assert_eq!(
        (decision.nonce, decision.result.facts.relaxations),
        (None, vec!["nonce-missing".into()])
    );
    let decision = decide(&request(Some(&FRESH)), lax, NOW).unwrap();
    assert!(decision.result.facts.relaxations.is_empty());
    assert_eq!(refused(&request(Some(&[4; 40])), lax, NOW), "nonce");

    // The old form has no place for one.
    let data = claims::legacy_report_data(Kind::Snp, &key.spki);
    let blob = MILAN.attestation(&data, &MEASUREMENT).unwrap();
    let (report, endorsements) = split_attestation(&blob).unwrap();
    let value = encode_legacy_snp(report, endorsements);
    let legacy = key.sign(&csr::build_with(&key.spki, csr::LEGACY_SNP, &value));
    let decision = decide(&legacy, "", NOW).unwrap();
    assert_eq!((decision.nonce, decision.result.facts.relaxations), (None, vec![]));
}

#[test]
fn the_old_form_binds_all_64_bytes() {
    let key = Key::new();
    let request = |data: &[u8; 64]| {
        let blob = MILAN.attestation(data, &MEASUREMENT).unwrap();
        let (report, endorsements) = split_attestation(&blob).unwrap();
        let value = encode_legacy_snp(report, endorsements);
        key.sign(&csr::build_with(&key.spki, csr::LEGACY_SNP, &value))
    };
    let data = claims::legacy_report_data(Kind::Snp, &key.spki);
    let decision = decide(&request(&data), &pinned()).unwrap();
    assert!(decision.result.facts.pinned && decision.names == enarx_evidence::Names::default());
    for at in [0, 47, 48, 63] {
        let mut other = data;
        other[at] ^= 1;
        assert_eq!(check(&request(&other), &pinned()), "key-binding", "byte {at}");
    }
}

#[test]
fn the_form_of_a_request() {
    let key = Key::new();
    let good = key.request(&MILAN, &key.claims(None));
    assert!(decide(&good, "").is_ok());
    let oid = |text: &str| ObjectIdentifier::new_unwrap(text);
    let asks = |oid, value: &[u8]| key.sign(&csr::build_with(&key.spki, oid, value));

    for request in [&[][..], b"not DER", &good[..good.len() - 1], &[&good[..], &[0]].concat()] {
        assert_eq!(check(request, ""), "request-malformed");
    }
    assert_eq!(check(&vec![0x30; 65 * 1024], ""), "request-malformed");
    assert_eq!(check(&asks(oid("1.3.6.1.4.1.58270.1.1"), &[]), ""), "evidence-unsupported");
    assert_eq!(check(&asks(oid("2.5.29.17"), &[0x30, 0]), ""), "evidence-missing");
    for value in [&[][..], &[0x30, 0], &[0xd9, 0xea, 0x61, 0x83, 0x40, 0x40, 0x40]] {
        assert_eq!(check(&asks(csr::EVIDENCE, value), ""), "evidence-malformed");
        assert_eq!(check(&asks(csr::LEGACY_SNP, value), ""), "evidence-malformed");
        assert_eq!(check(&asks(csr::LEGACY_SGX, value), ""), "evidence-malformed");
    }
    let nothing = encode_evidence(Kind::Snp, &[0; 1184], &[0xa0], &[0x30, 0]);
    assert_eq!(check(&asks(csr::EVIDENCE, &nothing), ""), "evidence-malformed");

    // Another signature of the same key; the same request with another key; no signature.
    let other = Key::new();
    let at = good.windows(key.spki.len()).position(|window| window == key.spki).unwrap();
    let mut swapped = good.clone();
    swapped[at..at + key.spki.len()].copy_from_slice(&other.spki);
    assert_eq!(check(&swapped, ""), "request-signature");
    let tbs = csr::build(&key.spki, &[]);
    assert_eq!(check(&tbs.assemble(&[]), ""), "request-signature");

    // A key on another curve, or none.
    for spki in [&[0x30, 0][..], &key.spki[..119]] {
        let request = key.sign(&csr::build(spki, &[]));
        assert!(["request-key", "request-malformed"].contains(&check(&request, "")));
    }
    let mut compressed = key.spki.clone();
    compressed[23] = 2;
    assert_eq!(check(&key.sign(&csr::build(&compressed, &[])), ""), "request-key");
}

#[test]
fn keys_of_both_curves_sign_their_requests() {
    for (key, spki_bytes) in [(Key::new(), 120), (Key::p256(), 91)] {
        assert_eq!(key.spki.len(), spki_bytes);
        let request = key.request(&MILAN, &key.claims(None));
        assert_eq!(decide(&request, "").unwrap().spki_der, key.spki);
        // The other curve's algorithm: its last byte tells SHA-256 from SHA-384.
        let algorithm = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
        let at = request.windows(7).rposition(|window| window == algorithm).unwrap() + 7;
        let mut other = request.clone();
        other[at] ^= 1;
        assert_eq!(check(&other, ""), "request-signature");
    }
}

/// Edits of the signed part of a request, which is then signed again: nothing but the one form is taken.
#[test]
fn nothing_else_can_be_asked_for() {
    let key = Key::new();
    let claims = key.claims(None);
    let blob = MILAN.attestation(&claims.report_data(), &MEASUREMENT).unwrap();
    let (report, endorsements) = split_attestation(&blob).unwrap();
    let value = encode_evidence(Kind::Snp, report, &claims.to_bytes(), endorsements);
    let extension = |critical: bool| {
        let oid = tlv(6, csr::EVIDENCE.as_bytes());
        let critical = if critical { vec![1, 1, 0xff] } else { vec![] };
        tlv(0x30, &[oid, critical, tlv(4, &value)].concat())
    };
    let attribute = |extensions: &[u8]| {
        let oid = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
        tlv(0x30, &[tlv(6, oid.as_bytes()), tlv(0x31, &tlv(0x30, extensions))].concat())
    };
    let request = |version: u8, subject: &[u8], attributes: &[u8]| {
        let parts = [&[2, 1, version][..], subject, &key.spki, &tlv(0xa0, attributes)].concat();
        key.sign_bytes(&tlv(0x30, &parts))
    };
    let one = attribute(&extension(false));
    let empty = [0x30, 0];
    let cn = tlv(0x30, &[tlv(6, &[0x55, 4, 3]), tlv(12, b"bank.example.com")].concat());
    let subject = tlv(0x30, &tlv(0x31, &cn));
    assert!(decide(&request(0, &empty, &one), "").is_ok());
    let challenge = tlv(
        0x30,
        &[tlv(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 7]), tlv(0x31, &tlv(12, b"x"))]
            .concat(),
    );
    let name = tlv(0x30, &[tlv(6, &[0x55, 0x1d, 17]), tlv(4, b"\x30\x03\x82\x01a")].concat());
    let of_values = |values: &[u8]| {
        let oid = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
        tlv(0x30, &[tlv(6, oid.as_bytes()), tlv(0x31, values)].concat())
    };
    let list = tlv(0x30, &extension(false));
    let (two_values, no_value) = (of_values(&[list.clone(), list].concat()), of_values(&[]));
    for (what, request, expected) in [
        ("another version", request(1, &empty, &one), "request-malformed"),
        ("a subject", request(0, &subject, &one), "request-malformed"),
        (
            "a critical extension",
            request(0, &empty, &attribute(&extension(true))),
            "request-malformed",
        ),
        (
            "two extensions",
            request(0, &empty, &attribute(&[extension(false), extension(false)].concat())),
            "evidence-ambiguous",
        ),
        (
            "an extension that is no evidence too",
            request(0, &empty, &attribute(&[extension(false), name].concat())),
            "request-malformed",
        ),
        (
            "two attributes",
            request(0, &empty, &[one.clone(), one.clone()].concat()),
            "evidence-ambiguous",
        ),
        ("an attribute of two values", request(0, &empty, &two_values), "request-malformed"),
        ("an attribute of no value", request(0, &empty, &no_value), "request-malformed"),
        ("another attribute", request(0, &empty, &challenge), "request-malformed"),
        (
            "another attribute too",
            request(0, &empty, &[challenge.clone(), one.clone()].concat()),
            "request-malformed",
        ),
        (
            "another attribute behind it",
            request(0, &empty, &[one, challenge.clone()].concat()),
            "request-malformed",
        ),
        ("no extension", request(0, &empty, &attribute(&[])), "evidence-missing"),
        ("no attribute", request(0, &empty, &[]), "evidence-missing"),
    ] {
        assert_eq!(check(&request, ""), expected, "{what}");
    }
}

/// Evidence of a Keep with `key`, for an unnamed workload.
fn evidence(key: &Key) -> Evidence {
    let claims = key.claims(Some(workload(None)));
    let blob = MILAN.attestation(&claims.report_data(), &MEASUREMENT).unwrap();
    let (report, endorsements) = split_attestation(&blob).unwrap();
    Evidence {
        kind: Kind::Snp,
        statement: report.to_vec(),
        claims: Some(claims.to_bytes()),
        endorsements: endorsements.to_vec(),
    }
}

#[test]
fn an_attestation_bundle_says_what_the_extension_says() {
    let key = Key::new();
    let evidence = evidence(&key);
    let mut facts = Vec::new();
    for form in [Form::Cbor, Form::Json] {
        for cmw in [cmw::encode(form, &evidence), cmw::encode_record(form, &evidence).unwrap()] {
            let bundle = csr::bundle(form, &cmw);
            let request = key.sign(&csr::build_attribute(&key.spki, csr::ATTESTATION, &bundle));
            let decision = decide(&request, &pinned()).unwrap();
            assert_eq!(decision.names.digest, Some(digest()));
            facts.push(decision.result);
        }
    }
    assert!(facts.windows(2).all(|pair| pair[0] == pair[1]));
    // Without claims it binds the key alone, as the old form does.
    let data = claims::legacy_report_data(Kind::Snp, &key.spki);
    let blob = MILAN.attestation(&data, &MEASUREMENT).unwrap();
    let (report, _) = split_attestation(&blob).unwrap();
    let legacy = Evidence { statement: report.to_vec(), claims: None, ..evidence };
    let bundle = csr::bundle(Form::Cbor, &cmw::encode(Form::Cbor, &legacy));
    let request = key.sign(&csr::build_attribute(&key.spki, csr::ATTESTATION, &bundle));
    assert_eq!(decide(&request, &pinned()).unwrap().names, enarx_evidence::Names::default());
}

/// Bundles that are signed as they should be, and say more or something else.
#[test]
fn the_form_of_an_attestation_bundle() {
    let (key, other) = (Key::new(), Key::new());
    let cbor = cmw::encode(Form::Cbor, &evidence(&key));
    let pe_cmw = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.35");
    let statement = |oid: &ObjectIdentifier, value: &[u8]| {
        tlv(0x30, &[&tlv(6, oid.as_bytes()), value].concat())
    };
    let one = statement(&pe_cmw, &tlv(4, &cbor));
    let list = |statements: &[u8]| tlv(0x30, statements);
    let ask =
        |oid, bundle: &[u8]| check(&key.sign(&csr::build_attribute(&key.spki, oid, bundle)), "");
    let request = |bundle: &[u8]| {
        let tbs = csr::build_attribute(&key.spki, csr::ATTESTATION, bundle);
        decide(&key.sign(&tbs), "")
    };
    let certificate = tlv(0x30, &[5, 0]);
    let another = tlv(0xa3, &[tlv(6, &[0x2a, 3]), tlv(4, b"x")].concat());
    let with = |certificates: &[u8]| tlv(0x30, &[list(&one), list(certificates)].concat());
    assert!(request(&tlv(0x30, &list(&one))).is_ok());
    assert!(request(&with(&[certificate.clone(), another].concat())).is_ok());

    let disagreeing = statement(&pe_cmw, &tlv(4, &cmw::encode(Form::Cbor, &evidence(&other))));
    let json = cmw::encode(Form::Json, &evidence(&key));
    for (what, bundle, expected) in [
        ("two statements", list(&[one.clone(), one.clone()].concat()), "evidence-ambiguous"),
        ("two that disagree", list(&[one.clone(), disagreeing].concat()), "evidence-ambiguous"),
        ("none", list(&[]), "evidence-malformed"),
        (
            "a type that nobody knows",
            list(&statement(&csr::EVIDENCE, &tlv(4, &cbor))),
            "evidence-unsupported",
        ),
        ("JSON as CBOR", list(&statement(&pe_cmw, &tlv(4, &json))), "evidence-malformed"),
        ("CBOR as JSON", list(&statement(&pe_cmw, &tlv(12, &cbor))), "evidence-malformed"),
        ("as a BIT STRING", list(&statement(&pe_cmw, &tlv(3, &cbor))), "evidence-malformed"),
        (
            "a statement of three",
            list(&statement(&pe_cmw, &[tlv(4, &cbor), vec![5, 0]].concat())),
            "evidence-malformed",
        ),
    ] {
        assert_eq!(ask(csr::ATTESTATION, &tlv(0x30, &bundle)), expected, "{what}");
    }
    for (what, bundle) in [
        ("no certificates, but said", with(&[])),
        ("an attribute certificate", with(&tlv(0xa2, &[5, 0]))),
        ("nine certificates", with(&certificate.repeat(9))),
        (
            "a third member",
            tlv(0x30, &[list(&one), list(&certificate), list(&certificate)].concat()),
        ),
        ("no sequence", vec![5, 0]),
    ] {
        assert_eq!(ask(csr::ATTESTATION, &bundle), "evidence-malformed", "{what}");
    }
    // Beside an extension, even the same evidence is one too many.
    let bundle = tlv(0x30, &list(&one));
    let attribute = |oid: &ObjectIdentifier, value: &[u8]| {
        tlv(0x30, &[tlv(6, oid.as_bytes()), tlv(0x31, value)].concat())
    };
    let ours = attribute(&csr::ATTESTATION, &bundle);
    let empty = attribute(&ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14"), &[0x30, 0]);
    for attributes in [[ours.clone(), empty.clone()], [empty, ours.clone()], [ours.clone(), ours]] {
        let parts = [&[2, 1, 0, 0x30, 0][..], &key.spki, &tlv(0xa0, &attributes.concat())].concat();
        assert_eq!(check(&key.sign_bytes(&tlv(0x30, &parts)), ""), "evidence-ambiguous");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn mutated_requests_never_panic_and_never_pass(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        thread_local! {
            static GOOD: (Key, Vec<u8>) = {
                let key = Key::new();
                let request = key.request(&MILAN, &key.claims(None));
                (key, request)
            };
        }
        let good = GOOD.with(|(_, request)| request.clone());
        let mut changed = good.clone();
        for (at, xor) in flips {
            let at = at.index(changed.len());
            changed[at] ^= xor;
        }
        prop_assert!(changed == good || decide_fast(&changed, "").is_err());
        prop_assert!(decide_fast(&good[..cut.index(good.len())], "").is_err());
    }

    /// Evidence that is signed as it should be, around parts that are not.
    #[test]
    fn mutated_evidence_never_panics(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4),
        part in 0..3_usize,
    ) {
        let key = Key::new();
        let claims = key.claims(None);
        let blob = MILAN.attestation(&claims.report_data(), &MEASUREMENT).unwrap();
        let (report, endorsements) = split_attestation(&blob).unwrap();
        let mut parts = [report.to_vec(), claims.to_bytes(), endorsements.to_vec()];
        let changed = &mut parts[part];
        let before = changed.clone();
        for (at, xor) in flips {
            let at = at.index(changed.len());
            changed[at] ^= xor;
        }
        let same = *changed == before;
        // The URL of a revocation list is nobody's claim.
        let url = part == 2;
        let value = encode_evidence(Kind::Snp, &parts[0], &parts[1], &parts[2]);
        let request = key.sign(&csr::build(&key.spki, &value));
        prop_assert!(same || url || decide_fast(&request, "").is_err());
    }
}

#[test]
fn a_policy_has_its_days() {
    let key = Key::new();
    let request = key.request(&MILAN, &key.claims(None));
    let at = |text: &str, now: &str| {
        let relaxed = format!("[request]\nallow = [\"nonce-missing\"]\n[validity]\n{text}");
        let anchors = Anchors::simulated(&MILAN.roots_pem(), &AwsLc).unwrap();
        decide_at(&request, &policy(&relaxed), &anchors, now.parse().unwrap())
    };
    let (from, until) = ("from = 2027-01-15\n", "until = 2027-01-15\n");
    for (text, now, taken) in [
        (from, "2027-01-14T23:59:59Z", false),
        (from, "2027-01-15T00:00:00Z", true),
        (until, "2027-01-15T23:59:59Z", true),
        (until, "2027-01-16T00:00:00Z", false),
        ("", "2027-01-15T08:00:00Z", true),
    ] {
        match at(text, now) {
            Ok(_) => assert!(taken, "{text} {now}"),
            Err(refusal) => {
                assert_eq!((refusal.check, taken), ("policy-validity", false), "{refusal}");
            }
        }
    }
    let wrong = enarx_evidence::policy::Policy::parse(
        "[validity]\nfrom = 2027-01-16\nuntil = 2027-01-15\n",
    );
    assert_eq!(wrong.unwrap_err().line, 3);
}
