// SPDX-License-Identifier: Apache-2.0
#![no_main]

use evidence::cca::{PlatformClaims, PlatformKey, RealmClaims};
use evidence::crypto::{BadSignature, Scheme, Verifier};
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
    let _ = (PlatformClaims::parse(bytes), RealmClaims::parse(bytes));
    let evidence = Evidence {
        kind: Kind::Cca,
        statement: bytes.to_vec(),
        claims: None,
        endorsements: Vec::new(),
    };
    let policy = Policy::parse("[cca]\nlifecycles = [\"recoverable-debug\"]\n").unwrap();
    let mut point = [1; 97];
    point[0] = 4;
    let context = Context {
        policy: &policy,
        anchors: &Anchors {
            cca: PlatformKey::from_point(&point).into_iter().collect(),
            ..Anchors::default()
        },
        nonces: None,
        build: "fuzz",
        now: Timestamp(1_800_000_000),
        verifier: &Credulous,
    };
    // What is taken can be said in a certificate.
    if let Ok(appraisal) = evidence::appraise_evidence(&evidence, None, &context) {
        let result = appraisal.result;
        assert_eq!(AttestationResult::from_extension(&result.to_extension()), Ok(result));
    }
});
