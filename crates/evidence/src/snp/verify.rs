// SPDX-License-Identifier: Apache-2.0

//! Whether a report comes from genuine silicon, in a state and with a guest that the policy takes.

use types::time::Timestamp;

use super::endorsements::Endorsements;
use super::guest;
use super::report::{Malformed, Report, SIGNED_BYTES, SigningKey};
use crate::amd::{Brought, Endorsed, Product, Roots, Tcb, VekKind, verify_chain};
use crate::appraisal::{self, Context};
use crate::check::{Check, Findings, Refusal, Seen, ensure};
use crate::container::Kind;
use crate::crypto::{Scheme, Verifier};
use crate::policy::{Relaxation, SnpPolicy};
use crate::result::{Facts, SnpFacts, TeeFacts};

/// Verifies a report (1184 bytes) with its endorsements (DER, docs/FORMATS.md 3.2).
///
/// # Errors
/// The first check that fails; once the report is known to be genuine, all that fail.
pub(crate) fn verify(
    report: &[u8],
    endorsements: &[u8],
    context: &Context<'_>,
) -> Result<appraisal::Verified, Refusal> {
    let endorsements = Endorsements::from_der(endorsements)
        .map_err(|error| Refusal::new(Check::EvidenceMalformed, error.to_string()))?;
    let Context { policy, anchors, now, verifier, .. } = *context;
    let verified = verify_snp(report, &endorsements, &policy.snp, &anchors.amd, now, verifier)?;
    let bound = Some(verified.report.report_data);
    Ok(appraisal::Verified { bound, public_key: None, facts: facts(&verified) })
}

fn facts(verified: &Verified) -> Facts {
    let report = &verified.report;
    let key = |digest: &[u8; 48]| (*digest != [0; 48]).then(|| hex::encode(digest));
    Facts {
        debug: report.policy.debug(),
        measurement: hex::encode(report.measurement),
        pinned: verified.pinned,
        relaxations: verified.relaxations.clone(),
        signer: key(&report.author_key_digest).filter(|_| report.key_info.author_key()),
        simulated: verified.simulated,
        tee: TeeFacts::Snp(SnpFacts {
            chip_id: (!report.chip_id_masked()).then(|| hex::encode(report.chip_id)),
            guest_svn: report.guest_svn,
            id_key: key(&report.id_key_digest),
            product: verified.product.name().to_owned(),
            tcb: verified.tcb.summary(),
            vmpl: report.vmpl,
        }),
        vtpm: None,
        workload: None,
    }
}

/// A genuine report that the policy takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The report.
    pub report: Report,
    /// The line of processors.
    pub product: Product,
    /// The reported TCB, for which the signing key was derived.
    pub tcb: Tcb,
    /// Whether the root is not AMD's: then nothing of this is proved.
    pub simulated: bool,
    /// Whether the policy pins this Keep, by measurement, author key or ID key.
    pub pinned: bool,
    /// Relaxations of the policy without which the report would have been refused, in the order of their names.
    pub relaxations: Vec<String>,
}

/// Checks a report (1184 bytes, as received) with what came with it. Whether it is about the right key is not checked here.
///
/// # Errors
/// The first check that fails; once the report is known to be genuine, all that fail.
pub fn verify_snp(
    report: &[u8],
    endorsements: &Endorsements,
    policy: &SnpPolicy,
    anchors: &[Roots],
    now: Timestamp,
    verifier: &dyn Verifier,
) -> Result<Verified, Refusal> {
    let bytes = report;
    let report = Report::parse(bytes).map_err(|error| {
        let check = match error {
            Malformed::Reserved(_) => Check::ReportReserved,
            Malformed::SignatureRange => Check::ReportSignature,
            _ => Check::ReportMalformed,
        };
        Refusal::new(check, error.to_string())
    })?;
    let mut findings = Findings::default();
    let crls: Vec<&[u8]> = endorsements.crls.iter().map(|(_, crl)| crl.as_slice()).collect();
    let brought =
        Brought { vek: &endorsements.vcek, asvk: endorsements.asvk.as_deref(), crls: &crls };
    let vek = verify_chain(&brought, anchors, policy, now, verifier, &mut findings)?;
    let signed = bytes.get(..SIGNED_BYTES).unwrap_or_default();
    ensure(
        verifier
            .verify(Scheme::EcdsaP384Sha384Fixed, vek.public, signed, &report.signature)
            .is_ok(),
        Check::ReportSignature,
        || "the report is not signed by the key of the certificate that came with it".into(),
    )?;
    signing_key(&report, &vek)?;
    provider(&vek, policy, &mut findings);
    product(&report, &vek, policy, &mut findings);
    tcb(&report, &vek, policy, now, &mut findings);
    chip(&report, &vek, policy, now, &mut findings);
    guest::check(&report, policy, now, &mut findings);
    let pinned = guest::pin(&report, policy, &mut findings);
    let relaxations = findings.finish().map_err(|refusal| refusal.about(|| seen(&report, &vek)))?;
    Ok(Verified {
        report,
        product: vek.product,
        tcb: vek.tcb,
        simulated: vek.simulated,
        pinned,
        relaxations,
    })
}

fn seen(report: &Report, vek: &Endorsed<'_>) -> Seen {
    Seen {
        kind: Kind::Snp,
        product: vek.product.name().to_owned(),
        measurement: hex::encode(report.measurement),
        simulated: vek.simulated,
    }
}

/// The key that the report names is of the kind that the certificate is for.
fn signing_key(report: &Report, vek: &Endorsed<'_>) -> Result<(), Refusal> {
    let kind = match vek.kind {
        VekKind::Vcek(_) => SigningKey::Vcek,
        VekKind::Vlek(_) => SigningKey::Vlek,
    };
    ensure(report.key_info.signing_key() == Some(kind), Check::VekKind, || {
        format!(
            "the certificate is one for a {kind:?}, but the report says that it was signed by the other kind"
        )
    })
}

/// Keys of cloud providers are taken of those that are named.
fn provider(vek: &Endorsed<'_>, policy: &SnpPolicy, findings: &mut Findings) {
    let VekKind::Vlek(provider) = &vek.kind else { return };
    let named = policy.vlek.contains(provider);
    findings.ensure_or_relax(false, Relaxation::Vlek.name(), named, Check::Vlek, || {
        let provider = provider.escape_debug();
        format!("the report is signed by a key (VLEK) of the cloud provider \"{provider}\"")
    });
}

fn product(report: &Report, vek: &Endorsed<'_>, policy: &SnpPolicy, findings: &mut Findings) {
    if let Some(cpuid) = report.cpuid {
        let found = Product::of_cpuid(cpuid.family, cpuid.model);
        findings.ensure(found == Some(vek.product), Check::Product, || {
            let (family, model) = (cpuid.family, cpuid.model);
            format!(
                "the report is of family {family:#x}, model {model:#x}, and the certificate of a {}",
                vek.product
            )
        });
    }
    let refused = policy.products_blacklist.contains(&vek.product);
    findings.ensure(!refused && policy.products.contains(&vek.product), Check::Product, || {
        format!("the policy does not take {}", vek.product)
    });
}

/// REPORTED_TCB is that of the certificate, and REPORTED <= COMMITTED <= CURRENT, in each part; all are of the
/// product's layout; none that matters is below the policy's floor.
fn tcb(
    report: &Report,
    vek: &Endorsed<'_>,
    policy: &SnpPolicy,
    now: Timestamp,
    findings: &mut Findings,
) {
    let mut decode = |name: &str, bytes| {
        let tcb = Tcb::decode(bytes, vek.product);
        findings.ensure(tcb.is_some(), Check::ReportReserved, || {
            format!("the {name} TCB has reserved bits of {} set", vek.product)
        });
        tcb
    };
    let reported = decode("reported", report.reported_tcb);
    let committed = decode("committed", report.committed_tcb);
    let current = decode("current", report.current_tcb);
    let launch = decode("launch", report.launch_tcb);
    let (Some(reported), Some(committed), Some(current), Some(launch)) =
        (reported, committed, current, launch)
    else {
        return;
    };
    findings.ensure(reported == vek.tcb, Check::TcbMismatch, || {
        format!("the report says TCB {reported}, and the certificate is for TCB {}", vek.tcb)
    });
    findings.ensure(current.at_least(&committed), Check::TcbOrder, || {
        format!("the committed TCB ({committed}) is above the current one ({current})")
    });
    findings.ensure(committed.at_least(&reported), Check::TcbOrder, || {
        format!("the reported TCB ({reported}) is above the committed one ({committed})")
    });
    let (committed_version, current_version) = (report.committed_version, report.current_version);
    findings.ensure(committed_version <= current_version, Check::TcbOrder, || {
        format!(
            "the committed firmware ({committed_version}) is newer than the current one ({current_version})"
        )
    });
    let provisional = committed != current || committed_version != current_version;
    let relaxation = Relaxation::ProvisionalFirmware;
    let allowed = (policy.allowance(relaxation), now);
    findings.ensure_or_allow(!provisional, relaxation.name(), allowed, Check::Firmware, || {
        format!(
            "the firmware that runs ({current_version}, {current}) is not what is committed ({committed_version}, {committed}): the host can set it back"
        )
    });
    let floor = policy.minimum_firmware;
    findings.ensure(floor.is_none_or(|floor| committed_version >= floor), Check::Firmware, || {
        format!("the committed firmware ({committed_version}) is older than the policy's minimum")
    });
    if let Some(floor) = policy.minimum_tcb.get(&vek.product) {
        for (name, tcb) in [("reported", &reported), ("committed", &committed), ("launch", &launch)]
        {
            findings.ensure(tcb.at_least(floor), Check::TcbMinimum, || {
                format!("the {name} TCB ({tcb}) is below the policy's minimum ({floor})")
            });
        }
    }
}

/// CHIP_ID is the certificate's HWID. A VLEK is of no chip, so there is nothing to compare.
fn chip(
    report: &Report,
    vek: &Endorsed<'_>,
    policy: &SnpPolicy,
    now: Timestamp,
    findings: &mut Findings,
) {
    if let VekKind::Vcek(hwid) = &vek.kind {
        let relaxation = Relaxation::ChipIdMasked;
        let (masked, allowed) = (report.chip_id_masked(), (policy.allowance(relaxation), now));
        findings.ensure_or_allow(!masked, relaxation.name(), allowed, Check::ChipIdMasked, || {
            "the report hides which chip it is of".into()
        });
        let (id, rest) = report.chip_id.split_at_checked(hwid.len()).unwrap_or_default();
        let same = id == hwid.as_slice() && rest.iter().all(|byte| *byte == 0);
        findings.ensure(masked || same, Check::ChipIdMismatch, || {
            "the report is of another chip than the certificate".into()
        });
    }
    let refused = !policy.chip_id_blacklist.is_empty()
        && (report.chip_id_masked() || policy.chip_id_blacklist.contains(&report.chip_id));
    findings.ensure(!refused, Check::Chip, || {
        let chip = hex::encode(report.chip_id);
        format!("the chip {chip} is one that the policy refuses, or does not say which it is")
    });
    let listed = policy.chip_id.is_empty() || policy.chip_id.contains(&report.chip_id);
    findings.ensure(listed, Check::Chip, || {
        format!("the chip {} is not in the policy's list", hex::encode(report.chip_id))
    });
}
