// SPDX-License-Identifier: Apache-2.0

//! Quotes of real SGX and TDX platforms, with the verdicts that are known for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use enarx_evidence as evidence;
use evidence::claims::legacy_report_data;
use evidence::csr::Request;
use evidence::intel::{Collateral, Root};
use evidence::policy::Policy;
use evidence::result::{DcapFacts, TeeFacts};
use evidence::{Anchors, Context, Evidence, Kind, Verified, verify};
use types::time::Timestamp;

use crate::corpus::{self, Case, Tally, Verdict};
use crate::crypto::Both;
use crate::world::decide_at;

/// What is with a quote in a case's folder.
fn collateral(case: &Case) -> Collateral {
    let crls = ["root_ca.crl", "pck.crl", "pck_processor.crl", "pck_platform.crl"];
    Collateral {
        crls: crls.into_iter().filter_map(|name| case.optional(name)).collect(),
        tcb_info: case.text("tcb_info.json"),
        qe_identity: case.text("qe_identity.json"),
        tcb_info_chain: case.text("tcb_info_issuer_chain.pem"),
        qe_identity_chain: case.text("qe_identity_issuer_chain.pem"),
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

#[test]
fn quotes_get_their_known_verdicts() {
    let Some(folder) = corpus::folder("quotes_get_their_known_verdicts") else { return };
    let anchors = Anchors { intel: vec![Root::intel()], ..Anchors::default() };
    let mut all = Tally::default();
    for kind in [Kind::Sgx, Kind::Tdx] {
        let tally = corpus::all_agree(&corpus::cases(&folder, kind.name()), |case, verdict| {
            if verdict.policy.starts_with("old-steward semantics") {
                // No policy here says so: without QE identity, nobody vouches for the quoting enclave.
                assert!(case.facts.contains_key("csr_key_is"));
                return None;
            }
            let evidence = Evidence {
                kind,
                statement: case.file("quote.bin"),
                claims: None,
                endorsements: collateral(case).to_bytes(),
            };
            let policy = policy(case, kind, verdict);
            let outcome = verify(&evidence, &context(&policy, &anchors, verdict.at));
            Some(outcome.inspect(|verified| facts_agree(case, verdict, verified)))
        });
        all.agreed += tally.agreed;
        all.not_judged += tally.not_judged;
    }
    assert!(all.agreed >= 60 && all.not_judged == 2, "{all:?}");
}

/// The requests of the original on SGX: read, and refused for want of what vouches for the quoting enclave.
#[test]
fn the_requests_of_the_original_enarx() {
    let Some(folder) = corpus::folder("the_requests_of_the_original_enarx") else { return };
    let anchors = Anchors { intel: vec![Root::intel()], ..Anchors::default() };
    for name in ["v3-i5-enarx-csr", "v3-icelake-xeon-enarx-csr"] {
        let case = Case::of(&folder, "sgx", name);
        let request = case.file("request.csr");
        let parsed = Request::parse(&request, &Both).unwrap();
        assert_eq!(parsed.spki_der.len(), 91);
        let Evidence { kind, statement, claims, endorsements } = &parsed.evidence;
        assert_eq!((*kind, claims), (Kind::Sgx, &None));
        assert_eq!(*statement, case.file("quote.bin"));
        let bound = hex::encode(legacy_report_data(Kind::Sgx, &parsed.spki_der));
        assert_eq!(case.facts["report_data"].as_str(), Some(bound.as_str()));
        let found = Collateral::from_bytes(endorsements).unwrap();
        let known = collateral(&case);
        assert_eq!(found.tcb_info, known.tcb_info);
        assert!(known.crls.iter().all(|crl| found.crls.contains(crl)));
        assert_eq!(found.qe_identity, None);
        let policy = Policy::parse("").unwrap();
        for verdict in case.verdicts.iter().filter(|verdict| verdict.policy == "baseline") {
            let refusal = decide_at(&request, &policy, &anchors, verdict.at).unwrap_err();
            assert_eq!(refusal.check, "qe-identity-missing", "{name} at {}", verdict.at);
        }
    }
}

/// Certificates of others with a quote in them: what is judged is what they carry.
#[test]
fn quotes_in_certificates() {
    let Some(folder) = corpus::folder("quotes_in_certificates") else { return };
    for name in ["v3-ratls-cert-gramine", "v3-ratls-cert-rats-rs"] {
        let case = Case::of(&folder, "sgx", name);
        let pem = case.text("ratls-cert.pem").unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
        let certificate = STANDARD.decode(body).unwrap();
        let quote = case.file("quote.bin");
        let found = certificate.windows(quote.len()).filter(|window| *window == quote).count();
        assert!(found >= 1, "{name}");
    }
}

fn facts_agree(case: &Case, verdict: &Verdict, verified: &Verified) {
    let (name, facts) = (&case.name, &verified.facts);
    let mut advisories = verdict.advisories.clone();
    advisories.sort();
    assert_eq!(verdict.tcb_status.as_ref(), Some(&dcap(verified).status), "{name}");
    assert_eq!(advisories, dcap(verified).advisories, "{name}");
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
