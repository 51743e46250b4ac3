// SPDX-License-Identifier: Apache-2.0

//! What the policy wants of an enclave.

use types::time::Timestamp;

use super::platform::{self, listed, wanted};
use super::qvl::Genuine;
use super::report::Enclave;
use crate::appraisal::Verified;
use crate::check::{Check, Findings, Refusal};
use crate::container::Kind;
use crate::policy::{SGX_FEATURES, SgxPolicy};
use crate::result::{Facts, SgxFacts, TeeFacts};

/// ATTRIBUTES.INIT and MODE64BIT, which every enclave may have.
const ALWAYS: u64 = 0b101;
/// DEBUG, PROVISIONKEY and EINITTOKENKEY, which have checks of their own.
const JUDGED: u64 = 0b11_0010;
/// ATTRIBUTES that hand out keys which enclaves of applications have no use for, with names.
const KEYS: [(u64, &str); 2] = [(1 << 4, "provision-key"), (1 << 5, "einit-key")];

/// Judges an enclave and its platform.
pub(super) fn judge(
    enclave: &Enclave,
    genuine: &Genuine,
    policy: &SgxPolicy,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let mut findings = Findings::default();
    let debug = enclave.debug();
    let may = |bit: u64| policy.features & bit == bit;
    findings.ensure_or_relax(!debug, "debug", may(1 << 1), Check::Debug, || {
        "the enclave can be debugged".into()
    });
    for (bit, name) in KEYS {
        let clear = enclave.flags & bit == 0;
        findings.ensure_or_relax(clear, name, may(bit), Check::ProvisionKey, || {
            format!("the enclave can get keys of the platform's own ({name})")
        });
    }
    let known: u64 = SGX_FEATURES.iter().map(|(_, bit)| bit).sum();
    let others = enclave.flags & !ALWAYS & !JUDGED & !(policy.features & known);
    findings.ensure(others == 0 && enclave.flags & 1 == 1, Check::Attributes, || {
        format!("the enclave has the attributes {:#x}", enclave.flags)
    });
    let misc = enclave.misc_select & !policy.misc_select;
    findings.ensure(misc == 0, Check::MiscSelect, || {
        format!("the enclave has MISCSELECT {:#x}", enclave.misc_select)
    });
    findings.ensure(enclave.reserved_zero, Check::ReportReserved, || {
        "reserved bytes of the report are not zero".into()
    });
    let key_separation = [
        (
            Check::ConfigId,
            "CONFIGID",
            hex::encode(enclave.config_id),
            listed(&enclave.config_id, policy.config_id.as_ref()),
        ),
        (
            Check::ConfigId,
            "CONFIGSVN",
            enclave.config_svn.to_string(),
            policy
                .config_svn
                .as_ref()
                .map_or(enclave.config_svn == 0, |list| list.contains(&enclave.config_svn)),
        ),
        (
            Check::ExtProductId,
            "ISVEXTPRODID",
            hex::encode(enclave.ext_product_id),
            listed(&enclave.ext_product_id, policy.ext_product_id.as_ref()),
        ),
        (
            Check::FamilyId,
            "ISVFAMILYID",
            hex::encode(enclave.family_id),
            listed(&enclave.family_id, policy.family_id.as_ref()),
        ),
    ];
    for (check, name, shown, passes) in key_separation {
        findings.ensure(passes, check, || format!("the enclave's {name} is {shown}"));
    }
    let product = policy.product_id.is_none_or(|id| id == enclave.product_id);
    findings.ensure(product, Check::ProductId, || {
        format!("the enclave is of the product (ISVPRODID) {}", enclave.product_id)
    });
    findings.ensure(enclave.svn >= policy.minimum_svn, Check::EnclaveSvn, || {
        let (found, least) = (enclave.svn, policy.minimum_svn);
        format!("the enclave's security version (ISVSVN) is {found}, and the policy wants at least {least}")
    });
    for (check, name, value, list, blacklist) in [
        (
            Check::Measurement,
            "measurement (MRENCLAVE)",
            &enclave.mrenclave,
            &policy.hash,
            &policy.hash_blacklist,
        ),
        (
            Check::Signer,
            "signer (MRSIGNER)",
            &enclave.mrsigner,
            &policy.signer,
            &policy.signer_blacklist,
        ),
    ] {
        findings.ensure(wanted(value, list) && !blacklist.contains(value), check, || {
            format!("the enclave's {name}, {}, is none that the policy takes", hex::encode(value))
        });
    }
    let dcap = platform::judge(genuine, &policy.dcap, now, &mut findings);
    let mut facts = Facts {
        debug,
        measurement: hex::encode(enclave.mrenclave),
        pinned: !policy.hash.is_empty() || !policy.signer.is_empty(),
        relaxations: Vec::new(),
        signer: Some(hex::encode(enclave.mrsigner)),
        simulated: genuine.simulated,
        tee: TeeFacts::Sgx(SgxFacts { dcap, product_id: enclave.product_id, svn: enclave.svn }),
        vtpm: None,
        workload: None,
    };
    facts.relaxations =
        genuine.finish(findings).map_err(|refusal| refusal.about(|| facts.seen(Kind::Sgx)))?;
    Ok(Verified { bound: Some(enclave.report_data), public_key: None, facts })
}
