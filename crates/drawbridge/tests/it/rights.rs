// SPDX-License-Identifier: Apache-2.0

//! Organisations, rights, release policies, the registry's own tokens, and those of other issuers.

use std::collections::BTreeMap;

use drawbridge_client::drawbridge_core::rights::TokenCreated;
use drawbridge_client::drawbridge_core::{RepoRecord, UserRecord};
use serde_json::{Value, json};
use testkit::oidc::{Algorithm, Claims};
use testkit::pki::{Profile, sample_result};
use types::digest::Sha256;

use crate::world::{ALL, Options, World, digest, files, now, slug, status};

/// An answer: status, entity tag, body.
type Answer = (u16, Option<String>, String);

struct Party<'w> {
    world: &'w World,
    token: String,
}

impl Party<'_> {
    fn send(&self, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Answer {
        let mut head = format!(
            "{method} /api/v0.1.0/{path} HTTP/1.1\nHost: x\nAuthorization: Bearer {}",
            self.token
        );
        if ["PUT", "POST"].contains(&method) {
            head += &format!("\nContent-Length: {}", body.len());
        }
        for (name, value) in more {
            head += &format!("\n{name}: {value}");
        }
        let (status, head, body) = self.world.raw(&head, body.as_bytes());
        let tag = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("etag").then(|| value.to_owned())
        });
        (status, tag, String::from_utf8(body).unwrap())
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    fn put(&self, path: &str, condition: Option<(&str, &str)>, body: &Value) -> Answer {
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(condition);
        self.send("PUT", path, &headers, &body.to_string())
    }

    fn put_policy(&self, path: &str, condition: Option<(&str, &str)>, text: &str) -> Answer {
        let mut headers = vec![("Content-Type", "application/toml")];
        headers.extend(condition);
        self.send("PUT", path, &headers, text)
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("Content-Type", "application/json")], &body.to_string())
    }
}

impl World {
    fn party(&self, subject: &str) -> Party<'_> {
        Party { world: self, token: self.token(subject, ALL) }
    }

    /// A person with a name.
    fn citizen(&self, name: &str) -> Party<'_> {
        self.person(name).user_put(name, &UserRecord { subject: name.into() }).unwrap();
        self.party(name)
    }
}

fn check(answer: &Answer, status: u16, check: &str) {
    assert_eq!(answer.0, status, "{answer:?}");
    assert!(answer.2.contains(&format!("\"check\":\"{check}\"")), "{answer:?}");
}

#[test]
fn organisations_share_names_by_roles() {
    let world = World::new();
    let ann = world.citizen("ann");
    let [bob, carol, dave] = ["bob", "carol", "dave"].map(|name| world.citizen(name));
    let members =
        json!({"members": {"ann": "owner", "bob": "writer"}, "teams": {"dev": ["carol"]}});
    // Who founds it owns it; all that are named are users; names are given once.
    check(&bob.put("acme/_org", None, &members), 403, "owner");
    let unknown = json!({"members": {"ann": "owner", "zoe": "reader"}});
    check(&ann.put("acme/_org", None, &unknown), 400, "record");
    check(&ann.put("acme/_org", None, &json!({"members": {"ann": "writer"}})), 400, "record");
    check(&ann.put("bob/_org", None, &members), 403, "owner");
    assert_eq!(ann.put("acme/_org", None, &members).0, 201);
    let taken = world.person("acme").user_put("acme", &UserRecord { subject: "acme".into() });
    assert_eq!(status(taken), 409);
    // Owners register repositories, writers publish, others do nothing.
    let repo = RepoRecord::default();
    assert_eq!(status(world.person("bob").repo_put("acme", "app", &repo)), 403);
    world.person("ann").repo_put("acme", "app", &repo).unwrap();
    assert!(world.publish(&world.person("bob"), "acme/app:1.0.0").is_ok());
    assert!(world.publish(&world.person("carol"), "acme/app:1.1.0").is_err());
    let read =
        |who: &str| status(world.person(who).fetch_package(&slug("acme/app:1.0.0"), &digest()));
    assert_eq!((read("ann"), read("bob"), read("carol"), read("dave")), (200, 200, 403, 403));
    // A repository gives rights besides.
    let rights = json!({"users": {"dave": "reader"}, "teams": {"dev": "writer"}});
    check(&bob.put("acme/app/_access", None, &rights), 403, "role");
    check(&ann.put("acme/app/_access", None, &json!({"teams": {"ops": "reader"}})), 400, "record");
    assert_eq!(ann.put("acme/app/_access", None, &rights).0, 201);
    assert_eq!((read("carol"), read("dave")), (200, 200));
    assert!(world.publish(&world.person("carol"), "acme/app:1.1.0").is_ok());
    assert!(world.publish(&world.person("dave"), "acme/app:1.2.0").is_err());
    check(&dave.get("acme/app/_access"), 403, "role");
    check(&dave.get("acme/_org"), 403, "owner");
    check(&carol.get("acme/_org"), 403, "owner");
    assert_eq!(bob.get("acme/_org").0, 200);
    // Whoever leaves has no rights from then on.
    let (_, tag, text) = ann.get("acme/_org");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), members);
    let tag = tag.unwrap();
    let smaller = json!({"members": {"ann": "owner"}, "teams": {"dev": []}});
    assert_eq!(ann.put("acme/_org", Some(("If-Match", &tag)), &smaller).0, 200);
    assert_eq!((read("bob"), read("carol")), (403, 403));
}

#[test]
fn of_two_changes_at_once_one_is_refused() {
    let world = World::new();
    let ann = world.citizen("ann");
    let bob = world.citizen("bob");
    world.citizen("carol");
    let both = json!({"members": {"ann": "owner", "bob": "owner"}});
    assert_eq!(ann.put("acme/_org", Some(("If-None-Match", "*")), &both).0, 201);
    let (_, tag, _) = ann.get("acme/_org");
    let tag = tag.unwrap();
    let with = |role: &str| json!({"members": {"ann": "owner", "bob": "owner", "carol": role}});
    assert_eq!(ann.put("acme/_org", Some(("If-Match", &tag)), &with("reader")).0, 200);
    check(
        &bob.put("acme/_org", Some(("If-Match", &tag)), &with("writer")),
        412,
        "header.condition",
    );
    check(
        &bob.put("acme/_org", Some(("If-None-Match", "*")), &with("writer")),
        412,
        "header.condition",
    );
    check(&bob.put("acme/_org", None, &with("writer")), 409, "name.taken");
    // The same once more is no change.
    assert_eq!(ann.put("acme/_org", Some(("If-Match", &tag)), &with("reader")).0, 200);
    // Many at once: one.
    let (_, tag, _) = ann.get("acme/_org");
    let tag = tag.unwrap();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let change = |n: usize| {
            let (ann, tag, world) = (&ann, &tag, &world);
            scope.spawn(move || {
                let team = format!("t{n}");
                let members = json!({"members": {"ann": "owner"}, "teams": {team: []}});
                let party = Party { world, token: ann.token.clone() };
                party.put("acme/_org", Some(("If-Match", tag)), &members).0
            })
        };
        let running: Vec<_> = (0..8).map(change).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 7, "{statuses:?}");
    // Bob was an owner, and is none.
    check(&bob.put("acme/_org", None, &both), 403, "owner");
}

#[test]
fn a_repository_changes_its_visibility_on_a_condition_only() {
    let world = World::new();
    let ann = world.citizen("ann");
    world.register("app", false, false);
    let open = json!({"public": true});
    check(&ann.put("ann/app", None, &open), 409, "name.taken");
    let (_, tag, text) = ann.get("ann/app");
    assert_eq!(text, "{\"public\":false}");
    let tag = tag.unwrap();
    check(&ann.put("ann/app", Some(("If-Match", "\"0\"")), &open), 412, "header.condition");
    let anonymous = || status(world.anonymous().tags("ann", "app"));
    assert_eq!(anonymous(), 401);
    check(&world.citizen("bob").put("ann/app", Some(("If-Match", &tag)), &open), 403, "owner");
    assert_eq!(ann.put("ann/app", Some(("If-Match", &tag)), &open).0, 200);
    assert_eq!(anonymous(), 200);
}

#[test]
fn tokens_are_shown_once_bounded_and_revoked_at_once() {
    let world = World::new();
    let ann = world.citizen("ann");
    let closed = world.register("app", false, false);
    world.register("other", false, false);
    world.publish(&closed, "ann/app:1.0.0").unwrap();
    let wish = |scopes: &[&str], repos: &[&str]| json!({"name": "ci", "scopes": scopes, "repos": repos, "expires_in": 3600});
    let (code, _, text) = ann.post("ann/_token", &wish(&["read:drawbridge_tags"], &["ap*"]));
    assert_eq!(code, 201, "{text}");
    let created: TokenCreated = serde_json::from_str(&text).unwrap();
    assert!(created.token.starts_with("dbt_ann_"));
    let reader = world.anonymous().with_token(created.token.clone());
    assert_eq!(
        reader.fetch_package(&slug("ann/app:1.0.0"), &digest()).unwrap().len(),
        files().len()
    );
    let holder = Party { world: &world, token: created.token.clone() };
    check(&holder.get("ann/other/_tag"), 403, "token.repo");
    check(&holder.get("bob/app/_tag"), 403, "token.repo");
    check(&holder.get("ann/app"), 403, "token.scope");
    check(&holder.put("ann/x", None, &json!({"public": true})), 403, "token.scope");
    // No token makes or shows tokens, or says who may do what.
    let all = ["read:drawbridge_users", "write:drawbridge_repositories", "write:drawbridge_tags"];
    let (_, _, text) = ann.post("ann/_token", &wish(&all, &["*"]));
    let strong: TokenCreated = serde_json::from_str(&text).unwrap();
    let strong = Party { world: &world, token: strong.token };
    check(&strong.get("ann/_token"), 403, "auth.person");
    check(&strong.post("ann/_token", &wish(&["read:drawbridge_tags"], &["*"])), 403, "auth.person");
    check(&strong.put("ann/app/_access", None, &json!({})), 403, "auth.person");
    check(&strong.put_policy("ann/app/_policy", None, "[[release]]"), 403, "auth.person");
    assert_eq!(strong.put("ann/made", None, &json!({"public": true})).0, 201);
    // Others neither make, nor see, nor revoke them.
    let bob = world.citizen("bob");
    check(&bob.post("ann/_token", &wish(&["read:drawbridge_tags"], &["*"])), 403, "owner");
    check(&bob.get("ann/_token"), 403, "owner");
    let path = format!("ann/_token/{}", created.info.id);
    check(&bob.send("DELETE", &path, &[], ""), 403, "owner");
    // The list has no secret.
    let (code, _, list) = ann.get("ann/_token");
    assert_eq!(code, 200);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&list).unwrap().len(), 2);
    assert!(!list.contains("dbt_") && !list.contains("hash"));
    assert_eq!(ann.send("DELETE", &path, &[], "").0, 204);
    check(&holder.get("ann/app/_tag"), 401, "token.revoked");
    check(&ann.send("DELETE", &path, &[], ""), 404, "name.unknown");
    // Nothing of it is in the log or in the store.
    let secret = created.token.rsplit_once('_').unwrap().1[16..80].to_owned();
    assert!(!world.log().contains(&secret));
    for entry in walk(&world.store) {
        let bytes = std::fs::read(&entry).unwrap();
        assert!(!bytes.windows(64).any(|window| window == secret.as_bytes()), "{entry:?}");
    }
    // Wishes that cannot be.
    for bad in [
        wish(&["manage:drawbridge_users"], &["*"]),
        wish(&[], &["*"]),
        wish(&["read:drawbridge_tags"], &[]),
        json!({"name": "ci"}),
    ] {
        check(&ann.post("ann/_token", &bad), 400, "record");
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn robots_publish_for_organisations_and_no_more() {
    let world = World::new();
    let ann = world.citizen("ann");
    world.citizen("bob");
    let members = json!({"members": {"ann": "owner", "bob": "writer"}});
    assert_eq!(ann.put("acme/_org", None, &members).0, 201);
    let repo = RepoRecord::default();
    world.person("ann").repo_put("acme", "app", &repo).unwrap();
    let wish = json!({"name": "ci", "scopes": ["read:drawbridge_tags", "write:drawbridge_tags", "write:drawbridge_repositories"], "repos": ["app"], "expires_in": 60});
    check(&world.party("bob").post("acme/_token", &wish), 403, "role");
    let (_, _, text) = ann.post("acme/_token", &wish);
    let created: TokenCreated = serde_json::from_str(&text).unwrap();
    let robot = world.anonymous().with_token(created.token.clone());
    world.publish(&robot, "acme/app:1.0.0").unwrap();
    assert!(robot.fetch_package(&slug("acme/app:1.0.0"), &digest()).is_ok());
    let robot = Party { world: &world, token: created.token };
    check(&robot.put("acme/app2", None, &json!({"public": true})), 403, "token.repo");
    // A robot writes, whatever its scopes: it registers nothing.
    check(&robot.put("acme/app", None, &json!({"public": true})), 403, "role");
}

#[test]
fn policies_say_which_keeps() {
    let world = World::new();
    let ann = world.citizen("ann");
    let client = world.register("app", false, false);
    world.publish(&client, "ann/app:1.0.0").unwrap();
    let result = sample_result(digest(), None, now());
    let fetch = |result: &verify::AttestationResult| {
        let issued = world.steward.issue(&Profile::keep(result), now()).unwrap();
        status(world.with_certificate(&issued).fetch_package(&slug("ann/app:1.0.0"), &digest()))
    };
    assert_eq!(fetch(&result), 200);
    check(&ann.get("ann/app/_policy"), 404, "name.unknown");
    // Mistakes are shown where they are.
    let answer = ann.put_policy("ann/app/_policy", None, "[[release]]\ntee = [\"snq\"]\n");
    check(&answer, 400, "release.policy");
    assert!(answer.2.contains("line 2, column 8") && answer.2.contains("^"), "{answer:?}");
    let sgx = "[[release]]\ntee = [\"sgx\"]\n";
    assert_eq!(ann.put_policy("ann/app/_policy", None, sgx).0, 201);
    assert_eq!(fetch(&result), 403);
    // Another workload's Keep gets it, if it is named.
    let other = sample_result(Sha256([9; 32]), None, now());
    assert_eq!(fetch(&other), 403);
    let named = format!("[[release]]\ndigest = [\"{}\"]\n", Sha256([9; 32]));
    check(&ann.put_policy("ann/app/_policy", None, &named), 409, "name.taken");
    let stale = ann.put_policy("ann/app/_policy", Some(("If-Match", "\"0\"")), &named);
    check(&stale, 412, "header.condition");
    let (code, tag, _) = ann.put_policy("ann/app/_policy", Some(("If-Match", "\"1\"")), &named);
    assert_eq!((code, tag.as_deref()), (201, Some("\"2\"")));
    assert_eq!((fetch(&result), fetch(&other)), (200, 200));
    // Simulated silicon by the ugly name only.
    let mut fake = result.clone();
    fake.facts.simulated = true;
    assert_eq!(fetch(&fake), 403);
    let ugly = "[[release]]\ninsecure-release-to-simulated = true\n";
    assert_eq!(ann.put_policy("ann/app/_policy", Some(("If-Match", "\"2\"")), ugly).0, 201);
    assert_eq!(fetch(&fake), 200);
    assert_eq!(
        ann.put_policy("ann/app/_policy", Some(("If-Match", "\"3\"")), "release = []").0,
        201
    );
    assert_eq!((fetch(&result), fetch(&fake)), (403, 403));
    // The history stays.
    assert_eq!(ann.get("ann/app/_policy/1").2, sgx);
    assert_eq!(ann.get("ann/app/_policy").2, "release = []");
    check(&ann.get("ann/app/_policy/9"), 404, "name.unknown");
    let versions: Vec<Value> = serde_json::from_str(&ann.get("ann/app/_policies").2).unwrap();
    let numbers: Vec<u64> = versions.iter().map(|v| v["version"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    // Whoever has no role neither reads nor writes it.
    let bob = world.citizen("bob");
    check(&bob.get("ann/app/_policy"), 403, "owner");
    check(&bob.put_policy("ann/app/_policy", Some(("If-Match", "\"4\"")), ugly), 403, "owner");
    let large = format!("#{}", "x".repeat(types::limits::RELEASE_POLICY_BYTES_MAX));
    check(&ann.put_policy("ann/app/_policy", None, &large), 413, "size");
}

#[test]
fn an_operators_flag_does_not_loosen_an_owners_policy() {
    let world = World::with(Options { simulated: true, ..Options::default() });
    let ann = world.citizen("ann");
    let client = world.register("app", false, false);
    world.publish(&client, "ann/app:1.0.0").unwrap();
    let mut fake = sample_result(digest(), None, now());
    fake.facts.simulated = true;
    let issued = world.steward.issue(&Profile::keep(&fake), now()).unwrap();
    let fetch = || status(world.with_certificate(&issued).tag_entry(&slug("ann/app:1.0.0")));
    assert_eq!(fetch(), 200);
    assert_eq!(ann.put_policy("ann/app/_policy", None, "[[release]]").0, 201);
    assert_eq!(fetch(), 403);
}

#[test]
fn machines_publish_where_a_rule_takes_them() {
    let world = World::new();
    let ann = world.citizen("ann");
    world.register("app", false, false);
    world.register("other", false, false);
    let issuer = world.machines.issuer().to_owned();
    let claims = |repository: &str, git_ref: &str| {
        let more = BTreeMap::from([
            ("repository".to_owned(), json!(repository)),
            ("ref".to_owned(), json!(git_ref)),
        ]);
        Claims { more, ..world.machines.claims("repo:acme/app", "store", "") }
    };
    let mint = |claims: &Claims| world.machines.mint(claims, Algorithm::Rs256).unwrap();
    let good = mint(&claims("acme/app", "refs/tags/v1"));
    let publish = |token: &str, name: &str| {
        let client = world.anonymous().with_token(token.to_owned());
        status(world.publish(&client, name))
    };
    // Nothing without a rule.
    assert_eq!(publish(&good, "ann/app:1.0.0"), 403);
    let rule = |issuer: &str, audience: &str| {
        json!({"publishers": [{"name": "release", "issuer": issuer, "audience": audience,
            "claims": {"repository": "acme/app", "ref": "refs/tags/v*"}}]})
    };
    check(
        &ann.put("ann/app/_publishers", None, &rule("https://else", "store")),
        400,
        "publisher.issuer",
    );
    check(&ann.put("ann/app/_publishers", None, &json!({"publishers": [{"name": "x", "issuer": issuer, "audience": "a", "claims": {}}]})), 400, "record");
    assert_eq!(ann.put("ann/app/_publishers", None, &rule(&issuer, "store")).0, 201);
    assert_eq!(publish(&good, "ann/app:1.0.0"), 200);
    // To that repository only, and publishing only.
    assert_eq!(publish(&good, "ann/other:1.0.0"), 403);
    let machine = Party { world: &world, token: good.clone() };
    for path in [
        "ann",
        "ann/app",
        "ann/app/_tag",
        "ann/app/_tag/1.0.0",
        "ann/app/_publishers",
        "ann/_token",
    ] {
        check(&machine.get(path), 403, "publisher");
    }
    check(&machine.put("ann/new", None, &json!({"public": true})), 403, "publisher");
    // Everything of the rule has to hold.
    for (name, bad) in [
        ("another repository", claims("acme/fork", "refs/tags/v1")),
        ("a branch", claims("acme/app", "refs/heads/main")),
        (
            "another audience",
            Claims { audience: "else".into(), ..claims("acme/app", "refs/tags/v1") },
        ),
        ("a claim is missing", world.machines.claims("repo:acme/app", "store", ALL)),
    ] {
        assert_eq!(publish(&mint(&bad), "ann/app:2.0.0"), 403, "{name}");
    }
    let late = Claims { expires_at: now().minus(1), ..claims("acme/app", "refs/tags/v1") };
    assert_eq!(publish(&mint(&late), "ann/app:2.0.0"), 401);
    // The machines' issuer names a person: it is none.
    let person = mint(&world.machines.claims("ann", crate::world::AUDIENCE, ALL));
    check(&Party { world: &world, token: person }.get("ann"), 403, "publisher");
    // Rules of the owner name repositories.
    let mut of_owner = rule(&issuer, "store");
    check(&ann.put("ann/_publishers", None, &of_owner), 400, "record");
    of_owner["publishers"][0]["repos"] = json!(["oth*"]);
    assert_eq!(ann.put("ann/_publishers", None, &of_owner).0, 201);
    assert_eq!(publish(&good, "ann/other:1.0.0"), 200);
    check(&world.citizen("bob").get("ann/_publishers"), 403, "owner");
}

#[test]
fn another_instances_revocation_counts_at_once() {
    // Two instances cannot share a directory; the next one finds what the first did.
    let mut world = World::new();
    let wish = json!({"name": "ci", "scopes": ["read:drawbridge_tags"], "repos": ["*"], "expires_in": 3600});
    let (token, id) = {
        let ann = world.citizen("ann");
        world.register("app", false, false);
        let created: TokenCreated = serde_json::from_str(&ann.post("ann/_token", &wish).2).unwrap();
        (created.token, created.info.id)
    };
    world.kill();
    world.start_again();
    let holder = Party { world: &world, token };
    assert_eq!(holder.get("ann/app/_tag").0, 200);
    assert_eq!(world.party("ann").send("DELETE", &format!("ann/_token/{id}"), &[], "").0, 204);
    check(&holder.get("ann/app/_tag"), 401, "token.revoked");
}
