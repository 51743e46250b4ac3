// SPDX-License-Identifier: Apache-2.0

//! Storage that fails: at each call once, with each error, before the call takes effect and after.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::backend::{Named, Opened, Version, When};
use super::super::session::Finished;
use super::super::staging::Temporary;
use super::*;

/// Fails one call by number, and counts them.
#[derive(Debug)]
pub(super) struct Faulty {
    pub(super) inner: Arc<dyn Backend>,
    pub(super) calls: AtomicUsize,
    pub(super) fails_at: usize,
    /// The call took effect, as far as anybody can tell, and its answer is a failure nevertheless.
    pub(super) late: bool,
    pub(super) error: io::ErrorKind,
}

impl Faulty {
    fn call<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let fails = self.calls.fetch_add(1, Ordering::Relaxed) == self.fails_at;
        if !fails {
            return work();
        }
        if self.late {
            let _ = work();
        }
        Err(io::Error::from(self.error).into())
    }
}

impl Backend for Faulty {
    fn read(&self, key: &Key, max: usize) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.call(|| self.inner.read(key, max))
    }

    fn write(
        &self,
        key: &Key,
        bytes: &[u8],
        when: When<'_>,
    ) -> Result<Option<Version>, StoreError> {
        self.call(|| self.inner.write(key, bytes, when))
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.call(|| self.inner.remove(key))
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.call(|| self.inner.list(prefix, after, max))
    }

    fn length(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.call(|| self.inner.length(key))
    }

    fn open(&self, key: &Key, from: u64) -> Result<Option<Opened>, StoreError> {
        self.call(|| self.inner.open(key, from))
    }

    fn stage(&self) -> Result<Temporary, StoreError> {
        self.call(|| self.inner.stage())
    }

    fn publish(&self, staged: &Temporary, key: &Key) -> Result<Named, StoreError> {
        self.call(|| self.inner.publish(staged, key))
    }

    fn replace(&self, staged: &Temporary, key: &Key) -> Result<(), StoreError> {
        self.call(|| self.inner.replace(staged, key))
    }
}

/// What was acknowledged.
#[derive(Default)]
struct Done {
    user: bool,
    /// Nodes of the package, in the order of their upload.
    nodes: usize,
    tag: bool,
    blob: bool,
}

/// Registers, publishes, uploads; goes as far as it can.
fn work(store: &Store, tree: &Tree, done: &mut Done) -> Result<(), StoreError> {
    let tag = tag_name("1.0.0");
    store.put_user(repo().user(), &UserRecord { subject: "ann".to_owned() })?;
    done.user = true;
    store.put_tag(&tag, &tree.tag(), NOW)?;
    for (n, (_, node)) in tree.nodes().enumerate() {
        let mut upload = store.upload(Hasher::new())?;
        upload.write(&node.bytes)?;
        assert!(matches!(store.put_node(&tag, &node.entry, upload, NOW)?, Kept::Put(_)));
        done.nodes = done.nodes.max(n + 1);
    }
    done.tag = true;
    let id = store.begin_upload(&repo(), NOW)?;
    for bytes in [b"one", b"two"] {
        let mut chunk = store.upload(Hasher::new())?;
        chunk.write(bytes)?;
        store.append(&repo(), &id, None, &chunk, NOW)?;
    }
    let digest = Sha256::of(b"onetwo").into();
    assert!(matches!(store.finish_upload(&repo(), &id, &digest, NOW)?, Finished::Put(..)));
    done.blob = true;
    Ok(())
}

/// All that was acknowledged is there, and no name stands for less than all of its tree.
fn check(store: &Store, tree: &Tree, done: &Done) {
    assert!(!done.user || store.user(repo().user()).unwrap().is_some());
    for (path, node) in tree.nodes().take(done.nodes) {
        assert!(store.read_blob(&repo(), &node.entry).unwrap().is_some(), "{path}");
    }
    let seen = store.tag(&tag_name("1.0.0")).unwrap();
    assert!(!done.tag || seen.is_some());
    if let Some(seen) = seen {
        for (path, node) in tree.nodes() {
            assert_eq!(self::node(store, &seen, path).unwrap().unwrap().1, node.bytes);
        }
    }
    let blob = store.find_blob(&repo(), &Sha256::of(b"onetwo").into()).unwrap();
    assert!(!done.blob || blob.is_some());
}

#[test]
fn whatever_fails_nothing_acknowledged_is_lost_and_everything_can_be_repeated() {
    let tree = tree(&[("main.wasm", WASM), ("d/x", b"1")]);
    let mut faults = 0;
    for late in [false, true] {
        for error in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
            for fails_at in 0.. {
                let place = Place::memory();
                let plain = place.open();
                let backend = Arc::new(Faulty {
                    inner: Arc::clone(&plain.backend),
                    calls: AtomicUsize::new(0),
                    fails_at,
                    late,
                    error,
                });
                let store = Store::over(Arc::clone(&backend) as Arc<dyn Backend>).unwrap();
                let mut done = Done::default();
                let result = work(&store, &tree, &mut done);
                if backend.calls.load(Ordering::Relaxed) <= fails_at {
                    result.unwrap();
                    break;
                }
                faults += 1;
                match (&result, error) {
                    (Err(StoreError::Full), io::ErrorKind::StorageFull)
                    | (Err(StoreError::Io(_)), io::ErrorKind::Other) => {}
                    other => panic!("call {fails_at}: {other:?}"),
                }
                // Now it works again: at once what was there, then all of it.
                check(&store, &tree, &done);
                work(&store, &tree, &mut done).unwrap();
                check(&store, &tree, &done);
                drop(store);
                check(&place.open_beside(), &tree, &done);
                assert!(place.temporaries().is_empty(), "call {fails_at}");
            }
        }
    }
    assert!(faults > 100, "{faults}");
}
