// SPDX-License-Identifier: Apache-2.0

//! `cargo xtask test`: everything, with a count of what could not run here.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::{build, cargo, cargo_exec, root, target};

/// What the test runners said, added up.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    /// The tests that failed, by name.
    failures: Vec<String>,
    skipped: Vec<String>,
}

/// Runs all tests.
///
/// Tests that lack something (a tool, a kernel feature, the evidence corpus) say `SKIP name: why` on a line of its own; these lines
/// are shown again, counted, at the end.
pub(crate) fn run(arguments: &[OsString]) -> Result<(), String> {
    let directory = build(false)?;
    let exec = directory.join("enarx-exec");
    outside_clients();
    let mut tally = Tally::default();
    let mut complete = Ok(());
    for (what, mut command) in [
        ("tests of the Keep's runtime", cargo_exec("test", &[])),
        ("tests of everything else", cargo(&["test", "--locked", "--no-fail-fast"])),
    ] {
        // Each test's output is shown, else skips would be lost.
        let split = arguments.iter().position(|a| a == "--").unwrap_or(arguments.len());
        command.args(&arguments[..split]).args(["--", "--show-output"]);
        command.args(arguments.get(split + 1..).unwrap_or_default());
        command.env("ENARX_EXEC", &exec);
        eprintln!("running the {what}");
        complete = complete.and(tally.follow(&mut command, what));
    }
    for skip in &tally.skipped {
        println!("{skip}");
    }
    for name in &tally.failures {
        println!("FAILED {name}");
    }
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped.len());
    complete
}

/// Builds the clients of others that tests drive. Without them, those tests say that they were skipped.
fn outside_clients() {
    eprintln!("building the published drawbridge-client");
    let mut command = cargo(&["build", "--locked", "--quiet"]);
    command.arg("--manifest-path").arg(root().join("tests/clients/drawbridge-client/Cargo.toml"));
    command.arg("--target-dir").arg(target().join("clients"));
    if let Err(message) = crate::run(&mut command, "the build of the published drawbridge-client") {
        eprintln!("xtask: {message}");
    }
}

impl Tally {
    /// Runs `command`, passes its output on and adds up its results.
    fn follow(&mut self, command: &mut Command, what: &str) -> Result<(), String> {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run the {what}: {error}"))?;
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).lines() {
                let line =
                    line.map_err(|error| format!("cannot read the output of the {what}: {error}"))?;
                self.add(&line);
                println!("{line}");
            }
        }
        let status =
            child.wait().map_err(|error| format!("cannot wait for the {what}: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("the {what} failed ({status})")) }
    }

    fn add(&mut self, line: &str) {
        if line.starts_with("SKIP ") {
            if !self.skipped.iter().any(|seen| seen == line) {
                self.skipped.push(line.to_owned());
            }
        } else if let Some(name) = line.strip_suffix(" ... FAILED") {
            self.failures.push(name.trim_start_matches("test ").to_owned());
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            let words: Vec<&str> = counts.split_whitespace().collect();
            for pair in words.windows(2) {
                if let [count, label] = pair {
                    let count: u64 = count.parse().unwrap_or(0);
                    match *label {
                        "passed;" => self.passed += count,
                        "failed;" => self.failed += count,
                        _ => {}
                    }
                }
            }
        }
    }
}
