// SPDX-License-Identifier: Apache-2.0

//! Azure's confidential virtual machines: a virtual TPM in the TEE, and what it says about the guest.
//!
//! The hardware's report is made by Azure's paravisor (HCL) and binds the *runtime data*, which hold the key with which the
//! virtual TPM quotes (AK) and 64 bytes of the guest's choice (`user-data`). The TPM's quote then speaks of the guest by its
//! PCRs. Three links are checked: hardware to runtime data, runtime data to AK, AK to PCRs. The guest's own kernel is
//! trusted too: attestation results say so.
//!
//! Sources: TPM 2.0 Library Part 2 (10.12.8 TPMS_ATTEST, 10.6 PCR structures), Microsoft's description of the guest
//! attestation report (<https://learn.microsoft.com/azure/confidential-computing/guest-attestation-confidential-virtual-machines-design>).

#[cfg(feature = "appraisal")]
mod ak;
mod bundle;
#[cfg(feature = "appraisal")]
mod hcl;
#[cfg(feature = "appraisal")]
mod tpm;
#[cfg(feature = "appraisal")]
mod verify;

pub use bundle::{Bundle, NotABundle};
#[cfg(feature = "appraisal")]
pub(crate) use verify::verify;
