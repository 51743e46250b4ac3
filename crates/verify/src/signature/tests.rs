// SPDX-License-Identifier: Apache-2.0

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA384,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use drawbridge_core::signature::{assemble, signing_input};
use drawbridge_core::statement::Statement;
use drawbridge_core::{Entry, TagRecord, media};
use serde_json::json;
use types::digest::Sha256;

use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000);

/// A key pair of whichever kind.
enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Pair {
    fn ec(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        Self::Ec(EcdsaKeyPair::generate(algorithm).unwrap())
    }

    fn p256() -> Self {
        Self::ec(&ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    fn rsa() -> Self {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key);
        Self::Rsa(Box::new(RsaKeyPair::from_pkcs8(der.unwrap().as_ref()).unwrap()))
    }

    fn public(&self) -> PublicKey {
        match self {
            Self::Ec(pair) => PublicKey::from_point(pair.public_key().as_ref()).unwrap(),
            Self::Ed(pair) => PublicKey::Ed25519(pair.public_key().as_ref().to_vec()),
            Self::Rsa(pair) => PublicKey::from_rsa_der(pair.public_key().as_ref()).unwrap(),
        }
    }

    fn owner_key(&self) -> OwnerKey {
        OwnerKey::new(&self.public(), "laptop", None)
    }

    fn raw(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
                    Algorithm::Ps384 => &RSA_PSS_SHA384,
                    _ => &RSA_PKCS1_SHA256,
                };
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    fn sign(&self, statement: &Statement, algorithm: Algorithm) -> String {
        let input = signing_input(statement, &self.public().thumbprint(), algorithm);
        assemble(&input, &self.raw(algorithm, input.as_bytes()))
    }

    /// Signs whatever header and payload.
    fn sign_text(&self, header: &str, payload: &str) -> String {
        let input =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        assemble(&input, &self.raw(Algorithm::Es256, input.as_bytes()))
    }
}

fn statement() -> Statement {
    Statement {
        digest: Sha256([0x11; 32]),
        host: "store.example.com".into(),
        iat: NOW.0,
        repo: "app".into(),
        tag: "1.2.0".into(),
        user: "team".into(),
    }
}

fn about() -> About<'static> {
    About {
        host: "store.example.com",
        user: "team",
        repo: "app",
        tag: "1.2.0",
        digest: Sha256([0x11; 32]),
    }
}

fn refused(jws: &str, keys: &[OwnerKey]) -> &'static str {
    judge(jws, &about(), keys, NOW).unwrap_err().check()
}

#[test]
fn signatures_of_every_kind_of_key_count() {
    let ed = Ed25519KeyPair::generate().unwrap();
    for (pair, algorithm) in [
        (Pair::p256(), Algorithm::Es256),
        (Pair::ec(&ECDSA_P384_SHA384_FIXED_SIGNING), Algorithm::Es384),
        (Pair::Ed(ed), Algorithm::EdDsa),
        (Pair::rsa(), Algorithm::Rs256),
        (Pair::rsa(), Algorithm::Ps384),
    ] {
        let jws = pair.sign(&statement(), algorithm);
        let keys = [Pair::p256().owner_key(), pair.owner_key()];
        let signed = judge(&jws, &about(), &keys, NOW).unwrap();
        assert_eq!((signed.kid, signed.name.as_str()), (keys[1].kid.clone(), "laptop"));
        assert_eq!(signed.iat, NOW.0);
    }
}

#[test]
fn signatures_that_do_not_count() {
    let (pair, other) = (Pair::p256(), Pair::p256());
    let keys = [pair.owner_key()];
    let good = pair.sign(&statement(), Algorithm::Es256);
    assert!(judge(&good, &about(), &keys, NOW).is_ok());
    // Another thing: registry, owner, repository, version, content; and one of tomorrow.
    type Change = fn(&mut Statement);
    let changes: [(Change, &str); 8] = [
        (|s| s.host = "store.example.com:8443".into(), "signature.host"),
        (|s| s.host = "mirror.example.com".into(), "signature.host"),
        (|s| s.user = "eve".into(), "signature.repo"),
        (|s| s.repo = "other".into(), "signature.repo"),
        (|s| s.tag = "1.2.1".into(), "signature.tag"),
        (|s| s.digest = Sha256([0x12; 32]), "signature.digest"),
        (|s| s.iat += 301, "signature.future"),
        (|s| s.tag = "v1".into(), "signature.form"),
    ];
    for (change, check) in changes {
        let mut changed = statement();
        change(&mut changed);
        assert_eq!(refused(&pair.sign(&changed, Algorithm::Es256), &keys), check, "{changed:?}");
    }
    // Keys: unknown, of somebody else, under another's id, revoked, past.
    assert_eq!(refused(&good, &[]), "signature.key");
    assert_eq!(refused(&good, &[other.owner_key()]), "signature.key");
    let kid = pair.public().thumbprint();
    let input = signing_input(&statement(), &kid, Algorithm::Es256);
    let forged = assemble(&input, &other.raw(Algorithm::Es256, input.as_bytes()));
    assert_eq!(refused(&forged, &keys), "signature.value");
    let renamed = OwnerKey { kid: kid.clone(), ..other.owner_key() };
    assert_eq!(refused(&forged, &[renamed]), "signature.key");
    let revoked = OwnerKey { revoked: true, ..keys[0].clone() };
    assert_eq!(refused(&good, std::slice::from_ref(&revoked)), "signature.key-revoked");
    assert_eq!(refused(&forged, &[revoked]), "signature.value");
    let until = |end| OwnerKey { not_after: Some(end), ..keys[0].clone() };
    assert_eq!(refused(&good, &[until(NOW.0 - 1)]), "signature.key-expired");
    assert!(judge(&good, &about(), &[until(NOW.0)], NOW).is_ok());
    // Algorithms: none, a secret made of the public key, another kind's, another spelling, one that the owner does not want.
    let header =
        |alg: &str| format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"enarx-tag-signature+jwt"}}"#);
    let payload = serde_json::to_string(&statement()).unwrap();
    for alg in ["none", "None", "", "HS256", "HS512", "ES384", "RS256", "EdDSA", "Ed25519", "es256"]
    {
        assert_eq!(
            refused(&pair.sign_text(&header(alg), &payload), &keys),
            "signature.algorithm",
            "{alg}"
        );
    }
    let unsigned =
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(header("none")), URL_SAFE_NO_PAD.encode(&payload));
    assert_eq!(refused(&unsigned, &keys), "signature.algorithm");
    let PublicKey::Ec(_, point) = pair.public() else { panic!("of another kind") };
    for secret in
        [point.as_slice(), serde_json::to_string(&pair.public().to_jwk()).unwrap().as_bytes()]
    {
        let input = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header("HS256")),
            URL_SAFE_NO_PAD.encode(&payload)
        );
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
        assert_eq!(refused(&assemble(&input, tag.as_ref()), &keys), "signature.algorithm");
    }
    let only = OwnerKey { alg: Some("PS256".into()), ..Pair::rsa().owner_key() };
    assert!(!only.takes(&only.public().unwrap(), Algorithm::Rs256));
    // Forms: other members, another order, another type: the registry's own statement among them.
    let members = [
        payload.replace("\"user\":\"team\"", "\"user\":\"team\",\"x\":1"),
        payload.replace("\"user\":\"team\"", "\"user\":\"team\",\"user\":\"team\""),
        payload.replace("{\"digest\"", "{ \"digest\""),
        payload.replace("\"iat\":", "\"exp\":1,\"iat\":"),
    ];
    for bad in members {
        assert_ne!(bad, payload);
        assert_eq!(
            refused(&pair.sign_text(&header("ES256"), &bad), &keys),
            "signature.form",
            "{bad}"
        );
    }
    for bad in [
        header("ES256").replace("enarx-tag-signature+jwt", "enarx-tag+jwt"),
        header("ES256").replace("enarx-tag-signature+jwt", "JWT"),
        header("ES256").replace(",\"typ\"", ",\"crit\":[\"x\"],\"typ\""),
        header("ES256").replace(",\"typ\"", ",\"jwk\":{},\"typ\""),
        header("ES256").replace(&kid, "laptop"),
    ] {
        assert_eq!(refused(&pair.sign_text(&bad, &payload), &keys), "signature.form", "{bad}");
    }
    let state = statement().signing_input(&kid);
    let state = assemble(&state, &pair.raw(Algorithm::Es256, state.as_bytes()));
    assert_eq!(refused(&state, &keys), "signature.form");
    assert!(Parsed::parse(&good).is_err(), "an owner's signature is no registry's statement");
    let parsed = Parsed::parse(&state).unwrap();
    assert!(is_stated_by(&parsed, &pair.public()) && !is_stated_by(&parsed, &other.public()));
    for bad in
        [String::new(), "..".into(), format!("{good}="), format!("{good}.x"), "x".repeat(5000)]
    {
        assert_eq!(refused(&bad, &keys), "signature.form");
    }
}

#[test]
fn every_changed_character_is_noticed() {
    let pair = Pair::p256();
    let keys = [pair.owner_key()];
    let good = pair.sign(&statement(), Algorithm::Es256);
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let bad = String::from_utf8(bytes).unwrap();
        assert!(judge(&bad, &about(), &keys, NOW).is_err(), "{at}");
    }
}

#[test]
fn tags_signed_by_their_author() {
    let (pair, other) = (Pair::p256(), Pair::Ed(Ed25519KeyPair::generate().unwrap()));
    let keys = [pair.owner_key(), other.owner_key()];
    let entry = TagRecord(Entry::of(b"abc", media::WASM)).to_bytes();
    let payload = URL_SAFE_NO_PAD.encode(&entry);
    let one = |pair: &Pair, alg: Algorithm, more: &str| {
        let kid = pair.public().thumbprint();
        let header = format!(r#"{{"alg":"{}","kid":"{kid}"{more}}}"#, alg.name());
        let protected = URL_SAFE_NO_PAD.encode(header);
        let signature = pair.raw(alg, format!("{protected}.{payload}").as_bytes());
        json!({"protected": protected, "signature": URL_SAFE_NO_PAD.encode(signature)})
    };
    let general = |all: &[serde_json::Value]| json!({"payload": payload, "signatures": all});
    let judge = |wire: &serde_json::Value, keys: &[OwnerKey]| {
        let jose = Jose::parse(wire.to_string().as_bytes()).map_err(|_| "parse")?;
        assert_eq!(jose.tag.to_bytes(), entry);
        judge_jose(&jose, keys, NOW).map_err(|refused| refused.check())
    };
    let first = one(&pair, Algorithm::Es256, r#","typ":"JOSE+JSON","cty":"x""#);
    let second = one(&other, Algorithm::EdDsa, "");
    let mut flat = first.clone();
    flat["payload"] = json!(payload);
    assert_eq!(judge(&flat, &keys), Ok(()));
    assert_eq!(judge(&general(&[first.clone(), second.clone()]), &keys), Ok(()));
    // All of them have to be good.
    let both = general(&[first.clone(), second.clone()]);
    assert_eq!(judge(&both, &keys[..1]), Err("signature.key"));
    let gone = [keys[0].clone(), OwnerKey { revoked: true, ..keys[1].clone() }];
    assert_eq!(judge(&both, &gone), Err("signature.key-revoked"));
    let past = [OwnerKey { not_after: Some(1), ..keys[0].clone() }, keys[1].clone()];
    assert_eq!(judge(&both, &past), Err("signature.key-expired"));
    let mut swapped = first.clone();
    swapped["signature"] = second["signature"].clone();
    assert_eq!(judge(&general(&[swapped]), &keys), Err("signature.value"));
    assert_eq!(judge(&general(&[]), &keys), Err("signature.form"));
    assert_eq!(judge(&general(&vec![first.clone(); 9]), &keys), Err("signature.form"));
    let crit = one(&pair, Algorithm::Es256, r#","crit":["b64"],"b64":false"#);
    assert_eq!(judge(&general(&[crit]), &keys), Err("signature.form"));
    let mut both_forms = general(std::slice::from_ref(&first));
    both_forms["protected"] = first["protected"].clone();
    both_forms["signature"] = first["signature"].clone();
    assert_eq!(judge(&both_forms, &keys), Err("signature.form"));
    for alg in ["none", "HS256"] {
        let header = format!(r#"{{"alg":"{alg}","kid":"{}"}}"#, keys[0].kid);
        let bad = json!({"protected": URL_SAFE_NO_PAD.encode(header), "signature": ""});
        assert_eq!(judge(&general(&[bad]), &keys), Err("signature.algorithm"));
    }
    // A key may be named outside of what is signed; the algorithm not.
    let protected = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
    let signature = pair.raw(Algorithm::Es256, format!("{protected}.{payload}").as_bytes());
    let mut outside =
        json!({"protected": protected, "signature": URL_SAFE_NO_PAD.encode(signature)});
    assert_eq!(judge(&general(&[outside.clone()]), &keys), Err("signature.key"));
    outside["header"] = json!({"kid": keys[0].kid});
    assert_eq!(judge(&general(&[outside]), &keys), Ok(()));
    let other_payload = json!({"payload": URL_SAFE_NO_PAD.encode("{}"), "signatures": [first]});
    assert_eq!(judge(&other_payload, &keys), Err("parse"));
}
