// SPDX-License-Identifier: Apache-2.0

//! Platforms of Intel's in words.

use super::{Section, join};
use crate::policy::{Accept, DcapPolicy, DcapRequirement};

/// What is demanded of the platform, and what is let pass.
pub(super) fn explain(section: &mut Section, policy: &DcapPolicy) {
    let DcapPolicy {
        accept,
        allowed_advisories,
        minimum_evaluation_number,
        fmspc,
        fmspc_blacklist,
        ppid,
        ppid_blacklist,
        require,
    } = policy;
    section.demand("Quote, quoting enclave, platform certificate, TCB info and QE identity are signed by keys that lead to a root that is believed; all of it is current, and nothing is revoked.");
    section.demand("Intel's verdict on the platform is UpToDate, and no advisory concerns it.");
    for entry in accept {
        let Accept { status, advisories, until: _ } = entry;
        let (status, day) = (status.name(), entry.last_day());
        let with = match advisories.as_slice() {
            [] => "without advisories".to_owned(),
            some => format!("with the advisories {}", some.join(", ")),
        };
        section.relax(format!("Until {day}, the verdict may be {status} {with}."));
    }
    if !allowed_advisories.is_empty() {
        section.relax(format!(
            "The advisories {} may concern the platform, whatever the verdict that is accepted.",
            allowed_advisories.join(", ")
        ));
    }
    if *minimum_evaluation_number > 0 {
        section.demand(format!(
            "Intel judged the platform by its TCB recovery {minimum_evaluation_number} or a later one."
        ));
    }
    section.one_of("The kind of platform (FMSPC)", fmspc);
    section.none_of("The kind of platform (FMSPC)", fmspc_blacklist);
    section.one_of("The platform (PPID)", ppid);
    section.none_of("The platform (PPID)", ppid_blacklist);
    for requirement in require {
        section.demand(match requirement {
            DcapRequirement::NoCachedKeys => {
                "Intel's registration service does not keep the platform's root keys."
            }
            DcapRequirement::NoSmt => "Multithreading (SMT) is off on the platform.",
            DcapRequirement::StaticPlatform => {
                "No processor packages can be added to the platform."
            }
        });
    }
}

/// `none`, or the names whose bits are set.
pub(super) fn names<T: Copy + Into<u64>>(mask: u64, all: &[(&str, T)]) -> String {
    let set: Vec<_> =
        all.iter().filter(|(_, bit)| mask & (*bit).into() != 0).map(|(name, _)| *name).collect();
    if set.is_empty() { "none".to_owned() } else { join(&set) }
}

/// A demand that a value is zero, or one of a list.
pub(super) fn zero_or<const N: usize>(
    section: &mut Section,
    what: &str,
    list: Option<&Vec<[u8; N]>>,
) {
    match list {
        None => section.demand(format!("{what} is zero.")),
        Some(list) => {
            let list: Vec<_> = list.iter().map(hex::encode).collect();
            section.demand(format!("{what} is {}.", join(&list)));
        }
    }
}
