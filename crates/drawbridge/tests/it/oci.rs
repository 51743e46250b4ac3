// SPDX-License-Identifier: Apache-2.0

//! The OCI protocol: every endpoint and code, both ways between the protocols, and clients of others.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawbridge_client::drawbridge_core::oci::{DIGEST, IMAGE, INDEX, WASM_CONFIG};
use drawbridge_client::drawbridge_core::{ContentDigest, Tree};
use serde_json::{Value, json};
use types::digest::Sha256;
use types::limits;

use crate::world::{ALL, Options, WASM, World, digest, files, slug, write};

pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (n, value) = line.split_once(": ")?;
            n.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.head))
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, String::from_utf8_lossy(&self.body));
        self
    }

    /// A refusal with this code.
    #[track_caller]
    pub(crate) fn says(self, status: u16, code: &str) -> Self {
        let answer = self.is(status);
        let error = &answer.json()["errors"][0];
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().is_some_and(|m| m.len() > 10), "{error}");
        answer
    }
}

pub(crate) struct Client<'w> {
    world: &'w World,
    authorization: Option<String>,
}

impl Client<'_> {
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\nHost: x");
        if let Some(authorization) = &self.authorization {
            head += &format!("\nAuthorization: {authorization}");
        }
        if ["PUT", "POST", "PATCH"].contains(&method) {
            head += &format!("\nContent-Length: {}", body.len());
        }
        for (name, value) in more {
            head += &format!("\n{name}: {value}");
        }
        let (status, head, body) = self.world.raw(&head, body);
        Answer { status, head, body }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.send("POST", path, &[], body)
    }

    pub(crate) fn blob(&self, repo: &str, bytes: &[u8]) -> Value {
        let digest = Sha256::of(bytes).to_string();
        self.post(&format!("/v2/{repo}/blobs/uploads/?digest={digest}"), bytes).is(201);
        json!({"mediaType": "application/octet-stream", "digest": digest, "size": bytes.len()})
    }

    pub(crate) fn manifest(&self, repo: &str, reference: &str, manifest: &Value) -> Answer {
        let kind = manifest["mediaType"].as_str().unwrap_or(IMAGE);
        let path = format!("/v2/{repo}/manifests/{reference}");
        self.send("PUT", &path, &[("Content-Type", kind)], manifest.to_string().as_bytes())
    }

    /// A manifest of these files, as oras makes it.
    pub(crate) fn package(&self, repo: &str, files: &[(String, Vec<u8>)]) -> Value {
        let mut config = self.blob(repo, b"{}");
        config["mediaType"] = json!("application/vnd.oci.empty.v1+json");
        let layers: Vec<Value> = files
            .iter()
            .map(|(path, bytes)| {
                let mut layer = self.blob(repo, bytes);
                layer["annotations"] = json!({"org.opencontainers.image.title": path});
                layer
            })
            .collect();
        json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": layers})
    }
}

impl World {
    pub(crate) fn oci(&self, subject: &str) -> Client<'_> {
        let authorization = Some(format!("Bearer {}", self.token(subject, ALL)));
        Client { world: self, authorization }
    }

    pub(crate) fn nobody(&self) -> Client<'_> {
        Client { world: self, authorization: None }
    }
}

pub(crate) fn sha(text: &[u8]) -> String {
    Sha256::of(text).to_string()
}

#[test]
fn what_one_protocol_publishes_the_other_reads() {
    let mut world = World::new();
    let ann = world.register("app", true, false);
    world.publish(&ann, "ann/app:1.0.0").unwrap();
    world.publish(&ann, "ann/app:1.0.1-rc.1+b").unwrap();
    let first = {
        let nobody = world.nobody();
        let answer = nobody.get("/v2/ann/app/manifests/1.0.0").is(200);
        assert_eq!(answer.header("content-type"), Some(IMAGE));
        assert_eq!(answer.header("docker-content-digest"), Some(sha(&answer.body).as_str()));
        let manifest = answer.json();
        assert_eq!(manifest["annotations"][DIGEST], digest().to_string());
        assert_eq!(manifest["config"]["mediaType"], WASM_CONFIG);
        let mut expected = files();
        expected.sort();
        let layers = manifest["layers"].as_array().unwrap();
        for (layer, (path, bytes)) in layers.iter().zip(&expected) {
            assert_eq!(layer["annotations"]["org.opencontainers.image.title"], *path);
            let digest = layer["digest"].as_str().unwrap();
            let blob = nobody.get(&format!("/v2/ann/app/blobs/{digest}")).is(200);
            assert_eq!((&blob.body, blob.header("docker-content-digest")), (bytes, Some(digest)));
        }
        assert_eq!(layers.len(), expected.len());
        let config = manifest["config"]["digest"].as_str().unwrap();
        let config = nobody.get(&format!("/v2/ann/app/blobs/{config}")).is(200).json();
        assert_eq!((&config["os"], &config["architecture"]), (&json!("wasip1"), &json!("wasm")));
        let tags = nobody.get("/v2/ann/app/tags/list").is(200).json();
        assert_eq!(tags["tags"], json!(["1.0.0", "1.0.1-rc.1_b"]));
        nobody.get("/v2/ann/app/manifests/1.0.1-rc.1_b").is(200);
        answer.body
    };
    // The digest is there for good.
    world.kill();
    world.start_again();
    let path = format!("/v2/ann/app/manifests/{}", sha(&first));
    let head = world.nobody().send("HEAD", &path, &[], b"").is(200);
    assert_eq!(head.header("content-length"), Some(first.len().to_string().as_str()));
    assert_eq!(world.nobody().get("/v2/ann/app/manifests/1.0.0").is(200).body, first);

    // The same files, pushed by OCI, are the same package.
    let oci = world.oci("ann");
    let manifest = oci.package("ann/app", &files());
    let put = oci.manifest("ann/app", "2.0.0", &manifest).is(201);
    let text = manifest.to_string();
    assert_eq!(put.header("docker-content-digest"), Some(sha(text.as_bytes()).as_str()));
    let fetched = world.anonymous().fetch_package(&slug("ann/app:2.0.0"), &digest()).unwrap();
    let mut expected = files();
    expected.sort();
    assert_eq!(fetched, expected);
    let info = world.anonymous().deploy_info(&slug("ann/app:2.0.0")).unwrap();
    assert_eq!(info.steward.as_deref(), Some("https://steward.example.com"));
    assert_eq!(oci.get("/v2/ann/app/manifests/2.0.0").is(200).body, text.as_bytes());
    oci.manifest("ann/app", "2.0.0", &manifest).is(201);
    // Tags keep their meaning, whoever gave it.
    let other = oci.package("ann/app", &[("main.wasm".into(), b"\0asm\x0d\0\x01\0".to_vec())]);
    oci.manifest("ann/app", "2.0.0", &other).says(409, "DENIED");
    oci.manifest("ann/app", "1.0.0", &other).says(409, "DENIED");
    oci.manifest("ann/app", "1.0.0", &manifest).says(409, "DENIED");
    assert!(world.publish(&world.person("ann"), "ann/app:2.0.0").unwrap().already);

    // One layer of Wasm is a bare module; the manifest of a package says whether it came over whole.
    let mut layer = oci.blob("ann/app", WASM);
    layer["mediaType"] = json!("application/wasm");
    let mut module = manifest.clone();
    module["layers"] = json!([layer]);
    oci.manifest("ann/app", "3.0.0", &module).is(201);
    let info = world.anonymous().deploy_info(&slug("ann/app:3.0.0")).unwrap();
    assert_eq!(info.digest, Tree::from_module(WASM.to_vec()).unwrap().digest());
    module["annotations"] = json!({DIGEST: digest().to_string()});
    oci.manifest("ann/app", "3.0.1", &module).says(400, "MANIFEST_INVALID");
    let again: Value = serde_json::from_slice(&first).unwrap();
    oci.manifest("ann/app", "3.0.2", &again).is(201);
    assert_eq!(world.anonymous().deploy_info(&slug("ann/app:3.0.2")).unwrap().digest, digest());
}

#[test]
fn blobs_come_whole_in_chunks_and_from_elsewhere() {
    let world = World::new();
    let owner = world.register("app", true, false);
    world.register("other", true, false);
    drop(owner);
    let (ann, nobody) = (world.oci("ann"), world.nobody());
    let bytes: Vec<u8> = (0..=250u8).cycle().take(100_000).collect();
    let whole = sha(&bytes);
    let uploads = "/v2/ann/app/blobs/uploads/";
    let at = |answer: &Answer| answer.header("location").unwrap().to_owned();

    // In one piece, by each algorithm.
    let all = ContentDigest::of(&bytes);
    let put = ann.post(&format!("{uploads}?digest={}", whole.replace(':', "%3A")), &bytes).is(201);
    assert_eq!(at(&put), format!("/v2/ann/app/blobs/{whole}"));
    let sha512 = format!("sha512:{}", all.hex("sha512").unwrap());
    nobody.get(&format!("/v2/ann/app/blobs/{sha512}")).says(404, "BLOB_UNKNOWN");
    ann.post(&format!("{uploads}?digest={sha512}"), &bytes).is(201);
    for name in [&whole, &sha512] {
        let path = format!("/v2/ann/app/blobs/{name}");
        assert_eq!(nobody.get(&path).is(200).body, bytes);
        let head = nobody.send("HEAD", &path, &[], b"").is(200);
        assert_eq!(head.header("content-length"), Some("100000"));
        let part = nobody.send("GET", &path, &[("Range", "bytes=10-19")], b"").is(206);
        assert_eq!(part.body, bytes[10..20]);
        nobody.send("GET", &path, &[("Range", "bytes=100000-")], b"").is(416);
    }

    // POST, then PUT with everything.
    let begun = at(&ann.post(uploads, b"").is(202));
    ann.send("PUT", &format!("{begun}?digest={}", sha(b"abc")), &[], b"abc").is(201);
    assert_eq!(nobody.get(&format!("/v2/ann/app/blobs/{}", sha(b"abc"))).is(200).body, b"abc");
    ann.get(&begun).says(404, "BLOB_UPLOAD_UNKNOWN");

    // In chunks.
    let begun = ann.post(uploads, b"").is(202);
    assert_eq!(begun.header("docker-upload-uuid").map(str::len), Some(32));
    let begun = at(&begun);
    let chunk = |from: usize, to: usize, range: &str| {
        ann.send("PATCH", &begun, &[("Content-Range", range)], &bytes[from..to])
    };
    let first = chunk(0, 30_000, "0-29999").is(202);
    assert_eq!(first.header("range"), Some("0-29999"));
    assert_eq!(ann.get(&begun).is(204).header("range"), Some("0-29999"));
    // Again, or with a gap: the client is told where to go on.
    for (from, to, range) in [(0, 30_000, "0-29999"), (40_000, 50_000, "40000-49999")] {
        let refused = chunk(from, to, range).says(416, "BLOB_UPLOAD_INVALID");
        assert_eq!(refused.header("range"), Some("0-29999"));
    }
    chunk(30_000, 40_000, "30000-30001").says(400, "SIZE_INVALID");
    chunk(30_000, 40_000, "x").says(400, "BLOB_UPLOAD_INVALID");
    chunk(30_000, 40_000, "30000-39999").is(202);
    assert_eq!(
        ann.send("PATCH", &begun, &[], &bytes[40_000..90_000]).is(202).header("range"),
        Some("0-89999")
    );
    let finish = |digest: &str, body: &[u8]| {
        ann.send("PUT", &format!("{begun}{digest}"), &[("Content-Range", "90000-99999")], body)
    };
    finish("", &bytes[90_000..]).says(400, "DIGEST_INVALID");
    finish("?digest=md5:00", &bytes[90_000..]).says(400, "DIGEST_INVALID");
    finish(&format!("?digest={}", sha(&bytes)), &bytes[90_000..]).is(201);

    // A wrong digest, and an end before the end.
    ann.post(&format!("{uploads}?digest={}", sha(b"x")), b"abc").says(400, "DIGEST_INVALID");
    nobody.get(&format!("/v2/ann/app/blobs/{}", sha(b"x"))).says(404, "BLOB_UNKNOWN");
    let begun = at(&ann.post(uploads, b"").is(202));
    ann.send("PATCH", &begun, &[], b"abc").is(202);
    ann.send("PUT", &format!("{begun}?digest={}", sha(b"x")), &[], b"").says(400, "DIGEST_INVALID");
    ann.get(&begun.replace("/app/", "/other/")).says(404, "BLOB_UPLOAD_UNKNOWN");
    ann.send("DELETE", &begun, &[], b"").is(204);
    ann.send("DELETE", &begun, &[], b"").says(404, "BLOB_UPLOAD_UNKNOWN");
    for method in ["GET", "PATCH", "PUT", "DELETE"] {
        let path = format!("{uploads}../{method}?digest={whole}");
        assert!(ann.send(method, &path, &[], b"").status >= 400);
        let path = format!("{uploads}{}?digest={whole}", "0".repeat(32));
        ann.send(method, &path, &[], b"").says(404, "BLOB_UPLOAD_UNKNOWN");
    }

    // From another repository, if one may read that.
    let mount = |from: &str| {
        let path = format!("/v2/ann/other/blobs/uploads/?mount={whole}&from={from}");
        ann.post(&path, b"")
    };
    mount("bob%2Fsecret").is(202);
    mount("ann/other").is(202);
    mount("%2e%2e/x").is(202);
    assert_eq!(at(&mount("ann/app").is(201)), format!("/v2/ann/other/blobs/{whole}"));
    assert_eq!(nobody.get(&format!("/v2/ann/other/blobs/{whole}")).is(200).body, bytes);
}

#[test]
fn manifests_are_checked_and_kept() {
    let world = World::new();
    world.register("app", true, false);
    let (ann, nobody) = (world.oci("ann"), world.nobody());
    let good = ann.package("ann/app", &[("x.txt".into(), b"x".to_vec())]);
    // No package: any tag but a version.
    let refused = ann.manifest("ann/app", "1.0.0", &good).says(400, "MANIFEST_INVALID");
    assert!(String::from_utf8_lossy(&refused.body).contains("main.wasm"));
    ann.manifest("ann/app", "latest", &good).is(201);
    ann.manifest("ann/app", "latest", &good).is(201);
    let name = sha(good.to_string().as_bytes());
    for reference in ["latest", &name] {
        let path = format!("/v2/ann/app/manifests/{reference}");
        let answer = nobody.get(&path).is(200);
        assert_eq!(answer.body, good.to_string().as_bytes());
        assert_eq!(answer.header("content-type"), Some(IMAGE));
        nobody
            .send("GET", &path, &[("If-None-Match", answer.header("etag").unwrap())], b"")
            .is(304);
    }
    let mut other = good.clone();
    other["annotations"] = json!({"a": "b"});
    ann.manifest("ann/app", "latest", &other).says(409, "DENIED");
    ann.manifest("ann/app", &name, &other).says(400, "DIGEST_INVALID");
    ann.manifest("ann/app", &sha(other.to_string().as_bytes()), &other).is(201);
    // An index of what is there.
    let entry = json!({"mediaType": IMAGE, "digest": name, "size": good.to_string().len()});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    ann.manifest("ann/app", "all", &index).is(201);
    assert_eq!(nobody.get("/v2/ann/app/manifests/all").header("content-type"), Some(INDEX));
    ann.manifest("ann/app", "1.0.0", &index).says(400, "MANIFEST_INVALID");

    let changed = |pointer: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        bad
    };
    for (bad, status, code) in [
        (changed("/layers/0/digest", json!(sha(b"none"))), 404, "MANIFEST_BLOB_UNKNOWN"),
        (changed("/config/digest", json!(sha(b"none"))), 404, "MANIFEST_BLOB_UNKNOWN"),
        (changed("/layers/0/size", json!(2)), 400, "MANIFEST_INVALID"),
        (changed("/layers/0/digest", json!("sha256:../x")), 400, "MANIFEST_INVALID"),
        (changed("/schemaVersion", json!(1)), 400, "MANIFEST_INVALID"),
        (changed("/layers", json!({})), 400, "MANIFEST_INVALID"),
        (changed("/mediaType", json!("text/html")), 400, "MANIFEST_INVALID"),
        (json!([]), 400, "MANIFEST_INVALID"),
    ] {
        ann.manifest("ann/app", "bad", &bad).says(status, code);
    }
    nobody.get("/v2/ann/app/manifests/bad").says(404, "MANIFEST_UNKNOWN");
    for tag in [".x", "-x", "a+b", "%20", &"a".repeat(129)] {
        ann.manifest("ann/app", tag, &good).says(400, "TAG_INVALID");
        nobody.get(&format!("/v2/ann/app/manifests/{tag}")).says(404, "MANIFEST_UNKNOWN");
    }
    let long = format!("sha512:{}", "0".repeat(128));
    for (path, code) in [("sha256:00", "DIGEST_INVALID"), (long.as_str(), "DIGEST_INVALID")] {
        nobody.get(&format!("/v2/ann/app/manifests/{path}")).says(400, code);
    }
    // Bombs.
    let large = vec![b' '; limits::OCI_MANIFEST_BYTES_MAX + 1];
    let kind = [("Content-Type", IMAGE)];
    ann.send("PUT", "/v2/ann/app/manifests/bomb", &kind, &large).says(413, "SIZE_INVALID");
    let deep = vec![b'['; 1_000_000];
    ann.send("PUT", "/v2/ann/app/manifests/bomb", &kind, &deep).says(400, "MANIFEST_INVALID");
    // Nothing is deleted.
    for path in
        [format!("manifests/{name}"), "manifests/latest".into(), format!("blobs/{}", sha(b"x"))]
    {
        let answer = ann.send("DELETE", &format!("/v2/ann/app/{path}"), &[], b"");
        assert!(answer.says(405, "UNSUPPORTED").header("allow").is_some());
    }
    ann.post("/v2/ann/app/tags/list", b"").says(405, "UNSUPPORTED");

    // Pages of tags.
    for tag in ["b", "c", "a"] {
        ann.manifest("ann/app", tag, &good).is(201);
    }
    let list = |query: &str| nobody.get(&format!("/v2/ann/app/tags/list{query}")).is(200);
    assert_eq!(list("").json()["tags"], json!(["a", "all", "b", "c", "latest"]));
    let page = list("?n=2");
    assert_eq!(page.json()["tags"], json!(["a", "all"]));
    assert_eq!(page.header("link"), Some("</v2/ann/app/tags/list?n=2&last=all>; rel=\"next\""));
    let last = list("?n=3&last=all");
    assert_eq!(
        (last.json()["tags"].clone(), last.header("link")),
        (json!(["b", "c", "latest"]), None)
    );
    assert_eq!(list("?n=0").json()["tags"], json!([]));
    assert_eq!(list("?last=bb").json()["tags"], json!(["c", "latest"]));
    nobody.get("/v2/ann/app/tags/list?n=x").says(400, "UNSUPPORTED");
}

#[test]
fn manifests_about_others_are_listed() {
    let world = World::new();
    world.register("app", true, false);
    let (ann, nobody) = (world.oci("ann"), world.nobody());
    let good = ann.package("ann/app", &[("x.txt".into(), b"x".to_vec())]);
    let text = good.to_string();
    let subject = sha(text.as_bytes());
    let list = |query: &str| nobody.get(&format!("/v2/ann/app/referrers/{subject}{query}")).is(200);
    assert_eq!(list("").json()["manifests"], json!([]));
    let mut about = Vec::new();
    for (n, kind) in ["a/signature", "a/sbom"].into_iter().enumerate() {
        let mut manifest = good.clone();
        manifest["subject"] = json!({"mediaType": IMAGE, "digest": subject, "size": text.len()});
        manifest["artifactType"] = json!(kind);
        manifest["annotations"] = json!({"n": n.to_string()});
        let digest = sha(manifest.to_string().as_bytes());
        let put = ann.manifest("ann/app", &digest, &manifest).is(201);
        assert_eq!(put.header("oci-subject"), Some(subject.as_str()));
        about
            .push(json!({"mediaType": IMAGE, "digest": digest, "size": manifest.to_string().len(),
            "artifactType": kind, "annotations": {"n": n.to_string()}}));
    }
    let found = list("");
    assert_eq!(found.header("content-type"), Some(INDEX));
    assert_eq!(found.header("oci-filters-applied"), None);
    let found = found.json()["manifests"].as_array().unwrap().clone();
    assert_eq!(found.len(), 2);
    assert!(about.iter().all(|descriptor| found.contains(descriptor)), "{found:?}");
    let filtered = list("?artifactType=a%2Fsbom");
    assert_eq!(filtered.header("oci-filters-applied"), Some("artifactType"));
    assert_eq!(filtered.json()["manifests"], json!([about[1]]));
    nobody.get("/v2/ann/app/referrers/x").says(400, "DIGEST_INVALID");
}

#[test]
fn who_may_do_what_is_as_everywhere() {
    let world = World::new();
    let owner = world.register("closed", false, false);
    world.register("open", true, false);
    world.publish(&owner, "ann/closed:1.0.0").unwrap();
    let (ann, nobody) = (world.oci("ann"), world.nobody());
    let basic = |user: &str, password: &str| Client {
        world: &world,
        authorization: Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))),
    };
    // How clients learn that they may say who they are.
    for path in ["/v2/", "/v2/ann/closed/manifests/1.0.0", "/v2/ann/none/tags/list"] {
        let refused = nobody.get(path).says(401, "UNAUTHORIZED");
        assert!(refused.header("www-authenticate").unwrap().starts_with("Basic realm="));
        assert_eq!(refused.header("docker-distribution-api-version"), Some("registry/2.0"));
    }
    basic("", "").get("/v2/").is(200);
    basic("", "").get("/v2/ann/open/tags/list").is(200);
    basic("", "").get("/v2/ann/closed/tags/list").says(401, "UNAUTHORIZED");
    ann.get("/v2/").is(200);
    ann.get("/v2/ann/closed/manifests/1.0.0").is(200);
    let token = world.token("ann", ALL);
    basic("whoever", &token).get("/v2/ann/closed/manifests/1.0.0").is(200);
    // A token of the registry's own.
    let request = json!({"name": "ci", "scopes": ["read:drawbridge_tags", "write:drawbridge_tags"],
        "repos": ["closed"], "expires_in": 600});
    let head = format!(
        "POST /api/v0.1.0/ann/_token HTTP/1.1\nHost: x\nAuthorization: Bearer {token}\nContent-Type: application/json\nContent-Length: {}",
        request.to_string().len()
    );
    let (status, _, body) = world.raw(&head, request.to_string().as_bytes());
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
    let body: Value = serde_json::from_slice(&body).unwrap();
    let robot = basic("ci", body["token"].as_str().unwrap());
    robot.get("/v2/").is(200);
    robot.get("/v2/ann/closed/tags/list").is(200);
    robot.blob("ann/closed", b"by a robot");
    robot.post("/v2/ann/open/blobs/uploads/", b"").says(403, "DENIED");
    // What is no credential.
    for bad in ["Basic !", "Basic", "Digest x", "Bearer x"] {
        let client = Client { world: &world, authorization: Some(bad.to_owned()) };
        client.get("/v2/ann/open/tags/list").says(401, "UNAUTHORIZED");
    }
    basic("ann", "x").get("/v2/").says(401, "UNAUTHORIZED");
    // Strangers learn nothing: what is closed and what is not there look the same.
    let bob = world.oci("bob");
    let blank = |answer: Answer| (answer.status, answer.body);
    for path in ["tags/list", "manifests/1.0.0", &format!("blobs/{}", sha(WASM))] {
        for client in [&bob, &nobody] {
            let there = client.get(&format!("/v2/ann/closed/{path}"));
            assert!([401, 403].contains(&there.status));
            assert_eq!(blank(there), blank(client.get(&format!("/v2/ann/none/{path}"))));
        }
    }
    // Nobody else writes, wherever it is.
    for client in [&bob, &nobody] {
        let status = if client.authorization.is_some() { 403 } else { 401 };
        for (method, path) in [
            ("POST", "blobs/uploads/"),
            ("PATCH", &format!("blobs/uploads/{}", "0".repeat(32))),
            ("PUT", "manifests/latest"),
        ] {
            client.send(method, &format!("/v2/ann/open/{path}"), &[], b"").is(status);
        }
    }
    let missing = ann.post("/v2/ann/none/blobs/uploads/", b"").says(404, "NAME_UNKNOWN");
    assert!(String::from_utf8_lossy(&missing.body).contains("register"));
    ann.get("/v2/ann/a/b/tags/list").says(404, "NAME_UNKNOWN");
    ann.get("/v2/ann/../tags/list").says(400, "NAME_INVALID");
    ann.get("/v2/x").says(404, "NAME_UNKNOWN");
    let found = nobody.get("/.well-known/wasm-pkg/registry.json").is(200).json();
    assert_eq!(found, json!({"preferredProtocol": "oci", "oci": {"registry": crate::world::HOST}}));
}

#[test]
fn a_push_makes_a_private_repository_where_that_is_wanted() {
    let environment = vec![("DRAWBRIDGE_CREATE_ON_PUSH", "true".to_owned())];
    let world = World::with(Options { environment, audit: true, ..Options::default() });
    world.register("app", true, false);
    let ann = world.oci("ann");
    let manifest = ann.package("ann/new", &files());
    ann.manifest("ann/new", "1.0.0", &manifest).is(201);
    assert!(!world.person("ann").repo_get("ann", "new").unwrap().public);
    world.nobody().get("/v2/ann/new/manifests/1.0.0").says(401, "UNAUTHORIZED");
    // Both are in the audit log.
    let log: String = std::fs::read_dir(world.audit_dir())
        .unwrap()
        .filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok())
        .collect();
    for event in [
        r#""action":"create-repo","outcome":"granted","name":"ann/new""#,
        r#""action":"publish","outcome":"granted","name":"ann/new:1.0.0""#,
    ] {
        assert!(log.contains(event), "{log}");
    }
    // Nobody else, and nobody without a name.
    for client in [world.oci("bob"), world.nobody()] {
        let answer = client.post("/v2/ann/newer/blobs/uploads/", b"");
        assert!([401, 403].contains(&answer.status));
    }
    ann.post("/v2/zoe/app/blobs/uploads/", b"").says(404, "NAME_UNKNOWN");
    assert_eq!(world.person("ann").repo_get("ann", "newer").unwrap_err().status(), Some(404));
}

#[test]
fn of_several_at_once_at_most_one_is_told_yes_and_all_see_the_same() {
    let world = World::new();
    world.register("app", true, false);
    let ann = world.oci("ann");
    let of = |n: u8| vec![("main.wasm".to_owned(), WASM.to_vec()), ("n".to_owned(), vec![n])];
    let manifests: Vec<Value> = (0..3).map(|n| ann.package("ann/app", &of(n))).collect();
    let mut yes = 0;
    for round in 0..8 {
        let tag = format!("{round}.0.0");
        let name = slug(&format!("ann/app:{tag}"));
        let (world, tag, name) = (&world, &tag, &name);
        let push = |manifest: &Value, n: u8| {
            let status = world.oci("ann").manifest("ann/app", tag, manifest).status;
            assert!([201, 409, 503].contains(&status), "{status}");
            let manifest = Some(Sha256::of(manifest.to_string().as_bytes()));
            (status == 201).then(|| (manifest, Tree::from_files(of(n)).unwrap().digest()))
        };
        let push = &push;
        let told: Vec<(Option<Sha256>, Sha256)> = std::thread::scope(|scope| {
            let pushes = manifests.iter().zip(0u8..);
            let mut threads: Vec<_> =
                pushes.map(|(manifest, n)| scope.spawn(move || push(manifest, n))).collect();
            threads.push(scope.spawn(move || {
                let published = world.person("ann").publish(name, of(7), &mut |_| {});
                published.ok().map(|published| (None, published.digest))
            }));
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(told.len() <= 1, "{told:?}");
        yes += told.len();
        let seen = world.nobody().get(&format!("/v2/ann/app/manifests/{tag}")).is(200);
        let root = world.anonymous().deploy_info(name).unwrap().digest;
        if let Some((manifest, digest)) = told.first() {
            assert_eq!(root, *digest, "{tag}");
            assert!(manifest.is_none_or(|manifest| manifest == Sha256::of(&seen.body)), "{tag}");
        }
        // What the manifest says is what the other protocol has.
        let layers = seen.json()["layers"].as_array().unwrap().len();
        let fetched = world.anonymous().fetch_package(name, &root).unwrap();
        assert_eq!(layers, fetched.len());
        let layers = seen.json()["layers"].to_string();
        assert!(fetched.iter().all(|(_, bytes)| layers.contains(&Sha256::of(bytes).to_string())));
    }
    assert!(yes > 0);
}

/// A program that may not be installed: its path in `PATH`.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
    out.into_owned()
}

#[test]
fn skopeo_copies_packages() {
    let Some(skopeo) = program("skopeo") else {
        eprintln!("SKIP skopeo_copies_packages: skopeo is not installed");
        return;
    };
    let world = World::new();
    let ann = world.register("app", true, false);
    world.register("copy", false, false);
    world.publish(&ann, "ann/app:1.0.0").unwrap();
    let address = world.address();
    let creds = format!("ann:{}", world.token("ann", ALL));
    let skopeo = |args: &[&str]| {
        let mut command = Command::new(&skopeo);
        command.args(["--insecure-policy"]).args(args).env("HOME", world.dir.path());
        command.env("XDG_RUNTIME_DIR", world.dir.path());
        run(&mut command)
    };
    let there = format!("docker://{address}/ann/app:1.0.0");
    let raw = skopeo(&["inspect", "--tls-verify=false", "--no-creds", "--raw", &there]);
    assert!(raw.contains(&digest().to_string()), "{raw}");
    // To a directory, and from there to a closed repository under another version.
    let dir = format!("dir:{}", world.dir.path().join("copied").display());
    skopeo(&["copy", "--src-tls-verify=false", "--src-no-creds", &there, &dir]);
    let back = format!("docker://{address}/ann/copy:7.0.0");
    skopeo(&["copy", "--dest-tls-verify=false", "--dest-creds", &creds, &dir, &back]);
    assert_eq!(ann.deploy_info(&slug("ann/copy:7.0.0")).unwrap().digest, digest());
    // By the registry alone.
    let next = format!("docker://{address}/ann/copy:7.0.1");
    skopeo(&[
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--src-creds",
        &creds,
        "--dest-creds",
        &creds,
        &back,
        &next,
    ]);
    assert_eq!(ann.deploy_info(&slug("ann/copy:7.0.1")).unwrap().digest, digest());
}

/// Pushes the files of the working directory, pulls them again, and lists the tags.
const ORAS: &str = r#"
import os, sys, oras.client
host, user, password = sys.argv[1:4]
client = oras.client.OrasClient(hostname=host, auth_backend="basic", tls_verify=False)
client.login(hostname=host, username=user, password=password, tls_verify=False)
files = ["main.wasm:application/wasm", "Enarx.toml:application/toml", "static/index.html:text/html"]
target = host + "/ann/app:1.0.0"
answer = client.push(target=target, files=files, annotation_file="annotations.json",
    disable_path_validation=True)
assert answer.status_code == 201, answer.text
pulled = client.pull(target=target, outdir="pulled")
assert len(pulled) == 3, pulled
print(client.get_tags(host + "/ann/app"))
"#;

#[test]
fn oras_pushes_packages() {
    const NAME: &str = "oras_pushes_packages";
    let python = program("python3");
    let has = |python: &Path| {
        let seen = Command::new(python).args(["-c", "import oras.client"]).output();
        seen.is_ok_and(|seen| seen.status.success())
    };
    let Some(python) = python.filter(|python| has(python)) else {
        eprintln!("SKIP {NAME}: Python has no oras");
        return;
    };
    let world = World::new();
    world.register("app", true, false);
    let dir = world.dir.path().join("work");
    std::fs::create_dir_all(dir.join("static")).unwrap();
    let files: Vec<_> =
        files().into_iter().filter(|(path, _)| path != "static/img/dot.png").collect();
    for (path, bytes) in &files {
        write(&dir.join(path), std::str::from_utf8(bytes).unwrap());
    }
    // By itself it titles files without their directories.
    let titles = files
        .iter()
        .map(|(path, _)| (path.clone(), json!({"org.opencontainers.image.title": path})));
    let titles = Value::Object(titles.collect()).to_string();
    write(&dir.join("annotations.json"), &titles);
    let mut command = Command::new(python);
    command.args(["-c", ORAS, &world.address().to_string(), "ann", &world.token("ann", ALL)]);
    command.current_dir(&dir).env("HOME", world.dir.path());
    let tags = run(&mut command);
    assert!(tags.contains("1.0.0"), "{tags}");
    let mut expected = files;
    expected.sort();
    let root = Tree::from_files(expected.clone()).unwrap().digest();
    let fetched = world.anonymous().fetch_package(&slug("ann/app:1.0.0"), &root).unwrap();
    assert_eq!(fetched, expected);
    for (path, bytes) in &expected {
        assert_eq!(&std::fs::read(dir.join("pulled").join(path)).unwrap(), bytes, "{path}");
    }
}
