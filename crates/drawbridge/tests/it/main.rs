// SPDX-License-Identifier: Apache-2.0

//! The registry as a program: TLS on loopback, the development issuer, certificates as a Steward issues them.

#![forbid(unsafe_code)]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod access;
mod api;
mod audit;
mod bombs;
mod bucket;
mod deletes;
mod durable;
mod faults;
mod find;
mod frame;
mod kills;
mod oci;
mod openapi;
mod past;
mod published;
mod ranges;
mod rights;
mod signatures;
mod tokens;
mod upkeep;
mod web;
mod world;
mod yank;
