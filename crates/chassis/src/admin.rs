// SPDX-License-Identifier: Apache-2.0

//! The operator's side of a service, at an address of its own.
//!
//! | request | answer |
//! |---|---|
//! | `GET /livez` | 200: the program answers |
//! | `GET /readyz` | 200: it can do its work; 503: it cannot, and why; also while it stops |
//! | `GET /metrics` | metrics for Prometheus (text, 0.0.4) |

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use types::problem::Problem;

use crate::limits::Limits;
use crate::metrics::{self, Registry};
use crate::problem::Answer;
use crate::ready::Readiness;
use crate::service::Service;
use crate::transport::{NotLoopback, Transport, loopback};

/// Where a service answers its operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admin {
    addr: SocketAddr,
}

impl Admin {
    /// Plain HTTP at `addr`; port 0 takes a free one. With `insecure_public` it may be an address that others reach:
    /// they learn how busy the service is, and nothing protects what they read from change.
    ///
    /// # Errors
    /// The address is not one of this machine alone, and nobody said that it may be.
    pub fn new(addr: SocketAddr, insecure_public: bool) -> Result<Self, NotLoopback> {
        if !insecure_public {
            loopback(addr)?;
        }
        Ok(Self { addr })
    }

    pub(crate) const fn addr(self) -> SocketAddr {
        self.addr
    }
}

/// What the operator sees of a service.
pub(crate) struct Inside {
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Registry,
}

/// The service that answers the operator.
pub(crate) fn service(addr: SocketAddr, inside: Inside) -> Service {
    let router = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show))
        .with_state(Arc::new(inside));
    let limits = Limits {
        connections_max: 32,
        requests_max: 16,
        body_bytes_max: 0,
        drain: Duration::from_secs(1),
        ..Limits::default()
    };
    let mut service = Service::new("admin", addr, Transport::Plain, router).limits(limits);
    service.quiet = true;
    service
}

async fn readyz(State(inside): State<Arc<Inside>>) -> Response {
    let reasons = inside.readiness.reasons().await;
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    let problem = Problem::new(503, "Not ready", reasons.join("; "))
        .check("service.not-ready")
        .hint("mend what is named; the check runs again when it is asked");
    Answer(problem).into_response()
}

async fn show(State(inside): State<Arc<Inside>>) -> Response {
    ([(CONTENT_TYPE, metrics::MEDIA_TYPE)], inside.metrics.render()).into_response()
}
