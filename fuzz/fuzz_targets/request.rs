// SPDX-License-Identifier: Apache-2.0
#![no_main]

//! Requests of every TEE on simulated silicon, changed as the bytes say, signed again, appraised as Steward does it, and
//! held against a judgement of its own (`testkit::steered`).

use libfuzzer_sys::fuzz_target;
use testkit::steered;

fuzz_target!(
    init: {
        // Keys of 4096 bits take longer than one input may.
        steered::prepare().unwrap_or_else(|error| panic!("{}", error.0));
    },
    |bytes: &[u8]| {
        if let Err(disagreement) = steered::run(bytes) {
            panic!("{}", disagreement.0);
        }
    }
);
