// SPDX-License-Identifier: Apache-2.0

//! The real programs, as a user runs them.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "tests: a failure here is the result"
)]

mod attest;
mod cli;
mod collateral;
mod collateral_intel;
mod grpc;
mod guests;
mod home;
mod keeps;
mod people;
mod proxy;
mod registry;
mod up;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A fresh `enarx` whose files go to a place of their own, untouched by the user's environment.
fn enarx() -> Command {
    require("enarx-exec");
    bare_enarx()
}

/// The same, without asking whether the Keep's runtime is built.
fn bare_enarx() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enarx"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("ENARX_") && name != "ENARX_EXEC") {
            command.env_remove(name);
        }
    }
    command
        .env("NO_COLOR", "1")
        .env("XDG_DATA_HOME", home().join("data"))
        .env("XDG_STATE_HOME", home().join("state"))
        .env("XDG_CACHE_HOME", home().join("cache"));
    command
}

/// Where the programs under test keep their files.
fn home() -> &'static Path {
    static HOME: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    HOME.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

/// The program `name`, beside `enarx`.
fn require(name: &str) -> PathBuf {
    let path = match std::env::var_os("ENARX_EXEC").filter(|_| name == "enarx-exec") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_BIN_EXE_enarx")).with_file_name(name),
    };
    assert!(
        path.is_file(),
        "{} is not built: run the tests with `cargo xtask test`",
        path.display()
    );
    path
}
