// SPDX-License-Identifier: Apache-2.0

//! PUT, POST and DELETE.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use drawbridge_core::rights::OrgDocument;
use drawbridge_core::{Entry, Hasher, RepoRecord, TagRecord, UserRecord, media};
use serde::de::DeserializeOwned;
use types::limits;

use super::asker::Asker;
use super::body::{collect, stage};
use super::conditions::Conditions;
use super::content::{Content, Declared};
use super::documents::{Condition, Written};
use super::refusal::Refusal;
use super::{Registry, block};
use crate::auth::access::{Action, Caller, Denied};
use crate::auth::token::TokenId;
use crate::route::Route;
use crate::store::{Expected, Kept, Put, RepoName, TagName, Upload, UserName};

/// Longest subject of a user, in bytes.
const SUBJECT_BYTES_MAX: usize = 1024;

pub(super) async fn put(
    registry: Arc<Registry>,
    asker: Asker,
    route: Route,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    if let Route::Node(tag, path) = route {
        let declared = Declared::read(headers, limits::FILE_BYTES_MAX as u64)?;
        let entry = {
            let tag = tag.clone();
            let check = move |r: &Registry| r.may_upload(&asker, &tag, &path, &declared);
            block(Arc::clone(&registry), check).await?
        };
        return status(upload(registry, tag, entry, body).await?);
    }
    let max = match route {
        Route::Policy(..) => limits::RELEASE_POLICY_BYTES_MAX,
        _ => limits::JSON_BYTES_MAX,
    };
    let declared = Declared::read(headers, max as u64)?;
    let condition = Condition::read(headers)?;
    let early = {
        let (asker, route, condition) = (asker.clone(), route.clone(), condition.clone());
        move |r: &Registry| r.may_write(&asker, &route, &condition)
    };
    block(Arc::clone(&registry), early).await?;
    let bytes = collect(body, declared.length).await?;
    declared.verify(&bytes)?;
    let write = move |r: &Registry| r.write(&asker, &route, &declared, &condition, &bytes);
    let (put, etag) = block(registry, write).await?;
    let mut response = status(put)?;
    if let Some(value) = etag.and_then(|tag| HeaderValue::try_from(format!("\"{tag}\"")).ok()) {
        response.headers_mut().insert(ETAG, value);
    }
    Ok(response)
}

/// A new token of the registry's own.
pub(super) async fn post_token(
    registry: Arc<Registry>,
    asker: Asker,
    owner: UserName,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let declared = Declared::read(headers, limits::JSON_BYTES_MAX as u64)?;
    let early = {
        let (asker, owner) = (asker.clone(), owner.clone());
        move |r: &Registry| r.with_owner(&asker, Action::ChangeTokens, &owner)
    };
    let known = block(Arc::clone(&registry), early).await?;
    let bytes = collect(body, declared.length).await?;
    declared.verify(&bytes)?;
    let request = json(&declared, &bytes)?;
    let create = move |r: &Registry| r.create_token(&asker, &owner, known.owner.as_ref(), request);
    let created = block(Arc::clone(&registry), create).await?;
    let mut response = Content::json(&created).answer(&registry.store, &Conditions::default())?;
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A signature on a version.
pub(super) async fn post_signature(
    registry: Arc<Registry>,
    asker: Asker,
    name: TagName,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let declared = Declared::read(headers, limits::SIGNATURE_BYTES_MAX as u64)?;
    declared.of_type(media::JOSE_COMPACT)?;
    let early = {
        let (asker, repo) = (asker.clone(), name.repo().clone());
        move |r: &Registry| r.with_repo(&asker, Action::Sign, &repo).map(drop)
    };
    block(Arc::clone(&registry), early).await?;
    let bytes = collect(body, declared.length).await?;
    declared.verify(&bytes)?;
    status(block(registry, move |r: &Registry| r.add_signature(&asker, &name, &bytes)).await?)
}

/// The end of a yank.
pub(super) async fn delete_yank(
    registry: Arc<Registry>,
    asker: Asker,
    name: TagName,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let condition = Condition::read(headers)?;
    block(registry, move |r: &Registry| r.delete_yank(&asker, &name, &condition)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The end of a token of the registry's own.
pub(super) async fn delete_token(
    registry: Arc<Registry>,
    asker: Asker,
    owner: UserName,
    id: TokenId,
) -> Result<Response, Refusal> {
    let revoke = move |r: &Registry| {
        r.with_owner(&asker, Action::ChangeTokens, &owner)?;
        r.revoke_token(&asker, &owner, &id)
    };
    block(registry, revoke).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn status(put: Put) -> Result<Response, Refusal> {
    match put {
        Put::Created => Ok(StatusCode::CREATED.into_response()),
        Put::Same => Ok(StatusCode::OK.into_response()),
        Put::Conflict => Err(taken()),
    }
}

fn taken() -> Refusal {
    Refusal::conflict("the name stands for something else")
}

impl Registry {
    /// Whether this caller may write here at all; asked before anything is read.
    fn may_write(
        &self,
        asker: &Asker,
        route: &Route,
        condition: &Condition,
    ) -> Result<(), Refusal> {
        match route {
            Route::User(name) => self.with_owner(asker, Action::Register, name).map(drop),
            Route::Org(name) => {
                let action = match self.store.user(name)? {
                    None => Action::Register,
                    Some(_) => Action::ChangeOwner,
                };
                self.with_owner(asker, action, name).map(drop)
            }
            Route::OwnerPublishers(name) => {
                self.with_owner(asker, Action::ChangePublishers, name).map(drop)
            }
            Route::Keys(name) => self.with_owner(asker, Action::ChangeKeys, name).map(drop),
            Route::Repo(name) if matches!(condition, Condition::Is(_)) => {
                self.with_repo(asker, Action::ChangeRepo, name).map(drop)
            }
            Route::Repo(name) => self.with_repo(asker, Action::CreateRepo, name).map(drop),
            Route::Access(name) | Route::Publishers(name) => {
                self.with_repo(asker, Action::ChangeRights, name).map(drop)
            }
            Route::Policy(name, None) => self.with_repo(asker, Action::ChangeRepo, name).map(drop),
            Route::Tag(name) => self.may_publish(asker, name.repo()),
            Route::Yank(name) => self.may_yank(asker, name),
            // Not writable, or an upload, which is asked for elsewhere.
            Route::Health
            | Route::Tags(_)
            | Route::Deploy(_)
            | Route::Node(..)
            | Route::Signatures(_)
            | Route::Tokens(_)
            | Route::Token(..)
            | Route::Policies(_)
            | Route::Policy(_, Some(_))
            | Route::OpenApi
            | Route::Search
            | Route::Repos(_) => Err(Denied::NotFound.into()),
        }
    }

    fn write(
        &self,
        asker: &Asker,
        route: &Route,
        declared: &Declared,
        condition: &Condition,
        bytes: &[u8],
    ) -> Result<Written, Refusal> {
        match route {
            Route::User(name) => {
                let record: UserRecord = json(declared, bytes)?;
                self.with_owner(asker, Action::Register, name)?;
                let Caller::Person(person) = &asker.caller else {
                    return Err(Denied::PeopleOnly.into());
                };
                if record.subject != person.subject {
                    let detail = "the record's subject is not that of the token";
                    return Err(Refusal::new(403, "Not allowed", detail, "owner"));
                }
                if record.subject.len() > SUBJECT_BYTES_MAX {
                    return Err(Refusal::bad("the subject is longer than 1024 bytes", "record"));
                }
                let put = self.audited(asker, Action::Register, name, None, || {
                    match self.store.put_user(name, &record)? {
                        Put::Conflict => Err(taken()),
                        put => Ok(put),
                    }
                })?;
                if put == Put::Created {
                    tracing::info!(user = %name, "registered a user");
                }
                Ok((put, None))
            }
            Route::Org(name) => {
                let document: OrgDocument = json(declared, bytes)?;
                self.write_org(asker, name, document, condition)
            }
            Route::Keys(name) => self.write_keys(asker, name, &json(declared, bytes)?, condition),
            Route::OwnerPublishers(name) => {
                self.write_publishers(asker, name, None, &json(declared, bytes)?, condition)
            }
            Route::Repo(name) => {
                let record: RepoRecord = json(declared, bytes)?;
                let written = self.write_repo(asker, name, record, condition)?;
                if written.0 == Put::Created {
                    tracing::info!(repo = %name, public = record.public, "registered a repository");
                }
                Ok(written)
            }
            Route::Access(name) => {
                self.write_access(asker, name, json(declared, bytes)?, condition)
            }
            Route::Publishers(name) => self.write_publishers(
                asker,
                name.user(),
                Some(name),
                &json(declared, bytes)?,
                condition,
            ),
            Route::Policy(name, None) => {
                declared.of_type(media::TOML)?;
                self.write_policy(asker, name, bytes, condition)
            }
            Route::Tag(name) => {
                declared.digest()?;
                if declared.media_type == media::JOSE {
                    return match self.write_jose(asker, name, bytes)? {
                        Put::Conflict => Err(taken()),
                        put => Ok((put, None)),
                    };
                }
                declared.of_type(media::ENTRY)?;
                let record = TagRecord::from_bytes(bytes)
                    .map_err(|e| Refusal::bad(e.to_string(), "tag.form"))?;
                let detail = Some(format!("digest {}", record.0.digest.sha256()));
                self.audited(asker, Action::WriteTag, name, detail, || {
                    match self.store.put_tag(name, &record, self.clock.now())? {
                        Put::Conflict => Err(taken()),
                        put => Ok((put, None)),
                    }
                })
            }
            Route::Yank(name) => self.write_yank(asker, name, &json(declared, bytes)?, condition),
            Route::Health
            | Route::Tags(_)
            | Route::Deploy(_)
            | Route::Node(..)
            | Route::Signatures(_)
            | Route::Tokens(_)
            | Route::Token(..)
            | Route::Policies(_)
            | Route::Policy(_, Some(_))
            | Route::OpenApi
            | Route::Search
            | Route::Repos(_) => Err(Denied::NotFound.into()),
        }
    }

    /// Whether this caller may upload what the headers say to this path; what its parent says of it.
    fn may_upload(
        &self,
        asker: &Asker,
        tag: &TagName,
        path: &[String],
        declared: &Declared,
    ) -> Result<Entry, Refusal> {
        self.may_publish(asker, tag.repo())?;
        let digest = declared.digest()?;
        let (entry, complete) = match self.store.expected(tag, path)? {
            Expected::Entry { entry, complete } => (*entry, complete),
            Expected::NoTag => {
                return Err(Refusal::not_found("the tag does not exist; upload its entry first"));
            }
            Expected::NoParent => {
                let detail = "the directory above does not exist; upload it first";
                return Err(Refusal::not_found(detail));
            }
            Expected::NotNamed => {
                let detail = "the directory above does not name this";
                return Err(Refusal::bad(detail, "tree.parent"));
            }
        };
        let same = declared.length == entry.length
            && declared.media_type == entry.media_type
            && digest.agrees_with(&entry.digest);
        match (same, complete) {
            (true, _) => Ok(entry),
            (false, true) => Err(Refusal::conflict("the tag stands for another tree")),
            (false, false) => {
                let detail = "length, type or digest are not what the directory above says";
                Err(Refusal::bad(detail, "tree.parent"))
            }
        }
    }

    fn may_publish(&self, asker: &Asker, repo: &RepoName) -> Result<(), Refusal> {
        let known = self.known_repo(&asker.caller, repo)?;
        let permitted = self.permit(asker, &known, Action::WriteTag, repo, (false, None));
        permitted.map_err(|refusal| match (refusal.status(), &known.repo, &known.owner) {
            (404, None, Some(_)) => {
                Refusal::not_found("there is no such repository; register it first")
            }
            _ => refusal,
        })
    }
}

fn json<T: DeserializeOwned>(declared: &Declared, bytes: &[u8]) -> Result<T, Refusal> {
    declared.of_type(media::JSON)?;
    serde_json::from_slice(bytes)
        .map_err(|e| Refusal::bad(format!("the record is not as documented: {e}"), "record"))
}

/// Streams a body to the disk. Memory does not grow with its size.
async fn upload(
    registry: Arc<Registry>,
    tag: TagName,
    entry: Entry,
    body: Body,
) -> Result<Put, Refusal> {
    let (upload, _) = stage(&registry, body, entry.length, Hasher::new()).await?;
    block(registry, move |r| keep(r, &tag, &entry, upload)).await
}

fn keep(registry: &Registry, tag: &TagName, entry: &Entry, upload: Upload) -> Result<Put, Refusal> {
    match registry.store.put_node(tag, entry, upload, registry.clock.now())? {
        Kept::Put(put) => Ok(put),
        Kept::Mismatch => {
            Err(Refusal::bad("the content does not hash to its digest", "content.digest"))
        }
        Kept::NoDirectory(why) => Err(Refusal::bad(why, "tree.directory")),
        Kept::TooLarge(what) => Err(Refusal::too_large(what)),
    }
}
