// SPDX-License-Identifier: Apache-2.0

//! Relaxations with a last day: they hold to its last second, and the refusal after it says that they ended.

use enarx_evidence::crypto::AwsLc;
use enarx_evidence::intel::Collateral;
use enarx_evidence::policy::explain;
use enarx_evidence::{
    Anchors, Context, Evidence, Kind, Nonces, Refusal, appraise_evidence, verify,
};
use testkit::silicon::intel::{SimulatedIntel, Tee};
use testkit::silicon::{SimulatedNitro, SimulatedSnp};
use types::time::Timestamp;

use crate::world::{DAY, Key, MEASUREMENT, MILAN, NOW, decide_at, policy, roots, verify_at};

/// The last day is the one after [`NOW`]'s.
const LAST: &str = "2027-01-16";

fn end() -> Timestamp {
    let end: Timestamp = "2027-01-17T00:00:00Z".parse().unwrap();
    assert!(NOW < end && end <= NOW.plus(2 * DAY));
    end
}

fn entry(name: &str) -> String {
    format!("allow = [{{ name = \"{name}\", until = {LAST} }}]\n")
}

/// Taken with the relaxation a second before the end, and refused by this check at the end, in words that tell why.
fn ends(name: &str, check: &str, judge: impl Fn(Timestamp) -> Result<Vec<String>, Refusal>) {
    assert_eq!(judge(end().minus(1)).as_deref(), Ok(&[name.to_owned()][..]), "{name}");
    let refusal = judge(end()).unwrap_err();
    assert_eq!(refusal.check, check, "{name}");
    let told = format!("the policy allowed \"{name}\" until {LAST}");
    assert!(refusal.detail.contains(&told), "{name}: {}", refusal.detail);
}

#[test]
fn relaxations_of_sev_snp_end() {
    let rows: [(&str, SimulatedSnp, &str); 6] = [
        ("alias-check", MILAN.with_shape(|s| s.platform_info &= !(1 << 5)), "alias-check"),
        ("chip-id-masked", MILAN.with_shape(|s| s.mask_chip_id = true), "chip-id-masked"),
        ("crl-expired", MILAN.with_crl(|c| c.next_update = Some(NOW)).unwrap(), "crl-expired"),
        ("debug", MILAN.debuggable(), "debug"),
        ("migration-agent", MILAN.with_shape(|s| s.policy |= 1 << 18), "migration-agent"),
        ("provisional-firmware", MILAN.with_shape(|s| s.overwrite.push((488, 21))), "firmware"),
    ];
    for (name, silicon, check) in rows {
        let text = format!("[snp]\n{}", entry(name));
        ends(name, check, |now| verify_at(&silicon, &text, now).map(|taken| taken.relaxations));
    }
}

#[test]
fn relaxations_of_tdx_and_nitro_end() {
    let intel = SimulatedIntel::generate(NOW).unwrap();
    let mut knobs = intel.knobs(Tee::Tdx);
    knobs.quote.tdx.attributes |= 1;
    let made = intel.evidence(&knobs).unwrap();
    let collateral = Collateral {
        crls: vec![made.root_crl, made.pck_crl],
        tcb_info: Some(made.tcb_info),
        qe_identity: Some(made.qe_identity),
        tcb_info_chain: Some(made.signer_chain),
        ..Collateral::default()
    };
    // A document's certificate lives three hours: this one is made a little before the end.
    let nitro = SimulatedNitro::generate(end().minus(60)).unwrap().debuggable().unwrap();
    let pem = [intel.root_pem().unwrap(), nitro.root_pem()].concat();
    let anchors = Anchors::simulated(&pem, &AwsLc).unwrap();
    let document = nitro.document(&[7; 64]).unwrap();
    for (kind, statement, endorsements) in
        [(Kind::Tdx, made.quote, collateral.to_bytes()), (Kind::Nitro, document, Vec::new())]
    {
        let evidence = Evidence { kind, statement, claims: None, endorsements };
        let policy = policy(&format!("[{}]\n{}", kind.name(), entry("debug")));
        ends("debug", "debug", |now| {
            let (policy, anchors) = (&policy, &anchors);
            let context =
                Context { policy, anchors, nonces: None, build: "test", now, verifier: &AwsLc };
            verify(&evidence, &context).map(|taken| taken.facts.relaxations)
        });
    }
}

/// Hands out nothing that anybody could send.
struct Strict;

impl Nonces for Strict {
    fn check(&self, _: &[u8], _: Timestamp) -> Result<(), String> {
        Err("unknown".to_owned())
    }
}

#[test]
fn going_without_a_nonce_ends() {
    let key = Key::new();
    let claims = key.claims(None);
    let blob = MILAN.attestation(&claims.report_data(), &MEASUREMENT).unwrap();
    let (report, endorsements) = enarx_evidence::snp::split_attestation(&blob).unwrap();
    let evidence = Evidence {
        kind: Kind::Snp,
        statement: report.to_vec(),
        claims: Some(claims.to_bytes()),
        endorsements: endorsements.to_vec(),
    };
    let policy = policy(&format!("[request]\n{}", entry("nonce-missing")));
    let anchors = Anchors { amd: roots(&MILAN), ..Anchors::default() };
    ends("nonce-missing", "nonce-missing", |now| {
        let (policy, anchors, nonces) = (&policy, &anchors, Some(&Strict as &dyn Nonces));
        let context = Context { policy, anchors, nonces, build: "test", now, verifier: &AwsLc };
        appraise_evidence(&evidence, Some(&key.spki), &context)
            .map(|appraisal| appraisal.result.facts.relaxations)
    });
    // Where nobody hands out nonces, none is missing.
    let request = key.request(&MILAN, &claims);
    assert!(decide_at(&request, &policy, &anchors, end()).is_ok());
}

#[test]
fn the_day_is_said_in_words() {
    let text = format!("[snp]\n{}[request]\n{}", entry("debug"), entry("nonce-missing"));
    let all: Vec<_> = explain(&policy(&text))
        .into_iter()
        .flat_map(|section| section.sentences)
        .map(|sentence| sentence.text)
        .collect();
    for wanted in [
        "Until 2027-01-16, the host may debug the guest",
        "Until 2027-01-16, evidence with claims may be of any age",
        "After 2027-01-16, evidence with claims carries a nonce",
    ] {
        assert!(all.iter().any(|text| text.starts_with(wanted)), "{wanted}: {all:#?}");
    }
}
