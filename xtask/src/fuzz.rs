// SPDX-License-Identifier: Apache-2.0

//! `cargo xtask fuzz`: every fuzz target for some seconds, with the installed compiler.
//!
//! Coverage comes from LLVM's own pass, which the stable compiler has; only the sanitizers need another one
//! (`cargo +nightly fuzz run TARGET`). The code under test has no `unsafe`, so panics, hangs and memory are what there is to find.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{cargo, root, run, target};

/// Coverage for libFuzzer: counters at every edge.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Ccodegen-units=1 --cfg fuzzing";
/// Seconds for each target unless something else is asked for.
const SECONDS: u64 = 20;
/// Largest input, in bytes.
const INPUT_BYTES_MAX: u32 = 65_536;

/// Runs the targets whose names contain `filter`, `seconds` each.
pub(crate) fn fuzz(arguments: &[std::ffi::OsString]) -> Result<(), String> {
    let mut seconds = SECONDS;
    let mut filter = String::new();
    for argument in arguments.iter().filter_map(|argument| argument.to_str()) {
        match argument.parse() {
            Ok(number) => seconds = number,
            Err(_) => argument.clone_into(&mut filter),
        }
    }
    let names: Vec<_> =
        targets(&root().join("fuzz"))?.into_iter().filter(|name| name.contains(&filter)).collect();
    if names.is_empty() {
        return Err(format!("no fuzz target is called {filter}"));
    }
    let directory = target().join("fuzz");
    let mut build =
        cargo(&["build", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
    build.args(["--target", crate::EXEC_TARGET, "--target-dir"]).arg(&directory);
    build.env("RUSTFLAGS", COVERAGE).env_remove("CARGO_ENCODED_RUSTFLAGS");
    run(&mut build, "the build of the fuzz targets")?;
    let programs = directory.join(crate::EXEC_TARGET).join("release");
    let mut total = 0;
    for name in &names {
        let executions = one(&programs.join(name), &directory.join("corpus").join(name), seconds)?;
        let _ = writeln!(io::stdout(), "{name:24} {executions:>10} executions, no crash");
        total += executions;
    }
    let _ = writeln!(io::stdout(), "fuzzed {} targets: {total} executions, 0 crashes", names.len());
    Ok(())
}

/// The names of all targets, sorted.
fn targets(folder: &Path) -> Result<Vec<String>, String> {
    let unreadable = |error: io::Error| format!("cannot read the fuzz targets: {error}");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.join("fuzz_targets")).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Runs one target; returns how often.
fn one(program: &Path, corpus: &PathBuf, seconds: u64) -> Result<u64, String> {
    fs::create_dir_all(corpus).map_err(|error| format!("cannot make the corpus: {error}"))?;
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = Command::new(program)
        .arg(corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-artifact_prefix={}/crash-", corpus.display()))
        .args(["-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let _ = io::stderr().write_all(&output.stderr);
        return Err(format!("{name} crashed; the input is beside {}", corpus.display()));
    }
    let count = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    count
        .and_then(|count| count.trim().parse().ok())
        .ok_or_else(|| format!("{name} does not say how often it ran"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_built() {
        let folder = root().join("fuzz");
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let names = targets(&folder).unwrap();
        assert!(!names.is_empty());
        for name in names {
            assert!(
                manifest.contains(&format!("name = \"{name}\"")),
                "{name} is not in Cargo.toml"
            );
        }
    }
}
