// SPDX-License-Identifier: Apache-2.0

//! Where things are in the store: keys, and kinds of records.
//!
//! A key is a path of checked parts. Kinds come first (`tags/ann/app/1.0.0.json`), so that all things of a kind, or those of one
//! user or repository, are one range of keys in byte order: what a bucket can list page by page.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use super::StoreError;

/// Longest part of a key, in bytes; with its ending it is a file name everywhere.
const PART_BYTES_MAX: usize = 200;
/// Ending of records.
const ENDING: &str = ".json";

/// The place of one object: parts of harmless characters, joined by `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// A name that this program wrote itself.
    pub(crate) const fn own(name: String) -> Self {
        Self(name)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether text may be a part of a key: at most 200 of `[0-9A-Za-z]`, `-`, `_`, `+` and `.`, which is not the first.
pub fn valid_part(part: &str) -> bool {
    part.len() <= PART_BYTES_MAX
        && part.bytes().next().is_some_and(|b| b != b'.')
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+.".contains(&b))
}

/// A kind of records: the name of its range of keys, and how many parts name one of them.
///
/// Every kind of the registry is a constant; those of the store itself are in this directory. Names of kinds that are taken
/// otherwise: `blobs`, `tmp`, `locks`, `uploads`, `version`, `lock`.
pub struct Kind<T> {
    name: &'static str,
    parts: usize,
    record: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Kind<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, "*/".repeat(self.parts))
    }
}

impl<T> Kind<T> {
    /// Records at `name/part/…/part.json`, with this many parts.
    pub const fn new(name: &'static str, parts: usize) -> Self {
        Self { name, parts, record: PhantomData }
    }

    /// The name of the range of keys.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// The key of one record.
    ///
    /// # Errors
    /// [`StoreError::Name`] if there are more or fewer parts, or one has other characters than [`valid_part`] takes.
    pub fn key(&self, parts: &[&str]) -> Result<Key, StoreError> {
        if parts.len() != self.parts || !parts.iter().all(|p| valid_part(p)) {
            return Err(StoreError::Name);
        }
        Ok(Key(format!("{}/{}{ENDING}", self.name, parts.join("/"))))
    }

    /// The beginning of all keys of records whose names begin with these parts.
    ///
    /// # Errors
    /// As for [`Self::key`].
    pub(super) fn prefix(&self, parts: &[&str]) -> Result<String, StoreError> {
        if parts.len() >= self.parts || !parts.iter().all(|p| valid_part(p)) {
            return Err(StoreError::Name);
        }
        let mut prefix = format!("{}/", self.name);
        for part in parts {
            prefix.push_str(part);
            prefix.push('/');
        }
        Ok(prefix)
    }

    /// The parts that name the record with this key; `None` if it is none of this kind.
    pub(crate) fn parts(&self, key: &str) -> Option<Vec<String>> {
        let parts = key.strip_prefix(self.name)?.strip_prefix('/')?.strip_suffix(ENDING)?;
        let parts: Vec<String> = parts.split('/').map(str::to_owned).collect();
        (parts.len() == self.parts && parts.iter().all(|p| valid_part(p))).then_some(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_checked_parts() {
        let kind = Kind::<()>::new("things", 2);
        let key = kind.key(&["ann", "1.0.0-a+b_c"]).unwrap();
        assert_eq!(key.as_str(), "things/ann/1.0.0-a+b_c.json");
        assert_eq!(kind.parts(key.as_str()).unwrap(), ["ann", "1.0.0-a+b_c"]);
        assert_eq!(kind.prefix(&["ann"]).unwrap(), "things/ann/");
        assert_eq!(kind.prefix(&[]).unwrap(), "things/");
        let long = "a".repeat(PART_BYTES_MAX + 1);
        assert!(kind.key(&["a", &long[1..]]).is_ok());
        for bad in ["", ".", "..", "a/b", "a\0", "ü", ".a", "a b", "%2e", "a\\b", &long] {
            assert!(matches!(kind.key(&["a", bad]), Err(StoreError::Name)), "{bad}");
            assert!(matches!(kind.prefix(&[bad]), Err(StoreError::Name)), "{bad}");
        }
        assert!(kind.key(&["a"]).is_err() && kind.key(&["a", "b", "c"]).is_err());
        for other in ["things/a.json", "things/a/b", "thingsx/a/b.json", "things/a/b/c.json"] {
            assert_eq!(kind.parts(other), None, "{other}");
        }
    }
}
