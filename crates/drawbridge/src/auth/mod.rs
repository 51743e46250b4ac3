// SPDX-License-Identifier: Apache-2.0

//! Who asks, and what they may.

pub mod access;
pub mod jwt;
pub mod keeps;
pub mod people;
