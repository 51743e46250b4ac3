// SPDX-License-Identifier: Apache-2.0

//! From a request to a decision.

use std::net::IpAddr;

use drawbridge_core::statement::Parsed;
use types::digest::Sha256;
use types::slug::Slug;
use types::time::Timestamp;

use crate::amd::Roots;
use crate::check::{Check, Refusal, ensure};
use crate::claims::{self, Claims, WorkloadClaim};
use crate::crypto::Verifier;
use crate::csr::{Evidence, Request};
use crate::policy::{Policy, Relaxation};
use crate::result::{AttestationResult, Facts, WorkloadName};
use crate::snp::{Endorsements, Report, Verified, verify_snp};

/// How far in the future a tag statement may be, in seconds: clocks differ.
const STATEMENT_SKEW_SECONDS: u64 = 300;

/// What a certificate is to say. A signature chain from the CPU, or of a registry that the policy names, backs each part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The Keep's public key, DER of the SubjectPublicKeyInfo.
    pub spki_der: Vec<u8>,
    /// The attestation result.
    pub result: AttestationResult,
    /// The names.
    pub names: Names,
    /// How long the certificate may live, in seconds.
    pub lifetime_seconds: u64,
}

/// Names of a workload. All are absent unless the policy pins the Keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Its name, without digest; only with its registry's statement.
    pub slug: Option<Slug>,
    /// Its digest.
    pub digest: Option<Sha256>,
    /// DNS names that the policy grants to the slug.
    pub dns: Vec<String>,
    /// Addresses that the policy grants to the slug.
    pub ip: Vec<IpAddr>,
}

/// Appraises a certification request (DER). `build` is the verifier's name and version.
///
/// Pure: what comes out depends on the arguments only.
///
/// # Errors
/// The first check that fails.
pub fn appraise(
    request: &[u8],
    policy: &Policy,
    anchors: &[Roots],
    build: &str,
    now: Timestamp,
    verifier: &dyn Verifier,
) -> Result<Decision, Refusal> {
    let Request { spki_der, evidence } = Request::parse(request, verifier)?;
    let (report, claims, endorsements) = match &evidence {
        Evidence::LegacySnp { report, endorsements } => (report, None, endorsements),
        Evidence::Snp { report, claims, endorsements } => (report, Some(claims), endorsements),
    };
    let endorsements = Endorsements::from_der(endorsements)
        .map_err(|error| Refusal::new(Check::EvidenceMalformed, error.to_string()))?;
    let verified = verify_snp(report, &endorsements, &policy.snp, anchors, now, verifier)?;
    let workload = binding(&verified.report, claims.map(Vec::as_slice), &spki_der)?;
    let names = match workload {
        Some(workload) if verified.pinned => names(workload, policy, now, verifier)?,
        _ => Names::default(),
    };
    let result = AttestationResult {
        build: build.to_owned(),
        issued_at: now,
        policy: policy.digest,
        facts: facts(&verified, &names),
    };
    Ok(Decision { spki_der, result, names, lifetime_seconds: policy.lifetime_seconds })
}

/// The report is about this key and these claims; the workload that they name.
fn binding(
    report: &Report,
    claims: Option<&[u8]>,
    spki_der: &[u8],
) -> Result<Option<WorkloadClaim>, Refusal> {
    let expected = claims.map_or_else(|| claims::legacy_report_data(spki_der), claims::report_data);
    ensure(report.report_data == expected, Check::KeyBinding, || {
        let what = if claims.is_some() { "claims" } else { "key" };
        format!("the report was made for other {what} than those of the request")
    })?;
    let Some(bytes) = claims else { return Ok(None) };
    let claims = Claims::from_bytes(bytes)
        .map_err(|error| Refusal::new(Check::ClaimsMalformed, error.to_string()))?;
    ensure(claims.pubkey_hash == claims::pubkey_hash_of(spki_der), Check::KeyBinding, || {
        "the report was made for another key than the request's".into()
    })?;
    ensure(claims.nonce.is_none(), Check::Nonce, || {
        "the claims carry a nonce that was not handed out here".into()
    })?;
    Ok(claims.workload)
}

/// The names that a pinned Keep gets.
fn names(
    workload: WorkloadClaim,
    policy: &Policy,
    now: Timestamp,
    verifier: &dyn Verifier,
) -> Result<Names, Refusal> {
    let digest = workload.digest;
    let (Some(slug), Some(statement)) = (workload.slug, workload.statement) else {
        return Ok(Names { digest: Some(digest), ..Names::default() });
    };
    vouched(&statement, &slug, &digest, policy, now, verifier)?;
    let (dns, ip) = policy.granted(&slug);
    Ok(Names { slug: Some(slug), digest: Some(digest), dns, ip })
}

/// A registry of the policy's says, with its signature, that this name stands for this digest.
fn vouched(
    statement: &str,
    slug: &Slug,
    digest: &Sha256,
    policy: &Policy,
    now: Timestamp,
    verifier: &dyn Verifier,
) -> Result<(), Refusal> {
    let wrong = |what: String| Refusal::new(Check::Statement, what);
    let parsed = Parsed::parse(statement).map_err(|error| wrong(error.to_string()))?;
    let registry = policy
        .registries
        .iter()
        .find(|registry| registry.host == slug.host && registry.kid == parsed.kid)
        .ok_or_else(|| {
            let host = &slug.host;
            let detail = if policy.registries.iter().any(|registry| registry.host == *host) {
                format!("the policy names the registry {host}, but with another key than the one that signed")
            } else {
                format!("the policy names no registry {host}")
            };
            Refusal::new(Check::Registry, detail)
        })?;
    ensure(
        verifier
            .ecdsa_p256_sha256(&registry.point, &parsed.signing_input, &parsed.signature)
            .is_ok(),
        Check::Statement,
        || format!("the statement about {slug} is not signed by its registry"),
    )?;
    let stated = parsed.statement.slug().map_err(|error| wrong(error.to_string()))?;
    ensure(stated == *slug, Check::Statement, || {
        format!("the registry's statement is about {stated}, not about {slug}")
    })?;
    ensure(parsed.statement.digest == *digest, Check::Statement, || {
        format!("the registry says that {slug} is {}, not {digest}", parsed.statement.digest)
    })?;
    ensure(parsed.statement.iat <= now.plus(STATEMENT_SKEW_SECONDS).0, Check::Statement, || {
        format!(
            "the registry's statement is of {}, and it is {now}",
            Timestamp(parsed.statement.iat)
        )
    })
}

fn facts(verified: &Verified, names: &Names) -> Facts {
    let report = &verified.report;
    let key = |digest: &[u8; 48]| (*digest != [0; 48]).then(|| hex::encode(digest));
    Facts {
        chip_id: (!report.chip_id_masked()).then(|| hex::encode(report.chip_id)),
        debug: report.policy.debug(),
        guest_svn: report.guest_svn,
        id_key: key(&report.id_key_digest),
        measurement: hex::encode(report.measurement),
        pinned: verified.pinned,
        product: verified.product.name().to_owned(),
        relaxations: verified.relaxations.iter().map(Relaxation::to_string).collect(),
        signer: key(&report.author_key_digest).filter(|_| report.key_info.author_key()),
        simulated: verified.simulated,
        tcb: verified.tcb.summary(),
        tee: "snp".to_owned(),
        vmpl: report.vmpl,
        workload: names.digest.map(|digest| WorkloadName { digest, slug: names.slug.clone() }),
    }
}
