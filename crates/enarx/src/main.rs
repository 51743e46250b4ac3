// SPDX-License-Identifier: Apache-2.0

//! The program `enarx`: see `enarx --help`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    enarx::main()
}
