// SPDX-License-Identifier: Apache-2.0

//! What is known of that with which somebody wants to do something, and whether he may.

use drawbridge_core::RepoRecord;
use drawbridge_core::rights::PublishersDocument;
use types::digest::Sha256;

use super::Registry;
use super::documents::{ACCESS, OWNER_PUBLISHERS, PUBLISHERS};
use super::refusal::Refusal;
use crate::auth::access::{self, Action, Caller, Denied, Facts, Granted};
use crate::auth::keeps::Verdict;
use crate::auth::owner::{AccessRecord, OwnerRecord};
use crate::auth::publisher::Rules;
use crate::store::{RepoName, Tag, TagName, UserName};

/// An owner, and one of its repositories where it is about one.
#[derive(Debug)]
pub(super) struct Known {
    name: UserName,
    pub(super) owner: Option<OwnerRecord>,
    repo_name: Option<RepoName>,
    pub(super) repo: Option<RepoRecord>,
    access: Option<AccessRecord>,
    of_repo: PublishersDocument,
    of_owner: PublishersDocument,
}

impl Known {
    /// Whether the caller may do this.
    pub(super) fn decide(
        &self,
        caller: &Caller,
        action: Action,
        tag: bool,
        keep: Option<&Verdict>,
    ) -> Result<Granted, Denied> {
        let publishers = Rules { repo: &self.of_repo.publishers, owner: &self.of_owner.publishers };
        let facts = Facts {
            name: &self.name,
            owner: self.owner.as_ref(),
            repo_name: self.repo_name.as_ref().map(RepoName::repo),
            repo: self.repo,
            access: self.access.as_ref(),
            publishers,
            tag,
            keep,
        };
        access::decide(caller, action, &facts)
    }
}

impl Registry {
    /// What is known of an owner.
    fn known_owner(&self, name: &UserName) -> Result<Known, Refusal> {
        Ok(Known {
            name: name.clone(),
            owner: self.store.user(name)?,
            repo_name: None,
            repo: None,
            access: None,
            of_repo: PublishersDocument::default(),
            of_owner: PublishersDocument::default(),
        })
    }

    /// What is known of a repository, as far as it decides about this caller.
    pub(super) fn known_repo(&self, caller: &Caller, name: &RepoName) -> Result<Known, Refusal> {
        let mut known = self.known_owner(name.user())?;
        known.repo = self.store.repo(name)?;
        match caller {
            Caller::Person(_) | Caller::Token(_) => {
                known.access = self.store.table(&ACCESS).value(&name.parts())?;
            }
            Caller::Machine(_) => {
                let owner = self.store.table(&OWNER_PUBLISHERS).value(&name.user().parts())?;
                known.of_owner = owner.unwrap_or_default();
                let repo = self.store.table(&PUBLISHERS).value(&name.parts())?;
                known.of_repo = repo.unwrap_or_default();
            }
            Caller::Anonymous | Caller::Keep(_) => {}
        }
        Ok(Known { repo_name: Some(name.clone()), ..known })
    }

    /// Whether the caller may do something with an owner.
    pub(super) fn with_owner(
        &self,
        caller: &Caller,
        action: Action,
        name: &UserName,
    ) -> Result<Known, Refusal> {
        let known = self.known_owner(name)?;
        known.decide(caller, action, false, None)?;
        Ok(known)
    }

    /// Whether the caller may do something with a repository.
    pub(super) fn with_repo(
        &self,
        caller: &Caller,
        action: Action,
        name: &RepoName,
    ) -> Result<Known, Refusal> {
        let known = self.known_repo(caller, name)?;
        known.decide(caller, action, false, None)?;
        Ok(known)
    }

    /// A tag with which the caller may do this. What a Keep gets or does not get is written down.
    pub(super) fn with_tag(
        &self,
        caller: &Caller,
        action: Action,
        name: &TagName,
    ) -> Result<Tag, Refusal> {
        let known = self.known_repo(caller, name.repo())?;
        // A tag without its repository is nothing.
        let tag = if known.repo.is_some() { self.store.tag(name)? } else { None };
        let verdict = match caller {
            Caller::Keep(chain) if !known.repo.is_some_and(|repo| repo.public) => {
                // A client with a bad certificate learns why it is bad, also where there is nothing.
                let digest = tag.as_ref().map_or(Sha256([0; 32]), Tag::digest);
                Some(self.judge(chain, name.repo(), &digest)?)
            }
            _ => None,
        };
        match known.decide(caller, action, tag.is_some(), verdict.as_ref()) {
            Ok(Granted::Released(keep)) => {
                tracing::info!(target: "drawbridge::release", workload = %name, keep, "released to a Keep");
            }
            Ok(Granted::Public | Granted::Role(_) | Granted::Publisher(_)) => {}
            Err(denied) => {
                if let Denied::NotReleased(check, reason) = &denied {
                    tracing::warn!(target: "drawbridge::release", workload = %name, check, reason, "not released to a Keep");
                }
                return Err(denied.into());
            }
        }
        tag.ok_or_else(|| Denied::NotFound.into())
    }
}
