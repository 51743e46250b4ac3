// SPDX-License-Identifier: Apache-2.0

//! `[request]` in words.

use super::Section;
use crate::policy::{Allowance, RequestPolicy};

pub(super) fn explain(policy: &RequestPolicy) -> Section {
    let RequestPolicy { allow_without_nonce } = policy;
    let mut section = Section::new("Requests");
    section.allow(
        *allow_without_nonce,
        "Evidence with claims may be of any age: a nonce is not demanded.",
    );
    if *allow_without_nonce != Allowance::Always {
        let after = allow_without_nonce
            .last_day()
            .map_or_else(String::new, |day| format!("After {day}, evidence with claims"));
        let who = if after.is_empty() { "Evidence with claims" } else { after.as_str() };
        section.demand(format!(
            "{who} carries a nonce that this Steward handed out at most five minutes before, and that was not used yet."
        ));
    }
    section.note("Evidence of the original form has no claims, and so no nonce; it may be of any age, and names no workload.");
    section
}
