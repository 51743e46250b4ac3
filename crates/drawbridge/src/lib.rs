// SPDX-License-Identifier: Apache-2.0

//! A registry of workloads: it keeps bytes available and releases private ones only as their owner said.
//!
//! ```text
//! oci       the OCI protocol over the same
//! web       pages of what is public, for people
//! upkeep    scrub: is everything what it should be? gc: what does nobody need any more?
//! openapi   the document of what service answers
//! service   who asks (auth), what for (route), the answer
//!   auth    people by bearer token, Keeps by certificate, one pure table of rules
//!   store   files that are there whole or not at all, checked on the way in and on the way out
//!   audit   what was released and refused, and every change of who may do what
//!   key     the registry's word on what a tag stands for
//! ```
//!
//! Invariants: nothing is served that does not hash to its name; nothing is acknowledged before it is on the disk; a name
//! never changes its meaning; a Keep gets the private workload that it is attested for and no other.

#![forbid(unsafe_code)]

pub mod audit;
pub mod auth;
pub mod cli;
pub mod key;
pub mod oci;
mod openapi;
pub mod query;
pub mod route;
pub mod service;
pub mod store;
pub mod upkeep;
mod web;
