// SPDX-License-Identifier: Apache-2.0

//! Requests made to fill memory or to get out of the store: each is refused or takes little, and the next is answered.

use std::io::{Read as _, Write as _};

use drawbridge_client::drawbridge_core::oci::IMAGE;
use drawbridge_client::drawbridge_core::{ContentDigest, Entry, TagRecord, media};
use serde_json::json;
use types::digest::Sha256;
use types::limits;

use crate::world::{ALL, HOST, WASM, World, describe};

/// How much a bomb may add to what the registry had in memory before the first one, in bytes.
const RISE_MAX: u64 = 32 * 1024 * 1024;

/// A registry, and what one request at a time costs it.
struct Range {
    world: World,
    authorization: String,
    /// What it had in memory before the first, in bytes.
    fresh: u64,
}

impl Range {
    fn new() -> Self {
        let world = World::new();
        world.register("app", true, false);
        let authorization = format!("Authorization: Bearer {}", world.token("ann", ALL));
        let mut range = Self { world, authorization, fresh: 0 };
        range.fresh = range.memory("VmRSS:");
        range
    }

    fn memory(&self, what: &str) -> u64 {
        let status = format!("/proc/{}/status", self.world.pid());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Does something, whose cost at its peak is bounded, after which the registry works on.
    fn costs_little<T>(&self, name: &str, bomb: impl FnOnce() -> T) -> T {
        let clear = format!("/proc/{}/clear_refs", self.world.pid());
        // From now on the peak is that from now on (Linux, proc(5)).
        std::fs::OpenOptions::new().write(true).open(clear).unwrap().write_all(b"5").unwrap();
        let outcome = bomb();
        let rise = self.memory("VmHWM:").saturating_sub(self.fresh);
        eprintln!("{name}: {} KiB", rise / 1024);
        assert!(rise <= RISE_MAX, "{name}: {rise} bytes more");
        assert_eq!(self.world.get("/health", None).0, 200, "{name}");
        outcome
    }

    /// A request with this head and one piece over and over, for as long as the registry takes it; the status of the answer, if
    /// it comes.
    fn flood(&self, head: &str, piece: &[u8], times: usize) -> Option<u16> {
        let mut stream = self.world.connect();
        let head = format!("{head}\n{}\n\n", self.authorization).replace('\n', "\r\n");
        // The registry may have had enough before this is all sent.
        let _ = stream.write_all(head.as_bytes());
        for _ in 0..times {
            if stream.write_all(piece).is_err() {
                break;
            }
        }
        let _ = stream.flush();
        let mut start = [0; 12];
        stream.read_exact(&mut start).ok()?;
        std::str::from_utf8(&start).unwrap()[9..].parse().ok()
    }

    /// A PUT of this content, as it should be described.
    fn put(&self, path: &str, media_type: &str, body: &[u8]) -> u16 {
        let described = describe(body, media_type);
        let mut headers: Vec<_> = described.iter().map(|(n, v)| (*n, v.as_str())).collect();
        headers.push(self.authorization.split_once(": ").unwrap());
        self.world.put(path, &headers, body)
    }

    /// The same with a manifest.
    fn manifest(&self, body: &[u8]) -> u16 {
        let head = format!(
            "PUT /v2/ann/app/manifests/bomb HTTP/1.1\nHost: {HOST}\n{}\nContent-Type: {IMAGE}\nContent-Length: {}",
            self.authorization,
            body.len()
        );
        self.world.raw(&head, body).0
    }
}

/// Many requests, over one connection as long as the registry keeps it.
struct Caller<'r> {
    range: &'r Range,
    stream: Option<Box<dyn ReadWrite>>,
}

trait ReadWrite: std::io::Read + std::io::Write {}

impl<T: std::io::Read + std::io::Write> ReadWrite for T {}

impl Caller<'_> {
    /// The status of a request for this path.
    fn ask(&mut self, method: &str, path: &str, body: &str) -> u16 {
        let digest = ContentDigest::of(body.as_bytes()).to_header();
        let head = format!(
            "{method} {path} HTTP/1.1\nHost: {HOST}\n{}\nContent-Type: {}\nContent-Digest: {digest}\nContent-Length: {}\n\n",
            self.range.authorization,
            media::JSON,
            body.len()
        );
        let stream = self.stream.get_or_insert_with(|| Box::new(self.range.world.connect()));
        write!(stream, "{}{body}", head.replace('\n', "\r\n")).unwrap();
        stream.flush().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let value =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length: usize = value("content-length:").map_or(0, |length| length.parse().unwrap());
        stream.read_exact(&mut vec![0; length]).unwrap();
        if value("connection:") == Some("close") {
            self.stream = None;
        }
        head[9..12].parse().unwrap()
    }
}

#[test]
fn bombs_of_bytes_cost_little() {
    let range = Range::new();
    let piece = vec![b'x'; 64 * 1024];
    let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
    let put = |path: &str| format!("PUT {path} HTTP/1.1\nHost: {HOST}");
    let user = "/api/v0.1.0/ann";
    // More than was declared: what is declared counts, and the rest is no request.
    let told = "{\"public\":true}";
    let json = format!("{}\nContent-Type: {}", put(&format!("{user}/more")), media::JSON);
    let digest = ContentDigest::of(told.as_bytes()).to_header();
    let head = format!("{json}\nContent-Digest: {digest}\nContent-Length: {}", told.len());
    let more = [told.as_bytes(), &piece].concat();
    let status = range.costs_little("more than declared", || range.flood(&head, &more, 1000));
    assert!(matches!(status, Some(201) | None), "{status:?}");
    // More than anybody may send.
    let tree = format!("{user}/app/_tag/1.0.0/tree/main.wasm");
    for (name, length, expected) in [
        ("4 EiB", "4611686018427387904", 413),
        ("2^64", "18446744073709551616", 400),
        ("minus", "-1", 400),
        ("hexadecimal", "0x10", 400),
        ("two lengths", "5\nContent-Length: 6", 400),
    ] {
        for path in [&tree, user, "/v2/ann/app/manifests/bomb"] {
            let head =
                format!("{}\nContent-Type: {}\nContent-Length: {length}", put(path), media::WASM);
            let status = range.costs_little(name, || range.flood(&head, &piece, 100));
            assert!(
                status.is_none_or(|status| status == expected || status == 400),
                "{name} {path}: {status:?}"
            );
        }
    }
    // No length.
    for (path, expected) in [(tree.as_str(), 411), (user, 411), ("/v2/ann/app/manifests/bomb", 413)]
    {
        let head = format!("{}\nContent-Type: {IMAGE}\nTransfer-Encoding: chunked", put(path));
        let status = range.costs_little("without a length", || range.flood(&head, &chunk, 1000));
        assert!(status.is_none_or(|status| status == expected), "{path}: {status:?}");
    }
    // Of both kinds: the request of somebody else could begin in its middle.
    let both = format!("{}\nTransfer-Encoding: chunked\nContent-Length: 5", put(user));
    assert!(matches!(
        range.costs_little("both", || range.flood(&both, b"0\r\n\r\n", 1)),
        Some(400 | 411)
    ));
    // A blob without a length goes to the disk as it comes; one that breaks off is not there.
    let head = format!(
        "POST /v2/ann/app/blobs/uploads/ HTTP/1.1\nHost: {HOST}\n{}\nContent-Length: 0",
        range.authorization
    );
    let (status, head, _) = range.world.raw(&head, b"");
    assert_eq!(status, 202, "{head}");
    let place = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("location: ").map(|_| &line[10..]));
    let head = format!(
        "PATCH {} HTTP/1.1\nHost: {HOST}\nContent-Type: application/octet-stream\nTransfer-Encoding: chunked",
        place.unwrap().trim()
    );
    range.costs_little("a blob of 64 MiB without an end", || {
        let mut stream = range.world.connect();
        let head = format!("{head}\n{}\n\n", range.authorization).replace('\n', "\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        for _ in 0..1024 {
            stream.write_all(&chunk).unwrap();
        }
    });
    // Heads.
    for (name, head) in [
        ("one header of 4 MiB", format!("{}\nX: {}", put(user), "x".repeat(4 << 20))),
        ("100,000 headers", format!("{}{}", put(user), "\nX: x".repeat(100_000))),
        ("a path of 4 MiB", put(&format!("/{}", "x".repeat(4 << 20)))),
        ("a query of 4 MiB", put(&format!("{user}?{}", "x".repeat(4 << 20)))),
        (
            "a token of 4 MiB",
            format!("{}\nAuthorization: Bearer {}", put(user), "x".repeat(4 << 20)),
        ),
    ] {
        let status = range.costs_little(name, || range.flood(&head, b"", 0));
        assert!(matches!(status, None | Some(400 | 414 | 431)), "{name}: {status:?}");
    }
}

/// 64 MiB of zeros by gzip.
fn bomb() -> Vec<u8> {
    let mut gzip = std::process::Command::new("gzip")
        .arg("-9")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = gzip.stdin.take().unwrap();
    let zeros = std::thread::spawn(move || {
        for _ in 0..1024 {
            stdin.write_all(&[0; 64 * 1024]).unwrap();
        }
    });
    let output = gzip.wait_with_output().unwrap();
    zeros.join().unwrap();
    assert!(output.stdout.len() < 100_000);
    output.stdout
}

#[test]
fn what_is_compressed_stays_so() {
    let range = Range::new();
    let bomb = bomb();
    let digest = Sha256::of(&bomb);
    let post = format!(
        "POST /v2/ann/app/blobs/uploads/?digest={digest} HTTP/1.1\nHost: {HOST}\n{}\nContent-Encoding: gzip\nContent-Length: {}",
        range.authorization,
        bomb.len()
    );
    assert_eq!(range.costs_little("a blob by gzip", || range.world.raw(&post, &bomb).0), 201);
    let get = format!("/v2/ann/app/blobs/{digest}");
    let (status, head, body) = range.costs_little("reading it", || range.world.get(&get, None));
    assert_eq!((status, body == bomb), (200, true), "{head}");
    // Nor is it unpacked as a layer of a package.
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest.to_string(), "size": bomb.len()});
    let layer = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest.to_string(), "size": bomb.len()});
    let manifest =
        json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [layer]});
    let manifest = manifest.to_string();
    assert_eq!(range.costs_little("a layer", || range.manifest(manifest.as_bytes())), 201);
    // Where a document is wanted, it is none.
    let json = format!(
        "PUT /api/v0.1.0/ann/x HTTP/1.1\nHost: {HOST}\n{}\nContent-Type: {}\nContent-Encoding: gzip\nContent-Digest: {}\nContent-Length: {}",
        range.authorization,
        media::JSON,
        ContentDigest::of(&bomb).to_header(),
        bomb.len()
    );
    let status = range.costs_little("a record", || range.world.raw(&json, &bomb).0);
    assert!(matches!(status, 400 | 413), "{status}");
}

#[test]
fn bombs_of_structure_cost_little() {
    let range = Range::new();
    let million = |open: &str, item: &str, close: &str, max: usize| {
        let mut text = open.to_owned();
        while text.len() + item.len() + close.len() + 16 < max {
            // Names that are there twice are another matter.
            let number = text.len().to_string();
            text += &item.replace('#', &number);
        }
        text.pop();
        text + close
    };
    // Deep, and with as many entries as there is room for: manifests.
    let max = limits::OCI_MANIFEST_BYTES_MAX;
    let digest = format!("sha256:{}", "0".repeat(64));
    let whole = |member: &str| {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{digest}","size":1}},"layers":[],{member}"#
        )
    };
    let layer = format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":1}},"#);
    for (name, text) in [
        ("deep arrays", "[".repeat(max)),
        ("deep objects", "{\"a\":".repeat(max / 5)),
        ("deep in what is skipped", format!(r#"{{"schemaVersion":2,"x":{}"#, "[".repeat(max - 40))),
        ("2 M numbers in what is skipped", million(&whole("\"x\":["), "0,", "]}", max)),
        ("many names in what is skipped", million(&whole("\"x\":{"), "\"#\":0,", "}}", max)),
        ("many layers", million(r#"{"schemaVersion":2,"layers":["#, &layer, "]}", max)),
        (
            "many layers that are none",
            million(r#"{"schemaVersion":2,"layers":["#, "{},", "]}", max),
        ),
        ("many annotations", million(&whole("\"annotations\":{"), "\"#\":\"\",", "}}", max)),
        (
            "many annotations of a layer",
            million(
                &format!(
                    r#"{{"schemaVersion":2,"layers":[{{"mediaType":"a/b","digest":"{digest}","size":1,"annotations":{{"#
                ),
                "\"#\":\"\",",
                "}}]}",
                max,
            ),
        ),
    ] {
        let status = range.costs_little(name, || range.manifest(text.as_bytes()));
        assert!(matches!(status, 400 | 404), "{name}: {status}");
    }
    // Directories.
    let max = limits::DIRECTORY_BYTES_MAX;
    let entry = |length: usize, bytes: &[u8]| {
        let mut entry = Entry::of(bytes, media::DIRECTORY);
        entry.length = length as u64;
        entry
    };
    let tag = |version: &str, bytes: &[u8]| {
        let tag = TagRecord(entry(bytes.len(), bytes));
        range.put(&format!("ann/app/_tag/{version}"), media::ENTRY, &tag.to_bytes())
    };
    let of = Entry::of(WASM, media::WASM);
    let of = serde_json::to_string(&of).unwrap();
    for (number, (name, text)) in [
        ("a directory of deep arrays", "[".repeat(max)),
        ("a directory of deep objects", "{\"a\":".repeat(max / 5)),
        ("a directory of many entries", million("{", &format!("\"#\":{of},"), "}", max)),
        ("a directory of many that are none", million("{", "\"#\":0,", "}", max)),
        ("a directory of 1 M entries", million("{", "\"#\":{},", "}", 12_000_000)),
    ]
    .into_iter()
    .enumerate()
    {
        let version = format!("1.0.{number}");
        let announced = tag(&version, text.as_bytes());
        assert_eq!(announced, if text.len() > max { 400 } else { 201 }, "{name}");
        let path = format!("ann/app/_tag/{version}/tree");
        let described = describe(text.as_bytes(), media::DIRECTORY);
        let mut headers: Vec<_> = described.iter().map(|(n, v)| (*n, v.as_str())).collect();
        headers.push(range.authorization.split_once(": ").unwrap());
        // What is too long is refused before it is all there.
        let sent = &text.as_bytes()[..text.len().min(max)];
        let status = range.costs_little(name, || range.world.put(&path, &headers, sent));
        assert!(matches!(status, 400 | 404 | 413), "{name}: {status}");
    }
    // A tree that goes deeper than it may.
    let mut levels = vec![b"{}".to_vec()];
    for _ in 0..limits::TREE_DEPTH_MAX + 1 {
        let below = Entry::of(levels.last().unwrap(), media::DIRECTORY);
        levels.push(serde_json::to_vec(&json!({"d": below})).unwrap());
    }
    levels.reverse();
    assert_eq!(tag("2.0.0", &levels[0]), 201);
    range.costs_little("a deep tree", || {
        for (depth, bytes) in levels.iter().enumerate() {
            let names = "/d".repeat(depth);
            let status =
                range.put(&format!("ann/app/_tag/2.0.0/tree{names}"), media::DIRECTORY, bytes);
            // The deepest could have nothing in it.
            let expected = if depth < limits::TREE_DEPTH_MAX { 201..=201 } else { 400..=413 };
            assert!(expected.contains(&status), "{depth}: {status}");
        }
    });
    // Small documents.
    for path in ["ann/x", "ann/_org", "ann/_publishers", "ann/app/_access", "ann/app/_publishers"] {
        let max = limits::JSON_BYTES_MAX;
        for text in [
            "[".repeat(max),
            "{\"a\":".repeat(max / 5),
            million("{\"users\":{", "\"#\":\"reader\",", "}}", max),
        ] {
            let status = range.costs_little(path, || range.put(path, media::JSON, text.as_bytes()));
            assert!(matches!(status, 400 | 409), "{path}: {status}");
        }
    }
    let max = limits::RELEASE_POLICY_BYTES_MAX;
    for text in [
        format!("a = {}", "[".repeat(max - 4)),
        format!("a = {}", "{a=".repeat(max / 3 - 2)),
        format!("{} = 1", ["a"; 1000].join(".")).repeat(8),
        "[[release]]\n".repeat(max / 12),
        format!("[{}]\n", ["a"; 16_000].join(".")),
    ] {
        let path = "ann/app/_policy";
        let status = range.costs_little(path, || range.put(path, media::TOML, text.as_bytes()));
        assert_eq!(status, 400, "{}", &text[..40]);
    }
}

#[test]
fn tricks_of_paths_reach_nothing() {
    let range = Range::new();
    let outside = range.world.dir.path().join("outside");
    let listing = || {
        let mut names: Vec<_> = std::fs::read_dir(range.world.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = listing();
    let mut caller = Caller { range: &range, stream: None };
    let long = "x".repeat(256);
    let tricks = [
        "..",
        ".",
        "../..",
        "../../../outside",
        "%2e%2e",
        "%2e%2e%2foutside",
        "..%2foutside",
        "..%5coutside",
        "a%00b",
        "%00",
        "%c0%ae%c0%ae",
        "%e2%80%ae",
        "a%CC%81",
        "%ef%bc%8e%ef%bc%8e",
        "a%0d%0ab",
        "_",
        "a b",
        "%ff",
        "",
        "con%3a",
        "~",
        "*",
        &long,
    ];
    for trick in tricks {
        for path in [
            trick.to_owned(),
            format!("ann/{trick}"),
            format!("ann/app/_tag/{trick}"),
            format!("ann/app/_tag/1.0.0/tree/{trick}"),
            format!("ann/app/_tag/1.0.0/tree/a/{trick}/b"),
            format!("ann/app/_policy/{trick}"),
            format!("ann/_token/{trick}"),
        ] {
            let path = format!("/api/v0.1.0/{path}");
            for (method, body) in [("PUT", "{\"public\":true}"), ("GET", "")] {
                let status = caller.ask(method, &path, body);
                // Without a name it is the list of them.
                let list = method == "GET" && path.ends_with("_tag/") && status == 200;
                assert!((400..500).contains(&status) || list, "{method} {path}: {status}");
            }
        }
        for path in [
            format!("{trick}/app/blobs/sha256:{}", "0".repeat(64)),
            format!("ann/{trick}/tags/list"),
            format!("ann/app/manifests/{trick}"),
            format!("ann/app/blobs/{trick}"),
            format!("ann/app/blobs/uploads/{trick}"),
            format!("ann/app/referrers/{trick}"),
        ] {
            for method in ["GET", "PUT", "PATCH", "DELETE"] {
                let status = caller.ask(method, &format!("/v2/{path}"), "");
                assert!((400..500).contains(&status), "{method} {path}: {status}");
            }
        }
    }
    // Names in a directory.
    for (number, name) in
        ["..", ".", "", "a/b", "../outside", "a\\\\b", "a\\u0000b", "\\u202e", "e\\u0301", &long]
            .into_iter()
            .enumerate()
    {
        let entry = serde_json::to_string(&Entry::of(WASM, media::WASM)).unwrap();
        let directory = format!("{{\"{name}\":{entry}}}");
        let tag = TagRecord(Entry::of(directory.as_bytes(), media::DIRECTORY));
        let path = format!("ann/app/_tag/3.0.{number}");
        assert_eq!(range.put(&path, media::ENTRY, &tag.to_bytes()), 201);
        let status = range.put(&format!("{path}/tree"), media::DIRECTORY, directory.as_bytes());
        assert_eq!(status, 400, "{name}");
    }
    assert_eq!(listing(), before);
    assert!(!outside.exists());
}
