// SPDX-License-Identifier: Apache-2.0

//! Lists: repositories, tags, and manifests about a manifest.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use axum::http::header::LINK;
use axum::response::Response;
use drawbridge_core::oci::{Descriptor, INDEX};
use serde_json::json;
use types::limits;

use super::blobs::digest;
use super::error::{Code, Refused};
use super::records::{REFERRERS, TAGS};
use super::route::OciTag;
use super::{Asking, FILTERS, answer, put};
use crate::service::Registry;
use crate::service::find::Wanted;
use crate::service::pages::{Page, Paging, next_link};
use crate::service::yank::Versions;
use crate::store::RepoName;

impl Asking {
    /// What part of a list is asked for.
    fn paging(&self) -> Result<Paging, Refused> {
        let limit = self.param("n").map(str::parse).transpose();
        let limit = limit.map_err(|_| Refused::new(Code::Bad, "the parameter n is no number"))?;
        Ok(Paging { limit, after: self.param("last").map(str::to_owned) })
    }

    pub(super) async fn catalog(self) -> Result<Response, Refused> {
        let mut paging = self.paging()?;
        // Fewer than were asked for are allowed.
        paging.limit = paging.limit.map(|n| n.min(limits::LIST_PAGE_MAX));
        self.block(move |registry, asker| {
            let page = registry.find(&asker.caller, &Wanted::default(), &paging, false)?;
            let names: Vec<&str> = page.items.iter().map(|item| item.name.as_str()).collect();
            let body = json!({ "repositories": names });
            Ok(listed(body, "/v2/_catalog", &paging, page.next.as_deref(), &[]))
        })
        .await
    }

    pub(super) async fn tags(self, repo: RepoName) -> Result<Response, Refused> {
        let paging = self.paging()?;
        let yanked = self.param("yanked") == Some("true");
        self.block(move |registry, asker| {
            let known = registry.may_pull(asker, &repo)?;
            let unsigned = !known.hides_unsigned(&asker.caller);
            let mut tags = registry.tag_names(&repo, Versions { yanked, unsigned })?;
            if let Some(after) = &paging.after {
                tags = tags.split_off(after);
                tags.remove(after);
            }
            let limit = paging.limit.unwrap_or(usize::MAX);
            let mut failed = None;
            let there = tags.into_iter().filter(|tag| {
                let there = registry.is_tag(&repo, tag);
                there.unwrap_or_else(|error| {
                    failed.get_or_insert(error);
                    false
                })
            });
            let page = Page::of(there, limit, Clone::clone);
            if let Some(error) = failed {
                return Err(error);
            }
            let body = json!({ "name": repo.to_string(), "tags": page.items });
            let path = format!("/v2/{repo}/tags/list");
            let more: &[_] = if yanked { &[("yanked", "true")] } else { &[] };
            Ok(listed(body, &path, &paging, page.next.as_deref(), more))
        })
        .await
    }

    pub(super) async fn referrers(self, repo: RepoName, text: String) -> Result<Response, Refused> {
        let kind = self.param("artifactType").filter(|kind| !kind.is_empty()).map(str::to_owned);
        let after = self.param("last").map(str::to_owned);
        self.block(move |registry, asker| {
            registry.may_pull(asker, &repo)?;
            digest(&text)?;
            let (mut found, more) = registry.referrers_of(&repo, &text, after.as_deref())?;
            let last = found.last().map(|(hex, _)| hex.clone());
            if let Some(kind) = &kind {
                found.retain(|(_, about)| about.artifact_type.as_ref() == Some(kind));
            }
            let manifests: Vec<Descriptor> = found.into_iter().map(|(_, about)| about).collect();
            let body = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
            let mut response = answer(StatusCode::OK, INDEX, body.to_string());
            if kind.is_some() {
                put(response.headers_mut(), FILTERS, "artifactType");
            }
            if let Some(last) = last.filter(|_| more) {
                let mut parameters = vec![("last", last.as_str())];
                parameters.extend(kind.as_deref().map(|kind| ("artifactType", kind)));
                let link = next_link(&format!("/v2/{repo}/referrers/{text}"), &parameters);
                put(response.headers_mut(), LINK, &link);
            }
            Ok(response)
        })
        .await
    }
}

/// A page, and the link to the next one.
fn listed(
    body: serde_json::Value,
    path: &str,
    paging: &Paging,
    next: Option<&str>,
    more: &[(&str, &str)],
) -> Response {
    let mut response = answer(StatusCode::OK, "application/json", body.to_string());
    if let Some(next) = next {
        let limit = paging.limit.unwrap_or(limits::LIST_PAGE).to_string();
        let parameters = [&[("n", limit.as_str()), ("last", next)], more].concat();
        let link = next_link(path, &parameters);
        put(response.headers_mut(), LINK, &link);
    }
    response
}

impl Registry {
    /// Versions from the Drawbridge API's tags, the others from this protocol's.
    fn tag_names(&self, repo: &RepoName, which: Versions) -> Result<BTreeSet<String>, Refused> {
        let versions = self.versions(repo, which)?;
        let mut tags: BTreeSet<String> =
            versions.iter().map(|version| OciTag::write(&version.to_string())).collect();
        for name in self.store.table(&TAGS).list(&repo.parts(), None, usize::MAX)? {
            let plain =
                |tag: &String| OciTag::new(repo, tag).is_some_and(|tag| tag.version.is_none());
            tags.extend(name.into_iter().next_back().filter(plain));
        }
        Ok(tags)
    }

    /// Whether a name of the list is a version, or a tag that was not deleted.
    fn is_tag(&self, repo: &RepoName, tag: &str) -> Result<bool, Refused> {
        match OciTag::new(repo, tag) {
            Some(tag) if tag.version.is_none() => {
                let record = self.store.table(&TAGS).value(&tag.parts())?;
                Ok(record.is_some_and(|record| !record.deleted))
            }
            _ => Ok(true),
        }
    }

    /// A page of the manifests about one, by the digits of their digests, and whether there are more.
    fn referrers_of(
        &self,
        repo: &RepoName,
        digest: &str,
        after: Option<&str>,
    ) -> Result<(Vec<(String, Descriptor)>, bool), Refused> {
        let [user, name] = repo.parts();
        let of = digest.replace(':', "-");
        let table = self.store.table(&REFERRERS);
        let after = after.map(|after| [user, name, &of, after]);
        let page = limits::OCI_REFERRERS_PAGE;
        let names =
            table.list(&[user, name, &of], after.as_ref().map(|a| a.as_slice()), page + 1)?;
        let more = names.len() > page;
        let mut found = Vec::new();
        for mut parts in names.into_iter().take(page) {
            let hex = parts.pop().unwrap_or_default();
            if let Some(about) = table.value(&[user, name, &of, &hex])? {
                found.push((hex, about));
            }
        }
        Ok((found, more))
    }
}
