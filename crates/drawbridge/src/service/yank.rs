// SPDX-License-Identifier: Apache-2.0

//! Versions that are taken back: not listed, not started by any new Keep, and never taken away (docs/FORMATS.md 2.12).

use std::collections::BTreeSet;

use axum::http::header::HeaderName;
use axum::http::{HeaderMap, HeaderValue};
use drawbridge_core::{YANKED_HEADER, Yank, YankDocument};

use super::Registry;
use super::asker::Asker;
use super::content::Content;
use super::documents::{Condition, Written, etag};
use super::refusal::Refusal;
use crate::auth::access::{Action, Denied};
use crate::store::{Kind, Put, RepoName, StoreError, TagName};

/// Yanked versions, by owner, repository and version; `null` for those that are not yanked any more.
pub(crate) const YANKS: Kind<Option<Yank>> = Kind::new("yanks", 3);

/// Which versions of a repository are listed besides the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    /// Those that are yanked.
    pub(crate) yanked: bool,
    /// Those that nobody signed.
    pub(crate) unsigned: bool,
}

/// What is said to Keeps of a yanked version.
pub(super) fn gone(yank: &Yank) -> Refusal {
    let detail = format!("this version is yanked: {}", yank.reason);
    Refusal::new(410, "Yanked", detail, "version.yanked").hint(
        "deploy another version; the repository's list has those that are not yanked, and whoever publishes there may take the yank back",
    )
}

impl Registry {
    /// Whether a version is yanked.
    pub(crate) fn yank_of(&self, name: &TagName) -> Result<Option<Yank>, StoreError> {
        Ok(self.store.table(&YANKS).value(&name.parts())?.flatten())
    }

    /// The versions of a repository that are yanked.
    pub(crate) fn yanked(&self, repo: &RepoName) -> Result<BTreeSet<String>, StoreError> {
        let table = self.store.table(&YANKS);
        let mut yanked = BTreeSet::new();
        for name in table.list(&repo.parts(), None, usize::MAX)? {
            let parts: Vec<&str> = name.iter().map(String::as_str).collect();
            if table.value(&parts)?.flatten().is_some() {
                yanked.extend(name.into_iter().next_back());
            }
        }
        Ok(yanked)
    }

    /// The versions of a repository in their order.
    pub(crate) fn versions(
        &self,
        repo: &RepoName,
        which: Versions,
    ) -> Result<Vec<semver::Version>, StoreError> {
        let mut versions = self.store.tags(repo)?;
        if !which.yanked && !versions.is_empty() {
            let yanked = self.yanked(repo)?;
            versions.retain(|version| !yanked.contains(&version.to_string()));
        }
        if !which.unsigned && !versions.is_empty() {
            let signed = self.signed(repo)?;
            versions.retain(|version| signed.contains(&version.to_string()));
        }
        Ok(versions)
    }

    /// Says in an answer about a version that it is yanked, and why, if it is.
    pub(crate) fn note_yank(
        &self,
        name: &TagName,
        headers: &mut HeaderMap,
    ) -> Result<(), StoreError> {
        if let Some(yank) = self.yank_of(name)?
            && let Ok(reason) = HeaderValue::try_from(yank.reason)
        {
            headers.insert(HeaderName::from_static(YANKED_HEADER), reason);
        }
        Ok(())
    }

    pub(super) fn read_yank(&self, name: &TagName) -> Result<Content, Refusal> {
        let yank = self.yank_of(name)?;
        let yank = yank.ok_or_else(|| Refusal::not_found("this version is not yanked"))?;
        Ok(Content::json(&yank).tagged(etag(&yank)))
    }

    /// Whether the caller may yank, and there is something to yank.
    pub(super) fn may_yank(&self, asker: &Asker, name: &TagName) -> Result<(), Refusal> {
        let known = self.with_repo(asker, Action::Yank, name.repo())?;
        match known.repo.is_some() && self.store.tag(name)?.is_some() {
            true => Ok(()),
            false => Err(Denied::NotFound.into()),
        }
    }

    pub(super) fn write_yank(
        &self,
        asker: &Asker,
        name: &TagName,
        document: &YankDocument,
        condition: &Condition,
    ) -> Result<Written, Refusal> {
        document.check().map_err(|flaw| Refusal::bad(flaw, "record"))?;
        let detail = Some(format!("yanked: {}", document.reason));
        self.audited(asker, Action::Yank, name, detail, || {
            let mut put = Put::Same;
            let new = Yank { reason: document.reason.clone(), yanked_at: self.clock.now().0 };
            let there = self.store.table(&YANKS).update(&name.parts(), |old| {
                let old = old.and_then(Option::as_ref);
                put = if old.is_none() { Put::Created } else { Put::Same };
                if old.is_some_and(|old| old.reason == new.reason) {
                    return Ok(None);
                }
                condition.permits(old.map(etag).as_deref())?;
                Ok::<_, Refusal>(Some(Some(new.clone())))
            })?;
            Ok((put, there.flatten().as_ref().map(etag)))
        })
    }

    pub(super) fn delete_yank(
        &self,
        asker: &Asker,
        name: &TagName,
        condition: &Condition,
    ) -> Result<(), Refusal> {
        self.may_yank(asker, name)?;
        let detail = Some("not yanked any more".to_owned());
        self.audited(asker, Action::Yank, name, detail, || {
            self.store.table(&YANKS).update(&name.parts(), |old| {
                let Some(old) = old.and_then(Option::as_ref) else {
                    return Err(Refusal::not_found("this version is not yanked"));
                };
                if *condition != Condition::None {
                    condition.permits(Some(&etag(old)))?;
                }
                Ok(Some(None))
            })?;
            Ok(())
        })
    }
}
