// SPDX-License-Identifier: Apache-2.0

//! Power cuts: after any call, with any of the effects that were not flushed lost (RELIABILITY D-2).
//!
//! The model is the hardest that POSIX allows: of a file that was not flushed any beginning of what was added is there, and
//! perhaps as zeros; of the names in a directory that was not flushed any are there, whatever came first; a file that was
//! flushed has no name for that; and what is in a directory whose own name is lost is lost with it.

use std::collections::BTreeMap;

use testkit::random::{Random, count};

use super::super::calls::seen::{self, Effect};
use super::*;

/// What is at a path.
#[derive(Clone, Copy, Debug)]
enum Node {
    File(usize),
    Dir,
}

/// What happens to a name.
#[derive(Clone, Debug)]
enum Change {
    Add(PathBuf, Node),
    Drop(PathBuf),
}

#[derive(Clone, Debug, Default)]
struct File {
    now: Vec<u8>,
    flushed: Vec<u8>,
}

/// A machine whose power may fail.
#[derive(Clone, Debug, Default)]
struct Machine {
    files: Vec<File>,
    now: BTreeMap<PathBuf, Node>,
    flushed: BTreeMap<PathBuf, Node>,
    /// By the directory that it is in.
    pending: Vec<(PathBuf, Change)>,
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap().to_owned()
}

impl Machine {
    fn add(&mut self, path: &Path, node: Node) {
        self.now.insert(path.to_owned(), node);
        self.pending.push((parent(path), Change::Add(path.to_owned(), node)));
    }

    fn drop(&mut self, path: &Path) -> Node {
        self.pending.push((parent(path), Change::Drop(path.to_owned())));
        self.now.remove(path).unwrap()
    }

    fn file(&mut self, path: &Path) -> &mut File {
        match self.now[path] {
            Node::File(n) => &mut self.files[n],
            Node::Dir => panic!("{} is a directory", path.display()),
        }
    }

    fn take(&mut self, effect: &Effect) {
        match effect {
            Effect::Create(path) => {
                self.files.push(File::default());
                self.add(path, Node::File(self.files.len() - 1));
            }
            Effect::Write(path, bytes) => self.file(path).now.extend(bytes),
            Effect::Flush(path) if matches!(self.now.get(path), Some(Node::File(_))) => {
                let file = self.file(path);
                file.flushed.clone_from(&file.now);
            }
            Effect::Flush(path) => {
                let (flushed, pending) =
                    std::mem::take(&mut self.pending).into_iter().partition(|(dir, _)| dir == path);
                self.pending = pending;
                let flushed: Vec<(PathBuf, Change)> = flushed;
                flushed.into_iter().for_each(|(_, change)| apply(&mut self.flushed, change));
            }
            Effect::Link(from, to) => self.add(to, self.now[from]),
            Effect::Rename(from, to) => {
                let node = self.drop(from);
                self.add(to, node);
            }
            Effect::Remove(path) => {
                self.drop(path);
            }
            Effect::MakeDir(path) if self.now.contains_key(path) => {}
            Effect::MakeDir(path) => self.add(path, Node::Dir),
            Effect::Told => {}
        }
    }

    /// What is found when the power is back.
    fn cut(mut self, root: &Path, random: &mut Random) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        for (_, change) in std::mem::take(&mut self.pending) {
            if random.below(2) == 0 {
                apply(&mut self.flushed, change);
            }
        }
        let mut found = BTreeMap::new();
        for (path, node) in &self.flushed {
            let above = path.ancestors().skip(1).take_while(|above| *above != root);
            if above.clone().all(|above| matches!(self.flushed.get(above), Some(Node::Dir))) {
                let content = match node {
                    Node::Dir => None,
                    Node::File(n) => Some(self.files[*n].found(random)),
                };
                found.insert(path.strip_prefix(root).unwrap().to_owned(), content);
            }
        }
        found
    }
}

impl File {
    fn found(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.flushed.clone();
        let added = &self.now[bytes.len()..];
        let kept = random.below(added.len() + 1);
        if random.below(2) == 0 {
            bytes.extend(&added[..kept]);
        } else {
            bytes.resize(bytes.len() + kept, 0);
        }
        bytes
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Node>, change: Change) {
    match change {
        Change::Add(path, node) => names.insert(path, node),
        Change::Drop(path) => names.remove(&path),
    };
}

/// What a history does, one after the other.
#[derive(Clone, Debug)]
enum Step {
    Publish(String, Tree),
    Blob(Vec<u8>),
    Chunks(Vec<u8>),
    /// The number in a record that only grows.
    Count(u64),
}

const COUNT: Kind<u64> = Kind::new("counts", 1);

fn history(random: &mut Random) -> Vec<Step> {
    (0..2 + random.below(4))
        .map(|n| match random.below(4) {
            0 | 1 => {
                let (length, other) = (random.below(40), random.below(3).to_string());
                let bytes = random.bytes(length);
                let files: [(&str, &[u8]); 3] =
                    [("main.wasm", WASM), ("a/b", &bytes), ("a/c", other.as_bytes())];
                Step::Publish(format!("1.0.{n}"), tree(&files))
            }
            2 => {
                let bytes = random.bytes(9);
                if random.below(2) == 0 { Step::Blob(bytes) } else { Step::Chunks(bytes) }
            }
            _ => Step::Count(n as u64 + 1),
        })
        .collect()
}

fn digest(bytes: &[u8]) -> BlobDigest {
    Sha256::of(bytes).into()
}

fn staged(store: &Store, bytes: &[u8]) -> Upload {
    let mut upload = store.upload(Hasher::sha256()).unwrap();
    upload.write(bytes).unwrap();
    upload
}

/// Does a step, whether or not it was done before.
fn take(store: &Store, step: &Step) {
    match step {
        Step::Publish(tag, tree) => upload(store, &tag_name(tag), tree, tree.nodes().len()),
        Step::Blob(bytes) => {
            let put = store.put_blob(&repo(), &staged(store, bytes), &digest(bytes)).unwrap();
            assert!(matches!(put, Finished::Put(..)));
        }
        Step::Chunks(bytes) => {
            let id = store.begin_upload(&repo(), NOW).unwrap();
            for piece in bytes.chunks(4) {
                let chunk = staged(store, piece);
                let there = store.append(&repo(), &id, None, &chunk, NOW).unwrap();
                assert!(matches!(there, Appended::Length(_)));
            }
            let put = store.finish_upload(&repo(), &id, &digest(bytes), NOW).unwrap();
            assert!(matches!(put, Finished::Put(..)));
        }
        Step::Count(n) => {
            let count = |old: Option<&u64>| Ok::<_, StoreError>(Some(*old.unwrap_or(&0).max(n)));
            store.table(&COUNT).update(&["c"], count).unwrap();
        }
    }
}

/// Whether a step is done; what is done in part is not to be seen.
fn is_done(store: &Store, step: &Step) -> bool {
    match step {
        Step::Publish(tag, tree) => {
            let Some(seen) = store.tag(&tag_name(tag)).unwrap() else { return false };
            assert_eq!(seen.digest(), tree.digest());
            for (path, expected) in tree.nodes() {
                let (_, bytes) = node(store, &seen, path).unwrap().unwrap();
                assert_eq!(bytes, expected.bytes, "{tag} {path}");
            }
            true
        }
        Step::Blob(bytes) | Step::Chunks(bytes) => {
            let Some(found) = store.find_blob(&repo(), &digest(bytes)).unwrap() else {
                return false;
            };
            let mut blob = store.open_blob(&repo(), found, None).unwrap().unwrap();
            let read = blob.next_piece().unwrap().unwrap_or_default();
            assert_eq!(&read, bytes);
            true
        }
        Step::Count(n) => store.table(&COUNT).value(&["c"]).unwrap().is_some_and(|c| c >= *n),
    }
}

/// A new directory, in memory where there is such a place: what is tried here does not depend on the disk.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// `DRAWBRIDGE_CUTS` says how many histories, each with a cut after every call; `DRAWBRIDGE_SEED` repeats a run.
#[test]
fn what_was_told_outlives_a_power_cut_after_any_call() {
    let histories = count("DRAWBRIDGE_CUTS", 3);
    let mut random = Random::from_env("DRAWBRIDGE_SEED");
    let (mut cuts, mut lost) = (0, 0);
    for _ in 0..histories {
        let steps = history(&mut random);
        let dir = directory();
        let effects = seen::of(|| {
            let store = Store::open(dir.path()).unwrap();
            for step in &steps {
                take(&store, step);
                seen::note(|| Effect::Told);
            }
        });
        let mut machine = Machine::default();
        let mut told = 0;
        for effect in &effects {
            machine.take(effect);
            told += usize::from(*effect == Effect::Told);
            let after = directory();
            for (path, content) in machine.clone().cut(dir.path(), &mut random) {
                let path = after.path().join(path);
                match content {
                    None => std::fs::create_dir(&path).unwrap(),
                    Some(bytes) => chassis::durable::write(&path, &bytes, 0o600).unwrap(),
                }
            }
            let store = Store::open(after.path()).unwrap();
            for (n, step) in steps.iter().enumerate() {
                let done = is_done(&store, step);
                assert!(done || n >= told, "{step:?} is lost after {effect:?}");
                lost += usize::from(!done);
            }
            for step in &steps {
                take(&store, step);
                assert!(is_done(&store, step), "{step:?} after {effect:?}");
            }
            let versions = steps.iter().filter(|step| matches!(step, Step::Publish(..))).count();
            assert_eq!(store.tags(&repo()).unwrap().len(), versions);
            cuts += 1;
        }
    }
    println!("{histories} histories, {cuts} power cuts, {lost} steps begun again");
    assert!(lost > 0);
}
