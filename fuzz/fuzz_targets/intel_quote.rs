// SPDX-License-Identifier: Apache-2.0
#![no_main]

use evidence::intel::{Collateral, Root};
use evidence::{Anchors, Context, Evidence, Kind, policy::Policy, verify};
use libfuzzer_sys::fuzz_target;

// Quote and collateral of anybody: refused, whatever they are.
fuzz_target!(|input: (bool, Vec<u8>, Vec<u8>, String, String, String)| {
    let (sgx, statement, crl, document, chain, pck) = input;
    let collateral = Collateral {
        crls: vec![crl],
        tcb_info: Some(document.clone()),
        qe_identity: Some(document),
        tcb_info_chain: Some(chain),
        qe_identity_chain: None,
        pck_chain: Some(pck),
    };
    let kind = if sgx { Kind::Sgx } else { Kind::Tdx };
    let endorsements = collateral.to_bytes();
    let evidence = Evidence { kind, statement, claims: None, endorsements };
    let Ok(policy) = Policy::parse("") else { return };
    let context = Context {
        policy: &policy,
        anchors: &Anchors { intel: vec![Root::intel()], ..Anchors::default() },
        nonces: None,
        build: "fuzz",
        now: types::time::Timestamp(1_800_000_000),
        verifier: &evidence::crypto::AwsLc,
    };
    assert!(verify(&evidence, &context).is_err());
});
