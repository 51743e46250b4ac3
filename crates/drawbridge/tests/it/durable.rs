// SPDX-License-Identifier: Apache-2.0

//! What was acknowledged stays, what was not leaves no trace, and what the disk spoilt is not served.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use drawbridge_client::drawbridge_core::{ContentDigest, Tree, media};

use crate::world::{ALL, HOST, Options, WASM, World, digest, slug, status, until};

fn temporaries(store: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(store.join("tmp")).unwrap().map(|e| e.unwrap().path()).collect()
}

/// A package with a file that takes a while.
fn large() -> Vec<(String, Vec<u8>)> {
    vec![("main.wasm".to_owned(), WASM.to_vec()), ("z.bin".to_owned(), vec![42; 8_000_000])]
}

#[test]
fn killed_in_the_middle_of_an_upload() {
    let mut world = World::new();
    let ann = world.register("app", true, false);
    world.publish(&ann, "ann/app:0.1.0").unwrap();
    let tree = Tree::from_files(large()).unwrap();
    let headers = |bytes: &[u8], media_type: &str| {
        format!(
            "Host: {HOST}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\nContent-Type: {media_type}\r\nContent-Digest: {}\r\n\r\n",
            world.token("ann", ALL),
            bytes.len(),
            ContentDigest::of(bytes).to_header()
        )
    };
    let base = "/api/v0.1.0/ann/app/_tag/1.0.0";
    let tag = tree.tag().to_bytes();
    let root = &tree.root().bytes;
    for (path, bytes, kind) in
        [(base.to_owned(), &tag, media::ENTRY), (format!("{base}/tree"), root, media::DIRECTORY)]
    {
        let mut stream = world.connect();
        write!(stream, "PUT {path} HTTP/1.1\r\n{}", headers(bytes, kind)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut first = [0; 12];
        std::io::Read::read_exact(&mut stream, &mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 201");
    }
    // Half of a body, and when that has reached the disk, the end.
    let body = vec![42; 8_000_000];
    let mut stream = world.connect();
    let head = headers(&body, media::OCTET_STREAM);
    write!(stream, "PUT {base}/tree/z.bin HTTP/1.1\r\n{head}").unwrap();
    stream.write_all(&body[..4_000_000]).unwrap();
    stream.flush().unwrap();
    until("half of the body is on the disk", || {
        temporaries(&world.store)
            .iter()
            .any(|p| std::fs::metadata(p).is_ok_and(|m| m.len() >= 3_000_000))
    });
    world.kill();
    drop(stream);
    assert_eq!(temporaries(&world.store).len(), 1);
    world.start_again();
    assert!(temporaries(&world.store).is_empty());
    let client = world.anonymous();
    let slug = slug("ann/app:1.0.0");
    assert_eq!(status(client.tag_entry(&slug)), 404);
    assert_eq!(status(client.deploy_info(&slug)), 404);
    assert_eq!(client.tags("ann", "app").unwrap(), ["0.1.0".parse().unwrap()]);
    // What was acknowledged is there.
    let acknowledged = client.fetch_package(&crate::world::slug("ann/app:0.1.0"), &digest());
    assert!(acknowledged.is_ok());
    // The same upload succeeds at once.
    let ann = world.person("ann");
    ann.publish(&slug, large(), &mut |_| {}).unwrap();
    assert_eq!(client.tags("ann", "app").unwrap().len(), 2);
    // Connections of the old process are of no use to the new one's client.
    let fetched = world.anonymous().fetch_package(&slug, &tree.digest()).unwrap();
    assert_eq!(fetched, large());
}

#[test]
fn a_client_that_goes_away_leaves_nothing() {
    let world = World::new();
    let ann = world.register("app", true, false);
    let tree = Tree::from_module(vec![0; 2_000_000]).unwrap();
    let slug = slug("ann/app:1.0.0");
    let tag = tree.tag().to_bytes();
    let authorization = format!("Bearer {}", world.token("ann", ALL));
    let described = crate::world::describe(&tag, media::ENTRY);
    let mut headers: Vec<(&str, &str)> = described.iter().map(|(n, v)| (*n, v.as_str())).collect();
    headers.push(("Authorization", &authorization));
    assert_eq!(world.put("ann/app/_tag/1.0.0", &headers, &tag), 201);
    let mut stream = world.connect();
    write!(
        stream,
        "PUT /api/v0.1.0/ann/app/_tag/1.0.0/tree HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: {authorization}\r\nContent-Length: 2000000\r\nContent-Type: {}\r\nContent-Digest: {}\r\n\r\n",
        media::WASM,
        tree.root().entry.digest.to_header()
    )
    .unwrap();
    stream.write_all(&[0; 500_000]).unwrap();
    stream.flush().unwrap();
    until("something is on the disk", || !temporaries(&world.store).is_empty());
    drop(stream);
    until("it is gone", || temporaries(&world.store).is_empty());
    assert_eq!(status(ann.tag_entry(&slug)), 404);
}

#[test]
fn a_changed_byte_is_never_served() {
    let world = World::new();
    let ann = world.register("app", true, false);
    world.publish(&ann, "ann/app:1.0.0").unwrap();
    let client = world.anonymous();
    let slug = slug("ann/app:1.0.0");
    assert!(client.fetch_package(&slug, &digest()).is_ok());
    let blobs = world.store.join("blobs/ann/app");
    for blob in std::fs::read_dir(&blobs).unwrap() {
        let path = blob.unwrap().path();
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        let last = bad.len() - 1;
        bad[last] ^= 1;
        let write = |bytes: &[u8]| std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        write(&bad);
        let error = client.fetch_package(&slug, &digest()).unwrap_err();
        assert_eq!(error.status(), Some(500), "{error}");
        assert!(error.to_string().contains("store.damaged"), "{error}");
        write(&good);
        assert!(client.fetch_package(&slug, &digest()).is_ok());
    }
    // Two blobs swapped.
    let mut paths: Vec<_> = std::fs::read_dir(&blobs).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let aside = world.dir.path().join("aside");
    std::fs::rename(&paths[0], &aside).unwrap();
    std::fs::rename(&paths[1], &paths[0]).unwrap();
    std::fs::rename(&aside, &paths[1]).unwrap();
    assert_eq!(status(client.fetch_package(&slug, &digest())), 500);
    assert!(world.log().contains("damaged content is not served"));
}

#[test]
fn a_large_upload_hears_its_refusal() {
    let world = World::new();
    let ann = world.register("app", true, false);
    let slug = slug("ann/app:1.0.0");
    let mut expired = false;
    let claims = testkit::oidc::Claims {
        expires_at: crate::world::now().minus(1),
        ..world.claims("ann", ALL)
    };
    let token = world.issuer.mint(&claims, testkit::oidc::Algorithm::Es256).unwrap();
    // The tag and its directory are there; only the large file is missing.
    let late = world.anonymous().with_token(token);
    let result = ann.publish(&slug, large(), &mut |p| {
        if p.path == "z.bin" && !expired {
            expired = true;
            let error = late.publish(&slug, large(), &mut |_| {}).unwrap_err();
            assert_eq!(error.status(), Some(401), "{error}");
        }
    });
    result.unwrap();
    assert!(expired);
}

/// A small file system of its own, if we may mount one.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"])
            .arg(dir.path())
            .output();
        mount.is_ok_and(|o| o.status.success()).then_some(Self(dir))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_is_said_so_and_loses_nothing() {
    let Some(small) = Small::mount() else {
        println!(
            "SKIP 1: a_full_disk_is_said_so_and_loses_nothing: mounting a tmpfs is not allowed here"
        );
        return;
    };
    let world =
        World::with(Options { store: Some(small.0.path().join("store")), ..Options::default() });
    let ann = world.register("app", true, false);
    world.publish(&ann, "ann/app:0.1.0").unwrap();
    let error = ann.publish(&slug("ann/app:1.0.0"), large(), &mut |_| {}).unwrap_err();
    assert_eq!(error.status(), Some(507), "{error}");
    assert!(error.hint().unwrap().contains("made room"));
    assert!(temporaries(&world.store).is_empty());
    // Reading goes on.
    let client = world.anonymous();
    assert!(client.fetch_package(&slug("ann/app:0.1.0"), &digest()).is_ok());
    assert_eq!(client.tags("ann", "app").unwrap(), ["0.1.0".parse().unwrap()]);
    // When there is room again, so does writing.
    let output =
        Command::new("mount").args(["-o", "remount,size=64m"]).arg(small.0.path()).output();
    assert!(output.unwrap().status.success());
    ann.publish(&slug("ann/app:1.0.0"), large(), &mut |_| {}).unwrap();
    assert_eq!(client.tags("ann", "app").unwrap().len(), 2);
    drop(world);
}

#[test]
fn starts_that_fail_say_why() {
    let world = World::new();
    let run = |store: &Path, more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_drawbridge"))
            .args(["serve", "--addr", "127.0.0.1:0", "--host", HOST])
            .arg("--tls-cert")
            .arg(world.dir.path().join("tls.pem"))
            .arg("--tls-key")
            .arg(world.dir.path().join("tls.key"))
            .arg("--store")
            .arg(store)
            .args(more)
            .output()
            .unwrap();
        assert!(!output.status.success());
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let error = run(&world.store, &[]);
    assert!(error.contains("served by another process"), "{error}");
    let error = run(world.dir.path(), &[]);
    assert!(error.contains("no store of a Drawbridge"), "{error}");
    let fresh = world.dir.path().join("fresh");
    let error = run(&fresh, &["--host", "Store.example.com"]);
    assert!(error.contains("lower case") || error.contains("cannot be used"), "{error}");
    let issuer = ["--oidc-issuer", "http://example.com", "--oidc-audience", "x"];
    let error = run(&fresh, &issuer);
    assert!(error.contains("no https URL"), "{error}");
    let error = run(&fresh, &["--keep-ca", "/nonexistent"]);
    assert!(error.contains("/nonexistent"), "{error}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = Command::new(env!("CARGO_BIN_EXE_drawbridge"))
        .args(["serve", "--addr", &address, "--host", HOST])
        .arg("--tls-cert")
        .arg(world.dir.path().join("tls.pem"))
        .arg("--tls-key")
        .arg(world.dir.path().join("tls.key"))
        .arg("--store")
        .arg(&fresh)
        .output()
        .unwrap();
    assert!(!error.status.success());
    let error = String::from_utf8(error.stderr).unwrap();
    assert!(
        error.lines().any(|l| l.starts_with("drawbridge: ") && l.contains(&address)),
        "{error}"
    );
}
