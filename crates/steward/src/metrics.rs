// SPDX-License-Identifier: Apache-2.0

//! What Steward counts, besides what every service does.

use std::sync::Arc;
use std::time::Duration;

use chassis::metrics::{Counter, Family, Histogram, Registry, SECONDS};
use evidence::Kind;

use crate::audit::{Decided, Verdict};
use crate::issuer::Issuer;

/// Label of what is not known, or does not apply.
const NONE: &str = "none";

/// Metrics of decisions.
#[derive(Clone, Debug)]
pub struct Metrics {
    decisions: Family<Counter, 3>,
    issued: Counter,
    duration: Histogram,
    audit_failures: Counter,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> Self {
        Self {
            decisions: registry.counters(
                "steward_decisions_total",
                "Decisions, by kind of evidence, verdict and the check that decided.",
                ["tee", "verdict", "reason"],
            ),
            issued: registry.counter("steward_issued_total", "Certificates that left."),
            duration: registry.histogram(
                "steward_decision_duration_seconds",
                "Time of one decision, from the request to the certificate or the refusal.",
                SECONDS,
            ),
            audit_failures: registry.counter(
                "steward_audit_failures_total",
                "Decisions that could not be written to the audit file.",
            ),
        }
    }

    /// A decision took so long.
    pub fn took(&self, duration: Duration) {
        self.duration.observe(duration);
    }

    pub(crate) fn decided(&self, decided: &Decided<'_>) {
        let reason = decided
            .problem
            .map_or(NONE, |problem| problem.check.as_deref().unwrap_or("steward.internal"));
        let tee = decided.kind.map_or(NONE, Kind::name);
        self.decisions.with([tee, decided.verdict.name(), reason]).inc();
        if decided.verdict == Verdict::Issued {
            self.issued.inc();
        }
    }

    pub(crate) fn audit_failed(&self) {
        self.audit_failures.inc();
    }
}

/// Registers what the issuer can say of itself at any time.
pub fn watch(registry: &Registry, issuer: &Arc<Issuer>) {
    #[allow(clippy::cast_precision_loss, reason = "seconds and entries stay below 2^53")]
    let number = |n: u64| n as f64;
    let policies = issuer.clone();
    registry.gauge_of("steward_policy_info", "The policy in force.", move || {
        let digest = policies.policies().current().digest().to_string();
        vec![(vec![("digest", digest)], 1.0)]
    });
    let authority = issuer.clone();
    registry.gauge_of(
        "steward_ca_not_after_seconds",
        "Last second of the CA in service, since 1970.",
        move || vec![(Vec::new(), number(authority.authority().not_after().0))],
    );
    let log = issuer.clone();
    registry.counter_of("steward_log_entries_total", "Entries of the issuance log.", move || {
        log.log().head().map(|head| (Vec::new(), number(head.entries))).into_iter().collect()
    });
}
