// SPDX-License-Identifier: Apache-2.0

//! Owners' keys and signatures.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use drawbridge_client::drawbridge_core::jwk::PublicKey;
use drawbridge_client::drawbridge_core::keys::{KeysDocument, OwnerKey};
use drawbridge_client::drawbridge_core::signature::{assemble, signing_input};
use drawbridge_client::drawbridge_core::statement::Statement;
use drawbridge_client::drawbridge_core::{RepoRecord, Tree, UserRecord};
use drawbridge_client::{Client, Error};
use serde_json::json;
use types::digest::Sha256;

use crate::world::{HOST, Options, World, describe, digest, files, now, slug, status};

/// A key of an owner.
struct Signer {
    pair: EcdsaKeyPair,
    key: OwnerKey,
}

impl Signer {
    fn new(name: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let public = PublicKey::from_point(pair.public_key().as_ref()).unwrap();
        Self { pair, key: OwnerKey::new(&public, name, None) }
    }

    fn raw(&self, input: &str) -> Vec<u8> {
        self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap().as_ref().to_vec()
    }

    fn sign(&self, statement: &Statement) -> String {
        let algorithm = self.key.public().unwrap().algorithm();
        let input = signing_input(statement, &self.key.kid, algorithm);
        assemble(&input, &self.raw(&input))
    }
}

fn statement(name: &str) -> Statement {
    let slug = slug(name);
    Statement {
        digest: digest(),
        host: HOST.to_owned(),
        iat: now().0,
        repo: slug.repo,
        tag: slug.tag.to_string(),
        user: slug.user,
    }
}

fn keys(client: &Client, owner: &str, keys: &[&OwnerKey]) {
    let there = client.document::<KeysDocument>(owner, None).unwrap();
    let document = KeysDocument { keys: keys.iter().map(|key| (*key).clone()).collect() };
    client.put_document(owner, None, &document, there.etag.as_deref()).unwrap();
}

fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String) {
    match result.unwrap_err() {
        Error::Refused { problem, .. } => (problem.status, problem.check.unwrap_or_default()),
        other => panic!("{other}"),
    }
}

fn is(status: u16, check: &str) -> (u16, String) {
    (status, check.to_owned())
}

#[test]
fn keys_are_the_owners_to_change_and_everybodys_to_know() {
    let world = World::with(Options { audit: true, ..Options::default() });
    let ann = world.register("app", false, false);
    let (laptop, eve) = (Signer::new("laptop"), Signer::new("eve"));
    let document = |signer: &Signer| KeysDocument { keys: vec![signer.key.clone()] };
    // Nobody's name looks like one without keys.
    let nobody = world.anonymous().document::<KeysDocument>("nobody", None).unwrap();
    assert_eq!(world.anonymous().document::<KeysDocument>("ann", None).unwrap(), nobody);
    assert_eq!(nobody.value, KeysDocument::default());
    let put = |client: &Client, who: &Signer, etag: Option<&str>| {
        status(client.put_document("ann", None, &document(who), etag))
    };
    assert_eq!(put(&world.anonymous(), &eve, None), 401);
    assert_eq!(put(&world.person("eve"), &eve, None), 403);
    assert_eq!(put(&world.keep(digest()), &eve, None), 401);
    assert_eq!(put(&ann, &laptop, nobody.etag.as_deref()), 200);
    assert_eq!(put(&ann, &eve, None), 412);
    let there = world.anonymous().document::<KeysDocument>("ann", None).unwrap();
    assert_eq!(there.value, document(&laptop));
    // No private key is taken, whoever sends one by mistake.
    let mut private = serde_json::to_value(document(&laptop)).unwrap();
    private["keys"][0]["d"] = json!("AAAA");
    let (token, body) = (world.token("ann", crate::world::ALL), private.to_string());
    let head = [
        ("Authorization", format!("Bearer {token}")),
        ("Content-Type", "application/json".to_owned()),
        ("Content-Length", body.len().to_string()),
        ("If-Match", format!("\"{}\"", there.etag.unwrap())),
    ];
    let head: Vec<_> = head.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(world.put("ann/_keys", &head, body.as_bytes()), 400);
    let log: String = std::fs::read_dir(world.audit_dir())
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default())
        .collect();
    assert!(log.contains(r#""action":"change-keys","outcome":"granted","name":"ann""#), "{log}");
    assert!(log.contains(&laptop.key.kid), "{log}");
}

#[test]
fn signatures_are_judged_when_they_come_and_whenever_they_are_read() {
    let world = World::new();
    let ann = world.register("app", true, false);
    world.register("other", true, false);
    let bob = world.person("bob");
    bob.user_put("bob", &UserRecord { subject: "bob".into() }).unwrap();
    bob.repo_put("bob", "app", &RepoRecord { public: true, ..RepoRecord::default() }).unwrap();
    for (who, name) in [
        (&ann, "ann/app:1.0.0"),
        (&ann, "ann/app:1.1.0"),
        (&ann, "ann/other:1.0.0"),
        (&bob, "bob/app:1.0.0"),
    ] {
        world.publish(who, name).unwrap();
    }
    let (laptop, of_bob, lost) =
        (Signer::new("laptop"), Signer::new("of bob"), Signer::new("lost"));
    keys(&ann, "ann", &[&laptop.key, &lost.key]);
    keys(&bob, "bob", &[&of_bob.key]);
    let version = slug("ann/app:1.0.0");
    let good = laptop.sign(&statement("ann/app:1.0.0"));
    let add = |jws: &str| refused(ann.add_signature(&version, jws));
    // Only those who publish add any, and only to what is there.
    assert_eq!(status(world.anonymous().add_signature(&version, &good)), 401);
    assert_eq!(status(bob.add_signature(&version, &good)), 403);
    assert_eq!(refused(ann.add_signature(&slug("ann/app:9.0.0"), &good)).0, 404);
    // What was signed for something else stays there.
    assert_eq!(add(&laptop.sign(&statement("ann/app:1.1.0"))), is(400, "signature.tag"));
    assert_eq!(add(&laptop.sign(&statement("ann/other:1.0.0"))), is(400, "signature.repo"));
    assert_eq!(add(&laptop.sign(&statement("bob/app:1.0.0"))), is(400, "signature.repo"));
    let elsewhere = Statement { host: "mirror.example.com".into(), ..statement("ann/app:1.0.0") };
    assert_eq!(add(&laptop.sign(&elsewhere)), is(400, "signature.host"));
    let other = Statement { digest: Sha256([9; 32]), ..statement("ann/app:1.0.0") };
    assert_eq!(add(&laptop.sign(&other)), is(400, "signature.digest"));
    assert_eq!(add(&of_bob.sign(&statement("ann/app:1.0.0"))), is(400, "signature.key"));
    let none = good.replacen(
        good.split('.').next().unwrap(),
        &URL_SAFE_NO_PAD.encode(format!(
            r#"{{"alg":"none","kid":"{}","typ":"enarx-tag-signature+jwt"}}"#,
            laptop.key.kid
        )),
        1,
    );
    assert_eq!(add(&none), is(400, "signature.algorithm"));
    assert_eq!(add("x"), is(400, "signature.form"));
    // The registry's own statement is none of the owner's.
    let stated = ann.deploy_info(&version).unwrap().statement;
    assert_eq!(add(&stated), is(400, "signature.form"));

    ann.add_signature(&version, &good).unwrap();
    ann.add_signature(&version, &lost.sign(&statement("ann/app:1.0.0"))).unwrap();
    // One of a key is enough.
    let later = Statement { iat: now().0 + 1, ..statement("ann/app:1.0.0") };
    ann.add_signature(&version, &laptop.sign(&later)).unwrap();
    let seen = || {
        let all = world.anonymous().signatures(&version).unwrap().signatures;
        all.into_iter().map(|one| (one.key, one.check)).collect::<Vec<_>>()
    };
    let counts = |name: &str| (Some(name.to_owned()), None);
    let not = |check: &str| (None, Some(check.to_owned()));
    assert_eq!(world.anonymous().signatures(&version).unwrap().signatures[0].jws, good);
    assert_eq!(seen(), [counts("laptop"), counts("lost")]);
    // A key that is revoked, past or gone takes what it signed with it, and it is said why.
    let revoked = OwnerKey { revoked: true, ..lost.key.clone() };
    keys(&ann, "ann", &[&laptop.key, &revoked]);
    assert_eq!(seen(), [counts("laptop"), not("signature.key-revoked")]);
    let page = String::from_utf8(world.get("/_/ann/app/1.0.0", None).2).unwrap();
    assert!(page.contains("laptop, the owner's key"), "{page}");
    assert!(page.contains("does not count</span> signature.key-revoked"), "{page}");
    let past = OwnerKey { not_after: Some(now().0 - 1), ..lost.key.clone() };
    keys(&ann, "ann", &[&laptop.key, &past]);
    assert_eq!(seen(), [counts("laptop"), not("signature.key-expired")]);
    assert_eq!(
        refused(ann.add_signature(&slug("ann/app:1.1.0"), &lost.sign(&statement("ann/app:1.1.0")))),
        is(400, "signature.key-expired")
    );
    keys(&ann, "ann", &[&laptop.key]);
    assert_eq!(seen(), [counts("laptop"), not("signature.key")]);
}

#[test]
fn versions_that_have_to_be_signed_are_hidden_until_they_are() {
    let world = World::with(Options { audit: true, ..Options::default() });
    let ann = world.person("ann");
    ann.user_put("ann", &UserRecord { subject: "ann".into() }).unwrap();
    for (repo, public) in [("open", true), ("found", false)] {
        let record = RepoRecord {
            public,
            discoverable: true,
            require_signature: true,
            ..RepoRecord::default()
        };
        ann.repo_put("ann", repo, &record).unwrap();
    }
    let laptop = Signer::new("laptop");
    keys(&ann, "ann", &[&laptop.key]);
    for name in ["ann/open:1.0.0", "ann/open:1.1.0", "ann/found:1.0.0"] {
        world.publish(&ann, name).unwrap();
    }
    let everybody = |name: &str| {
        let name = slug(name);
        let keep = world.keep(digest());
        [
            status(world.anonymous().tag_entry(&name)),
            status(world.anonymous().fetch_package(&name, &digest())),
            status(world.anonymous().deploy_info(&name)),
            status(keep.fetch_package(&name, &digest())),
            status(keep.deploy_info(&name)),
            world.get(&format!("/v2/ann/{}/manifests/{}", name.repo, name.tag), None).0,
            status(ann.fetch_package(&name, &digest())),
            status(ann.deploy_info(&name)),
        ]
    };
    // Whoever publishes sees what there is to sign; a Keep is started by nobody.
    assert_eq!(everybody("ann/open:1.0.0"), [403, 403, 403, 403, 403, 403, 200, 403]);
    assert_eq!(everybody("ann/found:1.0.0"), [401, 401, 403, 403, 403, 401, 200, 403]);
    let anonymous = world.anonymous();
    assert_eq!(refused(anonymous.tag_entry(&slug("ann/open:1.0.0"))).1, "signature.required");
    assert_eq!(anonymous.tags("ann", "open").unwrap(), []);
    assert_eq!(ann.tags("ann", "open").unwrap().len(), 2);
    let list = world.get("/v2/ann/open/tags/list", None).2;
    assert_eq!(String::from_utf8(list).unwrap(), r#"{"name":"ann/open","tags":[]}"#);

    for name in ["ann/open:1.0.0", "ann/found:1.0.0"] {
        ann.add_signature(&slug(name), &laptop.sign(&statement(name))).unwrap();
    }
    assert_eq!(everybody("ann/open:1.0.0"), [200; 8]);
    assert_eq!(everybody("ann/found:1.0.0"), [401, 401, 200, 200, 200, 401, 200, 200]);
    assert_eq!(everybody("ann/open:1.1.0"), [403, 403, 403, 403, 403, 403, 200, 403]);
    assert_eq!(anonymous.tags("ann", "open").unwrap().len(), 1);
    // Until its key is good for nothing any more.
    keys(&ann, "ann", &[&OwnerKey { revoked: true, ..laptop.key.clone() }]);
    assert_eq!(everybody("ann/open:1.0.0"), [403, 403, 403, 403, 403, 403, 200, 403]);
    assert_eq!(everybody("ann/found:1.0.0"), [401, 401, 403, 403, 403, 401, 200, 403]);
    keys(&ann, "ann", &[&laptop.key]);
    assert_eq!(everybody("ann/open:1.0.0"), [200; 8]);

    // A signature for a tree that never got whole is none for what took its place, and the other way round.
    let put_tag = |files: Vec<(String, Vec<u8>)>| {
        let tag = Tree::from_files(files).unwrap().tag().to_bytes();
        let token = format!("Bearer {}", world.token("ann", crate::world::ALL));
        let head = describe(&tag, "application/vnd.drawbridge.entry.v1+json");
        let mut head: Vec<_> = head.iter().map(|(n, v)| (*n, v.as_str())).collect();
        head.push(("Authorization", &token));
        assert_eq!(world.put("ann/open/_tag/2.0.0", &head, &tag), 201);
    };
    let other = Tree::from_files(vec![("main.wasm".into(), b"\0asm other".to_vec())]).unwrap();
    put_tag(vec![("main.wasm".into(), b"\0asm other".to_vec())]);
    let early = Statement { digest: other.digest(), ..statement("ann/open:2.0.0") };
    ann.add_signature(&slug("ann/open:2.0.0"), &laptop.sign(&early)).unwrap();
    put_tag(files());
    assert_eq!(everybody("ann/open:2.0.0"), [403, 403, 403, 403, 403, 403, 200, 403]);
    ann.add_signature(&slug("ann/open:2.0.0"), &laptop.sign(&statement("ann/open:2.0.0"))).unwrap();
    assert_eq!(everybody("ann/open:2.0.0"), [200; 8]);
    assert_eq!(ann.signatures(&slug("ann/open:2.0.0")).unwrap().signatures.len(), 1);
}

#[test]
fn tags_come_and_go_as_their_author_signed_them() {
    let world = World::new();
    let ann = world.register("app", true, false);
    let (laptop, eve) = (Signer::new("laptop"), Signer::new("eve"));
    keys(&ann, "ann", &[&laptop.key]);
    let tree = Tree::from_files(files()).unwrap();
    let payload = URL_SAFE_NO_PAD.encode(tree.tag().to_bytes());
    let jose = |signer: &Signer| {
        let header = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, signer.key.kid);
        let protected = URL_SAFE_NO_PAD.encode(header);
        let signature = URL_SAFE_NO_PAD.encode(signer.raw(&format!("{protected}.{payload}")));
        json!({"payload": payload, "protected": protected, "signature": signature}).to_string()
    };
    let token = format!("Bearer {}", world.token("ann", crate::world::ALL));
    let put = |tag: &str, body: &str, media_type: &str| {
        let head = describe(body.as_bytes(), media_type);
        let mut head: Vec<_> = head.iter().map(|(n, v)| (*n, v.as_str())).collect();
        head.push(("Authorization", &token));
        world.put(&format!("ann/app/_tag/{tag}"), &head, body.as_bytes())
    };
    let (signed, plain) = (jose(&laptop), String::from_utf8(tree.tag().to_bytes()).unwrap());
    let entry = "application/vnd.drawbridge.entry.v1+json";
    assert_eq!(put("1.0.0", &jose(&eve), "application/jose+json"), 400);
    assert_eq!(put("1.0.0", "{}", "application/jose+json"), 400);
    assert_eq!(put("1.0.0", &signed, "application/jose+json"), 201);
    // The tree arrives as ever, by a client that reads the signed tag.
    let done = world.publish(&ann, "ann/app:1.0.0").unwrap();
    assert_eq!(done.digest, digest());
    let (status, head, body) = world.get("/api/v0.1.0/ann/app/_tag/1.0.0", None);
    assert_eq!((status, body.as_slice()), (200, signed.as_bytes()));
    assert!(head.contains("content-type: application/jose+json"), "{head}");
    assert!(world.anonymous().fetch_package(&slug("ann/app:1.0.0"), &digest()).is_ok());
    assert_eq!(put("1.0.0", &signed, "application/jose+json"), 200);
    assert_eq!(put("1.0.0", &plain, entry), 200);
    // What came plain stays so, and is signed by itself.
    world.publish(&ann, "ann/app:1.1.0").unwrap();
    assert_eq!(put("1.1.0", &signed, "application/jose+json"), 409);
    assert_eq!(put("1.1.0", &plain, entry), 200);
}
