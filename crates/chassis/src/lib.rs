// SPDX-License-Identifier: Apache-2.0

//! The frame of the services: listener, TLS, limits, signals, logs and the clock.
//!
//! A service brings an [`axum::Router`]; this crate serves it over TLS with everything bounded: handshakes, headers,
//! bodies and writes by time, bodies by size, connections and requests by number. It answers errors as problem documents
//! (RFC 9457), ends gracefully on SIGTERM and SIGINT, and says where it listens in one line of JSON on standard output:
//!
//! ```text
//! {"listening":"https://127.0.0.1:41234"}
//! ```
//!
//! With an [`Admin`] listener it tells its operator whether it is ready, and its metrics; behind a proxy on the same
//! machine it may speak [plain HTTP](Transport::Plain).
//!
//! Under systemd it says so too (`Type=notify`), and that it reloads, stops, and is alive.
//!
//! Logs go to standard error. Headers and query strings are never logged: they carry credentials.
//!
//! ```no_run
//! use enarx_chassis::{Service, tls::ServerTls};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tls = ServerTls::from_files("server.pem".as_ref(), "server.key".as_ref())?.build()?;
//! let router = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
//! Service::new("example", "127.0.0.1:0".parse()?, tls, router).run()?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod clock;
pub mod durable;
pub mod exit;
pub mod journal;
pub mod log;
pub mod metrics;
pub mod otlp;
pub mod problem;
pub mod secret;
pub mod tls;

mod admin;
mod body;
mod clients;
mod connection;
mod gate;
mod limits;
mod listener;
mod ready;
mod requests;
mod route;
mod service;
mod signals;
mod stall;
mod systemd;
mod trace;
mod transport;

pub use admin::Admin;
pub use clients::{ClientLimits, Rate};
pub use gate::{Gate, GateLimits, Overloaded};
pub use limits::Limits;
pub use listener::{BindError, Bound};
pub use ready::ReadyCheck;
pub use route::Route;
pub use service::{Error, Ready, Reload, Service};
pub use trace::RequestId;
pub use transport::{NotLoopback, Transport, TransportError, tls_files};

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

/// The certificates that the client presented, its own first; empty if it presented none.
///
/// In every request's extensions. They passed the verifier of the service's [`tls::ServerTls`].
#[derive(Clone, Debug, Default)]
pub struct PeerCertificates(pub Arc<Vec<CertificateDer<'static>>>);

/// The address that the client connected from. In every request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);
