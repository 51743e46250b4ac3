// SPDX-License-Identifier: Apache-2.0

//! The client library of the original registry, as its authors published it.

use std::path::Path;
use std::process::Command;

use drawbridge_client::drawbridge_core::Tree;

use crate::world::{ALL, World, files, slug, status, write};

/// A package whose directories come after the files beside them: of a directory that is followed by anything, that client
/// leaves out what follows.
fn package() -> Vec<(String, Vec<u8>)> {
    let mut files = files();
    files[3].0 = "static/pictures/dot.png".to_owned();
    files.sort();
    files
}

#[test]
fn the_published_client_goes_round() {
    // Built by `cargo xtask test`.
    let programs = Path::new(env!("CARGO_BIN_EXE_drawbridge")).parent().and_then(Path::parent);
    let client = programs.unwrap().join("clients/debug/published-client");
    if !client.exists() {
        eprintln!("SKIP the_published_client_goes_round: {} is not built", client.display());
        return;
    }
    let world = World::new();
    let dir = world.dir.path().join("package");
    for (path, bytes) in package() {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        chassis::durable::write(&path, &bytes, 0o644).unwrap();
    }
    let at = |name: &str| world.dir.path().join(name);
    chassis::durable::write(&at("ca.der"), world.ca_der(), 0o644).unwrap();
    write(&at("token"), &world.token("ann", ALL));
    let port = world.address().port();
    let run = |version: &str| {
        Command::new(&client)
            .arg(format!("https://localhost:{port}"))
            .args([at("ca.der"), at("token"), dir.clone()])
            .arg(version)
            .output()
            .unwrap()
    };
    let output = run("1.0.0");
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), world.log());
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["tags"], &said["files"]), (&serde_json::json!(["1.0.0"]), &4.into()));
    // What it published is what ours would have.
    let ann = world.person("ann");
    let name = slug("ann/old:1.0.0");
    let digest = Tree::from_files(package()).unwrap().digest();
    assert_eq!(ann.fetch_package(&name, &digest).unwrap(), package());
    assert_eq!(status(world.anonymous().tag_entry(&name)), 401, "it is private");
}
