// SPDX-License-Identifier: Apache-2.0

//! SGX and TDX on simulated silicon: each check failing, a table of what is wrong and what has to say so.

use std::sync::LazyLock;

use enarx_evidence::crypto::Verifier;
use enarx_evidence::intel::Collateral;
use enarx_evidence::policy::Policy;
use enarx_evidence::{Anchors, Context, Evidence, Kind, Refusal, Verified, verify};
use testkit::silicon::intel::{Knobs, SimulatedIntel, Tee};
use types::time::Timestamp;

use crate::crypto::Both;
use crate::world::{NOW, policy};

mod collateral;
mod platform;
mod quote;
mod real;
mod workload;

static INTEL: LazyLock<SimulatedIntel> = LazyLock::new(|| SimulatedIntel::generate(NOW).unwrap());
static ANCHORS: LazyLock<Anchors> = LazyLock::new(|| {
    let anchors = Anchors::simulated(&INTEL.root_pem().unwrap(), &Both).unwrap();
    assert!(anchors.intel.len() == 1 && anchors.amd.is_empty());
    anchors
});

type Edit = fn(&mut Knobs);

const SGX: &str = "[sgx]\n";
const TDX: &str = "[tdx]\n";

const fn kind(tee: Tee) -> Kind {
    match tee {
        Tee::Sgx => Kind::Sgx,
        Tee::Tdx => Kind::Tdx,
    }
}

/// A quote with its collateral.
fn parts(tee: Tee, edit: impl FnOnce(&mut Knobs)) -> (Vec<u8>, Collateral) {
    let mut knobs = INTEL.knobs(tee);
    edit(&mut knobs);
    let made = INTEL.evidence(&knobs).unwrap();
    let collateral = Collateral {
        crls: vec![made.root_crl, made.pck_crl],
        tcb_info: Some(made.tcb_info),
        qe_identity: Some(made.qe_identity),
        tcb_info_chain: Some(made.signer_chain),
        qe_identity_chain: None,
        pck_chain: None,
    };
    (made.quote, collateral)
}

fn judge_parts(
    kind: Kind,
    quote: &[u8],
    collateral: &Collateral,
    policy_text: &str,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    judge_by(&Both, kind, quote, collateral, &policy(policy_text), now)
}

fn judge_by(
    verifier: &dyn Verifier,
    kind: Kind,
    quote: &[u8],
    collateral: &Collateral,
    policy: &Policy,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let evidence = Evidence {
        kind,
        statement: quote.to_vec(),
        claims: None,
        endorsements: collateral.to_bytes(),
    };
    let (anchors, build) = (&*ANCHORS, "test");
    verify(&evidence, &Context { policy, anchors, nonces: None, build, now, verifier })
}

fn judge_at(
    tee: Tee,
    edit: impl FnOnce(&mut Knobs),
    policy_text: &str,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let (quote, collateral) = parts(tee, edit);
    judge_parts(kind(tee), &quote, &collateral, policy_text, now)
}

fn judge(tee: Tee, edit: impl FnOnce(&mut Knobs), policy: &str) -> Result<Verified, Refusal> {
    judge_at(tee, edit, policy, NOW)
}

/// Refused for this, and for nothing else.
fn is_refused(what: &str, outcome: Result<Verified, Refusal>, check: &str) -> Refusal {
    match outcome {
        Ok(_) => panic!("{what}: taken"),
        Err(refusal) => {
            assert_eq!(refusal.check, check, "{what}: {refusal}");
            assert!(refusal.others.is_empty(), "{what}: {refusal:?}");
            assert!(!refusal.detail.is_empty() && !refusal.hint.is_empty());
            refusal
        }
    }
}

fn refused(what: &str, tee: Tee, edit: impl FnOnce(&mut Knobs), policy: &str, check: &str) {
    is_refused(what, judge(tee, edit, policy), check);
}

/// Taken, with exactly these relaxations.
fn taken(
    what: &str,
    tee: Tee,
    edit: impl FnOnce(&mut Knobs),
    policy: &str,
    relaxations: &[&str],
) -> Verified {
    let verified = judge(tee, edit, policy).unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
    assert_eq!(verified.facts.relaxations, relaxations, "{what}");
    verified
}
