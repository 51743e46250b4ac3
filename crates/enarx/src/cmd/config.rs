// SPDX-License-Identifier: Apache-2.0

//! `enarx config`: write and check Enarx.toml.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use types::config::{Config, ConfigError};
use types::limits;

use crate::failure::{EXIT_FAILED, Failure, Outcome};
use crate::{files, output};

const FILE: &str = "Enarx.toml";

const INIT_EXAMPLES: &str = "\
Examples:
  enarx config init                 write a commented Enarx.toml here
  enarx config init app/Enarx.toml";

const CHECK_EXAMPLES: &str = "\
Examples:
  enarx config check                explain ./Enarx.toml
  enarx config check app/Enarx.toml --json

The exit code is 0 if a Keep would take the file, else 1.";

/// `enarx config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write a commented Enarx.toml to start from
    Init(InitArgs),
    /// Check an Enarx.toml and say in words what it allows
    Check(CheckArgs),
}

/// Arguments of `enarx config init`.
#[derive(Debug, Args)]
#[command(after_help = INIT_EXAMPLES)]
pub struct InitArgs {
    /// File to write; must not exist
    #[arg(default_value = FILE, value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `enarx config check`.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct CheckArgs {
    /// File to check
    #[arg(default_value = FILE, value_name = "FILE")]
    pub file: PathBuf,
    /// Print the parsed file, or the error, as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// If the file cannot be read or written, or is not a configuration.
pub fn run(command: &ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Init(args) => init(&args.file),
        ConfigCommand::Check(args) => check(args),
    }
}

fn init(file: &Path) -> Outcome {
    if file.symlink_metadata().is_ok() {
        return Err(Failure::new(format!("{} is there already", file.display()))
            .why("it is not overwritten")
            .next(format!(
                "check it with `enarx config check {}`, or name another file",
                file.display()
            )));
    }
    files::write_shared(file, Config::example().as_bytes())?;
    output::talk(&format!(
        "wrote {}; check it with `enarx config check {}`",
        file.display(),
        file.display()
    ));
    Ok(0)
}

fn check(args: &CheckArgs) -> Outcome {
    let text = files::read_text(&args.file, limits::CONFIG_BYTES_MAX)
        .map_err(|failure| failure.next("name the file, or write one with `enarx config init`"))?;
    match (Config::parse(&text), args.json) {
        (Ok(config), true) => {
            output::json(&json!({"file": args.file, "ok": true, "config": config})).map(|()| 0)
        }
        (Ok(config), false) => output::data(&config.explain()).map(|()| 0),
        (Err(error), true) => {
            let report = json!({"file": args.file, "ok": false, "error": {
                "line": error.line, "column": error.column, "message": error.message, "hint": error.hint}});
            output::json(&report).map(|()| EXIT_FAILED)
        }
        (Err(error), false) => Err(failure(&args.file, &error)),
    }
}

/// How an error in an Enarx.toml is shown.
pub fn failure(file: &Path, error: &ConfigError) -> Failure {
    Failure::new(format!("{} is not valid", file.display()))
        .why(error)
        .next("mend that line; `enarx config init` writes a file that shows all keys")
}
