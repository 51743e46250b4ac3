// SPDX-License-Identifier: Apache-2.0

//! `cargo xtask mutants`: does a test fail for each check that is removed from what decides about evidence?
//!
//! `cargo-mutants` changes one thing at a time, as `.cargo/mutants.toml` says, in a copy of the checkout: whatever ends this
//! early, the checkout is as it was. Each file is gone through twice: with the tests of its part, which takes seconds for each
//! mutant, and then, for what survived them, with all tests of the crate.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{cargo, root, run, target};

/// Least part of the mutants that tests must catch, in percent.
const CAUGHT_MIN: usize = 90;
/// Seconds after which a test that does not end has caught its mutant.
const TIMEOUT_SECONDS: &str = "300";
/// Parts of the crate's sources with the tests that are about them. What is in none is judged by all tests at once.
const PARTS: [(&str, &[&str]); 8] = [
    ("src/amd/", &["checks::", "negative::"]),
    ("src/appraisal.rs", &["requests::", "checks::"]),
    ("src/cca/", &["cca::"]),
    ("src/csr/", &["requests::"]),
    ("src/intel/", &["intel::"]),
    ("src/nitro/", &["nitro::"]),
    ("src/snp/", &["checks::", "negative::"]),
    ("src/vtpm/", &["vtpm::"]),
];
/// Tests that try thousands of inputs: for survivors only.
const SLOW: [&str; 5] = [
    "--skip=no_bit",
    "--skip=mutated",
    "--skip=bits_and_forms",
    "--skip=crypto::",
    "--skip=real::",
];

/// What became of the mutants of a file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    caught: usize,
    missed: usize,
    /// Did not compile.
    unviable: usize,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.caught += other.caught;
        self.missed += other.missed;
        self.unviable += other.unviable;
    }

    /// Caught ones among those that compiled, in percent, rounded down.
    fn percent(self) -> usize {
        (100 * self.caught).checked_div(self.caught + self.missed).unwrap_or(100)
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { caught, missed, unviable } = self;
        let percent = self.percent();
        write!(f, "{caught:5} caught {missed:4} missed {unviable:4} unviable {percent:4} %")
    }
}

/// Tests the mutants of all files that decide, or of those whose paths contain one of `arguments`.
pub(crate) fn mutants(arguments: &[OsString]) -> Result<(), String> {
    let version = cargo(&["mutants", "--version"]).stderr(Stdio::null()).output();
    let Some(version) = version.ok().filter(|output| output.status.success()) else {
        return Err("cargo-mutants is not installed: `cargo install --locked cargo-mutants`".into());
    };
    let directory = target().join("mutation");
    let tree = directory.join("tree");
    copy_checkout(&tree)?;
    link_corpus(&directory)?;
    let wanted: Vec<_> = arguments.iter().map(|part| part.to_string_lossy()).collect();
    let every = files(&tree)?;
    let files: Vec<&String> = every
        .iter()
        .filter(|file| wanted.is_empty() || wanted.iter().any(|part| file.contains(&**part)))
        .collect();
    if files.is_empty() {
        return Err(format!("nothing that decides is called {}", wanted.join(" or ")));
    }
    eprintln!("building, and running the tests without a mutant");
    let mut tests = cargo(&["test", "--locked", "--profile=mutants", "--package=enarx-evidence"]);
    tests.args(["--lib", "--test=it", "--quiet"]).current_dir(&tree);
    run(&mut tests, "the tests without any mutant")?;
    let (mut all, mut survivors) = (Tally::default(), Vec::new());
    for file in &files {
        let (tally, missed) = one(&tree, &directory, &every, file)?;
        let _ = writeln!(io::stdout(), "{file:50} {tally}");
        all.add(tally);
        survivors.extend(missed);
    }
    let version = String::from_utf8_lossy(&version.stdout);
    let _ = writeln!(io::stdout(), "{:50} {all}", version.trim());
    for survivor in survivors {
        let _ = writeln!(io::stdout(), "missed: {survivor}");
    }
    if all.percent() < CAUGHT_MIN {
        return Err(format!(
            "tests catch {} % of the mutants, less than {CAUGHT_MIN} %",
            all.percent()
        ));
    }
    Ok(())
}

/// The mutants of one file, and the names of those that no test catches.
fn one(
    tree: &Path,
    directory: &Path,
    every: &[String],
    file: &str,
) -> Result<(Tally, Vec<String>), String> {
    let output = directory.join("out").join(file.replace('/', "-"));
    if output.exists() {
        fs::remove_dir_all(&output).map_err(|error| format!("{}: {error}", output.display()))?;
    }
    fs::create_dir_all(&output).map_err(|error| format!("{}: {error}", output.display()))?;
    let part = PARTS.iter().find(|(part, _)| file.contains(part));
    let mut first = vec!["--test=it", "--", "--"];
    first.extend(part.map_or(&[][..], |(_, tests)| tests));
    first.extend(SLOW);
    pass(tree, &output, (file, every), &first)?;
    let report = |name: &str| lines(&output.join("mutants.out").join(name));
    let mut tally = tally(&report);
    let mut missed = report("missed.txt");
    if !missed.is_empty() {
        // Passes over what was caught.
        pass(tree, &output, (file, every), &["--lib", "--test=it", "--iterate"])?;
        missed = report("missed.txt");
        tally.caught += tally.missed - missed.len();
        tally.missed = missed.len();
    }
    Ok((tally, missed))
}

/// What the lists of one pass say. What did not end has been caught.
fn tally(report: &impl Fn(&str) -> Vec<String>) -> Tally {
    Tally {
        caught: report("caught.txt").len() + report("timeout.txt").len(),
        missed: report("missed.txt").len(),
        unviable: report("unviable.txt").len(),
    }
}

fn pass(
    tree: &Path,
    output: &Path,
    (file, every): (&str, &[String]),
    arguments: &[&str],
) -> Result<(), String> {
    let mut command = mutants_of(tree);
    command.args(["--in-place", "--baseline=skip", "--no-shuffle", "--timeout", TIMEOUT_SECONDS]);
    // Of what the settings name, only this file. (`--file` would add to it, and `--re` lets mutants of fields through.)
    for other in every.iter().filter(|other| *other != file) {
        command.arg("--exclude").arg(other);
    }
    command.arg("--output").arg(output);
    // Which tests are built; what is behind `--` goes to them.
    for argument in arguments {
        match *argument {
            "--lib" | "--test=it" => command.arg("--cargo-arg").arg(argument),
            other => command.arg(other),
        };
    }
    let status = command.status().map_err(|error| format!("cannot run cargo-mutants: {error}"))?;
    // 0: all were caught. 2: some were missed. 3: some did not end.
    match status.code() {
        Some(0 | 2 | 3) => Ok(()),
        _ => Err(format!("cargo-mutants failed on {file} ({status})")),
    }
}

fn mutants_of(tree: &Path) -> Command {
    let mut command = cargo(&["mutants", "--colors=never", "--dir"]);
    command.arg(tree).current_dir(tree).stdin(Stdio::null());
    command
}

/// The files that have mutants, sorted.
fn files(tree: &Path) -> Result<Vec<String>, String> {
    let output = mutants_of(tree)
        .args(["--list", "--line-col=true"])
        .output()
        .map_err(|error| format!("cannot run cargo-mutants: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo-mutants: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let mut files = BTreeMap::new();
    for name in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some((file, _)) = name.split_once(':') {
            *files.entry(file.to_owned()).or_insert(0_usize) += 1;
        }
    }
    eprintln!("{} mutants in {} files", files.values().sum::<usize>(), files.len());
    Ok(files.into_keys().collect())
}

/// The lines of a list, none if there is no list.
fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Brings a copy of what git knows of the checkout, changes included, up to date.
fn copy_checkout(tree: &Path) -> Result<(), String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("cannot run git: {error}"))?;
    if !listed.status.success() {
        return Err(format!("git: {}", String::from_utf8_lossy(&listed.stderr)));
    }
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    let files: BTreeSet<PathBuf> =
        names.split('\0').filter(|name| root().join(name).is_file()).map(PathBuf::from).collect();
    remove_others(tree, Path::new(""), &files)
        .and_then(|()| files.iter().try_for_each(|file| copy(&root().join(file), &tree.join(file))))
        .map_err(|error| format!("cannot copy the checkout to {}: {error}", tree.display()))
}

/// Copies a file unless it is there as it is: what has not changed is not built again.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let content = fs::read(from)?;
    if fs::read(to).is_ok_and(|there| there == content) {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).map(drop)
}

/// Removes what is in the copy and no longer in the checkout; `target` stays.
fn remove_others(tree: &Path, below: &Path, files: &BTreeSet<PathBuf>) -> io::Result<()> {
    let directory = tree.join(below);
    if !directory.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if path != Path::new("target") {
                remove_others(tree, &path, files)?;
            }
        } else if !files.contains(&path) {
            fs::remove_file(tree.join(path))?;
        }
    }
    Ok(())
}

/// The corpus of real evidence is looked for beside a checkout, hence also beside the copy.
fn link_corpus(directory: &Path) -> Result<(), String> {
    let (corpus, link) = (root().join("../shared"), directory.join("shared"));
    let Ok(corpus) = corpus.canonicalize() else { return Ok(()) };
    if link.exists() {
        return Ok(());
    }
    std::os::unix::fs::symlink(corpus, link)
        .map_err(|error| format!("cannot link the corpus: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_end_is_caught_and_what_did_not_compile_counts_for_nothing() {
        let report = |name: &str| match name {
            "caught.txt" => vec!["a".to_owned(); 8],
            "missed.txt" | "timeout.txt" => vec!["b".to_owned()],
            _ => vec!["c".to_owned(); 5],
        };
        let mut all = tally(&report);
        assert_eq!((all, all.percent()), (Tally { caught: 9, missed: 1, unviable: 5 }, 90));
        all.add(Tally { missed: 1, ..Tally::default() });
        assert_eq!(all.percent(), 81);
        assert_eq!(Tally::default().percent(), 100);
    }

    /// A file that is renamed must not fall out of what is tested.
    #[test]
    fn each_place_that_decides_is_there() {
        let config = fs::read_to_string(root().join(".cargo/mutants.toml")).unwrap();
        let paths: Vec<_> =
            config.split('"').filter(|text| text.starts_with("crates/evidence/src/")).collect();
        assert!(paths.len() > 10, "{paths:?}");
        for path in &paths {
            assert!(root().join(path.trim_end_matches("/*.rs")).exists(), "{path}");
        }
        for (part, _) in PARTS {
            assert!(paths.iter().any(|path| path.contains(part)), "{part}");
        }
    }
}
