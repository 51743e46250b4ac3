// SPDX-License-Identifier: Apache-2.0

//! Relaxations: checks that a policy lets fail, each by name.

use std::collections::BTreeSet;
use std::fmt;

use super::SnpPolicy;
use crate::check::{Check, Refusal};

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
    /// The report may be signed by a cloud provider's key; named in `vlek`, not in `allow`.
    Vlek,
    /// The report may be asked for at a privilege level below the highest; given as `max_vmpl`, not in `allow`.
    Vmpl,
}

impl Relaxation {
    /// Those that stand in `allow`.
    pub const ALLOWED: [Self; 6] = [
        Self::AliasCheck,
        Self::ChipIdMasked,
        Self::CrlExpired,
        Self::CrlMissing,
        Self::Debug,
        Self::MigrationAgent,
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

/// What one appraisal made use of.
#[derive(Debug)]
pub(crate) struct Relaxed<'p> {
    policy: &'p SnpPolicy,
    taken: BTreeSet<Relaxation>,
}

impl<'p> Relaxed<'p> {
    pub(crate) const fn new(policy: &'p SnpPolicy) -> Self {
        Self { policy, taken: BTreeSet::new() }
    }

    /// A check failed: passes if the policy lets it.
    pub(crate) fn take(
        &mut self,
        relaxation: Relaxation,
        check: Check,
        detail: impl FnOnce() -> String,
    ) -> Result<(), Refusal> {
        let named = match relaxation {
            Relaxation::Vlek | Relaxation::Vmpl => false,
            other => self.policy.allow.contains(&other),
        };
        self.decide(named, relaxation, check, detail)
    }

    /// The same where `named` says whether the policy lets it.
    pub(crate) fn decide(
        &mut self,
        named: bool,
        relaxation: Relaxation,
        check: Check,
        detail: impl FnOnce() -> String,
    ) -> Result<(), Refusal> {
        if !named {
            return Err(Refusal::new(check, detail()));
        }
        self.taken.insert(relaxation);
        Ok(())
    }

    /// In the order of their names.
    pub(crate) fn into_taken(self) -> Vec<Relaxation> {
        self.taken.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_passes_and_is_remembered() {
        for relaxation in Relaxation::ALLOWED {
            let strict = SnpPolicy::default();
            let named = SnpPolicy { allow: vec![relaxation], ..SnpPolicy::default() };
            let fail = |policy| {
                let mut relaxed = Relaxed::new(policy);
                let outcome = relaxed.take(relaxation, Check::Debug, String::new);
                (outcome.is_ok(), relaxed.into_taken())
            };
            assert_eq!(fail(&strict), (false, vec![]));
            assert_eq!(fail(&named), (true, vec![relaxation]));
        }
        let all = SnpPolicy { allow: Relaxation::ALLOWED.to_vec(), ..SnpPolicy::default() };
        for relaxation in [Relaxation::Vlek, Relaxation::Vmpl] {
            assert!(Relaxed::new(&all).take(relaxation, Check::Debug, String::new).is_err());
        }
    }

    #[test]
    fn names_are_in_order() {
        assert!(Relaxation::ALLOWED.map(Relaxation::name).is_sorted());
    }
}
