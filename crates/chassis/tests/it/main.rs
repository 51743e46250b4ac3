// SPDX-License-Identifier: Apache-2.0

//! The frame as clients see it: over real sockets and TLS, on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod admin;
mod client;
mod ids;
mod limits;
mod plain;
mod stopping;
mod trust;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use enarx_chassis::clock::Clock;
use enarx_chassis::problem::Answer;
use enarx_chassis::tls::ServerTls;
use enarx_chassis::{Admin, Bound, Error, Limits, PeerCertificates, RequestId, Service};
use testkit::pki::DevCa;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use types::problem::Problem;

/// A service on a free port, its CA, and the handle that stops it.
struct Running {
    addr: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    ca: Arc<DevCa>,
    stop: Option<oneshot::Sender<()>>,
    end: JoinHandle<Result<(), Error>>,
    /// Wakes the handler of `/wait`.
    wake: Arc<Notify>,
    /// Says that the handler of `/wait` runs.
    waiting: Arc<Notify>,
    /// What the check of readiness says.
    ready: Arc<Mutex<Result<(), String>>>,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        Self::start_with(limits, |builder, _| builder).await
    }

    async fn start_with(
        limits: Limits,
        tls: impl FnOnce(enarx_chassis::tls::TlsBuilder, &DevCa) -> enarx_chassis::tls::TlsBuilder,
    ) -> Self {
        let now = Clock::System.now();
        let ca = Arc::new(DevCa::generate("chassis test", now).unwrap());
        let (chain, key) = ca.issue_localhost(now).unwrap();
        let builder = ServerTls::builder(chain.as_bytes(), key.as_bytes());
        let tls = tls(builder, &ca).build().unwrap();
        let (wake, waiting) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let wait = {
            let (wake, waiting) = (wake.clone(), waiting.clone());
            move || async move {
                waiting.notify_one();
                wake.notified().await;
                "woken"
            }
        };
        let router =
            Router::new()
                .route("/", get(|| async { "hello" }))
                .route("/echo", post(|body: Bytes| async { body }))
                .route("/wait", get(wait))
                .route("/panic", get(panic))
                .route("/refuse", get(|| async { Answer(Problem::new(403, "No", "never")) }))
                .route("/id", get(|id: axum::Extension<RequestId>| async move { id.0.to_string() }))
                .route(
                    "/peer",
                    get(|peer: axum::Extension<PeerCertificates>| async move {
                        peer.0.0.len().to_string()
                    }),
                );
        let bound = Bound::new("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let addr = bound.addr();
        let admin = Admin::new("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let bound = bound.with_admin(admin).await.unwrap();
        let admin = bound.admin_addr().unwrap();
        let ready = Arc::new(Mutex::new(Ok(())));
        let state = ready.clone();
        let service = Service::new("test", addr, tls, router)
            .version("1.2.3")
            .limits(limits)
            .ready_check("work", move || state.lock().unwrap().clone());
        let (stop, stopped) = oneshot::channel();
        let end = tokio::spawn(bound.serve(service, async {
            let _ = stopped.await;
        }));
        Self { addr, admin, ca, stop: Some(stop), end, wake, waiting, ready }
    }

    fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }
}

async fn panic() -> &'static str {
    // Unwinds as a panic does, without its message among the results.
    std::panic::resume_unwind(Box::new("on purpose"))
}
