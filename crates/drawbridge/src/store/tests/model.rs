// SPDX-License-Identifier: Apache-2.0

//! The store against a model of it in memory: trees, tags, blobs by several digests, records, gc, time, restarts.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::gc::run;
use super::*;
use crate::store::garbage::Fate;
use crate::upkeep::gc::GRACE_SECONDS_MIN as GRACE;
use crate::upkeep::scrub::scrub;

const THINGS: Kind<u64> = Kind::new("tokens", 2);

#[derive(Clone, Debug)]
enum Step {
    Announce { tag: usize, tree: usize },
    Upload { tag: usize, tree: usize, node: usize },
    Untag { tag: usize },
    Blob { content: usize, sha512: bool },
    Create { name: usize },
    Replace { name: usize, stale: bool },
    Delete { name: usize },
    Gc,
    Pass { minutes: u64 },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2usize, 0..3usize).prop_map(|(tag, tree)| Step::Announce { tag, tree }),
        12 => (0..2usize, 0..3usize, 0..4usize)
            .prop_map(|(tag, tree, node)| Step::Upload { tag, tree, node }),
        2 => (0..2usize).prop_map(|tag| Step::Untag { tag }),
        3 => (0..3usize, any::<bool>()).prop_map(|(content, sha512)| Step::Blob { content, sha512 }),
        2 => (0..2usize).prop_map(|name| Step::Create { name }),
        2 => (0..2usize, any::<bool>()).prop_map(|(name, stale)| Step::Replace { name, stale }),
        1 => (0..2usize).prop_map(|name| Step::Delete { name }),
        5 => Just(Step::Gc),
        4 => (0..90u64).prop_map(|minutes| Step::Pass { minutes }),
        1 => Just(Step::Reopen),
    ]
}

/// How many histories the store is compared with, and how long they are.
fn cases() -> u32 {
    std::env::var("STORE_CASES").map_or(48, |cases| cases.parse().unwrap())
}

/// What there should be.
#[derive(Default)]
struct Model {
    now: u64,
    announced: BTreeMap<usize, usize>,
    seen: BTreeMap<usize, usize>,
    blobs: BTreeSet<Vec<u8>>,
    /// Contents that were uploaded by another digest.
    aliases: BTreeSet<Vec<u8>>,
    of_blobs: BTreeMap<Vec<u8>, Fate>,
    of_announcements: BTreeMap<usize, Fate>,
    records: BTreeMap<usize, u64>,
    written: u64,
}

impl Model {
    fn spare<K: Ord>(fates: &mut BTreeMap<K, Fate>, key: &K) {
        if let Some(fate) = fates.get_mut(key) {
            *fate = Fate::Spared;
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        Self::spare(&mut self.of_blobs, &bytes.to_vec());
        self.blobs.insert(bytes.to_vec());
    }

    /// A tag is seen from the moment when its announced tree is there as a whole.
    fn complete(&mut self, tag: usize, trees: &[Tree]) {
        let Some(tree) = self.announced.get(&tag).copied() else { return };
        let contents: Vec<Vec<u8>> = trees[tree].nodes().map(|(_, n)| n.bytes.clone()).collect();
        if contents.iter().all(|bytes| self.blobs.contains(bytes)) {
            for bytes in &contents {
                Self::spare(&mut self.of_blobs, bytes);
            }
            self.announced.remove(&tag);
            self.seen.insert(tag, tree);
        }
    }

    /// What the names need: all of a whole tree, and of an announced one what its directories that are there name.
    fn needed(&self, trees: &[Tree]) -> BTreeSet<Vec<u8>> {
        let mut needed = BTreeSet::new();
        for tree in self.seen.values().chain(self.announced.values()) {
            for (path, node) in trees[*tree].nodes() {
                let above = |(at, _): &(&str, _)| {
                    *at != path && (at.is_empty() || path.starts_with(&format!("{at}/")))
                };
                let directories = trees[*tree].nodes().filter(above);
                let mut reached = directories.map(|(_, above)| self.blobs.contains(&above.bytes));
                if reached.all(|there| there) {
                    needed.insert(node.bytes.clone());
                }
            }
        }
        needed
    }

    fn judge<K: Ord + Clone>(fates: &mut BTreeMap<K, Fate>, key: &K, now: u64) -> bool {
        match fates.get(key) {
            Some(Fate::Condemned(at)) if at + GRACE <= now => {
                fates.remove(key);
                return true;
            }
            Some(Fate::Condemned(_)) => {}
            _ => {
                fates.insert(key.clone(), Fate::Condemned(now));
            }
        }
        false
    }

    fn gc(&mut self, trees: &[Tree]) {
        let needed = self.needed(trees);
        for bytes in self.blobs.clone() {
            if needed.contains(&bytes) {
                self.of_blobs.remove(&bytes);
            } else if Self::judge(&mut self.of_blobs, &bytes, self.now) {
                self.blobs.remove(&bytes);
                self.aliases.remove(&bytes);
            }
        }
        for tag in self.announced.clone().into_keys() {
            if Self::judge(&mut self.of_announcements, &tag, self.now) {
                self.announced.remove(&tag);
            }
        }
        let announced = &self.announced;
        self.of_announcements.retain(|tag, _| announced.contains_key(tag));
    }
}

fn version(tag: usize) -> TagName {
    tag_name(&format!("1.0.{tag}"))
}

fn sha512(bytes: &[u8]) -> BlobDigest {
    let all = drawbridge_core::ContentDigest::of(bytes);
    BlobDigest::parse(&format!("sha512:{}", all.hex("sha512").unwrap())).unwrap()
}

/// Does a step to both, and compares what they answer.
fn take(
    step: &Step,
    store: &Store,
    model: &mut Model,
    trees: &[Tree],
    versions: &mut BTreeMap<usize, Version>,
) -> Result<(), TestCaseError> {
    let contents = [&b"one"[..], b"two", WASM];
    let name = |name: usize| if name == 0 { ["ann", "a"] } else { ["ann", "b"] };
    match *step {
        Step::Announce { tag, tree } => {
            let put = store.put_tag(&version(tag), &trees[tree].tag(), NOW).unwrap();
            if let Some(old) = model.seen.get(&tag) {
                prop_assert_eq!(put, if *old == tree { Put::Same } else { Put::Conflict });
                return Ok(());
            }
            let same = model.announced.get(&tag) == Some(&tree);
            prop_assert_eq!(put, if same { Put::Same } else { Put::Created });
            Model::spare(&mut model.of_announcements, &tag);
            model.announced.insert(tag, tree);
            model.complete(tag, trees);
        }
        Step::Upload { tag, tree, node } => {
            let Some((path, node)) = trees[tree].nodes().nth(node) else { return Ok(()) };
            // What the service lets through: exactly what the parent says.
            match store.expected(&version(tag), &names(path)).unwrap() {
                Expected::Entry { entry, .. } if *entry == node.entry => {}
                _ => return Ok(()),
            }
            let there = model.announced.contains_key(&tag) || model.seen.contains_key(&tag);
            prop_assert!(there, "a tag that is not there takes nothing");
            prop_assert!(matches!(
                put(store, &version(tag), &node.entry, &node.bytes),
                Kept::Put(_)
            ));
            Model::spare(&mut model.of_announcements, &tag);
            model.keep(&node.bytes);
            model.complete(tag, trees);
        }
        Step::Untag { tag } => {
            if model.seen.remove(&tag).is_some() {
                store.table(&TAGS).delete(&version(tag).parts()).unwrap();
            }
        }
        Step::Blob { content, sha512: other } => {
            let bytes = contents[content];
            let digest = if other { sha512(bytes) } else { Sha256::of(bytes).into() };
            let mut upload = store.upload(Hasher::new()).unwrap();
            upload.write(bytes).unwrap();
            let kept = store.put_blob(&repo(), &upload, &digest).unwrap();
            let new = !model.blobs.contains(bytes);
            let expected = if new { Put::Created } else { Put::Same };
            prop_assert!(matches!(kept, Finished::Put(put, _) if put == expected));
            model.keep(bytes);
            if other {
                model.aliases.insert(bytes.to_vec());
            }
        }
        Step::Create { name: n } => {
            model.written += 1;
            let put = store.table(&THINGS).create(&name(n), &model.written).unwrap();
            let there = model.records.contains_key(&n);
            prop_assert_eq!(put, if there { Put::Conflict } else { Put::Created });
            let written = model.written;
            model.records.entry(n).or_insert(written);
        }
        Step::Replace { name: n, stale } => {
            let table = store.table(&THINGS);
            let found = table.get(&name(n)).unwrap();
            prop_assert_eq!(
                found.as_ref().map(|found| found.value),
                model.records.get(&n).copied()
            );
            let Some(found) = found else { return Ok(()) };
            let old = if stale { versions.get(&n).cloned() } else { None };
            let old = old.unwrap_or_else(|| found.version.clone());
            model.written += 1;
            let replaced = table.replace(&name(n), &model.written, &old).unwrap();
            prop_assert_eq!(replaced.is_some(), old == found.version);
            if replaced.is_some() {
                model.records.insert(n, model.written);
            }
            versions.insert(n, old);
        }
        Step::Delete { name: n } => {
            store.table(&THINGS).delete(&name(n)).unwrap();
            model.records.remove(&n);
        }
        Step::Gc => {
            prop_assert_eq!(run(store, model.now).skipped, []);
            model.gc(trees);
        }
        Step::Pass { minutes } => model.now += minutes * 60,
        Step::Reopen => {}
    }
    Ok(())
}

fn compare(store: &Store, model: &Model, trees: &[Tree]) -> Result<(), TestCaseError> {
    for tag in 0..2 {
        let seen = store.tag(&version(tag)).unwrap().map(|seen| seen.digest());
        prop_assert_eq!(seen, model.seen.get(&tag).map(|tree| trees[*tree].digest()));
        let pending = store.table(&PENDING).value(&version(tag).parts()).unwrap();
        let announced = model.announced.get(&tag).map(|tree| trees[*tree].root().entry.clone());
        prop_assert_eq!(pending, announced);
    }
    let keys = |prefix: &str| -> BTreeSet<String> {
        store.backend.list(prefix, None, usize::MAX).unwrap().into_iter().collect()
    };
    let blobs = model.blobs.iter().map(|bytes| repo().blob(&Sha256::of(bytes)).to_string());
    prop_assert_eq!(keys("blobs/"), blobs.collect::<BTreeSet<_>>());
    prop_assert_eq!(keys("aliases/").len(), model.aliases.len());
    for bytes in &model.aliases {
        let found = store.find_blob(&repo(), &sha512(bytes)).unwrap();
        prop_assert_eq!(found, Some((Sha256::of(bytes), bytes.len() as u64)));
    }
    prop_assert_eq!(keys("tokens/").len(), model.records.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// A tag is seen exactly if its whole tree has arrived, and keeps its meaning; nothing that a name needs is ever gone, and
    /// everything else a grace period after the first look that found it.
    #[test]
    fn behaves_like_its_model(steps in proptest::collection::vec(step(), 0..80)) {
        let trees = [
            tree(&[("main.wasm", WASM)]),
            tree(&[("main.wasm", WASM), ("x", b"1")]),
            tree(&[("main.wasm", b"other"), ("d/x", b"1")]),
        ];
        for place in Place::quick() {
            let mut store = place.open();
            let mut model = Model { now: 1_000_000, ..Model::default() };
            let mut versions = BTreeMap::new();
            for step in &steps {
                if matches!(step, Step::Reopen) {
                    drop(store);
                    store = place.open();
                }
                take(step, &store, &mut model, &trees, &mut versions)?;
                compare(&store, &model, &trees)?;
            }
            let findings = scrub(&store, &mut |_| {}).unwrap().findings;
            // Nobody registered the repository.
            let mut wrong = findings.iter().filter(|found| {
                let nobody = ["there is no repository", "there is no owner"];
                !nobody.iter().any(|words| found.detail.starts_with(words)) && !found.key.starts_with("tokens/")
            });
            prop_assert_eq!(wrong.next(), None);
        }
    }
}
