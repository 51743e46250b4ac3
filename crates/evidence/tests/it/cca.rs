// SPDX-License-Identifier: Apache-2.0

//! Tokens of Arm CCA: those of others with known verdicts, and simulated ones for everything else.

use std::sync::LazyLock;

use enarx_evidence as evidence;
use evidence::crypto::AwsLc;
use evidence::policy::Policy;
use evidence::result::{AttestationResult, TeeFacts};
use evidence::{Anchors, Context, Evidence, Kind, Refusal, Verified};
use testkit::silicon::{CcaShape, Curve, Envelope, SimulatedCca, Value, cbor, cbor_map, set};

use crate::corpus::{self, Case};
use crate::nitro::Remembering;
use crate::world::{Key, MILAN, NOW, policy};

fn evidence_of(token: Vec<u8>) -> Evidence {
    Evidence { kind: Kind::Cca, statement: token, claims: None, endorsements: Vec::new() }
}

fn context<'a>(policy: &'a Policy, anchors: &'a Anchors) -> Context<'a> {
    Context { policy, anchors, nonces: None, build: "test 1", now: NOW, verifier: &AwsLc }
}

fn verify(token: &[u8], policy: &Policy, anchors: &Anchors) -> Result<Verified, Refusal> {
    evidence::verify(&evidence_of(token.to_vec()), &context(policy, anchors))
}

/// `[[cca.platform]]` of a policy.
fn platform(key: &str, implementation_id: &str, more: &str) -> String {
    format!(
        "[[cca.platform]]\nkey = '''\n{key}'''\nimplementation_id = \"{implementation_id}\"\n{more}\n"
    )
}

#[test]
fn tokens_get_their_known_verdicts() {
    let Some(folder) = corpus::folder("tokens_get_their_known_verdicts") else { return };
    let cases = corpus::cases(&folder, "cca");
    let tally = corpus::all_agree(&cases, |case, verdict| {
        let fact = |fact: &str| case.fact(fact).unwrap();
        let mut text =
            format!("[cca]\npersonalization = [\"{}\"]\n", fact("personalisation_value"));
        match verdict.policy.as_str() {
            "baseline, no platform key trusted" => {}
            "baseline + cpak.pem trusted for this implementation id and instance id" => {
                let instance = format!("instance_id = [\"{}\"]", fact("instance_id"));
                let key = case.text("cpak.pem").unwrap();
                text.push_str(&platform(&key, fact("implementation_id"), &instance));
            }
            other => panic!("{}: a policy unheard of: {other}", case.name),
        }
        let outcome = verify(&case.file("token.cbor"), &policy(&text), &Anchors::default());
        Some(outcome.inspect(|verified| facts_agree(case, verified)))
    });
    assert!(cases.len() >= 5 && tally.agreed >= 10 && tally.taken >= 4, "{tally:?}");
}

fn facts_agree(case: &Case, verified: &Verified) {
    let name = &case.name;
    let fact = |fact: &str| case.fact(fact);
    let Verified { bound, facts, .. } = verified;
    let TeeFacts::Cca(cca) = &facts.tee else { panic!("{name}: {facts:?}") };
    assert_eq!(fact("realm_challenge"), bound.map(hex::encode).as_deref(), "{name}");
    assert_eq!(fact("realm_initial_measurement"), Some(facts.measurement.as_str()), "{name}");
    assert_eq!(fact("implementation_id"), Some(cca.implementation_id.as_str()), "{name}");
    assert_eq!(fact("instance_id"), Some(cca.instance_id.as_str()), "{name}");
    assert_eq!(fact("lifecycle_state"), Some(cca.lifecycle.as_str()), "{name}");
    assert!(!facts.debug && !facts.pinned && facts.relaxations.is_empty(), "{name}");
    // Anybody can sign with these keys, whatever the policy says.
    assert!(facts.simulated, "{name}");
}

static CCA: LazyLock<SimulatedCca> =
    LazyLock::new(|| SimulatedCca::generate(Curve::P384, Curve::P384).unwrap());

fn shaped(change: impl FnOnce(&mut CcaShape)) -> SimulatedCca {
    CCA.with_shape(change)
}

fn simulated(silicon: &SimulatedCca) -> Anchors {
    Anchors::simulated(&silicon.key_pem(), &AwsLc).unwrap()
}

/// A token of this silicon under this policy, by the key of the same silicon.
fn judged(silicon: &SimulatedCca, policy_text: &str) -> Result<Verified, Refusal> {
    verify(&silicon.token(&[7; 64]).unwrap(), &policy(policy_text), &simulated(silicon))
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
    for at in 0..16 {
        let silicon = shaped(|s| {
            s.platform_2023 = at & 1 == 0;
            s.realm_2023 = at & 2 == 0;
            s.cmw = at & 4 == 0;
            s.platform_envelope.tagged = at & 8 == 0;
            s.realm_envelope.tagged = at & 8 == 0;
        });
        let verified = judged(&silicon, "").unwrap();
        assert_eq!((verified.bound, verified.public_key), (Some([7; 64]), None));
        let facts = verified.facts;
        assert!(facts.simulated && !facts.pinned && !facts.debug && facts.relaxations.is_empty());
        assert_eq!((facts.measurement, facts.signer), ("4d".repeat(32), None));
        let TeeFacts::Cca(cca) = facts.tee else { panic!("{:?}", facts.tee) };
        assert_eq!(cca.rems, [(1, "01".repeat(32))].into());
    }
    for (platform, realm) in [
        (Curve::P256, Curve::P384),
        (Curve::P384, Curve::P256),
        (Curve::P521, Curve::P521),
        (Curve::P256, Curve::P521),
    ] {
        let silicon = SimulatedCca::generate(platform, realm).unwrap();
        assert!(judged(&silicon, "").is_ok(), "{platform:?} {realm:?}");
        // Without a profile, the key is one on P-384.
        let legacy = judged(&silicon.with_shape(|s| s.realm_2023 = false), "");
        if realm == Curve::P384 {
            assert!(legacy.is_ok());
        } else {
            refused("a point on another curve", legacy, "token-malformed");
        }
    }
    for (hash, size) in [("sha-256", 32), ("sha-384", 48), ("sha-512", 64)] {
        let silicon = shaped(|s| {
            let value = || Value::Bytes(vec![9; size]);
            s.realm.push((44_240, Some(hash.into())));
            s.realm.push((44_236, Some(hash.into())));
            s.realm.push((44_238, Some(value())));
            s.realm.push((44_239, Some(Value::Array(vec![value(); 4]))));
        });
        assert_eq!(judged(&silicon, "").unwrap().facts.measurement, "09".repeat(size));
    }
}

fn bytes(length: usize) -> Option<Value> {
    Some(Value::Bytes(vec![1; length]))
}

fn many(count: usize) -> Value {
    let component = Value::Map(vec![
        (Value::from(2), Value::Bytes(vec![1; 32])),
        (Value::from(5), Value::Bytes(vec![1; 32])),
    ]);
    Value::Array(vec![component; count])
}

fn component(entries: &[(i64, Value)]) -> Option<Value> {
    let entries = entries.iter().map(|(label, value)| (Value::from(*label), value.clone()));
    Some(Value::Array(vec![Value::Map(entries.collect())]))
}

#[test]
fn what_a_platform_claims() {
    let hash = || Value::Bytes(vec![1; 32]);
    let rows: [(&str, i64, Option<Value>, bool); 52] = [
        ("no profile", 265, None, false),
        ("an unknown profile", 265, Some("tag:arm.com,2024:cca_platform#2.0.0".into()), false),
        ("a realm's profile", 265, Some("tag:arm.com,2023:realm#1.0.0".into()), false),
        ("a profile of bytes", 265, bytes(4), false),
        ("no challenge", 10, None, false),
        ("a challenge of 31 bytes", 10, bytes(31), false),
        ("no implementation", 2396, None, false),
        ("an implementation of 31 bytes", 2396, bytes(31), false),
        ("an implementation of 33 bytes", 2396, bytes(33), false),
        ("no instance", 256, None, false),
        ("an instance of 32 bytes", 256, bytes(32), false),
        ("an instance of 34 bytes", 256, bytes(34), false),
        ("an instance of another type", 256, Some(Value::Bytes(vec![2; 33])), false),
        ("no life cycle", 2395, None, false),
        ("life cycle 0x3100", 2395, Some(0x3100.into()), false),
        ("life cycle 0x0100", 2395, Some(0x0100.into()), false),
        ("life cycle 0x7000", 2395, Some(0x7000.into()), false),
        ("life cycle 0x13000", 2395, Some(0x13000.into()), false),
        ("a negative life cycle", 2395, Some((-1).into()), false),
        ("life cycle 0x30ff", 2395, Some(0x30ff.into()), true),
        ("no configuration", 2401, None, false),
        ("a large configuration", 2401, bytes(1025), false),
        ("the largest configuration", 2401, bytes(1024), true),
        ("an empty configuration", 2401, bytes(0), true),
        ("no hash algorithm", 2402, None, false),
        ("an unknown hash algorithm", 2402, Some("sha-1".into()), false),
        ("another hash algorithm", 2402, Some("sha-512".into()), true),
        ("no service", 2400, None, true),
        ("a service of bytes", 2400, bytes(4), false),
        ("a long service", 2400, Some("s".repeat(513).into()), false),
        ("the longest service", 2400, Some("s".repeat(512).into()), true),
        ("no components", 2399, None, false),
        ("an empty list of components", 2399, Some(Value::Array(vec![])), false),
        ("65 components", 2399, Some(many(65)), false),
        ("64 components", 2399, Some(many(64)), true),
        ("a component that is none", 2399, Some(Value::Array(vec![1.into()])), false),
        ("a component of nothing", 2399, component(&[]), false),
        ("no measurement", 2399, component(&[(5, hash())]), false),
        ("no signer", 2399, component(&[(2, hash())]), false),
        ("measurement and signer", 2399, component(&[(2, hash()), (5, hash())]), true),
        (
            "a measurement of 20 bytes",
            2399,
            component(&[(2, Value::Bytes(vec![1; 20])), (5, hash())]),
            false,
        ),
        (
            "a signer of 20 bytes",
            2399,
            component(&[(2, hash()), (5, Value::Bytes(vec![1; 20]))]),
            false,
        ),
        ("a name of bytes", 2399, component(&[(1, hash()), (2, hash()), (5, hash())]), false),
        ("a version of bytes", 2399, component(&[(2, hash()), (4, hash()), (5, hash())]), false),
        ("a measurement twice", 2399, component(&[(2, hash()), (2, hash()), (5, hash())]), false),
        (
            "a component's claim of tomorrow",
            2399,
            component(&[(2, hash()), (5, hash()), (7, Value::Bool(true))]),
            true,
        ),
        (
            "a long name",
            2399,
            component(&[(1, "n".repeat(513).into()), (2, hash()), (5, hash())]),
            false,
        ),
        ("a claim of tomorrow", 2403, bytes(4), true),
        ("a negative claim", -70_000, Some(1.into()), true),
        (
            "another component's hash",
            2399,
            component(&[(2, hash()), (5, hash()), (6, 1.into())]),
            false,
        ),
        ("a nested claim", 70_000, Some(Value::Array(vec![Value::Map(vec![]); 9])), true),
        ("a challenge of text", 10, Some("c".into()), false),
    ];
    for (what, label, value, fine) in rows {
        let outcome = judged(&shaped(|s| s.platform.push((label, value))), "");
        if fine {
            assert!(outcome.is_ok(), "{what}: {outcome:?}");
        } else {
            refused(what, outcome, "token-malformed");
        }
    }
}

#[test]
fn an_unknown_life_cycle_is_named() {
    let silicon = shaped(|s| s.platform.push((2395, Some(0x7000.into()))));
    let refusal = refused("life cycle 0x7000", judged(&silicon, ""), "token-malformed");
    assert!(refusal.detail.contains("no life cycle 0x7000"), "{refusal}");
}

#[test]
fn what_a_realm_claims() {
    let array = |count, length| Some(Value::Array(vec![Value::Bytes(vec![1; length]); count]));
    let rows: [(&str, i64, Option<Value>, bool); 33] = [
        ("an unknown profile", 265, Some("tag:arm.com,2024:realm#2.0.0".into()), false),
        ("a platform's profile", 265, Some("http://arm.com/CCA-SSD/1.0.0".into()), false),
        ("no profile for a COSE_Key", 265, None, false),
        ("no challenge", 10, None, false),
        ("a challenge of 63 bytes", 10, bytes(63), false),
        ("a challenge of 65 bytes", 10, bytes(65), false),
        ("no personalization value", 44_235, None, false),
        ("a personalization value of 63 bytes", 44_235, bytes(63), false),
        ("a personalization value of 65 bytes", 44_235, bytes(65), false),
        ("no hash algorithm", 44_236, None, false),
        ("an unknown hash algorithm", 44_236, Some("sha-3".into()), false),
        ("a hash algorithm of bytes", 44_236, bytes(7), false),
        ("a longer hash than measurements", 44_236, Some("sha-384".into()), false),
        ("no key", 44_237, None, false),
        ("an empty key", 44_237, bytes(0), false),
        ("a large key", 44_237, bytes(513), false),
        ("a key that is none", 44_237, bytes(97), false),
        ("no initial measurement", 44_238, None, false),
        ("an initial measurement of 20 bytes", 44_238, bytes(20), false),
        ("measurements of two lengths", 44_238, bytes(48), false),
        ("no extensible measurements", 44_239, None, false),
        ("three extensible measurements", 44_239, array(3, 32), false),
        ("five extensible measurements", 44_239, array(5, 32), false),
        ("extensible measurements of 20 bytes", 44_239, array(4, 20), false),
        ("longer extensible measurements", 44_239, array(4, 64), false),
        ("other extensible measurements", 44_239, array(4, 32), true),
        ("no hash algorithm of the key", 44_240, None, false),
        ("an unknown hash algorithm of the key", 44_240, Some("sha3-256".into()), false),
        ("another hash algorithm of the key", 44_240, Some("sha-384".into()), true),
        ("a claim of tomorrow", 44_243, Some("private".into()), true),
        ("a challenge of text", 10, Some("c".into()), false),
        ("a key of text", 44_237, Some("k".into()), false),
        ("a profile of bytes", 265, bytes(8), false),
    ];
    for (what, label, value, fine) in rows {
        let outcome = judged(&shaped(|s| s.realm.push((label, value))), "");
        if fine {
            assert!(outcome.is_ok(), "{what}: {outcome:?}");
        } else {
            refused(what, outcome, "token-malformed");
        }
    }
    let legacy = shaped(|s| s.realm_2023 = false);
    let profiled = legacy.with_shape(|s| {
        s.realm.push((265, Some("tag:arm.com,2023:realm#1.0.0".into())));
    });
    refused("a point under a profile", judged(&profiled, ""), "token-malformed");
}

#[test]
fn how_a_realm_writes_its_key() {
    type Edit = fn(&mut Vec<(Value, Value)>);
    let rows: [(&str, Edit, bool); 16] = [
        ("as it is", |_| (), true),
        ("in another order", |k| k.reverse(), true),
        ("with its algorithm", |k| set(k, 3, Some((-35).into())), true),
        ("with another algorithm", |k| set(k, 3, Some((-7).into())), false),
        ("to verify", |k| set(k, 4, Some(Value::Array(vec![2.into()]))), true),
        ("to sign", |k| set(k, 4, Some(Value::Array(vec![1.into()]))), false),
        ("of another type", |k| set(k, 1, Some(1.into())), false),
        ("without type", |k| set(k, 1, None), false),
        ("on another curve", |k| set(k, -1, Some(1.into())), false),
        ("without curve", |k| set(k, -1, None), false),
        ("without x", |k| set(k, -2, None), false),
        ("a short x", |k| set(k, -2, Some(Value::Bytes(vec![1; 47]))), false),
        ("a compressed y", |k| set(k, -3, Some(Value::Bool(true))), false),
        ("a private key", |k| set(k, -4, Some(Value::Bytes(vec![1; 48]))), false),
        ("x twice", |k| k.push((Value::from(-2), Value::Bytes(vec![1; 48]))), false),
        ("with an identifier", |k| set(k, 2, Some(Value::Bytes(vec![1; 48]))), true),
    ];
    for (what, edit, fine) in rows {
        let mut key = CCA.realm_cose_key();
        edit(&mut key);
        let key = Value::Bytes(cbor_map(&key));
        let outcome = judged(&shaped(|s| s.realm.push((44_237, Some(key)))), "");
        if fine {
            assert!(outcome.is_ok(), "{what}: {outcome:?}");
        } else {
            refused(what, outcome, "token-malformed");
        }
    }
}

#[test]
fn how_a_token_is_put_together() {
    let anchors = simulated(&CCA);
    let strict = policy("");
    let look = |token: &[u8]| verify(token, &strict, &anchors);
    let realm_claims = CCA.realm_claims(&[7; 64]);
    let realm = CCA.sign_realm(&cbor_map(&realm_claims)).unwrap();
    let platform_claims = CCA.platform_claims(&realm_claims);
    let platform = CCA.sign_platform(&cbor_map(&platform_claims)).unwrap();
    let (p, r) = (Value::Bytes(platform.clone()), Value::Bytes(realm.clone()));
    let cmw = |format: i64, token: &Value| Value::Array(vec![format.into(), token.clone()]);
    let whole = |tag: u64, entries: &[(i64, Value)]| {
        let entries = entries.iter().map(|(label, value)| (Value::from(*label), value.clone()));
        cbor(&Value::Tag(tag, Box::new(Value::Map(entries.collect()))))
    };
    let both = [(44_234, p.clone()), (44_241, r.clone())];
    let records = [(44_234, cmw(263, &p)), (44_241, cmw(263, &r))];
    for (what, token) in [
        ("a collection", whole(399, &both)),
        ("the other way round", whole(399, &[both[1].clone(), both[0].clone()])),
        ("CMWs", whole(907, &records)),
    ] {
        assert!(look(&token).is_ok(), "{what}");
    }
    let good = whole(399, &both);
    let three = Value::Array(vec![263.into(), p.clone(), 4.into()]);
    for (what, token) in [
        ("nothing", vec![]),
        ("another tag", whole(398, &both)),
        ("CMWs under 399", whole(399, &records)),
        ("bytes under 907", whole(907, &both)),
        ("no tag", good[3..].to_vec()),
        ("two tags", [&[0xd8, 99], &good[..]].concat()),
        ("a CMW of another type", whole(907, &[(44_234, cmw(61, &p)), (44_241, cmw(263, &r))])),
        ("a CMW with an indicator", whole(907, &[(44_234, three), (44_241, cmw(263, &r))])),
        ("no realm", whole(399, &both[..1])),
        ("no platform", whole(399, &both[1..])),
        ("the platform twice", whole(399, &[both[0].clone(), both[0].clone()])),
        ("a third token", whole(399, &[both[0].clone(), both[1].clone(), (44_258, p.clone())])),
        ("another token", whole(399, &[both[0].clone(), (44_258, r.clone())])),
        ("swapped tokens", whole(399, &[(44_234, r.clone()), (44_241, p.clone())])),
        ("something behind", [&good[..], &[0]].concat()),
        ("an open map", [&good[..3], &[0xbf], &good[4..], &[0xff]].concat()),
        ("a long tag", [&[0xda, 0, 0], &good[1..]].concat()),
    ] {
        refused(what, look(&token), "token-malformed");
    }
    for length in 0..good.len() {
        refused("a part", look(&good[..length]), "token-malformed");
    }
    let large = vec![0xd9; 16 * 1024 + 1];
    let refusal = refused("too large", look(&large), "token-malformed");
    assert!(refusal.detail.contains("16385"), "{refusal}");
    // Claims: something behind, open maps, a claim twice, too many.
    let mut open = cbor_map(&platform_claims);
    open[0] = 0xbf;
    open.push(0xff);
    let filler = |claims: &[(Value, Value)], count: i64| {
        let filler = (0..count).map(|at| (Value::from(100_000 + at), Value::from(0)));
        let filler = filler.take(usize::try_from(count).unwrap() - claims.len());
        cbor_map(&[claims, &filler.collect::<Vec<_>>()].concat())
    };
    let twice = |claims: &[(Value, Value)]| cbor_map(&[claims, &claims[..1]].concat());
    let behind = |claims: &[(Value, Value)]| [&cbor_map(claims)[..], &[0]].concat();
    for (what, claims, fine) in [
        ("open", open, false),
        ("something behind", behind(&platform_claims), false),
        ("twice", twice(&platform_claims), false),
        ("65 claims", filler(&platform_claims, 65), false),
        ("64 claims", filler(&platform_claims, 64), true),
        ("an array", cbor(&Value::Array(vec![])), false),
        ("nothing", vec![], false),
    ] {
        let signed = CCA.sign_platform(&claims).unwrap();
        let outcome = look(&CCA.collect(signed, realm.clone()));
        assert_eq!(outcome.is_ok(), fine, "{what}");
        if let Err(refusal) = outcome {
            assert_eq!(refusal.check, "token-malformed", "{what}: {refusal}");
        }
    }
    for (what, claims, fine) in [
        ("something behind", behind(&realm_claims), false),
        ("twice", twice(&realm_claims), false),
        ("65 claims", filler(&realm_claims, 65), false),
        ("64 claims", filler(&realm_claims, 64), true),
    ] {
        let signed = CCA.sign_realm(&claims).unwrap();
        let outcome = look(&CCA.collect(platform.clone(), signed));
        assert_eq!(outcome.is_ok(), fine, "{what}");
    }
    let mut evidence = evidence_of(good);
    evidence.endorsements.push(0);
    let outcome = evidence::verify(&evidence, &context(&strict, &anchors));
    refused("endorsements", outcome, "evidence-malformed");
}

#[test]
fn how_the_two_are_wrapped() {
    type Edit = fn(&mut Envelope);
    let rows: [(&str, Edit, Option<&str>); 8] = [
        ("another algorithm", |e| *e = Envelope::of(-7, true), Some("signature")),
        ("EdDSA", |e| *e = Envelope::of(-8, true), Some("token-malformed")),
        ("no algorithm", |e| e.protected.clear(), Some("token-malformed")),
        (
            "an unprotected algorithm",
            |e| e.unprotected.clone_from(&e.protected),
            Some("token-malformed"),
        ),
        (
            "a critical header",
            |e| set(&mut e.protected, 2, Some(Value::Array(vec![4.into()]))),
            Some("token-malformed"),
        ),
        (
            "an unprotected critical header",
            |e| set(&mut e.unprotected, 2, Some(Value::Array(vec![4.into()]))),
            Some("token-malformed"),
        ),
        ("an identifier", |e| set(&mut e.protected, 4, Some(Value::Bytes(vec![1]))), None),
        ("an unprotected one", |e| set(&mut e.unprotected, 4, Some(Value::Bytes(vec![1]))), None),
    ];
    for (what, edit, check) in rows {
        let platform = judged(&shaped(|s| edit(&mut s.platform_envelope)), "");
        let realm = judged(&shaped(|s| edit(&mut s.realm_envelope)), "");
        match check {
            None => assert!(platform.is_ok() && realm.is_ok(), "{what}"),
            Some("signature") => {
                refused(what, platform, "untrusted-root");
                refused(what, realm, "realm-signature");
            }
            Some(check) => {
                refused(what, platform, check);
                refused(what, realm, check);
            }
        }
    }
}

#[test]
fn whose_platform_and_realm_it_is() {
    let token = CCA.token(&[7; 64]).unwrap();
    let none = Anchors::default();
    let (kind, instance) = ("1d".repeat(32), "01".repeat(33));
    let trusting =
        |key: &SimulatedCca, kind: &str, more: &str| policy(&platform(&key.key_pem(), kind, more));
    let of = |instance: &str| format!("instance_id = [\"{instance}\"]");
    let other = SimulatedCca::generate(Curve::P384, Curve::P384).unwrap();
    // A platform of the policy's is genuine, unless it says otherwise.
    for (more, is_simulated) in [
        (String::new(), false),
        (of(&instance), false),
        (format!("instance_id = [\"01{}\", \"{instance}\"]", "02".repeat(32)), false),
        ("simulated = true".to_owned(), true),
        (format!("{}\nsimulated = false", of(&instance)), false),
    ] {
        let facts = verify(&token, &trusting(&CCA, &kind, &more), &none).unwrap().facts;
        assert_eq!(facts.simulated, is_simulated, "{more}");
    }
    let two =
        format!("{}{}", platform(&other.key_pem(), &kind, ""), platform(&CCA.key_pem(), &kind, ""));
    assert!(verify(&token, &policy(&two), &none).is_ok());
    // Nobody's, another kind's, another instance's, another's key.
    refused("no platform", verify(&token, &policy(""), &none), "untrusted-root");
    let outcome = verify(&token, &trusting(&CCA, &"1e".repeat(32), ""), &none);
    refused("another implementation", outcome, "untrusted-root");
    let another = of(&format!("01{}", "02".repeat(32)));
    let outcome = verify(&token, &trusting(&CCA, &kind, &another), &none);
    refused("another instance", outcome, "untrusted-root");
    let outcome = verify(&token, &trusting(&other, &kind, ""), &none);
    refused("another key", outcome, "platform-signature");
    refused("other silicon", verify(&token, &policy(""), &simulated(&other)), "untrusted-root");
    let facts = verify(&token, &trusting(&other, &kind, ""), &simulated(&CCA)).unwrap().facts;
    assert!(facts.simulated);
    // The platform vouches for one realm's key only.
    let anchors = simulated(&CCA);
    let realm = CCA.realm_claims(&[7; 64]);
    let platform_token = CCA.sign_platform(&cbor_map(&CCA.platform_claims(&realm))).unwrap();
    let theirs = other.sign_realm(&cbor_map(&other.realm_claims(&[7; 64]))).unwrap();
    let mixed = CCA.collect(platform_token.clone(), theirs);
    refused("another's realm", verify(&mixed, &policy(""), &anchors), "realm-binding");
    let forged = other.sign_realm(&cbor_map(&realm)).unwrap();
    let mixed = CCA.collect(platform_token, forged);
    refused("another's signature", verify(&mixed, &policy(""), &anchors), "realm-signature");
    for (what, length) in [("a constant", 32), ("another length", 64)] {
        let silicon = shaped(|s| s.platform.push((10, bytes(length))));
        refused(what, judged(&silicon, ""), "realm-binding");
    }
    // The platform hashed by SHA-256, and the realm says that it was another algorithm.
    let disagreeing = shaped(|s| {
        let of_sha256 = CCA.platform_claims(&CCA.realm_claims(&[7; 64]));
        let (_, challenge) = &of_sha256[1];
        s.platform.push((10, Some(challenge.clone())));
        s.realm.push((44_240, Some("sha-384".into())));
    });
    refused("another hash algorithm", judged(&disagreeing, ""), "realm-binding");
}

#[test]
fn what_the_policy_says() {
    let (initial, other) = ("4d".repeat(32), "ab".repeat(32));
    let long = "ab".repeat(64);
    for (line, pinned) in [
        (format!("hash = [\"{other}\", \"{initial}\"]"), true),
        (format!("hash = [\"{initial}\", \"{long}\"]"), true),
        (format!("hash_blacklist = [\"{other}\"]"), false),
        (
            format!("rems = {{ 0 = [\"{}\"], 1 = [\"{}\"] }}", "00".repeat(32), "01".repeat(32)),
            false,
        ),
        (format!("personalization = [\"{long}\", \"{}\"]", "00".repeat(64)), false),
        ("lifecycles = [\"recoverable-debug\"]".to_owned(), false),
        ("component.RMM = {}".to_owned(), false),
        (format!("component.RMM.measurement = [\"{}\"]", "b2".repeat(32)), false),
        (format!("component.RMM.signer = [\"{other}\", \"{}\"]", "51".repeat(32)), false),
        ("component.RMM.minimum_version = \"1.2.3\"".to_owned(), false),
        ("component.RMM.minimum_version = \"1.2\"".to_owned(), false),
        ("component.BL31.minimum_version = \"1\"".to_owned(), false),
    ] {
        let facts = judged(&CCA, &format!("[cca]\n{line}\n")).unwrap().facts;
        assert_eq!((facts.pinned, facts.relaxations.len()), (pinned, 0), "{line}");
    }
    for (line, check) in [
        (format!("hash = [\"{other}\"]"), "measurement"),
        (format!("hash = [\"{initial}00000000000000000000000000000000\"]"), "measurement"),
        (format!("hash_blacklist = [\"{initial}\"]"), "measurement"),
        (format!("rems = {{ 1 = [\"{other}\"] }}"), "rem"),
        (format!("rems = {{ 3 = [\"{long}\"] }}"), "rem"),
        (format!("personalization = [\"{long}\"]"), "personalization"),
        ("personalization = []".to_owned(), "personalization"),
        ("component.SCP = {}".to_owned(), "component"),
        (format!("component.RMM.measurement = [\"{other}\"]"), "component"),
        (format!("component.RMM.signer = [\"{other}\"]"), "component"),
        ("component.RMM.minimum_version = \"1.2.4\"".to_owned(), "component"),
        ("component.RMM.minimum_version = \"1.10\"".to_owned(), "component"),
    ] {
        refused(&line, judged(&CCA, &format!("[cca]\n{line}\n")), check);
    }
    let personal = shaped(|s| s.realm.push((44_235, Some(Value::Bytes(vec![0xab; 64])))));
    refused("a personalization value", judged(&personal, ""), "personalization");
    let named = format!("[cca]\npersonalization = [\"{long}\"]\n");
    assert!(judged(&personal, &named).is_ok());
    let versioned = |version: Option<Value>| {
        let mut entries =
            vec![(1, "RMM".into()), (2, Value::Bytes(vec![1; 32])), (5, Value::Bytes(vec![1; 32]))];
        entries.extend(version.map(|version| (4, version)));
        shaped(|s| s.platform.push((2399, component(&entries))))
    };
    let minimum = "[cca]\ncomponent.RMM.minimum_version = \"0\"\n";
    refused("no version", judged(&versioned(None), minimum), "component");
    refused("words", judged(&versioned(Some("1.2-rc1".into())), minimum), "component");
    assert!(judged(&versioned(Some("0.0".into())), minimum).is_ok());
    // Everything that is wrong is told at once.
    let all = format!("[cca]\nhash = [\"{other}\"]\nrems = {{ 1 = [\"{other}\"] }}\n");
    let refusal = refused("all at once", judged(&CCA.debuggable(), &all), "lifecycle");
    let others: Vec<_> = refusal.others.iter().map(|failure| failure.check).collect();
    assert_eq!(others, ["measurement", "rem"]);
}

#[test]
fn states_of_platforms() {
    let states = [
        ("unknown", 0x0000),
        ("assembly-and-test", 0x1000),
        ("provisioning", 0x2000),
        ("non-platform-debug", 0x4000),
        ("recoverable-debug", 0x5003),
        ("decommissioned", 0x6000),
    ];
    for (name, value) in states {
        let silicon = shaped(|s| s.platform.push((2395, Some(value.into()))));
        let refusal = refused(name, judged(&silicon, ""), "lifecycle");
        assert!(refusal.detail.contains(name), "{refusal}");
        for (other, _) in states {
            let text = format!("[cca]\nlifecycles = [\"{other}\"]\n");
            let Ok(policy) = Policy::parse(&text) else {
                assert!(["unknown", "decommissioned"].contains(&other), "{other}");
                continue;
            };
            let token = silicon.token(&[7; 64]).unwrap();
            let outcome = verify(&token, &policy, &simulated(&silicon));
            if other == name {
                let facts = outcome.unwrap().facts;
                assert!(facts.debug && facts.relaxations == ["lifecycle"], "{name}: {facts:?}");
            } else {
                refused(name, outcome, "lifecycle");
            }
        }
    }
}

#[test]
fn what_a_token_is_about() {
    let key = Key::new();
    let claims = key.claims(None);
    let (strict, anchors) = (policy(""), simulated(&CCA));
    let appraise = |challenge: &[u8; 64], claims: Option<Vec<u8>>, spki: &[u8]| {
        let evidence = Evidence { claims, ..evidence_of(CCA.token(challenge).unwrap()) };
        evidence::appraise_evidence(&evidence, Some(spki), &context(&strict, &anchors))
            .map(|appraisal| appraisal.result)
    };
    let (bytes, data) = (claims.to_bytes(), claims.report_data());
    let result = appraise(&data, Some(bytes.clone()), &key.spki).unwrap();
    assert_eq!(result.facts.tee.name(), "cca");
    assert_eq!(AttestationResult::from_extension(&result.to_extension()), Ok(result));
    let legacy = evidence::claims::legacy_report_data(Kind::Cca, &key.spki);
    assert!(appraise(&legacy, None, &key.spki).is_ok());
    let other = Key::new();
    for outcome in [
        appraise(&[7; 64], Some(bytes.clone()), &key.spki),
        appraise(&data, Some(bytes), &other.spki),
        appraise(&data, None, &key.spki),
        appraise(&legacy, None, &other.spki),
    ] {
        assert_eq!(outcome.unwrap_err().check, "key-binding");
    }
}

#[test]
fn no_bit_of_a_token_can_be_flipped() {
    let token = CCA.token(&[7; 64]).unwrap();
    let (policy, anchors) = (policy(""), simulated(&CCA));
    let verifier = Remembering::default();
    let context = Context { verifier: &verifier, ..context(&policy, &anchors) };
    let mut evidence = evidence_of(token.clone());
    assert!(evidence::verify(&evidence, &context).is_ok());
    for (at, byte) in token.iter().enumerate() {
        for bit in 0..8 {
            evidence.statement[at] = byte ^ 1 << bit;
            assert!(evidence::verify(&evidence, &context).is_err(), "bit {bit} of byte {at}");
        }
        evidence.statement[at] = *byte;
    }
}

#[test]
fn keys_are_told_apart_from_roots() {
    let anchors = simulated(&CCA);
    assert!(anchors.amd.is_empty() && anchors.nitro.is_empty() && anchors.cca.len() == 1);
    assert!(!anchors.cca[0].published());
    let both = format!("{}{}", CCA.key_pem(), MILAN.roots_pem());
    let anchors = Anchors::simulated(&both, &AwsLc).unwrap();
    assert_eq!((anchors.amd.len(), anchors.cca.len()), (1, 1));
    let none = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    assert!(Anchors::simulated(none, &AwsLc).is_err());
}
