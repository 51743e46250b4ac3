// SPDX-License-Identifier: Apache-2.0

//! Evidence of TEEs: parsing, policy, appraisal, attestation results.

#![forbid(unsafe_code)]

pub mod result;
