// SPDX-License-Identifier: Apache-2.0

//! What the policy wants of a TD.

use types::time::Timestamp;

use super::platform::{self, listed, wanted};
use super::qvl::Genuine;
use super::report::Td;
use crate::appraisal::Verified;
use crate::check::{Check, Findings, Refusal};
use crate::container::Kind;
use crate::policy::TdxPolicy;
use crate::result::{Facts, TdxFacts, TeeFacts};

/// Bits of the attributes (Intel TDX module ABI specification, TD attributes).
const UNDER_DEBUG: u64 = 0xff;
const SERVICE_TD: u64 = 1 << 17;
const SEPT_VE_DISABLE: u64 = 1 << 28;
const MIGRATABLE: u64 = 1 << 29;
/// XFAM: bits that must be one (x87 and SSE), and bits that may be.
const XFAM_FIXED_1: u64 = 0x3;
const XFAM_FIXED_0: u64 = 0x0006_dbe7;

/// Judges a TD and its platform.
pub(super) fn judge(
    td: &Td,
    genuine: &Genuine,
    policy: &TdxPolicy,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let mut findings = Findings::default();
    let debug = td.debug();
    findings.ensure_or_allow(!debug, "debug", (policy.allow_debug, now), Check::Debug, || {
        format!("the TD can be debugged or profiled (attributes {:#x})", td.attributes)
    });
    let set = |bit: u64| td.attributes & bit != 0;
    findings.ensure(set(SEPT_VE_DISABLE), Check::SeptVeDisable, || {
        "the TD handles exceptions that the host causes by taking memory away (SEPT_VE_DISABLE is clear)".into()
    });
    findings.ensure(!set(MIGRATABLE), Check::Migratable, || {
        "the TD can be migrated to another platform".into()
    });
    let others = td.attributes
        & !UNDER_DEBUG
        & !SERVICE_TD
        & !SEPT_VE_DISABLE
        & !MIGRATABLE
        & !policy.features;
    findings.ensure(others == 0 && td.vm == 0, Check::Attributes, || {
        let (attributes, vm) = (td.attributes, td.vm);
        format!(
            "the TD has the attributes {attributes:#x} and is the virtual machine {vm} in itself"
        )
    });
    let xfam = u64::from_le_bytes(td.xfam);
    let possible = xfam & XFAM_FIXED_1 == XFAM_FIXED_1 && xfam & !XFAM_FIXED_0 == 0;
    findings.ensure(possible && wanted(&td.xfam, &policy.xfam), Check::Xfam, || {
        format!("the TD has the extended features (XFAM) {}", hex::encode(td.xfam))
    });
    let services = td.service_tds.iter().filter(|service| **service != [0; 48]);
    let known = services.clone().all(|service| policy.service_td.contains(service));
    let bound = services.count() > 0 || !set(SERVICE_TD);
    findings.ensure(known && bound, Check::ServiceTd, || {
        let [first, now] = td.service_tds.map(hex::encode);
        format!("service TDs are bound to the TD: {first} when it was made, {now} now")
    });
    for (check, name, value, list) in [
        (Check::ConfigId, "MRCONFIGID", &td.config_id, &policy.config_id),
        (Check::Owner, "MROWNER", &td.owner, &policy.owner),
        (Check::Owner, "MROWNERCONFIG", &td.owner_config, &policy.owner_config),
    ] {
        findings.ensure(listed(value, list.as_ref()), check, || {
            format!("the TD's {name} is {}", hex::encode(value))
        });
    }
    let measured = wanted(&td.mrtd, &policy.hash) && !policy.hash_blacklist.contains(&td.mrtd);
    findings.ensure(measured, Check::Measurement, || {
        let mrtd = hex::encode(td.mrtd);
        format!("the TD's measurement (MRTD), {mrtd}, is none that the policy takes")
    });
    for (index, (value, list)) in td.rtmrs.iter().zip(&policy.rtmrs).enumerate() {
        findings.ensure(wanted(value, list), Check::Rtmr, || {
            format!("RTMR {index} is {}", hex::encode(value))
        });
    }
    findings.ensure(wanted(&td.mrseam, &policy.mrseam), Check::TdxModule, || {
        format!("the TD runs under the TDX module {}", hex::encode(td.mrseam))
    });
    let dcap = platform::judge(genuine, &policy.dcap, now, &mut findings);
    let some = |value: &[u8; 48]| (*value != [0; 48]).then(|| hex::encode(value));
    let mut facts = Facts {
        debug,
        measurement: hex::encode(td.mrtd),
        pinned: pinned(td, policy),
        relaxations: Vec::new(),
        signer: None,
        simulated: genuine.simulated,
        tee: TeeFacts::Tdx(TdxFacts {
            config_id: some(&td.config_id),
            dcap,
            owner: some(&td.owner),
            rtmrs: td.rtmrs.iter().map(hex::encode).collect(),
        }),
        vtpm: None,
        workload: None,
    };
    facts.relaxations =
        genuine.finish(findings).map_err(|refusal| refusal.about(|| facts.seen(Kind::Tdx)))?;
    Ok(Verified { bound: Some(td.report_data), public_key: None, facts })
}

/// MRTD covers what the TD starts with; what that loads is in the registers, if anywhere. So a Keep is pinned if the policy
/// lists its MRTD and each register that something was measured into.
fn pinned(td: &Td, policy: &TdxPolicy) -> bool {
    let mut registers = td.rtmrs.iter().zip(&policy.rtmrs);
    !policy.hash.is_empty() && registers.all(|(value, list)| *value == [0; 48] || !list.is_empty())
}
