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
    let private = RepoRecord { public: false, discoverable: false };
    assert_eq!(status(bob.repo_put("ann", "other", &private)), 403);
    assert_eq!(status(bob.repo_get("ann", "app")), 403);
    assert_eq!(status(world.publish(&bob, "ann/app:1.0.0")), 403);
    assert_eq!(ann.repo_get("ann", "app").unwrap(), private);
    assert!(!ann.repo_put("ann", "app", &private).unwrap());
    let public = RepoRecord { public: true, discoverable: false };
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
