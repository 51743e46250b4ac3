// SPDX-License-Identifier: Apache-2.0

use super::*;

const TIME: Timestamp = Timestamp(1_700_000_000);

fn caller() -> Caller {
    Caller { address: "[2001:db8::1]:4433".parse().ok(), request_id: Some("00ab".to_owned()) }
}

fn refused<'a>(caller: &'a Caller, problem: &'a Problem, others: &'a [Failure]) -> Decided<'a> {
    Decided {
        time: TIME,
        caller,
        verdict: Verdict::of(problem),
        kind: Some(Kind::Snp),
        policy: Some(Sha256::of(b"policy")),
        problem: Some(problem),
        others,
        genuine: None,
        issued: None,
        place: Some((2, 3)),
    }
}

#[test]
fn a_line_names_every_failed_check_and_nothing_in_it_is_a_control_character() {
    let problem = Problem::new(400, "Evidence refused", "\u{1b}[2J\"\n\u{202e}\u{9b}é\u{1f600}")
        .check("snp-debug");
    let others = [Failure { check: "snp-tcb", detail: "d".repeat(5000) }];
    let caller = caller();
    let line = Line::of(&refused(&caller, &problem, &others)).to_ascii_json();
    assert!(line.strip_suffix('\n').unwrap().bytes().all(|b| matches!(b, b' '..=b'~')), "{line}");
    let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
    let expected = serde_json::json!({
        "time": "2023-11-14T22:13:20Z",
        "verdict": "refused",
        "request_id": "00ab",
        "client": "[2001:db8::1]:4433",
        "request_of_bundle": [2, 3],
        "checks": [
            { "check": "snp-debug", "detail": problem.detail },
            { "check": "snp-tcb", "detail": "d".repeat(1024) },
        ],
        "evidence": "snp",
        "policy": Sha256::of(b"policy").to_string(),
    });
    assert_eq!(parsed, expected);
    assert!(line.starts_with("{\"time\":"), "{line}");
}

#[test]
fn a_line_about_genuine_evidence_says_what_it_is_of() {
    let problem = Problem::new(400, "Evidence refused", "").check("debug");
    let (caller, others) = (caller(), []);
    let seen = Seen {
        kind: Kind::Snp,
        product: "Milan".to_owned(),
        measurement: "ab".repeat(48),
        simulated: true,
    };
    let decided = Decided { genuine: Some(&seen), ..refused(&caller, &problem, &others) };
    let line = Line::of(&decided).to_ascii_json();
    let shown = format!(
        "\"tee\":\"snp\",\"product\":\"Milan\",\"simulated\":true,\"measurement\":\"{}\"}}\n",
        seen.measurement
    );
    assert!(line.ends_with(&shown), "{line}");
}

#[test]
fn decisions_are_counted_by_evidence_verdict_and_reason() {
    let registry = Registry::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let audit = Audit::new(&registry).with_file(&path).unwrap();
    let (caller, ours) = (caller(), Problem::new(503, "", "").check("steward.authority"));
    audit.decided(&refused(&caller, &ours, &[])).unwrap();
    let text = registry.render();
    let sample =
        "steward_decisions_total{tee=\"snp\",verdict=\"failed\",reason=\"steward.authority\"} 1\n";
    assert!(text.contains(sample), "{text}");
    assert!(text.contains("steward_issued_total 0\n"));
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 1);
}
