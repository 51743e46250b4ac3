// SPDX-License-Identifier: Apache-2.0

//! `[nitro]` in words.

use super::Section;
use crate::policy::NitroPolicy;

/// What is demanded of documents of AWS Nitro Enclaves, and what is let pass.
pub(super) fn explain(policy: &NitroPolicy) -> Section {
    let NitroPolicy { hash, hash_blacklist, signer, pcrs, allow_debug } = policy;
    let mut section = Section::new("AWS Nitro Enclaves");
    section.demand("The document is signed by a key that leads to a root that is believed, is not of the future, and all of its certificates are valid.");
    if hash.is_empty() && signer.is_empty() {
        section.note(
            "No Keep is pinned: certificates state facts about the TEE, and name no workload.",
        );
    }
    section.one_of("The image (PCR0)", hash);
    section.none_of("The image (PCR0)", hash_blacklist);
    section.one_of("The image's signer (PCR8)", signer);
    for (index, values) in pcrs {
        section.one_of(&format!("Register {index}"), values);
    }
    section.allow(*allow_debug, "The enclave may be started for debugging; it then is no TEE.");
    section
}
