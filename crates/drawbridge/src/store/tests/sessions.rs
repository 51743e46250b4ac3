// SPDX-License-Identifier: Apache-2.0

//! Uploads in several requests, in every place.

use super::super::session::{Appended, BlobDigest, Finished, UploadId};
use super::*;

fn chunk(store: &Store, bytes: &[u8]) -> Upload {
    let mut upload = store.upload(Hasher::new()).unwrap();
    upload.write(bytes).unwrap();
    upload
}

fn digest(bytes: &[u8]) -> BlobDigest {
    Sha256::of(bytes).into()
}

fn read(store: &Store, digest: &BlobDigest) -> Option<Vec<u8>> {
    let found = store.find_blob(&repo(), digest).unwrap()?;
    let mut blob = store.open_blob(&repo(), found, None).unwrap().unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = blob.next_piece().unwrap() {
        bytes.extend(piece);
    }
    Some(bytes)
}

fn uploads(store: &Store) -> usize {
    store.backend.list("uploads/", None, 1000).unwrap().len()
}

#[test]
fn an_upload_goes_on_where_it_stopped_also_in_another_process() {
    for place in Place::all() {
        let store = place.open();
        let id = store.begin_upload(&repo(), NOW).unwrap();
        let append = |store: &Store, offset, bytes: &[u8]| {
            store.append(&repo(), &id, offset, &chunk(store, bytes), NOW).unwrap()
        };
        assert_eq!(append(&store, Some(0), b"one "), Appended::Length(4));
        assert_eq!(append(&store, Some(3), b"x"), Appended::Elsewhere(4));
        assert_eq!(append(&store, Some(4), b""), Appended::Length(4));
        drop(store);
        let store = place.open();
        assert_eq!(store.upload_length(&repo(), &id, NOW).unwrap(), Some(4));
        assert_eq!(append(&store, None, b"two"), Appended::Length(7));
        let finish = |bytes: &[u8]| store.finish_upload(&repo(), &id, &digest(bytes), NOW).unwrap();
        assert_eq!(finish(b"one 2"), Finished::Mismatch);
        assert!(matches!(finish(b"one two"), Finished::Put(Put::Created, _)));
        assert_eq!(finish(b"one two"), Finished::Unknown);
        assert_eq!(read(&store, &digest(b"one two")).unwrap(), b"one two");
        assert_eq!(read(&store, &digest(b"one ")), None);
        assert_eq!(uploads(&store), 0);
        assert!(place.temporaries().is_empty());
    }
}

#[test]
fn uploads_belong_to_a_repository_and_end() {
    let other = RepoName::new(UserName::new("bob").unwrap(), "app").unwrap();
    let day = limits::UPLOAD_SECONDS_MAX;
    for place in Place::quick() {
        let store = place.open();
        let id = store.begin_upload(&repo(), NOW).unwrap();
        let late = Timestamp(NOW.0 + day);
        assert_eq!(store.upload_length(&other, &id, NOW).unwrap(), None);
        assert!(!store.cancel_upload(&other, &id, NOW).unwrap());
        let append = |repo: &RepoName, now| {
            store.append(repo, &id, None, &chunk(&store, b"x"), now).unwrap()
        };
        assert_eq!(append(&other, NOW), Appended::Unknown);
        assert_eq!(append(&repo(), late), Appended::Unknown);
        assert_eq!(append(&repo(), NOW), Appended::Length(1));
        // A chunk that nobody came to name.
        let lost = UploadId::new(&"0".repeat(32)).unwrap();
        store
            .backend
            .publish(
                &chunk(&store, b"lost").temporary,
                &Key::own(format!("uploads/{}/x", lost.as_str())),
            )
            .unwrap();
        assert_eq!(store.expire_uploads(Timestamp(late.0 - 1)).unwrap(), 1);
        assert_eq!(uploads(&store), 2);
        assert_eq!(store.expire_uploads(late).unwrap(), 2);
        assert_eq!(uploads(&store), 0);
        let id = store.begin_upload(&repo(), NOW).unwrap();
        store.append(&repo(), &id, None, &chunk(&store, b"x"), NOW).unwrap();
        assert!(store.cancel_upload(&repo(), &id, NOW).unwrap());
        assert!(!store.cancel_upload(&repo(), &id, NOW).unwrap());
        assert_eq!(uploads(&store), 0);
    }
}

#[test]
fn of_chunks_for_one_place_one_is_taken() {
    for place in Place::all() {
        let store = place.open();
        let id = store.begin_upload(&repo(), NOW).unwrap();
        let taken = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6u8)
                .map(|n| {
                    let (store, id) = (&store, &id);
                    scope.spawn(move || {
                        let chunk = chunk(store, &[n; 5]);
                        store.append(&repo(), id, Some(0), &chunk, NOW).unwrap()
                    })
                })
                .collect();
            let outcomes = threads.into_iter().map(|thread| thread.join().unwrap());
            outcomes.filter(|outcome| *outcome == Appended::Length(5)).count()
        });
        assert_eq!(taken, 1);
        assert_eq!(store.upload_length(&repo(), &id, NOW).unwrap(), Some(5));
        assert_eq!(uploads(&store), 2);
    }
}

#[test]
fn blobs_are_found_by_the_digest_they_were_uploaded_by() {
    for place in Place::quick() {
        let store = place.open();
        let bytes = b"abc";
        let all = drawbridge_core::ContentDigest::of(bytes);
        for algorithm in ["sha384", "sha512"] {
            let digest =
                BlobDigest::parse(&format!("{algorithm}:{}", all.hex(algorithm).unwrap())).unwrap();
            assert_eq!(store.find_blob(&repo(), &digest).unwrap(), None);
            let wrong = store.put_blob(&repo(), &chunk(&store, b"abd"), &digest).unwrap();
            assert_eq!(wrong, Finished::Mismatch);
            let put = store.put_blob(&repo(), &chunk(&store, bytes), &digest).unwrap();
            assert!(matches!(put, Finished::Put(..)));
            assert_eq!(store.find_blob(&repo(), &digest).unwrap(), Some((Sha256::of(bytes), 3)));
        }
        assert_eq!(read(&store, &digest(bytes)).unwrap(), bytes);
    }
    for bad in ["sha256:", "md5:00", "sha256:00", &format!("sha256:{}", "A".repeat(64)), "x"] {
        assert_eq!(BlobDigest::parse(bad), None, "{bad}");
    }
}

#[test]
fn large_content_goes_through_every_place_in_parts() {
    // More than one part of a bucket's upload.
    let bytes: Vec<u8> = (0..=250).cycle().take(17 * 1024 * 1024 + 3).collect();
    for place in Place::all() {
        let store = place.open();
        let put = store.put_blob(&repo(), &chunk(&store, &bytes), &digest(&bytes)).unwrap();
        assert!(matches!(put, Finished::Put(Put::Created, _)));
        let put = store.put_blob(&repo(), &chunk(&store, &bytes), &digest(&bytes)).unwrap();
        assert!(matches!(put, Finished::Put(Put::Same, _)));
        assert!(read(&store, &digest(&bytes)).unwrap() == bytes);
        let found = store.find_blob(&repo(), &digest(&bytes)).unwrap().unwrap();
        let range = 9_000_001..9_600_000;
        let mut blob = store.open_blob(&repo(), found, Some(range)).unwrap().unwrap();
        let mut part = Vec::new();
        while let Some(piece) = blob.next_piece().unwrap() {
            part.extend(piece);
        }
        assert!(part == bytes[9_000_001..9_600_000]);
    }
}
