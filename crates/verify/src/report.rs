// SPDX-License-Identifier: Apache-2.0

//! What a certificate proves, as a table for people and as facts for programs.

use std::collections::BTreeMap;

use evidence::result::{DcapFacts, Status, TcbSummary, TeeFacts};
use types::peer::Peer;

use crate::{Identity, VerifyError};

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
    let (workload, named) = match &identity.peer {
        Peer::Anonymous => {
            ("not vouched for: the Steward's policy does not pin this Keep".to_owned(), Some(false))
        }
        Peer::Local { .. } => ("no name: no registry vouches for one".to_owned(), None),
        Peer::Keep { workload, .. } => (workload.to_string(), Some(true)),
    };
    let digest = identity.digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string());
    let status = identity.result.status();
    let silicon = if facts.simulated { "SIMULATED: protects nothing" } else { "genuine" };
    let debug = if facts.debug { "the host can look inside" } else { "off" };
    let mut rows = vec![
        row("workload", workload, named),
        row("digest", digest, Some(identity.digest.is_some())),
        row("status", status.to_string(), Some(status == Status::Affirming)),
        row("TEE", format!("{} ({})", facts.tee.name(), facts.tee.product()), None),
        row("silicon", silicon.to_owned(), Some(!facts.simulated)),
        row("debug", debug.to_owned(), Some(!facts.debug)),
        row("measurement", facts.measurement.clone(), Some(facts.pinned)),
    ];
    rows.extend(own(&facts.tee));
    if let Some(vtpm) = &facts.vtpm {
        let kind = format!("{}: the guest's kernel is trusted too", vtpm.kind);
        rows.push(row("virtual TPM", kind, None));
        rows.extend(registers(&vtpm.pcrs));
    }
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
    let valid = format!("{} to {}", identity.not_before, identity.not_after);
    rows.push(row("valid", valid, None));
    rows
}

/// Why a chain proves nothing, in the same form.
pub fn refusal(error: &VerifyError) -> Vec<Row> {
    vec![
        row("refused", error.to_string(), Some(false)),
        row("check", error.check().to_owned(), None),
        row("next", error.hint().to_owned(), None),
    ]
}

/// A row whose value can be shown on a terminal as it is, whatever a certificate says.
fn row(label: &'static str, value: String, good: Option<bool>) -> Row {
    let harmless = !value.chars().any(char::is_control);
    let value = if harmless { value } else { value.escape_debug().to_string() };
    Row { label, value, good }
}

/// What a TEE says of its own.
fn own(tee: &TeeFacts) -> Vec<Row> {
    match tee {
        TeeFacts::Snp(facts) => vec![row("firmware", firmware(&facts.tcb), None)],
        TeeFacts::Sgx(facts) => {
            let mut rows = platform(&facts.dcap);
            let version = format!("product {}, version {}", facts.product_id, facts.svn);
            rows.push(row("enclave", version, None));
            rows
        }
        TeeFacts::Tdx(facts) => {
            let mut rows = platform(&facts.dcap);
            let rtmrs = facts.rtmrs.iter().zip(0..);
            rows.extend(registers(&rtmrs.map(|(rtmr, index)| (index, rtmr.clone())).collect()));
            rows
        }
        TeeFacts::Nitro(facts) => registers(&facts.pcrs),
        TeeFacts::Cca(facts) => {
            let mut rows = registers(&facts.rems);
            rows.push(row("life cycle", facts.lifecycle.clone(), None));
            rows
        }
    }
}

fn firmware(tcb: &TcbSummary) -> String {
    let TcbSummary { bootloader, fmc, microcode, snp, tee } = tcb;
    let fmc = fmc.map_or_else(String::new, |fmc| format!(", fmc {fmc}"));
    format!("bootloader {bootloader}, tee {tee}, snp {snp}, microcode {microcode}{fmc}")
}

fn platform(dcap: &DcapFacts) -> Vec<Row> {
    let status = row("TCB", dcap.status.clone(), Some(dcap.status == "UpToDate"));
    let advisories = dcap.advisories.iter().map(|id| row("advisory", id.clone(), Some(false)));
    std::iter::once(status).chain(advisories).collect()
}

/// Registers that the TEE or its virtual TPM keeps.
fn registers(registers: &BTreeMap<u8, String>) -> Vec<Row> {
    registers
        .iter()
        .map(|(index, value)| row("register", format!("{index}: {value}"), None))
        .collect()
}

fn names(identity: &Identity) -> String {
    let ips = identity.ip.iter().map(ToString::to_string);
    let all: Vec<_> = identity.dns.iter().cloned().chain(ips).collect();
    if all.is_empty() { "none granted".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{digest, identity, result};

    fn value<'a>(rows: &'a [Row], label: &str) -> (&'a str, Option<bool>) {
        let mut found = rows.iter().filter(|row| row.label == label);
        let row = found.next().unwrap_or_else(|| panic!("no row {label}"));
        (row.value.as_str(), row.good)
    }

    #[test]
    fn a_good_keep_has_nothing_bad_in_its_table() {
        let rows = rows(&identity(&result()));
        assert_eq!(value(&rows, "workload"), ("store.example.com/team/app:1.2.0", Some(true)));
        assert_eq!(value(&rows, "digest"), (digest().to_string().as_str(), Some(true)));
        assert_eq!(value(&rows, "status"), ("affirming", Some(true)));
        assert_eq!(value(&rows, "TEE"), ("snp (Milan)", None));
        assert_eq!(value(&rows, "silicon"), ("genuine", Some(true)));
        assert_eq!(value(&rows, "names"), ("none granted", None));
        assert_eq!(value(&rows, "firmware").0, "bootloader 2, tee 0, snp 6, microcode 93");
        assert!(rows.iter().all(|row| row.good != Some(false)), "{rows:?}");
    }

    #[test]
    fn what_is_bad_is_shown_as_bad() {
        let mut bad = result();
        bad.facts.simulated = true;
        bad.facts.debug = true;
        bad.facts.pinned = false;
        bad.facts.workload = None;
        bad.facts.relaxations = vec!["alias-check".into(), "crl-grace".into()];
        bad.facts.signer = Some("ab".repeat(48));
        let TeeFacts::Snp(snp) = &mut bad.facts.tee else { panic!("no SNP") };
        snp.tcb.fmc = Some(7);
        let rows = rows(&identity(&bad));
        for label in ["workload", "digest", "status", "silicon", "debug", "measurement", "relaxed"]
        {
            assert_eq!(value(&rows, label).1, Some(false), "{label}");
        }
        assert_eq!(rows.iter().filter(|row| row.label == "relaxed").count(), 2);
        assert_eq!(value(&rows, "signer").0, "ab".repeat(48));
        assert!(value(&rows, "firmware").0.ends_with("fmc 7"));
    }

    #[test]
    fn a_refusal_names_its_check() {
        let rows = refusal(&VerifyError::NoResult);
        assert_eq!(value(&rows, "check").0, "certificate.result.missing");
        assert_eq!(value(&rows, "refused").1, Some(false));
    }

    #[test]
    fn nothing_plays_tricks_with_the_terminal() {
        let mut identity = identity(&result());
        identity.issuer = "CN=\u{1b}[2Jroot\r".to_owned();
        let rows = rows(&identity);
        assert_eq!(value(&rows, "issuer").0, r"CN=\u{1b}[2Jroot\r");
    }
}
