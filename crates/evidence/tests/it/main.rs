// SPDX-License-Identifier: Apache-2.0

//! Appraisal from outside: real evidence with known verdicts, and simulated silicon for everything that real one never does.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something else happens than it says"
)]

mod cca;
mod checks;
mod corpus;
mod crypto;
mod ended;
mod intel;
mod negative;
mod nitro;
mod real;
mod requests;
mod vtpm;
mod world;
