// SPDX-License-Identifier: Apache-2.0
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut stream = bytes;
    let _ = types::hostlink::receive::<types::hostlink::FromKeep>(&mut stream);
});
