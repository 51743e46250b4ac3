// SPDX-License-Identifier: Apache-2.0

//! `[cca]` in words.

use super::{Section, join};
use crate::policy::{CcaComponent, CcaPlatform, CcaPolicy};

/// What is demanded of tokens of Arm CCA, and what is let pass.
pub(super) fn explain(policy: &CcaPolicy) -> Section {
    let CcaPolicy {
        platforms,
        hash,
        hash_blacklist,
        rems,
        personalization,
        lifecycles,
        components,
    } = policy;
    let mut section = Section::new("Arm CCA");
    section.demand("The platform's token is signed by a key that is trusted for this platform, and vouches for the key that signs the realm's.");
    if platforms.is_empty() {
        section.note("No platform is trusted.");
    }
    for CcaPlatform { key, implementation_id, instance_ids, simulated } in platforms {
        let whose = if instance_ids.is_empty() {
            String::new()
        } else {
            let ids: Vec<_> = instance_ids.iter().map(hex::encode).collect();
            format!(", instance {}", join(&ids))
        };
        let model = if *simulated || key.published() { " (a model)" } else { "" };
        section.relax(format!(
            "Platforms of the implementation {}{whose} are trusted with the key {}{model}.",
            hex::encode(implementation_id),
            hex::encode(key.point()),
        ));
    }
    if hash.is_empty() {
        section.note(
            "No Keep is pinned: certificates state facts about the TEE, and name no workload.",
        );
    }
    section.one_of("The initial measurement (RIM)", hash);
    section.none_of("The initial measurement (RIM)", hash_blacklist);
    for (index, values) in rems {
        section.one_of(&format!("The extensible measurement (REM) {index}"), values);
    }
    match personalization {
        None => section.demand("The personalization value is zero."),
        Some(values) if values.is_empty() => {
            section.demand("The personalization value is one of none: nothing passes.");
        }
        Some(values) => section.one_of("The personalization value", values),
    }
    let states: Vec<_> = lifecycles.iter().map(|state| state.name()).collect();
    if states.iter().all(|state| *state == "secured") {
        section.demand("The platform is secured.");
    } else {
        section.relax(format!(
            "The platform may also be in the state {}; nothing that it attests is then sure.",
            join(&states)
        ));
    }
    for (name, CcaComponent { measurement, signer, minimum_version }) in components {
        let name = name.escape_debug();
        section.demand(format!("The platform has measured {name}."));
        section.one_of(&format!("Its measurement of {name}"), measurement);
        section.one_of(&format!("The signer of {name}"), signer);
        if let Some(version) = minimum_version {
            let version: Vec<_> = version.iter().map(ToString::to_string).collect();
            let version = if version.is_empty() { "0".to_owned() } else { version.join(".") };
            section.demand(format!("The version of {name} is at least {version}."));
        }
    }
    section
}
