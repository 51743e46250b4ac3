// SPDX-License-Identifier: Apache-2.0

//! The cases of x509-limbo against our path validation.
//!
//! Where we differ from what a case expects, `limbo.toml` says why. A case that begins to pass is a failure as well: the file must
//! say what is so. The cases are in `../shared/x509-limbo/limbo.json` beside the checkout; without them the test is skipped, loudly.

use std::collections::BTreeMap;
use std::path::Path;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use super::*;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/x509-limbo/limbo.json");
const EXPECTATIONS: &str = include_str!("limbo.toml");

fn certificate(pem: &str) -> Result<CertificateDer<'static>, String> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| error.to_string())
}

fn certificates(case: &Value, key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let texts = case[key].as_array().unwrap().iter();
    texts.map(|pem| certificate(pem.as_str().unwrap())).collect()
}

/// Validates what the case has; why it is refused.
fn run(case: &Value) -> Result<(), String> {
    let usage = match case["validation_kind"].as_str().unwrap() {
        "SERVER" => Usage::Server,
        "CLIENT" => Usage::Client,
        other => panic!("a new kind of case: {other}"),
    };
    let now = match case["validation_time"].as_str() {
        // In whole seconds, as everywhere.
        Some(text) => format!("{}Z", &text[..19]).parse().unwrap(),
        // The cases without a time are valid from 1970 on for a thousand years.
        None => Timestamp(1_800_000_000),
    };
    let mut anchors = Anchors { roots: certificates(case, "trusted_certs")?, ..Anchors::default() };
    for list in case["crls"].as_array().unwrap() {
        let list = list.as_str().unwrap().as_bytes();
        anchors.crls.add(list).map_err(|error| error.to_string())?;
    }
    let mut chain = vec![certificate(case["peer_certificate"].as_str().unwrap())?];
    chain.extend(certificates(case, "untrusted_intermediates")?);
    let between = validate(&chain, &anchors, now, usage).map_err(|error| error.to_string())?;
    if case["max_chain_depth"].as_u64().is_some_and(|most| between as u64 > most) {
        return Err(format!("{between} authorities stand in between"));
    }
    // Names are not part of how Keeps are judged, but of how all other servers are: by webpki, too.
    let name = &case["expected_peer_name"];
    if let (Usage::Server, Some(name)) = (usage, name["value"].as_str()) {
        let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
        let leaf = webpki::EndEntityCert::try_from(&chain[0]).unwrap();
        leaf.verify_is_valid_for_subject_name(&name).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// `"case" = "reason"` per line; `#` begins a comment.
fn expectations() -> BTreeMap<&'static str, &'static str> {
    let lines =
        EXPECTATIONS.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let parse = |line: &'static str| {
        let (case, reason) = line.split_once(" = ")?;
        Some((
            case.strip_prefix('"')?.strip_suffix('"')?,
            reason.strip_prefix('"')?.strip_suffix('"')?,
        ))
    };
    lines
        .map(|line| parse(line).unwrap_or_else(|| panic!("not `\"case\" = \"reason\"`: {line}")))
        .collect()
}

#[test]
fn limbo() {
    let Ok(text) = std::fs::read(Path::new(CASES)) else {
        eprintln!("SKIP limbo: no {CASES} beside the checkout");
        return;
    };
    let document: Value = serde_json::from_slice(&text).unwrap();
    let mut known = expectations();
    let (mut right, mut different) = (0, 0);
    let mut wrong = Vec::new();
    for case in document["testcases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let result = run(case);
        let expected = case["expected_result"] == "SUCCESS";
        match (result.is_ok() == expected, known.remove(id)) {
            (true, None) => right += 1,
            (false, Some(_)) => different += 1,
            (true, Some(_)) => {
                wrong.push(format!("{id}: as expected now; take it out of limbo.toml"))
            }
            (false, None) => {
                wrong.push(format!("{id}: wanted {}, got {result:?}", case["expected_result"]))
            }
        }
    }
    wrong.extend(known.keys().map(|id| format!("{id}: no such case; take it out of limbo.toml")));
    println!("limbo: {right} as expected, {different} known to differ");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
