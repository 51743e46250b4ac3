// SPDX-License-Identifier: Apache-2.0

//! Evidence of TEEs, and what it is worth: parsing, policy, appraisal, attestation results.
//!
//! [`appraise`] is one pure function of request, policy, trust anchors and time: no I/O, no clock, no state. It has one
//! error path, a [`Refusal`] that names the [`Check`] that failed, and nothing in it starts as a success. Signatures are
//! checked over the bytes as they were received, never over bytes that were written again.
//!
//! Nothing here issues certificates; Steward does, from a [`Decision`].
//!
//! | module | of what |
//! |---|---|
//! | [`csr`] | requests with evidence |
//! | [`claims`] | what report data stand for |
//! | [`snp`] | SEV-SNP reports and their verification |
//! | [`amd`] | AMD's products and certificates |
//! | [`policy`] | what is good enough |
//! | [`result`] | what a certificate says about it |
//! | [`crypto`] | signature checks |

#![forbid(unsafe_code)]

pub mod amd;
mod appraisal;
mod asn1;
mod check;
pub mod claims;
pub mod crypto;
pub mod csr;
pub mod policy;
pub mod result;
pub mod snp;

pub use appraisal::{Decision, Names, appraise};
pub use check::{Check, Refusal};
