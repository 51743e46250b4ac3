// SPDX-License-Identifier: Apache-2.0

//! Directories: names with their entries.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use types::limits;

use crate::entry::{Entry, FormatError};

/// A name or a path that we do not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// A name with other characters, without any, or with more than 255.
    Name,
    /// A path of more than 16 names.
    Depth,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => {
                "a name in a package has 1 to 255 letters, digits or the characters _ . : - and is neither . nor .."
            }
            Self::Depth => "directories of a package are nested more than 16 deep",
        })
    }
}

impl std::error::Error for NameError {}

/// Whether this may be the name of a file or a directory (docs/FORMATS.md 2.2).
pub fn valid_name(name: &str) -> bool {
    (1..=limits::ENTRY_NAME_BYTES_MAX).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
}

/// The names of a path, `a/b/c`; none for the empty path, which is the root.
///
/// # Errors
/// See [`NameError`].
pub fn parse_path(path: &str) -> Result<Vec<&str>, NameError> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for name in path.split('/') {
        if names.len() == limits::TREE_DEPTH_MAX {
            return Err(NameError::Depth);
        }
        if !valid_name(name) {
            return Err(NameError::Name);
        }
        names.push(name);
    }
    Ok(names)
}

/// A directory of a package (docs/FORMATS.md 2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Directory(BTreeMap<String, Entry>);

impl Directory {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry, or replaces the one of that name.
    ///
    /// # Errors
    /// A name, a type or a size that is not allowed, and one entry too many.
    pub fn insert(&mut self, name: &str, entry: Entry) -> Result<(), FormatError> {
        if !valid_name(name) {
            return Err(FormatError::Name(NameError::Name));
        }
        entry.check()?;
        if self.0.len() >= limits::DIRECTORY_ENTRIES_MAX && !self.0.contains_key(name) {
            return Err(FormatError::TooLarge("a directory has more than 4096 entries"));
        }
        self.0.insert(name.to_owned(), entry);
        Ok(())
    }

    /// The entry of this name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.0.get(name)
    }

    /// Names with entries, sorted by name.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Entry)> + ExactSizeIterator {
        self.0.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one serialisation, whose hash is the directory's digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and numbers always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a directory, bounded and strict.
    ///
    /// # Errors
    /// Anything that [`Self::to_bytes`] does not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > limits::DIRECTORY_BYTES_MAX {
            return Err(FormatError::TooLarge("a directory is larger than 1,000,000 bytes"));
        }
        let directory: Self =
            serde_json::from_slice(bytes).map_err(|e| FormatError::Json(e.to_string()))?;
        if directory.to_bytes() == bytes { Ok(directory) } else { Err(FormatError::NotCanonical) }
    }
}

impl<'de> Deserialize<'de> for Directory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Directory;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of names and entries")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Directory, A::Error> {
                use serde::de::Error as _;
                let mut directory = Directory::new();
                while let Some((name, entry)) = map.next_entry::<String, Entry>()? {
                    if directory.get(&name).is_some() {
                        return Err(A::Error::custom(format_args!("`{name}` is there twice")));
                    }
                    directory.insert(&name, entry).map_err(A::Error::custom)?;
                }
                Ok(directory)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media;

    fn directory(names: &[&str]) -> Directory {
        let mut directory = Directory::new();
        for name in names {
            let entry = Entry::of(name.as_bytes(), media::of_file(name));
            directory.insert(name, entry).unwrap();
        }
        directory
    }

    #[test]
    fn bytes_are_sorted_and_read_back() {
        let one = directory(&["main.wasm", "Enarx.toml", "a:b", "_"]);
        let bytes = one.to_bytes();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let at = |name: &str| text.find(&format!("\"{name}\":")).unwrap();
        assert!(at("Enarx.toml") < at("_") && at("_") < at("a:b") && at("a:b") < at("main.wasm"));
        assert_eq!(Directory::from_bytes(&bytes).unwrap(), one);
        assert_eq!(Directory::from_bytes(b"{}").unwrap(), Directory::new());
    }

    #[test]
    fn refuses_other_spellings_and_bad_names() {
        let good = String::from_utf8(directory(&["a", "b"]).to_bytes()).unwrap();
        let entry = |name: &str| {
            let all = String::from_utf8(directory(&["a"]).to_bytes()).unwrap();
            all[1..all.len() - 1].replace("\"a\"", &format!("\"{name}\""))
        };
        let json = |parts: &[String]| format!("{{{}}}", parts.join(","));
        for bad in [
            "".to_owned(),
            "[]".to_owned(),
            "null".to_owned(),
            "{} ".to_owned(),
            good.replace(",\"b\"", ", \"b\""),
            json(&[entry("b"), entry("a")]),
            json(&[entry("a"), entry("a")]),
            json(&[entry("\\u0061")]),
            json(&[entry("..")]),
            json(&[entry(".")]),
            json(&[entry("")]),
            json(&[entry("a/b")]),
            json(&[entry("a\\u0000")]),
            json(&[entry("é")]),
            json(&[entry(&"x".repeat(256))]),
        ] {
            assert!(Directory::from_bytes(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Directory::from_bytes(json(&[entry(&"x".repeat(255))]).as_bytes()).is_ok());
    }

    #[test]
    fn deep_json_is_an_error_and_not_a_crash() {
        let deep = "[".repeat(limits::DIRECTORY_BYTES_MAX);
        assert!(Directory::from_bytes(deep.as_bytes()).is_err());
        let deep = "{\"a\":".repeat(100_000);
        assert!(Directory::from_bytes(deep.as_bytes()).is_err());
    }

    #[test]
    fn entries_are_bounded() {
        let mut full = Directory::new();
        let entry = Entry::of(b"", media::OCTET_STREAM);
        for n in 0..limits::DIRECTORY_ENTRIES_MAX {
            full.insert(&n.to_string(), entry.clone()).unwrap();
        }
        assert!(full.insert("one-more", entry.clone()).is_err());
        assert!(full.insert("0", entry).is_ok());
    }

    #[test]
    fn paths() {
        assert_eq!(parse_path(""), Ok(vec![]));
        assert_eq!(parse_path("a/b.c"), Ok(vec!["a", "b.c"]));
        for bad in ["/", "a/", "/a", "a//b", "../a", "a/..", "a/./b", "a\\b", "a%2fb", "a b", "ä"]
        {
            assert_eq!(parse_path(bad), Err(NameError::Name), "{bad}");
        }
        let deep = ["d"; limits::TREE_DEPTH_MAX].join("/");
        assert!(parse_path(&deep).is_ok());
        assert_eq!(parse_path(&format!("{deep}/d")), Err(NameError::Depth));
    }

    proptest! {
        #[test]
        fn whatever_reads_writes_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(directory) = Directory::from_bytes(&bytes) {
                prop_assert_eq!(directory.to_bytes(), bytes);
            }
        }

        #[test]
        fn directories_round_trip(
            names in proptest::collection::btree_set("[0-9A-Za-z_:-]{1,20}", 0..12),
            content in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut directory = Directory::new();
            for name in &names {
                directory.insert(name, Entry::of(&content, media::WASM)).unwrap();
            }
            prop_assert_eq!(directory.len(), names.len());
            prop_assert_eq!(Directory::from_bytes(&directory.to_bytes()).unwrap(), directory);
        }

        #[test]
        fn one_changed_byte_never_reads_as_the_same(at in 0usize..400, bit in 0u8..8) {
            let one = directory(&["Enarx.toml", "main.wasm"]);
            let mut bytes = one.to_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(other) = Directory::from_bytes(&bytes) {
                prop_assert_ne!(other, one);
            }
        }
    }
}
