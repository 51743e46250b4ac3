// SPDX-License-Identifier: Apache-2.0

//! Content in requests and answers: its three headers, its bytes.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, HeaderName, LINK, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use drawbridge_core::{ContentDigest, media};
use hyper::body::{Frame, SizeHint};
use serde::Serialize;
use tokio::sync::mpsc;
use types::digest::Sha256;

use super::conditions::{Answer, Conditions, tag};
use super::refusal::Refusal;
use crate::store::{Blob, RepoName, Store, StoreError};

/// RFC 9530.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// What a browser may do with an answer: nothing.
const INERT: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

/// Pieces of an answer that wait for the client.
const PIECES_MAX: usize = 2;

/// What is at a name.
pub(crate) struct Content {
    pub(crate) media_type: String,
    pub(crate) digest: ContentDigest,
    pub(crate) payload: Payload,
    /// What [`If-Match`](super::documents::Condition) compares with, without its quotes.
    pub(crate) etag: Option<String>,
    /// The link to the next page, where it is a page of a list.
    pub(crate) next: Option<String>,
}

/// The bytes of an answer.
pub(crate) enum Payload {
    Memory(Vec<u8>),
    /// A blob of a repository, not opened yet: by its SHA-256, and its length in bytes.
    Stored {
        repo: RepoName,
        blob: (Sha256, u64),
    },
}

fn stream(blob: Blob) -> Body {
    let left = blob.left();
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || send(blob, &sender));
    Body::new(Pieces { pieces, left })
}

/// Reads a blob for as long as somebody takes its pieces.
fn send(mut blob: Blob, sender: &mpsc::Sender<Result<Vec<u8>, StoreError>>) {
    loop {
        let piece = match blob.next_piece() {
            Ok(None) => return,
            Ok(Some(piece)) => Ok(piece),
            Err(error) => {
                tracing::error!(%error, "an answer was cut off");
                Err(error)
            }
        };
        let last = piece.is_err();
        if sender.blocking_send(piece).is_err() || last {
            return;
        }
    }
}

/// A body whose pieces come from the disk.
struct Pieces {
    pieces: mpsc::Receiver<Result<Vec<u8>, StoreError>>,
    left: u64,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = StoreError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StoreError>>> {
        let Some(piece) = ready!(self.pieces.poll_recv(context)) else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(piece.map(|bytes| {
            self.left = self.left.saturating_sub(bytes.len() as u64);
            Frame::data(Bytes::from(bytes))
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Content {
    /// Bytes of this type.
    pub(crate) fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: ContentDigest::of(&bytes),
            payload: Payload::Memory(bytes),
            etag: None,
            next: None,
        }
    }

    /// The same with an entity tag.
    pub(crate) fn tagged(mut self, etag: String) -> Self {
        self.etag = Some(etag);
        self
    }

    pub(crate) fn json(value: &impl Serialize) -> Self {
        // Records are plain data and always serialise.
        Self::new(media::JSON, serde_json::to_vec(value).unwrap_or_default())
    }

    fn length(&self) -> u64 {
        match &self.payload {
            Payload::Memory(bytes) => bytes.len() as u64,
            Payload::Stored { blob: (_, length), .. } => *length,
        }
    }

    /// The answer to GET and HEAD. Blocks, within a runtime.
    pub(crate) fn answer(self, store: &Store, asked: &Conditions) -> Result<Response, Refusal> {
        let tag = self.etag.as_ref().map_or_else(|| tag(&self.digest), |tag| format!("\"{tag}\""));
        let length = self.length();
        let answer = asked.answer(&tag, length);
        let range = match &answer {
            Answer::Whole => 0..length,
            Answer::Part(range) => range.clone(),
            Answer::NotModified => {
                let mut response = StatusCode::NOT_MODIFIED.into_response();
                put(response.headers_mut(), ETAG, tag);
                return Ok(response);
            }
            Answer::Unsatisfiable => return Err(Refusal::range(length)),
        };
        let count = range.end - range.start;
        let mut response = self.body(store, asked, range.clone())?.into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(count));
        // Whatever was uploaded, as whatever type: no browser runs it here.
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(INERT));
        if matches!(self.payload, Payload::Stored { .. }) {
            headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        }
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        put(headers, ETAG, tag);
        put(headers, CONTENT_TYPE, self.media_type);
        if let Some(next) = self.next {
            put(headers, LINK, next);
        }
        if answer == Answer::Whole {
            put(headers, CONTENT_DIGEST, self.digest.to_header());
        } else {
            // The digest is that of the whole, not of this content.
            put(headers, REPR_DIGEST, self.digest.to_header());
            put(
                headers,
                CONTENT_RANGE,
                format!("bytes {}-{}/{length}", range.start, range.end - 1),
            );
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    }

    fn body(&self, store: &Store, asked: &Conditions, range: Range<u64>) -> Result<Body, Refusal> {
        match &self.payload {
            _ if asked.head => Ok(Body::empty()),
            Payload::Memory(bytes) => {
                // Within what is in memory.
                let at = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                let part = bytes.get(at(range.start)..at(range.end));
                Ok(Body::from(part.unwrap_or_default().to_vec()))
            }
            Payload::Stored { repo, blob } => match store.open_blob(repo, *blob, Some(range))? {
                Some(blob) => Ok(blob.small()?.map_or_else(stream, Body::from)),
                // It was named by something that stands for what is there.
                None => Err(StoreError::Damaged(blob.0.to_hex().into()).into()),
            },
        }
    }
}

/// What goes into headers here was checked when it came in, and is visible ASCII.
fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// What a request says of its content.
pub(crate) struct Declared {
    pub(crate) length: u64,
    pub(crate) media_type: String,
    pub(crate) digest: Option<ContentDigest>,
}

impl Declared {
    /// Reads the three headers of a request with content of at most `max` bytes.
    pub(crate) fn read(headers: &HeaderMap, max: u64) -> Result<Self, Refusal> {
        let length = one(headers, &CONTENT_LENGTH)
            .and_then(|v| v.parse::<u64>().ok())
            .ok_or_else(Refusal::no_length)?;
        if length > max {
            return Err(Refusal::too_large(format!("at most {max} bytes are taken here")));
        }
        let media_type = one(headers, &CONTENT_TYPE).ok_or_else(|| {
            Refusal::bad("the header Content-Type is missing", "header.content-type")
        })?;
        let digest = match headers.contains_key(&CONTENT_DIGEST) {
            false => None,
            true => {
                let value = one(headers, &CONTENT_DIGEST).ok_or("there is more than one");
                let digest = value
                    .map_err(str::to_owned)
                    .and_then(|v| ContentDigest::from_header(v).map_err(|e| e.to_string()));
                Some(digest.map_err(|e| {
                    Refusal::bad(format!("the header Content-Digest: {e}"), "header.content-digest")
                })?)
            }
        };
        Ok(Self { length, media_type: media_type.to_owned(), digest })
    }

    /// The digest, which some content must have.
    pub(crate) fn digest(&self) -> Result<&ContentDigest, Refusal> {
        self.digest.as_ref().ok_or_else(|| {
            Refusal::bad("the header Content-Digest is missing", "header.content-digest")
        })
    }

    pub(crate) fn of_type(&self, expected: &str) -> Result<(), Refusal> {
        if self.media_type == expected {
            Ok(())
        } else {
            let detail = format!("the content must be of type {expected}");
            Err(Refusal::bad(detail, "header.content-type"))
        }
    }

    /// Checks the content itself.
    pub(crate) fn verify(&self, bytes: &[u8]) -> Result<(), Refusal> {
        if bytes.len() as u64 != self.length {
            return Err(Refusal::bad("the content is not as long as announced", "content.length"));
        }
        match &self.digest {
            Some(digest) => {
                digest.verify(bytes).map_err(|e| Refusal::bad(e.to_string(), "content.digest"))
            }
            None => Ok(()),
        }
    }
}

/// The value of a header that is there once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs =
            pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        pairs.collect()
    }

    const GOOD: [(&str, &str); 3] = [
        ("content-length", "3"),
        ("content-type", "application/wasm"),
        ("content-digest", "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"),
    ];

    #[test]
    fn the_three_headers() {
        let declared = Declared::read(&headers(&GOOD), 3).unwrap();
        assert!(declared.verify(b"abc").is_ok());
        assert_eq!(declared.verify(b"abd").unwrap_err().status(), 400);
        assert_eq!(declared.verify(b"abcd").unwrap_err().status(), 400);
        assert!(declared.of_type("application/wasm").is_ok());
        assert_eq!(declared.of_type("application/toml").unwrap_err().status(), 400);
        let bare = Declared::read(&headers(&GOOD[..2]), 3).unwrap();
        assert!(bare.verify(b"abd").is_ok());
        assert_eq!(bare.digest().unwrap_err().status(), 400);
    }

    #[test]
    fn what_is_wrong_with_them() {
        let status = |pairs: &[(&'static str, &'static str)], max| {
            Declared::read(&headers(pairs), max).err().unwrap().status()
        };
        assert_eq!(status(&GOOD, 2), 413);
        assert_eq!(status(&GOOD[1..], 3), 411);
        assert_eq!(status(&[("content-length", "-3"), GOOD[1]], 3), 411);
        assert_eq!(status(&[GOOD[0]], 3), 400);
        assert_eq!(status(&[GOOD[0], GOOD[1], ("content-digest", "md5=:AA==:")], 3), 400);
        let mut twice = headers(&GOOD);
        twice.append("content-digest", HeaderValue::from_static(GOOD[2].1));
        assert_eq!(Declared::read(&twice, 3).err().unwrap().status(), 400);
    }
}
