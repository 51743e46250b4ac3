// SPDX-License-Identifier: Apache-2.0

//! `[vtpm]` of a policy.

use std::collections::BTreeMap;

/// `[vtpm]`: that virtual machines with a virtual TPM are taken, and what theirs must show. `[snp]` and `[tdx]` judge their
/// hardware.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VtpmPolicy {
    /// SHA-256 registers, and for each the values one of which it must have. Without any, no Keep is pinned.
    pub pcrs: BTreeMap<u8, Vec<[u8; 32]>>,
    /// Whether the TPM's key must have its certificate from the cloud's own authority.
    pub require_ak_certificate: bool,
    /// Properties that must be there.
    pub require: Vec<VtpmRequirement>,
}

/// A property of the virtual machine that a policy can demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VtpmRequirement {
    /// It boots signed software only.
    SecureBoot,
    /// The host has no console into it.
    NoConsole,
}

impl VtpmRequirement {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::SecureBoot, Self::NoConsole];

    /// Its name in a policy.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SecureBoot => "secure-boot",
            Self::NoConsole => "no-console",
        }
    }
}
