// SPDX-License-Identifier: Apache-2.0

//! The client against a registry that lies: whatever is not what its digest says is refused.

#![forbid(unsafe_code)]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod liar;

use drawbridge_client::Error;
use drawbridge_client::drawbridge_core::{
    ContentDigest, DeployInfo, Directory, Entry, TagRecord, Tree, media,
};
use liar::{Answer, Liar, slug};
use types::digest::Sha256;
use types::problem::{self, Problem};

const TAG: &str = "/ann/app/_tag/1.0.0";

fn files() -> Vec<(String, Vec<u8>)> {
    vec![
        ("a/b.txt".to_owned(), b"deep".to_vec()),
        ("main.wasm".to_owned(), b"\0asm\x01\0\0\0".to_vec()),
    ]
}

fn tree() -> Tree {
    Tree::from_files(files()).unwrap()
}

fn honest(tree: &Tree) -> Liar {
    let liar = Liar::start();
    liar.says(TAG, Answer::of(&tree.tag().to_bytes(), media::ENTRY));
    for (path, node) in tree.nodes() {
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        let answer = Answer::of(&node.bytes, &node.entry.media_type);
        liar.says(&format!("{TAG}/tree{path}"), answer);
    }
    liar
}

fn fetch(liar: &Liar, expected: &Sha256) -> Result<Vec<(String, Vec<u8>)>, Error> {
    liar.client().fetch_package(&slug(), expected)
}

#[test]
fn the_truth_is_taken() {
    let tree = tree();
    let liar = honest(&tree);
    assert_eq!(fetch(&liar, &tree.digest()).unwrap(), files());
    let module = Tree::from_module(b"\0asm\x01\0\0\0".to_vec()).unwrap();
    let fetched = fetch(&honest(&module), &module.digest()).unwrap();
    assert_eq!(fetched, files()[1..]);
}

#[test]
fn every_lie_about_a_node_is_found() {
    let tree = tree();
    for (path, node) in tree.nodes() {
        let url = format!("{TAG}/tree{}{path}", if path.is_empty() { "" } else { "/" });
        let good = || Answer::of(&node.bytes, &node.entry.media_type);
        let mut flipped = node.bytes.clone();
        flipped[0] ^= 1;
        let longer = [&node.bytes[..], b" "].concat();
        let lies = [
            ("another byte, own digest", Answer::of(&flipped, &node.entry.media_type)),
            ("another byte, the right digest", Answer { body: flipped.clone(), ..good() }),
            ("a byte more", Answer::of(&longer, &node.entry.media_type)),
            ("a byte less", Answer::of(&node.bytes[1..], &node.entry.media_type)),
            ("nothing", Answer::of(b"", &node.entry.media_type)),
            ("another type", Answer { media_type: Some(media::JSON.into()), ..good() }),
            ("no type", Answer { media_type: None, ..good() }),
            ("no digest", Answer { digest: None, ..good() }),
            ("a bad digest", Answer { digest: Some("sha-256=:AAAA:".into()), ..good() }),
            (
                "another algorithm's digest is wrong",
                Answer {
                    digest: Some(good().digest.unwrap().replace("sha-512=:", "sha-512=:AA")),
                    ..good()
                },
            ),
            ("a redirection", Answer { status: 302, ..good() }),
            ("no content", Answer { status: 204, ..good() }),
            ("a failure", Answer { status: 500, ..good() }),
        ];
        for (what, lie) in lies {
            let liar = honest(&tree);
            liar.says(&url, lie);
            let result = fetch(&liar, &tree.digest());
            assert!(result.is_err(), "{what} at `{path}`");
        }
        let liar = honest(&tree);
        liar.is_silent_about(&url);
        assert_eq!(fetch(&liar, &tree.digest()).unwrap_err().status(), Some(404));
    }
}

#[test]
fn another_tree_is_not_the_one_that_was_asked_for() {
    let (good, other) = (tree(), Tree::from_module(b"\0asm".to_vec()).unwrap());
    let error = fetch(&honest(&other), &good.digest()).unwrap_err();
    assert!(matches!(error, Error::Integrity { .. }), "{error}");
    // The right digest under a tag of another type: a directory is no module.
    let liar = honest(&good);
    let mut entry = good.root().entry.clone();
    entry.media_type = media::WASM.to_owned();
    let tag = TagRecord(entry);
    liar.says(TAG, Answer::of(&tag.to_bytes(), media::ENTRY));
    liar.says(&format!("{TAG}/tree"), Answer::of(&good.root().bytes, media::WASM));
    let error = fetch(&liar, &good.digest()).unwrap_err();
    assert!(error.to_string().contains("no WebAssembly"), "{error}");
}

#[test]
fn tags_in_other_forms_are_refused() {
    let tree = tree();
    let tag = tree.tag().to_bytes();
    let spaced = [&tag[..], b" "].concat();
    for answer in [
        Answer::of(&tag, media::JOSE),
        Answer::of(&tag, media::JSON),
        Answer::of(&spaced, media::ENTRY),
        Answer::of(b"{}", media::ENTRY),
        Answer::of(&[b' '; 100_000], media::ENTRY),
    ] {
        let liar = honest(&tree);
        liar.says(TAG, answer);
        let error = fetch(&liar, &tree.digest()).unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "{error}");
    }
}

#[test]
fn trees_beyond_the_limits_are_not_fetched() {
    // A chain of directories, one deeper than allowed, and a directory that names itself too often.
    let mut below = Entry::of(b"{}", media::DIRECTORY);
    let liar = Liar::start();
    let mut levels = vec![b"{}".to_vec()];
    for _ in 0..17 {
        let mut directory = Directory::new();
        directory.insert("d", below).unwrap();
        levels.push(directory.to_bytes());
        below = Entry::of(&directory.to_bytes(), media::DIRECTORY);
    }
    let tag = TagRecord(below.clone());
    liar.says(TAG, Answer::of(&tag.to_bytes(), media::ENTRY));
    let mut path = format!("{TAG}/tree");
    for bytes in levels.iter().rev() {
        liar.says(&path, Answer::of(bytes, media::DIRECTORY));
        path += "/d";
    }
    let error = fetch(&liar, &below.digest.sha256()).unwrap_err();
    assert!(error.to_string().contains("16 deep"), "{error}");

    let mut root = Directory::new();
    let huge = Entry { length: 90_000_000, ..Entry::of(b"", media::OCTET_STREAM) };
    for name in ["a", "b", "c"] {
        root.insert(name, huge.clone()).unwrap();
    }
    let entry = Entry::of(&root.to_bytes(), media::DIRECTORY);
    let tag = TagRecord(entry.clone());
    let liar = Liar::start();
    liar.says(TAG, Answer::of(&tag.to_bytes(), media::ENTRY));
    liar.says(&format!("{TAG}/tree"), Answer::of(&root.to_bytes(), media::DIRECTORY));
    assert!(fetch(&liar, &entry.digest.sha256()).is_err());
}

#[test]
fn packages_without_a_module_are_none() {
    let mut root = Directory::new();
    root.insert("x.wasm", Entry::of(b"\0asm", media::WASM)).unwrap();
    let entry = Entry::of(&root.to_bytes(), media::DIRECTORY);
    let liar = Liar::start();
    let tag = TagRecord(entry.clone());
    liar.says(TAG, Answer::of(&tag.to_bytes(), media::ENTRY));
    liar.says(&format!("{TAG}/tree"), Answer::of(&root.to_bytes(), media::DIRECTORY));
    liar.says(&format!("{TAG}/tree/x.wasm"), Answer::of(b"\0asm", media::WASM));
    let error = fetch(&liar, &entry.digest.sha256()).unwrap_err();
    assert!(error.to_string().contains("main.wasm"), "{error}");
}

#[test]
fn deployments_are_read_strictly() {
    let liar = Liar::start();
    let info = DeployInfo { digest: Sha256([1; 32]), statement: "x".into(), steward: None };
    let json = serde_json::to_vec(&info).unwrap();
    let url = format!("{TAG}/_deploy");
    liar.says(&url, Answer::of(&json, media::JSON));
    assert_eq!(liar.client().deploy_info(&slug()).unwrap(), info);
    let mut pinned = slug();
    pinned.digest = Some(Sha256([2; 32]));
    let error = liar.client().deploy_info(&pinned).unwrap_err();
    assert!(matches!(error, Error::Integrity { .. }), "{error}");
    let more =
        String::from_utf8(json.clone()).unwrap().replace("\"steward\"", "\"x\":1,\"steward\"");
    for answer in [
        Answer::of(more.as_bytes(), media::JSON),
        Answer::of(&json, media::OCTET_STREAM),
        Answer {
            digest: Some(ContentDigest::of(b"x").to_header()),
            ..Answer::of(&json, media::JSON)
        },
        Answer::of(&vec![b' '; 70_000], media::JSON),
    ] {
        liar.says(&url, answer);
        assert!(matches!(liar.client().deploy_info(&slug()), Err(Error::Answer { .. })));
    }
}

#[test]
fn refusals_keep_their_reasons() {
    let liar = Liar::start();
    let said = Problem::new(403, "Not released", "why").check("release").hint("do this");
    let body = serde_json::to_vec(&said).unwrap();
    liar.says(TAG, Answer { status: 403, ..Answer::of(&body, problem::MEDIA_TYPE) });
    let error = liar.client().tag_entry(&slug()).unwrap_err();
    assert_eq!((error.status(), error.hint()), (Some(403), Some("do this")));
    assert!(error.to_string().contains("why [release]"), "{error}");
    // A document that says another status than its answer, or is none.
    liar.says(TAG, Answer { status: 401, ..Answer::of(&body, problem::MEDIA_TYPE) });
    assert_eq!(liar.client().tag_entry(&slug()).unwrap_err().status(), Some(401));
    liar.says(TAG, Answer { status: 502, ..Answer::of(b"<html>", "text/html") });
    assert_eq!(liar.client().tag_entry(&slug()).unwrap_err().status(), Some(502));
}

#[test]
fn names_and_tokens_that_cannot_be_sent_are_not() {
    let liar = Liar::start();
    let client = liar.client();
    for (user, repo) in [("", "a"), ("a/b", "c"), ("..", "c"), ("a", ".."), ("a", ""), ("a", "b?c")]
    {
        assert!(matches!(client.repo_get(user, repo), Err(Error::Name(_))), "{user}/{repo}");
    }
    let other = "other.example.com/ann/app:1.0.0".parse().unwrap();
    assert!(matches!(client.tag_entry(&other), Err(Error::Name(_))));
    for token in ["", "a b", "a\r\nX: y", "ä", &"x".repeat(20_000)] {
        let client = liar.client().with_token(token);
        assert!(matches!(client.user_get("ann"), Err(Error::Token)));
        assert!(!format!("{client:?}").contains("X: y"));
    }
    assert_eq!(liar.asked(), 0);
}

#[test]
fn nobody_there_is_said_so() {
    let client = {
        let liar = Liar::start();
        liar.client()
    };
    let error = client.tag_entry(&slug()).unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error}");
}
