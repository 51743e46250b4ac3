// SPDX-License-Identifier: Apache-2.0

//! One request: limits before the handler, problem documents after it.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use axum::response::IntoResponse as _;
use axum::{Router, response};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::body::{AnswerBody, Held, Outcome, RequestBody, drain};
use crate::clients::Clients;
use crate::clock::Clock;
use crate::connection::Peer;
use crate::limits::Limits;
use crate::metrics::{Conclusion, HttpMetrics, method_name};
use crate::otlp::{Exporter, Span};
use crate::problem::{Answer, busy, name_request, normalise, of_status, too_often};
use crate::route::{self, Route};
use crate::service::Service;
use crate::trace::Trace;

/// Header of an answer with the name of its request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Most bytes read and thrown away so that a client gets to read its answer.
const DRAIN_BYTES_MAX: u64 = 1024 * 1024;
/// Longest time spent on that.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// What all requests share.
pub(crate) struct Requests {
    router: Router,
    limits: Limits,
    slots: Arc<Semaphore>,
    metrics: HttpMetrics,
    clients: Arc<Clients>,
    traces: Option<Exporter>,
    /// See [`crate::Service`].
    quiet: bool,
}

impl Requests {
    pub(crate) fn new(service: &Service, metrics: HttpMetrics, clients: Arc<Clients>) -> Self {
        let Service { router, limits, traces, quiet, .. } = service;
        Self {
            // The bound below holds for every body, however it is read.
            router: route::noted(router.clone()).layer(DefaultBodyLimit::disable()),
            slots: Arc::new(Semaphore::new(limits.requests_max)),
            limits: limits.clone(),
            metrics,
            clients,
            traces: traces.clone(),
            quiet: *quiet,
        }
    }

    /// Answers one request.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Result<Response<AnswerBody>, Infallible> {
        let trace = Trace::of(request.headers());
        // There at every level: what is logged in it would not say which request it is about.
        let span = tracing::error_span!(target: "chassis", "request", request_id = %trace.id);
        Ok(self.answer_within(request, peer, trace).instrument(span).await)
    }

    /// The same within its span: with 503 if it, or its connection, is one too many.
    async fn answer_within(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
        trace: Trace,
    ) -> Response<AnswerBody> {
        let busy_peer = peer.activity.begin();
        let in_flight = self.metrics.in_flight.enter();
        let started = Instant::now();
        let method = request.method().clone();
        let path = request.uri().path().to_owned();

        let route = Route::default();
        let outcome = Arc::new(Outcome::default());
        let permit = if peer.refuse { None } else { self.slots.clone().try_acquire_owned().ok() };
        let continues = request.headers().contains_key(EXPECT);
        let declared = declared_length(request.headers());
        let version = request.version();
        let (mut parts, incoming) = request.into_parts();
        let body = RequestBody::new(
            incoming,
            &self.limits,
            outcome.clone(),
            self.metrics.received_bytes.clone(),
        );
        let paced = self.clients.request(peer.address.0.ip());
        let response = if let Err(wait) = paced {
            drop(body);
            self.metrics.shed.with(["client"]).inc();
            too_often(wait)
        } else if permit.is_none() {
            drop(body);
            let reason = if peer.refuse { "connections" } else { "requests" };
            self.metrics.shed.with([reason]).inc();
            busy()
        } else if declared.is_some_and(|length| length > self.limits.body_bytes_max) {
            drop(body);
            Answer(of_status(StatusCode::PAYLOAD_TOO_LARGE)).into_response()
        } else {
            parts.extensions.insert(peer.certificates.clone());
            parts.extensions.insert(peer.address);
            parts.extensions.insert(route.clone());
            parts.extensions.insert(trace.id);
            self.route(Request::from_parts(parts, Body::new(body))).await
        };
        let mut response = name_request(self.settle(response, &outcome).await, trace.id);
        if let Ok(id) = HeaderValue::from_str(&trace.id.to_string()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        if peer.refuse && version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(rest) = outcome.take_rest().filter(|_| !continues) {
            drain(rest, DRAIN_BYTES_MAX, DRAIN_TIME_MAX).await;
        }
        let duration = started.elapsed();
        let (route, status) = (route.get(), response.status());
        self.metrics.concluded(&Conclusion { route, method: &method, status, duration });
        if let Some(traces) = &self.traces {
            traces.take(Span {
                trace,
                method: method_name(&method).to_owned(),
                route: route.to_owned(),
                status: status.as_u16(),
                client: peer.address.0,
                ended: Clock::nanoseconds(),
                duration,
            });
        }
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (method, status, peer) = (method.as_str(), status.as_u16(), peer.address.0);
        if self.quiet {
            tracing::debug!(target: "chassis::access", method, path, status, milliseconds, %peer, "request");
        } else {
            tracing::info!(target: "chassis::access", method, path, status, milliseconds, %peer, "request");
        }
        let (parts, body) = response.into_parts();
        let held = Held {
            _busy: busy_peer,
            _permit: permit,
            _in_flight: in_flight,
            sent_in_all: self.metrics.sent_bytes.clone(),
        };
        Response::from_parts(parts, AnswerBody::new(body, held))
    }

    /// Runs the handler. A panic in it is a 500, and this request's alone.
    async fn route(&self, request: Request<Body>) -> response::Response {
        let router = self.router.clone();
        match unwound(async move { router.oneshot(request).await }).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(panic) => {
                let what = panic
                    .downcast_ref::<&str>()
                    .copied()
                    .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                    .unwrap_or("no message");
                tracing::error!(panic = what, "a handler panicked");
                Answer(of_status(StatusCode::INTERNAL_SERVER_ERROR)).into_response()
            }
        }
    }

    async fn settle(&self, response: response::Response, outcome: &Outcome) -> response::Response {
        if !response.status().is_client_error() && !response.status().is_server_error() {
            return response;
        }
        // The handler saw a broken body; the client learns what broke it.
        if outcome.too_large() {
            return Answer(of_status(StatusCode::PAYLOAD_TOO_LARGE)).into_response();
        }
        if outcome.too_slow() {
            return Answer(of_status(StatusCode::REQUEST_TIMEOUT)).into_response();
        }
        normalise(response).await
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn unwound<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}
