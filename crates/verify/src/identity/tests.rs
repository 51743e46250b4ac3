// SPDX-License-Identifier: Apache-2.0

use const_oid::ObjectIdentifier;
use der::Encode as _;
use testkit::pki::{Extension, Profile};

use super::*;
use crate::testing::{NOW, anchors, chain, digest, judge, keep, result, slug, steward};

const POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32");
const ALTERNATIVE_NAMES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// The certificate policies extension with our policy and these CPS URIs.
fn policies(uris: &[&str]) -> Extension {
    let qualifiers: Vec<u8> =
        uris.iter().flat_map(|uri| sequence(&[CPS.to_der().unwrap(), ia5(uri)].concat())).collect();
    let policy = [CERTIFICATE_POLICY.to_der().unwrap(), sequence(&qualifiers)].concat();
    Extension { oid: POLICIES, critical: false, value: sequence(&sequence(&policy)) }
}

fn sequence(body: &[u8]) -> Vec<u8> {
    der::Any::new(der::Tag::Sequence, body).unwrap().to_der().unwrap()
}

fn ia5(text: &str) -> Vec<u8> {
    Ia5StringRef::new(text).unwrap().to_der().unwrap()
}

fn check_of(profile: &Profile) -> &'static str {
    judge(profile).unwrap_err().check()
}

#[test]
fn a_keeps_certificate_says_what_it_is() {
    let mut profile = Profile::keep(&result());
    profile.dns = vec!["app.example.com".to_owned()];
    profile.ip = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    let uri = format!("https://steward.example.com/policy/{}", result().policy.to_hex());
    profile.extensions.push(policies(&[&uri]));
    let identity = judge(&profile).unwrap();
    assert_eq!(identity.slug, Some(slug()));
    assert_eq!(identity.digest, Some(digest()));
    assert_eq!(identity.result, result());
    assert_eq!(identity.dns, ["app.example.com"]);
    assert_eq!(identity.ip, profile.ip);
    assert_eq!(identity.policy_uri, Some(uri));
    assert_eq!((identity.not_before.0 + 3_600, identity.not_after.0 > NOW.0), (NOW.0, true));
    assert!(identity.subject.contains("CN=app:1.2.0"), "{}", identity.subject);
    assert!(identity.issuer.contains("CN=a Steward"), "{}", identity.issuer);
    assert_eq!(identity.serial.len(), 32);
    assert!(matches!(
        &identity.peer,
        Peer::Keep { workload, digest: d, attested }
            if *workload == slug() && *d == digest() && attested.tee == "snp" && !attested.simulated
    ));
}

#[test]
fn a_keep_without_a_name_is_local_and_one_that_is_not_pinned_is_nobody() {
    let mut local = result();
    local.facts.workload.as_mut().unwrap().slug = None;
    let identity = judge(&Profile::keep(&local)).unwrap();
    assert!(matches!(identity.peer, Peer::Local { digest: d, .. } if d == digest()));
    assert_eq!(identity.slug, None);

    let mut unknown = result();
    unknown.facts.pinned = false;
    unknown.facts.workload = None;
    let identity = judge(&Profile::keep(&unknown)).unwrap();
    assert_eq!(identity.peer, Peer::Anonymous);
    assert_eq!((identity.slug, identity.digest), (None, None));
}

#[test]
fn both_sides_of_a_connection_can_show_it() {
    let ca = steward();
    let chain = chain(&keep(&ca, &result()));
    for usage in [Usage::Client, Usage::Server] {
        assert!(identify(&chain, &anchors(&ca), NOW, usage).is_ok(), "{usage:?}");
    }
}

#[test]
fn a_certificate_serves_only_what_it_was_made_for() {
    let ca = steward();
    for (server, client) in [(true, false), (false, true), (false, false)] {
        let profile = Profile { server, client, ..Profile::keep(&result()) };
        let chain = chain(&ca.issue(&profile, NOW).unwrap());
        let as_server = identify(&chain, &anchors(&ca), NOW, Usage::Server);
        let as_client = identify(&chain, &anchors(&ca), NOW, Usage::Client);
        assert_eq!((as_server.is_ok(), as_client.is_ok()), (server, client));
        for error in [as_server, as_client].into_iter().filter_map(Result::err) {
            // Without any purpose path validation passes, and what is wanted of Keeps does not.
            let wanted = if server || client { "chain.path" } else { "certificate.usage" };
            assert_eq!(error.check(), wanted, "{error}");
        }
    }
}

#[test]
fn an_ordinary_certificate_of_the_same_authority_is_no_keep() {
    let profile =
        Profile { server: true, dns: vec!["app.example.com".into()], ..Profile::default() };
    assert_eq!(judge(&profile), Err(VerifyError::NoResult));
}

#[test]
fn a_certificate_that_no_steward_writes_is_refused() {
    // Name constraints; information about the issuer that is none; a purpose that is any.
    for (id, value) in [
        ("2.5.29.30", sequence(&[])),
        ("1.3.6.1.5.5.7.1.1", sequence(&[])),
        ("1.3.6.1.5.5.7.1.1", vec![4, 0]),
    ] {
        let mut profile = Profile::keep(&result());
        let oid = ObjectIdentifier::new_unwrap(id);
        profile.extensions.push(Extension { oid, critical: false, value });
        assert_eq!(check_of(&profile), "certificate.malformed", "{id}");
    }
    let any = ObjectIdentifier::new_unwrap("2.5.29.37.0").to_der().unwrap();
    let server = const_oid::db::rfc5280::ID_KP_SERVER_AUTH.to_der().unwrap();
    for (critical, purposes) in [(false, [server.clone(), any].concat()), (true, server)] {
        let mut profile = Profile { server: false, client: false, ..Profile::keep(&result()) };
        let oid = ObjectIdentifier::new_unwrap("2.5.29.37");
        profile.extensions.push(Extension { oid, critical, value: sequence(&purposes) });
        assert_eq!(check_of(&profile), "certificate.usage");
    }
}

#[test]
fn an_authority_is_no_keep() {
    let profile = Profile { ca: true, ..Profile::keep(&result()) };
    assert_eq!(check_of(&profile), "chain.path");
}

#[test]
fn a_result_that_cannot_be_read_is_refused() {
    let mut profile = Profile::keep(&result());
    profile.extensions[0].value.push(0);
    assert_eq!(check_of(&profile), "certificate.result.malformed");
    let mut profile = Profile::keep(&result());
    profile.extensions[0].value.clear();
    assert_eq!(check_of(&profile), "certificate.result.malformed");
}

#[test]
fn nothing_is_there_twice() {
    // Two results, even equal ones.
    let mut profile = Profile::keep(&result());
    profile.extensions.push(profile.extensions[0].clone());
    assert_eq!(check_of(&profile), "certificate.malformed");
    // Extensions that nobody knows.
    let mut profile = Profile::keep(&result());
    let unknown = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.58270.99");
    let unknown = Extension { oid: unknown, critical: false, value: vec![5, 0] };
    profile.extensions.push(unknown.clone());
    assert!(judge(&profile).is_ok());
    profile.extensions.push(unknown);
    assert_eq!(check_of(&profile), "certificate.malformed");
    // Alternative names.
    let mut profile = Profile::keep(&result());
    profile.extensions.push(Extension {
        oid: ALTERNATIVE_NAMES,
        critical: false,
        value: sequence(&[]),
    });
    assert!(judge(&profile).is_err());
}

#[test]
fn a_critical_extension_that_nobody_knows_is_refused() {
    let mut profile = Profile::keep(&result());
    let oid = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.58270.99");
    profile.extensions.push(Extension { oid, critical: true, value: vec![5, 0] });
    assert_eq!(check_of(&profile), "chain.path");
}

#[test]
fn names_must_be_those_that_were_proved() {
    let other = Sha256::of(b"another workload").to_ni();
    let own = digest().to_ni();
    let name = slug().uri();
    for (uri, wanted) in [
        (vec![], "certificate.names"),
        (vec![name.clone()], "certificate.names"),
        (vec![own.clone()], "certificate.names"),
        (vec![name.clone(), other.clone()], "certificate.names"),
        (vec!["https://store.example.com/team/app:1.2.1".into(), own.clone()], "certificate.names"),
        (vec![name.clone(), own.clone(), own.clone()], "certificate.malformed"),
        (vec![name.clone(), name.clone(), own.clone()], "certificate.malformed"),
        (vec![name.clone(), own.clone(), other], "certificate.malformed"),
        (vec![name.clone(), own.clone(), "https://example.com/".into()], "certificate.malformed"),
        (vec![name.clone(), own.clone(), "spiffe://example.com/x".into()], "certificate.malformed"),
        (vec![name, format!("{own}=")], "certificate.malformed"),
    ] {
        let profile = Profile { uri, ..Profile::keep(&result()) };
        assert_eq!(check_of(&profile), wanted, "{:?}", profile.uri);
    }
    // Names in the certificate of a Keep of which none were proved.
    let mut unknown = result();
    unknown.facts.pinned = false;
    unknown.facts.workload = None;
    let profile = Profile { uri: vec![own], ..Profile::keep(&unknown) };
    assert_eq!(check_of(&profile), "certificate.names");
}

#[test]
fn other_kinds_of_names_are_refused() {
    // rfc822Name "a@b".
    let mail = Extension {
        oid: ALTERNATIVE_NAMES,
        critical: false,
        value: sequence(&[0x81, 3, b'a', b'@', b'b']),
    };
    let mut unknown = result();
    unknown.facts.pinned = false;
    unknown.facts.workload = None;
    let mut profile = Profile::keep(&unknown);
    profile.extensions.push(mail);
    assert_eq!(check_of(&profile), "certificate.malformed");
    // DNS names that play tricks with a terminal, or that no policy can grant.
    for name in [
        "a\u{1b}[2J",
        "*.example.com",
        "a_b.example.com",
        "A.example.com",
        "127.0.0.1",
        "a:443",
        "",
    ] {
        let profile = Profile { dns: vec![name.into()], ..Profile::keep(&result()) };
        assert_eq!(check_of(&profile), "certificate.malformed", "{name}");
    }
}

#[test]
fn the_policy_behind_the_uri_is_the_one_that_was_applied() {
    let own = format!("https://s/policy/{}", result().policy.to_hex());
    let other = format!("https://s/policy/{}", Sha256::of(b"another").to_hex());
    for (uris, wanted) in [
        (vec![other.as_str()], "certificate.names"),
        (vec![own.as_str(), own.as_str()], "certificate.malformed"),
        (vec!["https://s/\u{7}"], "certificate.malformed"),
    ] {
        let mut profile = Profile::keep(&result());
        profile.extensions.push(policies(&uris));
        assert_eq!(check_of(&profile), wanted, "{uris:?}");
    }
}

#[test]
fn no_flipped_bit_gets_through() {
    let ca = steward();
    let issued = keep(&ca, &result());
    let good = chain(&issued);
    let anchors = anchors(&ca);
    let judge =
        |leaf: Vec<u8>| identify(&[CertificateDer::from(leaf)], &anchors, NOW, Usage::Client);
    let whole = judge(good[0].to_vec()).unwrap();
    let mut accepted = 0;
    for index in 0..good[0].len() {
        let mut leaf = good[0].to_vec();
        leaf[index] ^= 1;
        accepted += usize::from(judge(leaf).is_ok());
        assert!(judge(good[0][..index].to_vec()).is_err());
    }
    assert_eq!(accepted, 0);
    let mut longer = good[0].to_vec();
    longer.push(0);
    assert!(judge(longer).is_err());
    assert_eq!(whole.leaf_der, good[0].to_vec());
}

#[test]
fn nothing_in_a_certificate_makes_reading_panic() {
    let ca = steward();
    let mut profile = Profile::keep(&result());
    profile.dns = vec!["app.example.com".to_owned()];
    profile.ip = vec!["127.0.0.1".parse().unwrap()];
    let uri = format!("https://steward.example.com/policy/{}", result().policy.to_hex());
    profile.extensions.push(policies(&[&uri]));
    let leaf = ca.issue(&profile, NOW).unwrap().chain_der.remove(0);
    let whole = read(&leaf).unwrap();
    // As if its issuer had signed all that: names and result contradict each other as soon as one of them is bent.
    for index in 0..leaf.len() {
        for mask in [0x01, 0x80] {
            let mut bent = leaf.clone();
            bent[index] ^= mask;
            if let Ok(identity) = read(&bent) {
                assert_eq!(
                    (&identity.digest, &identity.slug),
                    (&whole.digest, &whole.slug),
                    "{index}"
                );
            }
        }
    }
}
