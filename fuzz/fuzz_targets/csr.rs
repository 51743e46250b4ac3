// SPDX-License-Identifier: Apache-2.0
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = evidence::csr::Request::parse(bytes, &evidence::crypto::AwsLc);
});
