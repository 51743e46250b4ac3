// SPDX-License-Identifier: Apache-2.0
#![no_main]

//! Owners' keys, and signatures on versions in both forms: nothing counts that no key signed.

use drawbridge_core::jose::Jose;
use drawbridge_core::keys::KeysDocument;
use drawbridge_core::signature::{About, judge};
use libfuzzer_sys::fuzz_target;
use types::digest::Sha256;
use types::time::Timestamp;

fuzz_target!(|text: &str| {
    let now = Timestamp(1_800_000_000);
    let (keys, signature) = text.split_once('\n').unwrap_or((text, text));
    let keys = match serde_json::from_str::<KeysDocument>(keys) {
        Ok(document) if document.check().is_ok() => document.keys,
        _ => Vec::new(),
    };
    let about = About {
        host: "store.example.com",
        user: "ann",
        repo: "app",
        tag: "1.0.0",
        digest: Sha256::of(b""),
    };
    // Whether what is behind the signature is reached, and whether what is not signed counts.
    for good in [true, false] {
        let counts = judge(signature, &about, &keys, now, &|_, _, _, _| good);
        assert!(counts.is_err() || good && !keys.is_empty());
        if let Ok(jose) = Jose::parse(signature.as_bytes()) {
            let counts = jose.judge(&keys, now, &|_, _, _, _| good);
            assert!(counts.is_err() || good && !keys.is_empty());
        }
    }
});
