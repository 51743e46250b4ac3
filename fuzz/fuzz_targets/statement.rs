// SPDX-License-Identifier: Apache-2.0
#![no_main]

use drawbridge_core::jose::Jose;
use drawbridge_core::signature::{About, judge};
use libfuzzer_sys::fuzz_target;
use types::digest::Sha256;
use types::time::Timestamp;

fuzz_target!(|text: &str| {
    let _ = drawbridge_core::statement::Parsed::parse(text);
    let digest = Sha256([0; 32]);
    let about = About { host: "h", user: "u", repo: "r", tag: "1.0.0", digest };
    let judged = judge(text, &about, &[], Timestamp(0), &|_, _, _, _| true);
    assert!(judged.is_err(), "nobody's signature counts");
    if let Ok(jose) = Jose::parse(text.as_bytes()) {
        assert!(jose.judge(&[], Timestamp(0), &|_, _, _, _| true).is_err(), "nor nobody's tag");
    }
});
