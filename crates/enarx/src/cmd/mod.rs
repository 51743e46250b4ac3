// SPDX-License-Identifier: Apache-2.0

//! The commands, one module each.

pub mod completions;
pub mod config;
pub mod deploy;
pub mod expect;
pub mod package;
pub mod platform;
pub mod proxy;
pub mod repo;
pub mod run;
pub mod user;
pub mod verify;
