// SPDX-License-Identifier: Apache-2.0

//! Deletes by the OCI protocol, where the owner allows them; and blobs of one request.

use std::io::{Read as _, Write as _};
use std::process::Command;

use drawbridge_client::drawbridge_core::RepoRecord;
use drawbridge_client::drawbridge_core::oci::{IMAGE, INDEX};
use serde_json::json;
use types::digest::Sha256;

use crate::oci::{program, run};
use crate::world::{ALL, HOST, Options, World, digest, files, slug};

fn deletable() -> RepoRecord {
    RepoRecord { public: true, deletable: true, ..RepoRecord::default() }
}

#[test]
fn names_are_deleted_where_the_owner_allows_it_and_nothing_that_is_needed() {
    let world = World::with(Options { audit: true, ..Options::default() });
    let owner = world.register("closed", true, false);
    owner.repo_put("ann", "app", &deletable()).unwrap();
    let (ann, nobody, eve) = (world.oci("ann"), world.nobody(), world.oci("eve"));
    let delete = |path: &str| ann.send("DELETE", &format!("/v2/ann/app/{path}"), &[], b"");

    let (layer, config) = (ann.blob("ann/app", b"a layer"), ann.blob("ann/app", b"{}"));
    let mut config = config;
    config["mediaType"] = json!("application/vnd.oci.empty.v1+json");
    let image =
        json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [layer]});
    let name = Sha256::of(image.to_string().as_bytes()).to_string();
    let about = json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [],
        "artifactType": "application/x.sbom",
        "subject": {"mediaType": IMAGE, "digest": name, "size": image.to_string().len()}});
    let sbom = Sha256::of(about.to_string().as_bytes()).to_string();
    for tag in ["latest", "stable"] {
        ann.manifest("ann/app", tag, &image).is(201);
    }
    ann.manifest("ann/app", &sbom, &about).is(201);

    // Who may, and where; each with its code.
    for path in ["manifests/latest", &format!("manifests/{name}"), &format!("blobs/{name}")] {
        let path = format!("/v2/ann/app/{path}");
        nobody.send("DELETE", &path, &[], b"").says(401, "UNAUTHORIZED");
        eve.send("DELETE", &path, &[], b"").says(403, "DENIED");
        let closed = path.replace("/app/", "/closed/");
        let answer = ann.send("DELETE", &closed, &[], b"").says(405, "UNSUPPORTED");
        assert!(answer.header("allow").is_some());
        assert!(answer.json()["errors"][0]["message"].as_str().unwrap().contains("--deletable"));
    }
    delete("manifests/none").says(404, "MANIFEST_UNKNOWN");
    delete("manifests/9.9.9").says(404, "MANIFEST_UNKNOWN");
    delete(&format!("manifests/{}", Sha256::of(b"x"))).says(404, "MANIFEST_UNKNOWN");
    delete("manifests/sha256:xyz").says(400, "DIGEST_INVALID");
    delete(&format!("blobs/{}", Sha256::of(b"x"))).says(404, "BLOB_UNKNOWN");
    delete("blobs/sha256:xyz").says(400, "DIGEST_INVALID");
    delete("tags/list").says(405, "UNSUPPORTED");

    // What is needed stays: content of a manifest, the manifest's own, and that of an index.
    let layer_path = format!("blobs/{}", layer["digest"].as_str().unwrap());
    delete(&layer_path).says(409, "DENIED");
    delete(&format!("blobs/{name}")).says(409, "DENIED");
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": IMAGE, "digest": name, "size": image.to_string().len()}]});
    ann.manifest("ann/app", "all", &index).is(201);
    delete(&format!("manifests/{name}")).says(409, "DENIED");
    let all = Sha256::of(index.to_string().as_bytes()).to_string();
    delete(&format!("manifests/{all}")).is(202);
    nobody.get("/v2/ann/app/manifests/all").says(404, "MANIFEST_UNKNOWN");

    // A tag goes, the manifest stays; then the manifest with its other tags and its place among referrers.
    let tags = || nobody.get("/v2/ann/app/tags/list").is(200).json()["tags"].clone();
    delete("manifests/latest").is(202);
    delete("manifests/latest").says(404, "MANIFEST_UNKNOWN");
    assert_eq!(tags(), json!(["stable"]));
    nobody.get("/v2/ann/app/manifests/latest").says(404, "MANIFEST_UNKNOWN");
    nobody.get(&format!("/v2/ann/app/manifests/{name}")).is(200);
    let referrers = || {
        let list = nobody.get(&format!("/v2/ann/app/referrers/{name}")).is(200).json();
        list["manifests"].as_array().unwrap().len()
    };
    assert_eq!(referrers(), 1);
    delete(&format!("manifests/{sbom}")).is(202);
    assert_eq!(referrers(), 0);
    delete(&format!("manifests/{name}")).is(202);
    delete(&format!("manifests/{name}")).says(404, "MANIFEST_UNKNOWN");
    assert_eq!(tags(), json!([]));
    for path in ["stable", &name] {
        nobody.get(&format!("/v2/ann/app/manifests/{path}")).says(404, "MANIFEST_UNKNOWN");
    }

    // Now nothing needs the layer. Gone is gone, until it is pushed again.
    delete(&layer_path).is(202);
    delete(&layer_path).says(404, "BLOB_UNKNOWN");
    nobody.get(&format!("/v2/ann/app/{layer_path}")).says(404, "BLOB_UNKNOWN");
    ann.manifest("ann/app", "latest", &image).says(404, "MANIFEST_BLOB_UNKNOWN");
    let mount = format!(
        "/v2/ann/closed/blobs/uploads/?from=ann/app&mount={}",
        layer["digest"].as_str().unwrap()
    );
    ann.post(&mount, b"").is(202);
    ann.blob("ann/app", b"a layer");
    nobody.get(&format!("/v2/ann/app/{layer_path}")).is(200);
    // A tag that was deleted may get another meaning, as any that never was.
    ann.manifest("ann/app", "stable", &about).is(201);
    ann.manifest("ann/app", "stable", &image).says(409, "DENIED");
    ann.manifest("ann/app", "latest", &image).is(201);
    assert_eq!(tags(), json!(["latest", "stable"]));

    // Versions stay, whichever protocol brought them, and whatever names what they need.
    let package = ann.package("ann/app", &files());
    ann.manifest("ann/app", "1.0.0", &package).is(201);
    world.publish(&owner, "ann/app:1.1.0").unwrap();
    let made = nobody.get("/v2/ann/app/manifests/1.1.0").is(200);
    let made = made.header("docker-content-digest").unwrap().to_owned();
    let pushed = Sha256::of(package.to_string().as_bytes()).to_string();
    for path in ["1.0.0", "1.1.0", &made, &pushed] {
        let answer = delete(&format!("manifests/{path}")).says(405, "UNSUPPORTED");
        assert!(answer.json()["errors"][0]["message"].as_str().unwrap().contains("yank"));
    }
    for (_, bytes) in files() {
        delete(&format!("blobs/{}", Sha256::of(&bytes))).says(409, "DENIED");
    }
    assert!(owner.fetch_package(&slug("ann/app:1.0.0"), &digest()).is_ok());

    let log: String = std::fs::read_dir(world.audit_dir())
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default())
        .collect();
    for line in [
        r#""action":"delete","outcome":"granted","name":"ann/app:latest""#.to_owned(),
        r#""action":"delete","outcome":"failed","name":"ann/app:1.0.0""#.to_owned(),
        format!(r#""detail":"manifest {name}""#),
    ] {
        assert!(log.contains(&line), "{line}");
    }
    // A store that knows deleted names is in order, and gc knows all that is in it.
    let beside = |what: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        command.args([what, "--store"]).arg(&world.store);
        run(&mut command)
    };
    beside("scrub");
    beside("gc");
}

/// Of tags that are pushed and manifests that are deleted at once, each that is there has its manifest.
#[test]
fn pushes_beside_deletes_leave_no_name_for_nothing() {
    let world = World::new();
    let owner = world.register("closed", true, false);
    owner.repo_put("ann", "app", &deletable()).unwrap();
    let ann = world.oci("ann");
    let mut config = ann.blob("ann/app", b"{}");
    config["mediaType"] = json!("application/vnd.oci.empty.v1+json");
    let image = json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": []});
    let name = Sha256::of(image.to_string().as_bytes()).to_string();
    for round in 0..10 {
        let tag = format!("t{round}");
        std::thread::scope(|scope| {
            scope.spawn(|| world.oci("ann").manifest("ann/app", &tag, &image).is(201));
            scope.spawn(|| {
                let path = format!("/v2/ann/app/manifests/{name}");
                let answer = world.oci("ann").send("DELETE", &path, &[], b"");
                assert!([202, 404].contains(&answer.status), "{}", answer.status);
            });
        });
        let tags = ann.get("/v2/ann/app/tags/list").is(200).json();
        for tag in tags["tags"].as_array().unwrap() {
            ann.get(&format!("/v2/ann/app/manifests/{}", tag.as_str().unwrap())).is(200);
        }
    }
}

#[test]
fn skopeo_deletes_what_may_be_deleted() {
    let Some(skopeo) = program("skopeo") else {
        eprintln!("SKIP skopeo_deletes_what_may_be_deleted: skopeo is not installed");
        return;
    };
    let world = World::new();
    let owner = world.register("closed", true, false);
    owner.repo_put("ann", "app", &deletable()).unwrap();
    let ann = world.oci("ann");
    let package = ann.package("ann/app", &files());
    for tag in ["latest", "1.0.0"] {
        ann.manifest("ann/app", tag, &package).is(201);
    }
    let other = ann.package("ann/app", &files()[..1]);
    ann.manifest("ann/app", "other", &other).is(201);
    let creds = format!("ann:{}", world.token("ann", ALL));
    let skopeo = |tag: &str| {
        let mut command = Command::new(&skopeo);
        command.args(["--insecure-policy", "delete", "--tls-verify=false", "--creds", &creds]);
        command.arg(format!("docker://{}/ann/app:{tag}", world.address()));
        command.env("HOME", world.dir.path()).env("XDG_RUNTIME_DIR", world.dir.path());
        command.output().unwrap()
    };
    assert!(skopeo("other").status.success());
    ann.get("/v2/ann/app/manifests/other").says(404, "MANIFEST_UNKNOWN");
    // It asks for the manifest's digest, which is the version's as well.
    for tag in ["1.0.0", "latest"] {
        let output = skopeo(tag);
        assert!(!output.status.success(), "{output:?}");
        ann.get(&format!("/v2/ann/app/manifests/{tag}")).is(200);
    }
}

/// More than any file of a package, and more than any other body.
const LARGE: usize = 150_000_000;

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_large_blob_comes_in_one_request_and_memory_stays_flat() {
    let world = World::new();
    world.register("app", true, false);
    let ann = world.oci("ann");
    let piece: Vec<u8> =
        (0..1_000_000u32).map(|n| n.to_le_bytes()[usize::from(n % 2 == 0)]).collect();
    let digest = {
        use sha2::Digest as _;
        let mut hasher = sha2::Sha256::new();
        (0..LARGE / piece.len()).for_each(|_| hasher.update(&piece));
        Sha256(hasher.finalize().into())
    };
    let send = |method: &str, path: &str, length: usize, sent: usize| {
        let mut stream = world.connect();
        let token = world.token("ann", ALL);
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        for _ in 0..sent / piece.len() {
            stream.write_all(&piece).unwrap();
        }
        stream.flush().unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer).into_owned();
        text.get(9..12).unwrap().parse::<u16>().unwrap()
    };
    let before = resident_kib(world.pid());
    let begun = ann.post("/v2/ann/app/blobs/uploads/", b"").is(202);
    let begun = begun.header("location").unwrap().to_owned();
    assert_eq!(send("PUT", &format!("{begun}?digest={digest}"), LARGE, LARGE), 201);
    let begun = ann.post("/v2/ann/app/blobs/uploads/", b"").is(202);
    let begun = begun.header("location").unwrap().to_owned();
    assert_eq!(send("PATCH", &begun, LARGE, LARGE), 202);
    let grown = resident_kib(world.pid()) - before;
    assert!(grown < 64 * 1024, "{grown} KiB more than before");
    let head = ann.send("HEAD", &format!("/v2/ann/app/blobs/{digest}"), &[], b"").is(200);
    assert_eq!(head.header("content-length"), Some(LARGE.to_string().as_str()));
    // Elsewhere nothing that large is taken, and no blob that is larger than any may be.
    assert_eq!(send("PUT", "/v2/ann/app/manifests/latest", LARGE, 5_000_000), 413);
    assert_eq!(send("PUT", "/api/v0.1.0/ann/app/_tag/1.0.0/tree", LARGE, 0), 413);
    assert_eq!(send("PUT", "/api/v0.1.0/ann/app", LARGE, 0), 413);
    let begun = ann.post("/v2/ann/app/blobs/uploads/", b"").is(202);
    let begun = begun.header("location").unwrap().to_owned();
    assert_eq!(send("PATCH", &begun, 5_000_000_000, 0), 413);
}
