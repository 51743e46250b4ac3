// SPDX-License-Identifier: Apache-2.0
#![no_main]

use evidence::crypto::{BadSignature, Scheme, Verifier};
use evidence::nitro::{Document, Root};
use evidence::policy::Policy;
use evidence::result::AttestationResult;
use evidence::{Anchors, Context, Evidence, Kind};
use libfuzzer_sys::fuzz_target;
use types::time::Timestamp;

/// Takes every signature, so that what is behind them is reached.
struct Credulous;

impl Verifier for Credulous {
    fn verify(&self, _: Scheme, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let _ = Document::parse(bytes);
    let evidence = Evidence {
        kind: Kind::Nitro,
        statement: bytes.to_vec(),
        claims: None,
        endorsements: Vec::new(),
    };
    let policy = Policy::parse("[nitro]\nallow = [\"debug\"]\n").unwrap();
    let context = Context {
        policy: &policy,
        anchors: &Anchors { nitro: vec![Root::aws()], ..Anchors::default() },
        nonces: None,
        build: "fuzz",
        now: Timestamp(1_766_668_597),
        verifier: &Credulous,
    };
    // What is taken can be said in a certificate.
    if let Ok(appraisal) = evidence::appraise_evidence(&evidence, None, &context) {
        let result = appraisal.result;
        assert_eq!(AttestationResult::from_extension(&result.to_extension()), Ok(result));
    }
});
