// SPDX-License-Identifier: Apache-2.0

//! Names, limits and messages that every part of Enarx shares.
//!
//! Pure data: nothing here reads a clock, a file or a socket, and nothing here decides whom to trust. Everything that
//! parses is bounded ([`limits`]) and total: hostile input is an error, never a panic.
//!
//! ```
//! let slug: enarx_types::slug::Slug = "store.example.com/team/app:1.2.0".parse().unwrap();
//! assert_eq!(slug.uri(), "https://store.example.com/team/app:1.2.0");
//! ```

#![forbid(unsafe_code)]

pub mod config;
pub mod digest;
pub mod hostlink;
pub mod limits;
pub mod peer;
pub mod problem;
pub mod slug;
pub mod time;
pub mod toml_error;
