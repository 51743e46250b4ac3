// SPDX-License-Identifier: Apache-2.0

//! The command line of Enarx, host side: everything that a tenant or a developer does.
//!
//! Nothing here is trusted by a Keep. This program names a workload, starts the Keep, answers its questions (which are
//! claims to the Keep), shows what it says, and judges certificates with the library that everybody else uses. `enarx up`
//! starts the other programs as any operator would.

#![forbid(unsafe_code)]

pub mod browser;
pub mod cli;
pub mod cmd;
pub mod collateral;
pub mod failure;
pub mod files;
pub mod keeps;
pub mod login;
pub mod oidc;
pub mod output;
pub mod reach;
pub mod signing;
pub mod silicon;
pub mod tokens;
pub mod up;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::failure::Outcome;

/// Runs the program: reads the command line, does what it says, shows what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.show();
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(cli: &Cli) -> Outcome {
    match &cli.command {
        Command::Up(args) => up::run(args, &cli.global),
        Command::Run(args) => cmd::run::run(args, &cli.global),
        Command::Deploy(args) => cmd::deploy::run(args, &cli.global),
        Command::Config(command) => cmd::config::run(command),
        Command::User(command) => cmd::user::run(command),
        Command::Repo(command) => cmd::repo::run(command),
        Command::Org(command) => cmd::org::run(command),
        Command::Token(command) => cmd::token::run(command),
        Command::Package(command) => cmd::package::run(command),
        Command::Tree(command) => cmd::tree::run(command),
        Command::Platform(command) => cmd::platform::run(command),
        Command::Verify(args) => cmd::verify::run(args),
        Command::Proxy(args) => cmd::proxy::run(args, &cli.global),
        Command::Completions(args) => cmd::completions::run(args),
        Command::Child(args) => up::child::run(args),
    }
}
