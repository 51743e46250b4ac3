// SPDX-License-Identifier: Apache-2.0

//! The Drawbridge API over HTTP.
//!
//! | path below `/api/v0.1.0` | methods | content |
//! |---|---|---|
//! | `/_search` | HEAD GET | JSON array of repositories (`?q=&limit=&after=`) |
//! | `/{user}/_repos` | HEAD GET | the same, of one owner (`?limit=&after=`) |
//! | `/{user}` | HEAD GET PUT | `{"subject":"…"}` |
//! | `/{user}/{repo}` | HEAD GET PUT | `{"public":bool}`, optionally `"discoverable":true` |
//! | `/{user}/_org` | HEAD GET PUT | an organisation's members and teams |
//! | `/{user}/_publishers`, `/{user}/{repo}/_publishers` | HEAD GET PUT | rules for machines |
//! | `/{user}/_keys` | HEAD GET PUT | keys that sign versions |
//! | `/{user}/_token` | HEAD GET POST | the registry's own tokens |
//! | `/{user}/_token/{id}` | DELETE | |
//! | `/{user}/{repo}/_access` | HEAD GET PUT | rights in a repository |
//! | `/{user}/{repo}/_policy` | HEAD GET PUT | the release policy, TOML |
//! | `/{user}/{repo}/_policy/{version}`, `/{user}/{repo}/_policies` | HEAD GET | its history |
//! | `/{user}/{repo}/_tag` | HEAD GET | JSON array of tags (`?limit=&after=`); `?yanked=true`: also those that are yanked |
//! | `/{user}/{repo}/_tag/{tag}` | HEAD GET PUT | entry of the root |
//! | `/{user}/{repo}/_tag/{tag}/tree[/{path}]` | HEAD GET PUT | directory or file |
//! | `/{user}/{repo}/_tag/{tag}/_deploy` | HEAD GET | what a Keep may know before it is attested |
//! | `/{user}/{repo}/_tag/{tag}/_signatures` | HEAD GET POST | owners' signatures on a version |
//! | `/{user}/{repo}/_tag/{tag}/_yank` | HEAD GET PUT DELETE | why a version is taken back |
//!
//! PUT answers 201 if the content is new, 200 if just that was there, 409 if something else was; documents that may change take
//! the place of the one that `If-Match` names, or 412. A tag is to be seen from
//! the moment when its whole tree has arrived.

pub(crate) mod asker;
pub(crate) mod body;
pub(crate) mod conditions;
pub(crate) mod content;
pub(crate) mod documents;
pub(crate) mod find;
pub(crate) mod known;
pub(crate) mod pages;
pub(crate) mod policies;
mod read;
pub(crate) mod refusal;
pub(crate) mod signatures;
pub(crate) mod tokens;
mod write;
pub(crate) mod yank;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, HeaderMap, Method};
use axum::response::{IntoResponse as _, Response};
use chassis::clock::Clock;
use chassis::{PeerAddr, PeerCertificates, RequestId};
use drawbridge_core::media;

use crate::audit::Audit;
use crate::auth::access::Caller;
use crate::auth::issuer::{AuthError, Bearer, Issuers};
use crate::auth::keeps::Keeps;
use crate::auth::token::{self, OwnToken};
use crate::key::RegistryKey;
use crate::oci;
use crate::openapi;
use crate::query::Query;
use crate::route::Route;
use crate::store::Store;
use crate::web;
use asker::Asker;
use conditions::Conditions;
use content::Content;
use refusal::Refusal;

/// A registry: its store, its key, and whom it knows.
#[derive(Debug)]
pub struct Registry {
    /// Where everything is.
    pub store: Store,
    /// What signs tag statements.
    pub key: RegistryKey,
    /// The public host name, with its port where it has one, under which tags are stated.
    pub host: String,
    /// Who issues tokens.
    pub issuers: Issuers,
    /// Whether owners who push by OCI to a repository that is not there get a private one.
    pub create_on_push: bool,
    /// Whether there are web pages.
    pub web: bool,
    /// Which Keeps get private workloads.
    pub keeps: Keeps,
    /// What is written down of it.
    pub audit: Audit,
    /// Where the time comes from.
    pub clock: Clock,
}

/// The registry as a service.
pub fn router(registry: Arc<Registry>) -> Router {
    Router::new().fallback(handle).with_state(registry)
}

async fn handle(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    if registry.web && web::is_here(request.uri().path()) {
        return web::handle(registry, request).await;
    }
    if oci::Route::is_here(request.uri().path()) {
        return oci::handle(registry, request).await;
    }
    match dispatch(registry, request).await {
        Ok(response) => response,
        Err(refusal) => {
            tracing::debug!(status = refusal.status(), ?refusal, "refused");
            refusal.into_response()
        }
    }
}

async fn dispatch(registry: Arc<Registry>, request: Request) -> Result<Response, Refusal> {
    let route = Route::parse(request.uri().path())?;
    if let Some(noted) = request.extensions().get::<chassis::Route>() {
        noted.name(route.template());
    }
    let method = request.method().clone();
    let allowed = route.methods();
    if !allowed.split(", ").any(|one| one == method.as_str()) {
        return Err(Refusal::method(allowed));
    }
    if route == Route::Health {
        return Ok(().into_response());
    }
    let (parts, body) = request.into_parts();
    if route == Route::OpenApi {
        let asked = Conditions::read(&method, &parts.headers);
        let document = Content::new(media::JSON, openapi::text().into_bytes());
        return block(registry, move |registry| document.answer(&registry.store, &asked)).await;
    }
    let asker = identify(&registry, bearer(&parts.headers)?, &parts.extensions).await?;
    match (&method, route.clone()) {
        (&Method::PUT, route) => {
            return write::put(registry, asker, route, &parts.headers, body).await;
        }
        (&Method::POST, Route::Tokens(owner)) => {
            return write::post_token(registry, asker, owner, &parts.headers, body).await;
        }
        (&Method::POST, Route::Signatures(name)) => {
            return write::post_signature(registry, asker, name, &parts.headers, body).await;
        }
        (&Method::DELETE, Route::Token(owner, id)) => {
            return write::delete_token(registry, asker, owner, id).await;
        }
        (&Method::DELETE, Route::Yank(name)) => {
            return write::delete_yank(registry, asker, name, &parts.headers).await;
        }
        _ => {}
    }
    let asked = Conditions::read(&method, &parts.headers);
    let query = Query::parse(parts.uri.query());
    let answer = move |registry: &Registry| {
        let mut answer = registry.read(&asker, &route, &query)?.answer(&registry.store, &asked)?;
        if let Route::Tag(name) = &route {
            registry.note_yank(name, answer.headers_mut())?;
        }
        Ok(answer)
    };
    block(registry, answer).await
}

/// Who asks, and from where.
pub(crate) async fn identify(
    registry: &Arc<Registry>,
    token: Option<&str>,
    extensions: &Extensions,
) -> Result<Asker, Refusal> {
    Ok(Asker {
        caller: caller(registry, token, extensions).await?,
        address: extensions.get::<PeerAddr>().map(|peer| peer.0),
        request_id: extensions.get::<RequestId>().map(ToString::to_string),
    })
}

/// A token counts before a certificate.
async fn caller(
    registry: &Arc<Registry>,
    token: Option<&str>,
    extensions: &Extensions,
) -> Result<Caller, Refusal> {
    if let Some(token) = token {
        if token.starts_with(token::PREFIX) {
            let token = OwnToken::parse(token).map_err(AuthError::Token)?;
            let grant = block(Arc::clone(registry), move |r| r.own_token(&token)).await?;
            return Ok(Caller::Token(grant));
        }
        let bearer = registry.issuers.authenticate(token, registry.clock.now()).await;
        let bearer = bearer.inspect_err(|error| {
            // The error names the check, never the token.
            tracing::info!(%error, "a token was refused");
        })?;
        return Ok(match bearer {
            Bearer::Person(person) => Caller::Person(person),
            Bearer::Machine(machine) => Caller::Machine(machine),
        });
    }
    match extensions.get::<PeerCertificates>() {
        Some(PeerCertificates(chain)) if !chain.is_empty() => Ok(Caller::Keep(Arc::clone(chain))),
        _ => Ok(Caller::Anonymous),
    }
}

/// The bearer token of a request, if there is one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().map_err(|_| Refusal::credentials())?,
        (Some(_), Some(_)) => return Err(Refusal::credentials()),
    };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => {
            Ok(Some(token))
        }
        _ => Err(Refusal::credentials()),
    }
}

/// Runs work on files where it may block.
pub(crate) async fn block<T: Send + 'static>(
    registry: Arc<Registry>,
    work: impl FnOnce(&Registry) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(move || work(&registry)).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "the work on a request was ended");
            Err(Refusal::new(500, "Internal error", "the request was not finished", "internal"))
        }
    }
}
