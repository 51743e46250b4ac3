// SPDX-License-Identifier: Apache-2.0

//! How OCI clients are told no: the specification's codes.

use std::fmt;

use axum::http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::put;
use crate::service::refusal::Refusal;
use crate::store::StoreError;

/// What was wrong (OCI distribution 1.1, "Error Codes"), with its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    BlobUnknown,
    UploadInvalid,
    UploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    TagInvalid,
    /// The name stands for something else.
    Taken,
    /// A limit of the registry.
    Limit,
    Unsupported,
    /// A chunk at the wrong place.
    Range,
    TooLarge,
    Bad,
    Internal,
}

impl Code {
    const fn parts(self) -> (u16, &'static str) {
        match self {
            Self::BlobUnknown => (404, "BLOB_UNKNOWN"),
            Self::UploadInvalid => (400, "BLOB_UPLOAD_INVALID"),
            Self::UploadUnknown => (404, "BLOB_UPLOAD_UNKNOWN"),
            Self::DigestInvalid => (400, "DIGEST_INVALID"),
            Self::ManifestBlobUnknown => (404, "MANIFEST_BLOB_UNKNOWN"),
            Self::ManifestInvalid => (400, "MANIFEST_INVALID"),
            Self::ManifestUnknown => (404, "MANIFEST_UNKNOWN"),
            Self::NameInvalid => (400, "NAME_INVALID"),
            Self::NameUnknown => (404, "NAME_UNKNOWN"),
            Self::SizeInvalid => (400, "SIZE_INVALID"),
            Self::TagInvalid => (400, "TAG_INVALID"),
            Self::Taken => (409, "DENIED"),
            Self::Limit => (403, "DENIED"),
            Self::Unsupported => (405, "UNSUPPORTED"),
            Self::Range => (416, "BLOB_UPLOAD_INVALID"),
            Self::TooLarge => (413, "SIZE_INVALID"),
            Self::Bad => (400, "UNSUPPORTED"),
            Self::Internal => (500, "UNKNOWN"),
        }
    }
}

/// A no.
#[derive(Debug)]
pub struct Refused {
    status: u16,
    code: &'static str,
    message: String,
    detail: Box<serde_json::Value>,
    headers: Box<HeaderMap>,
}

impl Refused {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        let (status, code) = code.parts();
        let (detail, headers) = Default::default();
        Self { status, code, message: message.into(), detail, headers }
    }

    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        put(&mut self.headers, name, value);
        self
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let problem = refusal.problem();
        // Clients of this protocol ask again and again what was answered with 500 and more.
        let quota = problem.check.as_ref().is_some_and(|check| check.starts_with("quota."));
        let status = if quota { 403 } else { problem.status };
        let code = match status {
            401 => "UNAUTHORIZED",
            403 | 409 => "DENIED",
            404 => "NAME_UNKNOWN",
            413 | 416 => "SIZE_INVALID",
            429 => "TOOMANYREQUESTS",
            400..=499 => "UNSUPPORTED",
            _ => "UNKNOWN",
        };
        let message = match &problem.hint {
            Some(hint) => format!("{}; {hint}", problem.detail),
            None => problem.detail.clone(),
        };
        let mut headers = HeaderMap::new();
        if problem.status == 401 {
            // The password is a token; bearer tokens are taken as well.
            put(&mut headers, WWW_AUTHENTICATE, r#"Basic realm="drawbridge", charset="UTF-8""#);
        }
        if problem.status == 503 {
            put(&mut headers, RETRY_AFTER, "10");
        }
        Self {
            status,
            code,
            message,
            detail: Box::new(json!({ "check": problem.check })),
            headers: Box::new(headers),
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Refusal::from(error).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = json!({ "code": self.code, "message": self.message, "detail": *self.detail });
        let mut response = (status, json!({ "errors": [error] }).to_string()).into_response();
        let headers = response.headers_mut();
        headers.extend(*self.headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}
