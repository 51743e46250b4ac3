// SPDX-License-Identifier: Apache-2.0

//! Parts of content, and content that did not change.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;

use drawbridge_client::drawbridge_core::{ContentDigest, Tree};

use crate::world::{HOST, World, slug};

const SIZE: usize = 3_000_000;

fn content() -> Vec<u8> {
    (0..=250).cycle().take(SIZE).collect()
}

fn publish(world: &World) {
    let ann = world.register("app", true, false);
    ann.publish(&slug("ann/app:1.0.0"), vec![("main.wasm".to_owned(), content())], &mut |_| {})
        .unwrap();
}

fn get(world: &World, method: &str, header: &str) -> (u16, String, Vec<u8>) {
    let path = "/api/v0.1.0/ann/app/_tag/1.0.0/tree/main.wasm";
    world.raw(&format!("{method} {path} HTTP/1.1\nHost: {HOST}\n{header}"), b"")
}

#[test]
fn a_part_is_a_part_and_what_did_not_change_is_not_sent() {
    let world = World::new();
    publish(&world);
    let (content, digest) = (content(), ContentDigest::of(&content()));
    let (status, head, body) = get(&world, "GET", "Range: bytes=1000000-1999999");
    assert_eq!(status, 206, "{head}");
    let head = head.to_lowercase();
    assert!(head.contains("content-range: bytes 1000000-1999999/3000000"), "{head}");
    assert!(head.contains("content-length: 1000000"), "{head}");
    assert!(head.contains("repr-digest: ") && !head.contains("content-digest"), "{head}");
    assert!(body == content[1_000_000..2_000_000]);
    assert!(get(&world, "GET", "Range: bytes=-7").2 == content[SIZE - 7..]);
    let (status, head, _) = get(&world, "GET", "Range: bytes=3000000-");
    assert_eq!(status, 416);
    assert!(head.to_lowercase().contains("content-range: bytes */3000000"), "{head}");
    let (status, head, body) = get(&world, "GET", "Range: bytes=0-1,5-6");
    assert_eq!(status, 200);
    assert!(body == content);
    let tag = format!("\"{}\"", digest.sha256());
    assert!(head.contains(&tag) && head.contains(&digest.to_header()), "{head}");
    let (status, head, body) = get(&world, "GET", &format!("If-None-Match: {tag}"));
    assert_eq!((status, body.len()), (304, 0), "{head}");
    assert!(head.contains(&tag));
    assert_eq!(get(&world, "GET", "If-None-Match: \"other\"").0, 200);
    let (status, head, body) = get(&world, "HEAD", "Range: bytes=0-1");
    assert_eq!((status, body.len()), (200, 0));
    assert!(head.to_lowercase().contains("content-length: 3000000"), "{head}");
    assert_eq!(get(&world, "GET", "Range: bytes=0-1\nIf-Range: \"other\"").0, 200);
}

#[test]
fn an_answer_with_a_wrong_byte_is_cut_short_and_the_next_is_an_error() {
    let world = World::new();
    publish(&world);
    let tree = Tree::from_files(vec![("main.wasm".to_owned(), content())]).unwrap();
    let entry = &tree.nodes().find(|(path, _)| *path == "main.wasm").unwrap().1.entry;
    let blob = world.store.join("blobs/ann/app").join(entry.digest.sha256().to_hex());
    let file = std::fs::File::options().write(true).open(blob).unwrap();
    file.write_at(&[content()[SIZE - 1] ^ 1], SIZE as u64 - 1).unwrap();
    let mut stream = world.connect();
    let path = "/api/v0.1.0/ann/app/_tag/1.0.0/tree/main.wasm";
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // The connection ends without TLS's goodbye, which is an error by itself.
    let end = stream.read_to_end(&mut answer);
    let at = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(answer[..at].to_vec()).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("content-length: 3000000"), "{head}");
    assert!(answer.len() - at < SIZE, "cut short: {end:?}");
    let (status, head, body) = get(&world, "GET", "Accept: */*");
    assert_eq!(status, 500, "{head}");
    assert!(String::from_utf8_lossy(&body).contains("store.damaged"));
    assert_eq!(get(&world, "GET", "Range: bytes=0-1").0, 500);
}
