// SPDX-License-Identifier: Apache-2.0
#![no_main]

//! Conceptual message wrappers around evidence. What is read can be written again and says the same.

use evidence::cmw::{Form, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for form in [Form::Cbor, Form::Json] {
        if let Ok(evidence) = decode(form, data) {
            assert_eq!(decode(form, &encode(form, &evidence)).as_ref(), Ok(&evidence));
        }
    }
});
