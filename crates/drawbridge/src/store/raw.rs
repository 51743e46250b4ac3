// SPDX-License-Identifier: Apache-2.0

//! What upkeep needs of a store besides its names: every key there is, and the bytes behind it.

use std::sync::Arc;

use types::time::Timestamp;

use super::backend::Opened;
use super::disk::TEMPORARIES;
use super::{
    Backend, Bucket, Disk, Key, Location, Staging, Store, StoreError, VERSION, VERSION_1, cloud,
    own,
};

/// Beginnings of keys that are no content of a store, but of the place where it is.
const OF_THE_PLACE: [&str; 4] = ["tmp/", "locks/", "lock", "probes/"];

/// Whether a key belongs to the place and not to the store.
pub(crate) fn is_of_the_place(key: &str) -> bool {
    OF_THE_PLACE.iter().any(|begin| match begin.strip_suffix('/') {
        Some(_) => key.starts_with(begin),
        None => key == *begin,
    })
}

/// Whether a key is a file that is being written, or was when its process died.
pub(crate) fn is_temporary(key: &str) -> bool {
    key.strip_prefix(TEMPORARIES).is_some_and(|rest| rest.starts_with('/'))
}

fn backend(location: &Location) -> Result<Arc<dyn Backend>, StoreError> {
    Ok(match location {
        Location::Dir(dir) => Arc::new(Disk::existing(dir)),
        Location::Bucket(url) => {
            // Nothing is staged beside: what is changed are records, and what is gone.
            let staging = Staging::at(std::env::temp_dir());
            Arc::new(Bucket::new(cloud::objects(url)?, &url.prefix, staging)?)
        }
    })
}

impl Store {
    /// Opens a store that is there, beside whoever serves it; nothing is made and nothing is moved.
    ///
    /// # Errors
    /// [`StoreError::Setup`] if there is none, [`StoreError::Version`] if it is of another version, and failures of the place.
    pub fn beside(location: &Location) -> Result<Self, StoreError> {
        let backend = backend(location)?;
        match backend.read(&own("version"), 256)? {
            Some((found, _)) if found == VERSION.as_bytes() => Self::over(backend),
            Some((found, _)) if found == VERSION_1.as_bytes() => Err(StoreError::Setup(format!(
                "{location} is a store of version 1; it becomes one of version 2 when it is served"
            ))),
            Some(_) => Err(StoreError::Version(location.to_string().into())),
            None => {
                Err(StoreError::Setup(format!("there is no store of a Drawbridge at {location}")))
            }
        }
    }

    /// Whether there is nothing at all where a store could be.
    ///
    /// # Errors
    /// [`StoreError::Setup`], and failures of the place.
    pub fn is_nothing(location: &Location) -> Result<bool, StoreError> {
        Ok(backend(location)?.list("", None, 1)?.is_empty())
    }

    /// As [`Self::beside`], to change something: a copy of a directory may lack what is needed for that, and gets it.
    ///
    /// # Errors
    /// As for [`Self::beside`].
    pub fn beside_to_change(location: &Location) -> Result<Self, StoreError> {
        let store = Self::beside(location)?;
        match location {
            Location::Dir(dir) => Self::over(Arc::new(Disk::open(dir)?)),
            Location::Bucket(_) => Ok(store),
        }
    }

    /// At most `max` keys that begin with `prefix` (empty, or ends in a slash) and come after `after`, by their bytes.
    pub(crate) fn keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.backend.list(prefix, after, max)
    }

    /// The first parts of keys below `prefix`, each once and without its slash, each found by one short list.
    pub(crate) fn parts_below(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut parts = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let keys = self.backend.list(prefix, after.as_deref(), 1)?;
            let Some(key) = keys.first() else {
                return Ok(parts);
            };
            let rest = key.strip_prefix(prefix).unwrap_or(key);
            after = Some(match rest.split_once('/') {
                Some((part, _)) => {
                    parts.push(part.to_owned());
                    // What comes right after the slash, hence after all keys below this part.
                    format!("{prefix}{part}0")
                }
                None => key.clone(),
            });
        }
    }

    /// The length of what a key holds, in bytes; `None` if there is nothing.
    pub(crate) fn length_at(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        self.backend.length(key)
    }

    /// The bytes of what a key holds, unchecked.
    pub(crate) fn open_at(&self, key: &Key) -> Result<Option<Opened>, StoreError> {
        self.backend.open(key, 0)
    }

    /// Removes what a key holds; no error if there is nothing.
    pub(crate) fn remove_at(&self, key: &Key) -> Result<(), StoreError> {
        self.backend.remove(key)
    }

    /// Files that were being written and that nobody has touched since `before`: how many, and their bytes. They are removed
    /// if `remove` says so.
    pub(crate) fn stale(&self, before: Timestamp, remove: bool) -> Result<(u64, u64), StoreError> {
        self.backend.stale(before, remove)
    }
}
