// SPDX-License-Identifier: Apache-2.0

//! `[nitro]` of a policy.

use std::collections::BTreeMap;

use super::Allowance;

/// `[nitro]`: what documents of AWS Nitro Enclaves must show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NitroPolicy {
    /// Images (PCR0), one of which it must be.
    pub hash: Vec<[u8; 48]>,
    /// Images that it must not be.
    pub hash_blacklist: Vec<[u8; 48]>,
    /// Signers of images (PCR8), one of which it must be.
    pub signer: Vec<[u8; 48]>,
    /// Values of other registers, by index, one of which each must be. A register that is not there is zero.
    pub pcrs: BTreeMap<u8, Vec<[u8; 48]>>,
    /// Whether the enclave may be started for debugging; it then is no TEE, and its registers are zero.
    pub allow_debug: Allowance,
}
