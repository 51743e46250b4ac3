// SPDX-License-Identifier: Apache-2.0

//! Uploads, deletions and gc at once, over several instances of one store, in orders that a seed decides: one call of the
//! place at a time is let through, and chance says whose. So each order can be had again by its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};

use super::super::backend::{Named, Opened, Version};
use super::super::staging::Temporary;
use super::*;
use crate::oci::records::{MANIFESTS, ManifestRecord};
use crate::upkeep::gc::{GRACE_SECONDS_MIN as GRACE, Options, collect};
use crate::upkeep::scrub::scrub;
use testkit::random::{Random, count};

/// Who works: uploaders, then gc, then time.
const UPLOADERS: usize = 3;
const ACTORS: usize = UPLOADERS + 2;

/// Lets one actor at a time go on, as chance says.
struct Turns {
    state: Mutex<Waiting>,
    changed: Condvar,
    /// What time it is.
    now: AtomicU64,
    /// When each actor began what it is doing, which is bounded; 0 if it does nothing.
    since: [AtomicU64; ACTORS],
    stop: AtomicBool,
    promised: Mutex<Promised>,
}

/// What must not be removed: keys of content that acknowledged names need, how many of them, and of content that was
/// acknowledged, when that was.
#[derive(Default)]
struct Promised {
    needed: BTreeMap<String, usize>,
    fresh: BTreeMap<String, u64>,
}

struct Waiting {
    random: Random,
    alive: BTreeSet<usize>,
    waiting: BTreeSet<usize>,
    turn: Option<usize>,
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Turns")
    }
}

impl Turns {
    fn new(seed: u64) -> Self {
        Self {
            state: Mutex::new(Waiting {
                random: Random::new(seed),
                alive: (0..ACTORS).collect(),
                waiting: BTreeSet::new(),
                turn: None,
            }),
            changed: Condvar::new(),
            now: AtomicU64::new(1_000_000),
            since: Default::default(),
            stop: AtomicBool::new(false),
            promised: Mutex::default(),
        }
    }

    /// Content that a name needs which was acknowledged just now, and hence is there.
    fn promise(&self, backend: &dyn Backend, contents: &[Vec<u8>]) {
        let mut promised = self.promised.lock().unwrap();
        for bytes in contents {
            let key = repo().blob(&Sha256::of(bytes));
            assert!(
                backend.length(&key).unwrap().is_some(),
                "acknowledged, and {key} is not there"
            );
            *promised.needed.entry(key.to_string()).or_default() += 1;
        }
    }

    fn forget(&self, contents: &[Vec<u8>]) {
        let mut promised = self.promised.lock().unwrap();
        for bytes in contents {
            let key = repo().blob(&Sha256::of(bytes)).to_string();
            *promised.needed.get_mut(&key).unwrap() -= 1;
        }
    }

    /// Looks at what is about to be removed.
    fn removed(&self, key: &str) {
        let promised = self.promised.lock().unwrap();
        let needed = promised.needed.get(key).copied().unwrap_or(0);
        assert_eq!(needed, 0, "{key} is removed, and {needed} names need it");
        let fresh = promised.fresh.get(key).map_or(u64::MAX, |at| self.now() - at);
        assert!(fresh > GRACE / 2, "{key} is removed {fresh} s after it was acknowledged");
    }

    fn choose(&self, state: &mut Waiting) {
        if state.turn.is_none() && state.waiting == state.alive && !state.alive.is_empty() {
            let all: Vec<usize> = state.waiting.iter().copied().collect();
            // A gc makes many more calls than an upload; it would come late for everything.
            let gc = state.waiting.contains(&UPLOADERS) && state.random.below(2) == 0;
            state.turn = Some(if gc { UPLOADERS } else { *state.random.pick(&all) });
            self.changed.notify_all();
        }
    }

    /// Waits for the next turn.
    fn step(&self, me: usize) {
        let mut state = self.state.lock().unwrap();
        state.waiting.insert(me);
        self.choose(&mut state);
        while state.turn != Some(me) {
            state = self.changed.wait(state).unwrap();
        }
        state.turn = None;
        state.waiting.remove(&me);
    }

    fn leave(&self, me: usize) {
        let mut state = self.state.lock().unwrap();
        state.alive.remove(&me);
        self.choose(&mut state);
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    /// A request, from its beginning to its end.
    fn during<T>(&self, me: usize, work: impl FnOnce() -> T) -> T {
        self.since[me].store(self.now(), Ordering::SeqCst);
        let result = work();
        self.since[me].store(0, Ordering::SeqCst);
        result
    }

    /// Lets time pass, but not so much that a request takes longer than requests may.
    fn pass(&self, seconds: u64) {
        let running = self.since.iter().map(|since| since.load(Ordering::SeqCst));
        let oldest = running.filter(|since| *since > 0).min();
        let latest = oldest.map_or(u64::MAX, |since| since + GRACE / 2 - 1);
        let now = self.now();
        self.now.store(latest.min(now + seconds).max(now), Ordering::SeqCst);
    }
}

/// A place that one actor uses.
#[derive(Debug)]
struct Stepped {
    inner: Arc<dyn Backend>,
    turns: Arc<Turns>,
    me: usize,
}

impl Stepped {
    fn turn<T>(&self, call: impl FnOnce(&dyn Backend) -> T) -> T {
        self.turns.step(self.me);
        call(&*self.inner)
    }
}

impl Backend for Stepped {
    fn read(&self, key: &Key, max: usize) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        self.turn(|inner| inner.read(key, max))
    }

    fn write(
        &self,
        key: &Key,
        bytes: &[u8],
        when: When<'_>,
    ) -> Result<Option<Version>, StoreError> {
        self.turn(|inner| inner.write(key, bytes, when))
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.turns.step(self.me);
        self.turns.removed(key.as_str());
        self.inner.remove(key)
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.turn(|inner| inner.list(prefix, after, max))
    }

    fn length(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.turn(|inner| inner.length(key))
    }

    fn open(&self, key: &Key, from: u64) -> Result<Option<Opened>, StoreError> {
        self.turn(|inner| inner.open(key, from))
    }

    fn stage(&self) -> Result<Temporary, StoreError> {
        self.inner.stage()
    }

    fn publish(&self, staged: &Temporary, key: &Key) -> Result<Named, StoreError> {
        self.turn(|inner| inner.publish(staged, key))
    }

    fn replace(&self, staged: &Temporary, key: &Key) -> Result<(), StoreError> {
        self.turn(|inner| inner.replace(staged, key))
    }
}

/// What one uploader was told is there.
#[derive(Default)]
struct Told {
    tags: BTreeMap<String, Sha256>,
    /// Content without a name, and when it was last said to be there.
    blobs: BTreeMap<Vec<u8>, u64>,
    /// Manifests by their digits, with what they name.
    manifests: BTreeMap<String, Vec<Vec<u8>>>,
}

struct Uploader {
    me: usize,
    plain: Arc<dyn Backend>,
    store: Store,
    turns: Arc<Turns>,
    random: Random,
    told: Told,
    trees: Arc<Vec<Tree>>,
    acknowledged: usize,
}

/// What was refused because of a removal just then is asked for again another time.
fn busy<T>(result: Result<T, StoreError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(StoreError::Busy) => None,
        Err(error) => panic!("{error}"),
    }
}

impl Uploader {
    fn content(&mut self) -> Vec<u8> {
        match self.random.below(3) {
            // Also what is in trees of others.
            0 => {
                let tree = self.random.pick(&self.trees).clone();
                self.random.pick(&contents(&tree)).clone()
            }
            _ => format!("blob {}", self.random.below(16)).into_bytes(),
        }
    }

    fn put_blob(&mut self, bytes: &[u8]) -> bool {
        let all = drawbridge_core::ContentDigest::of(bytes);
        let digest = match self.random.below(3) {
            0 => BlobDigest::parse(&format!("sha512:{}", all.hex("sha512").unwrap())).unwrap(),
            _ => all.sha256().into(),
        };
        let put = self.turns.during(self.me, || {
            let mut upload = self.store.upload(Hasher::new()).unwrap();
            upload.write(bytes).unwrap();
            busy(self.store.put_blob(&repo(), &upload, &digest)).map(|_| self.turns.now())
        });
        if let Some(now) = put {
            let key = repo().blob(&all.sha256());
            assert!(
                self.plain.length(&key).unwrap().is_some(),
                "acknowledged, and {key} is not there"
            );
            self.turns.promised.lock().unwrap().fresh.insert(key.to_string(), self.turns.now());
            self.told.blobs.insert(bytes.to_vec(), now);
            self.acknowledged += 1;
        }
        put.is_some()
    }

    /// As the Drawbridge API has it: announce, then send everything, each a request of its own.
    fn publish(&mut self) {
        let tag = format!("{}.0.{}", self.me, self.random.below(3));
        let (name, tree) = (tag_name(&tag), self.random.pick(&self.trees).clone());
        let announced =
            self.turns.during(self.me, || busy(self.store.put_tag(&name, &tree.tag(), NOW)));
        match announced {
            None | Some(Put::Conflict) => return,
            Some(Put::Created | Put::Same) => {}
        }
        let gives_up = self.random.below(4) == 0;
        for (path, node) in tree.nodes() {
            if gives_up && self.random.below(3) == 0 {
                return;
            }
            let kept = self.turns.during(self.me, || {
                match busy(self.store.expected(&name, &names(path)))? {
                    Expected::Entry { entry, .. } if *entry == node.entry => {}
                    // It was forgotten meanwhile; a client begins again.
                    _ => return None,
                }
                let mut upload = self.store.upload(Hasher::new()).unwrap();
                upload.write(&node.bytes).unwrap();
                busy(self.store.put_node(&name, &node.entry, upload, NOW))
            });
            match kept {
                None => return,
                Some(Kept::Put(_)) => {}
                Some(other) => panic!("{other:?}"),
            }
        }
        if self.store.tag(&name).unwrap().is_some() && !self.told.tags.contains_key(&tag) {
            self.turns.promise(&*self.plain, &contents(&tree));
            self.told.tags.insert(tag, tree.digest());
            self.acknowledged += 1;
        }
    }

    /// As OCI clients do: ask what is there, bring what is not, then the manifest.
    fn push(&mut self) {
        let contents: Vec<Vec<u8>> = (0..2).map(|_| self.content()).collect();
        for bytes in &contents {
            let digest = BlobDigest::from(Sha256::of(bytes));
            let there = self.turns.during(self.me, || {
                self.store.spare_named(&repo(), &digest).unwrap();
                self.store.find_blob(&repo(), &digest).unwrap().is_some()
            });
            if !there && !self.put_blob(bytes) {
                return;
            }
        }
        let descriptor = |bytes: &Vec<u8>| {
            let (digest, size) = (Sha256::of(bytes), bytes.len());
            format!(r#"{{"mediaType":"application/x","digest":"{digest}","size":{size}}}"#)
        };
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}],"annotations":{{"by":"{}"}}}}"#,
            drawbridge_core::oci::IMAGE,
            descriptor(&contents[0]),
            descriptor(&contents[1]),
            self.me
        );
        let digest = Sha256::of(manifest.as_bytes());
        let hex = digest.to_hex();
        let pushed = self.turns.during(self.me, || {
            let digests = || Ok(contents.iter().map(|bytes| Sha256::of(bytes)).collect());
            busy(self.store.spare_blobs(&repo(), digests))?;
            for bytes in &contents {
                self.store.find_blob(&repo(), &Sha256::of(bytes).into()).unwrap()?;
            }
            let mut upload = self.store.upload(Hasher::new()).unwrap();
            upload.write(manifest.as_bytes()).unwrap();
            busy(self.store.put_blob(&repo(), &upload, &digest.into()))?;
            let length = manifest.len() as u64;
            let record =
                ManifestRecord { media_type: drawbridge_core::oci::IMAGE.to_owned(), length };
            busy(self.store.table(&MANIFESTS).create(&["ann", "app", &hex], &record))
        });
        if pushed.is_some() && !self.told.manifests.contains_key(&hex) {
            let contents = [contents, vec![manifest.into_bytes()]].concat();
            self.turns.promise(&*self.plain, &contents);
            self.told.manifests.insert(hex, contents);
            self.acknowledged += 1;
        }
    }

    fn delete(&mut self) {
        if let Some((tag, digest)) = self.told.tags.pop_first() {
            let tree = self.trees.iter().find(|tree| tree.digest() == digest).unwrap();
            self.turns.forget(&contents(tree));
            self.store.table(&TAGS).delete(&tag_name(&tag).parts()).unwrap();
        } else if let Some((hex, contents)) = self.told.manifests.pop_first() {
            self.turns.forget(&contents);
            self.store.table(&MANIFESTS).delete(&["ann", "app", &hex]).unwrap();
        }
    }

    /// All that was acknowledged is there.
    fn check(&self) {
        for (tag, digest) in &self.told.tags {
            let seen = self.store.tag(&tag_name(tag)).unwrap().expect(tag);
            assert_eq!(seen.digest(), *digest);
            let tree = self.trees.iter().find(|tree| tree.digest() == *digest).unwrap();
            for (path, node) in tree.nodes() {
                let found = node_of(&self.store, &seen, path);
                assert_eq!(found.as_deref(), Some(&node.bytes[..]), "{tag} {path} is gone");
            }
        }
        for (hex, contents) in &self.told.manifests {
            for bytes in contents {
                let found = self.store.find_blob(&repo(), &Sha256::of(bytes).into()).unwrap();
                assert!(found.is_some(), "content of the manifest {hex} is gone");
            }
        }
        for (bytes, at) in &self.told.blobs {
            let found = self.store.find_blob(&repo(), &Sha256::of(bytes).into()).unwrap();
            let young = self.turns.now() < at + GRACE / 2;
            assert!(
                !young || found.is_some(),
                "content of {} seconds is gone",
                self.turns.now() - at
            );
        }
    }

    fn work(&mut self, rounds: usize) {
        for _ in 0..rounds {
            match self.random.below(10) {
                0..3 => self.publish(),
                3..5 => self.push(),
                5..7 => {
                    let bytes = self.content();
                    self.put_blob(&bytes);
                }
                7..9 => self.delete(),
                _ => self.check(),
            }
        }
        self.check();
    }
}

fn contents(tree: &Tree) -> Vec<Vec<u8>> {
    tree.nodes().map(|(_, node)| node.bytes.clone()).collect()
}

fn node_of(store: &Store, seen: &Tag, path: &str) -> Option<Vec<u8>> {
    node(store, seen, path).unwrap().map(|(_, bytes)| bytes)
}

/// One history, and how much was acknowledged and removed in it.
fn history(place: &Place, seed: u64, rounds: usize) -> (usize, u64) {
    let plain = place.open();
    let turns = Arc::new(Turns::new(seed));
    let trees = Arc::new(vec![
        tree(&[("main.wasm", WASM)]),
        tree(&[("main.wasm", WASM), ("d/x", b"1")]),
        tree(&[("main.wasm", b"other"), ("d/x", b"1")]),
    ]);
    let store = |me: usize| {
        let inner = Arc::clone(&plain.backend);
        Store::over(Arc::new(Stepped { inner, turns: Arc::clone(&turns), me })).unwrap()
    };
    let uploaders: Vec<Uploader> = (0..UPLOADERS)
        .map(|me| Uploader {
            me,
            plain: Arc::clone(&plain.backend),
            store: store(me),
            turns: Arc::clone(&turns),
            random: Random::new(seed ^ (me as u64 + 1) << 32),
            told: Told::default(),
            trees: Arc::clone(&trees),
            acknowledged: 0,
        })
        .collect();
    /// Whoever ends, by a failure as well, lets the others go on.
    struct Left<'a>(&'a Turns, usize);
    impl Drop for Left<'_> {
        fn drop(&mut self) {
            if self.1 < UPLOADERS && std::thread::panicking() {
                self.0.stop.store(true, Ordering::SeqCst);
            }
            self.0.leave(self.1);
        }
    }
    let options = Options { grace: GRACE, dry_run: false };
    let (told, removed) = std::thread::scope(|scope| {
        let gc = scope.spawn(|| {
            let (me, turns) = (UPLOADERS, &*turns);
            let _left = Left(turns, me);
            let store = store(me);
            let mut removed = 0;
            while !turns.stop.load(Ordering::SeqCst) {
                // From one look at the clock to what follows from it no more time passes than may.
                let clock = || {
                    let now = turns.now();
                    turns.since[me].store(now, Ordering::SeqCst);
                    Timestamp(now)
                };
                let report = collect(&store, options, &clock).unwrap();
                turns.since[me].store(0, Ordering::SeqCst);
                assert_eq!(report.skipped, []);
                removed += report.removed.count;
                turns.step(me);
            }
            removed
        });
        scope.spawn(|| {
            let (me, turns) = (UPLOADERS + 1, &*turns);
            let _left = Left(turns, me);
            let mut random = Random::new(seed ^ 0xff);
            while !turns.stop.load(Ordering::SeqCst) {
                turns.step(me);
                turns.pass(random.below(150) as u64);
            }
        });
        let threads: Vec<_> = uploaders
            .into_iter()
            .map(|mut uploader| {
                let turns = &*turns;
                scope.spawn(move || {
                    let _left = Left(turns, uploader.me);
                    uploader.work(rounds);
                    uploader
                })
            })
            .collect();
        let told: Vec<Uploader> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| panic!("STRESS_SEED={seed}")))
            .collect();
        turns.stop.store(true, Ordering::SeqCst);
        (told, gc.join().unwrap())
    });
    // Then all names go, and in the end nothing is left.
    let mut now = turns.now();
    let acknowledged = told.iter().map(|uploader| uploader.acknowledged).sum();
    // Also those that somebody made and was not told of.
    for kind in ["tags/", "oci-manifests/"] {
        for key in plain.backend.list(kind, None, usize::MAX).unwrap() {
            plain.backend.remove(&own(&key)).unwrap();
        }
    }
    for _ in 0..6 {
        now += GRACE;
        collect(&plain, options, &|| Timestamp(now)).unwrap();
    }
    for kind in ["blobs/", "pending/", "aliases/", "garbage/"] {
        let left = plain.backend.list(kind, None, usize::MAX).unwrap();
        assert!(left.is_empty(), "STRESS_SEED={seed}: {left:?}");
    }
    assert_eq!(scrub(&plain, &mut |_| {}).unwrap().findings, []);
    (acknowledged, removed)
}

fn stress(place: &dyn Fn() -> Place, histories: usize, rounds: usize) {
    let first = Random::from_env("STRESS_SEED").seed();
    let (mut acknowledged, mut removed) = (0, 0);
    for n in 0..histories as u64 {
        let (told, gone) = history(&place(), first + n, rounds);
        acknowledged += told;
        removed += gone;
    }
    println!("{acknowledged} acknowledged, {removed} removed while others were at work");
    assert!(acknowledged > histories);
    // A short history may end before a grace period does.
    assert!(removed > 0 || rounds < 30);
}

#[test]
fn uploads_deletions_and_gc_at_once_lose_nothing_and_leave_nothing() {
    let (histories, rounds) = (count("STRESS_HISTORIES", 16), count("STRESS_ROUNDS", 60));
    stress(&Place::memory, histories, rounds);
}

#[test]
fn uploads_deletions_and_gc_at_once_in_a_directory() {
    stress(&Place::dir, count("STRESS_HISTORIES", 16) / 8, count("STRESS_ROUNDS", 60) / 2);
}

#[test]
fn uploads_deletions_and_gc_at_once_over_s3() {
    if Place::s3().is_some() {
        stress(&|| Place::s3().unwrap(), 1, 6);
    }
}
