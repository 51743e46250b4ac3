// SPDX-License-Identifier: Apache-2.0

//! From a request to a decision.

use std::fmt;
use std::net::IpAddr;

use drawbridge_core::statement::Parsed;
use types::digest::Sha256;
use types::slug::Slug;
use types::time::Timestamp;

use crate::anchors::Anchors;
use crate::check::{Check, Refusal, ensure};
use crate::claims::{self, Claims, WorkloadClaim};
use crate::container::{Evidence, Kind, encode_evidence};
use crate::crypto::{Scheme, Verifier};
use crate::csr::Request;
use crate::policy::{NONCE_MISSING, Policy};
use crate::result::{AttestationResult, Facts, WorkloadName};
use crate::{cca, intel, nitro, snp, vtpm};

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
    /// The evidence for whoever wants to see it in the certificate (docs/FORMATS.md 4.2), if the policy says so.
    pub evidence: Option<Vec<u8>>,
    /// The nonce in the claims, which whoever handed it out has checked; it is for the caller to see that none is used twice.
    pub nonce: Option<Vec<u8>>,
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

/// Whether a nonce was handed out by this verifier, and is fresh.
pub trait Nonces: Send + Sync {
    /// Looks at a nonce of 8 to 64 bytes.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    fn check(&self, nonce: &[u8], now: Timestamp) -> Result<(), String>;
}

/// Everything that a decision is made from, but the request.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// What is good enough.
    pub policy: &'a Policy,
    /// Whose silicon is believed.
    pub anchors: &'a Anchors,
    /// The nonces that were handed out, one of which claims must carry unless the policy says otherwise. `None`: this
    /// verifier hands out none, and claims with one are refused.
    pub nonces: Option<&'a dyn Nonces>,
    /// The verifier's name and version, as it stands in attestation results.
    pub build: &'a str,
    /// The time.
    pub now: Timestamp,
    /// Checks signatures.
    pub verifier: &'a dyn Verifier,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("now", &self.now).finish_non_exhaustive()
    }
}

/// Genuine evidence that the policy takes. What it is about is not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The 64 bytes that the TEE was given to sign; `None` if it was given none.
    pub bound: Option<[u8; 64]>,
    /// A public key that the TEE was given beside these; `None` if it was given none. It has to be the request's.
    pub public_key: Option<Vec<u8>>,
    /// What it proves; no workload is named yet.
    pub facts: Facts,
}

/// Verifies evidence as such: that it is genuine, and that the policy takes platform and Keep.
///
/// # Errors
/// The first check that fails; once the evidence is known to be genuine, all that fail.
pub fn verify(evidence: &Evidence, context: &Context<'_>) -> Result<Verified, Refusal> {
    match evidence.kind {
        Kind::Snp => snp::verify(&evidence.statement, &evidence.endorsements, context),
        Kind::Cca => cca::verify(&evidence.statement, &evidence.endorsements, context),
        Kind::Nitro => nitro::verify(&evidence.statement, &evidence.endorsements, context),
        kind @ (Kind::Sgx | Kind::Tdx) => {
            intel::verify(kind, &evidence.statement, &evidence.endorsements, context)
        }
        kind @ (Kind::AzureSnp | Kind::AzureTdx) => {
            vtpm::verify(kind, &evidence.statement, &evidence.endorsements, context)
        }
    }
}

/// The policy is in force at this time.
fn in_force(context: &Context<'_>) -> Result<(), Refusal> {
    let (from, until) = context.policy.validity;
    let now = context.now;
    let early = from.filter(|from| now < *from).map(|from| format!("only from {from} on"));
    let late = until.filter(|until| now >= *until).map(|until| format!("only before {until}"));
    match early.or(late) {
        None => Ok(()),
        Some(when) => Err(Refusal::new(
            Check::PolicyValidity,
            format!("the policy is in force {when}, and it is {now}"),
        )),
    }
}

/// What evidence is worth, with the names that follow from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appraisal {
    /// The attestation result.
    pub result: AttestationResult,
    /// The names.
    pub names: Names,
    /// The nonce in the claims, checked but not marked as used.
    pub nonce: Option<Vec<u8>>,
    /// SHA-384 of the key in the claims (the SubjectPublicKeyInfo), if there are claims.
    pub pubkey_hash: Option<[u8; 48]>,
    /// What the TEE was given to sign, if it was given anything.
    pub report_data: Option<[u8; 64]>,
}

/// Appraises evidence. `spki_der` is the key that it has to be about; without one it has to be about its claims, and the
/// claims' key hash is only repeated, not checked.
///
/// Pure: what comes out depends on the arguments only.
///
/// # Errors
/// The first check that fails.
pub fn appraise_evidence(
    evidence: &Evidence,
    spki_der: Option<&[u8]>,
    context: &Context<'_>,
) -> Result<Appraisal, Refusal> {
    in_force(context)?;
    let Verified { bound, public_key, mut facts } = verify(evidence, context)?;
    let bound = Bound { data: bound, public_key: public_key.as_deref() };
    let judge = || {
        let Some(claims) = binding(evidence, &bound, spki_der)? else {
            // Evidence without claims has no place for a nonce. It is about a key, or else of any age.
            let fresh = if spki_der.is_some() { Fresh::Yes } else { fresh(None, context)? };
            return Ok((None, None, fresh, Names::default()));
        };
        let fresh = fresh(claims.nonce.as_deref(), context)?;
        let names = match claims.workload {
            Some(workload) if facts.pinned => {
                names(workload, context.policy, context.now, context.verifier)?
            }
            _ => Names::default(),
        };
        Ok((Some(claims.pubkey_hash), claims.nonce, fresh, names))
    };
    let (pubkey_hash, nonce, fresh, names) =
        judge().map_err(|refusal: Refusal| refusal.about(|| facts.seen(evidence.kind)))?;
    if fresh == Fresh::Unknown {
        facts.relaxations.push(NONCE_MISSING.to_owned());
        facts.relaxations.sort();
    }
    facts.workload = names.digest.map(|digest| WorkloadName { digest, slug: names.slug.clone() });
    let result = AttestationResult {
        build: context.build.to_owned(),
        issued_at: context.now,
        policy: context.policy.digest,
        facts,
    };
    Ok(Appraisal { result, names, nonce, pubkey_hash, report_data: bound.data })
}

/// Appraises a certification request (DER).
///
/// Pure: what comes out depends on the arguments only.
///
/// # Errors
/// The first check that fails.
pub fn appraise(request: &[u8], context: &Context<'_>) -> Result<Decision, Refusal> {
    appraise_request(Request::parse(request, context.verifier)?, context)
}

/// The same for a request that was parsed, and so found to be signed by its own key.
///
/// # Errors
/// The first check that fails.
pub fn appraise_request(request: Request, context: &Context<'_>) -> Result<Decision, Refusal> {
    let Request { spki_der, evidence } = request;
    let Appraisal { result, names, nonce, .. } =
        appraise_evidence(&evidence, Some(&spki_der), context)?;
    let lifetime_seconds = context.policy.lifetime_seconds;
    let evidence = context.policy.include_evidence.then(|| shown(evidence)).flatten();
    Ok(Decision { spki_der, result, names, lifetime_seconds, evidence, nonce })
}

/// Evidence with claims as it came, without its endorsements, which are the verifier's business and large.
fn shown(evidence: Evidence) -> Option<Vec<u8>> {
    let claims = evidence.claims?;
    match evidence.kind {
        Kind::Snp | Kind::Sgx | Kind::Tdx => {
            Some(encode_evidence(evidence.kind, &evidence.statement, &claims, &[]))
        }
        Kind::Nitro | Kind::Cca | Kind::AzureSnp | Kind::AzureTdx => None,
    }
}

/// What the TEE was given to sign.
struct Bound<'a> {
    data: Option<[u8; 64]>,
    public_key: Option<&'a [u8]>,
}

impl Bound<'_> {
    /// If it was given a key, it is this one.
    fn is_of_key(&self, holds: impl FnOnce(&[u8]) -> bool) -> Result<(), Refusal> {
        ensure(self.public_key.is_none_or(holds), Check::KeyBinding, || {
            "the evidence carries another public key than the request's".into()
        })
    }
}

/// The evidence is about this key and these claims; the claims, if there are any.
fn binding(
    evidence: &Evidence,
    bound: &Bound<'_>,
    spki_der: Option<&[u8]>,
) -> Result<Option<Claims>, Refusal> {
    let Some(bytes) = &evidence.claims else {
        let Some(spki_der) = spki_der else { return Ok(None) };
        bound.is_of_key(|key| key == spki_der)?;
        let expected = claims::legacy_report_data(evidence.kind, spki_der);
        ensure(bound.data == Some(expected), Check::KeyBinding, || {
            "the evidence was made for another key than the request's".into()
        })?;
        return Ok(None);
    };
    ensure(bound.data == Some(claims::report_data(bytes)), Check::KeyBinding, || {
        "the evidence was made for other claims than those that came with it".into()
    })?;
    let claims = Claims::from_bytes(bytes)
        .map_err(|error| Refusal::new(Check::ClaimsMalformed, error.to_string()))?;
    bound.is_of_key(|key| claims.pubkey_hash == claims::pubkey_hash_of(key))?;
    let same = spki_der.is_none_or(|spki| claims.pubkey_hash == claims::pubkey_hash_of(spki));
    ensure(same, Check::KeyBinding, || {
        "the evidence was made for another key than the request's".into()
    })?;
    Ok(Some(claims))
}

/// What the nonce says about the age of evidence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fresh {
    /// It was made after the nonce was handed out, or nobody hands any out.
    Yes,
    /// There is none, and the policy lets that pass.
    Unknown,
}

fn fresh(nonce: Option<&[u8]>, context: &Context<'_>) -> Result<Fresh, Refusal> {
    match (nonce, context.nonces) {
        (None, None) => Ok(Fresh::Yes),
        (None, Some(_)) => {
            let allowance = context.policy.request.allow_without_nonce;
            let ended = allowance.ended(context.now).map_or_else(String::new, |day| {
                format!("; the policy allowed \"{NONCE_MISSING}\" until {day}")
            });
            ensure(allowance.holds(context.now), Check::NonceMissing, || {
                format!("the claims carry no nonce, so the evidence may be of any age{ended}")
            })?;
            Ok(Fresh::Unknown)
        }
        (Some(_), None) => {
            Err(Refusal::new(Check::Nonce, "the claims carry a nonce that was not handed out here"))
        }
        (Some(nonce), Some(nonces)) => nonces
            .check(nonce, context.now)
            .map(|()| Fresh::Yes)
            .map_err(|detail| Refusal::new(Check::Nonce, detail)),
    }
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
            .verify(
                Scheme::EcdsaP256Sha256Fixed,
                &registry.point,
                parsed.signing_input.as_ref(),
                &parsed.signature,
            )
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
