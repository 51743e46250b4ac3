// SPDX-License-Identifier: Apache-2.0

//! SEV-SNP: reports, what travels with them, and their verification.

mod endorsements;
#[cfg(feature = "appraisal")]
mod guest;
mod report;
#[cfg(feature = "appraisal")]
mod verify;

pub use endorsements::{Endorsements, NotEndorsements, split_attestation};
pub use report::{
    Cpuid, FirmwareVersion, GuestPolicy, KeyInfo, Malformed, PlatformInfo, REPORT_BYTES, Report,
    SIGNED_BYTES, SigningKey,
};
#[cfg(feature = "appraisal")]
pub(crate) use verify::verify;
#[cfg(feature = "appraisal")]
pub use verify::{Verified, verify_snp};
