// SPDX-License-Identifier: Apache-2.0

//! Keeps that get a certificate, and what it says.

use ::evidence::result::Status;
use chassis::clock::Clock;
use rustls::pki_types::CertificateDer;
use types::digest::Sha256;
use verify::{Anchors, Identity, Usage, identify};
use x509_cert::Certificate;

use crate::keep::{
    Keep, MEASUREMENT, NO_NONCE, Registry, SILICON, digest, named, policy, slug, unnamed,
};
use crate::steward::{Answer, Setup, Steward};

/// A Steward that believes the silicon of these tests.
pub(crate) fn believing(policy: String) -> Steward {
    Steward::start(Setup { policy, simulated_roots: Some(SILICON.roots_pem()), ..Setup::default() })
}

/// What a relying party that trusts this Steward's CA reads in the answer, in both roles.
pub(crate) fn identity(steward: &Steward, answer: &Answer) -> Identity {
    let [issuer, leaf] = answer.path();
    let anchors =
        Anchors::from_pem(&std::fs::read_to_string(steward.files.path("ca/ca.pem")).unwrap())
            .unwrap();
    let chain = [CertificateDer::from(leaf), CertificateDer::from(issuer)];
    let now = Clock::System.now();
    identify(&chain, &anchors, now, Usage::Client).unwrap();
    identify(&chain, &anchors, now, Usage::Server).unwrap()
}

#[test]
fn a_keep_with_a_named_workload() {
    let registry = Registry::new();
    let mut policy = policy(&[&registry]);
    policy.push_str(
        "[certificate]\nlifetime_hours = 3\n[[grant]]\nworkload = \"store.example.com/team/app\"\ndns = [\"app.example.com\"]\nip = [\"192.0.2.7\"]\n",
    );
    let steward = believing(policy.clone());
    steward.logged(&["WARNING", "SIMULATED"]);
    let keep = Keep::new();
    let parts = keep.evidence(Some(named(&registry.statement(digest()))));
    let answer = steward.request(&keep.request(&parts));
    let identity = identity(&steward, &answer);
    assert_eq!(identity.slug, Some(slug()));
    assert_eq!(identity.digest, Some(digest()));
    assert_eq!(identity.dns, ["app.example.com"]);
    assert_eq!(identity.ip, ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(identity.subject, "CN=app:1.2.0,OU=simulated TEE");
    assert_eq!(identity.not_after.0 - identity.not_before.0, 3 * 3600);
    let digest = Sha256::of(policy.as_bytes());
    assert_eq!(
        identity.policy_uri.unwrap(),
        format!("https://steward.example.com/policy/{}", digest.to_hex())
    );
    let result = identity.result;
    assert_eq!(result.policy, digest);
    assert_eq!(result.status(), Status::Contraindicated);
    assert!(result.facts.simulated && result.facts.pinned);
    assert_eq!(result.facts.measurement, hex::encode(MEASUREMENT));

    let [_, leaf] = answer.path();
    let leaf = <Certificate as der::Decode>::from_der(&leaf).unwrap();
    let spki = leaf.tbs_certificate().subject_public_key_info();
    assert_eq!(der::Encode::to_der(spki).unwrap(), keep.spki);
    let line = steward.logged(&["issued", &identity.serial]);
    for words in [&slug().to_string(), &hex::encode(MEASUREMENT), &digest.to_string()] {
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn evidence_is_shown_if_the_policy_says_so() {
    use const_oid::AssociatedOid as _;
    use x509_cert::ext::pkix::AuthorityInfoAccessSyntax;
    let show = policy(&[]) + "[certificate]\ninclude_evidence = true\n";
    for (policy, shown) in [(policy(&[]), false), (show, true)] {
        let steward = believing(policy);
        let keep = Keep::new();
        let parts = keep.evidence(Some(unnamed()));
        let answer = steward.request(&keep.request(&parts));
        let [root, leaf] = answer.path();
        let leaf = <Certificate as der::Decode>::from_der(&leaf).unwrap();
        let extensions = leaf.tbs_certificate().extensions().unwrap();
        let find = |oid| extensions.iter().find(|extension| extension.extn_id == oid);
        let wanted =
            ::evidence::encode_evidence(::evidence::Kind::Snp, &parts.report, &parts.claims, &[]);
        let found = find(::evidence::csr::EVIDENCE).map(|e| e.extn_value.as_bytes().to_vec());
        assert_eq!(found, shown.then_some(wanted));
        // Whoever has the certificate alone finds its issuer.
        let access = find(AuthorityInfoAccessSyntax::OID).unwrap();
        let uri = String::from_utf8_lossy(access.extn_value.as_bytes()).into_owned();
        let (_, path) = uri.split_once("https://steward.example.com").unwrap();
        assert_eq!(steward.get(path).body, root);
        identity(&steward, &answer);
    }
}

#[test]
fn a_keep_with_an_unnamed_workload() {
    let steward = believing(policy(&[]));
    let keep = Keep::new();
    let answer = steward.request(&keep.request(&keep.evidence(Some(unnamed()))));
    let identity = identity(&steward, &answer);
    assert_eq!((identity.slug, identity.digest), (None, Some(digest())));
    assert!(identity.subject.starts_with("CN=sha256:"), "{}", identity.subject);
}

#[test]
fn a_keep_that_no_policy_pins_gets_no_names() {
    let registry = Registry::new();
    let steward = believing(format!("{NO_NONCE}{}", registry.entry()));
    let keep = Keep::new();
    let parts = keep.evidence(Some(named(&registry.statement(digest()))));
    let answer = steward.request(&keep.request(&parts));
    let identity = identity(&steward, &answer);
    assert_eq!((identity.slug, identity.digest), (None, None));
    assert_eq!(identity.result.facts.workload, None);
    assert!(!identity.result.facts.pinned);
    assert_eq!(identity.subject, "CN=Enarx Keep,OU=simulated TEE");
    assert!(identity.dns.is_empty() && identity.ip.is_empty());
}

#[test]
fn a_legacy_request_gets_no_names() {
    let steward = believing(policy(&[]));
    let keep = Keep::new();
    let answer = steward.request(&keep.legacy_request());
    let identity = identity(&steward, &answer);
    assert_eq!((identity.slug, identity.digest), (None, None));
    assert!(identity.result.facts.pinned);
    assert_eq!(identity.result.facts.workload, None);
}

#[test]
fn a_bundle_is_all_or_nothing() {
    let steward = believing(policy(&[]));
    let (a, b) = (Keep::new(), Keep::new());
    let requests = [&a, &b].map(|keep| keep.request(&keep.evidence(Some(unnamed()))));
    let bundle = |requests: &[Vec<u8>]| {
        let parts: Vec<der::asn1::Any> =
            requests.iter().map(|der| der::Decode::from_der(der).unwrap()).collect();
        steward.post(steward::http::PKCS10_BUNDLE, &der::Encode::to_der(&parts).unwrap())
    };
    let answer = bundle(&requests);
    assert_eq!(answer.status, 200);
    let [chain, issued]: [Vec<Certificate>; 2] =
        <Vec<Vec<Certificate>> as der::Decode>::from_der(&answer.body).unwrap().try_into().unwrap();
    assert_eq!((chain.len(), issued.len()), (1, 2));
    let spki = |certificate: &Certificate| {
        der::Encode::to_der(certificate.tbs_certificate().subject_public_key_info()).unwrap()
    };
    assert_eq!([spki(&issued[0]), spki(&issued[1])], [a.spki.clone(), b.spki.clone()]);

    let mut replayed = requests.to_vec();
    replayed[1] = b.request(&a.evidence(Some(unnamed())));
    let answer = bundle(&replayed);
    assert_eq!(answer.check(), (400, "key-binding".to_owned()));
    assert!(answer.problem().detail.contains("request 2"));
}
