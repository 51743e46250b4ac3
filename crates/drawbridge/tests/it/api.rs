// SPDX-License-Identifier: Apache-2.0

//! The API byte for byte: statuses, headers, refusals.

use drawbridge_client::drawbridge_core::{ContentDigest, Tree, media};
use types::digest::Sha256;

use crate::world::{ALL, HOST, WASM, World, describe, digest, files, slug, status};

#[test]
fn packages_go_in_and_come_out() {
    let mut world = World::new();
    let ann = world.register("app", true, false);
    let mut seen = Vec::new();
    let published = ann
        .publish(&slug("ann/app:1.0.0"), files(), &mut |p| {
            seen.push((p.path.to_owned(), p.bytes, p.bytes_total));
        })
        .unwrap();
    assert_eq!((published.digest, published.already), (digest(), false));
    let last = seen.last().unwrap();
    assert_eq!(last.1, last.2, "all of it is sent at the end");
    assert!(seen.windows(2).all(|w| w[0].1 <= w[1].1));
    assert!(world.publish(&ann, "ann/app:1.0.0").unwrap().already);
    world.publish(&ann, "ann/app:0.9.0-rc.1+b.5").unwrap();
    let tags = world.anonymous().tags("ann", "app").unwrap();
    assert_eq!(tags, ["0.9.0-rc.1+b.5".parse().unwrap(), "1.0.0".parse().unwrap()]);
    let fetched = world.anonymous().fetch_package(&slug("ann/app:1.0.0"), &digest()).unwrap();
    let mut expected = files();
    expected.sort();
    assert_eq!(fetched, expected);
    // A tag keeps its meaning.
    let other = vec![("main.wasm".to_owned(), b"\0asm\x02".to_vec())];
    let error = ann.publish(&slug("ann/app:1.0.0"), other, &mut |_| {}).unwrap_err();
    assert_eq!(error.status(), Some(409), "{error}");
    // A digest in the name is held against what the registry says.
    let wrong = slug(&format!("ann/app:1.0.0@{}", Sha256([9; 32])));
    for result in [
        world.anonymous().deploy_info(&wrong).map(|_| ()),
        world.anonymous().tag_entry(&wrong).map(|_| ()),
        world.anonymous().fetch_package(&slug("ann/app:1.0.0"), &Sha256([9; 32])).map(|_| ()),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, drawbridge_client::Error::Integrity { .. }), "{error}");
    }
    let (log, well) = world.stop();
    assert!(well && log.contains("stopped"), "{log}");
}

#[test]
fn answers_carry_the_three_headers() {
    let world = World::new();
    let ann = world.register("app", true, false);
    world.publish(&ann, "ann/app:1.0.0").unwrap();
    let tree = Tree::from_files(files()).unwrap();
    let tag = tree.tag().to_bytes();
    let node = |path: &str| {
        let node = tree.nodes().find(|(p, _)| *p == path).unwrap().1;
        (node.bytes.clone(), node.entry.media_type.clone())
    };
    let base = "/api/v0.1.0/ann/app/_tag";
    for (path, (bytes, media_type)) in [
        (base.to_owned(), (b"[\"1.0.0\"]".to_vec(), media::JSON.to_owned())),
        (format!("{base}/1.0.0"), (tag, media::ENTRY.to_owned())),
        (format!("{base}/1.0.0/tree"), node("")),
        (format!("{base}/1.0.0/tree/static"), node("static")),
        (format!("{base}/1.0.0/tree/static/img/dot.png"), node("static/img/dot.png")),
        (format!("{base}/1.0.0/tree/main.wasm"), node("main.wasm")),
        (format!("{base}/1.0.0/tree/Enarx.toml"), node("Enarx.toml")),
    ] {
        for (method, body) in [("GET", bytes.as_slice()), ("HEAD", b"")] {
            let head = format!("{method} {path} HTTP/1.1\nHost: {HOST}");
            let (status, head, found) = world.raw(&head, b"");
            assert_eq!((status, found.as_slice()), (200, body), "{method} {path}");
            let head = head.to_lowercase();
            assert!(head.contains(&format!("content-length: {}\r\n", bytes.len())), "{head}");
            assert!(head.contains(&format!("content-type: {media_type}\r\n")), "{head}");
            let digest = ContentDigest::of(&bytes).to_header().to_lowercase();
            assert!(head.contains(&format!("content-digest: {digest}")), "{head}");
        }
    }
    assert_eq!(world.get("/health", None).0, 200);
}

#[test]
fn paths_that_are_none() {
    let world = World::new();
    let ann = world.register("app", true, false);
    world.publish(&ann, "ann/app:1.0.0").unwrap();
    let tree = "/api/v0.1.0/ann/app/_tag/1.0.0/tree";
    for (path, expected) in [
        ("/_x".to_owned(), 404),
        ("/api/v0.2.0/ann/app/_tag".to_owned(), 501),
        ("/api/v1.0.0/ann/app/_tag".to_owned(), 501),
        ("/api/v0.0.1/ann/app/_tag".to_owned(), 200),
        ("/api/vx/ann/app/_tag".to_owned(), 400),
        ("/api/v0.1.0/ann/app/_tag/9.9.9".to_owned(), 404),
        ("/api/v0.1.0/ann/app/_tag/latest".to_owned(), 404),
        ("/api/v0.1.0/ann/app/_tags".to_owned(), 404),
        ("/api/v0.1.0/ann/..%2f..%2fversion".to_owned(), 404),
        (format!("{tree}/none"), 404),
        (format!("{tree}/main.wasm/x"), 404),
        (format!("{tree}/../../../../../../version"), 404),
        (format!("{tree}/static/../main.wasm"), 404),
        (format!("{tree}/%2e%2e/version"), 404),
        (format!("{tree}/main.wasm%00"), 404),
        (format!("{tree}//main.wasm"), 404),
        (format!("{tree}/{}", "x".repeat(256)), 404),
        (format!("{tree}/{}", ["d"; 17].join("/")), 404),
    ] {
        let (status, head, body) = world.get(&path, None);
        assert_eq!(status, expected, "{path}: {head}");
        if status != 200 {
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["status"], expected, "{path}");
        }
    }
    for (method, path) in [
        ("DELETE", "/api/v0.1.0/ann/app"),
        ("POST", "/api/v0.1.0/ann"),
        ("PUT", "/api/v0.1.0/ann/app/_tag"),
        ("PUT", "/api/v0.1.0/ann/app/_tag/1.0.0/_deploy"),
        ("PUT", "/health"),
    ] {
        let head = format!("{method} {path} HTTP/1.1\nHost: {HOST}\nContent-Length: 0");
        let (status, head, _) = world.raw(&head, b"");
        assert_eq!(status, 405, "{method} {path}");
        assert!(head.to_lowercase().contains("allow: get, head"), "{head}");
    }
}

#[test]
fn uploads_that_are_refused() {
    let world = World::new();
    world.register("app", true, false);
    let authorization = format!("Bearer {}", world.token("ann", ALL));
    let put = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let mut all = vec![("Authorization", authorization.as_str())];
        all.extend(headers);
        world.put(path, &all, body)
    };
    let tree = Tree::from_files(files()).unwrap();
    let root = tree.root();
    let base = "ann/app/_tag/1.0.0";
    let tag = tree.tag().to_bytes();
    let described = describe(&tag, media::ENTRY);
    let [length, kind, digest] =
        [0, 1, 2].map(|n: usize| (described[n].0, described[n].1.as_str()));
    // Tags.
    assert_eq!(put(base, &[kind, digest], b""), 411);
    assert_eq!(put(base, &[("Transfer-Encoding", "chunked"), kind, digest], b"0\r\n\r\n"), 411);
    assert_eq!(put(base, &[length, kind], &tag), 400);
    assert_eq!(put(base, &[length, digest], &tag), 400);
    assert_eq!(put(base, &[length, ("Content-Type", media::JSON), digest], &tag), 400);
    assert_eq!(put(base, &[length, ("Content-Type", media::JOSE), digest], &tag), 400);
    assert_eq!(put(base, &[("Content-Length", "70000"), kind, digest], b""), 413);
    let mut changed = tag.clone();
    changed[20] ^= 1;
    assert_eq!(put(base, &[length, kind, digest], &changed), 400);
    let spaced = [&b" "[..], &tag].concat();
    let headers = describe(&spaced, media::ENTRY);
    assert_eq!(put(base, &headers.each_ref().map(|(n, v)| (*n, v.as_str())), &spaced), 400);
    assert_eq!(put("ann/app/_tag/latest", &[length, kind, digest], &tag), 404);
    assert_eq!(put("ann/none/_tag/1.0.0", &[length, kind, digest], &tag), 404);
    // Nodes before their tag, and before their directory.
    let wasm = describe(WASM, media::WASM);
    let wasm = wasm.each_ref().map(|(n, v)| (*n, v.as_str()));
    let node = format!("{base}/tree/main.wasm");
    assert_eq!(put(&node, &wasm, WASM), 404);
    assert_eq!(put(base, &[length, kind, digest], &tag), 201);
    assert_eq!(put(base, &[length, kind, digest], &tag), 200);
    assert_eq!(put(&node, &wasm, WASM), 404);
    // A root that is not what the tag says.
    let rooted = format!("{base}/tree");
    let headers = describe(b"{}", media::DIRECTORY);
    assert_eq!(put(&rooted, &headers.each_ref().map(|(n, v)| (*n, v.as_str())), b"{}"), 400);
    let headers = describe(&root.bytes, media::DIRECTORY);
    let headers = headers.each_ref().map(|(n, v)| (*n, v.as_str()));
    assert_eq!(put(&rooted, &headers, &root.bytes), 201);
    // Nodes that are not what their directory says.
    assert_eq!(put(&format!("{base}/tree/other.wasm"), &wasm, WASM), 400);
    assert_eq!(put(&format!("{base}/tree/main.wasm/x"), &wasm, WASM), 400);
    assert_eq!(put(&node, &[wasm[0], ("Content-Type", media::TOML), wasm[2]], WASM), 400);
    assert_eq!(put(&node, &wasm[..2], WASM), 400);
    assert_eq!(put(&node, &[wasm[1], wasm[2]], b""), 411);
    assert_eq!(put(&node, &wasm, b"\0asm\x02\0\0\0"), 400);
    let large = [("Content-Length", "100000001"), wasm[1], wasm[2]];
    assert_eq!(put(&node, &large, b""), 413);
    let other = describe(b"\0asm\x02\0\0\0", media::WASM);
    let other = other.each_ref().map(|(n, v)| (*n, v.as_str()));
    assert_eq!(put(&node, &other, b"\0asm\x02\0\0\0"), 400);
    // None of that is to be seen, and none of it stands in the way.
    assert_eq!(status(world.anonymous().tag_entry(&slug("ann/app:1.0.0"))), 404);
    assert_eq!(world.anonymous().tags("ann", "app").unwrap().len(), 0);
    let ann = world.person("ann");
    assert_eq!(world.publish(&ann, "ann/app:1.0.0").unwrap().digest, tree.digest());
    // What stands for something is not replaced.
    assert_eq!(put(&node, &wasm, WASM), 200);
    assert_eq!(put(&node, &other, b"\0asm\x02\0\0\0"), 409);
    assert!(std::fs::read_dir(world.store.join("tmp")).unwrap().next().is_none());
    // Records.
    let json = |path: &str, body: &str| {
        let headers = describe(body.as_bytes(), media::JSON);
        put(path, &headers.each_ref().map(|(n, v)| (*n, v.as_str())), body.as_bytes())
    };
    assert_eq!(json("ann/x", "{\"public\":true,\"more\":1}"), 400);
    assert_eq!(json("ann/x", "{\"public\":\"yes\"}"), 400);
    assert_eq!(json("ann/x", &format!("{{\"public\":{}", "[".repeat(60_000))), 400);
    assert_eq!(json("ann/x_y", "{\"public\":true}"), 404);
    assert_eq!(json("ann/x", "{\"public\":true}"), 201);
    assert_eq!(json("ann/x", "{ \"public\": true }"), 200);
}
