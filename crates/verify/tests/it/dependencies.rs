// SPDX-License-Identifier: Apache-2.0

//! What a program links that links this library.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Most crates of others without the feature `https`, as the README says.
const OTHERS_MAX: usize = 46;
/// Our own: what is published together.
const OURS: [&str; 4] = ["drawbridge-core", "enarx-evidence", "enarx-types", "enarx-verify"];

/// The names of all crates that are linked with these features, those for building included.
fn linked(features: &[&str]) -> Option<BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--package", "enarx-verify"])
        .args(["--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()
        .filter(|_| Path::new(env!("CARGO_MANIFEST_DIR")).exists())?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    // `name version (where) (*)`: two versions of a crate are two crates.
    let crates = names.lines().filter(|line| !line.is_empty());
    Some(crates.map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect())
}

#[test]
fn a_relying_party_links_little() {
    let Some(all) = linked(&["--no-default-features"]) else {
        eprintln!("SKIP a_relying_party_links_little: no cargo beside the sources");
        return;
    };
    let name = |linked: &str| linked.split(' ').next().unwrap().to_owned();
    let (ours, others): (BTreeSet<_>, BTreeSet<_>) =
        all.iter().cloned().partition(|linked| OURS.contains(&name(linked).as_str()));
    println!("{} crates of others: {others:?}", others.len());
    assert_eq!(ours.iter().map(|linked| name(linked)).collect::<Vec<_>>(), OURS);
    assert!(others.len() <= OTHERS_MAX, "{} crates: {others:?}", others.len());
    // No verifier of evidence, no HTTP, no runtime, no list of the Web PKI's roots.
    for heavy in ["sev", "dcap-qvl", "coset", "rsa", "ureq", "tokio", "webpki-roots"] {
        assert!(!others.iter().any(|linked| name(linked) == heavy), "{heavy}");
    }
    // The feature is what brings them.
    let with = linked(&["--features", "https"]).unwrap();
    assert!(with.iter().any(|linked| name(linked) == "ureq"));
}
