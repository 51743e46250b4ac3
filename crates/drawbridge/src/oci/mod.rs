// SPDX-License-Identifier: Apache-2.0

//! OCI distribution 1.1 at `/v2/`, over the same store as the Drawbridge API (docs/FORMATS.md 2.11).
//!
//! | path below `/v2/{user}/{repo}` | methods | |
//! |---|---|---|
//! | `/blobs/{digest}` | GET HEAD DELETE | sha256; sha384 and sha512 if it was uploaded by that |
//! | `/blobs/uploads/` | POST | begins an upload, is one (`?digest=`), or mounts (`?mount=&from=`) |
//! | `/blobs/uploads/{id}` | GET PATCH PUT DELETE | |
//! | `/manifests/{tag or digest}` | GET HEAD PUT DELETE | |
//! | `/tags/list` | GET HEAD | `?n=&last=` |
//! | `/referrers/{digest}` | GET HEAD | `?artifactType=` |
//!
//! and `/v2/_catalog`, the repositories that the caller may see (`?n=&last=`).
//!
//! One tag, two protocols. A tag that is a semantic version stands for a Drawbridge tree, always: pushed by OCI, a manifest
//! becomes the tree over the same blobs; published by the Drawbridge API, the tree becomes a manifest when somebody first asks
//! for it, and stays that one. Other tags (`latest`) are manifests and nothing else. Neither is ever given a new meaning, but for
//! tags that are no versions and were deleted (see [`delete`]).
//!
//! ```text
//! oci-manifests/<user>/<repo>/<64 hex>.json           media type and length; the bytes are a blob
//! oci-tags/<user>/<repo>/<tag>.json                   the manifest, and for versions the tree that it is
//! oci-referrers/<user>/<repo>/<subject>/<64 hex>.json   the descriptor of a manifest with that subject
//! oci-deleted/<user>/<repo>/<64 hex>.json             content that was deleted: not to be had, though its bytes may be there
//! ```
//!
//! A record of a version counts if a tag of the Drawbridge API stands for just that tree: that tag decides, so that of two
//! that are published at once by both protocols one is there, and the same for all.

mod blobs;
mod convert;
mod delete;
mod error;
mod lists;
mod manifests;
pub(crate) mod records;
mod route;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawbridge_core::RepoRecord;
use serde_json::json;

use crate::auth::access::{Action, Caller, Denied};
use crate::query::Query;
use crate::service::asker::Asker;
use crate::service::documents::Condition;
use crate::service::known::Known;
use crate::service::refusal::Refusal;
use crate::service::{Registry, identify};
use crate::store::RepoName;
use error::Code;
pub use error::Refused;
pub(crate) use manifests::is_elsewhere;
pub use route::Route;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Answers what [`Route::is_here`] is about.
pub(crate) async fn handle(registry: Arc<Registry>, request: Request) -> Response {
    let mut response = match dispatch(registry, request).await {
        Ok(response) => response,
        Err(refused) => {
            tracing::debug!(?refused, "refused");
            refused.into_response()
        }
    };
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

async fn dispatch(registry: Arc<Registry>, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let route = Route::parse(parts.uri.path());
    let template = route.as_ref().map_or("/v2/", Route::template);
    if let Some(noted) = parts.extensions.get::<chassis::Route>() {
        noted.name(template);
    }
    let route = route?;
    let allowed = route.methods();
    if !allowed.split(", ").any(|one| one == parts.method.as_str()) {
        let refused = if parts.method == Method::DELETE {
            Refused::new(
                Code::Unsupported,
                "nothing of that kind is deleted; manifests, their tags and blobs are, where the owner allows it",
            )
        } else {
            Refused::new(Code::Unsupported, format!("this path takes {allowed}"))
        };
        return Err(refused.header(axum::http::header::ALLOW, allowed));
    }
    if route == Route::WellKnown {
        let registry = json!({
            "preferredProtocol": "oci",
            "oci": { "registry": registry.host },
        });
        return Ok(answer(StatusCode::OK, "application/json", registry.to_string()));
    }
    let token = credential(&parts.headers)?;
    let asker = identify(&registry, token.as_deref(), &parts.extensions).await?;
    if route == Route::Base {
        // Clients learn here how to say who they are. One that has nothing to say says so.
        if matches!(asker.caller, Caller::Anonymous) && !parts.headers.contains_key(AUTHORIZATION) {
            return Err(Refusal::from(Denied::Unauthenticated).into());
        }
        return Ok(answer(StatusCode::OK, "application/json", "{}".to_owned()));
    }
    let asked =
        Asking { registry, asker, query: Query::parse(parts.uri.query()), headers: parts.headers };
    let method = parts.method;
    match route {
        Route::Blob(repo, digest) if method == Method::DELETE => {
            asked.delete_blob(repo, digest).await
        }
        Route::Blob(repo, digest) => asked.blob(&method, repo, digest).await,
        Route::Uploads(repo) => asked.begin(repo, body).await,
        Route::Upload(repo, id) => asked.upload(&method, repo, &id, body).await,
        Route::Manifest(repo, reference) if method == Method::PUT => {
            asked.put_manifest(repo, &reference, body).await
        }
        Route::Manifest(repo, reference) if method == Method::DELETE => {
            asked.delete_manifest(repo, reference).await
        }
        Route::Manifest(repo, reference) => asked.manifest(&method, repo, reference).await,
        Route::Catalog => asked.catalog().await,
        Route::Tags(repo) => asked.tags(repo).await,
        Route::Referrers(repo, digest) => asked.referrers(repo, digest).await,
        Route::Base | Route::WellKnown => Err(Refused::new(Code::Unsupported, "nothing is here")),
    }
}

/// A request, but for its path and its content.
struct Asking {
    registry: Arc<Registry>,
    asker: Asker,
    query: Query,
    headers: HeaderMap,
}

impl Asking {
    fn param(&self, name: &str) -> Option<&str> {
        self.query.get(name)
    }

    /// Runs work on files where it may block.
    async fn block<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Registry, &Asker) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let (registry, asker) = (Arc::clone(&self.registry), self.asker.clone());
        let work = tokio::task::spawn_blocking(move || work(&registry, &asker));
        work.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the work on a request was ended");
            Err(Refused::new(Code::Internal, "the request was not finished"))
        })
    }

    async fn may_write(&self, repo: &RepoName) -> Result<(), Refused> {
        let repo = repo.clone();
        self.block(move |registry, asker| registry.may_push(asker, &repo)).await
    }
}

impl Registry {
    fn may_pull(&self, asker: &Asker, repo: &RepoName) -> Result<Known, Refused> {
        Ok(self.with_repo(asker, Action::ListTags, repo)?)
    }

    fn may_push(&self, asker: &Asker, repo: &RepoName) -> Result<(), Refused> {
        let mut known = self.known_repo(&asker.caller, repo)?;
        let mut may = self.permit(asker, &known, Action::WriteTag, repo, (false, None));
        let missing = |may: &Result<(), Refusal>| may.as_ref().is_err_and(|no| no.status() == 404);
        if self.create_on_push && missing(&may) && known.owner.is_some() && known.repo.is_none() {
            self.with_repo(asker, Action::CreateRepo, repo)?;
            let private = RepoRecord::default();
            // Whoever was first with another record has the repository.
            self.write_repo(asker, repo, private, &Condition::Absent)?;
            known = self.known_repo(&asker.caller, repo)?;
            may = self.permit(asker, &known, Action::WriteTag, repo, (false, None));
        }
        if missing(&may) && known.repo.is_none() {
            let what = format!("there is no repository {repo}; its owner registers it first");
            return Err(Refused::new(Code::NameUnknown, what));
        }
        Ok(may?)
    }
}

/// The token of a request: a bearer token, or the password of `Basic`. A password without a character is nobody's.
fn credential(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let bad = || Refused::from(Refusal::credentials());
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().map_err(|_| bad())?,
        (Some(_), Some(_)) => return Err(bad()),
    };
    let (scheme, value) = value.split_once(' ').ok_or_else(bad)?;
    if scheme.eq_ignore_ascii_case("bearer") && !value.is_empty() {
        return Ok(Some(value.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(bad());
    }
    let text = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(bad)?;
    match text.split_once(':') {
        Some(("", "")) => Ok(None),
        Some((_, password)) if !password.is_empty() => Ok(Some(password.to_owned())),
        _ => Err(bad()),
    }
}

fn answer(status: StatusCode, media_type: &str, body: String) -> Response {
    let mut response = (status, body).into_response();
    put(response.headers_mut(), CONTENT_TYPE, media_type);
    response
}

/// What goes into headers here was checked, and is visible ASCII.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_who_he_is() {
        let credential = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            credential(&headers).map_err(|_| ())
        };
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(credential(&[]), Ok(None));
        assert_eq!(credential(&["Bearer x.y"]), Ok(Some("x.y".into())));
        assert_eq!(credential(&[&basic("ann:x:y")]), Ok(Some("x:y".into())));
        assert_eq!(credential(&[&basic(":")]), Ok(None));
        for bad in [&basic("ann"), &basic("ann:"), "Basic !", "Basic", "Bearer ", "Digest x", ""] {
            assert_eq!(credential(&[bad]), Err(()), "{bad}");
        }
        assert_eq!(credential(&["Bearer x", "Bearer x"]), Err(()));
    }
}
