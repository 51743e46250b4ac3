// SPDX-License-Identifier: Apache-2.0

//! A registry that is killed at random moments while it is written to by both protocols.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use drawbridge_client::drawbridge_core::Tree;
use drawbridge_client::drawbridge_core::oci::IMAGE;
use serde_json::{Value, json};
use testkit::random::{Random, count};
use types::digest::Sha256;

use crate::world::{ALL, WASM, World, slug, until};

const BLOBS: &str = "/v2/ann/app/blobs";
const CHUNK_BYTES: usize = 100_000;

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Drawbridge,
    Oci,
    /// Blobs in chunks, without a manifest.
    Chunks,
}

/// The files of the package with this tag.
fn package(tag: &str) -> Vec<(String, Vec<u8>)> {
    let mut random = Random::new(tag.bytes().fold(7, |n, b| n * 31 + u64::from(b)));
    let mut file = |most: usize| {
        let length = random.below(most);
        random.bytes(length)
    };
    vec![
        ("main.wasm".to_owned(), [WASM, &file(200)].concat()),
        ("data/large.bin".to_owned(), file(400_000)),
        ("data/small.bin".to_owned(), file(5_000)),
    ]
}

/// The blob with this name, of several chunks.
fn blob(name: &str) -> Vec<u8> {
    let [one, two, three] = package(name).try_into().unwrap();
    [one.1, vec![0; 200_000], two.1, three.1].concat()
}

fn sha(bytes: &[u8]) -> String {
    Sha256::of(bytes).to_string()
}

/// What was said yes to in one life of the registry, and what was begun.
#[derive(Debug, Default)]
struct Told {
    /// Tags that stand for their packages.
    tags: Vec<String>,
    /// Blobs that have arrived.
    blobs: Vec<Vec<u8>>,
    /// Where chunks go, the name of the whole, and how many bytes have arrived.
    uploads: Vec<(String, String, usize)>,
    /// What was being written when the registry died.
    open: Vec<(Protocol, String)>,
}

/// Whoever writes, until nobody answers any more.
struct Writer<'w> {
    world: &'w World,
    token: String,
    told: &'w Mutex<Told>,
    answers: &'w AtomicU64,
}

impl Writer<'_> {
    /// The answer with this status, `None` if nobody answers.
    fn send(
        &self,
        method: &str,
        path: &str,
        more: &str,
        body: &[u8],
        status: u16,
    ) -> Option<(String, Vec<u8>)> {
        let mut head = format!("{method} {path} HTTP/1.1\nHost: x\nAuthorization: {}", self.token);
        if method != "GET" {
            head += &format!("\nContent-Length: {}", body.len());
        }
        let (found, head, body) = self.world.try_raw(&format!("{head}{more}"), body)?;
        assert_eq!(found, status, "{method} {path}: {head}\n{}", String::from_utf8_lossy(&body));
        self.answers.fetch_add(1, Ordering::SeqCst);
        Some((head, body))
    }

    fn write(&self, protocol: Protocol, name: &str) -> Option<()> {
        match protocol {
            Protocol::Drawbridge => self.publish(name),
            Protocol::Oci => self.push(name),
            Protocol::Chunks => self.chunks(name),
        }
    }

    fn publish(&self, tag: &str) -> Option<()> {
        let name = slug(&format!("ann/app:{tag}"));
        match self.world.person("ann").publish(&name, package(tag), &mut |_| {}) {
            Ok(published) => {
                assert_eq!(published.digest, Tree::from_files(package(tag)).unwrap().digest());
                self.answers.fetch_add(1, Ordering::SeqCst);
                self.told.lock().unwrap().tags.push(tag.to_owned());
                Some(())
            }
            Err(error) => {
                assert_eq!(error.status(), None, "{tag}: {error}");
                None
            }
        }
    }

    fn push(&self, tag: &str) -> Option<()> {
        let push = |bytes: &[u8]| {
            let digest = sha(bytes);
            self.send("POST", &format!("{BLOBS}/uploads/?digest={digest}"), "", bytes, 201)?;
            self.told.lock().unwrap().blobs.push(bytes.to_vec());
            let kind = "application/octet-stream";
            Some(json!({"mediaType": kind, "digest": digest, "size": bytes.len()}))
        };
        let mut config = push(b"{}")?;
        config["mediaType"] = json!("application/vnd.oci.empty.v1+json");
        let mut layers = Vec::new();
        for (path, bytes) in package(tag) {
            let mut layer = push(&bytes)?;
            layer["annotations"] = json!({"org.opencontainers.image.title": path});
            layers.push(layer);
        }
        let manifest =
            json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers});
        let path = format!("/v2/ann/app/manifests/{tag}");
        let kind = format!("\nContent-Type: {IMAGE}");
        self.send("PUT", &path, &kind, manifest.to_string().as_bytes(), 201)?;
        self.told.lock().unwrap().tags.push(tag.to_owned());
        Some(())
    }

    fn chunks(&self, name: &str) -> Option<()> {
        let (head, _) = self.send("POST", &format!("{BLOBS}/uploads/"), "", b"", 202)?;
        let location = header(&head, "location").unwrap().to_owned();
        self.told.lock().unwrap().uploads.push((location.clone(), name.to_owned(), 0));
        self.go_on(&location, name, 0)
    }

    fn go_on(&self, location: &str, name: &str, mut arrived: usize) -> Option<()> {
        let bytes = blob(name);
        while arrived < bytes.len() {
            let to = bytes.len().min(arrived + CHUNK_BYTES);
            let range = format!("\nContent-Range: {arrived}-{}", to - 1);
            self.send("PATCH", location, &range, &bytes[arrived..to], 202)?;
            arrived = to;
            self.told.lock().unwrap().uploads.last_mut().unwrap().2 = arrived;
        }
        self.send("PUT", &format!("{location}?digest={}", sha(&bytes)), "", b"", 201)?;
        let mut told = self.told.lock().unwrap();
        told.uploads.pop();
        told.blobs.push(bytes);
        Some(())
    }

    /// Whether the tag stands for all of its package, by both protocols; false if neither knows it.
    fn stands(&self, tag: &str) -> bool {
        let files = {
            let mut files = package(tag);
            files.sort();
            files
        };
        let digest = Tree::from_files(files.clone()).unwrap().digest();
        let path = format!("/v2/ann/app/manifests/{tag}");
        let (status, _, manifest) = self.world.get(&path, None);
        match self.world.anonymous().fetch_package(&slug(&format!("ann/app:{tag}")), &digest) {
            Ok(found) => assert!(found == files, "{tag} is another package"),
            Err(error) => {
                assert_eq!((error.status(), status), (Some(404), 404), "{tag}: {error}");
                return false;
            }
        }
        assert_eq!(status, 200, "{tag} is there for one protocol only");
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        for layer in manifest["layers"].as_array().unwrap() {
            self.has(layer["digest"].as_str().unwrap(), None);
        }
        true
    }

    fn has(&self, digest: &str, bytes: Option<&[u8]>) {
        let (status, head, body) = self.world.get(&format!("{BLOBS}/{digest}"), None);
        assert_eq!(status, 200, "{digest}: {head}");
        assert_eq!(sha(&body), digest);
        assert!(bytes.is_none_or(|bytes| bytes == body));
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// RELIABILITY D-1. `DRAWBRIDGE_KILLS` says how often; `DRAWBRIDGE_SEED` repeats a run.
#[test]
fn what_a_killed_registry_said_yes_to_is_there() {
    let kills = count("DRAWBRIDGE_KILLS", 12);
    let mut random = Random::from_env("DRAWBRIDGE_SEED");
    let mut world = World::new();
    drop(world.register("app", true, false));
    let token = format!("Bearer {}", world.token("ann", ALL));
    let mut tags: Vec<String> = Vec::new();
    let (mut retried, mut blobs, mut resumed) = (0, 0, 0);
    for kill in 1..=kills {
        let told = Mutex::new(Told::default());
        let answers = AtomicU64::new(0);
        let (enough, wait) = (random.below(24), random.below(20_000));
        let writer = Writer { world: &world, token: token.clone(), told: &told, answers: &answers };
        std::thread::scope(|scope| {
            for protocol in [Protocol::Drawbridge, Protocol::Oci, Protocol::Chunks] {
                let (writer, told) = (&writer, &told);
                scope.spawn(move || {
                    for n in 0.. {
                        let name = format!("{kill}.{}.{n}", protocol as u8);
                        if writer.write(protocol, &name).is_none() {
                            told.lock().unwrap().open.push((protocol, name));
                            break;
                        }
                    }
                });
            }
            until("enough answers", || answers.load(Ordering::SeqCst) >= enough as u64);
            // Anywhere in what comes next.
            std::thread::sleep(Duration::from_micros(wait as u64));
            world.kill_beneath();
        });
        world.kill();
        world.start_again();
        let temporaries = std::fs::read_dir(world.store.join("tmp")).unwrap().count();
        assert_eq!(temporaries, 0, "after kill {kill}");

        // What was said yes to is there, byte for byte.
        let mut told = told.into_inner().unwrap();
        let more = Mutex::new(Told::default());
        let writer = Writer { world: &world, token: token.clone(), told: &more, answers: &answers };
        for tag in &told.tags {
            assert!(writer.stands(tag), "{tag} is lost after kill {kill}");
        }
        for bytes in &told.blobs {
            writer.has(&sha(bytes), Some(bytes));
        }
        // Uploads go on where they were.
        for (location, name, arrived) in told.uploads.drain(..) {
            let (status, head, _) = world.get(&location, Some(&token["Bearer ".len()..]));
            let bytes = blob(&name);
            if status == 404 {
                // The end of it was not heard.
                assert_eq!(arrived, bytes.len(), "{name} is gone after kill {kill}");
                writer.has(&sha(&bytes), Some(&bytes));
                continue;
            }
            assert_eq!(status, 204, "{head}");
            let there = header(&head, "range")
                .map_or(0, |range| range.strip_prefix("0-").unwrap().parse::<usize>().unwrap() + 1);
            // An upload of nothing has a range of one byte that is not there.
            let there = if arrived == 0 && there == 1 { 0 } else { there };
            assert!(there >= arrived, "{name} has {there} of {arrived} after kill {kill}");
            more.lock().unwrap().uploads.push((location.clone(), name.clone(), there));
            writer.go_on(&location, &name, there).expect("an answer");
            writer.has(&sha(&bytes), Some(&bytes));
            resumed += 1;
        }
        // What was not is there as a whole or not at all, and can be written at once.
        for (protocol, name) in &told.open {
            if *protocol != Protocol::Chunks {
                writer.stands(name);
                writer.write(*protocol, name).expect("an answer");
                assert!(writer.stands(name));
                told.tags.push(name.clone());
                retried += 1;
            }
        }
        blobs += told.blobs.len();
        tags.extend(told.tags);
    }
    // In the end, all of it, and nothing else.
    let (answers, told) = (AtomicU64::new(0), Mutex::default());
    let writer = Writer { world: &world, token, told: &told, answers: &answers };
    let mut listed: Vec<String> =
        world.anonymous().tags("ann", "app").unwrap().iter().map(ToString::to_string).collect();
    listed.sort();
    tags.sort();
    assert_eq!(listed, tags);
    for tag in &tags {
        assert!(writer.stands(tag), "{tag}");
    }
    println!(
        "{kills} kills: {} tags and {blobs} blobs said yes to and there, {retried} retried, {resumed} uploads gone on with",
        tags.len()
    );
    assert!(world.stop().1);
}
