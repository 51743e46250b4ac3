// SPDX-License-Identifier: Apache-2.0

//! One line for each decision, whoever asked and however it went (docs/FORMATS.md section 4.5).
//!
//! Decisions are counted, and told to the log. With a file they are written there too, one JSON object a line, and no
//! certificate leaves without its line.

mod file;
mod line;

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use chassis::metrics::Registry;
use evidence::{Failure, Kind, Seen};
use types::digest::Sha256;
use types::problem::Problem;
use types::time::Timestamp;

use crate::issuer::{Issued, Refused};
use crate::metrics::Metrics;
use file::AuditFile;
use line::Line;

/// Who asked for a decision. Nothing of it has a part in the decision.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Where from; none if not over the network.
    pub address: Option<SocketAddr>,
    /// The name of the request, as the log has it.
    pub request_id: Option<String>,
}

/// How a decision went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The certificate is recorded, and leaves.
    Issued,
    /// The request or its evidence is not good enough.
    Refused,
    /// It was good enough, but no certificate leaves: another request of the bundle was refused, or it could not be
    /// recorded.
    Withheld,
    /// The evidence is good enough; no certificate was asked for.
    Appraised,
    /// Steward itself could not decide.
    Failed,
}

impl Verdict {
    /// As lines and metrics name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Refused => "refused",
            Self::Withheld => "withheld",
            Self::Appraised => "appraised",
            Self::Failed => "failed",
        }
    }

    /// Of a refusal, by its status: what is not the client's fault is ours.
    pub const fn of(problem: &Problem) -> Self {
        if problem.status < 500 { Self::Refused } else { Self::Failed }
    }
}

/// A request's place in its bundle, from 1 on, and how many there are.
pub type Place = (usize, usize);

/// A decision, as far as it came.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// By Steward's clock.
    pub time: Timestamp,
    /// Who asked.
    pub caller: &'a Caller,
    /// How it went.
    pub verdict: Verdict,
    /// What kind of evidence it was, if that could be told.
    pub kind: Option<Kind>,
    /// The policy in force, if it came to that.
    pub policy: Option<Sha256>,
    /// Why there is no certificate.
    pub problem: Option<&'a Problem>,
    /// Further checks that failed.
    pub others: &'a [Failure],
    /// What genuine evidence without a certificate is of.
    pub genuine: Option<&'a Seen>,
    /// The certificate, if there is one, also if it does not leave.
    pub issued: Option<&'a Issued>,
    /// Where it stands in a bundle of more than one.
    pub place: Option<Place>,
}

impl Decided<'_> {
    /// Names of the checks that failed, the decisive one first.
    fn checks(&self) -> impl Iterator<Item = &str> {
        let first =
            self.problem.map(|problem| problem.check.as_deref().unwrap_or("steward.internal"));
        first.into_iter().chain(self.others.iter().map(|failure| failure.check))
    }
}

/// Where decisions are written down.
#[derive(Debug)]
pub struct Audit {
    metrics: Metrics,
    file: Option<AuditFile>,
}

impl Audit {
    /// Counted in `registry` and told to the log.
    pub fn new(registry: &Registry) -> Self {
        Self { metrics: Metrics::new(registry), file: None }
    }

    /// Also written to this file, behind what is in it.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn with_file(self, path: &Path) -> io::Result<Self> {
        Ok(Self { file: Some(AuditFile::open(path)?), ..self })
    }

    /// What is counted.
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Opens the file by its name again, after it was moved away. Nothing without one.
    ///
    /// # Errors
    /// It cannot be opened; the one that is open stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), AuditFile::reopen)
    }

    /// Whether the next line can be written, as far as can be told.
    ///
    /// # Errors
    /// It cannot, and why.
    pub fn ready(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), AuditFile::ready)
    }

    /// Takes down one decision.
    ///
    /// # Errors
    /// 503: it could not be written to the file. Then it must not take effect.
    pub fn decided(&self, decided: &Decided<'_>) -> Result<(), Refused> {
        self.metrics.decided(decided);
        tell(decided);
        let Some(file) = &self.file else { return Ok(()) };
        file.append(&Line::of(decided).to_ascii_json()).map_err(|error| {
            self.metrics.audit_failed();
            tracing::error!(%error, "a decision could not be written to the audit file");
            let problem = Problem::new(
                503,
                "Service Unavailable",
                "the decision could not be written down",
            )
            .check("steward.audit")
            .hint(
                "try again later; if it stays so, the operator finds the reason in Steward's log",
            );
            Box::new(problem)
        })
    }
}

/// Tells the log.
fn tell(decided: &Decided<'_>) {
    let decision = decided.verdict.name();
    let client = decided.caller.address.map(tracing::field::display);
    if let (Verdict::Issued, Some(issued)) = (decided.verdict, decided.issued) {
        let facts = &issued.result.facts;
        let workload = facts.workload.as_ref();
        tracing::info!(
            target: "steward::issuance",
            decision,
            client,
            serial = issued.serial,
            status = %issued.result.status(),
            tee = facts.tee.name(),
            simulated = facts.simulated,
            measurement = facts.measurement,
            digest = workload.map(|w| w.digest.to_string()),
            slug = workload.and_then(|w| w.slug.as_ref()).map(ToString::to_string),
            policy = %issued.result.policy,
            "certificate issued"
        );
        return;
    }
    if let (Verdict::Appraised, Some(seen)) = (decided.verdict, decided.genuine) {
        tracing::info!(
            target: "steward::issuance",
            decision,
            client,
            tee = seen.kind.name(),
            simulated = seen.simulated,
            measurement = seen.measurement,
            "evidence appraised"
        );
        return;
    }
    let checks: Vec<&str> = decided.checks().collect();
    tracing::warn!(
        target: "steward::issuance",
        decision,
        client,
        check = checks.first().copied().unwrap_or_default(),
        checks = checks.join(","),
        tee = decided.kind.map(Kind::name),
        status = decided.problem.map(|problem| problem.status),
        detail = decided.problem.map(|problem| problem.detail.as_str()),
        serial = decided.issued.map(|issued| issued.serial.as_str()),
        "request refused"
    );
}

#[cfg(test)]
mod tests;
