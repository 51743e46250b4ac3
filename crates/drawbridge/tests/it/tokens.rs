// SPDX-License-Identifier: Apache-2.0

//! Tokens that open nothing.

use chassis::clock::Clock;
use drawbridge_client::drawbridge_core::{RepoRecord, UserRecord};
use serde_json::json;
use testkit::oidc::{Algorithm, Claims, DevIssuer};

use crate::world::{ALL, World, digest, now, slug, status};

#[test]
fn good_ones_of_every_algorithm_and_bad_ones_of_every_kind() {
    let world = World::new();
    world.register("closed", false, false);
    let path = "/api/v0.1.0/ann";
    let good = world.claims("ann", "read:drawbridge_users");
    for algorithm in Algorithm::ALL {
        let token = world.issuer.mint(&good, algorithm).unwrap();
        let (status, head, body) = world.get(path, Some(&token));
        assert_eq!((status, body.as_slice()), (200, &b"{\"subject\":\"ann\"}"[..]), "{head}");
    }
    let mint = |claims: &Claims| world.issuer.mint(claims, Algorithm::Es256).unwrap();
    let header = |header| world.issuer.mint_with_header(&header, &good, Algorithm::Es256).unwrap();
    let kid = world.issuer.kid(Algorithm::Es256).unwrap();
    let foreign =
        DevIssuer::generate(world.issuer.issuer(), None, Clock::System.closure()).unwrap();
    let changed = {
        let token = mint(&good);
        let (input, signature) = token.rsplit_once('.').unwrap();
        let other = mint(&world.claims("bob", ALL));
        let (other, _) = other.rsplit_once('.').unwrap();
        assert_ne!(input, other);
        format!("{other}.{signature}")
    };
    for (name, token, expected, check) in [
        (
            "expired",
            mint(&Claims { expires_at: now().minus(1), ..good.clone() }),
            401,
            "token.expired",
        ),
        (
            "of the future",
            mint(&Claims { issued_at: now().plus(3600), ..good.clone() }),
            401,
            "token.not-yet-valid",
        ),
        (
            "not yet",
            mint(&Claims { not_before: Some(now().plus(3600)), ..good.clone() }),
            401,
            "token.not-yet-valid",
        ),
        (
            "of another issuer",
            mint(&Claims { issuer: "https://else".into(), ..good.clone() }),
            401,
            "token.issuer",
        ),
        (
            "for another audience",
            mint(&Claims { audience: "https://else/".into(), ..good.clone() }),
            401,
            "token.audience",
        ),
        ("by a foreign key", foreign.mint(&good, Algorithm::Es256).unwrap(), 401, "token.key"),
        (
            "by a foreign key under our key's id",
            foreign
                .mint_with_header(&json!({"alg": "ES256", "kid": kid}), &good, Algorithm::Es256)
                .unwrap(),
            401,
            "token.signature",
        ),
        ("alg none", world.issuer.mint_unsigned(&good), 401, "token.algorithm"),
        (
            "HS256 by the EC key",
            world.issuer.mint_confused(&good, Algorithm::Es256).unwrap(),
            401,
            "token.algorithm",
        ),
        (
            "HS256 by the RSA key",
            world.issuer.mint_confused(&good, Algorithm::Rs256).unwrap(),
            401,
            "token.algorithm",
        ),
        ("without key id", header(json!({"alg": "ES256"})), 401, "token.key-id"),
        (
            "of another type",
            header(json!({"alg": "ES256", "kid": kid, "typ": "enarx-tag+jwt"})),
            401,
            "token.form",
        ),
        ("with another's claims", changed, 401, "token.signature"),
        ("no token", "xyz".to_owned(), 401, "token.form"),
        ("without scope", mint(&world.claims("ann", "")), 403, "token.scope"),
        (
            "with another scope",
            mint(&world.claims("ann", "read:drawbridge_tags write:drawbridge_users")),
            403,
            "token.scope",
        ),
        ("of another person", mint(&world.claims("bob", ALL)), 403, "owner"),
    ] {
        let (status, head, body) = world.get(path, Some(&token));
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, expected, "{name}: {head}\n{body}");
        assert!(body.contains(&format!("\"check\":\"{check}\"")), "{name}: {body}");
        assert!(head.to_lowercase().contains("application/problem+json"), "{name}");
        let asks = head.to_lowercase().contains("www-authenticate: bearer");
        assert_eq!(asks, check != "owner", "{name}");
        assert!(!body.contains(&token));
    }
    // Bad credentials are not ignored where none are needed.
    world.register("open", true, false);
    let (status, ..) = world.get("/api/v0.1.0/ann/open/_tag", Some("xyz"));
    assert_eq!(status, 401);
    // Two of them are none, and neither is another scheme.
    let head = |more: &str| format!("GET {path} HTTP/1.1\nHost: x\n{more}");
    let twice = format!("Authorization: Bearer {0}\nAuthorization: Bearer {0}", mint(&good));
    assert_eq!(world.raw(&head(&twice), b"").0, 401);
    assert_eq!(world.raw(&head("Authorization: Basic YTpi"), b"").0, 401);
    // Nothing of a token is in the log, however talkative.
    let token = mint(&good);
    assert_eq!(world.get(path, Some(&token)).0, 200);
    let log = world.log();
    for part in token.split('.') {
        assert!(!log.contains(part));
    }
}

/// What could confuse a reader of tokens about key, algorithm or claims. Each opens nothing, and none has the registry ask
/// anybody.
#[test]
fn tokens_that_would_confuse_open_nothing() {
    let world = World::new();
    world.register("closed", false, false);
    let path = "/api/v0.1.0/ann";
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let there = format!("http://{}/jwks", trap.local_addr().unwrap());
    let kid = world.issuer.kid(Algorithm::Es256).unwrap();
    let foreign =
        DevIssuer::generate(world.issuer.issuer(), None, Clock::System.closure()).unwrap();
    let good = world.claims("ann", "read:drawbridge_users");
    let claims = good.to_json().to_string();
    let ours = |header: &str, claims: &str| {
        world.issuer.mint_text(header, claims, Algorithm::Es256).unwrap()
    };
    let plain = json!({"alg": "ES256", "kid": kid}).to_string();
    let header = |more: serde_json::Value| {
        let mut header = json!({"alg": "ES256", "kid": kid});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        header.to_string()
    };
    let open = |token: &str| world.get(path, Some(token)).0;
    assert_eq!(open(&ours(&plain, &claims)), 200);
    let mut rows = Vec::new();
    let mut row =
        |name: String, token: String, check: &'static str| rows.push((name, token, check));
    for alg in
        ["none", "None", "NONE", "nOnE", "", " none", "none ", "null", "HS256", "es256", "ES256 "]
    {
        let header = header(json!({"alg": alg}));
        let signed = ours(&header, &claims);
        let (unsigned, _) = signed.rsplit_once('.').unwrap();
        row(format!("alg {alg:?} unsigned"), format!("{unsigned}."), "token.algorithm");
        row(format!("alg {alg:?} signed"), signed.clone(), "token.algorithm");
    }
    for (name, header, check) in [
        ("alg null", header(json!({"alg": null})), "token.form"),
        ("alg of two", header(json!({"alg": ["ES256", "none"]})), "token.form"),
        ("kid null", header(json!({"kid": null})), "token.key-id"),
        ("kid 7", header(json!({"kid": 7})), "token.form"),
        ("kid empty", header(json!({"kid": ""})), "token.key"),
        ("kid of a path", header(json!({"kid": "../../../../dev/null"})), "token.key"),
        ("kid of a query", header(json!({"kid": "x' OR '1'='1"})), "token.key"),
        ("crit", header(json!({"crit": ["exp"]})), "token.form"),
        ("crit empty", header(json!({"crit": []})), "token.form"),
        ("crit of b64", header(json!({"crit": ["b64"], "b64": false})), "token.form"),
        ("typ of another", header(json!({"typ": "logout+jwt"})), "token.form"),
        ("typ 7", header(json!({"typ": 7})), "token.form"),
        ("alg twice", plain.replacen('{', r#"{"alg":"none","#, 1), "token.form"),
        ("kid twice", plain.replacen('{', r#"{"kid":"x","#, 1), "token.form"),
        ("zip twice", plain.replacen('{', r#"{"zip":1,"zip":1,"#, 1), "token.form"),
        ("no object", "[]".to_owned(), "token.form"),
        ("more behind it", format!("{plain} {{}}"), "token.form"),
    ] {
        row(name.to_owned(), ours(&header, &claims), check);
    }
    // Keys that a token brings along, or says where to find, are not looked at.
    let key = foreign.jwks()["keys"][0].clone();
    for bait in [
        json!({"jwk": key}),
        json!({"jku": there}),
        json!({"x5u": there}),
        json!({"x5c": ["MIIB"], "x5t": "AA", "x5t#S256": "AA"}),
        json!({"jwk": key, "jku": there, "x5u": there}),
    ] {
        let header = header(bait.clone());
        let token = foreign.mint_text(&header, &claims, Algorithm::Es256).unwrap();
        row(format!("by {bait}"), token, "token.signature");
        // They do no harm beside the right signature.
        assert_eq!(open(&ours(&header, &claims)), 200, "{bait}");
    }
    for (name, wrong, check) in [
        ("sub twice", claims.replacen('{', r#"{"sub":"bob","#, 1), "token.claims"),
        ("iss twice", claims.replacen('{', r#"{"iss":"https://else","#, 1), "token.claims"),
        ("aud twice", claims.replacen('{', r#"{"aud":"https://else","#, 1), "token.claims"),
        ("exp twice", claims.replacen('{', r#"{"exp":99999999999,"#, 1), "token.claims"),
        ("scope twice", claims.replacen('{', r#"{"scope":"","#, 1), "token.claims"),
        ("another claim twice", claims.replacen('{', r#"{"a":1,"a":1,"#, 1), "token.claims"),
        (
            "sub twice, one in disguise",
            claims.replacen('{', r#"{"s\u0075b":"bob","#, 1),
            "token.claims",
        ),
        ("more behind them", format!("{claims}{{}}"), "token.claims"),
        ("no object", "[]".to_owned(), "token.claims"),
        ("no JSON", "x".to_owned(), "token.claims"),
    ] {
        row(name.to_owned(), ours(&plain, &wrong), check);
    }
    let token = ours(&plain, &claims);
    let parts: Vec<_> = token.split('.').collect();
    row("five parts".to_owned(), format!("{token}.e30.e30"), "token.form");
    row("padded".to_owned(), format!("{token}="), "token.form");
    row("without signature".to_owned(), format!("{}.{}.", parts[0], parts[1]), "token.signature");
    row(
        "zero signature".to_owned(),
        format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86)),
        "token.signature",
    );
    for (name, token, check) in &rows {
        let (status, head, body) = world.get(path, Some(token));
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, 401, "{name}: {head}\n{body}");
        assert!(body.contains(&format!("\"check\":\"{check}\"")), "{name}: {body}");
    }
    // One that is too long is not read, whatever it says.
    let long = ours(&header(json!({"x": "y".repeat(20_000)})), &claims);
    assert!(matches!(open(&long), 401 | 431));
    assert_eq!(open(&token), 200);
    assert!(trap.accept().is_err(), "somebody was asked for keys");
}

#[test]
fn keys_rotate_while_the_registry_runs() {
    let world = World::new();
    let ann = world.register("closed", false, false);
    world.issuer.rotate().unwrap();
    assert_eq!(status(world.person("ann").user_get("ann")), 200);
    // What the issuer took back is no longer good.
    assert_eq!(status(ann.user_get("ann")), 401);
}

#[test]
fn names_belong_to_whom_came_first() {
    let world = World::new();
    let ann = world.register("app", false, false);
    let record = |subject: &str| UserRecord { subject: subject.to_owned() };
    let bob = world.person("bob");
    // The record is of whom the token says.
    assert_eq!(status(bob.user_put("bob", &record("ann"))), 403);
    assert_eq!(status(bob.user_put("ann", &record("bob"))), 409);
    assert!(!ann.user_put("ann", &record("ann")).unwrap());
    assert!(bob.user_put("bob", &record("bob")).unwrap());
    // A person may have two names, and each is theirs.
    assert!(ann.user_put("ann2", &record("ann")).unwrap());
    let private = RepoRecord::default();
    assert_eq!(status(bob.repo_put("ann", "other", &private)), 403);
    assert_eq!(status(bob.repo_get("ann", "app")), 403);
    assert_eq!(status(world.publish(&bob, "ann/app:1.0.0")), 403);
    assert_eq!(ann.repo_get("ann", "app").unwrap(), private);
    assert!(!ann.repo_put("ann", "app", &private).unwrap());
    let public = RepoRecord { public: true, ..RepoRecord::default() };
    assert_eq!(status(ann.repo_put("ann", "app", &public)), 409);
    // Nobody without a name has a repository, and none without a repository a tag.
    assert_eq!(status(ann.repo_put("none", "app", &private)), 404);
    assert_eq!(status(world.publish(&ann, "ann/none:1.0.0")), 404);
    for anonymous in [world.anonymous(), world.keep(digest())] {
        assert_eq!(status(anonymous.user_get("ann")), 401);
        assert_eq!(status(anonymous.user_put("eve", &record("eve"))), 401);
        assert_eq!(status(anonymous.repo_put("ann", "eve", &public)), 401);
        assert_eq!(status(anonymous.repo_get("ann", "app")), 401);
    }
    // To read and to write are two things.
    let reader = world.anonymous().with_token(world.token("ann", &ALL.replace("manage", "read")));
    assert_eq!(status(reader.user_get("ann")), 200);
    assert_eq!(status(reader.repo_put("ann", "more", &private)), 403);
    assert_eq!(status(world.publish(&reader, "ann/app:1.0.0")), 403);
    let writer = world.anonymous().with_token(world.token("ann", &ALL.replace("manage", "write")));
    assert_eq!(status(writer.repo_put("ann", "more", &private)), 200);
    assert_eq!(status(world.publish(&writer, "ann/app:1.0.0")), 200);
    assert_eq!(status(writer.tag_entry(&slug("ann/app:1.0.0"))), 403);
    assert_eq!(status(reader.tag_entry(&slug("ann/app:1.0.0"))), 200);
}
