// SPDX-License-Identifier: Apache-2.0

//! How programs end.

use std::process::ExitCode;

/// All went well.
pub const OK: u8 = 0;
/// The program could not do what it was asked to; standard error says why.
pub const FAILED: u8 = 1;
/// The command line or a file it names is wrong; standard error says where.
pub const USAGE: u8 = 2;

/// Prints `error` with its causes on standard error, as one paragraph, and gives the exit code [`FAILED`].
pub fn failed(program: &str, error: &anyhow::Error) -> ExitCode {
    eprintln!("{program}: {error:#}");
    ExitCode::from(FAILED)
}
