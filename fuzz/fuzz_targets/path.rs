// SPDX-License-Identifier: Apache-2.0
#![no_main]

//! What a registry reads of a request before it knows who asks: its path by both protocols, its parameters, its digests.

use drawbridge::query::{Query, encode};
use drawbridge::store::BlobDigest;
use drawbridge::{oci, route};
use drawbridge_core::ContentDigest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (path, rest) = text.split_once('?').unwrap_or((text, ""));
    if let Ok(route) = route::Route::parse(path) {
        assert!(!route.template().is_empty() && !route.methods().is_empty());
        assert!(!oci::Route::is_here(path), "one path, one protocol: {path}");
    }
    if oci::Route::is_here(path)
        && let Ok(route) = oci::Route::parse(path)
    {
        assert!(!route.template().is_empty() && !route.methods().is_empty());
    }
    let (query, header) = rest.split_once('\n').unwrap_or((rest, ""));
    let query = Query::parse(Some(query));
    for name in ["q", "digest", "after"] {
        for value in query.values(name) {
            let again = format!("{name}={}", encode(value));
            assert_eq!(Query::parse(Some(&again)).get(name), Some(value));
            let _ = BlobDigest::parse(value);
        }
    }
    if let Ok(digest) = ContentDigest::from_header(header) {
        let again = ContentDigest::from_header(&digest.to_header()).expect("we read what we write");
        assert!(again.agrees_with(&digest));
    }
});
