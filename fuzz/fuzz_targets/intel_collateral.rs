// SPDX-License-Identifier: Apache-2.0
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(collateral) = evidence::intel::Collateral::from_bytes(bytes) {
        assert_eq!(collateral.to_bytes(), bytes);
    }
});
