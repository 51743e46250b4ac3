// SPDX-License-Identifier: Apache-2.0

//! Owners get the room that they have, and no more.

use super::gc::run;
use super::*;
use crate::upkeep::gc::GRACE_SECONDS_MIN as GRACE;

fn limited(place: &Place, quotas: Quotas) -> Store {
    place.open_beside().with_quotas(quotas)
}

fn bytes_quota(bytes: u64) -> Quotas {
    Quotas { bytes: Some(bytes), ..Quotas::default() }
}

fn bring(store: &Store, repo: &RepoName, bytes: &[u8]) -> Result<Put, StoreError> {
    let mut upload = store.upload(Hasher::new())?;
    upload.write(bytes)?;
    match store.put_blob(repo, &upload, &Sha256::of(bytes).into())? {
        Finished::Put(put, _) => Ok(put),
        other => panic!("{other:?}"),
    }
}

fn exceeded<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Exceeded {
    match result {
        Err(StoreError::Exceeded(exceeded)) => *exceeded,
        other => panic!("{other:?}"),
    }
}

fn used(store: &Store) -> Amounts {
    store.usage(repo().user()).unwrap().unwrap()
}

#[test]
fn bytes_count_once_in_each_repository_and_retries_are_free() {
    let other = RepoName::new(UserName::new("ann").unwrap(), "other").unwrap();
    for place in Place::all() {
        let store = place.open();
        // What was there before there were quotas counts.
        bring(&store, &repo(), b"four").unwrap();
        let store = limited(&place, bytes_quota(20));
        assert_eq!(bring(&store, &repo(), b"sixsix").unwrap(), Put::Created);
        assert_eq!(used(&store).bytes, 10);
        for _ in 0..3 {
            assert_eq!(bring(&store, &repo(), b"four").unwrap(), Put::Same);
            assert_eq!(bring(&store, &repo(), b"sixsix").unwrap(), Put::Same);
        }
        assert_eq!(bring(&store, &other, b"sixsix").unwrap(), Put::Created);
        assert_eq!(used(&store).bytes, 16);
        let no = exceeded(bring(&store, &repo(), b"fives"));
        assert_eq!((no.what, no.quota, no.used, no.asked), ("bytes", 20, 16, 5));
        assert_eq!(
            no.to_string(),
            "ann has 16 of 20 bytes that an owner may have here, and this needs 5 more"
        );
        // A retry of what is there goes on, and so does what fits.
        assert_eq!(bring(&store, &repo(), b"sixsix").unwrap(), Put::Same);
        assert_eq!(bring(&store, &repo(), b"FOUR").unwrap(), Put::Created);
        assert_eq!(bring(&store, &repo(), b"").unwrap(), Put::Created);
        assert_eq!(used(&store).bytes, 20);
        // An upload that could never be kept is not taken in chunks either.
        let id = store.begin_upload(&repo(), NOW).unwrap();
        let mut chunk = store.upload(Hasher::new()).unwrap();
        chunk.write(&[0; 21]).unwrap();
        exceeded(store.append(&repo(), &id, None, &chunk, NOW));
        // Others have their own room.
        let bob = RepoName::new(UserName::new("bob").unwrap(), "app").unwrap();
        assert_eq!(bring(&store, &bob, &[1; 20]).unwrap(), Put::Created);
        // What gc takes away gives room.
        run(&store, NOW.0);
        assert_eq!(run(&store, NOW.0 + GRACE).removed.count, 6);
        assert_eq!(used(&store).bytes, 0);
        assert_eq!(bring(&store, &repo(), &[2; 20]).unwrap(), Put::Created);
    }
}

#[test]
fn announced_tags_count_and_give_their_room_back() {
    for place in Place::quick() {
        drop(place.open());
        let quotas = Quotas { tags: Some(2), ..Quotas::default() };
        let store = limited(&place, quotas);
        let (one, two) = (sample(), tree(&[("main.wasm", b"\0asm2")]));
        upload(&store, &tag_name("1.0.0"), &one, usize::MAX);
        upload(&store, &tag_name("1.0.1"), &two, 1);
        let no = exceeded(store.put_tag(&tag_name("1.0.2"), &one.tag(), NOW));
        assert_eq!((no.what, no.quota, no.used, no.asked), ("tags", 2, 2, 1));
        // Again, and another one in place of what did not come to be.
        upload(&store, &tag_name("1.0.0"), &one, usize::MAX);
        assert_eq!(store.put_tag(&tag_name("1.0.1"), &one.tag(), NOW).unwrap(), Put::Created);
        assert!(store.tag(&tag_name("1.0.1")).unwrap().is_some());
        assert_eq!(used(&store).tags, 2);
        store.table(&TAGS).delete(&tag_name("1.0.1").parts()).unwrap();
        // It is gone and nobody said so: believed when nothing happened for an hour.
        // In the second hour gc gave back room for content, so something happened.
        for (hour, expected) in [(0, 2), (1, 2), (2, 1)] {
            run(&store, NOW.0 + hour * GRACE);
            assert_eq!(used(&store).tags, expected, "{hour}");
        }
        store.put_tag(&tag_name("1.0.3"), &two.tag(), NOW).unwrap();
        exceeded(store.put_tag(&tag_name("1.0.4"), &one.tag(), NOW));
    }
}

/// Of many at once, over several instances, just as many get room as there is.
#[test]
fn no_more_is_let_in_than_there_is_room_for() {
    for place in Place::all() {
        drop(place.open());
        let stores: Vec<Store> = (0..3).map(|_| limited(&place, bytes_quota(50))).collect();
        let kept = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..9u8)
                .map(|n| {
                    let store = &stores[usize::from(n) % 3];
                    scope.spawn(move || match bring(store, &repo(), &[n; 10]) {
                        Ok(Put::Created) => 1,
                        Err(StoreError::Exceeded(_)) => 0,
                        other => panic!("{other:?}"),
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>()
        });
        assert_eq!(kept, 5);
        assert_eq!(used(&stores[0]).bytes, 50);
        assert_eq!(stores[0].backend.list("blobs/", None, 99).unwrap().len(), 5);
    }
}

#[test]
fn what_a_dead_instance_took_is_found() {
    for place in Place::quick() {
        drop(place.open());
        let store = limited(&place, bytes_quota(100));
        bring(&store, &repo(), b"four").unwrap();
        // It took room, and died before it kept anything.
        assert!(store.take_room(repo().user(), Amounts::bytes(90)).unwrap());
        exceeded(bring(&store, &repo(), &[1; 10]));
        let at = |hours: u64| NOW.0 + hours * 3600;
        assert_eq!(run(&store, at(0)).recounted, 0);
        // Somebody may be between taking and keeping, so it is not believed while anything happens.
        bring(&store, &repo(), b"five").unwrap();
        assert_eq!(run(&store, at(1)).recounted, 0);
        assert_eq!(used(&store).bytes, 94, "without the first, which nothing needed");
        let dry = crate::upkeep::gc::Options { grace: GRACE, dry_run: true };
        crate::upkeep::gc::collect(&store, dry, &|| Timestamp(at(2))).unwrap();
        assert_eq!(used(&store).bytes, 94);
        // What was kept without taking counts at once. (One instance has no quotas.)
        let careless = place.open_beside();
        assert_eq!(run(&careless, at(2)).recounted, 0);
        assert_eq!(used(&store).bytes, 90);
        assert_eq!(run(&careless, at(3)).recounted, 1);
        assert_eq!(used(&store).bytes, 0);
        bring(&careless, &repo(), &[7; 60]).unwrap();
        assert_eq!(run(&careless, at(4)).recounted, 1);
        assert_eq!(used(&store).bytes, 60);
    }
}
