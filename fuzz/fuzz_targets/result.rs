// SPDX-License-Identifier: Apache-2.0
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(result) = evidence::result::AttestationResult::from_extension(bytes) {
        assert_eq!(result.to_extension(), bytes);
    }
});
