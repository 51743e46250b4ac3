// SPDX-License-Identifier: Apache-2.0

//! AWS Nitro Enclaves: attestation documents and their verification.
//!
//! A document is a COSE_Sign1, signed by a key that AWS certified for three hours. It carries its certificates up to the
//! root; the root is known by its fingerprint ([`AWS_FINGERPRINT`]), so nothing is fetched and nothing is built in.

mod chain;
mod document;
mod roots;
mod verify;

pub use crate::cose::Malformed;
pub use document::Document;
pub use roots::{AWS_FINGERPRINT, Root};
pub(crate) use verify::verify;
