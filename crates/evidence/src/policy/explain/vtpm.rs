// SPDX-License-Identifier: Apache-2.0

//! `[vtpm]` in words.

use super::{Section, any_of};
use crate::policy::{VtpmPolicy, VtpmRequirement};

/// Whether virtual machines with a virtual TPM are taken, and which.
pub(super) fn explain(policy: Option<&VtpmPolicy>) -> Section {
    let mut section = Section::new("Virtual machines with a virtual TPM (Azure)");
    let Some(VtpmPolicy { pcrs, require_ak_certificate, require }) = policy else {
        section.note("None is taken.");
        return section;
    };
    section.relax("Guests are taken whose own kernel is trusted, not only the Keep; their hardware is judged as above.");
    if pcrs.is_empty() {
        section
            .note("No register is demanded, so no Keep is pinned: certificates name no workload.");
    }
    for (index, values) in pcrs {
        section.demand(format!("PCR {index} is {}.", any_of(values)));
    }
    if *require_ak_certificate {
        section.demand("The virtual TPM's key has a certificate that leads to the cloud's root.");
    }
    for requirement in require {
        section.demand(match requirement {
            VtpmRequirement::SecureBoot => "The machine boots signed software only.",
            VtpmRequirement::NoConsole => "The host has no console into the machine.",
        });
    }
    section
}
