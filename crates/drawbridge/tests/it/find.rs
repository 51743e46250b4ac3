// SPDX-License-Identifier: Apache-2.0

//! Lists and search, page by page, over both protocols.

use drawbridge_client::drawbridge_core::{RepoRecord, UserRecord};
use serde_json::{Value, json};

use crate::world::{ALL, World, files, slug};

/// An answer in JSON, and the path of the next page.
fn page(world: &World, path: &str, token: Option<&str>) -> (Value, Option<String>) {
    let (status, head, body) = world.get(path, token);
    assert_eq!(status, 200, "{path}: {head}");
    let link = head.lines().find_map(|line| line.strip_prefix("link: <"));
    let next = link.map(|link| {
        let (path, rest) = link.split_once('>').unwrap();
        assert_eq!(rest, "; rel=\"next\"");
        path.to_owned()
    });
    (serde_json::from_slice(&body).unwrap(), next)
}

/// All pages from a path on; each at the most so long.
fn pages(world: &World, path: &str, token: Option<&str>, of: fn(Value) -> Value) -> Vec<Value> {
    let (mut items, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let (page, more) = page(world, &path, token);
        items.extend(of(page).as_array().unwrap().iter().cloned());
        next = more;
    }
    items
}

fn names(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn repositories_are_found_by_those_who_may_see_them() {
    let world = World::new();
    let ann = world.register("app", true, false);
    for (repo, public) in [("app-server", true), ("hidden", false), ("notes", true)] {
        ann.repo_put("ann", repo, &RepoRecord { public, ..RepoRecord::default() }).unwrap();
    }
    let bob = world.person("bob");
    bob.user_put("bob", &UserRecord { subject: "bob".into() }).unwrap();
    bob.repo_put(
        "bob",
        "app",
        &RepoRecord { public: true, discoverable: true, ..RepoRecord::default() },
    )
    .unwrap();
    for tag in ["0.9.0", "0.10.0", "1.0.0-rc.1"] {
        world.publish(&ann, &format!("ann/app:{tag}")).unwrap();
    }
    let (token, of_bob) = (world.token("ann", ALL), world.token("bob", ALL));
    let whole = |value| value;
    let list = "/api/v0.1.0/ann/_repos";
    let open = ["ann/app-server", "ann/app", "ann/notes"];
    for (who, expected) in [
        (None, &open[..]),
        (Some(of_bob.as_str()), &open),
        (Some(token.as_str()), &["ann/app-server", "ann/app", "ann/hidden", "ann/notes"]),
    ] {
        assert_eq!(names(&pages(&world, list, who, whole)), expected);
        for limit in 1..=5 {
            let path = format!("{list}?limit={limit}");
            let (first, next) = page(&world, &path, who);
            assert_eq!(first.as_array().unwrap().len(), limit.min(expected.len()));
            assert_eq!(next.is_some(), limit < expected.len());
            assert_eq!(names(&pages(&world, &path, who, whole)), expected);
        }
    }
    let (found, _) = page(&world, "/api/v0.1.0/_search?q=APP+ann&limit=7", None);
    let expected = json!([
        {"name": "ann/app-server", "public": true, "newest": null, "versions": 0},
        {"name": "ann/app", "public": true, "newest": "0.10.0", "versions": 3},
    ]);
    assert_eq!(found, expected);
    let all = pages(&world, "/api/v0.1.0/_search?q=app&limit=1", None, whole);
    assert_eq!(names(&all), ["ann/app-server", "ann/app", "bob/app"]);
    let hidden = "/api/v0.1.0/_search?q=hid";
    assert_eq!(page(&world, hidden, Some(&of_bob)).0, json!([]));
    assert_eq!(names(&pages(&world, hidden, Some(&token), whole)), ["ann/hidden"]);
    assert_eq!(page(&world, "/api/v0.1.0/nobody/_repos", None), (json!([]), None));
    // The same by OCI.
    let catalog = |path: &str, who| {
        let names = pages(&world, path, who, |value| value["repositories"].clone());
        names.iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let public = ["ann/app-server", "ann/app", "ann/notes", "bob/app"];
    assert_eq!(catalog("/v2/_catalog?n=2", Some(&of_bob)), public);
    assert_eq!(catalog("/v2/_catalog", None), public);
    assert!(catalog("/v2/_catalog?n=1", Some(&token)).contains(&"ann/hidden".to_owned()));
    // A Keep sees what everybody sees.
    let keep = world.keep(crate::world::digest());
    let of = |found: drawbridge_client::Found| {
        (found.repos.into_iter().map(|repo| repo.name).collect::<Vec<_>>(), found.more)
    };
    assert_eq!(of(keep.repos("ann", 10).unwrap()), (open.map(str::to_owned).to_vec(), false));
    assert_eq!(of(ann.search("hid", 10).unwrap()), (vec!["ann/hidden".to_owned()], false));
    assert!(of(ann.repos("ann", 2).unwrap()).1);
    assert!(!of(ann.repos("ann", 4).unwrap()).1);
    for (path, status) in [
        ("/api/v0.1.0/ann/_repos?limit=0", 400),
        ("/api/v0.1.0/ann/_repos?limit=1001", 400),
        ("/api/v0.1.0/ann/_repos?after=x", 400),
        ("/api/v0.1.0/ann/_repos?after=~AAAA", 400),
        ("/api/v0.1.0/ann/app/_tag?after=latest", 400),
        ("/v2/_catalog?n=x", 400),
        ("/v2/_catalog?last=..%2fx", 400),
    ] {
        assert_eq!(world.get(path, None).0, status, "{path}");
    }
    assert_eq!(world.get(&format!("/api/v0.1.0/_search?q={}", "x".repeat(257)), None).0, 400);
    assert_eq!(world.put("_search", &[("Content-Length", "0")], b""), 405);
}

#[test]
fn tags_are_listed_whole_or_page_by_page() {
    let world = World::new();
    let ann = world.register("app", true, false);
    let tags = ["0.9.0", "0.10.0", "1.0.0-rc.1+b", "1.0.0", "1.0.0+b"];
    for tag in tags {
        ann.publish(&slug(&format!("ann/app:{tag}")), files(), &mut |_| {}).unwrap();
    }
    let path = "/api/v0.1.0/ann/app/_tag";
    assert_eq!(page(&world, path, None), (json!(tags), None));
    for limit in 1..=6 {
        let path = format!("{path}?limit={limit}");
        assert_eq!(pages(&world, &path, None, |value| value), tags, "{limit}");
        assert_eq!(page(&world, &path, None).1.is_some(), limit < tags.len());
    }
    assert_eq!(page(&world, &format!("{path}?after=0.10.0"), None).0, json!(tags[2..]));
    let all = pages(&world, "/v2/ann/app/tags/list?n=2", None, |value| value["tags"].clone());
    assert_eq!(all.len(), tags.len());
}
