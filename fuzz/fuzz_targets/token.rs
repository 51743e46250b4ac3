// SPDX-License-Identifier: Apache-2.0
#![no_main]

//! Bearer tokens and key sets, as a registry reads them.

use drawbridge::auth::jwk::KeySet;
use drawbridge::auth::jwt::Unverified;
use drawbridge::auth::token::OwnToken;
use libfuzzer_sys::fuzz_target;
use types::time::Timestamp;

fuzz_target!(|text: &str| {
    let now = Timestamp(1_800_000_000);
    if let Ok(token) = OwnToken::parse(text) {
        assert!(token.verify(None, now).is_err());
    }
    let (set, token) = text.split_once('\n').unwrap_or((text, text));
    let keys = KeySet::parse(set.as_bytes()).unwrap_or_default();
    if let Ok(token) = Unverified::parse(token) {
        let _ = token.issuer();
        let _ = token.verify(&keys, "https://auth.example.com", Some("store"), now);
    }
});
