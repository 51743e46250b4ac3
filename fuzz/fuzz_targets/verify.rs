// SPDX-License-Identifier: Apache-2.0
#![no_main]

//! Evidence of every kind through its verifier, under a policy that takes all that a policy can take.

use std::sync::LazyLock;

use evidence::crypto::AwsLc;
use evidence::policy::Policy;
use evidence::{Anchors, Context, Evidence, Kind, verify};
use libfuzzer_sys::fuzz_target;
use types::time::Timestamp;

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let text = "[snp]\nallow = [\"alias-check\", \"chip-id-masked\", \"crl-expired\", \"crl-missing\", \"debug\"]\nmax_vmpl = 3\n[tdx]\nallow = [\"debug\"]\n[nitro]\nallow = [\"debug\"]\n[vtpm]\n";
    Policy::parse(text).unwrap_or_else(|error| panic!("{error}"))
});

fuzz_target!(|input: (u8, Vec<u8>, Vec<u8>)| {
    let (kind, statement, endorsements) = input;
    let kind = Kind::ALL[usize::from(kind) % Kind::ALL.len()];
    let context = Context {
        policy: &POLICY,
        anchors: &Anchors::default(),
        nonces: None,
        build: "fuzz",
        now: Timestamp(1_750_000_000),
        verifier: &AwsLc,
    };
    // Nobody's signature is found by chance.
    assert!(verify(&Evidence { kind, statement, claims: None, endorsements }, &context).is_err());
});
