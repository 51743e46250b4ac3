// SPDX-License-Identifier: Apache-2.0

//! Quotes of real SGX and TDX platforms, with the verdicts that are known for them.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use crate::crypto::Both;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use enarx_evidence as evidence;
use evidence::claims::legacy_report_data;
use evidence::csr::Request;
use evidence::intel::{Collateral, Root};
use evidence::policy::Policy;
use evidence::result::{DcapFacts, TeeFacts};
use evidence::{Anchors, Context, Evidence, Kind, Refusal, Verified, verify};
use types::time::Timestamp;

use crate::real::{Case, Verdict, case_of, folder, read};
use crate::world::decide_at;

/// What is with a quote in a case's folder.
fn collateral(path: &Path) -> Collateral {
    let file = |name: &str| path.join(name).is_file().then(|| read(&path.join(name)));
    let text = |name: &str| file(name).map(|bytes| String::from_utf8(bytes).unwrap());
    let crls = ["root_ca.crl", "pck.crl", "pck_processor.crl", "pck_platform.crl"];
    Collateral {
        crls: crls.into_iter().filter_map(file).collect(),
        tcb_info: text("tcb_info.json"),
        qe_identity: text("qe_identity.json"),
        tcb_info_chain: text("tcb_info_issuer_chain.pem"),
        qe_identity_chain: text("qe_identity_issuer_chain.pem"),
        pck_chain: None,
    }
}

/// A policy file for the words of a verdict: takes what the case's TD is configured with, and nothing that the words do not
/// name.
fn policy(case: &Case, kind: Kind, verdict: &Verdict) -> Policy {
    let tee = kind.name();
    let mut text = format!("[{tee}]\n");
    if kind == Kind::Tdx {
        for (key, fact) in [
            ("config_id", "mr_config_id"),
            ("owner", "mr_owner"),
            ("owner_config", "mr_owner_config"),
        ] {
            text.push_str(&format!("{key} = [\"{}\"]\n", case.facts[fact].as_str().unwrap()));
        }
    }
    if let Some(rest) = verdict.policy.strip_prefix("baseline + status ") {
        let (status, rest) = rest.split_once(' ').unwrap();
        assert_eq!(rest, "allowed + advisories listed here allowed");
        text.push_str(&format!(
            "[[{tee}.accept]]\nstatus = \"{status}\"\nadvisories = {:?}\nuntil = 2027-01-01\n",
            verdict.advisories
        ));
    } else {
        assert_eq!(verdict.policy, "baseline");
    }
    Policy::parse(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// The reason, in the words of the evidence's README, that a failed check stands for.
fn reason(check: &str) -> &str {
    match check {
        "quote-signature" | "qe-report" | "collateral-signature" | "crl-signature" => {
            "bad-signature"
        }
        "intel-chain" => "chain-invalid",
        "pck-missing" => "pck-chain-missing",
        "crl-missing" => "collateral-missing",
        "crl-expired" | "certificate-expired" => "collateral-expired",
        "revoked" => "certificate-revoked",
        "debug" => "debug-enabled",
        "sept-ve-disable" => "sept-ve-disable-clear",
        "service-td" => "service-td-bound",
        "migratable" => "migratable-td",
        // Advisories are why a status is what it is.
        "advisory" => "tcb-status",
        other => other,
    }
}

fn context<'a>(policy: &'a Policy, anchors: &'a Anchors, now: Timestamp) -> Context<'a> {
    Context { policy, anchors, nonces: None, build: "test 1", now, verifier: &Both }
}

fn dcap(verified: &Verified) -> &DcapFacts {
    match &verified.facts.tee {
        TeeFacts::Sgx(facts) => &facts.dcap,
        TeeFacts::Tdx(facts) => &facts.dcap,
        other => panic!("{other:?}"),
    }
}

/// What speaks against a verdict: nothing, if the outcome is the known one, for a known reason.
fn disagreement(verdict: &Verdict, outcome: &Result<Verified, Refusal>) -> Option<String> {
    match (verdict.expect.as_str(), outcome) {
        ("accept", Ok(verified)) => {
            let facts = dcap(verified);
            let mut known = verdict.advisories.clone();
            known.sort();
            let status = verdict.tcb_status.as_deref();
            let same = status == Some(facts.status.as_str()) && known == facts.advisories;
            (!same).then(|| format!("found {facts:?}"))
        }
        ("reject", Err(refusal)) => {
            // Nothing else may be wrong with it: each check that failed is a known reason.
            let failed = refusal.others.iter().map(|other| other.check);
            let unknown = failed
                .chain([refusal.check])
                .find(|check| !verdict.reasons.iter().any(|known| known == reason(check)));
            unknown.map(|check| format!("found {check}: {refusal}"))
        }
        (_, Ok(_)) => Some("accepted".into()),
        (_, Err(refusal)) => Some(format!("found {refusal}")),
    }
}

#[test]
fn quotes_get_their_known_verdicts() {
    let Some(folder) = folder("quotes_get_their_known_verdicts") else { return };
    let anchors = Anchors { intel: vec![Root::intel()], ..Anchors::default() };
    let (mut agreed, mut disagreed, mut foreign) = (0, Vec::new(), 0);
    for kind in [Kind::Sgx, Kind::Tdx] {
        let mut names: Vec<_> = fs::read_dir(folder.join(kind.name()))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        for name in names {
            let (path, case) = case_of(&folder, kind.name(), &name);
            let evidence = Evidence {
                kind,
                statement: read(&path.join("quote.bin")),
                claims: None,
                endorsements: collateral(&path).to_bytes(),
            };
            for verdict in &case.verdict {
                if verdict.policy.starts_with("old-steward semantics") {
                    // No policy here says so: without QE identity, nobody vouches for the quoting enclave.
                    assert!(case.facts.contains_key("csr_key_is"));
                    foreign += 1;
                    continue;
                }
                let policy = policy(&case, kind, verdict);
                let outcome = verify(&evidence, &context(&policy, &anchors, verdict.at));
                if let Ok(verified) = &outcome {
                    facts_agree(&name, &case, verified);
                }
                match disagreement(verdict, &outcome) {
                    None => agreed += 1,
                    Some(what) => disagreed.push(format!(
                        "{}/{name} at {} under {}: {what}",
                        kind.name(),
                        verdict.at,
                        verdict.policy
                    )),
                }
            }
        }
    }
    let _ = writeln!(
        io::stderr(),
        "SGX and TDX: {agreed} verdicts agree, {} disagree, {foreign} are what the original Steward did without QE identity",
        disagreed.len()
    );
    assert!(disagreed.is_empty(), "{}", disagreed.join("\n"));
    assert!(agreed >= 60 && foreign == 2, "{agreed} verdicts, {foreign} foreign");
}

/// The requests of the original on SGX: read, and refused for want of what vouches for the quoting enclave.
#[test]
fn the_requests_of_the_original_enarx() {
    let Some(folder) = folder("the_requests_of_the_original_enarx") else { return };
    let anchors = Anchors { intel: vec![Root::intel()], ..Anchors::default() };
    for name in ["v3-i5-enarx-csr", "v3-icelake-xeon-enarx-csr"] {
        let (path, case) = case_of(&folder, "sgx", name);
        let request = read(&path.join("request.csr"));
        let parsed = Request::parse(&request, &Both).unwrap();
        assert_eq!(parsed.spki_der.len(), 91);
        let Evidence { kind, statement, claims, endorsements } = &parsed.evidence;
        assert_eq!((*kind, claims), (Kind::Sgx, &None));
        assert_eq!(*statement, read(&path.join("quote.bin")));
        let bound = hex::encode(legacy_report_data(Kind::Sgx, &parsed.spki_der));
        assert_eq!(case.facts["report_data"].as_str(), Some(bound.as_str()));
        let found = Collateral::from_bytes(endorsements).unwrap();
        let known = collateral(&path);
        assert_eq!(found.tcb_info, known.tcb_info);
        assert!(known.crls.iter().all(|crl| found.crls.contains(crl)));
        assert_eq!(found.qe_identity, None);
        let policy = Policy::parse("").unwrap();
        for verdict in case.verdict.iter().filter(|verdict| verdict.policy == "baseline") {
            let refusal = decide_at(&request, &policy, &anchors, verdict.at).unwrap_err();
            assert_eq!(refusal.check, "qe-identity-missing", "{name} at {}", verdict.at);
        }
    }
}

/// Certificates of others with a quote in them: what is judged is what they carry.
#[test]
fn quotes_in_certificates() {
    let Some(folder) = folder("quotes_in_certificates") else { return };
    for name in ["v3-ratls-cert-gramine", "v3-ratls-cert-rats-rs"] {
        let (path, _) = case_of(&folder, "sgx", name);
        let pem = String::from_utf8(read(&path.join("ratls-cert.pem"))).unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
        let certificate = STANDARD.decode(body).unwrap();
        let quote = read(&path.join("quote.bin"));
        let found = certificate.windows(quote.len()).filter(|window| *window == quote).count();
        assert!(found >= 1, "{name}");
    }
}

fn facts_agree(name: &str, case: &Case, verified: &Verified) {
    let facts = &verified.facts;
    let fact = |fact: &str| case.facts[fact].as_str().map(str::to_owned);
    let hex = |name: &str, value: Option<String>| assert_eq!(fact(name), value, "{name}");
    hex("report_data", verified.bound.map(hex::encode));
    hex("fmspc", Some(dcap(verified).fmspc.clone()));
    assert!(!facts.simulated && !facts.pinned && !facts.debug, "{name}");
    match &facts.tee {
        TeeFacts::Sgx(sgx) => {
            hex("mrenclave", Some(facts.measurement.clone()));
            hex("mrsigner", facts.signer.clone());
            assert_eq!(case.facts["isv_prodid"].as_integer(), Some(sgx.product_id.into()));
            assert_eq!(case.facts["isv_svn"].as_integer(), Some(sgx.svn.into()));
        }
        TeeFacts::Tdx(tdx) => {
            hex("mr_td", Some(facts.measurement.clone()));
            for (index, rtmr) in tdx.rtmrs.iter().enumerate() {
                hex(&format!("rtmr{index}"), Some(rtmr.clone()));
            }
            let zero = "00".repeat(48);
            hex("mr_config_id", Some(tdx.config_id.clone().unwrap_or(zero.clone())));
            hex("mr_owner", Some(tdx.owner.clone().unwrap_or(zero)));
        }
        other => panic!("{name}: {other:?}"),
    }
    // The lower one of TCB info and QE identity.
    let number = case.facts["tcb_evaluation_data_number"].as_integer().unwrap();
    assert!(i64::from(dcap(verified).evaluation_number) <= number, "{name}");
}
