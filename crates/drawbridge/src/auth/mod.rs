// SPDX-License-Identifier: Apache-2.0

//! Who asks, and what they may.

pub mod access;
pub mod issuer;
pub mod jwk;
pub mod jwt;
pub mod keeps;
pub mod owner;
pub mod publisher;
pub mod token;
