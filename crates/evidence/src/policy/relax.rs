// SPDX-License-Identifier: Apache-2.0

//! Relaxations: checks that a policy lets fail, each by name.

use std::fmt;

use super::{Allowance, SnpPolicy};

/// A check that may fail, because the policy says so. Certificates list those that did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relaxation {
    /// Memory may be aliased: the platform has not checked, or cannot say so (reports of version 2).
    AliasCheck,
    /// The chip's identity may be masked.
    ChipIdMasked,
    /// The revocation list may be past its time.
    CrlExpired,
    /// There may be no revocation list.
    CrlMissing,
    /// The host may debug the guest, which then is no TEE.
    Debug,
    /// The guest may have a migration agent.
    MigrationAgent,
    /// The firmware that runs may be newer than what is committed: the host can set it back.
    ProvisionalFirmware,
    /// The report may be signed by a cloud provider's key; named in `vlek`, not in `allow`.
    Vlek,
    /// The report may be asked for at a privilege level below the highest; given as `max_vmpl`, not in `allow`.
    Vmpl,
}

impl Relaxation {
    /// Those that stand in `allow`.
    pub const ALLOWED: [Self; 7] = [
        Self::AliasCheck,
        Self::ChipIdMasked,
        Self::CrlExpired,
        Self::CrlMissing,
        Self::Debug,
        Self::MigrationAgent,
        Self::ProvisionalFirmware,
    ];

    /// Its name in policies and certificates.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AliasCheck => "alias-check",
            Self::ChipIdMasked => "chip-id-masked",
            Self::CrlExpired => "crl-expired",
            Self::CrlMissing => "crl-missing",
            Self::Debug => "debug",
            Self::MigrationAgent => "migration-agent",
            Self::ProvisionalFirmware => "provisional-firmware",
            Self::Vlek => "vlek",
            Self::Vmpl => "vmpl",
        }
    }
}

impl fmt::Display for Relaxation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl SnpPolicy {
    /// Whether `allow` names it, and until when.
    pub(crate) fn allowance(&self, relaxation: Relaxation) -> Allowance {
        self.allow.get(&relaxation).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order() {
        assert!(Relaxation::ALLOWED.map(Relaxation::name).is_sorted());
    }
}
