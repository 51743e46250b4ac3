// SPDX-License-Identifier: Apache-2.0

//! GET and HEAD.

use drawbridge_core::{API_VERSION, DeployInfo};
use types::{limits, slug};

use super::Registry;
use super::asker::Asker;
use super::content::{Content, Payload};
use super::documents::etag;
use super::find::Wanted;
use super::pages::{Page, Paging, next_link, switch};
use super::refusal::Refusal;
use super::yank::Versions;
use crate::auth::access::{Action, Denied};
use crate::auth::owner::OwnerRecord;
use crate::query::Query;
use crate::route::Route;
use crate::store::RepoName;

impl Registry {
    pub(super) fn read(
        &self,
        asker: &Asker,
        route: &Route,
        query: &Query,
    ) -> Result<Content, Refusal> {
        match route {
            Route::Health | Route::OpenApi | Route::Token(..) => Err(Denied::NotFound.into()),
            Route::Search => {
                let wanted = Wanted::search(query.get("q").unwrap_or_default())?;
                self.find_content(&asker.caller, &wanted, query)
            }
            Route::Repos(owner) => self.find_content(&asker.caller, &Wanted::of(owner), query),
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
                let known = self.with_repo(asker, Action::ListTags, name)?;
                let unsigned = !known.hides_unsigned(&asker.caller);
                let which = Versions { yanked: switch(query, "yanked")?, unsigned };
                self.list_tags(name, which, &Paging::read(query)?)
            }
            Route::Tag(name) => {
                let tag = self.with_tag(asker, Action::ReadTag, name)?;
                self.tag_content(name, tag)
            }
            Route::Deploy(name) => {
                let tag = self.with_tag(asker, Action::Discover, name)?;
                let statement = self.key.state(&self.host, name, &tag)?;
                let info = DeployInfo { digest: tag.digest(), statement, steward: tag.steward };
                Ok(Content::json(&info))
            }
            Route::Keys(name) => {
                self.with_owner(asker, Action::ReadKeys, name)?;
                self.read_keys(name)
            }
            Route::Signatures(name) => {
                let tag = self.with_tag(asker, Action::ReadTag, name)?;
                self.read_signatures(name, &tag)
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
                    next: None,
                    payload: Payload::Stored { repo: name.repo().clone(), blob },
                })
            }
        }
    }

    /// The versions of a repository in their order: all of them, as clients of old expect, or a page.
    fn list_tags(
        &self,
        name: &RepoName,
        which: Versions,
        paging: &Paging,
    ) -> Result<Content, Refusal> {
        let mut tags = self.versions(name, which)?;
        if !paging.asked() {
            return Ok(Content::json(&tags));
        }
        if let Some(after) = &paging.after {
            let after = slug::parse_tag(after).ok_or_else(|| {
                Refusal::bad("the parameter after is no semantic version", "query.after")
            })?;
            tags.retain(|tag| *tag > after);
        }
        let limit = paging.limit.unwrap_or(limits::LIST_PAGE);
        let page = Page::of(tags.into_iter(), limit, ToString::to_string);
        let mut content = Content::json(&page.items);
        content.next = page.next.map(|next| {
            let path = format!("/api/v{API_VERSION}/{name}/_tag");
            let limit = limit.to_string();
            let mut parameters = vec![("limit", limit.as_str()), ("after", next.as_str())];
            parameters.extend(which.yanked.then_some(("yanked", "true")));
            next_link(&path, &parameters)
        });
        Ok(content)
    }
}
