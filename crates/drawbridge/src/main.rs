// SPDX-License-Identifier: Apache-2.0

//! The program `drawbridge`; see [`drawbridge::cli`].

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match drawbridge::cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => chassis::exit::failed("drawbridge", &error),
    }
}
