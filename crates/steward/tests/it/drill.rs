// SPDX-License-Identifier: Apache-2.0

//! The revocation drill: silicon, firmware and a Keep are declared bad one after the other. From the change of the policy
//! file on, who is declared bad gets no new certificate; what was issued before ends with its lifetime.

use std::time::Instant;

use ::verify::{Usage, identify};
use rustls::pki_types::CertificateDer;
use types::time::Timestamp;

use crate::keep::{Keep, MEASUREMENT, SILICON};
use crate::steward::{Setup, Steward, write};

/// Life of certificates unless the policy says otherwise, in seconds.
const LIFETIME_SECONDS: u64 = 24 * 3600;

#[test]
fn whoever_is_declared_bad_gets_nothing_new() {
    let (hash, milan) = (hex::encode(MEASUREMENT), "[snp.minimum_tcb.Milan]\nmicrocode = 255\n");
    let drills = [
        ("the root's product", "[snp]\nproducts = [\"Genoa\", \"Turin\"]\n".to_owned(), "product"),
        ("the firmware", milan.to_owned(), "tcb-minimum"),
        ("the measurement", format!("[snp]\nhash_blacklist = [\"{hash}\"]\n"), "measurement"),
    ];
    for (what, policy, check) in drills {
        let setup = Setup { simulated_roots: Some(SILICON.roots_pem()), ..Setup::default() };
        let steward = Steward::start(setup);
        let request = || steward.request(&Keep::new().legacy_request());
        let before = request();
        assert_eq!(before.status, 200, "{what}");

        let start = Instant::now();
        write(&steward.files.path("policy.toml"), &policy, 0o644);
        steward.signal("HUP");
        let mut issued = 0;
        let refused = loop {
            let answer = request();
            if answer.status != 200 {
                break answer;
            }
            issued += 1;
            assert!(start.elapsed().as_secs() < 60, "{what}: still trusted");
        };
        println!("{what}: refused after {:?}, {issued} issued meanwhile", start.elapsed());
        assert_eq!(refused.problem().check.as_deref(), Some(check), "{what}");
        for _ in 0..3 {
            assert_eq!(request().problem().check.as_deref(), Some(check), "{what}: trusted again");
        }

        // What was issued before is taken by relying parties for its lifetime, and not a second longer.
        let [root, leaf] = before.path();
        let anchors = verify::Anchors {
            roots: vec![CertificateDer::from(root)],
            ..verify::Anchors::default()
        };
        let chain = [CertificateDer::from(leaf)];
        let now = Timestamp(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs());
        let identity = identify(&chain, &anchors, now, Usage::Server).unwrap();
        let end = identity.not_after;
        assert!(end.0 <= now.0 + LIFETIME_SECONDS + 1, "{what}: it ends {end}");
        assert!(identify(&chain, &anchors, end, Usage::Server).is_ok());
        assert!(identify(&chain, &anchors, end.plus(1), Usage::Server).is_err());
    }
}
