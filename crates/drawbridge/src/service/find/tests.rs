// SPDX-License-Identifier: Apache-2.0

use std::collections::BTreeSet;

use chassis::clock::Clock;
use drawbridge_core::{RepoRecord, UserRecord};

use super::*;
use crate::audit::Audit;
use crate::auth::issuer::Issuers;
use crate::auth::jwt::Person;
use crate::auth::keeps::Keeps;
use crate::key::RegistryKey;
use crate::store::Store;

fn registry(dir: &std::path::Path) -> Registry {
    let store = Store::open(dir).unwrap();
    Registry {
        key: RegistryKey::open(&store).unwrap(),
        store,
        host: "store.example.com".into(),
        issuers: Issuers::new(None, Vec::new()),
        create_on_push: false,
        web: false,
        keeps: Keeps::new(Vec::new(), false),
        audit: Audit::none(),
        clock: Clock::System,
    }
}

fn repo(name: &str) -> RepoName {
    let (user, repo) = name.split_once('/').unwrap();
    RepoName::new(UserName::new(user).unwrap(), repo).unwrap()
}

fn add(registry: &Registry, name: &str, public: bool) {
    let name = repo(name);
    let owner = UserRecord { subject: name.user().to_string() };
    registry.store.put_user(name.user(), &owner).unwrap();
    registry
        .store
        .put_repo(&name, &RepoRecord { public, discoverable: true, ..RepoRecord::default() })
        .unwrap();
}

fn person(subject: &str) -> Caller {
    let scopes = BTreeSet::from(["read:drawbridge_repositories".to_owned()]);
    Caller::Person(Person { subject: subject.into(), scopes })
}

/// All pages of this size, and how many there were.
fn all(
    registry: &Registry,
    caller: &Caller,
    wanted: &Wanted,
    limit: usize,
) -> (Vec<String>, usize) {
    let mut paging = Paging { limit: Some(limit), after: None };
    let (mut names, mut pages) = (Vec::new(), 0);
    loop {
        let page = registry.find(caller, wanted, &paging, true).unwrap();
        assert!(page.items.len() <= limit);
        names.extend(page.items.into_iter().map(|item| item.name));
        pages += 1;
        match page.next {
            Some(next) => paging.after = Some(next),
            None => return (names, pages),
        }
    }
}

#[test]
fn only_what_the_caller_may_see() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(dir.path());
    for (name, public) in
        [("ann/App", true), ("ann/secret", false), ("ann/app-2", true), ("bob/app", false)]
    {
        add(&registry, name, public);
    }
    let search = |text: &str| Wanted::search(text).unwrap();
    let ann = Wanted::of(&UserName::new("ann").unwrap());
    for limit in 1..4 {
        let names = |caller: &Caller, wanted: &Wanted| all(&registry, caller, wanted, limit).0;
        assert_eq!(names(&Caller::Anonymous, &ann), ["ann/App", "ann/app-2"]);
        assert_eq!(names(&person("ann"), &ann), ["ann/App", "ann/app-2", "ann/secret"]);
        assert_eq!(names(&person("bob"), &ann), ["ann/App", "ann/app-2"]);
        assert_eq!(names(&person("bob"), &search("")), ["ann/App", "ann/app-2", "bob/app"]);
        assert_eq!(names(&person("bob"), &search("APP b")), ["bob/app"]);
        assert_eq!(names(&Caller::Anonymous, &search("n/app")), ["ann/App", "ann/app-2"]);
        assert_eq!(names(&Caller::Anonymous, &search("secret")), [""; 0]);
    }
    // What comes last and is hidden makes no further page.
    assert_eq!(all(&registry, &Caller::Anonymous, &ann, 2).1, 1);
    let nobody = Wanted::of(&UserName::new("nobody").unwrap());
    assert_eq!(all(&registry, &person("ann"), &nobody, 2), (Vec::new(), 1));
    assert_eq!(Wanted::search(&"x".repeat(257)).unwrap_err().status(), 400);
}

/// Many repositories of `ann`, written without durability, which would take its time.
fn plant(dir: &std::path::Path, count: usize, public: bool) {
    let record = serde_json::to_vec(&RepoRecord { public, ..RepoRecord::default() }).unwrap();
    let mut sealed = format!("{}\n", types::digest::Sha256::of(&record)).into_bytes();
    sealed.extend(record);
    let directory = dir.join("repos/ann");
    std::fs::create_dir_all(&directory).unwrap();
    for n in 0..count {
        std::fs::File::create(directory.join(format!("secret-{n:05}.json")))
            .and_then(|mut file| std::io::Write::write_all(&mut file, &sealed))
            .unwrap();
    }
}

#[test]
fn ten_thousand_repositories_come_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(dir.path());
    plant(dir.path(), 10_000, true);
    let wanted = Wanted::search("").unwrap();
    for (limit, expected) in [(100, 100), (999, 11), (1000, 10)] {
        let (names, pages) = all(&registry, &Caller::Anonymous, &wanted, limit);
        assert_eq!((names.len(), pages), (10_000, expected));
        assert!(names.is_sorted());
    }
    // Names that do not match are not looked at, only passed.
    let rare = Wanted::search("09999").unwrap();
    assert_eq!(all(&registry, &Caller::Anonymous, &rare, 10), (vec!["ann/secret-09999".into()], 1));
}

#[test]
fn a_request_looks_at_so_many_and_tells_no_hidden_name() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(dir.path());
    let hidden = limits::LIST_REPOS_MAX + 5;
    plant(dir.path(), hidden, false);
    add(&registry, "ann/visible", true);
    let wanted = Wanted::search("").unwrap();
    let first = registry.find(&Caller::Anonymous, &wanted, &Paging::default(), true).unwrap();
    assert!(first.items.is_empty());
    let next = first.next.unwrap();
    assert!(next.starts_with(SEALED) && !next.contains("secret"), "{next}");
    let paging = Paging { limit: None, after: Some(next.clone()) };
    let second = registry.find(&Caller::Anonymous, &wanted, &paging, true).unwrap();
    assert_eq!(second.items.len(), 1);
    assert_eq!((second.items[0].name.as_str(), second.next), ("ann/visible", None));
    // All sealed places look alike, and none can be made up.
    let other = registry.sealed_place(&repo("a/b")).unwrap();
    assert_eq!(other.len(), next.len());
    assert_eq!(registry.place(&other).unwrap(), repo("a/b"));
    let mut spoilt = next.into_bytes();
    spoilt[9] ^= 1;
    for bad in [String::from_utf8(spoilt).unwrap().as_str(), "~", "~AAAA", "ann", "", "ann/a/b"] {
        assert_eq!(registry.place(bad).unwrap_err().status(), 400, "{bad}");
    }
    // The owner sees them all, once each.
    let (names, _) = all(&registry, &person("ann"), &wanted, 1000);
    assert_eq!(names.len(), hidden + 1);
    assert!(names.is_sorted());
}

#[test]
fn several_at_once_come_in_order() {
    let names: Vec<RepoName> = (0..100).map(|n| repo(&format!("ann/r{n}"))).collect();
    let work = |name: &RepoName| match name.repo() {
        "r7" => Err(Refusal::not_found("seven")),
        other => Ok(other.to_owned()),
    };
    for count in [0, 1, 2, AT_ONCE, 100] {
        let results = at_once(&names[..count], work);
        assert_eq!(results.len(), count);
        for (name, result) in names.iter().zip(results) {
            match result {
                Ok(text) => assert_eq!(text, name.repo()),
                Err(refusal) => assert_eq!((refusal.status(), name.repo()), (404, "r7")),
            }
        }
    }
}

#[test]
fn what_is_said_of_each() {
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(dir.path());
    add(&registry, "ann/app", true);
    for version in ["0.9.0", "0.10.0", "1.0.0-rc.1"] {
        let tag = crate::store::Tag {
            entry: drawbridge_core::Entry::of(b"x", "application/wasm"),
            completed_at: 1,
            steward: None,
        };
        registry.store.table(&crate::store::TAGS).create(&["ann", "app", version], &tag).unwrap();
    }
    let wanted = Wanted::default();
    let page = |versions| registry.find(&Caller::Anonymous, &wanted, &Paging::default(), versions);
    let item = &page(true).unwrap().items[0];
    assert_eq!(item.newest.as_ref().unwrap().to_string(), "0.10.0");
    assert_eq!((item.versions, item.public), (3, true));
    assert_eq!(page(false).unwrap().items[0].newest, None);
}
