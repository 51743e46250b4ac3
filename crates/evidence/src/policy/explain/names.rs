// SPDX-License-Identifier: Apache-2.0

//! `[certificate]`, `[[registry]]` and `[[grant]]` in words.

use std::fmt::Display;

use super::Section;
use crate::policy::{Grant, Policy, Registry};

/// What certificates say, and how long. The other sections are explained by others.
pub(super) fn explain(policy: &Policy) -> Section {
    let Policy {
        digest: _,
        snp: _,
        sgx: _,
        tdx: _,
        vtpm: _,
        nitro: _,
        cca: _,
        request: _,
        validity,
        lifetime_seconds,
        include_evidence,
        registries,
        grants,
    } = policy;
    let mut section = Section::new("Certificates");
    if let Some(from) = validity.0 {
        section.demand(format!("None is issued before {from}."));
    }
    if let Some(until) = validity.1 {
        section.demand(format!("None is issued from {until} on."));
    }
    section.note(format!("They live for {} hours.", lifetime_seconds / 3600));
    if *include_evidence {
        section.note("They show the evidence itself, chip identity included.");
    }
    if registries.is_empty() {
        section
            .note("No registry is believed about names: workloads are named by their digest only.");
    }
    for Registry { host, kid, point: _ } in registries {
        section.relax(format!(
            "{host} is believed about the names of its workloads, if it signs with the key {kid}."
        ));
    }
    for Grant { workload, dns, ip } in grants {
        let names = dns.iter().map(|name| name as &dyn Display);
        let all: Vec<_> = names.chain(ip.iter().map(|ip| ip as &dyn Display)).collect();
        let names = all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        section.relax(format!("{workload} may call itself {names}."));
    }
    section
}
