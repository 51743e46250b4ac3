// SPDX-License-Identifier: Apache-2.0

//! GET and HEAD.

use drawbridge_core::{DeployInfo, RepoRecord, TagRecord, UserRecord, media};

use super::Registry;
use super::content::{Content, Payload};
use super::refusal::Refusal;
use crate::auth::access::{Caller, Denied, Granted, Topic, Verb};
use crate::route::Route;
use crate::store::{RepoName, Tag, TagName};

/// What is known of a repository before it is decided whether the caller may know it.
struct Known {
    user: Option<UserRecord>,
    repo: Option<RepoRecord>,
}

impl Registry {
    pub(super) fn read(&self, caller: &Caller, route: &Route) -> Result<Content, Refusal> {
        match route {
            Route::Health => Err(Denied::NotFound.into()),
            Route::User(name) => {
                let user = self.store.user(name)?;
                caller.owner(Verb::Read, Topic::Users, user.as_ref())?;
                Ok(Content::json(&user.ok_or(Denied::NoUser)?))
            }
            Route::Repo(name) => {
                let known = self.known(name)?;
                caller.owner(Verb::Read, Topic::Repositories, known.user.as_ref())?;
                Ok(Content::json(&known.repo.ok_or(Denied::NotFound)?))
            }
            Route::Tags(name) => {
                let known = self.known(name)?;
                caller.list(known.user.as_ref(), known.repo.as_ref())?;
                Ok(Content::json(&self.store.tags(name)?))
            }
            Route::Tag(name) => {
                let tag = self.readable(caller, name, Caller::read)?;
                Ok(Content::new(media::ENTRY, TagRecord(tag.entry).to_bytes()))
            }
            Route::Deploy(name) => {
                let tag = self.readable(caller, name, Caller::discover)?;
                let statement = self.key.state(&self.host, name, &tag)?;
                let info = DeployInfo { digest: tag.digest(), statement, steward: tag.steward };
                Ok(Content::json(&info))
            }
            Route::Node(name, path) => {
                let tag = self.readable(caller, name, Caller::read)?;
                let node = self.store.node(name.repo(), &tag, path)?;
                let (entry, blob) = node.ok_or(Denied::NotFound)?;
                Ok(Content {
                    media_type: entry.media_type,
                    digest: entry.digest,
                    payload: Payload::Blob(blob),
                })
            }
        }
    }

    fn known(&self, repo: &RepoName) -> Result<Known, Refusal> {
        Ok(Known { user: self.store.user(repo.user())?, repo: self.store.repo(repo)? })
    }

    /// A tag that the caller may read by this rule. What a Keep gets or does not get is logged.
    fn readable(
        &self,
        caller: &Caller,
        name: &TagName,
        rule: impl Fn(
            &Caller,
            Option<&UserRecord>,
            Option<&RepoRecord>,
            Option<&types::digest::Sha256>,
        ) -> Result<Granted, Denied>,
    ) -> Result<Tag, Refusal> {
        let known = self.known(name.repo())?;
        // A tag without its repository is nothing.
        let tag = if known.repo.is_some() { self.store.tag(name)? } else { None };
        let digest = tag.as_ref().map(Tag::digest);
        match rule(caller, known.user.as_ref(), known.repo.as_ref(), digest.as_ref()) {
            Ok(Granted::Released(keep)) => {
                tracing::info!(target: "drawbridge::release", workload = %name, keep, "released to a Keep");
            }
            Ok(Granted::Public | Granted::Owner) => {}
            Err(denied) => {
                if let Denied::NotReleased(reason) = &denied {
                    tracing::warn!(target: "drawbridge::release", workload = %name, reason, "not released to a Keep");
                }
                return Err(denied.into());
            }
        }
        tag.ok_or_else(|| Denied::NotFound.into())
    }
}
