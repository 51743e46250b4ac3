// SPDX-License-Identifier: Apache-2.0

//! Requests that bytes steer: a well-formed request of any TEE on simulated silicon, with changes that the bytes choose, signed
//! again after each. So whoever guesses bytes gets past the signatures, to what decides.
//!
//! What comes of it is held against a judgement of its own, made from the changed values by code that has nothing in common
//! with the verifiers: offsets, bits and comparisons written down once more. For `cargo xtask fuzz request`, and for tests.

mod azure;
mod cca;
mod intel;
mod keep;
mod made;
mod nitro;
mod policy;
mod snp;
mod steer;

use evidence::{Anchors, Check, Context, Decision, Evidence, Kind, Refusal, csr};
use types::time::Timestamp;

use self::keep::Keep;
use self::made::Made;
use self::steer::Steer;
use crate::silicon::SiliconError;

/// When all of this happens, unless the bytes say otherwise.
pub const NOW: Timestamp = Timestamp(1_800_000_000);
/// Who appraises, as it stands in results.
const BUILD: &str = "steered 1";

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it had evidence of.
    pub kind: Kind,
    /// The check that it failed; `None` if it was granted.
    pub check: Option<&'static str>,
    /// What is wrong with it by the judgement here.
    pub wrong: Vec<&'static str>,
}

/// The verifier and the judgement here disagree, or the verifier with itself; or there is no silicon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement(pub String);

impl From<SiliconError> for Disagreement {
    fn from(error: SiliconError) -> Self {
        Self(error.to_string())
    }
}

/// Makes all silicon, which takes some seconds; otherwise it is made when it is needed first.
///
/// # Errors
/// There is none.
pub fn prepare() -> Result<(), Disagreement> {
    for kind in 0..KINDS {
        run(&[kind])?;
    }
    Ok(())
}

/// Evidence without claims of one kind of silicon, with nothing wrong, and the policy that takes it at [`NOW`].
///
/// # Errors
/// There is no silicon.
pub fn plain(which: u8) -> Result<(Evidence, String), Disagreement> {
    let mut steer = Steer(&[]);
    let keep = Keep::steered(&mut steer);
    let made = made(which % KINDS, &mut steer, &keep)?;
    let Made { kind, statement, endorsements, policy, .. } = made;
    Ok((Evidence { kind, statement, claims: None, endorsements }, policy))
}

/// The roots of all the silicon here.
pub fn anchors() -> &'static Anchors {
    keep::roots()
}

fn made(which: u8, steer: &mut Steer<'_>, keep: &Keep) -> Result<Made, Disagreement> {
    let data = keep.report_data();
    match which {
        0 => snp::made(steer, keep, &data, false),
        1 => snp::made(steer, keep, &data, true),
        2 => intel::sgx(steer, keep, &data),
        3 => intel::tdx(steer, keep, &data),
        4 => nitro::made(steer, keep, &data),
        5 => cca::made(steer, &data),
        _ => azure::made(steer, keep, &data),
    }
}

/// How many kinds of silicon the first byte chooses from.
pub const KINDS: u8 = 7;

/// Makes the request that these bytes stand for, has it appraised as Steward does, and compares.
///
/// # Errors
/// See [`Disagreement`].
pub fn run(bytes: &[u8]) -> Result<Outcome, Disagreement> {
    let mut steer = Steer(bytes);
    let which = steer.byte() % KINDS;
    let keep = Keep::steered(&mut steer);
    let made = made(which, &mut steer, &keep)?;
    let request = keep.request(&made);
    let text = keep.policy(&made.policy);
    let policy = evidence::policy::Policy::parse(&text)
        .map_err(|error| Disagreement(format!("the policy cannot be read: {error}\n{text}")))?;
    let context = Context {
        policy: &policy,
        anchors: keep.anchors(),
        nonces: keep.nonces(),
        build: BUILD,
        now: keep.now,
        verifier: keep::verifier(),
    };
    let decide = |verifier| {
        let context = Context { verifier, ..context };
        csr::Request::parse(&request, verifier)
            .and_then(|request| evidence::appraise_request(request, &context))
    };
    // As Steward does, which remembers endorsements that verified; and without remembering anything.
    let outcome = decide(keep::verifier());
    let again = decide(&evidence::crypto::AwsLc);
    let told = || format!("{:?}\nwrong: {:?}\npolicy:\n{text}", made.kind, made.wrong);
    if outcome != again {
        let told = told();
        return Err(Disagreement(format!("{told}\ntwo answers: {outcome:#?}\n{again:#?}")));
    }
    let mut wrong = made.wrong.clone();
    wrong.extend(keep.wrong(&made));
    let check = match &outcome {
        Ok(decision) => {
            granted(decision, &wrong, &keep, &made, &policy.digest)
                .map_err(|what| Disagreement(format!("{what}\n{}\n{decision:#?}", told())))?;
            None
        }
        Err(refusal) => {
            refused(refusal, &wrong).map_err(|what| Disagreement(format!("{what}\n{}", told())))?;
            Some(refusal.check)
        }
    };
    Ok(Outcome { kind: made.kind, check, wrong })
}

/// A no is one by the judgement here too. It names checks that there are, says what was found and what to do.
fn refused(refusal: &Refusal, wrong: &[&str]) -> Result<(), String> {
    let known = |name: &str| Check::ALL.iter().any(|check| check.name() == name);
    let Refusal { check, detail, hint, others, seen } = refusal;
    let simulated = seen.as_ref().is_none_or(|seen| seen.simulated);
    let told = known(check) && !detail.is_empty() && !hint.is_empty();
    if wrong.is_empty() {
        return Err(format!("refused for nothing: {refusal:?}"));
    }
    if told && simulated && others.iter().all(|other| known(other.check)) {
        Ok(())
    } else {
        Err(format!("a refusal that helps nobody, or of silicon that is none: {refusal:?}"))
    }
}

/// A yes is one by the judgement here too, and says what is.
fn granted(
    decision: &Decision,
    wrong: &[&str],
    keep: &Keep,
    made: &Made,
    policy: &types::digest::Sha256,
) -> Result<(), String> {
    let ensure = |passed: bool, what: &str| if passed { Ok(()) } else { Err(what.to_owned()) };
    ensure(wrong.is_empty(), &format!("granted, though {wrong:?}"))?;
    let Decision { spki_der, result, names, lifetime_seconds, evidence, nonce } = decision;
    ensure(*spki_der == keep.spki(), "another key")?;
    ensure(result.facts.simulated, "simulated silicon is taken for genuine")?;
    ensure(result.issued_at == keep.now && result.policy == *policy, "another time or policy")?;
    ensure(result.build == BUILD && *lifetime_seconds == 86_400, "another build or life")?;
    ensure(nonce.as_deref() == keep.sent_nonce(), "another nonce")?;
    ensure(evidence.is_some() == keep.shows_evidence(made.kind), "evidence shown, or not shown")?;
    let facts = &result.facts;
    ensure(facts.measurement == steer::hex(&made.measurement), "another measurement")?;
    ensure(facts.debug == made.debug, "debugging is not told, or wrongly")?;
    ensure(facts.pinned == made.pinned, "pinned, or not")?;
    let mut relaxed = made.relaxed.clone();
    relaxed.extend(keep.relaxed());
    relaxed.sort();
    relaxed.dedup();
    ensure(
        facts.relaxations == relaxed,
        &format!("relaxations {:?}, wanted {relaxed:?}", facts.relaxations),
    )?;
    let digest = keep.workload().filter(|_| made.pinned);
    ensure(names.digest == digest && names.slug.is_none(), "another workload")?;
    ensure(names.dns.is_empty() && names.ip.is_empty(), "names that nobody granted")?;
    ensure(facts.workload.as_ref().map(|name| name.digest) == digest, "another workload told")?;
    let read = evidence::result::AttestationResult::from_extension(&result.to_extension());
    ensure(read.as_ref() == Ok(result), "a result that cannot be read")
}

#[cfg(test)]
mod tests;
