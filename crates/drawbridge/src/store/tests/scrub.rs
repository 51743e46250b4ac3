// SPDX-License-Identifier: Apache-2.0

//! Whatever is damaged, is named, and is not served.

use drawbridge_core::oci::IMAGE;

use super::*;
use crate::oci::records::{MANIFESTS, ManifestRecord, REFERRERS, TAGS as OCI_TAGS};
use crate::store::session::{Finished, UPLOADS};
use crate::upkeep::scrub::{Report, Wrong, scrub};
use testkit::random::{Random, count};

fn look(store: &Store) -> Report {
    scrub(store, &mut |_| {}).unwrap()
}

/// Keys, what is wrong with them, and why.
fn findings(store: &Store) -> Vec<(String, Wrong, String)> {
    look(store).findings.into_iter().map(|found| (found.key, found.wrong, found.detail)).collect()
}

fn overwrite(store: &Store, key: &str, bytes: &[u8]) {
    let mut staged = store.backend.stage().unwrap();
    staged.write(bytes).unwrap();
    store.backend.replace(&staged, &own(key)).unwrap();
}

fn content(store: &Store, key: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut opened = store.backend.open(&own(key), 0).unwrap().unwrap();
    std::io::Read::read_to_end(&mut opened.bytes, &mut bytes).unwrap();
    bytes
}

fn blob(store: &Store, bytes: &[u8], digest: &BlobDigest) -> Sha256 {
    let mut upload = store.upload(Hasher::new()).unwrap();
    upload.write(bytes).unwrap();
    assert!(matches!(store.put_blob(&repo(), &upload, digest).unwrap(), Finished::Put(..)));
    Sha256::of(bytes)
}

/// Something of everything.
fn fill(store: &Store) {
    // Of more than one piece.
    fill_with(store, 300_000);
}

/// Something of everything, with a module of this size in bytes.
pub(super) fn fill_with(store: &Store, size: usize) {
    let [user, name] = ["ann", "app"];
    let public = RepoRecord { public: true, ..RepoRecord::default() };
    store.put_user(repo().user(), &UserRecord { subject: "ann".to_owned() }).unwrap();
    store.put_repo(&repo(), &public).unwrap();
    upload(store, &tag_name("1.0.0"), &sample(), usize::MAX);
    upload(store, &tag_name("1.0.1"), &tree(&[("main.wasm", &vec![1; size])]), usize::MAX);
    upload(store, &tag_name("2.0.0"), &tree(&[("main.wasm", b"\0asm-on-its-way")]), 1);
    let all = drawbridge_core::ContentDigest::of(b"layer");
    let layer = format!("sha512:{}", all.hex("sha512").unwrap());
    blob(store, b"layer", &BlobDigest::parse(&layer).unwrap());
    let config = blob(store, b"{}", &Sha256::of(b"{}").into());
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{{"mediaType":"application/x","digest":"{config}","size":2}},"layers":[{{"mediaType":"application/x","digest":"{layer}","size":5}}]}}"#
    );
    let digest = blob(store, manifest.as_bytes(), &Sha256::of(manifest.as_bytes()).into());
    let hex = digest.to_hex();
    let record = ManifestRecord { media_type: IMAGE.to_owned(), length: manifest.len() as u64 };
    store.table(&MANIFESTS).create(&[user, name, &hex], &record).unwrap();
    let tag = crate::oci::records::TagRecord {
        manifest: digest,
        package: None,
        settled: true,
        deleted: false,
    };
    store.table(&OCI_TAGS).create(&[user, name, "latest"], &tag).unwrap();
    let descriptor = serde_json::from_value(serde_json::json!({
        "mediaType": IMAGE, "digest": digest.to_string(), "size": manifest.len()
    }));
    let subject = format!("sha256-{}", "0".repeat(64));
    let at = [user, name, subject.as_str(), hex.as_str()];
    store.table(&REFERRERS).create(&at, &descriptor.unwrap()).unwrap();
    let id = store.begin_upload(&repo(), NOW).unwrap();
    let mut chunk = store.upload(Hasher::new()).unwrap();
    chunk.write(b"chunk").unwrap();
    store.append(&repo(), &id, None, &chunk, NOW).unwrap();
    crate::key::RegistryKey::open(store).unwrap();
}

#[test]
fn a_whole_store_is_found_whole() {
    for place in Place::all() {
        let store = place.open();
        fill(&store);
        let report = look(&store);
        assert_eq!(report.findings, []);
        assert_eq!((report.tags, report.blobs), (2, 12));
        assert_eq!(report.records, 10);
        // The upload and its chunk.
        assert_eq!(report.unfinished, 2);
        let mut read = 0;
        scrub(&store, &mut |bytes| read += bytes).unwrap();
        assert!(read > report.bytes);
    }
}

#[test]
fn what_is_missing_misplaced_or_foreign_is_named() {
    for place in Place::quick() {
        let store = place.open();
        fill(&store);
        let key = |bytes: &[u8]| repo().blob(&Sha256::of(bytes)).to_string();
        let named = |key: &str, wrong: Wrong, words: &str| {
            let found = findings(&store);
            let hit = |(k, w, detail): &&(String, Wrong, String)| {
                k == key && *w == wrong && detail.contains(words)
            };
            assert!(found.iter().any(|one| hit(&one)), "{key}: {words}: {found:?}");
        };
        let without = |at: &str, check: &dyn Fn()| {
            let bytes = content(&store, at);
            store.backend.remove(&own(at)).unwrap();
            check();
            overwrite(&store, at, &bytes);
            assert_eq!(findings(&store), []);
        };
        without(&key(b"deep"), &|| {
            named("tags/ann/app/1.0.0.json", Wrong::Incomplete, "a/b/c.txt");
        });
        let root = repo().blob(&sample().digest()).to_string();
        without(&root, &|| named("tags/ann/app/1.0.0.json", Wrong::Incomplete, "its root"));
        without(&key(b"layer"), &|| {
            let manifest = store.table(&MANIFESTS).list(&[], None, 1).unwrap().remove(0);
            let at = format!("oci-manifests/{}.json", manifest.join("/"));
            named(&at, Wrong::Incomplete, "sha512:");
            let alias = store.table(&ALIASES).list(&[], None, 1).unwrap().remove(0);
            named(&format!("aliases/{}.json", alias.join("/")), Wrong::Incomplete, "stands for");
        });
        without("repos/ann/app.json", &|| {
            named("tags/ann/app/1.0.0.json", Wrong::Incomplete, "no repository ann/app");
        });
        without("users/ann.json", &|| named("repos/ann/app.json", Wrong::Incomplete, "no owner"));
        let manifest = store.table(&MANIFESTS).list(&[], None, 1).unwrap().remove(0).join("/");
        without(&format!("oci-manifests/{manifest}.json"), &|| {
            named("oci-tags/ann/app/latest.json", Wrong::Incomplete, "manifest");
            assert!(findings(&store).iter().any(|(key, ..)| key.starts_with("oci-referrers/")));
        });
        let id = store.table(&UPLOADS).list(&[], None, 1).unwrap().remove(0).remove(0);
        let chunk = store.backend.list(&format!("uploads/{id}/"), None, 1).unwrap().remove(0);
        without(&chunk, &|| named(&format!("uploads/{id}.json"), Wrong::Incomplete, "chunk"));
        // What does not belong here.
        for stray in ["photo.jpg", "blobs/x", "things/a.json", "tags/ann/app/latest.json"] {
            overwrite(&store, stray, b"x");
            let found = findings(&store);
            assert!(found.iter().any(|(key, ..)| key == stray), "{stray}: {found:?}");
            store.backend.remove(&own(stray)).unwrap();
        }
        // A record in another's place that says what it is.
        let (one, two) = ("tags/ann/app/1.0.0.json", "oci-tags/ann/app/1.0.1.json");
        let other = crate::oci::records::TagRecord {
            manifest: manifest.rsplit('/').next().unwrap().parse_hex(),
            package: Some(store.tag(&tag_name("1.0.0")).unwrap().unwrap().digest()),
            settled: true,
            deleted: false,
        };
        store.table(&OCI_TAGS).create(&["ann", "app", "1.0.1"], &other).unwrap();
        named(two, Wrong::Misplaced, "sha256:");
        store.backend.remove(&own(two)).unwrap();
        let good = content(&store, one);
        overwrite(&store, one, &vec![b'x'; 100_000]);
        named(one, Wrong::Damaged, "larger");
        overwrite(&store, one, &good);
        overwrite(&store, "registry.key.pem", b"no key");
        named("registry.key.pem", Wrong::Damaged, "P-256");
    }
}

trait ParseHex {
    fn parse_hex(&self) -> Sha256;
}

impl ParseHex for str {
    fn parse_hex(&self) -> Sha256 {
        format!("sha256:{self}").parse().unwrap()
    }
}

/// Flipped bytes, cut and longer files, swapped content: all of it is named, none of it is served.
#[test]
fn random_damage_is_named_and_not_served() {
    let mut random = Random::from_env("DAMAGE_SEED");
    let damages = count("DAMAGES", 60);
    for place in Place::quick() {
        let store = place.open();
        fill(&store);
        let all = store.backend.list("", None, usize::MAX).unwrap();
        let blobs: Vec<&String> = all.iter().filter(|key| key.starts_with("blobs/")).collect();
        let records: Vec<&String> = all.iter().filter(|key| key.ends_with(".json")).collect();
        for n in 0..damages {
            // What was read before is remembered; a new process knows nothing.
            let store = place.open_beside();
            let at =
                if random.below(4) == 0 { *random.pick(&records) } else { *random.pick(&blobs) };
            let good = content(&store, at);
            let swapped = (at.starts_with("blobs/") && random.below(4) == 0)
                .then(|| *random.pick(&blobs))
                .filter(|other| *other != at);
            let mut bad = good.clone();
            match (swapped, random.below(3)) {
                (Some(other), _) => bad = content(&store, other),
                (None, 0) if !bad.is_empty() => {
                    let byte = random.below(bad.len());
                    bad[byte] ^= 1 << random.below(8);
                }
                (None, 1) if !bad.is_empty() => bad.truncate(random.below(bad.len())),
                _ => bad.extend_from_slice(b"more"),
            }
            overwrite(&store, at, &bad);
            if let Some(other) = swapped {
                overwrite(&store, other, &good);
            }
            let found = findings(&store);
            for key in [Some(at), swapped].into_iter().flatten() {
                let wrong = if swapped.is_some() { Wrong::Misplaced } else { Wrong::Damaged };
                let hit = found.iter().any(|(k, w, _)| k == key && *w == wrong);
                assert!(hit, "damage {n}: {key} is not named {wrong:?}: {found:?}");
                assert!(closed(&store, key, good.len() as u64), "damage {n}: {key} is served");
            }
            overwrite(&store, at, &good);
            if let Some(other) = swapped {
                overwrite(&store, other, &bad);
            }
        }
        assert_eq!(findings(&store), []);
    }
}

/// Whether nobody gets all of something damaged.
fn closed(store: &Store, key: &str, length: u64) -> bool {
    let Some(hex) = key.strip_prefix("blobs/ann/app/") else {
        let parts: Vec<&str> = key.trim_end_matches(".json").split('/').collect();
        let read = crate::upkeep::kinds::known(parts[0]).unwrap().read;
        return matches!(read(store, &parts[1..]), Err(StoreError::Damaged(_)));
    };
    let mut blob = match store.open_blob(&repo(), (hex.parse_hex(), length), None) {
        Err(StoreError::Damaged(_)) => return true,
        other => other.unwrap().unwrap(),
    };
    let mut given = 0;
    loop {
        match blob.next_piece() {
            Ok(Some(piece)) => given += piece.len() as u64,
            Ok(None) => return false,
            Err(error) => return matches!(error, StoreError::Damaged(_)) && given < length,
        }
    }
}

/// What goes away while it is looked at is no damage, and what a scrub reads beside a busy registry is whole.
#[test]
fn scrubbing_beside_uploads_finds_nothing_wrong() {
    for place in Place::quick() {
        let (store, beside) = (place.open(), place.open_beside());
        fill(&store);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..40u8 {
                    let tree = tree(&[("main.wasm", &[n; 40]), ("d/x", &[n; 3])]);
                    upload(&store, &tag_name(&format!("3.0.{n}")), &tree, usize::MAX);
                    let id = store.begin_upload(&repo(), NOW).unwrap();
                    let mut chunk = store.upload(Hasher::new()).unwrap();
                    chunk.write(&[n; 9]).unwrap();
                    store.append(&repo(), &id, None, &chunk, NOW).unwrap();
                    assert!(store.cancel_upload(&repo(), &id, NOW).unwrap());
                }
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(findings(&beside), []);
            }
        });
        assert_eq!(look(&beside).tags, 42);
    }
}
