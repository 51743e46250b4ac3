// SPDX-License-Identifier: Apache-2.0

//! Project tasks: `cargo xtask help`.
//!
//! The one thing that plain cargo cannot do is the Keep's runtime: `enarx-exec` is built as a static binary, with flags of its
//! own, in a target directory of its own (`target/exec`), and laid beside `enarx`, which measures and starts it.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

#[cfg(test)]
mod checks;
mod demo;
mod fuzz;
mod image;
mod mutants;
mod test;

/// Flags of the Keep's runtime: one static, position-independent file that needs nothing from the host's file system.
const EXEC_RUSTFLAGS: &str = "-C target-feature=+crt-static";
/// The host target. Named, so that the flags apply to the runtime and not to build scripts.
const EXEC_TARGET: &str = "x86_64-unknown-linux-gnu";

const HELP: &str = "\
cargo xtask up [ARGS]      build everything, then `enarx up`: the whole system on this machine
cargo xtask test [ARGS]    build everything, then run all tests; ARGS go to `cargo test`
cargo xtask build          build enarx, steward, drawbridge and the Keep's runtime (--release for an optimised build)
cargo xtask lint           formatting and clippy, warnings denied
cargo xtask demo           rebuild the committed Wasm of the demo and of the tests (--check compares)
cargo xtask fuzz [SECONDS] [NAME]  every fuzz target for 20 seconds, or those whose name holds NAME
cargo xtask mutants [FILE...]  does a test fail for each check of evidence that is removed? (cargo-mutants; hours, or
                           minutes for those files whose paths contain FILE)
cargo xtask image [SERVICE...]  write target/image/steward and target/image/drawbridge, or those that are named: OCI image
                           layouts, made without a daemon
cargo xtask bench [WASMTIME]  start-up of a Keep beside `wasmtime run`, as a ratio; without the program
                           WASMTIME (crates.io: wasmtime-cli), beside PyPI's wasmtime
";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let task = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    let outcome = match task.to_str() {
        Some("up") => up(&rest),
        Some("test") => test::run(&rest),
        Some("build") => build(rest.iter().any(|a| a == "--release")).map(drop),
        Some("lint") => lint(),
        Some("demo") => demo::run(rest.iter().any(|a| a == "--check")),
        Some("image") => image::run(&rest),
        Some("bench") => bench(&rest),
        Some("fuzz") => fuzz::fuzz(&rest),
        Some("mutants") => mutants::mutants(&rest),
        Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        _ => Err(format!("no such task: {}\n\n{HELP}", task.display())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// `cargo VERB -p enarx-exec …` with the flags of the Keep's runtime.
fn cargo_exec(verb: &str, more: &[&str]) -> Command {
    let mut command =
        cargo(&[verb, "--locked", "--package", "enarx-exec", "--release", "--target", EXEC_TARGET]);
    command.arg("--target-dir").arg(target().join("exec"));
    command.args(more);
    command.env("RUSTFLAGS", EXEC_RUSTFLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

fn run(command: &mut Command, what: &str) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("cannot run {what}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{what} failed ({status})")) }
}

/// Builds all programs; returns the directory that holds them.
fn build(release: bool) -> Result<PathBuf, String> {
    eprintln!("building the Keep's runtime (wasmtime; a few minutes the first time)");
    run(&mut cargo_exec("build", &[]), "the build of enarx-exec")?;
    eprintln!("building enarx, steward and drawbridge");
    let mut programs = cargo(&["build", "--locked", "--bins"]);
    let profile = if release { "release" } else { "debug" };
    if release {
        programs.arg("--release");
    }
    run(&mut programs, "the build of the programs")?;
    let directory = target().join(profile);
    let exec = target().join("exec").join(EXEC_TARGET).join("release").join("enarx-exec");
    install(&exec, &directory.join("enarx-exec"))?;
    Ok(directory)
}

/// Puts a copy of `from` at `to` in one step, so that nobody starts half of it.
fn install(from: &Path, to: &Path) -> Result<(), String> {
    let temporary = to.with_extension("new");
    fs::copy(from, &temporary)
        .and_then(|_| fs::rename(&temporary, to))
        .map_err(|error| format!("cannot copy {} to {}: {error}", from.display(), to.display()))
}

fn up(arguments: &[OsString]) -> Result<(), String> {
    let directory = build(false)?;
    let mut enarx = Command::new(directory.join("enarx"));
    enarx.arg("up").args(arguments);
    use std::os::unix::process::CommandExt as _;
    // Replaces this process: signals and the exit code are those of `enarx`.
    Err(format!("cannot start {}: {}", directory.join("enarx").display(), enarx.exec()))
}

fn lint() -> Result<(), String> {
    run(&mut cargo(&["fmt", "--all", "--check"]), "cargo fmt")?;
    // Workspaces of their own, which are built late.
    for manifest in ["fuzz/Cargo.toml", "tests/clients/drawbridge-client/Cargo.toml"] {
        run(
            &mut cargo(&["fetch", "--quiet", "--locked", "--manifest-path", manifest]),
            &format!(
                "the check of the lock file (mend it: cargo fetch --manifest-path {manifest})"
            ),
        )?;
    }
    run(
        &mut cargo(&["clippy", "--locked", "--all-targets", "--", "--deny", "warnings"]),
        "cargo clippy",
    )?;
    run(
        &mut cargo_exec("clippy", &["--all-targets", "--", "--deny", "warnings"]),
        "cargo clippy for enarx-exec",
    )
}

fn bench(arguments: &[OsString]) -> Result<(), String> {
    let directory = build(true)?;
    let mut command = Command::new("python3");
    command.arg(root().join("xtask/bench_run.py")).arg(directory.join("enarx")).args(arguments);
    run(&mut command, "the benchmark (it needs python3 with `pip install wasmtime`)")
}
