// SPDX-License-Identifier: Apache-2.0
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(slug) = text.parse::<types::slug::Slug>() {
        assert_eq!(slug.to_string().parse(), Ok(slug));
    }
});
