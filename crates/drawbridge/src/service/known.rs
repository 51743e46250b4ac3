// SPDX-License-Identifier: Apache-2.0

//! What is known of that with which somebody wants to do something, and whether he may.

use std::fmt::Display;

use drawbridge_core::RepoRecord;
use drawbridge_core::rights::PublishersDocument;
use types::digest::Sha256;

use super::Registry;
use super::asker::Asker;
use super::documents::{ACCESS, OWNER_PUBLISHERS, PUBLISHERS};
use super::refusal::Refusal;
use super::{signatures, yank};
use crate::audit::Outcome;
use crate::auth::access::{self, Action, Caller, Denied, Facts, Granted};
use crate::auth::keeps::Verdict;
use crate::auth::owner::{AccessRecord, OwnerRecord};
use crate::auth::publisher::Rules;
use crate::store::{RepoName, Tag, TagName, UserName};

/// An owner, and one of its repositories where it is about one.
#[derive(Debug)]
pub(crate) struct Known {
    name: UserName,
    pub(crate) owner: Option<OwnerRecord>,
    repo_name: Option<RepoName>,
    pub(crate) repo: Option<RepoRecord>,
    access: Option<AccessRecord>,
    of_repo: PublishersDocument,
    of_owner: PublishersDocument,
}

impl Known {
    fn of_owner(name: &UserName, owner: Option<OwnerRecord>) -> Self {
        Self {
            name: name.clone(),
            owner,
            repo_name: None,
            repo: None,
            access: None,
            of_repo: PublishersDocument::default(),
            of_owner: PublishersDocument::default(),
        }
    }

    /// Whether the caller may do this.
    pub(crate) fn decide(
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

impl Known {
    /// Whether versions that nobody signed are hidden from this caller: from all but those who publish.
    pub(crate) fn hides_unsigned(&self, caller: &Caller) -> bool {
        self.repo.is_some_and(|repo| repo.require_signature)
            && self.decide(caller, Action::WriteTag, false, None).is_err()
    }
}

impl Registry {
    /// What is known of an owner.
    fn known_owner(&self, name: &UserName) -> Result<Known, Refusal> {
        Ok(Known::of_owner(name, self.store.user(name)?))
    }

    /// What is known of a repository, as far as it decides about this caller.
    pub(crate) fn known_repo(&self, caller: &Caller, name: &RepoName) -> Result<Known, Refusal> {
        self.known_repo_of(caller, name, self.store.user(name.user())?)
    }

    /// The same, where the owner is known already.
    pub(super) fn known_repo_of(
        &self,
        caller: &Caller,
        name: &RepoName,
        owner: Option<OwnerRecord>,
    ) -> Result<Known, Refusal> {
        let mut known = Known::of_owner(name.user(), owner);
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

    /// Decides, and writes down what a Keep gets, and what is refused to whom.
    pub(crate) fn permit(
        &self,
        asker: &Asker,
        known: &Known,
        action: Action,
        name: &dyn Display,
        (tag, keep): (bool, Option<&Verdict>),
    ) -> Result<(), Refusal> {
        match known.decide(&asker.caller, action, tag, keep) {
            Ok(Granted::Released(keep)) => {
                tracing::info!(target: "drawbridge::release", workload = %name, keep, "released to a Keep");
                self.granted(asker, action, name, Some(keep))
            }
            Ok(Granted::Public | Granted::Role(_) | Granted::Publisher(_)) => Ok(()),
            Err(denied) => {
                if let Denied::NotReleased(check, reason) = &denied {
                    tracing::warn!(target: "drawbridge::release", workload = %name, check, reason, "not released to a Keep");
                }
                // That there is nothing is no refusal.
                let missing = matches!(denied, Denied::NotFound | Denied::NoUser);
                let refusal = Refusal::from(denied);
                if !missing {
                    self.refused(asker, action, name, Outcome::Refused, &refusal);
                }
                Err(refusal)
            }
        }
    }

    /// Whether somebody may do something with an owner.
    pub(super) fn with_owner(
        &self,
        asker: &Asker,
        action: Action,
        name: &UserName,
    ) -> Result<Known, Refusal> {
        let known = self.known_owner(name)?;
        self.permit(asker, &known, action, name, (false, None))?;
        Ok(known)
    }

    /// Whether somebody may do something with a repository.
    pub(crate) fn with_repo(
        &self,
        asker: &Asker,
        action: Action,
        name: &RepoName,
    ) -> Result<Known, Refusal> {
        let known = self.known_repo(&asker.caller, name)?;
        self.permit(asker, &known, action, name, (false, None))?;
        Ok(known)
    }

    /// A tag with which somebody may do this.
    pub(crate) fn with_tag(
        &self,
        asker: &Asker,
        action: Action,
        name: &TagName,
    ) -> Result<Tag, Refusal> {
        let known = self.known_repo(&asker.caller, name.repo())?;
        // A tag without its repository is nothing.
        let tag = if known.repo.is_some() { self.store.tag(name)? } else { None };
        let verdict = match &asker.caller {
            Caller::Keep(chain) if !known.repo.is_some_and(|repo| repo.public) => {
                // A client with a bad certificate learns why it is bad, also where there is nothing.
                let digest = tag.as_ref().map_or(Sha256([0; 32]), Tag::digest);
                Some(self.judge(chain, name.repo(), &digest)?)
            }
            _ => None,
        };
        let there = (tag.is_some(), verdict.as_ref());
        let for_keeps = action == Action::Discover || matches!(asker.caller, Caller::Keep(_));
        // Only whoever would get it learns that it is yanked, or not signed.
        let unsigned = action == Action::Discover
            && known.repo.is_some_and(|r| r.require_signature)
            || known.hides_unsigned(&asker.caller);
        if (for_keeps || unsigned)
            && let Some(tag) = &tag
            && known.decide(&asker.caller, action, there.0, there.1).is_ok()
        {
            let yank = if for_keeps { self.yank_of(name)? } else { None };
            let refusal = match yank {
                Some(yank) => Some(yank::gone(&yank)),
                None if unsigned && !self.is_signed(name, tag.digest())? => {
                    Some(signatures::missing())
                }
                None => None,
            };
            if let Some(refusal) = refusal {
                self.refused(asker, action, name, Outcome::Refused, &refusal);
                return Err(refusal);
            }
        }
        self.permit(asker, &known, action, name, there)?;
        tag.ok_or_else(|| Denied::NotFound.into())
    }
}
