// SPDX-License-Identifier: Apache-2.0

//! The backend `nil` against a program that tries what a Keep must not be able to do.

#![allow(clippy::unwrap_used, reason = "tests")]

mod attestation;
mod guest;
mod jail;
mod life;
mod link;
