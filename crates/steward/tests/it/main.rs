// SPDX-License-Identifier: Apache-2.0

//! The steward program, as operators and Keeps meet it: over TLS, on loopback, with simulated and with real silicon.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod appraise;
mod auditing;
mod drill;
mod est;
mod evidence;
mod frame;
mod grpc;
mod issuance;
mod keep;
mod logs;
mod mutated;
mod nonce;
mod outside;
mod packaging;
mod policy;
mod program;
mod recording;
mod revocation;
mod rotation;
mod secrecy;
mod steward;
mod token;
