// SPDX-License-Identifier: Apache-2.0

//! What a certificate proves, as a table for people and as facts for programs.

use evidence::result::Status;
use types::peer::Peer;

use crate::Identity;

/// One row: what, its value, and whether it is reassuring (`None`: neither).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Short name.
    pub label: &'static str,
    /// Value.
    pub value: String,
    /// Good, bad or neutral.
    pub good: Option<bool>,
}

/// All that an identity proves.
pub fn rows(identity: &Identity) -> Vec<Row> {
    let facts = &identity.result.facts;
    let row = |label, value: String, good| Row { label, value, good };
    let workload = match &identity.peer {
        Peer::Anonymous => {
            "not vouched for: the Steward's policy does not pin this Keep".to_owned()
        }
        Peer::Local { .. } => "no name: no registry vouches for one".to_owned(),
        Peer::Keep { workload, .. } => workload.to_string(),
    };
    let tcb = &facts.tcb;
    let fmc = tcb
        .fmc
        .map_or_else(String::new, |fmc| format!(", fmc {fmc}"));
    let mut rows = vec![
        row("workload", workload, Some(identity.slug.is_some())),
        row(
            "digest",
            identity
                .digest
                .map_or_else(|| "none".to_owned(), |d| d.to_string()),
            Some(identity.digest.is_some()),
        ),
        row(
            "status",
            identity.result.status().to_string(),
            Some(identity.result.status() == Status::Affirming),
        ),
        row("TEE", format!("{} ({})", facts.tee, facts.product), None),
        row(
            "silicon",
            if facts.simulated {
                "SIMULATED: protects nothing"
            } else {
                "genuine"
            }
            .to_owned(),
            Some(!facts.simulated),
        ),
        row(
            "debug",
            if facts.debug {
                "the host can look inside"
            } else {
                "off"
            }
            .to_owned(),
            Some(!facts.debug),
        ),
        row("measurement", facts.measurement.clone(), Some(facts.pinned)),
        row(
            "firmware",
            format!(
                "bootloader {}, tee {}, snp {}, microcode {}{fmc}",
                tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode
            ),
            None,
        ),
    ];
    if let Some(signer) = &facts.signer {
        rows.push(row("signer", signer.clone(), None));
    }
    for relaxation in &facts.relaxations {
        rows.push(row("relaxed", relaxation.clone(), Some(false)));
    }
    rows.push(row("policy", identity.result.policy.to_string(), None));
    if let Some(uri) = &identity.policy_uri {
        rows.push(row("policy at", uri.clone(), None));
    }
    rows.push(row("names", names(identity), None));
    rows.push(row("issuer", identity.issuer.clone(), None));
    rows.push(row("verifier", identity.result.build.clone(), None));
    rows.push(row(
        "valid",
        format!("{} to {}", identity.not_before, identity.not_after),
        None,
    ));
    rows
}

fn names(identity: &Identity) -> String {
    let ips = identity.ip.iter().map(ToString::to_string);
    let all: Vec<_> = identity.dns.iter().cloned().chain(ips).collect();
    if all.is_empty() {
        "none granted".to_owned()
    } else {
        all.join(", ")
    }
}
