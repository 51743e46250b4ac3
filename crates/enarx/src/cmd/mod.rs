// SPDX-License-Identifier: Apache-2.0

//! The commands, one module each.

pub mod completions;
pub mod config;
pub mod deploy;
pub mod expect;
pub mod find;
pub mod keys;
pub mod org;
pub mod package;
pub mod platform;
pub mod policy;
pub mod proxy;
pub mod publishers;
pub mod repo;
pub mod rights;
pub mod run;
pub mod sign;
pub mod token;
pub mod tree;
pub mod user;
pub mod verify;
pub mod yank;
