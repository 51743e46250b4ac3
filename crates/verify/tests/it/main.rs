// SPDX-License-Identifier: Apache-2.0

//! What a relying party gets that is not Enarx: the weight of the library, and certificates as others read them.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests: a failure here is the result"
)]

mod dependencies;
mod outside;
