// SPDX-License-Identifier: Apache-2.0

//! `[tdx]` in words.

use super::Section;
use super::dcap::{self, names, zero_or};
use crate::policy::{TDX_FEATURES, TdxPolicy};

/// What is demanded of TDX quotes, and what is let pass.
pub(super) fn explain(policy: &TdxPolicy) -> Section {
    let TdxPolicy {
        dcap,
        hash,
        hash_blacklist,
        rtmrs,
        mrseam,
        features,
        xfam,
        config_id,
        owner,
        owner_config,
        service_td,
        allow_debug,
    } = policy;
    let mut section = Section::new("Intel TDX");
    dcap::explain(&mut section, dcap);
    section.demand("The TD cannot be migrated, and takes no exceptions for memory that the host removed (SEPT_VE_DISABLE).");
    if hash.is_empty() {
        section.note(
            "No Keep is pinned: certificates state facts about the TEE, and name no workload.",
        );
    } else {
        section.note("A Keep is pinned if each of its registers that is not zero is listed, too.");
    }
    section.one_of("The measurement (MRTD)", hash);
    section.none_of("The measurement (MRTD)", hash_blacklist);
    for (index, list) in rtmrs.iter().enumerate() {
        section.one_of(&format!("Register {index} (RTMR {index})"), list);
    }
    section.one_of("The TDX module (MRSEAM)", mrseam);
    section.demand(format!(
        "Of the TD's other attributes, only these may be set: {}.",
        names(*features, &TDX_FEATURES)
    ));
    section.one_of("The mask of extended features (XFAM)", xfam);
    zero_or(&mut section, "The configuration (MRCONFIGID)", config_id.as_ref());
    zero_or(&mut section, "The owner (MROWNER)", owner.as_ref());
    zero_or(&mut section, "The owner's configuration (MROWNERCONFIG)", owner_config.as_ref());
    if service_td.is_empty() {
        section.demand("No service TD is bound to the TD.");
    } else {
        section.one_of("A service TD that is bound to the TD (MRSERVICETD)", service_td);
    }
    section.allow(*allow_debug, "The TD may be debugged or profiled; it then is no TEE.");
    section
}
