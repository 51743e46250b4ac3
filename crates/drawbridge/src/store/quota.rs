// SPDX-License-Identifier: Apache-2.0

//! How much an owner may keep here: bytes, tags, repositories.
//!
//! What an owner has is one record (`usage/<owner>.json`), changed by compare and swap: room is taken before something is kept and
//! given back if it was there already, so that several instances never let in more than there is room for. Content counts once in
//! each repository. What was there before is never refused: nothing is taken for it.
//!
//! An instance that dies between taking and keeping leaves room taken. `gc` counts anew: at once what is more than the record
//! says (quotas were turned on later, or off for a while); what is less when the record has not changed for an hour, for then
//! nobody is between taking and keeping.

use std::fmt;

use serde::{Deserialize, Serialize};
use types::slug;
use types::time::Timestamp;

use super::{Key, Kind, PENDING, REPOS, RepoName, Store, StoreError, TAGS, UserName};
use crate::oci::records::TAGS as OCI_TAGS;

/// What owners have.
pub(crate) const USAGE: Kind<Usage> = Kind::new("usage", 1);
/// For how long, in seconds, a record must be unchanged until less is believed than it says.
const QUIET_SECONDS: u64 = 3600;
/// How many keys are looked at together.
const PAGE: usize = 1000;

/// How much every owner may keep; `None` is any amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Bytes of content.
    pub bytes: Option<u64>,
    /// Tags of all repositories, announced ones included.
    pub tags: Option<u64>,
    /// Repositories.
    pub repos: Option<u64>,
}

impl Quotas {
    const fn are_set(&self) -> bool {
        self.bytes.is_some() || self.tags.is_some() || self.repos.is_some()
    }
}

/// An amount of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amounts {
    pub(crate) bytes: u64,
    pub(crate) tags: u64,
    pub(crate) repos: u64,
}

impl Amounts {
    pub(crate) const TAG: Self = Self { bytes: 0, tags: 1, repos: 0 };
    pub(crate) const REPO: Self = Self { bytes: 0, tags: 0, repos: 1 };

    pub(crate) const fn bytes(bytes: u64) -> Self {
        Self { bytes, tags: 0, repos: 0 }
    }

    fn each(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            bytes: with(self.bytes, other.bytes),
            tags: with(self.tags, other.tags),
            repos: with(self.repos, other.repos),
        }
    }
}

/// What an owner has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Usage {
    pub(crate) used: Amounts,
    /// Since when, in seconds since 1970, `gc` knows that this is not what is there. Gone with the next change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    doubted_since: Option<u64>,
}

/// Which quota is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose.
    pub owner: String,
    /// `bytes`, `tags` or `repos`.
    pub what: &'static str,
    /// How much the owner may have.
    pub quota: u64,
    /// How much the owner has.
    pub used: u64,
    /// How much more was asked for.
    pub asked: u64,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, what, quota, used, asked } = self;
        let what = if *what == "repos" { "repositories" } else { what };
        write!(
            f,
            "{owner} has {used} of {quota} {what} that an owner may have here, and this needs {asked} more"
        )
    }
}

impl Store {
    /// With quotas from now on.
    #[must_use]
    pub fn with_quotas(self, quotas: Quotas) -> Self {
        Self { quotas, ..self }
    }

    /// Takes room for something that is not there yet; whether any was taken.
    ///
    /// # Errors
    /// [`StoreError::Exceeded`], and failures of the store.
    pub(crate) fn take_room(&self, owner: &UserName, asked: Amounts) -> Result<bool, StoreError> {
        if !self.quotas.are_set() || asked == Amounts::default() {
            return Ok(false);
        }
        self.table(&USAGE).update(&owner.parts(), |found| {
            let used = match found {
                Some(usage) => usage.used,
                None => self.count(owner)?,
            };
            self.room(owner, used, asked)?;
            let used = used.each(asked, u64::saturating_add);
            Ok::<_, StoreError>(Some(Usage { used, doubted_since: None }))
        })?;
        Ok(true)
    }

    /// Whether there is room.
    fn room(&self, owner: &UserName, used: Amounts, asked: Amounts) -> Result<(), StoreError> {
        for (what, quota, used, asked) in [
            ("bytes", self.quotas.bytes, used.bytes, asked.bytes),
            ("tags", self.quotas.tags, used.tags, asked.tags),
            ("repos", self.quotas.repos, used.repos, asked.repos),
        ] {
            let Some(quota) = quota.filter(|_| asked > 0) else { continue };
            if used.saturating_add(asked) > quota {
                let owner = owner.to_string();
                return Err(StoreError::Exceeded(Box::new(Exceeded {
                    owner,
                    what,
                    quota,
                    used,
                    asked,
                })));
            }
        }
        Ok(())
    }

    /// Whether something of this size could ever be kept; asked before it has all arrived.
    ///
    /// # Errors
    /// [`StoreError::Exceeded`].
    pub(crate) fn could_take(&self, repo: &RepoName, bytes: u64) -> Result<(), StoreError> {
        self.room(repo.user(), Amounts::default(), Amounts::bytes(bytes))
    }

    /// Gives back room for what is not there after all, or not any more. If that fails, `gc` finds out.
    pub(crate) fn give_back(&self, owner: &UserName, amounts: Amounts) {
        if amounts == Amounts::default() {
            return;
        }
        let result = self.table(&USAGE).update(&owner.parts(), |found| {
            let less = |usage: &Usage| {
                let used = usage.used.each(amounts, u64::saturating_sub);
                Usage { used, doubted_since: None }
            };
            Ok::<_, StoreError>(found.map(less))
        });
        if let Err(error) = result {
            tracing::warn!(%owner, %error, "room cannot be given back now; gc will");
        }
    }

    /// Does something for which room was taken, and gives the room back unless it says that it needs it.
    ///
    /// # Errors
    /// [`StoreError::Exceeded`]; what `work` fails with.
    pub(crate) fn with_room<T, E: From<StoreError>>(
        &self,
        owner: &UserName,
        asked: Amounts,
        work: impl FnOnce() -> Result<T, E>,
        needs_it: impl FnOnce(&T) -> bool,
    ) -> Result<T, E> {
        let taken = self.take_room(owner, asked)?;
        let result = work();
        if taken && !result.as_ref().is_ok_and(needs_it) {
            self.give_back(owner, asked);
        }
        result
    }

    /// What an owner really has.
    fn count(&self, owner: &UserName) -> Result<Amounts, StoreError> {
        let mut amounts = Amounts::default();
        self.each_of(&format!("blobs/{owner}/"), |key| {
            let length = self.backend.length(&Key::own(key.to_owned()))?;
            amounts.bytes = amounts.bytes.saturating_add(length.unwrap_or(0));
            Ok(())
        })?;
        let mut tags = 0;
        self.each_of(&format!("{}/{owner}/", TAGS.name()), |_| {
            tags += 1;
            Ok(())
        })?;
        self.each_of(&format!("{}/{owner}/", PENDING.name()), |key| {
            // One that is complete by now counts already.
            let parts = PENDING.parts(key).unwrap_or_default();
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let there = parts.is_empty() || self.backend.length(&TAGS.key(&parts)?)?.is_some();
            tags += u64::from(!there);
            Ok(())
        })?;
        self.each_of(&format!("{}/{owner}/", OCI_TAGS.name()), |key| {
            let parts = OCI_TAGS.parts(key).unwrap_or_default();
            tags += u64::from(parts.last().is_some_and(|tag| slug::parse_tag(tag).is_none()));
            Ok(())
        })?;
        amounts.tags = tags;
        self.each_of(&format!("{}/{owner}/", REPOS.name()), |_| {
            amounts.repos += 1;
            Ok(())
        })?;
        Ok(amounts)
    }

    fn each_of(
        &self,
        prefix: &str,
        mut each: impl FnMut(&str) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after: Option<String> = None;
        loop {
            let keys = self.backend.list(prefix, after.as_deref(), PAGE)?;
            keys.iter().try_for_each(|key| each(key))?;
            if keys.len() < PAGE {
                return Ok(());
            }
            after = keys.into_iter().next_back();
        }
    }

    /// Counts anew what owners have about whom there is a record; how many records were wrong and are right now.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) fn recount(&self, now: Timestamp, write: bool) -> Result<u64, StoreError> {
        let table = self.table(&USAGE);
        let mut mended = 0;
        for name in table.list(&[], None, usize::MAX)? {
            let Some(owner) = name.first().and_then(|owner| UserName::new(owner)) else { continue };
            // What changes while it is counted is counted another time: the swap fails then.
            let Some(found) = table.get(&owner.parts())? else { continue };
            let (said, there) = (found.value.used, self.count(&owner)?);
            let more = said.each(there, u64::max);
            let quiet = |since: u64| since.saturating_add(QUIET_SECONDS) <= now.0;
            let new = match found.value.doubted_since {
                _ if said == there => continue,
                Some(since) if quiet(since) => Usage { used: there, doubted_since: None },
                doubted if more == said => {
                    let doubted_since = Some(doubted.unwrap_or(now.0));
                    Usage { used: said, doubted_since }
                }
                _ => Usage { used: more, doubted_since: None },
            };
            if write && table.replace(&owner.parts(), &new, &found.version)?.is_some() {
                mended += u64::from(new.used != said);
            }
        }
        Ok(mended)
    }

    /// What an owner has, as far as the record says.
    ///
    /// # Errors
    /// See [`StoreError`].
    #[cfg(test)]
    pub(crate) fn usage(&self, owner: &UserName) -> Result<Option<Amounts>, StoreError> {
        Ok(self.table(&USAGE).value(&owner.parts())?.map(|usage| usage.used))
    }
}
