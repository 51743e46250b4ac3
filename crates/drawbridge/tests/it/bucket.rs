// SPDX-License-Identifier: Apache-2.0

//! Several registries over one bucket of a server that speaks S3.

use drawbridge_client::Client;
use drawbridge_client::drawbridge_core::rights::{AccessDocument, Role, TokenRequest};
use drawbridge_client::drawbridge_core::{RepoRecord, Tree, UserRecord};
use testkit::moto::Moto;

use crate::world::{Options, WASM, World, digest, files, slug, status};

fn world(test: &str) -> Option<(Moto, World)> {
    let moto = Moto::start("bucket", test).unwrap()?;
    let options = Options {
        store: Some("s3://bucket/registries/one".into()),
        environment: moto.environment(),
        ..Options::default()
    };
    let world = World::with(options);
    Some((moto, world))
}

#[test]
fn a_bucket_is_a_store() {
    let Some((_moto, mut world)) = world("a_bucket_is_a_store") else { return };
    let ann = world.register("app", false, true);
    world.publish(&ann, "ann/app:1.0.0").unwrap();
    let slug = slug("ann/app:1.0.0");
    let mut large = WASM.to_vec();
    large.extend((0..=250).cycle().take(20_000_000));
    let large = vec![("main.wasm".to_owned(), large)];
    ann.publish(&crate::world::slug("ann/app:1.0.1"), large.clone(), &mut |_| {}).unwrap();
    world.kill();
    world.start_again();
    assert_eq!(world.keep(digest()).fetch_package(&slug, &digest()).unwrap().len(), files().len());
    assert_eq!(status(world.anonymous().fetch_package(&slug, &digest())), 401);
    let ann = world.person("ann");
    let whole = Tree::from_files(large.clone()).unwrap().digest();
    assert_eq!(ann.fetch_package(&crate::world::slug("ann/app:1.0.1"), &whole).unwrap(), large);
    assert_eq!(ann.tags("ann", "app").unwrap().len(), 2);
    // Lists look at several at once, and say the same.
    for n in 0..20 {
        let record = RepoRecord { public: n % 2 == 0, ..RepoRecord::default() };
        ann.repo_put("ann", &format!("r{n:02}"), &record).unwrap();
    }
    let names = |client: &Client, max| {
        let found = client.repos("ann", max).unwrap();
        (found.repos.into_iter().map(|repo| repo.name).collect::<Vec<_>>(), found.more)
    };
    let (all, more) = names(&ann, 100);
    assert!(all.len() == 21 && !more && all.is_sorted(), "{all:?}");
    assert_eq!(names(&ann, 7), (all[..7].to_vec(), true));
    assert_eq!(names(&world.anonymous(), 100).0.len(), 10);
    let (log, good) = world.stop();
    assert!(good, "{log}");
}

#[test]
fn of_three_registries_over_one_bucket_exactly_one_gives_a_tag_its_meaning() {
    let test = "of_three_registries_over_one_bucket_exactly_one_gives_a_tag_its_meaning";
    let Some((_moto, world)) = world(test) else { return };
    world.register("app", true, false);
    let others = [world.beside(), world.beside()];
    let addresses = [world.address(), others[0].address, others[1].address];
    let packages: Vec<_> = (0..3u8)
        .map(|n| vec![("main.wasm".to_owned(), WASM.to_vec()), ("x".to_owned(), vec![n; 9])])
        .collect();
    // All content is there by other names, so that a tag means something as soon as it is announced.
    for (n, package) in packages.iter().enumerate() {
        let ann = world.person_at(addresses[n], "ann");
        ann.publish(&slug(&format!("ann/app:0.0.{n}")), package.clone(), &mut |_| {}).unwrap();
    }
    for round in 0..5 {
        let slug = slug(&format!("ann/app:1.0.{round}"));
        let start = std::sync::Barrier::new(addresses.len());
        let outcomes: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = addresses
                .iter()
                .zip(&packages)
                .map(|(address, package)| {
                    let ann = world.person_at(*address, "ann");
                    let (slug, start) = (&slug, &start);
                    scope.spawn(move || {
                        start.wait();
                        status(ann.publish(slug, package.clone(), &mut |_| {}))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|status| **status == 200).count(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|status| **status == 409).count(), 2, "{outcomes:?}");
        // Every registry says the same, and that is one whole package.
        let digests: Vec<_> = packages
            .iter()
            .map(|package| Tree::from_files(package.clone()).unwrap().digest())
            .collect();
        let seen: Vec<_> = addresses
            .iter()
            .map(|address| {
                let ann = world.person_at(*address, "ann");
                let entry = ann.tag_entry(&slug).unwrap();
                let digest = entry.0.digest.sha256();
                assert!(ann.fetch_package(&slug, &digest).is_ok());
                digest
            })
            .collect();
        assert!(seen.iter().all(|digest| *digest == seen[0]), "{seen:?}");
        let winner = digests.iter().position(|digest| *digest == seen[0]).expect("one of them");
        assert_eq!(outcomes[winner], 200, "who was told that the tag is theirs is whose it is");
    }
}

#[test]
fn what_one_registry_revokes_is_revoked_at_all() {
    let test = "what_one_registry_revokes_is_revoked_at_all";
    let Some((_moto, world)) = world(test) else { return };
    let ann = world.register("closed", false, false);
    let others = [world.beside(), world.beside()];
    let addresses = [world.address(), others[0].address, others[1].address];
    let scopes = ["read:drawbridge_tags".to_owned()].into();
    let (name, repos) = ("ci".to_owned(), vec!["closed".to_owned()]);
    let wish = TokenRequest { name, scopes, repos, expires_in: 3600 };
    let created = ann.create_token("ann", &wish).unwrap();
    ann.user_put("ann", &UserRecord { subject: "ann".into() }).unwrap();
    let bob = world.person("bob");
    bob.user_put("bob", &UserRecord { subject: "bob".into() }).unwrap();
    let access = |users: &[(&str, Role)]| AccessDocument {
        users: users.iter().map(|(user, role)| ((*user).to_owned(), *role)).collect(),
        ..AccessDocument::default()
    };
    ann.put_document("ann", Some("closed"), &access(&[("bob", Role::Reader)]), None).unwrap();
    let everywhere = |wanted: u16| {
        for address in addresses {
            let holder = world.bearer_at(address, &created.token);
            assert_eq!(status(holder.tags("ann", "closed")), wanted, "the token at {address}");
            let bob = world.person_at(address, "bob");
            let wanted = if wanted == 401 { 403 } else { wanted };
            assert_eq!(status(bob.tags("ann", "closed")), wanted, "the role at {address}");
        }
    };
    // Each has seen both as good, and could have kept that.
    everywhere(200);
    let elsewhere = world.person_at(addresses[1], "ann");
    elsewhere.revoke_token("ann", &created.info.id).unwrap();
    let found = elsewhere.document::<AccessDocument>("ann", Some("closed")).unwrap();
    elsewhere.put_document("ann", Some("closed"), &access(&[]), found.etag.as_deref()).unwrap();
    // From then on, not some time later.
    everywhere(401);
}

#[test]
fn a_bucket_that_is_not_there_is_said_so() {
    let Some((_moto, world)) = world("a_bucket_that_is_not_there_is_said_so") else { return };
    let run = |store: &str| {
        let output = world.command(store.as_ref()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let error = run("s3://none/x");
    assert!(error.contains("bucket failed"), "{error}");
    let error = run("ftp://none/x");
    assert!(error.contains("s3://"), "{error}");
    let error = run("gs://none/x");
    assert!(error.contains("feature"), "{error}");
}
