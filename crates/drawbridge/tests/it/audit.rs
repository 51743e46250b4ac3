// SPDX-License-Identifier: Apache-2.0

//! What is written down, and that nothing takes effect without it.

use std::process::Command;

use drawbridge_client::drawbridge_core::UserRecord;
use serde_json::Value;
use testkit::pki::{Profile, sample_result};
use types::digest::Sha256;

use crate::world::{ALL, Options, World, digest, now, slug, status};

fn audit(world: &World, more: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
    let output = command.arg("audit").args(more).arg(world.audit_dir()).output().unwrap();
    let text =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), text)
}

/// Outcome, action, name, beginning of who, check.
fn events(world: &World) -> Vec<[String; 5]> {
    let (ok, text) = audit(world, &["show", "--json"]);
    assert!(ok, "{text}");
    let read = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        assert!(event["client"].is_string() && event["request_id"].is_string(), "{line}");
        let who = text("who").split([':', ' ']).next().unwrap().to_owned();
        [text("outcome"), text("action"), text("name"), who, text("check")]
    };
    text.lines().map(read).collect()
}

#[test]
fn releases_refusals_and_changes_are_in_the_log() {
    let mut world = World::with(Options { audit: true, ..Options::default() });
    let ann = world.register("app", false, false);
    world.publish(&ann, "ann/app:1.0.0").unwrap();
    let fetch = |result: &verify::AttestationResult| {
        let issued = world.steward.issue(&Profile::keep(result), now()).unwrap();
        status(world.with_certificate(&issued).tag_entry(&slug("ann/app:1.0.0")))
    };
    let good = sample_result(digest(), None, now());
    assert_eq!(fetch(&good), 200);
    assert_eq!(fetch(&sample_result(Sha256([9; 32]), None, now())), 403);
    let mut fake = good;
    fake.facts.simulated = true;
    assert_eq!(fetch(&fake), 403);
    assert_eq!(status(world.anonymous().tag_entry(&slug("ann/app:1.0.0"))), 401);
    assert_eq!(status(world.person("bob").tag_entry(&slug("ann/app:1.0.0"))), 403);
    let taken = world.person("bob").user_put("ann", &UserRecord { subject: "bob".into() });
    assert_eq!(status(taken), 409);
    let rows: Vec<String> = events(&world).iter().map(|row| row.join(" ")).collect();
    let expected = [
        "granted register ann person ",
        "granted create-repo ann/app person ",
        "granted publish ann/app:1.0.0 person ",
        "granted read ann/app:1.0.0 keep ",
        "refused read ann/app:1.0.0 keep release.workload",
        "refused read ann/app:1.0.0 keep requirement.genuine",
        "refused read ann/app:1.0.0 person owner",
        "granted register ann person ",
        "failed register ann person name.taken",
    ];
    assert_eq!(rows, expected);
    // The chain holds, also over a crash; whoever changes a line is found out.
    let (ok, text) = audit(&world, &["verify", "--json"]);
    let verdict: Value = serde_json::from_str(&text).unwrap();
    assert!(ok && verdict["ok"] == true && verdict["entries"] == 9, "{text}");
    let head = verdict["head"].as_str().unwrap().to_owned();
    world.kill();
    world.start_again();
    world.register("more", false, false);
    let (ok, text) = audit(&world, &["verify", "--through", &head]);
    assert!(ok, "{text}");
    let other = Sha256([7; 32]).to_string();
    assert!(!audit(&world, &["verify", "--through", &other]).0);
    // Nothing in it opens anything.
    let token = world.token("ann", ALL);
    let (_, text) = audit(&world, &["show", "--json"]);
    assert!(token.split('.').all(|part| !text.contains(part)));
    world.kill();
    let file = std::fs::read_dir(world.audit_dir()).unwrap().map(|e| e.unwrap().path());
    let file =
        file.into_iter().find(|path| path.extension().is_some_and(|e| e == "jsonl")).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    crate::world::write(&file, &text.replacen("\"refused\"", "\"granted\"", 1));
    let (ok, text) = audit(&world, &["verify"]);
    assert!(!ok && text.contains("its hash is not that of its bytes"), "{text}");
}

#[test]
fn what_cannot_be_written_down_is_not_done() {
    let world = World::with(Options { audit: true, full: true, ..Options::default() });
    let ann = world.person("ann");
    ann.user_put("ann", &UserRecord { subject: "ann".into() }).unwrap();
    // The log's file cannot grow any more, long before the store's small files meet that limit.
    let mut refused = None;
    for n in 0..200 {
        let name = format!("bob{n}");
        let result = world.person("bob").user_put(&name, &UserRecord { subject: "bob".into() });
        if status(result) != 200 {
            refused = Some(name);
            break;
        }
    }
    let name = refused.expect("the log is full at some time");
    let result = world.person("bob").user_put(&name, &UserRecord { subject: "bob".into() });
    assert_eq!(status(result), 503);
    assert_eq!(status(world.person("bob").user_get(&name)), 404);
    assert_eq!(status(ann.user_get("ann")), 200);
}
