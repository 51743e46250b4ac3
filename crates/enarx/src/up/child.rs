// SPDX-License-Identifier: Apache-2.0

//! `enarx __child`: becomes a program that dies with the one that started it, however that one ends.
//!
//! The kernel is asked to kill this process when its parent goes; that wish outlives `execve`, so the program itself
//! need know nothing of it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Args;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::failure::{Context as _, EXIT_USAGE, Failure, Outcome};

/// Arguments of the internal command.
#[derive(Debug, Args)]
pub struct ChildArgs {
    /// Process identifier of the parent
    #[arg(long)]
    pub parent: i32,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// Ties this process to its parent and becomes the program.
///
/// # Errors
/// If the parent is gone already, or the program cannot be started. Does not return otherwise.
pub fn run(args: &ChildArgs) -> Outcome {
    set_parent_process_death_signal(Some(Signal::KILL))
        .context("cannot tie this process to its parent")?;
    // The parent may have gone before the kernel was asked.
    if getppid() != Pid::from_raw(args.parent) {
        return Err(Failure::silent(EXIT_USAGE));
    }
    let (program, rest) = args.command.split_first().ok_or_else(|| Failure::silent(EXIT_USAGE))?;
    let error = Command::new(program).args(rest).exec();
    Err(Failure::new(format!("cannot start {}", program.display())).why(error))
}
