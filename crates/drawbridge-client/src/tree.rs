// SPDX-License-Identifier: Apache-2.0

//! Published trees, looked at and fetched in parts.

use drawbridge_core::{Directory, Entry, parse_path};
use types::limits;
use types::slug::Slug;

use crate::fetch::unfit;
use crate::{Client, Error};

/// What is at a path of a published tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The entry of the tag's root, which the tree was checked against.
    pub root: Entry,
    /// The entry at the path.
    pub at: Entry,
    /// Paths, below that, and entries of the files there, sorted; of a file itself one with the empty path.
    pub files: Vec<(String, Entry)>,
}

impl Listing {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, (_, entry)| sum.saturating_add(entry.length))
    }
}

impl Client {
    /// The files at a path of what a tag stands for (none for the root), each directory checked against what its parent says.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Name`] for a path that is none, [`Error::Integrity`] for one that is not in the tree.
    pub fn tree(&self, slug: &Slug, path: &str) -> Result<Listing, Error> {
        let names = parse_path(path).map_err(|_| {
            Error::Name("a path in a package has at most 16 names of letters, digits and _ . : -, with / between them")
        })?;
        let root = self.tag_entry(slug)?.0;
        let tree = format!("{}/tree", self.tag_path(slug)?);
        let (mut at, mut entry) = (String::new(), root.clone());
        for name in names {
            let missing = || unfit(path, "the package has nothing at this path");
            if !entry.is_directory() {
                return Err(missing());
            }
            let bytes = self.node(&tree, &at, &entry)?;
            let directory = Directory::from_bytes(&bytes).map_err(|e| unfit(&at, e))?;
            entry = directory.get(name).ok_or_else(missing)?.clone();
            at = if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
        }
        let (mut files, mut directories, mut bytes) = (Vec::new(), 0, 0u64);
        // The paths below `at`, and the entries there.
        let mut open = vec![(String::new(), entry.clone())];
        while let Some((below, entry)) = open.pop() {
            bytes = bytes.saturating_add(entry.length);
            if bytes > limits::PACKAGE_BYTES_MAX as u64 {
                return Err(unfit(path, "the package is larger than 200,000,000 bytes"));
            }
            if !entry.is_directory() {
                files.push((below, entry));
            } else {
                directories += 1;
                let full = join(&at, &below);
                parse_path(&full).map_err(|e| unfit(&full, e))?;
                let content = self.node(&tree, &full, &entry)?;
                let directory = Directory::from_bytes(&content).map_err(|e| unfit(&full, e))?;
                open.extend(directory.iter().map(|(name, e)| (join(&below, name), e.clone())));
            }
            let most = limits::PACKAGE_FILES_MAX;
            if files.len() > most || directories > most || open.len() > 2 * most {
                return Err(unfit(path, "the package has more than 4096 files or directories"));
            }
        }
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Listing { root, at: entry, files })
    }

    /// The content of a file of a tree that [`Self::tree`] listed: `path` from the root on.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Integrity`] if it is not what the entry says.
    pub fn tree_file(&self, slug: &Slug, path: &str, entry: &Entry) -> Result<Vec<u8>, Error> {
        parse_path(path).map_err(|_| Error::Name("the path is none of a package"))?;
        entry.check().map_err(|e| unfit(path, e))?;
        self.node(&format!("{}/tree", self.tag_path(slug)?), path, entry)
    }
}

fn join(above: &str, name: &str) -> String {
    match (above, name) {
        ("", name) => name.to_owned(),
        (above, "") => above.to_owned(),
        (above, name) => format!("{above}/{name}"),
    }
}
