// SPDX-License-Identifier: Apache-2.0

//! What `enarx up --check` found.

use serde::Serialize;

use crate::output::{self, Style};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As expected.
    Ok,
    /// Not as expected.
    Failed,
    /// It could not be made here.
    Skipped,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Check {
    /// What was tried.
    pub check: String,
    /// What had to happen.
    pub expected: String,
    /// What happened.
    pub got: String,
    /// Whether that is it.
    pub verdict: Verdict,
}

/// How long a piece took.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Timing {
    /// Of which Keep.
    pub keep: String,
    /// Which piece.
    pub phase: String,
    /// Microseconds.
    pub micros: u64,
}

/// All of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    /// The checks, in order.
    pub checks: Vec<Check>,
    /// Wall-clock times.
    pub timings: Vec<Timing>,
}

/// Longest cell of the table, in characters; the JSON has all of it.
const CELL_CHARS: usize = 90;

impl Report {
    /// Adds a check.
    pub(super) fn add(&mut self, check: &str, expected: &str, got: impl Into<String>, ok: bool) {
        let verdict = if ok { Verdict::Ok } else { Verdict::Failed };
        self.push(check, expected, got.into(), verdict);
    }

    /// Adds a check that cannot be made here.
    pub(super) fn skip(&mut self, check: &str, why: &str) {
        self.push(check, "", why.to_owned(), Verdict::Skipped);
    }

    fn push(&mut self, check: &str, expected: &str, got: String, verdict: Verdict) {
        self.checks.push(Check {
            check: check.to_owned(),
            expected: expected.to_owned(),
            got,
            verdict,
        });
    }

    /// How many checks came out so.
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }

    /// Whether all held that could be made.
    pub(super) fn ok(&self) -> bool {
        self.count(Verdict::Failed) == 0
    }

    /// Both tables, for people.
    pub(super) fn table(&self, style: Style) -> String {
        let mut rows =
            vec![["check", "expected", "got", "ok"].map(|title| style.bold(title)).to_vec()];
        rows.extend(self.checks.iter().map(|check| {
            let verdict = match check.verdict {
                Verdict::Ok => style.good("yes"),
                Verdict::Failed => style.bad("NO"),
                Verdict::Skipped => style.warn("skipped"),
            };
            vec![check.check.clone(), check.expected.clone(), cut(&check.got), verdict]
        }));
        let mut text = output::columns(&rows);
        text.push('\n');
        let mut rows =
            vec![["piece", "keep", "wall clock"].map(|title| style.bold(title)).to_vec()];
        rows.extend(self.timings.iter().map(|timing| {
            vec![timing.phase.clone(), timing.keep.clone(), output::micros(timing.micros)]
        }));
        text.push_str(&output::columns(&rows));
        text
    }

    /// The same for programs.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "ok": self.ok(), "failed": self.count(Verdict::Failed), "skipped": self.count(Verdict::Skipped),
            "checks": self.checks, "timings": self.timings,
        })
    }
}

fn cut(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= CELL_CHARS && line.len() == text.len() {
        return line.to_owned();
    }
    line.chars().take(CELL_CHARS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_enough() {
        let mut report = Report::default();
        report.add("a", "refused", "refused", true);
        assert!(report.ok());
        report.skip("b", "no openssl");
        assert!(report.ok());
        report.add("c", "refused", "let in\nwith more", false);
        assert!(!report.ok());
        let table = report.table(Style::PLAIN);
        assert!(table.contains("c      refused   let in…     NO"), "{table}");
        assert_eq!(report.json()["skipped"], 1);
    }
}
