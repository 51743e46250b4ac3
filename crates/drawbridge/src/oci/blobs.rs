// SPDX-License-Identifier: Apache-2.0

//! Blobs, and how they come.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_RANGE, LOCATION, RANGE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use drawbridge_core::{ContentDigest, Hasher, media};
use types::limits;

use super::error::{Code, Refused};
use super::{Asking, CONTENT_DIGEST, UPLOAD_UUID, put};

use crate::auth::access::Caller;
use crate::service::Registry;
use crate::service::asker::Asker;
use crate::service::body::{BodyError, stage};
use crate::service::conditions::Conditions;
use crate::service::content::{Content, Payload};
use crate::store::{Appended, BlobDigest, Finished, RepoName, Upload, UploadId, UserName};

pub(super) fn digest(text: &str) -> Result<BlobDigest, Refused> {
    BlobDigest::parse(text).ok_or_else(|| {
        Refused::new(
            Code::DigestInvalid,
            "a digest is written sha256:<64 hex>, sha384:<96 hex> or sha512:<128 hex>",
        )
    })
}

fn unknown_upload() -> Refused {
    Refused::new(Code::UploadUnknown, "there is no such upload; it ended, or is a day old")
}

/// Why a body was not taken, with the words for one that is too long.
pub(super) fn untaken(error: BodyError, too_long: &str) -> Refused {
    match error {
        BodyError::Broken => Refused::new(Code::UploadInvalid, "the content broke off"),
        BodyError::TooLong => Refused::new(Code::TooLarge, too_long),
        BodyError::Store(error) => error.into(),
        BodyError::Unfinished => Refused::new(Code::Internal, "the upload was not finished"),
    }
}

/// A blob or a part of one, on the disk without a name yet, and its length in bytes.
async fn staged(
    registry: &Arc<Registry>,
    body: Body,
    hasher: Hasher,
) -> Result<(Upload, u64), Refused> {
    let staged = stage(registry, body, limits::BLOB_BYTES_MAX, hasher).await;
    staged.map_err(|e| untaken(e, "the blob is larger than 4 GiB"))
}

/// Where a chunk begins and how long it is, if its header says that: `<first>-<last>`.
fn chunk_range(value: &str) -> Option<(u64, u64)> {
    let value = value.trim();
    let value = value.strip_prefix("bytes ").or(value.strip_prefix("bytes=")).unwrap_or(value);
    let (first, last) = value.split('/').next()?.split_once('-')?;
    let number = |text: &str| {
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten()
    };
    let (first, last) = (number(first)?, number(last)?);
    Some((first, last.checked_add(1)?.checked_sub(first)?))
}

/// The answer about an upload of so many bytes so far.
fn progress(status: StatusCode, repo: &RepoName, id: &UploadId, length: u64) -> Response {
    let mut response = status.into_response();
    let headers = response.headers_mut();
    put(headers, LOCATION, &format!("/v2/{repo}/blobs/uploads/{}", id.as_str()));
    put(headers, RANGE, &format!("0-{}", length.saturating_sub(1)));
    put(headers, UPLOAD_UUID, id.as_str());
    response
}

fn created(repo: &RepoName, digest: &str) -> Response {
    let mut response = StatusCode::CREATED.into_response();
    put(response.headers_mut(), LOCATION, &format!("/v2/{repo}/blobs/{digest}"));
    put(response.headers_mut(), CONTENT_DIGEST, digest);
    response
}

impl Asking {
    pub(super) async fn blob(
        self,
        method: &Method,
        repo: RepoName,
        text: String,
    ) -> Result<Response, Refused> {
        let asked = Conditions::read(method, &self.headers);
        let announced = *method == Method::HEAD;
        self.block(move |registry, asker| {
            registry.may_pull(asker, &repo)?;
            if announced && !matches!(asker.caller, Caller::Anonymous | Caller::Keep(_)) {
                // So do those who are about to push a manifest, and will not bring what is there.
                registry.store.spare_named(&repo, &digest(&text)?)?;
            }
            let blob = registry.visible_blob(&repo, &digest(&text)?)?.ok_or_else(|| {
                Refused::new(Code::BlobUnknown, "there is no such blob in this repository")
            })?;
            let content = Content {
                media_type: media::OCTET_STREAM.to_owned(),
                digest: ContentDigest::from(blob.0),
                etag: None,
                next: None,
                payload: Payload::Stored { repo, blob },
            };
            let mut response = content.answer(&registry.store, &asked)?;
            put(response.headers_mut(), CONTENT_DIGEST, &text);
            Ok(response)
        })
        .await
    }

    /// POST to `blobs/uploads/`.
    pub(super) async fn begin(self, repo: RepoName, body: Body) -> Result<Response, Refused> {
        self.may_write(&repo).await?;
        if let Some(text) = self.param("digest").map(str::to_owned) {
            let expected = digest(&text)?;
            let (upload, _) = staged(&self.registry, body, expected.hasher()).await?;
            let put = move |registry: &Registry, _: &Asker| {
                registry.arrived(&repo, registry.store.put_blob(&repo, &upload, &expected)?)?;
                Ok(created(&repo, &text))
            };
            return self.block(put).await;
        }
        let mount = self.param("mount").map(str::to_owned);
        let from = self.param("from").map(str::to_owned);
        self.block(move |registry, asker| {
            if let (Some(mount), Some(from)) = (mount, from)
                && registry.mount(asker, &repo, &mount, &from)?
            {
                return Ok(created(&repo, &mount));
            }
            let id = registry.store.begin_upload(&repo, registry.clock.now())?;
            Ok(progress(StatusCode::ACCEPTED, &repo, &id, 0))
        })
        .await
    }

    /// What happens to an upload that was begun.
    pub(super) async fn upload(
        self,
        method: &Method,
        repo: RepoName,
        id: &str,
        body: Body,
    ) -> Result<Response, Refused> {
        self.may_write(&repo).await?;
        let id = UploadId::new(id).ok_or_else(unknown_upload)?;
        if method == Method::GET {
            return self
                .block(move |registry, _| {
                    let length = registry.store.upload_length(&repo, &id, registry.clock.now())?;
                    let length = length.ok_or_else(unknown_upload)?;
                    Ok(progress(StatusCode::NO_CONTENT, &repo, &id, length))
                })
                .await;
        }
        if method == Method::DELETE {
            return self
                .block(move |registry, _| {
                    match registry.store.cancel_upload(&repo, &id, registry.clock.now())? {
                        true => Ok(StatusCode::NO_CONTENT.into_response()),
                        false => Err(unknown_upload()),
                    }
                })
                .await;
        }
        let last = method == Method::PUT;
        let expected = match self.param("digest") {
            Some(text) if last => Some((digest(text)?, text.to_owned())),
            None if last => {
                return Err(Refused::new(Code::DigestInvalid, "the parameter digest is missing"));
            }
            _ => None,
        };
        let range = match self.headers.get(CONTENT_RANGE) {
            None => None,
            Some(value) => {
                let range = value.to_str().ok().and_then(chunk_range);
                Some(range.ok_or_else(|| {
                    let what = "the header Content-Range is written <first byte>-<last byte>";
                    Refused::new(Code::UploadInvalid, what)
                })?)
            }
        };
        let hasher = expected.as_ref().map_or_else(Hasher::sha256, |(digest, _)| digest.hasher());
        let (chunk, length) = staged(&self.registry, body, hasher).await?;
        if range.is_some_and(|(_, announced)| announced != length) {
            let what = "the content is not as long as the header Content-Range says";
            return Err(Refused::new(Code::SizeInvalid, what));
        }
        self.block(move |registry, _| {
            let (store, now) = (&registry.store, registry.clock.now());
            let offset = range.map(|(first, _)| first);
            if let Some((expected, text)) = &expected
                && let Some(result) =
                    store.finish_at_once(&repo, &id, offset, &chunk, expected, now)?
            {
                registry.arrived(&repo, result)?;
                return Ok(created(&repo, text));
            }
            match store.append(&repo, &id, offset, &chunk, now)? {
                Appended::Length(there) if expected.is_none() => {
                    return Ok(progress(StatusCode::ACCEPTED, &repo, &id, there));
                }
                Appended::Length(_) => {}
                Appended::Elsewhere(there) => {
                    let what = format!("{there} bytes are there; go on behind them");
                    let range = format!("0-{}", there.saturating_sub(1));
                    let location = format!("/v2/{repo}/blobs/uploads/{}", id.as_str());
                    return Err(Refused::new(Code::Range, what)
                        .header(RANGE, &range)
                        .header(LOCATION, &location));
                }
                Appended::Unknown => return Err(unknown_upload()),
                Appended::TooLarge => {
                    let what = "the blob is larger than 4 GiB, or comes in more than 1000 chunks";
                    return Err(Refused::new(Code::TooLarge, what));
                }
            }
            let Some((expected, text)) = expected else { return Err(unknown_upload()) };
            registry.arrived(&repo, store.finish_upload(&repo, &id, &expected, now)?)?;
            Ok(created(&repo, &text))
        })
        .await
    }
}

impl Registry {
    /// Content is there, and to be had, also if it was deleted before.
    fn arrived(&self, repo: &RepoName, result: Finished) -> Result<(), Refused> {
        match result {
            Finished::Put(_, digest) => self.show_blob(repo, &digest.sha256()),
            Finished::Mismatch => {
                Err(Refused::new(Code::DigestInvalid, "the content does not hash to its digest"))
            }
            Finished::Unknown => Err(unknown_upload()),
        }
    }

    /// Takes a blob over from another repository; whether that was possible. If not, the client uploads it, and learns nothing.
    fn mount(
        &self,
        asker: &Asker,
        repo: &RepoName,
        mount: &str,
        from: &str,
    ) -> Result<bool, Refused> {
        let wanted = digest(mount)?;
        let from = from.split_once('/').and_then(|(user, name)| {
            UserName::new(user).and_then(|user| RepoName::new(user, name))
        });
        let Some(from) = from.filter(|from| self.may_pull(asker, from).is_ok()) else {
            return Ok(false);
        };
        let Some(found) = self.visible_blob(&from, &wanted)? else {
            return Ok(false);
        };
        let Some(mut blob) = self.store.open_blob(&from, found, None)? else {
            return Ok(false);
        };
        let mut upload = self.store.upload(wanted.hasher())?;
        while let Some(piece) = blob.next_piece()? {
            upload.write(&piece)?;
        }
        self.arrived(repo, self.store.put_blob(repo, &upload, &wanted)?)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_say_where_they_are() {
        for (text, expected) in [
            ("0-0", Some((0, 1))),
            ("5-9", Some((5, 5))),
            ("bytes 5-9/10", Some((5, 5))),
            ("bytes=5-9", Some((5, 5))),
            ("9-5", None),
            ("0-18446744073709551615", None),
            ("-5", None),
            ("5-", None),
            ("+1-2", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(chunk_range(text), expected, "{text}");
        }
    }
}
