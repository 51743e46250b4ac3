// SPDX-License-Identifier: Apache-2.0
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // What is read is written again in the same bytes: there is one encoding only.
    if let Ok(endorsements) = evidence::snp::Endorsements::from_der(bytes) {
        assert_eq!(endorsements.to_der().unwrap(), bytes);
    }
});
