// SPDX-License-Identifier: Apache-2.0

//! `[request]` in words.

use super::Section;
use crate::policy::RequestPolicy;

pub(super) fn explain(policy: &RequestPolicy) -> Section {
    let RequestPolicy { allow_without_nonce } = policy;
    let mut section = Section::new("Requests");
    if *allow_without_nonce {
        section.relax("Evidence with claims may be of any age: a nonce is not demanded.");
    } else {
        section.demand(
            "Evidence with claims carries a nonce that this Steward handed out at most five minutes before, and that was not used yet.",
        );
    }
    section.note("Evidence of the original form has no claims, and so no nonce; it may be of any age, and names no workload.");
    section
}
