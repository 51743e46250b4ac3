// SPDX-License-Identifier: Apache-2.0

//! Arm CCA: attestation tokens and their verification (RMM specification 1.0 A7.2; draft-ffm-rats-cca-token).
//!
//! A token is two: the platform's, signed by a key of the platform (CPAK), and the realm's, signed by a key (RAK) whose
//! hash the platform's contains. There is no authority above platform keys: the policy names those that are trusted.

mod key;
mod platform;
mod realm;
mod token;
mod verify;

pub use crate::cose::Malformed;
pub use key::PlatformKey;
pub use platform::{Component, Lifecycle, PlatformClaims};
pub use realm::{HashAlgorithm, RealmClaims};
pub use token::Token;
pub(crate) use verify::verify;
