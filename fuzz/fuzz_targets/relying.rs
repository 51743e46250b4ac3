// SPDX-License-Identifier: Apache-2.0
#![no_main]

//! What a relying party reads: certificates, revocation lists, expectations.

use libfuzzer_sys::fuzz_target;
use types::time::Timestamp;
use verify::rustls::pki_types::CertificateDer;
use verify::{Anchors, Crls, Expectation, Usage, identify};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(expectation) = String::from_utf8_lossy(bytes).parse::<Expectation>() {
        let written = expectation.to_string();
        assert_eq!(written.parse(), Ok(expectation), "{written}");
    }
    let mut crls = Crls::default();
    let _ = crls.add(bytes);
    let certificate = CertificateDer::from(bytes.to_vec());
    // Nobody is trusted who is not named; a certificate that names itself is still no Keep's.
    let anchors = Anchors::from_roots(vec![certificate.clone()]).unwrap_or_default();
    let chain = [certificate.clone(), certificate];
    assert!(identify(&chain, &anchors, Timestamp(1_800_000_000), Usage::Server).is_err());
});
