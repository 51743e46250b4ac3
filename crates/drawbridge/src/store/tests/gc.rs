// SPDX-License-Identifier: Apache-2.0

//! What nothing needs goes, a grace period after it was found; what anybody comes to need stays.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::faults::Faulty;
use super::scrub::fill_with;
use super::*;
use crate::oci::records::{HIDDEN, MANIFESTS, TAGS as OCI_TAGS};
use crate::upkeep::gc::{GRACE_SECONDS_MIN, Options, Report, collect};
use crate::upkeep::scrub::scrub;

const GRACE: u64 = GRACE_SECONDS_MIN;

pub(super) fn run(store: &Store, at: u64) -> Report {
    let options = Options { grace: GRACE, dry_run: false };
    collect(store, options, &|| Timestamp(at)).unwrap()
}

fn blob(store: &Store, bytes: &[u8]) -> BlobDigest {
    let mut upload = store.upload(Hasher::new()).unwrap();
    upload.write(bytes).unwrap();
    let digest = BlobDigest::from(Sha256::of(bytes));
    assert!(matches!(store.put_blob(&repo(), &upload, &digest).unwrap(), Finished::Put(..)));
    digest
}

fn there(store: &Store, digest: &BlobDigest) -> bool {
    store.find_blob(&repo(), digest).unwrap().is_some()
}

fn keys(store: &Store, prefix: &str) -> Vec<String> {
    store.backend.list(prefix, None, usize::MAX).unwrap()
}

#[test]
fn what_nothing_needs_goes_a_grace_period_after_it_was_found() {
    for place in Place::all() {
        let (store, gc) = (place.open(), place.open_beside());
        fill_with(&store, 30);
        let needed = keys(&store, "blobs/").len() as u64;
        let lost = blob(&store, b"lost");
        // Somebody deleted it by OCI.
        let hidden = crate::oci::records::Hidden { deleted_at: 900 };
        let hex = Sha256::of(b"lost").to_hex();
        store.table(&HIDDEN).create(&["ann", "app", &hex], &hidden).unwrap();
        let report = run(&gc, 1000);
        assert_eq!((report.needed.count, report.condemned.count), (needed, 1));
        assert_eq!((report.condemned.bytes, report.removed.count), (4, 0));
        let report = run(&gc, 1000 + GRACE - 1);
        assert_eq!((report.waiting.count, report.removed.count), (1, 0));
        assert!(there(&store, &lost));
        let dry = Options { grace: GRACE, dry_run: true };
        let report = collect(&gc, dry, &|| Timestamp(1000 + GRACE)).unwrap();
        assert_eq!((report.removed.count, report.removed.bytes), (1, 4));
        assert!(there(&store, &lost));
        let report = run(&gc, 1000 + GRACE);
        assert_eq!((report.needed.count, report.removed.count), (needed, 1));
        assert!(!there(&store, &lost));
        assert_eq!(keys(&store, "oci-deleted/"), [""; 0]);
        assert_eq!(report.skipped, []);
        // Nothing else is gone, and no mark is left.
        assert_eq!(scrub(&store, &mut |_| {}).unwrap().findings, []);
        let marks = keys(&store, "garbage/");
        assert!(marks.iter().all(|key| key.contains("/pending/")), "{marks:?}");
        assert_eq!(keys(&store, "tmp/"), [""; 0]);
    }
}

#[test]
fn whoever_comes_to_need_it_keeps_it() {
    for place in Place::quick() {
        let store = place.open();
        let (one, two) = (blob(&store, b"one"), blob(&store, b"two"));
        let tree = tree(&[("main.wasm", WASM), ("x", b"1")]);
        for (_, node) in tree.nodes() {
            blob(&store, &node.bytes);
        }
        run(&store, 1000);
        // By uploading it again, by asking for it before a push, and by naming it.
        blob(&store, b"one");
        store.spare_named(&repo(), &two).unwrap();
        store.put_tag(&tag_name("1.0.0"), &tree.tag(), NOW).unwrap();
        assert!(store.tag(&tag_name("1.0.0")).unwrap().is_some());
        let report = run(&store, 1000 + GRACE);
        assert_eq!((report.removed.count, report.condemned.count), (0, 2));
        assert_eq!(report.needed.count, tree.nodes().len() as u64);
        assert!(there(&store, &one) && there(&store, &two));
        // And if nobody goes on with it, it goes.
        assert_eq!(run(&store, 1000 + 2 * GRACE).removed.count, 2);
        store.table(&TAGS).delete(&tag_name("1.0.0").parts()).unwrap();
        assert_eq!(run(&store, 1000 + 3 * GRACE).condemned.count, tree.nodes().len() as u64);
        assert_eq!(run(&store, 1000 + 4 * GRACE).removed.count, tree.nodes().len() as u64);
        assert_eq!(keys(&store, "blobs/"), [""; 0]);
        assert_eq!(keys(&store, "garbage/"), [""; 0]);
    }
}

#[test]
fn everything_that_is_left_behind_goes() {
    for place in Place::quick() {
        let store = place.open();
        fill_with(&store, 30);
        let day = NOW.0 + limits::UPLOAD_SECONDS_MAX;
        let report = run(&store, day);
        // An upload of a day ago, with its chunk.
        assert_eq!((report.uploads.count, report.uploads.bytes > 5), (2, true));
        // An announcement that nobody went on with, and then its content.
        assert_eq!(keys(&store, "pending/").len(), 1);
        let before = keys(&store, "blobs/").len();
        assert_eq!(run(&store, day + GRACE).announcements, 1);
        assert_eq!(keys(&store, "pending/"), [""; 0]);
        run(&store, day + 2 * GRACE);
        run(&store, day + 3 * GRACE);
        assert_eq!(keys(&store, "blobs/").len(), before - 1);
        // One that somebody goes on with stays.
        let (late, tag) = (tree(&[("main.wasm", b"slow"), ("x", b"slower")]), tag_name("9.0.0"));
        for n in 0..3 {
            upload(&store, &tag, &late, n);
            run(&store, day + (4 + n as u64) * GRACE);
        }
        upload(&store, &tag, &late, usize::MAX);
        assert!(store.tag(&tag).unwrap().is_some());
        // Without its names, the content of a manifest goes, and with it by what other digest it was known.
        let table = store.table(&MANIFESTS);
        for name in table.list(&[], None, 9).unwrap() {
            let parts: Vec<&str> = name.iter().map(String::as_str).collect();
            table.delete(&parts).unwrap();
        }
        store.table(&OCI_TAGS).delete(&["ann", "app", "latest"]).unwrap();
        for key in keys(&store, "oci-referrers/") {
            store.backend.remove(&own(&key)).unwrap();
        }
        assert_eq!(keys(&store, "aliases/").len(), 1);
        run(&store, day + 10 * GRACE);
        assert_eq!(run(&store, day + 11 * GRACE).removed.count, 3);
        assert_eq!(keys(&store, "aliases/"), [""; 0]);
        assert_eq!(scrub(&store, &mut |_| {}).unwrap().findings, []);
    }
}

#[test]
fn files_of_dead_processes_go_and_those_of_the_living_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut dead = store.upload(Hasher::new()).unwrap();
    dead.write(b"half").unwrap();
    let mut living = store.upload(Hasher::new()).unwrap();
    living.write(b"more").unwrap();
    let paths = [&dead, &living].map(|upload| upload.temporary.path().to_owned());
    let touched = |path: &Path, seconds: u64| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    };
    touched(&paths[0], 1000);
    touched(&paths[1], 1001);
    let report = run(&store, 1001 + GRACE);
    assert_eq!((report.staging.count, report.staging.bytes), (1, 4));
    assert_eq!(paths.map(|path| path.exists()), [false, true]);
}

#[test]
fn what_cannot_be_understood_is_left_alone() {
    for place in Place::quick() {
        let store = place.open();
        fill_with(&store, 30);
        blob(&store, b"lost");
        run(&store, 1000);
        let at = repo().blob(&sample().digest());
        let mut staged = store.backend.stage().unwrap();
        staged.write(b"{\"rotten\":1}").unwrap();
        store.backend.replace(&staged, &at).unwrap();
        let report = run(&store, 1000 + GRACE);
        assert_eq!((report.removed.count, report.skipped.len()), (0, 1));
        assert!(report.skipped[0].1.contains("tags/ann/app/1.0.0"), "{:?}", report.skipped);
        // Records that a newer version may have written.
        store.backend.write(&own("of-tomorrow/ann/app/x.json"), b"x", When::Absent).unwrap();
        let options = Options { grace: GRACE, dry_run: true };
        let error = collect(&store, options, &|| Timestamp(2000)).unwrap_err();
        assert!(error.to_string().contains("of-tomorrow/"), "{error}");
    }
}

#[test]
fn one_gc_at_a_time() {
    for place in Place::quick() {
        let (store, other) = (place.open(), place.open_beside());
        blob(&store, b"lost");
        let options = Options { grace: GRACE, dry_run: false };
        let busy = std::cell::Cell::new(0);
        // While one is at work, at each moment when it looks at the clock.
        let clock = || {
            let began = busy.get();
            if began == 1 {
                busy.set(2);
                let error = collect(&other, options, &|| Timestamp(1000)).unwrap_err();
                assert!(error.to_string().contains("another gc"), "{error}");
            } else if began == 0 {
                busy.set(1);
            }
            Timestamp(1000)
        };
        collect(&store, options, &clock).unwrap();
        assert_eq!(busy.get(), 2);
        // It gave the lease back.
        run(&other, 1001);
        // One that stands still for longer than its lease does not go on when another one was there.
        let steps = std::cell::Cell::new(0u32);
        let clock = || {
            steps.set(steps.get() + 1);
            match steps.get() {
                1 => Timestamp(2000),
                2 => {
                    run(&other, 9000);
                    Timestamp(9001)
                }
                _ => Timestamp(9001),
            }
        };
        let error = collect(&store, options, &clock).unwrap_err();
        assert!(error.to_string().contains("stood still"), "{error}");
    }
}

/// A gc that dies at any moment leaves nothing that blocks anybody for longer than an hour, and the next one finishes.
#[test]
fn a_gc_that_fails_at_any_call_harms_nothing() {
    let mut faults = 0;
    for late in [false, true] {
        for fails_at in 0.. {
            let place = Place::memory();
            let plain = place.open();
            fill_with(&plain, 30);
            let lost = blob(&plain, b"lost");
            run(&plain, 1000);
            let at = 1000 + GRACE;
            let backend = Arc::new(Faulty {
                inner: Arc::clone(&plain.backend),
                calls: AtomicUsize::new(0),
                fails_at,
                late,
                error: std::io::ErrorKind::Other,
            });
            let store = Store::over(Arc::clone(&backend) as Arc<dyn Backend>).unwrap();
            let options = Options { grace: GRACE, dry_run: false };
            let result = collect(&store, options, &|| Timestamp(at));
            if backend.calls.load(Ordering::Relaxed) <= fails_at {
                result.unwrap();
                break;
            }
            faults += 1;
            assert_eq!(scrub(&plain, &mut |_| {}).unwrap().findings, [], "call {fails_at}");
            // Whoever brings the content again may be told to wait, but not for long.
            let again = |store: &Store| {
                let mut upload = store.upload(Hasher::new()).unwrap();
                upload.write(b"lost").unwrap();
                store.put_blob(&repo(), &upload, &lost)
            };
            match again(&plain) {
                Ok(_) => {}
                Err(StoreError::Busy) => {
                    assert_eq!(plain.spare_abandoned(Timestamp(at + 3599)).unwrap(), 0);
                    assert_eq!(plain.spare_abandoned(Timestamp(at + 3600)).unwrap(), 1);
                    again(&plain).unwrap();
                }
                Err(error) => panic!("call {fails_at}: {error}"),
            }
            assert!(there(&plain, &lost));
            for round in 2..6 {
                run(&plain, 1000 + round * GRACE);
            }
            assert!(!there(&plain, &lost), "call {fails_at}");
            assert_eq!(scrub(&plain, &mut |_| {}).unwrap().findings, [], "call {fails_at}");
        }
    }
    assert!(faults > 80, "{faults}");
}

/// A name is written, or content brought again, at each moment when gc looks at the clock, which is before all that it decides.
#[test]
fn whatever_is_acknowledged_while_gc_decides_stays() {
    let tree = tree(&[("main.wasm", WASM), ("x", b"1")]);
    let contents = || tree.nodes().map(|(_, node)| node.bytes.clone());
    // Whether it was acknowledged.
    type Ask<'a> = &'a dyn Fn(&Store) -> Result<bool, StoreError>;
    let name: Ask<'_> = &|store| {
        store.put_tag(&tag_name("1.0.0"), &tree.tag(), NOW)?;
        Ok(store.tag(&tag_name("1.0.0"))?.is_some())
    };
    let bring: Ask<'_> = &|store| {
        for bytes in contents() {
            let mut upload = store.upload(Hasher::new())?;
            upload.write(&bytes)?;
            store.put_blob(&repo(), &upload, &Sha256::of(&bytes).into())?;
        }
        Ok(true)
    };
    let push: Ask<'_> = &|store| {
        let digests: Vec<Sha256> = contents().map(|bytes| Sha256::of(&bytes)).collect();
        store.spare_blobs(&repo(), || Ok(digests.iter().copied().collect()))?;
        for digest in digests {
            if store.find_blob(&repo(), &digest.into())?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    };
    for place in [Place::memory as fn() -> Place, Place::dir] {
        for (what, ask) in [("name", name), ("bring", bring), ("push", push)] {
            let mut acknowledged = 0;
            for moment in 0.. {
                let place = place();
                let (store, gc) = (place.open(), place.open_beside());
                bring(&store).unwrap();
                run(&gc, 1000);
                let (calls, told) = (std::cell::Cell::new(0), std::cell::Cell::new(false));
                let clock = || {
                    if calls.replace(calls.get() + 1) == moment {
                        match ask(&store) {
                            Ok(acknowledged) => told.set(acknowledged),
                            Err(StoreError::Busy) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    Timestamp(1000 + GRACE)
                };
                let options = Options { grace: GRACE, dry_run: false };
                collect(&gc, options, &clock).unwrap();
                if calls.get() <= moment {
                    break;
                }
                if told.get() {
                    acknowledged += 1;
                    for bytes in contents() {
                        let there = there(&store, &Sha256::of(&bytes).into());
                        assert!(there, "{what} at look {moment} was acknowledged, and is gone");
                    }
                }
            }
            assert!(acknowledged > 2, "{what}");
        }
    }
}
