// SPDX-License-Identifier: Apache-2.0

//! Checks of the repository itself.

use std::fs;
use std::path::{Path, PathBuf};

/// All Rust files below `directory`, build output left out.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_test_that_a_promise_names_is_there() {
    let promises = fs::read_to_string(crate::root().join("PROMISES.md")).unwrap();
    let mut files = Vec::new();
    sources(&crate::root().join("crates"), &mut files);
    sources(&crate::root().join("xtask"), &mut files);
    let code: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    // Function names have underscores and nothing but lower-case letters and digits beside them.
    let is_function = |name: &&str| {
        name.contains('_')
            && name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let named: Vec<&str> = promises.split('`').skip(1).step_by(2).filter(is_function).collect();
    assert!(named.len() > 20, "PROMISES.md names only {named:?}");
    for name in named {
        assert!(
            code.contains(&format!("fn {name}(")),
            "PROMISES.md names the test {name}, and there is none"
        );
    }
}

#[test]
fn the_committed_wasm_is_what_its_source_builds_to() {
    if std::process::Command::new(crate::demo::CLANG).arg("--version").output().is_err() {
        println!("SKIP the_committed_wasm_is_what_its_source_builds_to: clang-14 is not installed");
        return;
    }
    crate::demo::run(true).unwrap();
}
