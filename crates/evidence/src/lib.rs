// SPDX-License-Identifier: Apache-2.0

//! Evidence of TEEs, and what it is worth: parsing, policy, appraisal, attestation results.
//!
//! `appraise` is one pure function of request, policy, trust anchors and time: no I/O, no clock, no state. It has one
//! error path, a [`Refusal`] that names the [`Check`] that failed, and nothing in it starts as a success. Signatures are
//! checked over the bytes as they were received, never over bytes that were written again.
//!
//! Nothing here issues certificates; Steward does, from a `Decision`.
//!
//! Keeps and relying parties need formats only; everything that appraises is behind the feature `appraisal`.
//!
//! | module | of what |
//! |---|---|
//! | [`csr`] | requests with evidence |
//! | [`cmw`] | evidence in conceptual message wrappers, and its media types |
//! | [`claims`] | what report data stand for |
//! | [`intel`] | SGX and TDX quotes and their verification |
//! | [`snp`] | SEV-SNP reports and their verification |
//! | `amd` | AMD's products and certificates |
//! | `cca` | tokens of Arm CCA and their verification |
//! | `nitro` | documents of AWS Nitro Enclaves and their verification |
//! | `policy` | what is good enough |
//! | [`result`] | what a certificate says about it |
//! | `vtpm` | virtual machines with a virtual TPM |
//! | [`crypto`] | signature checks |

#![forbid(unsafe_code)]

#[cfg(feature = "appraisal")]
pub mod amd;
#[cfg(feature = "appraisal")]
mod anchors;
#[cfg(feature = "appraisal")]
mod appraisal;
mod asn1;
#[cfg(feature = "appraisal")]
pub mod cca;
mod check;
pub mod claims;
pub mod cmw;
mod container;
#[cfg(feature = "appraisal")]
mod cose;
pub mod crypto;
pub mod csr;
pub mod intel;
#[cfg(feature = "appraisal")]
pub mod nitro;
#[cfg(feature = "appraisal")]
pub mod policy;
pub mod result;
pub mod snp;
pub mod vtpm;

#[cfg(feature = "appraisal")]
pub use anchors::{Anchors, BadAnchors};
#[cfg(feature = "appraisal")]
pub use appraisal::{
    Appraisal, Context, Decision, Names, Nonces, Verified, appraise, appraise_evidence,
    appraise_request, verify,
};
pub use check::{Check, Failure, Refusal, Seen};
pub use container::{Evidence, Kind, encode_evidence, encode_legacy_snp};
