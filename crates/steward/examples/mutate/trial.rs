// SPDX-License-Identifier: Apache-2.0

//! Mutants judged.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use evidence::crypto::{AwsLc, Cached};
use evidence::csr::Request;
use evidence::intel::Collateral;
use evidence::snp::Endorsements;
use evidence::vtpm::Bundle;
use evidence::{Context, Evidence, Kind, Refusal, Verified};
use steward::recorded::Subject;

use super::cases::Case;
use super::mutant::{Random, mutate};

/// As in Steward: what many pieces of evidence share is checked once.
static VERIFIER: LazyLock<Cached<AwsLc>> = LazyLock::new(|| Cached::new(AwsLc, 4096));
/// Longest that one may take.
const LONGEST: Duration = Duration::from_secs(2);

/// What became of mutants.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// How many there were.
    pub(crate) mutants: u64,
    /// How many were the same as what they were made from.
    pub(crate) same: u64,
    /// How many were taken, though only what nobody signed had changed.
    pub(crate) unsigned: u64,
    /// Checks that the rest failed, and how often.
    pub(crate) checks: BTreeMap<&'static str, u64>,
    /// The longest that one took, and which.
    pub(crate) slowest: (Duration, String),
    /// Panics, mutants that were taken, and those that took too long.
    pub(crate) failures: Vec<String>,
}

impl Totals {
    pub(crate) fn add(&mut self, other: Self) {
        self.mutants += other.mutants;
        self.same += other.same;
        self.unsigned += other.unsigned;
        for (check, count) in other.checks {
            *self.checks.entry(check).or_default() += count;
        }
        if other.slowest.0 > self.slowest.0 {
            self.slowest = other.slowest;
        }
        self.failures.extend(other.failures);
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused: u64 = self.checks.values().sum();
        writeln!(
            f,
            "{} mutants: {refused} refused by {} checks, {} unchanged, {} taken with a change in what nobody signs, {} failures",
            self.mutants,
            self.checks.len(),
            self.same,
            self.unsigned,
            self.failures.len()
        )?;
        writeln!(f, "slowest: {} us, {}", self.slowest.0.as_micros(), self.slowest.1)?;
        self.failures.iter().take(20).try_for_each(|failure| writeln!(f, "FAILURE {failure}"))
    }
}

/// Judges something in the place of a case.
pub(crate) fn judge(case: &Case, subject: &Subject) -> Result<Verified, Refusal> {
    let Case { policy, anchors, now, .. } = case;
    let context =
        Context { policy, anchors, nonces: None, build: "mutate", now: *now, verifier: &*VERIFIER };
    match subject {
        Subject::Evidence(evidence) => evidence::verify(evidence, &context),
        Subject::Request(der) => {
            let request = Request::parse(der, &*VERIFIER)?;
            let verified = evidence::verify(&request.evidence, &context)?;
            evidence::appraise_request(request, &context).map(|_| verified)
        }
    }
}

/// Makes and judges mutants of one case.
pub(crate) fn run(case: &Case, cases: &[Case], seed: u64, numbers: Range<u64>) -> Totals {
    let mut totals = Totals::default();
    for number in numbers {
        let (mutant, what) = mutant(case, cases, &mut Random::new(seed, number));
        totals.mutants += 1;
        let Some(mutant) = mutant else {
            totals.same += 1;
            continue;
        };
        let told = || format!("{}: mutant {number} of seed {seed}, {what}", case.name);
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| judge(case, &mutant)));
        let took = started.elapsed();
        match outcome {
            Err(_) => totals.failures.push(format!("{}: a panic", told())),
            Ok(Err(refusal)) => *totals.checks.entry(refusal.check).or_default() += 1,
            Ok(Ok(verified)) if harmless(case, &mutant, &verified) => totals.unsigned += 1,
            Ok(Ok(_)) => {
                let where_ = difference(&case.subject, &mutant);
                totals.failures.push(format!("{}: taken; {where_}", told()));
            }
        }
        if took > LONGEST {
            totals.failures.push(format!("{}: took {took:?}", told()));
        }
        if took > totals.slowest.0 {
            totals.slowest = (took, told());
        }
    }
    totals
}

/// A mutant, unless nothing came of it; and what was changed.
fn mutant(case: &Case, cases: &[Case], random: &mut Random) -> (Option<Subject>, &'static str) {
    match &case.subject {
        Subject::Request(der) => {
            let others = [&der[..]];
            let mut changed = der.clone();
            mutate(&mut changed, &others, random);
            (Some(Subject::Request(changed.clone())).filter(|_| changed != *der), "the request")
        }
        Subject::Evidence(evidence) => {
            let mut changed = evidence.clone();
            let also: Vec<&Evidence> = cases
                .iter()
                .filter_map(|other| match &other.subject {
                    Subject::Evidence(other) if other.kind == evidence.kind => Some(other),
                    _ => None,
                })
                .collect();
            let in_statement = evidence.endorsements.is_empty() || random.below(3) > 0;
            let what = if in_statement {
                let others: Vec<_> = also.iter().map(|other| &other.statement[..]).collect();
                mutate(&mut changed.statement, &others, random);
                "the statement"
            } else {
                let others: Vec<_> = also.iter().map(|other| &other.endorsements[..]).collect();
                mutate(&mut changed.endorsements, &others, random);
                "the endorsements"
            };
            (Some(changed).filter(|changed| changed != evidence).map(Subject::Evidence), what)
        }
    }
}

/// Whether a mutant that is taken says what the original does, and differs from it in nothing that is signed: in how
/// certificates are written in PEM, or in certificates and lists that the original is taken without.
fn harmless(case: &Case, mutant: &Subject, verified: &Verified) -> bool {
    let (Subject::Evidence(from), Subject::Evidence(to)) = (&case.subject, mutant) else {
        return false;
    };
    if case.taken.as_ref() != Some(verified) {
        return false;
    }
    let statement = from.statement == to.statement || same_statement(from, to);
    let endorsements = from.endorsements == to.endorsements
        || reduced(from, to).is_some_and(|endorsements| {
            let less = Evidence { endorsements, ..from.clone() };
            judge(case, &Subject::Evidence(less)).is_ok_and(|less| less == *verified)
        });
    statement && endorsements
}

/// Where something and its mutant differ, and in what.
fn difference(from: &Subject, to: &Subject) -> String {
    let bytes = |subject: &Subject| match subject {
        Subject::Request(der) => der.clone(),
        Subject::Evidence(evidence) => [&evidence.statement[..], &evidence.endorsements].concat(),
    };
    let (from, to) = (bytes(from), bytes(to));
    let start = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let shorter = from.len().min(to.len()) - start;
    let same = from.iter().rev().zip(to.iter().rev()).take(shorter).take_while(|(a, b)| a == b);
    let end = same.count();
    let part = |all: &[u8]| {
        let part = all.get(start..all.len() - end).unwrap_or_default();
        String::from_utf8_lossy(part.get(..40).unwrap_or(part)).escape_debug().to_string()
    };
    format!("at {start} \"{}\" became \"{}\"", part(&from), part(&to))
}

/// Whether two statements differ in what nobody signs only: in the writing of a quote's certificates, or in what the header
/// of an HCL report says after its first word.
fn same_statement(from: &Evidence, to: &Evidence) -> bool {
    match from.kind {
        Kind::Sgx | Kind::Tdx => same_quote(&from.statement, &to.statement),
        Kind::AzureSnp | Kind::AzureTdx => {
            let read = |evidence: &Evidence| Bundle::from_bytes(&evidence.statement).ok();
            let (Some(mut from), Some(mut to)) = (read(from), read(to)) else { return false };
            for bundle in [&mut from, &mut to] {
                bundle.hcl.iter_mut().take(32).skip(4).for_each(|byte| *byte = 0);
            }
            let quote = from.quote == to.quote || same_quote(&from.quote, &to.quote);
            to.quote.clone_from(&from.quote);
            quote && from == to
        }
        Kind::Snp | Kind::Nitro | Kind::Cca => false,
    }
}

fn same_quote(from: &[u8], to: &[u8]) -> bool {
    let split = |quote: &[u8]| {
        let begin = b"-----BEGIN CERTIFICATE-----";
        let at = quote.windows(begin.len()).position(|window| window == begin)?;
        let (before, certificates) = quote.split_at(at);
        // White space before the first of them is theirs: what is before it ends in a length, whose last byte is zero.
        let before = before.trim_ascii_end().to_vec();
        Some((before, certificates_in(&String::from_utf8_lossy(certificates))))
    };
    split(from).is_some_and(|parts| Some(parts) == split(to))
}

/// Certificates in PEM without white space, which is nobody's, nor the zero at the end of a quote's.
fn certificates_in(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_whitespace() && *c != '\0').collect()
}

/// A document of Intel's, and its signature, whose digits may be of either case.
fn document(text: Option<&str>) -> Option<(&str, String)> {
    let (body, signature) = text?.split_once("\"signature\"")?;
    let digits = signature.chars().filter(char::is_ascii_alphanumeric);
    // White space around what is signed.
    let body = body.trim_end().trim_end_matches(',').trim();
    Some((body, digits.map(|c| c.to_ascii_lowercase()).collect()))
}

/// The endorsements of the original without what differs in the mutant's; `None` where that makes no sense.
fn reduced(from: &Evidence, to: &Evidence) -> Option<Vec<u8>> {
    match from.kind {
        Kind::Snp | Kind::AzureSnp => {
            let mut own = Endorsements::from_der(&from.endorsements).ok()?;
            let other = Endorsements::from_der(&to.endorsements).ok()?;
            // The address of a list is for people.
            own.crls.retain(|(_, crl)| other.crls.iter().any(|(_, other)| other == crl));
            own.asvk = own.asvk.filter(|asvk| other.asvk.as_ref() == Some(asvk));
            (own.vcek == other.vcek).then(|| own.to_der().ok()).flatten()
        }
        Kind::Sgx | Kind::Tdx | Kind::AzureTdx => {
            let mut own = Collateral::from_bytes(&from.endorsements).ok()?;
            let other = Collateral::from_bytes(&to.endorsements).ok()?;
            own.crls.retain(|crl| other.crls.contains(crl));
            let chains = |collateral: &Collateral| {
                let chains = [&collateral.tcb_info_chain, &collateral.qe_identity_chain];
                chains.map(|chain| certificates_in(chain.as_deref().unwrap_or_default()))
            };
            let documents = |collateral: &Collateral| {
                let texts = [&collateral.tcb_info, &collateral.qe_identity];
                texts.map(|text| {
                    document(text.as_deref()).map(|(body, digits)| (body.to_owned(), digits))
                })
            };
            let same = documents(&own) == documents(&other);
            (same && chains(&own) == chains(&other)).then(|| own.to_bytes())
        }
        Kind::Nitro | Kind::Cca => None,
    }
}
