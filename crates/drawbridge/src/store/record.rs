// SPDX-License-Identifier: Apache-2.0

//! Records: small JSON objects under names, written on conditions, each with a checksum of its own.
//!
//! ```text
//! pub const TEAMS: Kind<Team> = Kind::new("teams", 1);          // teams/<team>.json
//! let teams = store.table(&TEAMS);
//! teams.create(&["blue"], &team)?;                              // Put::{Created, Same, Conflict}
//! let found = teams.get(&["blue"])?;                            // value and version
//! teams.replace(&["blue"], &changed, &found.version)?;          // None: somebody was first; read again
//! teams.update(&["blue"], |old| …)?;                            // the loop around these
//! teams.list(&[], None, 100)?;                                  // names in byte order; the last one is the next `after`
//! teams.delete(&["blue"])?;
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;
use types::digest::Sha256;
use types::limits;

use super::backend::{Version, When};
use super::{Key, Kind, Put, Store, StoreError};

/// How often an update begins again because somebody else was first.
const UPDATE_ATTEMPTS_MAX: usize = 64;

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The record.
    pub value: T,
    /// What [`Table::replace`] compares with.
    pub version: Version,
}

/// All records of a kind.
#[derive(Debug)]
pub struct Table<'a, T> {
    store: &'a Store,
    kind: &'a Kind<T>,
}

impl Store {
    /// The records of a kind.
    pub fn table<'a, T>(&'a self, kind: &'a Kind<T>) -> Table<'a, T> {
        Table { store: self, kind }
    }
}

impl<T: Serialize + DeserializeOwned> Table<'_, T> {
    /// A record; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn get(&self, name: &[&str]) -> Result<Option<Versioned<T>>, StoreError> {
        let key = self.kind.key(name)?;
        let Some((bytes, version)) = self.store.backend.read(&key, sealed_max())? else {
            return Ok(None);
        };
        match unseal(&bytes).and_then(|json| serde_json::from_slice(json).ok()) {
            Some(value) => Ok(Some(Versioned { value, version })),
            None => Err(damaged(&key)),
        }
    }

    /// Just the record.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub fn value(&self, name: &[&str]) -> Result<Option<T>, StoreError> {
        Ok(self.get(name)?.map(|found| found.value))
    }

    /// Writes a record that is not there yet. Of several at once exactly one is told [`Put::Created`], if they differ.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Quota`] for a record of more than 64 KiB, and failures of the store.
    pub fn create(&self, name: &[&str], value: &T) -> Result<Put, StoreError>
    where
        T: PartialEq,
    {
        let (key, bytes) = (self.kind.key(name)?, sealed(value)?);
        for _ in 0..UPDATE_ATTEMPTS_MAX {
            if self.store.backend.write(&key, &bytes, When::Absent)?.is_some() {
                return Ok(Put::Created);
            }
            // A bucket may refuse all of several at once; then nothing is there.
            if let Some(found) = self.value(name)? {
                return Ok(if found == *value { Put::Same } else { Put::Conflict });
            }
        }
        Err(StoreError::Busy)
    }

    /// Writes a record in place of the one that was read; its version, or `None` if that one is not there any more.
    ///
    /// # Errors
    /// As for [`Self::create`].
    pub fn replace(
        &self,
        name: &[&str],
        value: &T,
        old: &Version,
    ) -> Result<Option<Version>, StoreError> {
        self.write(&self.kind.key(name)?, value, When::Is(old))
    }

    /// Changes a record: `change` gets what is there and says what shall be there, or `None` to leave it. It is asked again
    /// when somebody else was first. What is there in the end.
    ///
    /// # Errors
    /// What `change` fails with; [`StoreError::Busy`] if others are always first; as for [`Self::create`].
    pub fn update<E: From<StoreError>>(
        &self,
        name: &[&str],
        mut change: impl FnMut(Option<&T>) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let key = self.kind.key(name)?;
        for _ in 0..UPDATE_ATTEMPTS_MAX {
            let old = self.get(name)?;
            let Some(new) = change(old.as_ref().map(|found| &found.value))? else {
                return Ok(old.map(|found| found.value));
            };
            let when = old.as_ref().map_or(When::Absent, |found| When::Is(&found.version));
            if self.write(&key, &new, when)?.is_some() {
                return Ok(Some(new));
            }
        }
        Err(StoreError::Busy.into())
    }

    /// Removes a record, whatever it says by now; no error if there is none. Where a change of another's must not be lost,
    /// write a mark of removal with [`Self::replace`] first.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Io`].
    pub fn delete(&self, name: &[&str]) -> Result<(), StoreError> {
        self.store.backend.remove(&self.kind.key(name)?)
    }

    /// The names of at most `max` records that begin with the parts `prefix` and come after the name `after`, in the order of
    /// their keys' bytes. Fewer than `max` are the last.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Io`].
    pub fn list(
        &self,
        prefix: &[&str],
        after: Option<&[&str]>,
        max: usize,
    ) -> Result<Vec<Vec<String>>, StoreError> {
        let prefix = self.kind.prefix(prefix)?;
        let after = after.map(|name| self.kind.key(name)).transpose()?;
        let keys = self.store.backend.list(&prefix, after.as_ref().map(Key::as_str), max)?;
        Ok(keys.iter().filter_map(|key| self.kind.parts(key)).collect())
    }

    fn write(&self, key: &Key, value: &T, when: When<'_>) -> Result<Option<Version>, StoreError> {
        self.store.backend.write(key, &sealed(value)?, when)
    }
}

pub(super) fn damaged(key: &Key) -> StoreError {
    StoreError::Damaged(key.as_path().to_owned())
}

/// Largest record with its checksum.
const fn sealed_max() -> usize {
    limits::JSON_BYTES_MAX + 80
}

/// The digest of the JSON, a line feed, the JSON.
fn sealed(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    // Records are plain data and always serialise.
    let json = serde_json::to_vec(value).unwrap_or_default();
    if json.len() > limits::JSON_BYTES_MAX {
        return Err(StoreError::Quota("the record is larger than 64 KiB"));
    }
    let mut bytes = format!("{}\n", Sha256::of(&json)).into_bytes();
    bytes.extend_from_slice(&json);
    Ok(bytes)
}

fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let at = bytes.iter().position(|b| *b == b'\n')?;
    let (digest, json) = bytes.split_at(at);
    let json = json.get(1..)?;
    (Sha256::of(json).to_string().as_bytes() == digest).then_some(json)
}
