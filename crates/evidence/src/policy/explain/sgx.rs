// SPDX-License-Identifier: Apache-2.0

//! `[sgx]` in words.

use super::dcap::{self, names, zero_or};
use super::{Section, join};
use crate::policy::{SGX_FEATURES, SGX_MISC_SELECT, SgxPolicy};

/// What is demanded of SGX quotes, and what is let pass.
pub(super) fn explain(policy: &SgxPolicy) -> Section {
    let SgxPolicy {
        dcap,
        hash,
        hash_blacklist,
        signer,
        signer_blacklist,
        features,
        misc_select,
        product_id,
        minimum_svn,
        config_id,
        config_svn,
        ext_product_id,
        family_id,
    } = policy;
    let mut section = Section::new("Intel SGX");
    dcap::explain(&mut section, dcap);
    if hash.is_empty() && signer.is_empty() {
        section.note(
            "No Keep is pinned: certificates state facts about the TEE, and name no workload.",
        );
    }
    section.one_of("The measurement (MRENCLAVE)", hash);
    section.none_of("The measurement (MRENCLAVE)", hash_blacklist);
    section.one_of("The signer (MRSIGNER)", signer);
    section.none_of("The signer (MRSIGNER)", signer_blacklist);
    let dangers = [
        (1 << 1, "The enclave may be debugged; it then is no TEE."),
        (1 << 4, "The enclave may get the platform's provisioning key."),
        (1 << 5, "The enclave may get the platform's launch key."),
    ];
    for (_, what) in dangers.iter().filter(|(bit, _)| features & bit != 0) {
        section.relax(*what);
    }
    let benign = features & !dangers.iter().fold(0, |all, (bit, _)| all | bit);
    section.demand(format!(
        "Of the enclave's other attributes, only these may be set: {}.",
        names(benign, &SGX_FEATURES)
    ));
    section.demand(format!(
        "Of MISCSELECT, only these may be set: {}.",
        names((*misc_select).into(), &SGX_MISC_SELECT)
    ));
    if let Some(id) = product_id {
        section.demand(format!("The product (ISVPRODID) is {id}."));
    }
    if *minimum_svn > 0 {
        section.demand(format!("The security version (ISVSVN) is at least {minimum_svn}."));
    }
    zero_or(&mut section, "The configuration (CONFIGID)", config_id.as_ref());
    section.demand(match config_svn {
        None => "The configuration's version (CONFIGSVN) is zero.".to_owned(),
        Some(list) => format!("The configuration's version (CONFIGSVN) is {}.", join(list)),
    });
    zero_or(&mut section, "The extended product (ISVEXTPRODID)", ext_product_id.as_ref());
    zero_or(&mut section, "The family (ISVFAMILYID)", family_id.as_ref());
    section
}
