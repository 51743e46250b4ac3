// SPDX-License-Identifier: Apache-2.0

//! What is known of that with which somebody wants to do something, and whether he may.

use drawbridge_core::RepoRecord;
use drawbridge_core::rights::PublishersDocument;
use types::digest::Sha256;
use verify::ReleasePolicy;

use super::Registry;
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
    policy: Option<ReleasePolicy>,
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
    pub(super) fn known_owner(&self, name: &UserName) -> Result<Known, Refusal> {
        Ok(Known {
            name: name.clone(),
            owner: self.store.user(name)?.map(OwnerRecord::User),
            repo_name: None,
            repo: None,
            access: None,
            of_repo: PublishersDocument::default(),
            of_owner: PublishersDocument::default(),
            policy: None,
        })
    }

    /// What is known of a repository, as far as it decides about this caller.
    pub(super) fn known_repo(&self, name: &RepoName) -> Result<Known, Refusal> {
        let known = self.known_owner(name.user())?;
        Ok(Known { repo_name: Some(name.clone()), repo: self.store.repo(name)?, ..known })
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
        let known = self.known_repo(name)?;
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
        let known = self.known_repo(name.repo())?;
        // A tag without its repository is nothing.
        let tag = if known.repo.is_some() { self.store.tag(name)? } else { None };
        let verdict = match (caller, &tag) {
            (Caller::Keep(chain), Some(tag)) => Some(self.judge(chain, &known, &tag.digest())),
            // A client with a bad certificate learns why it is, and nothing of what there is.
            (Caller::Keep(chain), None) => Some(self.judge(chain, &known, &Sha256([0; 32]))),
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

    fn judge(
        &self,
        chain: &[rustls::pki_types::CertificateDer<'_>],
        known: &Known,
        digest: &Sha256,
    ) -> Verdict {
        self.keeps.judge(chain, known.policy.as_ref(), digest, self.clock.now())
    }
}
