// SPDX-License-Identifier: Apache-2.0

//! Problem documents as answers (RFC 9457).

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use types::problem::{MEDIA_TYPE, Problem};

use crate::trace::RequestId;

/// A problem as a handler's answer: `Err(Problem::new(404, …).into())`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(pub Problem);

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<Box<Problem>> for Answer {
    fn from(problem: Box<Problem>) -> Self {
        Self(*problem)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // A problem consists of strings and a number: it always serialises.
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        response.extensions_mut().insert(self.0);
        response
    }
}

/// When a client may try again what cannot be done now.
const RETRY_SECONDS: &str = "1";

/// The problem that says no more than its status.
pub fn of_status(status: StatusCode) -> Problem {
    let title = status.canonical_reason().unwrap_or("Refused");
    let problem = Problem::new(status.as_u16(), title, "");
    let (check, hint) = match status {
        StatusCode::NOT_FOUND => ("http.path", "there is nothing at this path; check the URL"),
        StatusCode::METHOD_NOT_ALLOWED => {
            ("http.method", "see the Allow header for the methods of this path")
        }
        StatusCode::REQUEST_TIMEOUT => ("http.body-pace", "send the body without long pauses"),
        StatusCode::PAYLOAD_TOO_LARGE => ("http.body-size", "send less"),
        StatusCode::TOO_MANY_REQUESTS => {
            ("http.rate", "ask less often; Retry-After says when the next request is heard")
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            ("http.busy", "the service is busy; try again in a moment")
        }
        _ => return problem,
    };
    problem.check(check).hint(hint)
}

/// 503 with `Retry-After`.
pub(crate) fn busy() -> Response {
    Answer(of_status(StatusCode::SERVICE_UNAVAILABLE)).into_response()
}

/// 429 with `Retry-After`, in whole seconds.
pub(crate) fn too_often(wait: Duration) -> Response {
    let mut response = Answer(of_status(StatusCode::TOO_MANY_REQUESTS)).into_response();
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Says in a problem document, if that is what the answer is, which request it was.
pub(crate) fn name_request(response: Response, request: RequestId) -> Response {
    let (mut parts, body) = response.into_parts();
    let Some(mut problem) = parts.extensions.remove::<Problem>() else {
        return Response::from_parts(parts, body);
    };
    problem.request_id = Some(request.to_string());
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(serde_json::to_vec(&problem).unwrap_or_default()))
}

/// Longest plain text of an error that becomes a problem's detail, in bytes.
const DETAIL_BYTES_MAX: usize = 1024;

/// Turns an error whose body is plain text, or empty, into a problem document. Others are left alone.
pub(crate) async fn normalise(response: Response) -> Response {
    let status = response.status();
    let plain = response
        .headers()
        .get(CONTENT_TYPE)
        .is_none_or(|value| value.to_str().is_ok_and(|value| value.starts_with("text/plain")));
    if !(status.is_client_error() || status.is_server_error()) || !plain {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, DETAIL_BYTES_MAX).await.unwrap_or_default();
    let mut problem = of_status(status);
    // Words of an internal error are for the log, not for the client.
    if status.is_client_error() {
        problem.detail = String::from_utf8_lossy(&text).into_owned();
    }
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    let body = Body::from(serde_json::to_vec(&problem).unwrap_or_default());
    parts.extensions.insert(problem);
    Response::from_parts(parts, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response) -> Problem {
        assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), MEDIA_TYPE, "{response:?}");
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn plain_errors_become_problems_and_others_stay() {
        let response = normalise((StatusCode::BAD_REQUEST, "no good").into_response()).await;
        let problem = body(response).await;
        assert_eq!((problem.status, problem.detail.as_str()), (400, "no good"));

        let response = normalise((StatusCode::INTERNAL_SERVER_ERROR, "secret").into_response());
        assert_eq!(body(response.await).await.detail, "");

        let json = [(CONTENT_TYPE, "application/json")];
        let response = normalise((StatusCode::BAD_REQUEST, json, "{}").into_response()).await;
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let response = normalise("fine".into_response()).await;
        assert_eq!(response.status(), StatusCode::OK);
    }

    #[test]
    fn what_may_work_later_says_when() {
        let response = Answer(Problem::new(503, "Service Unavailable", "")).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], RETRY_SECONDS);
    }

    #[tokio::test]
    async fn an_answer_keeps_check_and_hint() {
        let problem = Problem::new(401, "Refused", "why").check("a.b").hint("do");
        let response = Answer(problem.clone()).into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(!response.headers().contains_key(RETRY_AFTER));
        assert_eq!(body(response).await, problem);
    }
}
