// SPDX-License-Identifier: Apache-2.0

//! Versions that are taken back.

use drawbridge_client::Error;

use crate::world::{Options, World, digest, slug, status};

fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String, Option<String>) {
    let error = result.unwrap_err();
    (error.status().unwrap(), error.to_string(), error.hint().map(str::to_owned))
}

#[test]
fn a_yanked_version_starts_no_new_keep_and_stays_readable() {
    let world = World::with(Options { audit: true, ..Options::default() });
    let ann = world.register("open", true, false);
    world.register("found", false, true);
    for name in ["ann/open:1.0.0", "ann/open:1.1.0", "ann/found:1.0.0"] {
        world.publish(&ann, name).unwrap();
    }
    let tags = |client: &drawbridge_client::Client, all: bool| {
        let tags =
            if all { client.tags_with_yanked("ann", "open") } else { client.tags("ann", "open") };
        tags.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    // Who may not publish does not yank either, and what is not there is not yanked.
    let version = slug("ann/open:1.0.0");
    assert_eq!(status(world.person("bob").yank(&version, "no", None)), 403);
    assert_eq!(status(world.anonymous().yank(&version, "no", None)), 401);
    assert_eq!(status(world.keep(digest()).yank(&version, "no", None)), 401);
    assert_eq!(status(ann.yank(&slug("ann/open:9.0.0"), "no", None)), 404);
    assert_eq!(status(ann.yank(&version, "two\nlines", None)), 400);
    assert_eq!(ann.yanked(&version).unwrap(), None);
    assert_eq!(status(ann.unyank(&version)), 404);

    ann.yank(&version, "leaks keys", None).unwrap();
    ann.yank(&slug("ann/found:1.0.0"), "leaks keys", None).unwrap();
    for who in [world.anonymous(), ann.clone(), world.keep(digest())] {
        let (status, text, hint) = refused(who.deploy_info(&version));
        assert_eq!(status, 410, "{text}");
        assert!(text.contains("leaks keys") && text.contains("version.yanked"), "{text}");
        assert!(hint.unwrap().contains("deploy another version"));
    }
    // The Keep that it would be released to gets nothing at all; another learns no more than before.
    let found = slug("ann/found:1.0.0");
    assert_eq!(refused(world.keep(digest()).fetch_package(&found, &digest())).0, 410);
    let other = world.keep(types::digest::Sha256([9; 32]));
    assert_eq!(refused(other.fetch_package(&found, &digest())).0, 403);
    assert_eq!(refused(world.anonymous().deploy_info(&found)).0, 410);
    assert_eq!(refused(world.anonymous().yanked(&found)).0, 401);
    // People read it by its name, and are told.
    assert!(world.anonymous().fetch_package(&version, &digest()).is_ok());
    assert!(ann.fetch_package(&found, &digest()).is_ok());
    for (path, yanked) in [
        ("/api/v0.1.0/ann/open/_tag/1.0.0", true),
        ("/v2/ann/open/manifests/1.0.0", true),
        ("/api/v0.1.0/ann/open/_tag/1.1.0", false),
        ("/v2/ann/open/manifests/1.1.0", false),
    ] {
        let (status, head, _) = world.get(path, None);
        assert_eq!(status, 200, "{path}");
        assert_eq!(head.contains("drawbridge-yanked: leaks keys"), yanked, "{path}: {head}");
    }
    // Lists leave it out unless asked.
    assert_eq!(tags(&world.anonymous(), false), ["1.1.0"]);
    assert_eq!(tags(&world.anonymous(), true), ["1.0.0", "1.1.0"]);
    let oci = |query: &str| {
        let body = world.get(&format!("/v2/ann/open/tags/list{query}"), None).2;
        serde_json::from_slice::<serde_json::Value>(&body).unwrap()["tags"].clone()
    };
    assert_eq!(oci(""), serde_json::json!(["1.1.0"]));
    assert_eq!(oci("?yanked=true"), serde_json::json!(["1.0.0", "1.1.0"]));
    assert_eq!(world.get("/api/v0.1.0/ann/open/_tag?yanked=1", None).0, 400);
    // The name is not free for something else, and the same files again do not bring it back.
    assert!(world.publish(&ann, "ann/open:1.0.0").unwrap().already);
    assert_eq!(tags(&ann, false), ["1.1.0"]);

    // A reason is changed by whoever read it; the same one again is no change.
    ann.yank(&version, "leaks keys", Some("other")).unwrap();
    assert_eq!(status(ann.yank(&version, "worse", None)), 412);
    let there = ann.yanked(&version).unwrap().unwrap();
    assert_eq!(there.value.reason, "leaks keys");
    ann.yank(&version, "worse", there.etag.as_deref()).unwrap();
    assert_eq!(status(ann.yank(&version, "still worse", there.etag.as_deref())), 412);
    assert_eq!(status(world.person("bob").unyank(&version)), 403);
    ann.unyank(&version).unwrap();
    assert_eq!(tags(&world.anonymous(), false), ["1.0.0", "1.1.0"]);
    assert_eq!(status(world.anonymous().deploy_info(&version)), 200);
    assert_eq!(status(ann.unyank(&version)), 404);
    ann.yank(&version, "again", None).unwrap();
    assert_eq!(refused(world.anonymous().deploy_info(&version)).0, 410);

    let log: String = std::fs::read_dir(world.audit_dir())
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default())
        .collect();
    for line in [
        r#""action":"yank","outcome":"granted","name":"ann/open:1.0.0","who":"person:ann""#,
        r#""detail":"yanked: leaks keys""#,
        r#""detail":"not yanked any more""#,
        r#""check":"version.yanked""#,
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    let released =
        |line: &&str| line.contains(r#""outcome":"granted""#) && line.contains("\"who\":\"keep");
    assert_eq!(log.lines().find(released), None, "nothing was released to a Keep");
}

#[test]
fn of_several_reasons_at_once_one_stays() {
    let world = World::new();
    let ann = world.register("open", true, false);
    world.publish(&ann, "ann/open:1.0.0").unwrap();
    let version = slug("ann/open:1.0.0");
    let outcomes: Vec<u16> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|n| {
                let (ann, version) = (ann.clone(), version.clone());
                scope.spawn(move || match ann.yank(&version, &format!("reason {n}"), None) {
                    Ok(()) => 200,
                    Err(error) => error.status().unwrap(),
                })
            })
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|status| **status == 200).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|status| [200, 412].contains(status)), "{outcomes:?}");
    let reason = ann.yanked(&version).unwrap().unwrap().value.reason;
    let winner = outcomes.iter().position(|status| *status == 200).unwrap();
    assert_eq!(reason, format!("reason {winner}"));
}
