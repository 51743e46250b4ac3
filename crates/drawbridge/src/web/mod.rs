// SPDX-License-Identifier: Apache-2.0

//! Web pages to browse the registry with: what is public, for people, below `/_/`.
//!
//! | path | page |
//! |---|---|
//! | `/` | leads to `/_/` |
//! | `/_/?q=` | search, and all repositories |
//! | `/_/{user}` | the repositories of an owner |
//! | `/_/{user}/{repo}` | its versions |
//! | `/_/{user}/{repo}/{tag}` | a version: how to use it, where it comes from, its files |
//! | `/_/{user}/{repo}/{tag}/tree/{path}` | a directory or a file of it |
//!
//! No owner's name has an underscore. Nobody is logged in here and no cookie is taken: a page shows what everybody may read, and
//! says the same of what is private and of what is not there. Uploads are hostile: all that comes from them is escaped by the
//! templates, no script runs whatever is on a page (`Content-Security-Policy`), and files themselves are served only by the API,
//! to be saved and not to be shown.

mod render;
mod route;
mod text;

use std::sync::{Arc, LazyLock};

use askama::Template;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chassis::{PeerAddr, RequestId};
use types::digest::Sha256;

use crate::auth::access::Caller;
use crate::query::Query;
use crate::service::asker::Asker;
use crate::service::refusal::Refusal;
use crate::service::{Registry, block};
use render::{Frame, Refused};
use route::{Place, Unknown};

/// Where the pages begin.
const HOME: &str = "/_/";
/// The one style sheet, in each page.
const STYLE: &str = include_str!("../../templates/style.css");

/// What a page may do: be styled by our style sheet, and send a search to us. The hash is that of the style sheet.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::of(STYLE.as_bytes()).0);
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// Whether a path is one of a page.
pub(crate) fn is_here(path: &str) -> bool {
    path == "/" || path == "/_" || path.starts_with(HOME)
}

/// Answers what [`is_here`] is about.
pub(crate) async fn handle(registry: Arc<Registry>, request: Request) -> Response {
    let head = request.method() == Method::HEAD;
    let mut response = page(registry, request).await;
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(POLICY.as_str()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if head { response.map(|_| Body::empty()) } else { response }
}

async fn page(registry: Arc<Registry>, request: Request) -> Response {
    let place = Place::parse(request.uri().path());
    if let Some(noted) = request.extensions().get::<chassis::Route>() {
        noted.name(place.as_ref().map_or(HOME, Place::template));
    }
    let frame = Frame::new(&registry);
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let refused = Refused::new(frame, "Not here", "Pages are only read.");
        let mut response = html(StatusCode::METHOD_NOT_ALLOWED, &refused);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let query = Query::parse(request.uri().query());
    let asker = Asker {
        caller: Caller::Anonymous,
        address: request.extensions().get::<PeerAddr>().map(|peer| peer.0),
        request_id: request.extensions().get::<RequestId>().map(ToString::to_string),
    };
    let shown = match place {
        Ok(Place::Root) => return redirect(),
        Ok(place) => {
            let show = move |registry: &Registry| render::show(registry, &asker, &place, &query);
            block(Arc::clone(&registry), show).await
        }
        Err(Unknown) => Err(Refusal::not_found("")),
    };
    match shown {
        Ok(text) => (StatusCode::OK, text).into_response(),
        Err(refusal) => {
            let (status, heading, detail) = render::words(&refusal);
            html(status, &Refused::new(frame, heading, detail))
        }
    }
}

fn redirect() -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, HeaderValue::from_static(HOME));
    (StatusCode::SEE_OTHER, headers).into_response()
}

fn html(status: StatusCode, page: &impl Template) -> Response {
    // Nothing of a page can fail to be written into memory.
    (status, page.render().unwrap_or_default()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_paths_of_their_own() {
        for here in ["/", "/_", "/_/", "/_/ann"] {
            assert!(is_here(here), "{here}");
        }
        for other in ["/ann", "/__", "/api", "/v2/", "/health", "", "/_x", "//_/"] {
            assert!(!is_here(other), "{other}");
        }
    }

    #[test]
    fn nothing_but_the_style_sheet_is_allowed() {
        assert!(POLICY.starts_with("default-src 'none'; style-src 'sha256-"), "{}", *POLICY);
        assert!(!POLICY.contains("unsafe") && !POLICY.contains("script"), "{}", *POLICY);
        // It stands in an element of the page as it is.
        assert!(!STYLE.contains('<'));
    }
}
