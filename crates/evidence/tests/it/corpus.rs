// SPDX-License-Identifier: Apache-2.0

//! The corpus of real evidence (`../shared/evidence` beside the checkout, described by its README): cases with known verdicts,
//! and the loop that holds a verifier to them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use enarx_evidence::Refusal;
use serde::Deserialize;
use types::time::Timestamp;

/// A case of the corpus.
pub(crate) struct Case {
    /// The TEE's folder in the corpus.
    pub(crate) tee: String,
    pub(crate) name: String,
    /// Its folder.
    pub(crate) path: PathBuf,
    /// What is known of it.
    pub(crate) facts: BTreeMap<String, toml::Value>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// What a verifier must decide, when, under which policy.
#[derive(Deserialize)]
pub(crate) struct Verdict {
    pub(crate) at: Timestamp,
    pub(crate) policy: String,
    pub(crate) expect: String,
    pub(crate) reasons: Vec<String>,
    /// Of Intel's.
    pub(crate) tcb_status: Option<String>,
    /// Of Intel's.
    #[serde(default)]
    pub(crate) advisories: Vec<String>,
}

#[derive(Deserialize)]
struct Known {
    facts: BTreeMap<String, toml::Value>,
    verdict: Vec<Verdict>,
}

impl Case {
    /// The case of this name among those of a TEE.
    pub(crate) fn of(folder: &Path, tee: &str, name: &str) -> Self {
        let path = folder.join(tee).join(name);
        let text = fs::read_to_string(path.join("facts.toml")).unwrap();
        let known = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let Known { facts, verdict: verdicts } = known;
        Self { tee: tee.to_owned(), name: name.to_owned(), path, facts, verdicts }
    }

    /// A file of the case's folder, which must be there.
    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        read(&self.path.join(name))
    }

    /// A file of the case's folder, if it is there.
    pub(crate) fn optional(&self, name: &str) -> Option<Vec<u8>> {
        self.path.join(name).is_file().then(|| self.file(name))
    }

    /// A text file of the case's folder, if it is there.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.optional(name).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    /// A fact that is a text.
    pub(crate) fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).and_then(toml::Value::as_str)
    }
}

/// The folder, if it is there. Says loudly if it is not.
pub(crate) fn folder(test: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/evidence");
    if !folder.is_dir() {
        // Past the test harness, which keeps what a passing test prints.
        let _ = writeln!(
            io::stderr(),
            "SKIP {test}: no evidence of real hardware in ../shared/evidence"
        );
        return None;
    }
    Some(folder)
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All cases of a TEE, in the order of their names.
pub(crate) fn cases(folder: &Path, tee: &str) -> Vec<Case> {
    let mut names: Vec<_> = fs::read_dir(folder.join(tee))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names.iter().map(|name| Case::of(folder, tee, name)).collect()
}

/// How many verdicts came out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// As they are known.
    pub(crate) agreed: usize,
    /// Those of them that accept.
    pub(crate) taken: usize,
    /// What no policy here can ask for.
    pub(crate) not_judged: usize,
}

/// Judges each verdict of each case and fails, with all that disagree, unless every one is as it is known.
///
/// `judge` says what was found; `None` where no policy can say what the verdict is about. What it finds to be wrong with the
/// facts of evidence that is taken, it panics about.
pub(crate) fn all_agree<T>(
    cases: &[Case],
    judge: impl Fn(&Case, &Verdict) -> Option<Result<T, Refusal>>,
) -> Tally {
    let (mut tally, mut disagreements) = (Tally::default(), Vec::new());
    for case in cases {
        for verdict in &case.verdicts {
            let Some(outcome) = judge(case, verdict) else {
                tally.not_judged += 1;
                continue;
            };
            tally.agreed += 1;
            tally.taken += usize::from(outcome.is_ok());
            disagreements.extend(disagreement(case, verdict, outcome.map(drop)));
        }
    }
    tally.agreed -= disagreements.len();
    let wrong = disagreements.len();
    let _ = writeln!(io::stderr(), "{} cases: {tally:?}, {wrong} disagree", cases.len());
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    tally
}

/// Fails unless the outcome is the known one.
pub(crate) fn hold(case: &Case, verdict: &Verdict, outcome: Result<(), Refusal>) {
    if let Some(disagreement) = disagreement(case, verdict, outcome) {
        panic!("{disagreement}");
    }
}

/// What is not as the verdict has it. Nothing else may be wrong with what is refused: each check that failed is a known reason.
fn disagreement(case: &Case, verdict: &Verdict, outcome: Result<(), Refusal>) -> Option<String> {
    let Verdict { at, policy, expect, reasons, .. } = verdict;
    let known = |check| reasons.iter().any(|known| known == reason(&case.tee, check));
    let agrees = match (expect.as_str(), &outcome) {
        ("accept", Ok(())) => true,
        ("reject", Err(refusal)) => {
            known(refusal.check) && refusal.others.iter().all(|other| known(other.check))
        }
        _ => false,
    };
    let what = || format!("wanted {expect} {reasons:?}, found {outcome:?}");
    (!agrees).then(|| format!("{}/{} at {at} under {policy}: {}", case.tee, case.name, what()))
}

/// The reason, in the words of the corpus, that a failed check stands for.
fn reason<'a>(tee: &str, check: &'a str) -> &'a str {
    match (check, tee) {
        (
            "report-signature"
            | "document-signature"
            | "quote-signature"
            | "qe-report"
            | "collateral-signature"
            | "crl-signature",
            _,
        ) => "bad-signature",
        ("vek-signature" | "intel-chain", _) => "chain-invalid",
        ("crl-expired", _) | ("certificate-expired", "sgx" | "tdx") => "collateral-expired",
        ("certificate-expired", "snp") => "vek-expired",
        ("debug", _) => "debug-enabled",
        ("vmpl", _) => "vmpl-not-zero",
        ("vlek", _) => "vlek-not-allowed",
        ("tcb-minimum", _) => "tcb-too-old",
        ("revoked", _) => "certificate-revoked",
        ("realm-binding", _) => "binding-broken",
        ("pck-missing", _) => "pck-chain-missing",
        ("crl-missing", "sgx" | "tdx") => "collateral-missing",
        ("sept-ve-disable", _) => "sept-ve-disable-clear",
        ("service-td", _) => "service-td-bound",
        ("migratable", _) => "migratable-td",
        // Advisories are why a status is what it is.
        ("advisory", _) => "tcb-status",
        _ => check,
    }
}
