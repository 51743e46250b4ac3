// SPDX-License-Identifier: Apache-2.0

//! Documents of AWS Nitro Enclaves: real ones with known verdicts, and simulated ones for everything else.

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex};

use const_oid::ObjectIdentifier;
use enarx_evidence as evidence;
use evidence::crypto::{AwsLc, BadSignature, Scheme, Verifier};
use evidence::nitro::Root;
use evidence::policy::Policy;
use evidence::result::{AttestationResult, TeeFacts};
use evidence::{Anchors, Context, Evidence, Kind, Refusal, Verified};
use testkit::silicon::{Envelope, NitroShape, SimulatedNitro, Value, cbor_map, set};
use types::time::Timestamp;

use crate::corpus::{self, Case};
use crate::world::{Key, MILAN, NOW, policy};

fn verify(
    document: &[u8],
    policy: &Policy,
    anchors: &Anchors,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let evidence = Evidence {
        kind: Kind::Nitro,
        statement: document.to_vec(),
        claims: None,
        endorsements: Vec::new(),
    };
    let context = Context { policy, anchors, nonces: None, build: "test 1", now, verifier: &AwsLc };
    evidence::verify(&evidence, &context)
}

fn aws() -> Anchors {
    Anchors { nitro: vec![Root::aws()], ..Anchors::default() }
}

#[test]
fn documents_get_their_known_verdicts() {
    let Some(folder) = corpus::folder("documents_get_their_known_verdicts") else { return };
    let cases = corpus::cases(&folder, "nitro");
    let tally = corpus::all_agree(&cases, |case, verdict| {
        let policy = match verdict.policy.as_str() {
            "baseline" => policy(""),
            "baseline + debug allowed" => policy("[nitro]\nallow = [\"debug\"]\n"),
            other => panic!("{}: a policy unheard of: {other}", case.name),
        };
        let outcome = verify(&case.file("doc.cbor"), &policy, &aws(), verdict.at);
        Some(outcome.inspect(|verified| facts_agree(case, verified)))
    });
    assert!(cases.len() >= 7 && tally.agreed >= 16 && tally.taken >= 5, "{tally:?}");
}

fn facts_agree(case: &Case, verified: &Verified) {
    let name = &case.name;
    let fact = |fact: &str| case.fact(fact);
    let Verified { bound, public_key, facts } = verified;
    let TeeFacts::Nitro(nitro) = &facts.tee else { panic!("{name}: {facts:?}") };
    assert_eq!(fact("module_id"), Some(nitro.module_id.as_str()), "{name}");
    assert_eq!(fact("pcr0"), Some(facts.measurement.as_str()), "{name}");
    let zero = "0".repeat(96);
    for index in [0_u8, 1, 2, 3, 4, 8] {
        let found = nitro.pcrs.get(&index).unwrap_or(&zero);
        assert_eq!(fact(&format!("pcr{index}")), Some(found.as_str()), "{name}: PCR{index}");
    }
    assert_eq!(facts.signer.as_ref().unwrap_or(&zero), fact("pcr8").unwrap(), "{name}");
    assert_eq!(facts.debug, facts.measurement == zero, "{name}");
    assert_eq!(facts.relaxations, if facts.debug { &["debug"][..] } else { &[] }, "{name}");
    assert!(!facts.simulated && !facts.pinned && facts.vtpm.is_none(), "{name}");
    assert_eq!(case.facts["has_public_key"].as_bool(), Some(public_key.is_some()), "{name}");
    let data = fact("user_data_hex").filter(|data| data.len() == 128);
    assert_eq!(bound.map(hex::encode).as_deref(), data, "{name}");
}

static NITRO: LazyLock<SimulatedNitro> = LazyLock::new(|| SimulatedNitro::generate(NOW).unwrap());

fn simulated(silicon: &SimulatedNitro) -> Anchors {
    Anchors::simulated(&silicon.root_pem(), &AwsLc).unwrap()
}

fn shaped(change: impl FnOnce(&mut NitroShape)) -> SimulatedNitro {
    NITRO.with_shape(change).unwrap()
}

/// A document of this silicon under this policy, by the root of the same silicon.
fn judged(silicon: &SimulatedNitro, policy_text: &str) -> Result<Verified, Refusal> {
    judged_at(silicon, policy_text, NOW)
}

fn judged_at(
    silicon: &SimulatedNitro,
    policy_text: &str,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    verify(&silicon.document(&[7; 64]).unwrap(), &policy(policy_text), &simulated(silicon), now)
}

fn refused(what: &str, outcome: Result<Verified, Refusal>, check: &str) -> Refusal {
    match outcome {
        Ok(_) => panic!("{what}: taken"),
        Err(refusal) => {
            assert_eq!(refusal.check, check, "{what}: {refusal}");
            assert!(!refusal.detail.is_empty() && !refusal.hint.is_empty());
            refusal
        }
    }
}

#[test]
fn nothing_wrong() {
    for tagged in [false, true] {
        let silicon = shaped(|s| s.envelope.tagged = tagged);
        let verified = judged(&silicon, "").unwrap();
        assert_eq!(verified.bound, Some([7; 64]));
        let facts = verified.facts;
        assert!(facts.simulated && !facts.pinned && !facts.debug && facts.relaxations.is_empty());
        assert_eq!(facts.measurement, "4d".repeat(48));
        assert_eq!(facts.signer, Some("88".repeat(48)));
    }
    // The map as AWS writes it since 2025.
    let mut payload = cbor_map(&NITRO.payload(Some(&[7; 64])));
    assert_eq!(payload[0], 0xa9);
    payload[0] = 0xbf;
    payload.push(0xff);
    let document = NITRO.sign(&payload).unwrap();
    assert!(verify(&document, &policy(""), &simulated(&NITRO), NOW).is_ok());
}

#[test]
fn what_a_document_has() {
    type Edit = fn(&mut Vec<(Value, Value)>);
    fn bytes(length: usize) -> Option<Value> {
        Some(Value::Bytes(vec![1; length]))
    }
    fn pcrs(
        change: impl FnOnce(&mut Vec<(Value, Value)>),
    ) -> impl FnOnce(&mut Vec<(Value, Value)>) {
        |fields: &mut Vec<(Value, Value)>| {
            let (_, Value::Map(map)) = &mut fields[3] else { panic!("{fields:?}") };
            change(map);
        }
    }
    let rows: [(&str, Edit); 34] = [
        ("no module", |f| set(f, "module_id", None)),
        ("an empty module", |f| set(f, "module_id", Some("".into()))),
        ("a long module", |f| set(f, "module_id", Some("m".repeat(129).into()))),
        ("a module with a line feed", |f| set(f, "module_id", Some("a\nb".into()))),
        ("a module of bytes", |f| set(f, "module_id", bytes(3))),
        ("no digest", |f| set(f, "digest", None)),
        ("another digest", |f| set(f, "digest", Some("SHA256".into()))),
        ("no time", |f| set(f, "timestamp", None)),
        ("time zero", |f| set(f, "timestamp", Some(0.into()))),
        ("a negative time", |f| set(f, "timestamp", Some((-1).into()))),
        ("no registers", |f| set(f, "pcrs", None)),
        ("empty registers", |f| set(f, "pcrs", Some(Value::Map(vec![])))),
        ("no register 0", |f| pcrs(|p| set(p, 0, None))(f)),
        ("no register 1", |f| pcrs(|p| set(p, 1, None))(f)),
        ("no register 2", |f| pcrs(|p| set(p, 2, None))(f)),
        ("register 32", |f| pcrs(|p| set(p, 32, bytes(48)))(f)),
        ("register -1", |f| pcrs(|p| set(p, -1, bytes(48)))(f)),
        ("a register of 32 bytes", |f| pcrs(|p| set(p, 3, bytes(32)))(f)),
        ("a register of 64 bytes", |f| pcrs(|p| set(p, 3, bytes(64)))(f)),
        ("a register of text", |f| pcrs(|p| set(p, 3, Some("x".into())))(f)),
        ("a register twice", |f| pcrs(|p| p.push((3.into(), Value::Bytes(vec![0; 48]))))(f)),
        ("no certificate", |f| set(f, "certificate", None)),
        ("an empty certificate", |f| set(f, "certificate", bytes(0))),
        ("a large certificate", |f| set(f, "certificate", bytes(1025))),
        ("no bundle", |f| set(f, "cabundle", None)),
        ("an empty bundle", |f| set(f, "cabundle", Some(Value::Array(vec![])))),
        ("nine certificates", |f| {
            set(f, "cabundle", Some(Value::Array(vec![Value::Bytes(vec![1]); 9])));
        }),
        ("an empty certificate above", |f| {
            set(f, "cabundle", Some(Value::Array(vec![Value::Bytes(vec![])])));
        }),
        ("an empty public key", |f| set(f, "public_key", bytes(0))),
        ("a large public key", |f| set(f, "public_key", bytes(1025))),
        ("large user data", |f| set(f, "user_data", bytes(1025))),
        ("a large nonce", |f| set(f, "nonce", bytes(1025))),
        ("an unknown field", |f| set(f, "nitrotpm_pcrs", Some(Value::Map(vec![])))),
        ("a field twice", |f| f.push(("nonce".into(), Value::Null))),
    ];
    let look = |payload: &[u8]| {
        verify(&NITRO.sign(payload).unwrap(), &policy(""), &simulated(&NITRO), NOW)
    };
    let edited = |edit: Edit| {
        let mut fields = NITRO.payload(Some(&[7; 64]));
        edit(&mut fields);
        cbor_map(&fields)
    };
    for (what, edit) in rows {
        refused(what, look(&edited(edit)), "document-malformed");
    }
    let rows: [(&str, Edit); 8] = [
        ("all fields at their largest", |f| {
            for name in ["public_key", "user_data", "nonce"] {
                set(f, name, bytes(1024));
            }
        }),
        ("empty user data and nonce", |f| {
            set(f, "user_data", bytes(0));
            set(f, "nonce", bytes(0));
        }),
        ("the least public key", |f| set(f, "public_key", bytes(1))),
        ("no optional field", |f| f.truncate(6)),
        ("fields in another order", |f| f.reverse()),
        ("the longest module", |f| set(f, "module_id", Some("m".repeat(128).into()))),
        ("register 31", |f| pcrs(|p| set(p, 31, bytes(48)))(f)),
        ("three registers", |f| pcrs(|p| p.truncate(3))(f)),
    ];
    for (what, edit) in rows {
        let verified = look(&edited(edit)).unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
        let wanted = !matches!(what.split(' ').next(), Some("all" | "empty" | "no"));
        assert_eq!(verified.bound.is_some(), wanted, "{what}");
    }
    let payload = edited(|_| ());
    refused("something behind", look(&[&payload[..], &[0]].concat()), "document-malformed");
    refused("the last byte missing", look(&payload[..payload.len() - 1]), "document-malformed");
    refused("nothing", look(&[]), "document-malformed");
    // user_data: 58 40 … becomes 5f 58 40 … ff; pcrs: b0 … becomes bf … ff.
    let place = |needle: &[u8]| {
        let found = payload.windows(needle.len()).position(|window| window == needle);
        found.unwrap() + needle.len()
    };
    let data = place(b"user_data");
    let (head, rest) = payload.split_at(data);
    let chunked = [head, &[0x5f], &rest[..66], &[0xff], &rest[66..]].concat();
    refused("data in chunks", look(&chunked), "document-malformed");
    let (head, rest) = payload.split_at(place(b"pcrs"));
    let registers = 16 + 16 * 50;
    assert_eq!(rest[0], 0xb0);
    let open = [head, &[0xbf], &rest[1..=registers], &[0xff], &rest[1 + registers..]].concat();
    refused("open registers", look(&open), "document-malformed");
    let (head, rest) = payload.split_at(place(b"cabundle"));
    assert_eq!(rest[0], 0x84);
    let end = rest.windows(10).position(|window| window == b"public_key").unwrap() - 1;
    let open = [head, &[0x9f], &rest[1..end], &[0xff], &rest[end..]].concat();
    refused("an open bundle", look(&open), "document-malformed");
    let large = vec![0xd2; 16 * 1024 + 1];
    let refusal =
        refused("too large", verify(&large, &policy(""), &aws(), NOW), "document-malformed");
    assert!(refusal.detail.contains("16385"), "{refusal}");
}

#[test]
fn how_a_document_is_wrapped() {
    type Edit = fn(&mut NitroShape);
    let rows: [(&str, Edit); 8] = [
        ("ES256", |s| s.envelope = Envelope::of(-7, false)),
        ("ES512", |s| s.envelope = Envelope::of(-36, true)),
        ("RS384", |s| s.envelope = Envelope::of(-258, true)),
        ("no algorithm", |s| s.envelope.protected.clear()),
        ("an unprotected algorithm", |s| {
            std::mem::swap(&mut s.envelope.protected, &mut s.envelope.unprotected);
        }),
        ("both", |s| s.envelope.unprotected.clone_from(&s.envelope.protected)),
        ("an unprotected key identifier", |s| {
            set(&mut s.envelope.unprotected, 4, Some(Value::Bytes(vec![1])));
        }),
        ("a critical header", |s| {
            let protected = &mut s.envelope.protected;
            set(protected, 2, Some(Value::Array(vec![100.into()])));
            set(protected, 100, Some(1.into()));
        }),
    ];
    for (what, edit) in rows {
        refused(what, judged(&shaped(edit), ""), "document-malformed");
    }
    // What is protected and not critical is nobody's concern.
    let named = shaped(|s| set(&mut s.envelope.protected, 4, Some(Value::Bytes(vec![1]))));
    assert!(judged(&named, "").is_ok());
    let mut evidence = Evidence {
        kind: Kind::Nitro,
        statement: NITRO.document(&[7; 64]).unwrap(),
        claims: None,
        endorsements: Vec::new(),
    };
    let (policy, anchors) = (policy(""), simulated(&NITRO));
    let context = Context {
        policy: &policy,
        anchors: &anchors,
        nonces: None,
        build: "test 1",
        now: NOW,
        verifier: &AwsLc,
    };
    assert!(evidence::verify(&evidence, &context).is_ok());
    evidence.endorsements.push(0);
    refused("endorsements", evidence::verify(&evidence, &context), "evidence-malformed");
}

#[test]
fn who_signed_a_document() {
    type Edit = fn(&mut NitroShape);
    const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
    let rows: [(&str, Edit, &str); 24] = [
        ("a bundle without root", |s| s.bundle = vec![1, 2, 3], "untrusted-root"),
        ("the root last", |s| s.bundle = vec![3, 2, 1, 0], "untrusted-root"),
        ("two swapped", |s| s.bundle = vec![0, 2, 1, 3], "certificate-chain"),
        ("one missing below", |s| s.bundle = vec![0, 1, 2], "certificate-chain"),
        ("one missing between", |s| s.bundle = vec![0, 1, 3], "certificate-chain"),
        ("only the root", |s| s.bundle = vec![0], "certificate-chain"),
        ("the leaf above itself", |s| s.bundle = vec![0, 1, 2, 3, 4], "certificate-chain"),
        ("eight", |s| s.bundle = vec![0, 1, 2, 3, 0, 1, 2, 3], "certificate-chain"),
        (
            "too many below",
            |s| s.certificates[1].basic = Some((true, Some(1))),
            "certificate-chain",
        ),
        ("none below", |s| s.certificates[2].basic = Some((true, Some(0))), "certificate-chain"),
        ("no authority", |s| s.certificates[3].basic = Some((false, None)), "certificate-chain"),
        ("no constraints", |s| s.certificates[2].basic = None, "certificate-chain"),
        ("no issuing", |s| s.certificates[2].usage = Some(0x80), "certificate-chain"),
        ("no usage", |s| s.certificates[2].usage = None, "certificate-chain"),
        (
            "a leaf that issues",
            |s| s.certificates[4].basic = Some((true, None)),
            "certificate-chain",
        ),
        ("a leaf that signs not", |s| s.certificates[4].usage = Some(0x40), "certificate-chain"),
        ("a leaf of no use", |s| s.certificates[4].usage = None, "certificate-chain"),
        ("another issuer", |s| s.certificates[2].issuer = "other".into(), "certificate-chain"),
        (
            "another issuer of the leaf",
            |s| s.certificates[4].issuer = "x".into(),
            "certificate-chain",
        ),
        ("another key", |s| s.certificates[2].signer = 2, "certificate-chain"),
        ("the leaf's own key", |s| s.certificates[4].signer = 4, "certificate-chain"),
        ("SHA-256", |s| s.certificates[3].algorithm = SHA256, "certificate-chain"),
        (
            "a critical extension",
            |s| s.certificates[2].extra.push(("2.5.29.36", true, vec![0x30, 0])),
            "certificate-chain",
        ),
        (
            "constraints twice",
            |s| s.certificates[4].extra.push(("2.5.29.19", true, vec![0x30, 0])),
            "certificate-chain",
        ),
    ];
    let other = judged(&shaped(|s| s.certificates[4].signer = 4), "").unwrap_err();
    assert!(other.detail.contains("is not signed by the one above it"), "{other}");
    for (what, edit, check) in rows {
        refused(what, judged(&shaped(edit), ""), check);
    }
    let fine: [(&str, Edit); 3] = [
        ("a leaf without constraints", |s| s.certificates[4].basic = None),
        ("authorities without limits", |s| {
            s.certificates[1..4].iter_mut().for_each(|c| c.basic = Some((true, None)));
        }),
        ("other extensions", |s| s.certificates[1].extra.push(("2.5.29.31", false, vec![0x30, 0]))),
    ];
    for (what, edit) in fine {
        assert!(judged(&shaped(edit), "").is_ok(), "{what}");
    }
    let document = NITRO.document(&[7; 64]).unwrap();
    let strict = policy("");
    refused("simulated silicon", verify(&document, &strict, &aws(), NOW), "untrusted-root");
    refused("no anchor", verify(&document, &strict, &Anchors::default(), NOW), "untrusted-root");
    let other = SimulatedNitro::generate(NOW).unwrap();
    refused("another root", verify(&document, &strict, &simulated(&other), NOW), "untrusted-root");
    let forged = other.sign(&cbor_map(&NITRO.payload(Some(&[7; 64])))).unwrap();
    let outcome = verify(&forged, &strict, &simulated(&NITRO), NOW);
    refused("another's signature", outcome, "document-signature");
    // Certificates that are none, in each place.
    for (what, junk) in [("junk", vec![1; 3]), ("a P-256 key", junk_key())] {
        for place in ["certificate", "cabundle"] {
            let mut fields = NITRO.payload(None);
            let root = Value::Bytes(NITRO.certificate(0).to_vec());
            let junk = Value::Bytes(junk.clone());
            let value = if place == "cabundle" { Value::Array(vec![root, junk]) } else { junk };
            set(&mut fields, place, Some(value));
            let document = NITRO.sign(&cbor_map(&fields)).unwrap();
            let outcome = verify(&document, &strict, &simulated(&NITRO), NOW);
            refused(&format!("{what} as {place}"), outcome, "certificate-malformed");
        }
    }
}

/// The leaf with another curve's identifier in its key.
fn junk_key() -> Vec<u8> {
    let mut leaf = NITRO.certificate(4).to_vec();
    let p384 = [0x2b, 0x81, 0x04, 0x00, 0x22];
    let at = leaf.windows(5).position(|window| window == p384).unwrap();
    leaf[at + 4] = 0x23;
    leaf
}

#[test]
fn the_largest_certificate() {
    let padded =
        |length: usize| shaped(|s| s.certificates[1].extra.push(("1.2.3", false, vec![0; length])));
    let wanted = |bytes: usize| {
        // Signatures differ in length by some bytes: try until one fits.
        (0..2000)
            .map(|at| padded(300 + at % 200))
            .find(|silicon| silicon.certificate(1).len() == bytes)
            .unwrap()
    };
    assert!(judged(&wanted(1024), "").is_ok());
    refused("1025 bytes", judged(&wanted(1025), ""), "document-malformed");
}

#[test]
fn each_second_counts() {
    for at in 0..5 {
        let silicon = shaped(|s| {
            s.certificates[at].validity = (NOW, NOW.plus(100));
            s.timestamp_ms = NOW.0 * 1000;
        });
        for (now, valid) in [
            (NOW.minus(1), false),
            (NOW, true),
            (NOW.plus(1), true),
            (NOW.plus(99), true),
            (NOW.plus(100), true),
            (NOW.plus(101), false),
        ] {
            let outcome = judged_at(&silicon, "", now);
            if valid {
                assert!(outcome.is_ok(), "{at} at {now}: {outcome:?}");
            } else {
                refused(&format!("{at} at {now}"), outcome, "certificate-expired");
            }
        }
    }
    let leaf = shaped(|s| s.certificates[4].validity = (NOW.minus(1), NOW.plus(1000)));
    for (what, ms, now, valid) in [
        ("300 s ahead", (NOW.0 + 300) * 1000, NOW, true),
        ("a millisecond more", (NOW.0 + 300) * 1000 + 1, NOW, false),
        ("301 s ahead", (NOW.0 + 301) * 1000, NOW, false),
        ("the first millisecond of its certificate", (NOW.0 - 1) * 1000, NOW, true),
        ("one before it", (NOW.0 - 1) * 1000 - 1, NOW, false),
        ("the last of its certificate", (NOW.0 + 1000) * 1000 + 999, NOW.plus(1000), true),
        ("one after it", (NOW.0 + 1001) * 1000, NOW.plus(1000), false),
        ("the end of time", u64::MAX, NOW, false),
        ("the beginning of time", 1, NOW, false),
    ] {
        let outcome = judged_at(&leaf.with_shape(|s| s.timestamp_ms = ms).unwrap(), "", now);
        if valid {
            assert!(outcome.is_ok(), "{what}: {outcome:?}");
        } else {
            refused(what, outcome, "document-time");
        }
    }
}

#[test]
fn what_the_policy_says() {
    let (image, signer, other) = ("4d".repeat(48), "88".repeat(48), "ab".repeat(48));
    let zero = "0".repeat(96);
    for (line, pinned) in [
        (format!("hash = [\"{other}\", \"{image}\"]"), true),
        (format!("signer = [\"{signer}\"]"), true),
        (format!("hash = [\"{image}\"]\nsigner = [\"{signer}\", \"{other}\"]"), true),
        (format!("hash_blacklist = [\"{other}\"]"), false),
        (format!("pcrs = {{ 1 = [\"{}\"], 3 = [\"{zero}\"] }}", "11".repeat(48)), false),
        (format!("pcrs = {{ 31 = [\"{other}\", \"{zero}\"] }}"), false),
        ("allow = [\"debug\"]".to_owned(), false),
    ] {
        let facts = judged(&NITRO, &format!("[nitro]\n{line}\n")).unwrap().facts;
        assert_eq!((facts.pinned, facts.relaxations.len()), (pinned, 0), "{line}");
    }
    for (line, check) in [
        (format!("hash = [\"{other}\"]"), "measurement"),
        (format!("hash_blacklist = [\"{image}\"]"), "measurement"),
        (format!("signer = [\"{other}\"]"), "signer"),
        (format!("hash = [\"{image}\"]\nsigner = [\"{other}\"]"), "signer"),
        (format!("pcrs = {{ 1 = [\"{other}\"] }}"), "pcr"),
        (format!("pcrs = {{ 31 = [\"{other}\"] }}"), "pcr"),
    ] {
        refused(&line, judged(&NITRO, &format!("[nitro]\n{line}\n")), check);
    }
    let debug = NITRO.debuggable().unwrap();
    refused("debugging", judged(&debug, ""), "debug");
    let facts = judged(&debug, "[nitro]\nallow = [\"debug\"]\n").unwrap().facts;
    assert!(facts.debug && facts.measurement == zero);
    assert_eq!(facts.relaxations, ["debug"]);
    // Everything that is wrong is told at once.
    let policy = format!("[nitro]\nhash = [\"{other}\"]\nsigner = [\"{other}\"]\n");
    let refusal = refused("all at once", judged(&debug, &policy), "debug");
    let others: Vec<_> = refusal.others.iter().map(|failure| failure.check).collect();
    assert_eq!(others, ["measurement", "signer"]);
    let unsigned = shaped(|s| drop(s.pcrs.remove(&8)));
    assert_eq!(judged(&unsigned, "").unwrap().facts.signer, None);
    refused(
        "nobody's",
        judged(&unsigned, &format!("[nitro]\nsigner = [\"{signer}\"]\n")),
        "signer",
    );
}

#[test]
fn what_a_document_is_about() {
    let key = Key::new();
    let claims = key.claims(None);
    let strict = policy("");
    let appraise = |silicon: &SimulatedNitro, data: &[u8], claims: Option<Vec<u8>>, spki: &[u8]| {
        let statement = silicon.document(data).unwrap();
        let evidence = Evidence { kind: Kind::Nitro, statement, claims, endorsements: Vec::new() };
        let anchors = simulated(silicon);
        let context = Context {
            policy: &strict,
            anchors: &anchors,
            nonces: None,
            build: "test 1",
            now: NOW,
            verifier: &AwsLc,
        };
        evidence::appraise_evidence(&evidence, Some(spki), &context).map(|a| a.result)
    };
    let (bytes, data) = (claims.to_bytes(), claims.report_data());
    let with_key = |key: &[u8]| shaped(|s| s.public_key = Some(key.to_vec()));
    let result = appraise(&NITRO, &data, Some(bytes.clone()), &key.spki).unwrap();
    assert_eq!(result.facts.tee.name(), "nitro");
    assert_eq!(AttestationResult::from_extension(&result.to_extension()), Ok(result));
    assert!(appraise(&with_key(&key.spki), &data, Some(bytes.clone()), &key.spki).is_ok());
    let legacy = evidence::claims::legacy_report_data(Kind::Nitro, &key.spki);
    assert!(appraise(&NITRO, &legacy, None, &key.spki).is_ok());
    assert!(appraise(&with_key(&key.spki), &legacy, None, &key.spki).is_ok());
    let other = Key::new();
    for (what, silicon, data, claims, spki) in [
        ("another key of the enclave's", with_key(&other.spki), &data[..], true, &key.spki),
        ("the same without claims", with_key(&other.spki), &legacy, false, &key.spki),
        ("another request's key", NITRO.clone(), &data, true, &other.spki),
        ("the same without claims", NITRO.clone(), &legacy, false, &other.spki),
        ("other claims", NITRO.clone(), &[7; 64], true, &key.spki),
        ("63 bytes", NITRO.clone(), &data[..63], true, &key.spki),
        ("nothing", NITRO.clone(), &[], true, &key.spki),
        ("only a key", with_key(&key.spki), &[], false, &key.spki),
    ] {
        let claims = claims.then(|| bytes.clone());
        let refusal = appraise(&silicon, data, claims, spki).unwrap_err();
        assert_eq!(refusal.check, "key-binding", "{what}: {refusal}");
    }
}

/// Remembers which certificates verified before, as verifiers may.
#[derive(Default)]
pub(crate) struct Remembering(Mutex<BTreeSet<Vec<u8>>>);

impl Verifier for Remembering {
    fn verify(&self, scheme: Scheme, key: &[u8], message: &[u8], signature: &[u8]) -> Outcome {
        AwsLc.verify(scheme, key, message, signature)
    }

    fn verify_endorsement(
        &self,
        scheme: Scheme,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Outcome {
        let all = [key, message, signature].concat();
        if !self.0.lock().unwrap().contains(&all) {
            self.verify(scheme, key, message, signature)?;
            self.0.lock().unwrap().insert(all);
        }
        Ok(())
    }
}

type Outcome = Result<(), BadSignature>;

#[test]
fn no_bit_of_a_document_can_be_flipped() {
    // The shortest chain, so that each bit is tried in little time.
    let silicon = shaped(|s| {
        s.bundle = vec![0];
        s.certificates[4].signer = 0;
        s.certificates[4].issuer = s.certificates[0].name.clone();
    });
    let document = silicon.document(&[7; 64]).unwrap();
    let (policy, anchors) = (policy(""), simulated(&silicon));
    let verifier = Remembering::default();
    let context = Context {
        policy: &policy,
        anchors: &anchors,
        nonces: None,
        build: "test 1",
        now: NOW,
        verifier: &verifier,
    };
    let mut evidence = Evidence {
        kind: Kind::Nitro,
        statement: document.clone(),
        claims: None,
        endorsements: Vec::new(),
    };
    assert!(evidence::verify(&evidence, &context).is_ok());
    for (at, byte) in document.iter().enumerate() {
        for bit in 0..8 {
            evidence.statement[at] = byte ^ 1 << bit;
            assert!(evidence::verify(&evidence, &context).is_err(), "bit {bit} of byte {at}");
        }
        evidence.statement[at] = *byte;
    }
    for length in 0..document.len() {
        evidence.statement = document[..length].to_vec();
        let refusal = evidence::verify(&evidence, &context).unwrap_err();
        assert_eq!(refusal.check, "document-malformed", "{length} bytes");
    }
}

#[test]
fn roots_are_told_apart() {
    let pem = NITRO.root_pem();
    let anchors = Anchors::simulated(&pem, &AwsLc).unwrap();
    assert!(anchors.amd.is_empty() && anchors.nitro.len() == 1 && anchors.nitro[0].simulated());
    let both = format!("{pem}{}", MILAN.roots_pem());
    let anchors = Anchors::simulated(&both, &AwsLc).unwrap();
    assert_eq!((anchors.amd.len(), anchors.nitro.len()), (1, 1));
    let wrong = shaped(|s| s.certificates[0].signer = 1).root_pem();
    assert!(Anchors::simulated(&wrong, &AwsLc).is_err());
    let wrong = shaped(|s| s.certificates[0].basic = Some((false, None))).root_pem();
    assert!(Anchors::simulated(&wrong, &AwsLc).is_err());
    let nobody = shaped(|s| s.certificates[0].name = "other".into()).root_pem();
    assert!(Anchors::simulated(&nobody, &AwsLc).is_err());
    assert!(!Root::aws().simulated());
    let Some(folder) = corpus::folder("roots_are_told_apart") else { return };
    let der = corpus::read(&folder.join("roots/vendor/aws-nitro-root.der"));
    let pem = der::pem::encode_string("CERTIFICATE", Default::default(), &der).unwrap();
    let error = Anchors::simulated(&pem, &AwsLc).unwrap_err();
    assert!(error.to_string().contains("built in"), "{error}");
}
