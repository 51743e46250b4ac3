// SPDX-License-Identifier: Apache-2.0

//! What is changed: recorded evidence and simulated silicon, each under the policy that lets the most pass.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use evidence::crypto::AwsLc;
use evidence::policy::Policy;
use evidence::{Anchors, Evidence, Kind, Verified};
use steward::recorded::{self, Subject};
use testkit::steered;
use types::time::Timestamp;

use super::trial::judge;

/// A piece of evidence or a request, and how it is judged.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) subject: Subject,
    pub(crate) policy: Policy,
    pub(crate) anchors: Anchors,
    pub(crate) now: Timestamp,
    /// What it proves as it is; `None`: it is refused.
    pub(crate) taken: Option<Verified>,
}

/// One of each kind of simulated silicon.
pub(crate) fn simulated() -> Vec<Case> {
    let make = |which| {
        let (evidence, policy) = steered::plain(which).expect("there is no silicon");
        let policy = Policy::parse(&policy).expect("the policy is right");
        let name = format!("simulated {} {which}", evidence.kind.name());
        let (anchors, now) = (steered::anchors().clone(), steered::NOW);
        let mut case =
            Case { name, subject: Subject::Evidence(evidence), policy, anchors, now, taken: None };
        case.taken = judge(&case, &case.subject).ok();
        assert!(case.taken.is_some(), "{} is refused as it is", case.name);
        case
    };
    (0..steered::KINDS).map(make).collect()
}

/// All cases below a directory, each at a time at which it is taken, if there is one.
pub(crate) fn recorded(directory: &Path) -> Result<Vec<Case>, String> {
    let anchors = Anchors::vendors(&AwsLc).map_err(|error| error.to_string())?;
    let cases = recorded::read(directory).map_err(|error| error.to_string())?;
    if cases.is_empty() {
        return Err(format!("there are no cases in {}", directory.display()));
    }
    let mut made = Vec::new();
    for recorded::Case { name, subject, verdicts } in cases {
        let folder = directory.join(&name);
        let folder = if folder.is_dir() { folder } else { directory.to_owned() };
        let mut anchors = anchors.clone();
        if let Ok(key) = fs::read_to_string(folder.join("cpak.pem"))
            && let Ok(platform) = Anchors::simulated(&key, &AwsLc)
        {
            anchors.extend(platform);
        }
        let policy = Policy::parse(&lax(&subject, &folder)).map_err(|error| error.to_string())?;
        let first = verdicts.first().map_or(Timestamp(1_700_000_000), |verdict| verdict.at);
        let mut case = Case { name, subject, policy, anchors, now: first, taken: None };
        for verdict in &verdicts {
            case.now = verdict.at;
            case.taken = judge(&case, &case.subject).ok();
            if case.taken.is_some() {
                break;
            }
        }
        made.push(case);
    }
    Ok(made)
}

/// A policy that takes what this evidence is, with every relaxation that it may need.
fn lax(subject: &Subject, folder: &Path) -> String {
    let mut text = "[nitro]\nallow = [\"debug\"]\n[vtpm]\n".to_owned();
    let hex = |bytes: Option<&[u8]>| bytes.map(hex::encode).unwrap_or_default();
    let evidence = match subject {
        Subject::Evidence(evidence) => evidence.clone(),
        Subject::Request(der) => evidence::csr::Request::parse(der, &AwsLc)
            .map(|request| request.evidence)
            .unwrap_or(Evidence {
                kind: Kind::Nitro,
                statement: Vec::new(),
                claims: None,
                endorsements: Vec::new(),
            }),
    };
    let statement = &evidence.statement;
    let bundle = evidence::vtpm::Bundle::from_bytes(statement).ok();
    let report = match (&bundle, evidence.kind) {
        (Some(bundle), Kind::AzureSnp) => bundle.hcl.get(32..),
        (_, Kind::Snp) => Some(&statement[..]),
        _ => None,
    };
    if let Some(report) = report {
        let missing = if has_list(&evidence.endorsements) { "" } else { ", \"crl-missing\"" };
        text.push_str(&format!(
            "[snp]\nallow = [\"alias-check\", \"chip-id-masked\", \"debug\", \"migration-agent\", \"provisional-firmware\"{missing}]\nmax_vmpl = 3\nvlek = [\"CN=cc-us-east-2.amazonaws.com\"]\nfamily_id = [\"{}\"]\nimage_id = [\"{}\"]\nhost_data = [\"{}\"]\n",
            hex(report.get(16..32)),
            hex(report.get(32..48)),
            hex(report.get(192..224)),
        ));
    }
    let quote = match (&bundle, evidence.kind) {
        (Some(bundle), Kind::AzureTdx) => Some((&bundle.quote[..], "tdx")),
        (_, Kind::Tdx) => Some((&statement[..], "tdx")),
        (_, Kind::Sgx) => Some((&statement[..], "sgx")),
        _ => None,
    };
    if let Some((quote, tee)) = quote {
        let start = if quote.first() == Some(&5) { 54 } else { 48 };
        let body = quote.get(start..).unwrap_or_default();
        text.push_str(&if tee == "sgx" {
            format!(
                "[sgx]\nfeatures = [\"AEXNotify\", \"CET\", \"Debug\", \"EInitKey\", \"KSS\", \"ProvisioningKey\"]\nmisc_select = [\"CPINFO\", \"EXINFO\"]\nconfig_id = [\"{}\"]\next_product_id = [\"{}\"]\nfamily_id = [\"{}\"]\n",
                hex(body.get(192..256)),
                hex(body.get(32..48)),
                hex(body.get(304..320)),
            )
        } else {
            format!(
                "[tdx]\nallow = [\"debug\"]\nfeatures = [\"ICSSD\", \"KL\", \"LASS\", \"PERFMON\", \"PKS\", \"TPA\"]\nconfig_id = [\"{}\"]\nowner = [\"{}\"]\nowner_config = [\"{}\"]\n",
                hex(body.get(184..232)),
                hex(body.get(232..280)),
                hex(body.get(280..328)),
            )
        });
        let advisories: Vec<_> = advisories(&evidence.endorsements)
            .into_iter()
            .map(|name| format!("\"{name}\""))
            .collect();
        text.push_str(&format!("allowed_advisories = [{}]\n", advisories.join(", ")));
        for status in evidence::policy::TcbStatus::ALL.iter().skip(1) {
            text.push_str(&format!(
                "[[{tee}.accept]]\nstatus = \"{}\"\nuntil = 2100-01-01\n",
                status.name()
            ));
        }
    }
    if let Some(value) = fs::read_to_string(folder.join("facts.toml"))
        .ok()
        .and_then(|text| text.parse::<toml::Table>().ok())
        .and_then(|table| {
            table.get("facts")?.get("personalisation_value")?.as_str().map(str::to_owned)
        })
    {
        text.push_str(&format!("[cca]\npersonalization = [\"{value}\"]\n"));
    }
    text
}

/// Whether endorsements of SEV-SNP hold a revocation list.
fn has_list(endorsements: &[u8]) -> bool {
    evidence::snp::Endorsements::from_der(endorsements).is_ok_and(|all| !all.crls.is_empty())
}

/// All that looks like a name of an advisory.
fn advisories(endorsements: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(endorsements);
    let names = text.match_indices("INTEL-SA-").map(|(at, _)| {
        text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
    });
    names.collect()
}
