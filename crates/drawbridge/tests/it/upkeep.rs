// SPDX-License-Identifier: Apache-2.0

//! What an operator does to a store, beside the registry that serves it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use drawbridge_client::drawbridge_core::RepoRecord;
use testkit::moto::Moto;

use crate::world::{Options, World, digest, slug, status};

fn drawbridge(command: &str, store: &Path, more: &[&str], world: &[(&str, String)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drawbridge"))
        .args(["--log-filter", "warn", command, "--store"])
        .arg(store)
        .args(more)
        .env_clear()
        .envs(world.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn scrub_names_what_a_running_registry_does_not_serve() {
    let world = World::new();
    let ann = world.register("app", true, false);
    world.publish(&ann, "ann/app:1.0.0").unwrap();
    let scrub = |more: &[&str]| drawbridge("scrub", &world.store, more, &[]);
    let good = scrub(&["--json", "--bytes-per-second", "100000000"]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    let report = json(&good);
    assert_eq!((&report["ok"], &report["tags"]), (&true.into(), &1.into()), "{report}");
    let blobs = world.store.join("blobs/ann/app");
    let path = std::fs::read_dir(blobs).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0] ^= 1;
    std::fs::File::create(&path).unwrap().write_all(&bytes).unwrap();
    let bad = scrub(&["--json"]);
    assert_eq!(bad.status.code(), Some(1));
    let report = json(&bad);
    let named = report["findings"][0]["key"].as_str().unwrap();
    assert!(path.ends_with(named), "{report}");
    assert_eq!(report["findings"][0]["wrong"], "damaged");
    let bad = scrub(&[]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(String::from_utf8(bad.stdout).unwrap().contains(&format!("damaged: {named}")));
    let slug = slug("ann/app:1.0.0");
    assert_eq!(status(world.anonymous().fetch_package(&slug, &digest())), 500);
    // It makes nothing where nothing is.
    let none = world.dir.path().join("none");
    let output = drawbridge("scrub", &none, &[], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no store"));
    assert!(!none.exists());
}

#[test]
fn scrub_and_gc_work_on_a_bucket() {
    let Some(moto) = Moto::start("bucket", "scrub_and_gc_work_on_a_bucket").unwrap() else {
        return;
    };
    let options = Options {
        store: Some("s3://bucket/one".into()),
        environment: moto.environment(),
        ..Options::default()
    };
    let world = World::with(options);
    let ann = world.register("app", true, false);
    world.publish(&ann, "ann/app:1.0.0").unwrap();
    let output = drawbridge("scrub", &world.store, &["--json"], &moto.environment());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = json(&output);
    assert_eq!((&report["tags"], &report["blobs"]), (&1.into(), &7.into()), "{report}");
    let about = |store: &str| {
        let more = ["--plain", "--addr", "127.0.0.1:0", "--host", "h"];
        let output = drawbridge("check-config", Path::new(store), &more, &moto.environment());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for (store, code, words) in [
        ("s3://bucket/one", 0, "store of version 2"),
        ("s3://bucket/two", 0, "nothing at s3://bucket/two"),
        ("s3://bucket", 1, "no store of a Drawbridge"),
        ("s3://none/x", 1, "bucket failed"),
    ] {
        let (status, text) = about(store);
        assert!(status == Some(code) && text.contains(words), "{store}: {text}");
    }
    let output = drawbridge("gc", &world.store, &["--json"], &moto.environment());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = json(&output);
    assert_eq!(report["needed"]["count"], 7, "{report}");
    assert!(world.anonymous().fetch_package(&slug("ann/app:1.0.0"), &digest()).is_ok());
}

#[test]
fn gc_runs_beside_a_registry_and_takes_nothing_away_at_once() {
    let world = World::new();
    let ann = world.register("app", true, false);
    world.publish(&ann, "ann/app:1.0.0").unwrap();
    let token = world.token("ann", crate::world::ALL);
    let digest_of = |bytes: &[u8]| types::digest::Sha256::of(bytes).to_string();
    let head = format!(
        "POST /v2/ann/app/blobs/uploads/?digest={} HTTP/1.1\nHost: {}\nAuthorization: Bearer {token}\nContent-Length: 4",
        digest_of(b"lost"),
        crate::world::HOST
    );
    assert_eq!(world.raw(&head, b"lost").0, 201);
    let gc = |more: &[&str]| {
        let output = drawbridge("gc", &world.store, more, &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        output
    };
    let report = json(&gc(&["--dry-run", "--json"]));
    let amount = serde_json::json!({ "count": 1, "bytes": 4 });
    assert_eq!((&report["condemned"], &report["dry_run"]), (&amount, &true.into()), "{report}");
    for expected in ["condemned", "waiting"] {
        let report = json(&gc(&["--json", "--grace", "1h"]));
        assert_eq!(report[expected], amount, "{report}");
        assert_eq!(report["removed"]["count"], 0);
    }
    assert!(String::from_utf8(gc(&[]).stdout).unwrap().contains("marked before"));
    let slug = slug("ann/app:1.0.0");
    assert!(world.anonymous().fetch_package(&slug, &digest()).is_ok());
    // What the registry is asked for before a push is spared.
    let head = format!(
        "HEAD /v2/ann/app/blobs/{} HTTP/1.1\nHost: {}\nAuthorization: Bearer {token}",
        digest_of(b"lost"),
        crate::world::HOST
    );
    assert_eq!(world.raw(&head, b"").0, 200);
    let report = json(&gc(&["--json"]));
    assert_eq!(report["condemned"], amount, "it begins anew: {report}");
    // A copy without what is of its place only.
    let copy = world.dir.path().join("copy");
    assert!(Command::new("cp").arg("-r").args([&world.store, &copy]).status().unwrap().success());
    for kind in ["tmp", "locks"] {
        std::fs::remove_dir_all(copy.join(kind)).unwrap();
    }
    assert_eq!(drawbridge("scrub", &copy, &[], &[]).status.code(), Some(0));
    assert!(!copy.join("locks").exists());
    assert_eq!(drawbridge("gc", &copy, &[], &[]).status.code(), Some(0));
    let short = drawbridge("gc", &world.store, &["--grace", "5m"], &[]);
    assert!(String::from_utf8(short.stderr).unwrap().contains("hour"));
}

#[test]
fn what_is_more_than_an_owner_may_keep_is_refused_by_both_protocols() {
    let environment = vec![
        ("DRAWBRIDGE_QUOTA_BYTES", "9000".to_owned()),
        ("DRAWBRIDGE_QUOTA_TAGS", "2".to_owned()),
        ("DRAWBRIDGE_QUOTA_REPOS", "1".to_owned()),
    ];
    let world = World::with(Options { environment, ..Options::default() });
    let ann = world.register("app", true, false);
    world.publish(&ann, "ann/app:1.0.0").unwrap();
    let refused = |result: Result<(), drawbridge_client::Error>, check: &str, words: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.status(), Some(507), "{error}");
        assert!(error.to_string().contains(check), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    let large = vec![("main.wasm".to_owned(), vec![9; 3000])];
    let publish = |name: &str, files: &[(String, Vec<u8>)]| {
        ann.publish(&slug(name), files.to_vec(), &mut |_| {}).map(drop)
    };
    refused(publish("ann/app:1.0.1", &large), "quota.bytes", "of 9000 bytes");
    // The same content by another name needs no room, and what is there can be sent again.
    let files = crate::world::files();
    publish("ann/app:1.0.1", &files).unwrap();
    publish("ann/app:1.0.0", &files).unwrap();
    refused(publish("ann/app:1.0.2", &files), "quota.tags", "2 of 2 tags");
    let record = RepoRecord { public: true, ..RepoRecord::default() };
    refused(ann.repo_put("ann", "more", &record).map(drop), "quota.repos", "1 of 1 repositories");
    assert!(ann.repo_put("ann", "app", &record).is_ok());
    let push = |bytes: &[u8]| {
        let head = format!(
            "POST /v2/ann/app/blobs/uploads/?digest={} HTTP/1.1\nHost: {}\nAuthorization: Bearer {}\nContent-Length: {}",
            types::digest::Sha256::of(bytes),
            crate::world::HOST,
            world.token("ann", crate::world::ALL),
            bytes.len()
        );
        world.raw(&head, bytes)
    };
    let (status, _, body) = push(&[8; 3000]);
    let body = String::from_utf8(body).unwrap();
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("\"DENIED\"") && body.contains("quota.bytes"), "{body}");
    assert_eq!(push(&[8; 10]).0, 201);
    assert_eq!(push(&[7; 5000]).0, 201);
    assert_eq!(drawbridge("scrub", &world.store, &[], &[]).status.code(), Some(0));
}

#[test]
fn check_config_says_what_serve_would_do_and_changes_nothing() {
    let mut world = World::new();
    let check = |world: &World, store: &Path, more: &[&str]| {
        let served = world.command(store);
        let arguments = served.get_args().skip_while(|argument| *argument != "serve").skip(1);
        let output = Command::new(env!("CARGO_BIN_EXE_drawbridge"))
            .args(["--log-filter", "warn", "check-config", "--json"])
            .args(arguments)
            .args(more)
            .env_clear()
            .output()
            .unwrap();
        let report = json(&output);
        assert_eq!(output.status.success(), report["ok"] == true, "{report}");
        assert!(output.status.code().unwrap() <= 1, "{output:?}");
        report
    };
    let about = |report: &serde_json::Value, option: &str| -> (bool, String) {
        let checks = report["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["option"] == option).unwrap();
        (found["ok"] == true, found["detail"].as_str().unwrap().to_owned())
    };
    let store = world.store.clone();
    let report = check(&world, &store, &["--quota-tags", "7"]);
    assert_eq!(report["ok"], true, "{report}");
    let detail = about(&report, "--store").1;
    assert!(detail.contains("version 2") && detail.contains("another process"), "{detail}");
    assert!(about(&report, "--quota-…").1.contains("7 tags"));
    assert!(about(&report, "--keep-ca").1.contains("sha256:"));
    assert!(about(&report, "--addr").1.contains("https on 127.0.0.1:0"));
    world.kill();
    let detail = about(&check(&world, &store, &[]), "--store").1;
    assert!(!detail.contains("another process"), "{detail}");
    // Nothing is made, and what serve refuses is wrong here.
    let fresh = world.dir.path().join("fresh");
    let report = check(&world, &fresh, &[]);
    assert_eq!(report["ok"], true, "{report}");
    assert!(about(&report, "--store").1.contains("will be made"));
    assert!(!fresh.exists());
    let home = world.dir.path().to_owned();
    let nowhere = home.join("no/where");
    for (store, more, option, words) in [
        (&home, &[][..], "--store", "no store of a Drawbridge"),
        (&nowhere, &[], "--store", "above it"),
        (&store, &["--keep-ca", "/nonexistent"], "--keep-ca", "/nonexistent"),
        (&store, &["--audit-log", "/nonexistent/log"], "--audit-log", "above it"),
        (&store, &["--trusted-issuer", "http://example.com"], "--oidc-issuer", "no https URL"),
        (&store, &["--plain"], "--addr", "--plain"),
        (&store, &["--otlp-endpoint", "http://example.com"], "--otlp-endpoint", "http"),
    ] {
        let report = check(&world, store, more);
        assert_eq!(report["ok"], false, "{more:?}: {report}");
        let (ok, detail) = about(&report, option);
        assert!(!ok && detail.contains(words), "{more:?}: {detail}");
    }
    let run = |host: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        command.args(["check-config", "--plain", "--addr", "127.0.0.1:0", "--store"]).arg(&fresh);
        command.args(["--host", host]).env_clear().output().unwrap()
    };
    let good = run("store.example.com");
    let text = String::from_utf8(good.stdout).unwrap();
    assert!(good.status.success() && text.contains("nobody can log in"), "{text}");
    let bad = run("Store");
    assert_eq!(bad.status.code(), Some(1));
    assert!(String::from_utf8(bad.stdout).unwrap().contains("✗ --host"));
}
