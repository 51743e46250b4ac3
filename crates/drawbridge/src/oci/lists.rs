// SPDX-License-Identifier: Apache-2.0

//! Lists: tags, and manifests about a manifest.

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
use crate::store::RepoName;

impl Asking {
    pub(super) async fn tags(self, repo: RepoName) -> Result<Response, Refused> {
        let count = match self.param("n").map(str::parse::<usize>) {
            None => usize::MAX,
            Some(Ok(count)) => count,
            Some(Err(_)) => return Err(Refused::new(Code::Bad, "the parameter n is no number")),
        };
        let after = self.param("last").map(str::to_owned);
        let yanked = self.param("yanked") == Some("true");
        self.block(move |registry, asker| {
            registry.may_pull(asker, &repo)?;
            let mut tags = registry.tag_names(&repo, yanked)?;
            if let Some(after) = after {
                tags = tags.split_off(&after);
                tags.remove(&after);
            }
            let more = tags.len() > count;
            let tags: Vec<String> = tags.into_iter().take(count).collect();
            let body = json!({ "name": repo.to_string(), "tags": tags });
            let mut response = answer(StatusCode::OK, "application/json", body.to_string());
            if let Some(last) = tags.last().filter(|_| more) {
                let more = if yanked { "&yanked=true" } else { "" };
                let link =
                    format!("</v2/{repo}/tags/list?n={count}&last={last}{more}>; rel=\"next\"");
                put(response.headers_mut(), LINK, &link);
            }
            Ok(response)
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
                let filter = kind.map(|kind| format!("&artifactType={}", encode(&kind)));
                let filter = filter.unwrap_or_default();
                let link =
                    format!("</v2/{repo}/referrers/{text}?last={last}{filter}>; rel=\"next\"");
                put(response.headers_mut(), LINK, &link);
            }
            Ok(response)
        })
        .await
    }
}

/// Text as a value in a query.
fn encode(text: &str) -> String {
    let byte = |b: u8| match b {
        b if b.is_ascii_alphanumeric() || b"-._/".contains(&b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

impl Registry {
    /// Versions from the Drawbridge API's tags, the others from this protocol's.
    fn tag_names(&self, repo: &RepoName, yanked: bool) -> Result<BTreeSet<String>, Refused> {
        let mut versions = self.store.tags(repo)?;
        if !yanked {
            let yanked = self.yanked(repo)?;
            versions.retain(|version| !yanked.contains(&version.to_string()));
        }
        let mut tags: BTreeSet<String> =
            versions.iter().map(|version| OciTag::write(&version.to_string())).collect();
        for name in self.store.table(&TAGS).list(&repo.parts(), None, usize::MAX)? {
            let plain =
                |tag: &String| OciTag::new(repo, tag).is_some_and(|tag| tag.version.is_none());
            tags.extend(name.into_iter().next_back().filter(plain));
        }
        Ok(tags)
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
