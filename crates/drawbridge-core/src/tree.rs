// SPDX-License-Identifier: Apache-2.0

//! Trees: packages as a registry stores them.

use std::collections::BTreeMap;
use std::fmt;

use types::digest::Sha256;
use types::limits;

use crate::directory::{Directory, NameError, parse_path};
use crate::entry::{Entry, FormatError, TagRecord};
use crate::media;

/// The name of the module in every package.
pub const MAIN_MODULE: &str = "main.wasm";

/// Files that are no package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeError {
    /// There is no `main.wasm`.
    NoMain,
    /// A file's path is not allowed.
    Path(String, FormatError),
    /// A path is there twice, or is a file and a directory.
    Twice(String),
    /// Too many files, or too many bytes.
    TooLarge(&'static str),
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMain => f.write_str("the package has no `main.wasm` at its root"),
            Self::Path(path, error) => write!(f, "`{}`: {error}", path.escape_debug()),
            Self::Twice(path) => {
                write!(f, "`{path}` is in the package twice, or is both a file and a directory")
            }
            Self::TooLarge(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for TreeError {}

/// A node of a tree: its entry and its content.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    /// What the parent says of it.
    pub entry: Entry,
    /// The content.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("entry", &self.entry).finish_non_exhaustive()
    }
}

impl Node {
    fn new(bytes: Vec<u8>, media_type: &str) -> Self {
        Self { entry: Entry::of(&bytes, media_type), bytes }
    }
}

/// A package with all its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

/// A directory while it is being built.
#[derive(Default)]
struct Building {
    files: BTreeMap<String, Entry>,
    directories: BTreeMap<String, Building>,
}

impl Building {
    fn insert(&mut self, names: &[&str], entry: Entry) -> Result<(), ()> {
        match names {
            [] => Err(()),
            [name] if self.directories.contains_key(*name) => Err(()),
            [name] => match self.files.insert((*name).to_owned(), entry) {
                None => Ok(()),
                Some(_) => Err(()),
            },
            [name, ..] if self.files.contains_key(*name) => Err(()),
            [name, rest @ ..] => {
                self.directories.entry((*name).to_owned()).or_default().insert(rest, entry)
            }
        }
    }

    /// Puts the directories from `path` down into `nodes` and returns the entry of this one. At most 16 deep.
    fn finish(self, path: &str, nodes: &mut BTreeMap<String, Node>) -> Result<Entry, TreeError> {
        let below = |name: &str| {
            if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
        };
        let mut directory = Directory::new();
        let mut add = |name: &str, entry: Entry| {
            directory.insert(name, entry).map_err(|e| TreeError::Path(below(name), e))
        };
        for (name, entry) in self.files {
            add(&name, entry)?;
        }
        for (name, building) in self.directories {
            let entry = building.finish(&below(&name), nodes)?;
            add(&name, entry)?;
        }
        let node = Node::new(directory.to_bytes(), media::DIRECTORY);
        let entry = node.entry.clone();
        entry.check().map_err(|e| TreeError::Path(path.to_owned(), e))?;
        nodes.insert(path.to_owned(), node);
        Ok(entry)
    }
}

/// The names of a file's path.
fn names_of(path: &str) -> Result<Vec<&str>, TreeError> {
    let refused = |error| TreeError::Path(path.to_owned(), FormatError::Name(error));
    match parse_path(path) {
        Ok(names) if names.is_empty() => Err(refused(NameError::Name)),
        Ok(names) => Ok(names),
        Err(error) => Err(refused(error)),
    }
}

/// The directories of a package of these files, by path, the root by the empty one: what a registry that has the files lacks.
///
/// # Errors
/// See [`TreeError`].
pub fn directories(files: Vec<(String, Entry)>) -> Result<BTreeMap<String, Node>, TreeError> {
    if files.len() > limits::PACKAGE_FILES_MAX {
        return Err(TreeError::TooLarge("the package has more than 4096 files"));
    }
    let total = files.iter().fold(0u64, |sum, (_, e)| sum.saturating_add(e.length));
    if total > limits::PACKAGE_BYTES_MAX as u64 {
        return Err(TreeError::TooLarge("the package is larger than 200,000,000 bytes"));
    }
    let mut root = Building::default();
    for (path, entry) in files {
        entry.check().map_err(|e| TreeError::Path(path.clone(), e))?;
        root.insert(&names_of(&path)?, entry).map_err(|()| TreeError::Twice(path.clone()))?;
    }
    if !root.files.contains_key(MAIN_MODULE) {
        return Err(TreeError::NoMain);
    }
    let mut nodes = BTreeMap::new();
    root.finish("", &mut nodes)?;
    Ok(nodes)
}

impl Tree {
    /// The package of these files: paths such as `main.wasm` or `static/index.html`, and their content.
    ///
    /// # Errors
    /// See [`TreeError`].
    pub fn from_files(files: Vec<(String, Vec<u8>)>) -> Result<Self, TreeError> {
        if files.len() > limits::PACKAGE_FILES_MAX {
            return Err(TreeError::TooLarge("the package has more than 4096 files"));
        }
        let total = files.iter().fold(0usize, |sum, (_, b)| sum.saturating_add(b.len()));
        if total > limits::PACKAGE_BYTES_MAX {
            return Err(TreeError::TooLarge("the package is larger than 200,000,000 bytes"));
        }
        let mut nodes = BTreeMap::new();
        let mut entries = Vec::with_capacity(files.len());
        for (path, bytes) in files {
            let name = names_of(&path)?.pop().unwrap_or_default();
            let node = Node::new(bytes, media::of_file(name));
            entries.push((path.clone(), node.entry.clone()));
            nodes.insert(path, node);
        }
        nodes.append(&mut directories(entries)?);
        Ok(Self { nodes })
    }

    /// The tree of a bare module, whose root is the module itself.
    ///
    /// # Errors
    /// [`TreeError::TooLarge`].
    pub fn from_module(module: Vec<u8>) -> Result<Self, TreeError> {
        if module.len() > limits::FILE_BYTES_MAX {
            return Err(TreeError::TooLarge("the module is larger than 100,000,000 bytes"));
        }
        let nodes = BTreeMap::from([(String::new(), Node::new(module, media::WASM))]);
        Ok(Self { nodes })
    }

    /// The root.
    #[allow(clippy::expect_used, reason = "both constructors put the root in")]
    pub fn root(&self) -> &Node {
        self.nodes.get("").expect("a tree has a root")
    }

    /// The workload's digest (docs/FORMATS.md 1.2).
    pub fn digest(&self) -> Sha256 {
        self.root().entry.digest.sha256()
    }

    /// The content of a tag for this tree.
    pub fn tag(&self) -> TagRecord {
        TagRecord(self.root().entry.clone())
    }

    /// Paths and nodes, each after its parent; the root, with the empty path, comes first.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }
}

/// The digest that a registry would give to a package of these files (docs/FORMATS.md 1.2).
///
/// # Errors
/// See [`TreeError`].
pub fn package_digest(files: Vec<(String, Vec<u8>)>) -> Result<Sha256, TreeError> {
    Tree::from_files(files).map(|tree| tree.digest())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn files(paths: &[&str]) -> Vec<(String, Vec<u8>)> {
        paths.iter().map(|p| ((*p).to_owned(), p.as_bytes().to_vec())).collect()
    }

    #[test]
    fn the_digest_is_known() {
        // Computed independently, with Python's json and hashlib.
        let digest = package_digest(vec![("main.wasm".to_owned(), b"abc".to_vec())]).unwrap();
        assert_eq!(
            digest.to_string(),
            "sha256:fab3b6281b560409514583680ff3d46a8a6938b3d448dab82641a0a75492e566"
        );
    }

    #[test]
    fn directories_nest_and_parents_come_first() {
        let tree =
            Tree::from_files(files(&["main.wasm", "a/b/c.txt", "a/b/d.txt", "a.txt"])).unwrap();
        let paths: Vec<_> = tree.nodes().map(|(p, _)| p).collect();
        assert_eq!(paths, ["", "a", "a.txt", "a/b", "a/b/c.txt", "a/b/d.txt", "main.wasm"]);
        let at = |path: &str| &tree.nodes[path];
        let root = Directory::from_bytes(&tree.root().bytes).unwrap();
        assert_eq!(root.get("a"), Some(&at("a").entry));
        let a = Directory::from_bytes(&at("a").bytes).unwrap();
        assert_eq!(a.get("b"), Some(&at("a/b").entry));
        for (_, node) in tree.nodes() {
            assert_eq!(node.entry.verify(&node.bytes), Ok(()));
        }
    }

    #[test]
    fn refuses_what_is_no_package() {
        assert_eq!(Tree::from_files(files(&["a.wasm"])), Err(TreeError::NoMain));
        assert_eq!(Tree::from_files(files(&["x/main.wasm"])), Err(TreeError::NoMain));
        for twice in [
            &["main.wasm", "main.wasm"][..],
            &["main.wasm", "a", "a/b"],
            &["main.wasm", "a/b", "a"],
        ] {
            assert!(
                matches!(Tree::from_files(files(twice)), Err(TreeError::Twice(_))),
                "{twice:?}"
            );
        }
        for path in ["", "../x", "/x", "x//y", "a b", "."] {
            let error = Tree::from_files(files(&["main.wasm", path]));
            assert!(matches!(error, Err(TreeError::Path(..))), "{path}");
        }
        let many = (0..=limits::PACKAGE_FILES_MAX).map(|n| (n.to_string(), Vec::new())).collect();
        assert!(matches!(Tree::from_files(many), Err(TreeError::TooLarge(_))));
    }

    #[test]
    fn a_module_is_its_own_root() {
        let tree = Tree::from_module(b"abc".to_vec()).unwrap();
        assert_eq!(tree.digest(), Sha256::of(b"abc"));
        assert_eq!(tree.tag().0.media_type, media::WASM);
    }

    proptest! {
        #[test]
        fn order_of_files_does_not_matter(
            mut paths in proptest::collection::btree_set("[a-c]{1,2}(/[d-f]{1,2}){0,2}", 0..8),
            seed in any::<usize>(),
        ) {
            paths.insert("main.wasm".to_owned());
            let list: Vec<&str> = paths.iter().map(String::as_str).collect();
            let mut turned = list.clone();
            turned.rotate_left(seed % list.len());
            prop_assert_eq!(Tree::from_files(files(&list)).ok(), Tree::from_files(files(&turned)).ok());
        }

        #[test]
        fn another_byte_is_another_digest(content in proptest::collection::vec(any::<u8>(), 1..64), at in any::<usize>()) {
            let package = |c: &[u8]| {
                package_digest(vec![("main.wasm".into(), vec![]), ("a/b".into(), c.to_vec())]).unwrap()
            };
            let mut other = content.clone();
            let at = at % other.len();
            other[at] ^= 1;
            prop_assert_ne!(package(&content), package(&other));
        }
    }
}
