// SPDX-License-Identifier: Apache-2.0

//! The host side of a Keep: it starts one, watches it and answers the few things that it may ask.
//!
//! A Keep is the program `exec` in a place that the host cannot look into; which place, says the [`Backend`]. This crate
//! has one, [`nil`]: an ordinary process of the host's kernel, jailed, **without any protection from the host**. It runs
//! the same bytes as every other backend does and is for development: with [`Launch::simulate`] even the system call for
//! evidence is answered, from silicon that is simulated and says so.
//!
//! ```no_run
//! use keep::{Image, Launch, Stream};
//! # use enarx_keep as keep;
//! # fn boot() -> types::hostlink::Boot { unimplemented!() }
//! # fn main() -> Result<(), keep::Error> {
//! let mut launch = Launch::new(Image::read("/usr/lib/enarx/exec".as_ref())?, boot());
//! launch.files = vec![("main.wasm".into(), vec![])];
//! launch.stdin = Stream::Null;
//! launch.on_event = Box::new(|event| eprintln!("{event:?}"));
//! let running = keep::nil::start(launch)?;
//! let status = running.wait()?;
//! # Ok(())
//! # }
//! ```
//!
//! The loader does not trust the Keep either: its messages are bounded and strictly parsed, and one that misbehaves is
//! ended with an error. Nothing of a Keep outlives its loader, however that one dies.

#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("Keeps are started on x86-64 Linux only");

mod backend;
mod error;
mod filter;
pub mod guest;
pub mod host;
mod image;
mod jail;
mod launch;
mod link;
pub mod nil;
pub mod platform;
mod running;
mod sys;
mod trace;

pub use crate::backend::{Backend, backends, choose};
pub use crate::error::Error;
pub use crate::image::Image;
pub use crate::launch::{EvidenceSource, Launch, OnEvent, OnLog, Stream};
pub use crate::running::{Killer, Running};

/// Number of the system call by which a Keep asks for evidence (docs/FORMATS.md 3.4).
pub const GET_ATTESTATION: i64 = 0xEA01;
