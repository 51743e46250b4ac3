// SPDX-License-Identifier: Apache-2.0

//! `steward policy test`

use std::process::ExitCode;

use chassis::clock::Clock;
use chassis::exit;
use evidence::crypto::AwsLc;
use evidence::{Appraisal, Context, Refusal, appraise_evidence};
use serde_json::json;
use types::time::Timestamp;

use super::load;
use crate::cli::{PolicyTest, failed, print, usage};
use crate::issuer::BUILD;
use crate::recorded::{self, Case, Subject};
use crate::roots;

/// One judgement.
struct Row {
    case: String,
    at: Timestamp,
    outcome: Result<String, Refusal>,
    /// What the case's own description expects, if it was asked: whether to accept.
    expected: Option<bool>,
}

impl Row {
    fn disagrees(&self) -> bool {
        self.expected.is_some_and(|accept| accept != self.outcome.is_ok())
    }
}

/// Judges all recorded evidence in a directory under a policy.
pub(super) fn test(options: &PolicyTest) -> ExitCode {
    let loaded = match load(&options.file, options.json) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let mut anchors = match roots::vendors() {
        Ok(anchors) => anchors,
        Err(error) => return failed(&error),
    };
    if let Some(path) = &options.insecure_simulated_roots {
        match roots::insecure_simulated(path) {
            Ok(simulated) => anchors.extend(simulated),
            Err(error) => return usage(&error),
        }
    }
    let cases = match recorded::read(&options.evidence) {
        Ok(cases) if cases.is_empty() => {
            let dir = options.evidence.display();
            return usage(&format!(
                "there is no evidence in {dir}; it takes requests (*.csr), and directories with a report or quote and its certificates"
            ));
        }
        Ok(cases) => cases,
        Err(error) => return usage(&error),
    };
    let now = options.at.unwrap_or_else(|| Clock::System.now());
    let judge = |case: &Case, at: Timestamp| {
        let context = Context {
            policy: &loaded.policy,
            anchors: &anchors,
            nonces: None,
            build: BUILD,
            now: at,
            verifier: &AwsLc,
        };
        let status = |appraisal: Appraisal| appraisal.result.status().to_string();
        match &case.subject {
            Subject::Evidence(evidence) => appraise_evidence(evidence, None, &context).map(status),
            Subject::Request(request) => evidence::appraise(request, &context)
                .map(|decision| decision.result.status().to_string()),
        }
    };
    let mut rows = Vec::new();
    for case in &cases {
        let wanted: Vec<_> = case
            .verdicts
            .iter()
            .filter(|verdict| options.expected.as_ref() == Some(&verdict.policy))
            .collect();
        let row =
            |at, expected| Row { case: case.name.clone(), at, outcome: judge(case, at), expected };
        if wanted.is_empty() {
            rows.push(row(now, None));
        }
        for verdict in wanted {
            rows.push(row(verdict.at, Some(verdict.accept)));
        }
    }
    let disagree = rows.iter().filter(|row| row.disagrees()).count();
    let code = print(&if options.json { as_json(&rows) } else { in_words(&rows) });
    if code == ExitCode::SUCCESS && disagree > 0 { ExitCode::from(exit::FAILED) } else { code }
}

fn as_json(rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let mut value = json!({
                "case": row.case,
                "at": row.at.to_string(),
                "accepted": row.outcome.is_ok(),
            });
            if let Some(object) = value.as_object_mut() {
                match &row.outcome {
                    Ok(status) => object.insert("status".to_owned(), status.clone().into()),
                    Err(refusal) => {
                        let all = std::iter::once((refusal.check, &refusal.detail))
                            .chain(refusal.others.iter().map(|other| (other.check, &other.detail)));
                        let failed: Vec<_> = all
                            .map(|(check, detail)| json!({ "check": check, "detail": detail }))
                            .collect();
                        object.insert("failed".to_owned(), failed.into())
                    }
                };
                if let Some(expected) = row.expected {
                    object.insert("expected".to_owned(), expected.into());
                }
            }
            value
        })
        .collect();
    serde_json::Value::from(rows).to_string()
}

fn in_words(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.case.len()).max().unwrap_or_default();
    let mut lines: Vec<_> = rows
        .iter()
        .map(|row| {
            let verdict = match &row.outcome {
                Ok(status) => format!("accepted  {status}"),
                Err(refusal) => {
                    let more = match refusal.others.len() {
                        0 => String::new(),
                        others => format!(" (and {others} more)"),
                    };
                    format!("refused   {}: {}{more}", refusal.check, refusal.detail)
                }
            };
            let mark = match row.expected {
                Some(_) if row.disagrees() => "  <- not as expected",
                _ => "",
            };
            format!("{:width$}  {}  {verdict}{mark}", row.case, row.at)
        })
        .collect();
    let accepted = rows.iter().filter(|row| row.outcome.is_ok()).count();
    let mut sum = format!("\n{accepted} accepted, {} refused", rows.len() - accepted);
    if rows.iter().any(|row| row.expected.is_some()) {
        let disagree = rows.iter().filter(|row| row.disagrees()).count();
        sum.push_str(&format!(", {disagree} not as expected"));
    }
    lines.push(sum + ".");
    lines.join("\n")
}
