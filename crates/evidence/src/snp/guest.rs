// SPDX-License-Identifier: Apache-2.0

//! What the report says about guest and platform, held against the policy.

use types::time::Timestamp;

use super::report::Report;
use crate::check::{Check, Findings};
use crate::policy::{Relaxation, Requirement, SnpPolicy};

/// The guest policy's bits that `policy_flags` speaks of: SMT, Debug, SingleSocket.
const FLAGS: u64 = 1 << 16 | 1 << 19 | 1 << 20;
/// PLATFORM_INFO's bits that `platform_info_flags` speaks of.
const PLATFORM_FLAGS: u64 = 3;

/// Guest policy, platform, privilege level.
pub(super) fn check(report: &Report, policy: &SnpPolicy, now: Timestamp, findings: &mut Findings) {
    let guest = report.policy;
    let mut relaxable = |passed, relaxation: Relaxation, check, detail: &str| {
        let allowed = (policy.allowance(relaxation), now);
        findings.ensure_or_allow(passed, relaxation.name(), allowed, check, || detail.to_owned());
    };
    relaxable(
        !guest.debug(),
        Relaxation::Debug,
        Check::Debug,
        "the guest policy lets the host debug the guest, so nothing in it is protected",
    );
    relaxable(
        !guest.migrate_ma(),
        Relaxation::MigrationAgent,
        Check::MigrationAgent,
        "the guest policy lets a migration agent move the guest",
    );
    relaxable(
        report.platform_info.alias_check_complete(),
        Relaxation::AliasCheck,
        Check::AliasCheck,
        "the platform does not say that its memory was checked for aliases",
    );
    let allowed = report.vmpl <= policy.max_vmpl;
    findings.ensure_or_relax(
        report.vmpl == 0,
        Relaxation::Vmpl.name(),
        allowed,
        Check::Vmpl,
        || {
            format!(
                "the report was asked for at VMPL {}, below the guest's highest privilege",
                report.vmpl
            )
        },
    );
    let abi = guest.abi();
    let current = report.current_version;
    findings.ensure(abi <= (current.major, current.minor), Check::Abi, || {
        format!("the guest policy wants firmware ABI {}.{}, but {current} runs", abi.0, abi.1)
    });
    let version = semver::Version::new(abi.0.into(), abi.1.into(), 0);
    let met = policy.abi.as_ref().is_none_or(|wanted| wanted.matches(&version));
    findings.ensure(met, Check::Abi, || {
        format!("the guest policy's firmware ABI {}.{} does not meet the policy's", abi.0, abi.1)
    });
    let denied = policy.policy_flags.map_or(0, |allowed| guest.0 & FLAGS & !allowed);
    findings.ensure(denied == 0, Check::PolicyFlags, || {
        format!("the guest policy has bits {denied:#x} that the policy does not list")
    });
    let found = report.platform_info.0 & PLATFORM_FLAGS;
    findings.ensure(
        policy.platform_info_flags.is_none_or(|wanted| wanted == found),
        Check::PlatformFlags,
        || format!("the platform's SMT and TSME bits are {found:02b}"),
    );
    let (launch, now) = report.mitigations.unwrap_or_default();
    let missing = policy.mitigations & !(launch & now);
    findings.ensure(missing == 0, Check::Mitigations, || {
        let since = if report.mitigations.is_some() { "" } else { ", as reports before version 5" };
        format!("the report does not show the mitigations {missing:#x}{since}")
    });
    for requirement in &policy.require {
        findings.ensure(met_by(*requirement, report), Check::Require, || {
            format!("\"{}\" is required and not there", requirement.name())
        });
    }
}

fn met_by(requirement: Requirement, report: &Report) -> bool {
    let (guest, platform) = (report.policy, report.platform_info);
    match requirement {
        Requirement::NoSmt => !guest.smt(),
        Requirement::SingleSocket => guest.single_socket(),
        Requirement::NoCxl => !guest.cxl_allow(),
        Requirement::Aes256Xts => guest.mem_aes_256_xts(),
        Requirement::RaplDisabled => guest.rapl_disabled() || platform.rapl_disabled(),
        Requirement::CiphertextHiding => guest.ciphertext_hiding() || platform.ciphertext_hiding(),
        Requirement::PageSwapDisabled => guest.page_swap_disabled(),
        Requirement::Tsme => platform.tsme(),
        Requirement::Ecc => platform.ecc(),
        Requirement::NoTio => !platform.tio(),
        Requirement::IdBlock => report.id_key_digest != [0; 48],
        Requirement::AuthorKey => {
            report.key_info.author_key() && report.author_key_digest != [0; 48]
        }
    }
}

/// Whether `value` is in the list, or zero where there is no list.
fn listed<const N: usize>(value: &[u8; N], list: Option<&Vec<[u8; N]>>) -> bool {
    match list {
        Some(list) => list.contains(value),
        None => *value == [0; N],
    }
}

/// Who the guest is. Whether the policy pins it: at least one of its lists speaks of it, and each that does, holds it.
pub(super) fn pin(report: &Report, policy: &SnpPolicy, findings: &mut Findings) -> bool {
    findings.ensure(listed(&report.family_id, policy.family_id.as_ref()), Check::FamilyId, || {
        format!("the guest's family is {}", hex::encode(report.family_id))
    });
    findings.ensure(listed(&report.image_id, policy.image_id.as_ref()), Check::ImageId, || {
        format!("the guest's image is {}", hex::encode(report.image_id))
    });
    findings.ensure(listed(&report.host_data, policy.host_data.as_ref()), Check::HostData, || {
        format!("the host gave the guest the data {}", hex::encode(report.host_data))
    });
    findings.ensure(report.guest_svn >= policy.minimum_guest_svn, Check::GuestSvn, || {
        let (found, wanted) = (report.guest_svn, policy.minimum_guest_svn);
        format!("the guest's security version is {found}, and the policy wants at least {wanted}")
    });
    let author = report.key_info.author_key().then_some(&report.author_key_digest);
    let lists = [
        (
            Check::Measurement,
            "measurement",
            Some(&report.measurement),
            &policy.hash,
            &policy.hash_blacklist,
        ),
        (Check::Signer, "author key", author, &policy.signer, &policy.signer_blacklist),
        (
            Check::IdKey,
            "ID key",
            Some(&report.id_key_digest),
            &policy.id_key_digest,
            &policy.id_key_digest_blacklist,
        ),
    ];
    let mut pinned = false;
    for (check, name, value, wanted, refused) in lists {
        // Zero stands for no key; nobody is pinned by that.
        let value = value.filter(|value| **value != [0; 48]);
        let shown = || value.map_or("none".to_owned(), hex::encode);
        findings.ensure(!value.is_some_and(|value| refused.contains(value)), check, || {
            format!("the guest's {name}, {}, is one that the policy refuses", shown())
        });
        if wanted.is_empty() {
            continue;
        }
        findings.ensure(value.is_some_and(|value| wanted.contains(value)), check, || {
            format!("the guest's {name}, {}, is none that the policy takes", shown())
        });
        pinned = true;
    }
    pinned
}
