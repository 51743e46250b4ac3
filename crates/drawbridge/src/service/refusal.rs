// SPDX-License-Identifier: Apache-2.0

//! How the registry says no.

use axum::http::HeaderValue;
use axum::http::header::{ALLOW, CONTENT_RANGE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use types::problem::Problem;

use super::body::BodyError;
use crate::auth::access::Denied;
use crate::auth::issuer::AuthError;
use crate::route::RouteError;
use crate::store::StoreError;

/// A problem document, and a header that goes with it.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Box<Problem>,
    header: Option<Box<(HeaderName, String)>>,
}

impl Refusal {
    pub(crate) fn new(status: u16, title: &str, detail: impl Into<String>, check: &str) -> Self {
        Self { problem: Box::new(Problem::new(status, title, detail).check(check)), header: None }
    }

    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.problem.hint = Some(hint.to_owned());
        self
    }

    fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.header = Some(Box::new((name, value.into())));
        self
    }

    pub(crate) fn problem(&self) -> &Problem {
        &self.problem
    }

    pub(crate) fn status(&self) -> u16 {
        self.problem.status
    }

    /// The check that failed, and why.
    pub(crate) fn reason(&self) -> (Option<String>, Option<String>) {
        (self.problem.check.clone(), Some(self.problem.detail.clone()))
    }

    /// What happened could not be written down, hence did not happen.
    pub(crate) fn unrecorded() -> Self {
        Self::new(503, "Service Unavailable", "the event could not be written down", "audit")
            .hint("try again later; if it stays so, the operator finds the reason in the log")
            .header(RETRY_AFTER, "10")
    }

    pub(crate) fn bad(detail: impl Into<String>, check: &str) -> Self {
        Self::new(400, "Bad request", detail, check)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "Not found", detail, "name.unknown")
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(413, "Too large", detail, "size")
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(409, "Taken", detail, "name.taken")
            .hint("names are never given a new meaning; take another name or another version")
    }

    pub(crate) fn no_length() -> Self {
        Self::new(
            411,
            "Length required",
            "the header Content-Length is missing or no number",
            "header.content-length",
        )
    }

    pub(crate) fn range(length: u64) -> Self {
        let detail = format!("the content has {length} bytes, and none of them in that range");
        Self::new(416, "Range not satisfiable", detail, "header.range")
            .header(CONTENT_RANGE, format!("bytes */{length}"))
    }

    pub(crate) fn method(allowed: &str) -> Self {
        let detail = format!("this path takes {allowed}");
        Self::new(405, "Method not allowed", detail, "method").header(ALLOW, allowed)
    }

    pub(crate) fn credentials() -> Self {
        Self::new(
            401,
            "Bad credentials",
            "the header Authorization is not one bearer token",
            "token.form",
        )
        .header(WWW_AUTHENTICATE, r#"Bearer error="invalid_request""#)
    }
}

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::Version => {
                Self::bad("the version in the path is no semantic version", "api.version")
            }
            RouteError::Newer => {
                let ours = drawbridge_core::API_VERSION;
                let detail = format!("this registry speaks version {ours} of the API");
                Self::new(501, "Not implemented", detail, "api.version")
                    .hint("use an older client or a newer registry")
            }
            RouteError::Name(what) => Self::new(404, "Not found", what, "name.form"),
            RouteError::Unknown => Self::not_found("there is nothing at this path"),
        }
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unauthenticated => Self::new(
                401,
                "Log in",
                "there is nothing of this name for everybody; it may be private",
                "auth.required",
            )
            .hint("send a bearer token of the registry's issuer, or the certificate of an attested Keep")
            .header(WWW_AUTHENTICATE, "Bearer"),
            Denied::Scope(scope) => {
                let header = format!(r#"Bearer error="insufficient_scope", scope="{scope}""#);
                let detail = format!("the token does not have the scope {scope}");
                Self::new(403, "Not allowed", detail, "token.scope")
                    .hint("log in again and ask for that scope")
                    .header(WWW_AUTHENTICATE, header)
            }
            Denied::TokenRepo => Self::new(
                403,
                "Not allowed",
                "the token is not for this repository",
                "token.repo",
            )
            .hint("make a token under this owner's name that names the repository"),
            Denied::PeopleOnly => Self::new(
                403,
                "Not allowed",
                "only somebody who is logged in may do this, and no token of the registry's own",
                "auth.person",
            ),
            Denied::NoRule => Self::new(
                403,
                "Not allowed",
                "no rule of the owner's lets this token do it",
                "publisher",
            )
            .hint("check issuer, audience and claims of the owner's publishers; they publish, and no more"),
            Denied::Role(role) => Self::new(
                403,
                "Not allowed",
                format!("this takes the role {role}"),
                "role",
            )
            .hint("ask an owner for it"),
            Denied::NotOwner => Self::new(
                403,
                "Not allowed",
                "this user's name belongs to somebody else",
                "owner",
            ),
            Denied::NoUser => {
                Self::not_found("there is no such user").hint("register the user first")
            }
            Denied::NotFound => Self::not_found("there is nothing of this name"),
            Denied::NotReleased(check, why) => Self::new(403, "Not released", why, check),
        }
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Token(error) => {
                Self::new(401, "Bad credentials", error.to_string(), error.check())
                    .hint("log in again")
                    .header(WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#)
            }
            // The particulars are the operator's.
            AuthError::Issuer(_) => Self::new(
                503,
                "Issuer unreachable",
                "the issuer's keys cannot be had, so no token can be checked",
                "token.issuer-unreachable",
            )
            .hint("try again in a moment")
            .header(RETRY_AFTER, "10"),
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Broken => Self::bad("the content broke off", "content.length"),
            BodyError::TooLong => {
                Self::bad("the content is longer than announced", "content.length")
            }
            BodyError::Store(error) => error.into(),
            BodyError::Unfinished => {
                Self::new(500, "Internal error", "the upload was not finished", "internal")
            }
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Full => {
                tracing::error!("the disk is full; nothing was stored");
                Self::new(507, "Insufficient storage", "the registry's disk is full", "store.full")
                    .hint("nothing was stored; try again when the operator has made room")
            }
            StoreError::Quota(what) => Self::new(403, "Limit reached", *what, "store.limit"),
            StoreError::Exceeded(quota) => {
                let check = format!("quota.{}", quota.what);
                Self::new(507, "Quota used up", error.to_string(), &check)
                    .hint("nothing was stored; take away what is not needed, or ask the operator for more")
            }
            StoreError::Damaged(_) => {
                tracing::error!(%error, "damaged content is not served");
                let detail =
                    "what lies on the registry's disk is not what was put there; it is not served";
                Self::new(500, "Storage backend failure", detail, "store.damaged")
                    .hint("tell the operator; whoever has the content can upload it again")
            }
            StoreError::Name => Self::not_found("there is nothing of such a name"),
            StoreError::Busy => {
                Self::new(503, "Busy", error.to_string(), "store.busy").header(RETRY_AFTER, "1")
            }
            _ => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "the store failed");
                let detail = "the registry's storage failed; nothing was stored";
                Self::new(503, "Storage backend failure", detail, "store.failed")
                    .hint("try again in a moment; if it stays so, tell the operator")
                    .header(RETRY_AFTER, "10")
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = chassis::problem::Answer(*self.problem).into_response();
        if let Some((name, value)) = self.header.map(|h| *h)
            && let Ok(value) = HeaderValue::try_from(value)
        {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
