// SPDX-License-Identifier: Apache-2.0

//! Runs a WebAssembly module: compiles it, gives it the system interface of [`crate::wasi`], and holds it to
//! the limits of its configuration.

mod engine;
mod guest;
mod limits;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::time::Duration;

use types::config::Config;

use crate::clock::Clock;
use crate::net::Network;

#[cfg(test)]
pub(crate) use self::guest::descriptors;
pub(crate) use self::limits::GuestLimits;

/// What to run, and with what.
#[expect(missing_debug_implementations, reason = "holds a callback and the network")]
pub struct Job<'a> {
    /// The module: a core WebAssembly binary with an exported `_start`.
    pub wasm: &'a [u8],
    /// The package's files, path (parts separated by `/`) and content: seen read-only under `/`.
    pub files: Vec<(String, Vec<u8>)>,
    /// The workload's configuration.
    pub config: &'a Config,
    /// Arguments after `argv[0]`, which is always `main.wasm`.
    pub args: Vec<String>,
    /// Environment, to which `FD_COUNT` and `FD_NAMES` are added.
    pub env: Vec<(String, String)>,
    /// The way to the network.
    pub network: Network,
    /// The Keep's idea of the time.
    pub clock: Clock,
    /// Told of everything worth a line, as it happens.
    pub on: Rc<dyn Fn(RuntimeEvent)>,
}

/// Something that happened while a job ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// The module was compiled.
    Compiled {
        /// How long that took.
        took: Duration,
    },
    /// The guest is about to run.
    Started {
        /// Time since the job was handed over.
        after: Duration,
    },
    /// The guest wrote its first byte, to an output or to a connection.
    FirstByte {
        /// Time since it started.
        after: Duration,
    },
    /// The guest asked for more than its limit allows and was told so; it goes on.
    LimitReached {
        /// `memory`.
        which: &'static str,
        /// What it asked for, and which limit refused it.
        message: String,
    },
    /// Opening a socket failed.
    NetworkRefused {
        /// `/net/con/…` or `/net/lis/…`.
        path: String,
        /// Why.
        message: String,
    },
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By itself, with this exit code (0 to 255).
    Exited(i32),
    /// By a trap.
    Trapped {
        /// What went wrong.
        message: String,
    },
    /// By reaching a limit.
    LimitReached {
        /// `memory` or `cpu`.
        which: &'static str,
        /// Which limit, and what to do about it.
        message: String,
    },
    /// It never started: no module, one that cannot run here, or a configuration that cannot be met.
    Invalid {
        /// What is wrong with it.
        message: String,
    },
}

/// Runs `job` to its end.
pub fn run(job: Job<'_>) -> Outcome {
    engine::run(job).unwrap_or_else(|outcome| outcome)
}
