// SPDX-License-Identifier: Apache-2.0

//! WASI preview 1, our own host: upstream's has no sockets and would bring an asynchronous runtime of many threads into the
//! trusted computing base.
//!
//! All 46 calls are there. What cannot be done in a Keep (signals, symbolic links) fails with the error number that says so.
//! Nothing that a guest passes is trusted: see [`memory`].

pub mod abi;
mod clock;
mod context;
mod dir;
mod fd;
mod file;
mod link;
mod memory;
mod path;
mod poll;
mod process;
mod sock;
#[cfg(test)]
mod tests;

pub(crate) use self::clock::thread_cpu;
pub(crate) use self::context::{Context, Parts};
pub(crate) use self::link::{Exit, add_to};
