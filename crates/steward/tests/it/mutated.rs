// SPDX-License-Identifier: Apache-2.0

//! A few mutants of each case; `cargo run --release -p steward --example mutate` makes as many as one wants.

#[path = "../../examples/mutate/cases.rs"]
mod cases;
#[path = "../../examples/mutate/mutant.rs"]
mod mutant;
#[path = "../../examples/mutate/trial.rs"]
mod trial;

use std::io::Write as _;
use std::path::Path;

/// Mutants of each case.
const COUNT: u64 = 40;

#[test]
fn no_mutant_is_taken_and_none_panics() {
    let mut cases = cases::simulated();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/evidence");
    if corpus.is_dir() {
        cases.extend(cases::recorded(&corpus).unwrap());
    } else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIP no_mutant_is_taken_and_none_panics: no evidence of real hardware in ../shared/evidence"
        );
    }
    let mut totals = trial::Totals::default();
    for (seed, case) in (0..).zip(&cases) {
        totals.add(trial::run(case, &cases, seed, 0..COUNT));
    }
    let _ = write!(std::io::stderr(), "{} cases, {totals}", cases.len());
    assert!(totals.failures.is_empty(), "{totals}");
    assert!(totals.mutants == COUNT * cases.len() as u64 && totals.checks.len() > 10, "{totals}");
}
