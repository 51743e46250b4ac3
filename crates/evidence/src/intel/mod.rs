// SPDX-License-Identifier: Apache-2.0

//! Intel SGX and TDX: quotes, the collateral that judges them, and their verification.
//!
//! | module | of what |
//! |---|---|
//! | `collateral` | what travels with quotes |
//! | `quote`, `report` | quotes, taken apart |
//! | `documents`, `chain`, `roots` | Intel's documents, certificates and revocation lists |
//! | `proof` | signatures, as the crate `dcap-qvl` is given them |
//! | `authenticate`, `qvl`, `verify` | whether a quote is genuine, and what Intel says about its platform |
//! | `platform`, `sgx`, `tdx` | what the policy wants of platform, enclave and TD |

#[cfg(feature = "appraisal")]
mod authenticate;
#[cfg(feature = "appraisal")]
mod chain;
mod collateral;
#[cfg(feature = "appraisal")]
mod documents;
#[cfg(feature = "appraisal")]
mod platform;
#[cfg(feature = "appraisal")]
mod proof;
#[cfg(feature = "appraisal")]
mod quote;
#[cfg(feature = "appraisal")]
mod qvl;
#[cfg(feature = "appraisal")]
mod report;
#[cfg(feature = "appraisal")]
mod roots;
#[cfg(feature = "appraisal")]
mod sgx;
#[cfg(feature = "appraisal")]
mod tdx;
#[cfg(feature = "appraisal")]
mod verify;

pub(crate) use collateral::decode_legacy;
pub use collateral::{Collateral, NotCollateral};
#[cfg(feature = "appraisal")]
pub use roots::{INTEL_FINGERPRINT, Root};
#[cfg(feature = "appraisal")]
pub(crate) use verify::verify;
