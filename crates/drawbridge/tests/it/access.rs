// SPDX-License-Identifier: Apache-2.0

//! Who gets what.

use drawbridge_client::Client;
use drawbridge_client::drawbridge_core::statement::Parsed;
use testkit::pki::{DevCa, Profile, sample_result};
use types::digest::Sha256;

use crate::world::{Options, World, digest, files, now, slug, status};

/// Status of tag, tree, deployment and list.
fn row(client: &Client, name: &str) -> [u16; 4] {
    let slug = slug(name);
    let fetched = client.fetch_package(&slug, &digest());
    if let Ok(fetched) = &fetched {
        let mut expected = files();
        expected.sort();
        assert_eq!(*fetched, expected);
    }
    [
        status(client.tag_entry(&slug)),
        status(fetched),
        status(client.deploy_info(&slug)),
        status(client.tags(&slug.user, &slug.repo)),
    ]
}

#[test]
fn everybody_by_every_kind_of_repository() {
    let world = World::new();
    let ann = world.register("open", true, false);
    world.register("closed", false, false);
    world.register("found", false, true);
    for repo in ["open", "closed", "found"] {
        world.publish(&ann, &format!("ann/{repo}:1.0.0")).unwrap();
    }
    let clients = [
        ("anonymous", world.anonymous()),
        ("owner", ann),
        ("another person", world.person("bob")),
        ("this Keep", world.keep(digest())),
        ("another workload's Keep", world.keep(Sha256([9; 32]))),
    ];
    let mut table = String::new();
    for (who, client) in &clients {
        for repo in ["open", "closed", "found"] {
            let row = row(client, &format!("ann/{repo}:1.0.0"));
            table += &format!("{who}, {repo}: {row:?}\n");
        }
    }
    let expected = "\
anonymous, open: [200, 200, 200, 200]
anonymous, closed: [401, 401, 401, 401]
anonymous, found: [401, 401, 200, 401]
owner, open: [200, 200, 200, 200]
owner, closed: [200, 200, 200, 200]
owner, found: [200, 200, 200, 200]
another person, open: [200, 200, 200, 200]
another person, closed: [403, 403, 403, 403]
another person, found: [403, 403, 200, 403]
this Keep, open: [200, 200, 200, 200]
this Keep, closed: [200, 200, 200, 403]
this Keep, found: [200, 200, 200, 403]
another workload's Keep, open: [200, 200, 200, 200]
another workload's Keep, closed: [403, 403, 403, 403]
another workload's Keep, found: [403, 403, 200, 403]
";
    assert_eq!(table, expected);
    let log = world.log();
    assert!(log.contains("\"released to a Keep\""), "{log}");
    assert!(
        log.contains("not released to a Keep")
            && log.contains("which is not what this tag stands for")
    );
}

#[test]
fn what_a_keep_may_know_is_signed() {
    let world = World::new();
    let ann = world.register("open", true, false);
    world.publish(&ann, "ann/open:1.0.0").unwrap();
    let info = world.anonymous().deploy_info(&slug("ann/open:1.0.0")).unwrap();
    assert_eq!(info.digest, digest());
    assert_eq!(info.steward.as_deref(), Some("https://steward.example.com"));
    let parsed = Parsed::parse(&info.statement).unwrap();
    assert_eq!(parsed.statement.slug().unwrap(), slug("ann/open:1.0.0"));
    assert_eq!(parsed.statement.digest, digest());
    assert!(parsed.statement.iat.abs_diff(now().0) < 600);
    // The key that `key show` prints, while the registry runs.
    let show = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        let output = command.args(["key", "show", "--store"]).arg(&world.store).args(more).output();
        let output = output.unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let json: serde_json::Value = serde_json::from_str(&show(&["--json"])).unwrap();
    assert_eq!(json["thumbprint"], parsed.kid.as_str());
    let pem = show(&[]);
    assert_eq!(json["public_key_pem"], pem.as_str());
    let body: String = pem.lines().filter(|l| !l.starts_with('-')).collect();
    let spki = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).unwrap();
    aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED,
        &spki[26..],
    )
    .verify(&parsed.signing_input, &parsed.signature)
    .unwrap();
}

#[test]
fn certificates_that_open_nothing() {
    let world = World::new();
    let ann = world.register("closed", false, false);
    world.publish(&ann, "ann/closed:1.0.0").unwrap();
    let good = sample_result(digest(), None, now());
    let refused = |issuer: &DevCa, profile: &Profile, why: &str| {
        let issued = issuer.issue(profile, now()).unwrap();
        let error = world
            .with_certificate(&issued)
            .fetch_package(&slug("ann/closed:1.0.0"), &digest())
            .unwrap_err();
        assert_eq!(error.status(), Some(403), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    let foreign = DevCa::generate("Steward", now()).unwrap();
    refused(&foreign, &Profile::keep(&good), "trust anchor");
    let other = DevCa::generate("another Steward", now()).unwrap();
    refused(&other, &Profile::keep(&good), "trust anchor");
    let mut result = good.clone();
    result.facts.simulated = true;
    refused(&world.steward, &Profile::keep(&result), "simulated");
    let mut result = good.clone();
    result.facts.debug = true;
    refused(&world.steward, &Profile::keep(&result), "debugged");
    let mut result = good.clone();
    result.facts.relaxations = vec!["expired-crl".to_owned()];
    refused(&world.steward, &Profile::keep(&result), "expired-crl");
    let mut result = good.clone();
    result.facts.workload = None;
    refused(&world.steward, &Profile::keep(&result), "names no workload");
    // The digest in the names alone, without a Steward's word.
    let bare = Profile { extensions: Vec::new(), ..Profile::keep(&good) };
    refused(&world.steward, &bare, "");
    let other = sample_result(Sha256([9; 32]), None, now());
    let mixed = Profile { uri: Profile::keep(&good).uri, ..Profile::keep(&other) };
    refused(&world.steward, &mixed, "");
    let server = Profile { client: false, ..Profile::keep(&good) };
    refused(&world.steward, &server, "");
    let past = Some((now().minus(7200), now().minus(3600)));
    refused(&world.steward, &Profile { validity: past, ..Profile::keep(&good) }, "expired");
    // All of it is in the log.
    let log = world.log();
    assert_eq!(log.matches("\"not released to a Keep\"").count(), 10, "{log}");
    // And the same certificates are no obstacle to what everybody may have.
    world.register("open", true, false);
    world.publish(&ann, "ann/open:1.0.0").unwrap();
    let issued = foreign.issue(&Profile::keep(&good), now()).unwrap();
    let client = world.with_certificate(&issued);
    assert!(client.fetch_package(&slug("ann/open:1.0.0"), &digest()).is_ok());
}

#[test]
fn simulated_keeps_get_something_only_if_the_operator_said_so() {
    let world = World::with(Options { simulated: true, ..Options::default() });
    let ann = world.register("closed", false, false);
    world.publish(&ann, "ann/closed:1.0.0").unwrap();
    let mut result = sample_result(digest(), None, now());
    result.facts.simulated = true;
    let issued = world.steward.issue(&Profile::keep(&result), now()).unwrap();
    let client = world.with_certificate(&issued);
    assert!(client.fetch_package(&slug("ann/closed:1.0.0"), &digest()).is_ok());
    // The flag opens nothing else.
    result.facts.workload.as_mut().unwrap().digest = Sha256([9; 32]);
    let issued = world.steward.issue(&Profile::keep(&result), now()).unwrap();
    assert_eq!(status(world.with_certificate(&issued).tag_entry(&slug("ann/closed:1.0.0"))), 403);
    assert!(world.log().contains("which protects nothing"));
}
