// SPDX-License-Identifier: Apache-2.0

//! `[request]` of a policy.

/// The one relaxation in `allow`, as policies and certificates name it.
pub(crate) const NONCE_MISSING: &str = "nonce-missing";

use super::Allowance;

/// `[request]`: what is demanded of requests as such, whatever the hardware.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestPolicy {
    /// Whether claims may be without a nonce, so that the evidence may be of any age.
    pub allow_without_nonce: Allowance,
}
