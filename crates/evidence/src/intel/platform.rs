// SPDX-License-Identifier: Apache-2.0

//! What the policy wants of the platform.

use std::collections::BTreeSet;

use dcap_qvl::PckCertFlag;
use types::time::Timestamp;

use super::qvl::Genuine;
use crate::check::{Check, Findings};
use crate::policy::{Accept, DcapPolicy, DcapRequirement};
use crate::result::DcapFacts;

/// The status that needs no acceptance.
const UP_TO_DATE: &str = "UpToDate";

/// Whether `value` is in the list, or zero where there is no list.
pub(super) fn listed<const N: usize>(value: &[u8; N], list: Option<&Vec<[u8; N]>>) -> bool {
    list.map_or(*value == [0; N], |list| list.contains(value))
}

/// Whether `value` is in the list, or there is none.
pub(super) fn wanted<T: PartialEq>(value: &T, list: &[T]) -> bool {
    list.is_empty() || list.contains(value)
}

/// Judges the platform. What is told about it counts only if nothing is found.
pub(super) fn judge(
    genuine: &Genuine,
    policy: &DcapPolicy,
    now: Timestamp,
    findings: &mut Findings,
) -> DcapFacts {
    let platform = &genuine.platform;
    let fmspc = hex::encode(platform.fmspc);
    let taken = wanted(&platform.fmspc, &policy.fmspc);
    findings.ensure(
        taken && !policy.fmspc_blacklist.contains(&platform.fmspc),
        Check::Platform,
        || format!("the policy does not take platforms with the FMSPC {fmspc}"),
    );
    let ppid = <[u8; 16]>::try_from(platform.ppid.as_slice()).ok();
    let taken = ppid
        .is_some_and(|ppid| wanted(&ppid, &policy.ppid) && !policy.ppid_blacklist.contains(&ppid));
    findings.ensure(taken, Check::Platform, || {
        format!(
            "the policy does not take the platform with the PPID {}",
            hex::encode(&platform.ppid)
        )
    });
    for requirement in &policy.require {
        let flag = match requirement {
            DcapRequirement::NoCachedKeys => platform.cached_keys,
            DcapRequirement::NoSmt => platform.smt_enabled,
            DcapRequirement::StaticPlatform => platform.dynamic_platform,
        };
        findings.ensure(flag == Some(false), Check::Require, || {
            let name = requirement.name();
            let which = PckCertFlag::from(flag);
            format!("\"{name}\" is required, and the certificate says {which:?} of its contrary")
        });
    }
    let mut facts = DcapFacts {
        advisories: Vec::new(),
        evaluation_number: 0,
        fmspc,
        ppid: hex::encode(&platform.ppid),
        status: String::new(),
    };
    if let Ok(claims) = &genuine.claims {
        facts.evaluation_number = claims.tcb.eval_data_number;
        facts.status = claims.tcb.status.to_string();
        let advisories: BTreeSet<_> = claims.tcb.advisory_ids.iter().cloned().collect();
        facts.advisories = advisories.into_iter().collect();
        status(&facts, policy, now, findings);
    }
    facts
}

/// Intel's verdict is one that is accepted, and so is each advisory with it.
fn status(facts: &DcapFacts, policy: &DcapPolicy, now: Timestamp, findings: &mut Findings) {
    let least = policy.minimum_evaluation_number;
    findings.ensure(facts.evaluation_number >= least, Check::EvaluationNumber, || {
        let found = facts.evaluation_number;
        format!("the platform is judged by the TCB recovery {found}, and the policy wants at least {least}")
    });
    let status = &facts.status;
    let named = || policy.accept.iter().filter(|accept| accept.status.name() == status);
    let in_force = || named().filter(|accept| now < accept.until);
    let last = |mut entries: Vec<&Accept>| {
        entries.sort_by_key(|accept| accept.until);
        entries.last().map(|accept| accept.last_day())
    };
    if status != UP_TO_DATE {
        let until = last(in_force().collect());
        let name = format!("tcb-status {status} until {}", until.as_deref().unwrap_or_default());
        findings.ensure_or_relax(false, name, until.is_some(), Check::TcbStatus, || {
            match last(named().collect()) {
                Some(day) => format!(
                    "Intel's verdict on the platform is {status}, which was accepted until {day}"
                ),
                None => format!("Intel's verdict on the platform is {status}"),
            }
        });
    }
    for advisory in &facts.advisories {
        let until = last(in_force().filter(|a| a.advisories.contains(advisory)).collect());
        let (name, accepted) = match until {
            Some(day) => (format!("advisory {advisory} until {day}"), true),
            None => (format!("advisory {advisory}"), policy.allowed_advisories.contains(advisory)),
        };
        findings.ensure_or_relax(false, name, accepted, Check::Advisory, || {
            format!("{advisory} concerns the platform")
        });
    }
}
