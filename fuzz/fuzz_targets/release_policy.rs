// SPDX-License-Identifier: Apache-2.0
#![no_main]

//! What owners write: release policies, and the documents about rights.

use drawbridge_core::rights::{AccessDocument, OrgDocument, PublishersDocument, TokenRequest};
use libfuzzer_sys::fuzz_target;
use types::digest::Sha256;
use types::time::Timestamp;
use verify::{Anchors, ReleasePolicy};

fuzz_target!(|text: &str| {
    match ReleasePolicy::parse(text) {
        // Nobody who shows nothing gets anything.
        Ok(policy) => {
            let judged =
                policy.judge(&[], &Anchors::default(), &Sha256([0; 32]), Timestamp(1_800_000_000));
            assert!(judged.is_err());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(document) = serde_json::from_str::<OrgDocument>(text) {
        let _ = document.check();
    }
    if let Ok(document) = serde_json::from_str::<AccessDocument>(text) {
        let _ = document.check(&Default::default());
    }
    if let Ok(document) = serde_json::from_str::<PublishersDocument>(text) {
        let _ = (document.check(true), document.check(false));
    }
    if let Ok(request) = serde_json::from_str::<TokenRequest>(text) {
        let _ = request.check();
    }
});
