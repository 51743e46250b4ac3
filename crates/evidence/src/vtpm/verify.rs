// SPDX-License-Identifier: Apache-2.0

//! From a bundle to facts: hardware, runtime data, AK, quote, registers.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::ak;
use super::bundle::Bundle;
use super::hcl::{Configuration, Hardware, Hcl};
use super::tpm::Quote;
use crate::appraisal::{Context, Verified};
use crate::check::{Check, Findings, Refusal, ensure};
use crate::container::Kind;
use crate::crypto::Scheme;
use crate::policy::{VtpmPolicy, VtpmRequirement};
use crate::result::VtpmFacts;
use crate::{intel, snp};

/// Verifies a bundle whose endorsements are those of its hardware.
///
/// # Errors
/// The first check that fails; of the checks after the signatures, all.
pub(crate) fn verify(
    kind: Kind,
    statement: &[u8],
    endorsements: &[u8],
    context: &Context<'_>,
) -> Result<Verified, Refusal> {
    let Some(policy) = &context.policy.vtpm else {
        return Err(Refusal::new(
            Check::Vtpm,
            "the evidence is of a virtual machine with its own kernel, which the policy does not take",
        ));
    };
    let malformed =
        |what: &str| Refusal::new(Check::VtpmMalformed, format!("the HCL report: {what}"));
    let bundle = Bundle::from_bytes(statement)
        .map_err(|error| Refusal::new(Check::EvidenceMalformed, error.to_string()))?;
    let hcl = Hcl::parse(&bundle.hcl).map_err(malformed)?;
    let quote = Quote::parse(&bundle.message).map_err(|what| {
        Refusal::new(Check::VtpmMalformed, format!("the quote of the virtual TPM: {what}"))
    })?;
    let hardware = match (kind, hcl.hardware) {
        (Kind::AzureSnp, Hardware::Snp) if bundle.quote.is_empty() => {
            snp::verify(hcl.report, endorsements, context)?
        }
        (Kind::AzureTdx, Hardware::Tdx) => {
            intel::verify(Kind::Tdx, &bundle.quote, endorsements, context)?
        }
        _ => return Err(malformed("it is of other hardware than the evidence says")),
    };
    ensure(hardware.bound == Some(hcl.report_data), Check::VtpmBinding, || {
        "the hardware's report is about other runtime data than those that came with it".into()
    })?;
    ensure(
        context
            .verifier
            .verify(Scheme::RsaPkcs1Sha256, &hcl.ak, &bundle.message, &bundle.signature)
            .is_ok(),
        Check::VtpmSignature,
        || "the quote is not signed by the virtual TPM's key in the runtime data".into(),
    )?;
    ensure(quote.covers(&bundle.pcrs), Check::VtpmBinding, || {
        "the quote covers other registers, or other values, than those that came with it".into()
    })?;
    let certified = match bundle.certificates.as_slice() {
        [] => None,
        chain => {
            let anchors = &context.anchors.azure_vtpm;
            Some(ak::verify(chain, &hcl.ak, anchors, context.now, context.verifier)?)
        }
    };
    let mut facts = hardware.facts;
    let relaxations = judge(policy, &bundle.pcrs, hcl.configuration, certified.is_some())
        .map_err(|refusal| refusal.about(|| facts.seen(kind)))?;
    facts.simulated |= certified.unwrap_or_default();
    facts.pinned &= !policy.pcrs.is_empty();
    facts.relaxations.extend(relaxations);
    facts.relaxations.sort();
    let pcrs = bundle.pcrs.iter().map(|(index, value)| (*index, hex::encode(value)));
    facts.vtpm = Some(VtpmFacts { kind: "azure".to_owned(), pcrs: pcrs.collect() });
    // The quote is as fresh as what it was asked with.
    let asked = |data: &[u8; 64]| quote.extra == Sha256::digest(data).as_slice();
    Ok(Verified { bound: hcl.user_data.filter(asked), public_key: None, facts })
}

/// What the policy wants of the machine and of what runs in it.
fn judge(
    policy: &VtpmPolicy,
    pcrs: &BTreeMap<u8, [u8; 32]>,
    configuration: Configuration,
    certified: bool,
) -> Result<Vec<String>, Refusal> {
    let mut findings = Findings::default();
    findings.ensure(certified || !policy.require_ak_certificate, Check::AkCertificate, || {
        "there is no certificate of the virtual TPM's key".into()
    });
    for (index, wanted) in &policy.pcrs {
        let found = pcrs.get(index);
        findings.ensure(found.is_some_and(|found| wanted.contains(found)), Check::Pcr, || {
            let found = found.map_or("not in the quote".to_owned(), hex::encode);
            format!("PCR {index} is {found}")
        });
    }
    for requirement in &policy.require {
        let met = match requirement {
            VtpmRequirement::SecureBoot => configuration.secure_boot,
            VtpmRequirement::NoConsole => !configuration.console_enabled,
        };
        findings.ensure(met, Check::Require, || {
            format!("\"{}\" is required and not there", requirement.name())
        });
    }
    findings.finish()
}
