// SPDX-License-Identifier: Apache-2.0

//! GET and HEAD.

use drawbridge_core::{DeployInfo, TagRecord, media};

use super::Registry;
use super::asker::Asker;
use super::content::{Content, Payload};
use super::documents::etag;
use super::query::Query;
use super::refusal::Refusal;
use crate::auth::access::{Action, Denied};
use crate::auth::owner::OwnerRecord;
use crate::route::Route;

impl Registry {
    pub(super) fn read(
        &self,
        asker: &Asker,
        route: &Route,
        query: &Query,
    ) -> Result<Content, Refusal> {
        match route {
            Route::Health | Route::Token(..) => Err(Denied::NotFound.into()),
            Route::User(name) => match self.with_owner(asker, Action::ReadOwner, name)?.owner {
                Some(OwnerRecord::User(user)) => Ok(Content::json(&user)),
                Some(OwnerRecord::Organisation(_)) | None => Err(Denied::NotFound.into()),
            },
            Route::Repo(name) => {
                let known = self.with_repo(asker, Action::ReadRepo, name)?;
                let record = known.repo.ok_or(Denied::NotFound)?;
                Ok(Content::json(&record).tagged(etag(&record)))
            }
            Route::Org(name) => {
                self.read_org(self.with_owner(asker, Action::ReadOwner, name)?.owner)
            }
            Route::OwnerPublishers(name) => {
                self.with_owner(asker, Action::ReadPublishers, name)?;
                self.read_publishers(name, None)
            }
            Route::Tokens(name) => {
                self.with_owner(asker, Action::ReadTokens, name)?;
                self.list_tokens(name)
            }
            Route::Access(name) => {
                self.with_repo(asker, Action::ReadRights, name)?;
                self.read_access(name)
            }
            Route::Publishers(name) => {
                self.with_repo(asker, Action::ReadRights, name)?;
                self.read_publishers(name.user(), Some(name))
            }
            Route::Policies(name) => {
                self.with_repo(asker, Action::ReadRepo, name)?;
                self.read_policies(name)
            }
            Route::Policy(name, version) => {
                self.with_repo(asker, Action::ReadRepo, name)?;
                self.read_policy(name, *version)
            }
            Route::Tags(name) => {
                self.with_repo(asker, Action::ListTags, name)?;
                let mut tags = self.store.tags(name)?;
                if !query.is_set("yanked")? {
                    let yanked = self.yanked(name)?;
                    tags.retain(|tag| !yanked.contains(&tag.to_string()));
                }
                Ok(Content::json(&tags))
            }
            Route::Tag(name) => {
                let tag = self.with_tag(asker, Action::ReadTag, name)?;
                Ok(Content::new(media::ENTRY, TagRecord(tag.entry).to_bytes()))
            }
            Route::Deploy(name) => {
                let tag = self.with_tag(asker, Action::Discover, name)?;
                let statement = self.key.state(&self.host, name, &tag)?;
                let info = DeployInfo { digest: tag.digest(), statement, steward: tag.steward };
                Ok(Content::json(&info))
            }
            Route::Yank(name) => {
                self.with_tag(asker, Action::ReadTag, name)?;
                self.read_yank(name)
            }
            Route::Node(name, path) => {
                let tag = self.with_tag(asker, Action::ReadTag, name)?;
                let entry = self.store.node_entry(name.repo(), &tag, path)?;
                let entry = entry.ok_or(Denied::NotFound)?;
                let blob = (entry.digest.sha256(), entry.length);
                Ok(Content {
                    media_type: entry.media_type,
                    digest: entry.digest,
                    etag: None,
                    payload: Payload::Stored { repo: name.repo().clone(), blob },
                })
            }
        }
    }
}
