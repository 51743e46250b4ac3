// SPDX-License-Identifier: Apache-2.0

use std::path::PathBuf;

use drawbridge_core::{Tree, media};

use super::*;

mod cuts;
mod faults;
mod gc;
mod model;
mod places;
mod quota;
mod records;
mod scrub;
mod sessions;
mod stress;

use places::Place;

const NOW: Timestamp = Timestamp(1_700_000_000);
const WASM: &[u8] = b"\0asm\x01\0\0\0";

fn repo() -> RepoName {
    RepoName::new(UserName::new("ann").unwrap(), "app").unwrap()
}

fn tag_name(tag: &str) -> TagName {
    TagName::new(repo(), tag).unwrap()
}

fn tree(files: &[(&str, &[u8])]) -> Tree {
    let files = files.iter().map(|(p, b)| ((*p).to_owned(), b.to_vec())).collect();
    Tree::from_files(files).unwrap()
}

fn sample() -> Tree {
    tree(&[
        ("main.wasm", WASM),
        ("Enarx.toml", b"steward = \"https://steward.example.com\"\n"),
        ("a/b/c.txt", b"deep"),
    ])
}

fn names(path: &str) -> Vec<String> {
    path.split('/').filter(|p| !p.is_empty()).map(str::to_owned).collect()
}

fn put(store: &Store, tag: &TagName, entry: &Entry, bytes: &[u8]) -> Kept {
    let mut upload = store.upload(Hasher::new()).unwrap();
    for piece in bytes.chunks(3) {
        upload.write(piece).unwrap();
    }
    store.put_node(tag, entry, upload, NOW).unwrap()
}

/// Uploads the first `count` nodes.
fn upload(store: &Store, tag: &TagName, tree: &Tree, count: usize) {
    assert_ne!(store.put_tag(tag, &tree.tag(), NOW).unwrap(), Put::Conflict);
    for (path, node) in tree.nodes().take(count) {
        match store.expected(tag, &names(path)).unwrap() {
            Expected::Entry { entry, .. } => {
                assert_eq!(*entry, node.entry, "{path}");
                assert!(matches!(put(store, tag, &entry, &node.bytes), Kept::Put(_)));
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}

/// The node at a path of a whole tree.
fn node(store: &Store, tag: &Tag, path: &str) -> Result<Option<(Entry, Vec<u8>)>, StoreError> {
    let Some((entry, mut blob)) = store.node(&repo(), tag, &names(path))? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    while let Some(piece) = blob.next_piece()? {
        bytes.extend(piece);
    }
    Ok(Some((entry, bytes)))
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

#[test]
fn a_tag_is_seen_when_its_tree_is_whole_and_not_before() {
    for place in Place::all() {
        let store = place.open();
        let (tree, tag) = (sample(), tag_name("1.0.0"));
        let count = tree.nodes().len();
        for n in 0..count {
            upload(&store, &tag, &tree, n);
            assert_eq!(store.tag(&tag).unwrap(), None, "{n} of {count}");
            assert!(store.tags(&repo()).unwrap().is_empty());
        }
        upload(&store, &tag, &tree, count);
        let seen = store.tag(&tag).unwrap().unwrap();
        assert_eq!(seen.digest(), tree.digest());
        assert_eq!(seen.completed_at, NOW.0);
        assert_eq!(seen.steward.as_deref(), Some("https://steward.example.com"));
        assert_eq!(store.tags(&repo()).unwrap(), ["1.0.0".parse().unwrap()]);
        for (path, node) in tree.nodes() {
            let (entry, bytes) = self::node(&store, &seen, path).unwrap().unwrap();
            assert_eq!((&entry, &bytes), (&node.entry, &node.bytes));
        }
        for none in ["x", "a/x", "main.wasm/x", "a/b/c.txt/d"] {
            assert!(node(&store, &seen, none).unwrap().is_none(), "{none}");
        }
        // Nothing half-made is left.
        assert!(place.temporaries().is_empty());
        assert_eq!(store.table(&PENDING).value(&tag.parts()).unwrap(), None);
    }
}

#[test]
fn a_tag_keeps_its_meaning_once_it_is_seen() {
    for place in Place::all() {
        let store = place.open();
        let (one, two, tag) = (sample(), tree(&[("main.wasm", b"\0asm2")]), tag_name("1.0.0"));
        // As long as it is not seen, another announcement takes its place.
        assert_eq!(store.put_tag(&tag, &two.tag(), NOW).unwrap(), Put::Created);
        assert_eq!(store.put_tag(&tag, &two.tag(), NOW).unwrap(), Put::Same);
        upload(&store, &tag, &one, usize::MAX);
        assert_eq!(store.put_tag(&tag, &two.tag(), NOW).unwrap(), Put::Conflict);
        assert_eq!(store.put_tag(&tag, &one.tag(), NOW).unwrap(), Put::Same);
        assert_eq!(store.tag(&tag).unwrap().unwrap().digest(), one.digest());
        // The same content under another name is there at once.
        let other = tag_name("1.0.1");
        assert_eq!(store.put_tag(&other, &one.tag(), NOW).unwrap(), Put::Created);
        assert_eq!(store.tag(&other).unwrap().unwrap().digest(), one.digest());
        // Also if it came by the other name after the announcement.
        let (three, late) = (tree(&[("main.wasm", b"\0asm3")]), tag_name("1.0.2"));
        assert_eq!(store.put_tag(&late, &three.tag(), NOW).unwrap(), Put::Created);
        upload(&store, &tag_name("1.0.3"), &three, usize::MAX);
        assert_eq!(store.put_tag(&late, &three.tag(), NOW).unwrap(), Put::Same);
        assert_eq!(store.tag(&late).unwrap().unwrap().digest(), three.digest());
    }
}

#[test]
fn parents_come_first_and_decide() {
    for place in Place::all() {
        let store = place.open();
        let (tree, tag) = (sample(), tag_name("1.0.0"));
        assert_eq!(store.expected(&tag, &[]).unwrap(), Expected::NoTag);
        store.put_tag(&tag, &tree.tag(), NOW).unwrap();
        assert_eq!(store.expected(&tag, &names("main.wasm")).unwrap(), Expected::NoParent);
        upload(&store, &tag, &tree, 1);
        assert_eq!(store.expected(&tag, &names("other.wasm")).unwrap(), Expected::NotNamed);
        assert_eq!(store.expected(&tag, &names("main.wasm/x")).unwrap(), Expected::NotNamed);
        assert_eq!(store.expected(&tag, &names("a/b")).unwrap(), Expected::NoParent);
        let Expected::Entry { entry, complete: false } =
            store.expected(&tag, &names("main.wasm")).unwrap()
        else {
            panic!("the root names it");
        };
        for bad in [&b""[..], b"\0asm\x02\0\0\0", b"\0asm\x01\0\0\0\0"] {
            assert_eq!(put(&store, &tag, &entry, bad), Kept::Mismatch);
        }
        // Bytes of the right digest that are no directory.
        let no_directory = Entry::of(b"{ }", media::DIRECTORY);
        assert!(matches!(put(&store, &tag, &no_directory, b"{ }"), Kept::NoDirectory(_)));
        assert!(place.temporaries().is_empty());
    }
}

#[test]
fn trees_that_fan_out_without_end_are_refused() {
    for place in Place::all() {
        let store = place.open();
        let tag = tag_name("1.0.0");
        // Every directory names the one below many times: 64^16 files in 17 blobs.
        let mut level = b"{}".to_vec();
        let mut levels = vec![level.clone()];
        for _ in 0..16 {
            let mut directory = drawbridge_core::Directory::new();
            for n in 0..64 {
                directory.insert(&n.to_string(), Entry::of(&level, media::DIRECTORY)).unwrap();
            }
            level = directory.to_bytes();
            levels.push(level.clone());
        }
        let mut outcome = Kept::Put(Put::Created);
        store.put_tag(&tag, &TagRecord(Entry::of(&level, media::DIRECTORY)), NOW).unwrap();
        for bytes in levels.iter().rev() {
            outcome = put(&store, &tag, &Entry::of(bytes, media::DIRECTORY), bytes);
        }
        assert!(matches!(outcome, Kept::TooLarge(_)), "{outcome:?}");
        assert_eq!(store.tag(&tag).unwrap(), None);
    }
}

#[test]
fn every_changed_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (tree, tag) = (sample(), tag_name("1.0.0"));
    upload(&store, &tag, &tree, usize::MAX);
    let good = |store: &Store| -> Result<bool, StoreError> {
        let Some(seen) = store.tag(&tag)? else {
            return Ok(false);
        };
        for (path, node) in tree.nodes() {
            match self::node(store, &seen, path)? {
                Some((_, bytes)) if bytes == node.bytes => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    };
    assert!(good(&store).unwrap());
    let kept = ["blobs", "tags"].map(|kind| files_below(&dir.path().join(kind)));
    for file in kept.concat() {
        let bytes = std::fs::read(&file).unwrap();
        let write = |bytes: &[u8]| {
            std::io::Write::write_all(&mut File::create(&file).unwrap(), bytes).unwrap();
        };
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            write(&bad);
            let error = good(&store).unwrap_err();
            assert!(matches!(error, StoreError::Damaged(_)), "{}: {error}", file.display());
        }
        write(&bytes[..bytes.len() - 1]);
        assert!(good(&store).is_err());
        write(&[&bytes[..], b"x"].concat());
        assert!(good(&store).is_err());
        write(&bytes);
    }
    // Whoever still has the content mends it.
    let module = &tree.nodes().find(|(p, _)| *p == "main.wasm").unwrap().1;
    let blob = dir.path().join(repo().blob(&module.entry.digest.sha256()).as_path());
    File::create(&blob).unwrap();
    assert!(good(&store).is_err());
    assert_eq!(put(&store, &tag, &module.entry, &module.bytes), Kept::Put(Put::Created));
    assert!(good(&store).unwrap());
    std::fs::remove_file(blob).unwrap();
    assert!(matches!(good(&store), Err(StoreError::Damaged(_))));
}

#[test]
fn stewards_are_passed_on_as_urls_only() {
    for place in Place::quick() {
        let store = place.open();
        for (n, (config, expected)) in [
            (&b"steward = \"https://s:8443/x\""[..], Some("https://s:8443/x")),
            (b"unknown = 1\nsteward = \"https://s\"\n[future]\n", Some("https://s")),
            (b"steward = \"http://s\"", None),
            (b"steward = \"https://s\\n\"", None),
            (b"steward = 7", None),
            (b"[x]\nsteward = \"https://s\"", None),
            (b"not toml", None),
            (b"\xff", None),
            (b"", None),
        ]
        .into_iter()
        .enumerate()
        {
            let tag = tag_name(&format!("0.0.{n}"));
            let tree = tree(&[("main.wasm", WASM), ("Enarx.toml", config)]);
            upload(&store, &tag, &tree, usize::MAX);
            let steward = store.tag(&tag).unwrap().unwrap().steward;
            assert_eq!(steward.as_deref(), expected, "{}", String::from_utf8_lossy(config));
        }
    }
}

#[test]
fn a_bare_module_is_a_tree() {
    for place in Place::all() {
        let store = place.open();
        let (tree, tag) = (Tree::from_module(WASM.to_vec()).unwrap(), tag_name("1.0.0"));
        upload(&store, &tag, &tree, usize::MAX);
        let seen = store.tag(&tag).unwrap().unwrap();
        assert_eq!((seen.digest(), seen.steward.as_deref()), (Sha256::of(WASM), None));
    }
}

#[test]
fn stores_of_others_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("photos")).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Foreign(_))));
    assert!(!dir.path().join(TEMPORARIES).exists());

    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Locked(_))));
    assert!(Store::open_shared(dir.path()).is_ok());
    drop(store);
    drop(Store::open(dir.path()).unwrap());
    let mut version = File::create(dir.path().join("version")).unwrap();
    std::io::Write::write_all(&mut version, b"drawbridge store 3\n").unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Version(_))));
}

#[test]
fn records_are_given_once() {
    for place in Place::all() {
        let store = place.open();
        let user = UserName::new("ann").unwrap();
        let record = |subject: &str| UserRecord { subject: subject.to_owned() };
        assert_eq!(store.user(&user).unwrap(), None);
        assert_eq!(store.put_user(&user, &record("a")).unwrap(), Put::Created);
        assert_eq!(store.put_user(&user, &record("a")).unwrap(), Put::Same);
        assert_eq!(store.put_user(&user, &record("b")).unwrap(), Put::Conflict);
        assert_eq!(store.user(&user).unwrap(), Some(record("a").into()));
        // Who opens it next agrees.
        drop(store);
        assert_eq!(place.open().user(&user).unwrap(), Some(record("a").into()));
    }
}

#[test]
fn of_many_announcements_at_once_one_wins() {
    for place in Place::all() {
        let store = place.open();
        let tag = tag_name("1.0.0");
        let modules: Vec<Tree> = (0..8u8).map(|n| Tree::from_module(vec![n; 9]).unwrap()).collect();
        std::thread::scope(|scope| {
            for tree in &modules {
                let (store, tag) = (&store, &tag);
                scope.spawn(move || {
                    let _ = store.put_tag(tag, &tree.tag(), NOW).unwrap();
                    let _ = put(store, tag, &tree.root().entry, &tree.root().bytes);
                    let _ = store.put_tag(tag, &tree.tag(), NOW).unwrap();
                });
            }
        });
        let seen = store.tag(&tag).unwrap().unwrap();
        let (_, bytes) = node(&store, &seen, "").unwrap().unwrap();
        assert!(modules.iter().any(|t| t.digest() == seen.digest() && t.root().bytes == bytes));
        let same =
            modules.iter().filter(|t| store.put_tag(&tag, &t.tag(), NOW).unwrap() == Put::Same);
        assert_eq!(same.count(), 1);
    }
}

#[test]
fn a_store_that_takes_no_bytes_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(store.probe().is_ok());
    let temporaries = dir.path().join("tmp");
    assert_eq!(std::fs::read_dir(&temporaries).unwrap().count(), 0, "nothing is left");
    std::fs::remove_dir(temporaries).unwrap();
    assert!(store.probe().is_err());
}

/// Makes a directory as version 1 had it of one of version 2.
fn back_to_1(root: &Path) {
    let rename = |from: PathBuf, to: PathBuf| {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::rename(from, to).unwrap();
    };
    let repo = root.join("users/ann/repos/app");
    for kind in ["blobs", "tags"] {
        rename(root.join(kind).join("ann/app"), repo.join(kind));
        std::fs::remove_dir_all(root.join(kind)).unwrap();
    }
    rename(root.join("repos/ann/app.json"), repo.join("repo.json"));
    std::fs::remove_dir_all(root.join("repos")).unwrap();
    rename(root.join("users/ann.json"), root.join("users/ann/user.json"));
    std::io::Write::write_all(
        &mut File::create(root.join("version")).unwrap(),
        VERSION_1.as_bytes(),
    )
    .unwrap();
}

#[test]
fn a_store_of_version_1_becomes_one_of_version_2_even_if_that_breaks_off() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, tag) = (sample(), tag_name("1.0.0"));
    let public = RepoRecord { public: true, ..RepoRecord::default() };
    let fill = |store: &Store| {
        store.put_user(repo().user(), &UserRecord { subject: "ann".to_owned() }).unwrap();
        store.put_repo(&repo(), &public).unwrap();
        upload(store, &tag, &tree, usize::MAX);
    };
    fill(&Store::open(dir.path()).unwrap());
    back_to_1(dir.path());
    // As if the first attempt had been killed after one move.
    std::fs::create_dir_all(dir.path().join("blobs/ann")).unwrap();
    let old = dir.path().join("users/ann/repos/app/blobs");
    std::fs::rename(old, dir.path().join("blobs/ann/app")).unwrap();
    for _ in 0..2 {
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(
            store.user(repo().user()).unwrap(),
            Some(UserRecord { subject: "ann".to_owned() }.into())
        );
        assert_eq!(store.repo(&repo()).unwrap(), Some(public));
        let seen = store.tag(&tag).unwrap().unwrap();
        for (path, node) in tree.nodes() {
            assert_eq!(self::node(&store, &seen, path).unwrap().unwrap().1, node.bytes);
        }
        assert!(!dir.path().join("users/ann").exists());
    }
    assert_eq!(std::fs::read(dir.path().join("version")).unwrap(), VERSION.as_bytes());
}
