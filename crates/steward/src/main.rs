// SPDX-License-Identifier: Apache-2.0

//! Steward, the program. Everything is in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    steward::cli::run()
}
