// SPDX-License-Identifier: Apache-2.0

//! Stores that were written before, and copies of stores that are being written to.
//!
//! `fixtures/store-2` was written by this program when version 2 was the newest, `fixtures/store-1` is what of it there was in
//! version 1, where that was. Neither is ever made anew.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use drawbridge_client::drawbridge_core::Tree;

use crate::world::{Options, WASM, World, slug, until};

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    assert!(status.success());
}

fn scrub(store: &Path) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_drawbridge"))
        .args(["--log-filter", "warn", "scrub", "--json", "--store"])
        .arg(store)
        .env_clear()
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"))
}

#[test]
fn stores_of_every_past_version_open() {
    let files = vec![
        ("Enarx.toml".to_owned(), b"steward = \"https://steward.example.com\"\n".to_vec()),
        ("a/b/c.txt".to_owned(), b"deep".to_vec()),
        ("main.wasm".to_owned(), WASM.to_vec()),
    ];
    let whole = Tree::from_files(files.clone()).unwrap().digest();
    for version in ["store-1", "store-2"] {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        copy(&fixtures.join(version), &store);
        let world = World::with(Options { store: Some(store.clone()), ..Options::default() });
        let anybody = world.anonymous();
        let found = anybody.fetch_package(&slug("ann/app:1.0.0"), &whole).unwrap();
        let sorted = |mut files: Vec<(String, Vec<u8>)>| {
            files.sort();
            files
        };
        assert_eq!(sorted(found), sorted(files.clone()), "{version}");
        assert!(anybody.tag_entry(&slug("ann/app:1.0.1")).is_ok());
        // Who had it has it, and goes on with what was on its way.
        let ann = world.person("ann");
        let late = vec![("main.wasm".to_owned(), b"\0asm-on-its-way".to_vec())];
        ann.publish(&slug("ann/app:2.0.0"), late, &mut |_| {}).unwrap();
        world.publish(&ann, "ann/app:3.0.0").unwrap();
        let report = scrub(&store);
        assert_eq!((&report["ok"], &report["tags"]), (&true.into(), &4.into()), "{report}");
        if version == "store-2" {
            let (status, _, body) = world.get("/v2/ann/app/manifests/latest", None);
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        }
    }
}

/// As the README says: a copy of everything, then of what its names need, in that order.
#[test]
fn a_copy_of_a_registry_at_work_has_all_that_was_acknowledged_before() {
    let world = World::new();
    let ann = world.register("app", true, false);
    let package = |n: usize| {
        vec![
            ("main.wasm".to_owned(), WASM.to_vec()),
            (format!("d/{n}"), format!("number {n}").into_bytes()),
        ]
    };
    let (acknowledged, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let copied = world.dir.path().join("copy");
    let before = std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let name = format!("ann/app:1.0.{n}");
                ann.publish(&slug(&name), package(n), &mut |_| {}).unwrap();
                acknowledged.lock().unwrap().push((name, package(n)));
            }
        });
        let count = || acknowledged.lock().unwrap().len();
        until("some are published", || count() >= 3);
        let before = acknowledged.lock().unwrap().clone();
        let output = Command::new("cp").arg("-r").args([&world.store, &copied]).output().unwrap();
        // Of what was on its way, some is gone before it is copied.
        for line in String::from_utf8(output.stderr).unwrap().lines() {
            let passing = ["/tmp/", "/pending/", "/uploads/"];
            assert!(passing.iter().any(|kind| line.contains(kind)), "{line}");
        }
        let then = count();
        until("others are published meanwhile", || count() > then);
        for kind in ["repos", "users", "oci-manifests", "blobs"] {
            let from: PathBuf = world.store.join(kind);
            if from.exists() {
                let mut command = Command::new("cp");
                let output = command.arg("-ru").args([&from, &copied]).output().unwrap();
                assert!(output.status.success(), "{output:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
        before
    });
    let report = scrub(&copied);
    assert_eq!(report["ok"], true, "{report}");
    let other = world.beside_with(&copied);
    let ann = world.person_at(other.address, "ann");
    for (name, files) in before {
        let digest = Tree::from_files(files.clone()).unwrap().digest();
        let mut found = ann.fetch_package(&slug(&name), &digest).unwrap();
        found.sort_by_key(|(path, _)| path != "main.wasm");
        assert_eq!(found, files, "{name}");
    }
    // And it takes new ones.
    ann.publish(&slug("ann/app:9.0.0"), package(9), &mut |_| {}).unwrap();
}
