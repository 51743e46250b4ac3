// SPDX-License-Identifier: Apache-2.0

//! What a service is, and how it runs as a program.

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::listener::{BindError, Bound};
use crate::tls::ServerTls;

/// Bounds of a service. Each is a promise to the operator that no client can exceed it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections served at once (1024). Some more are told 503; the rest are closed unheard.
    pub connections_max: usize,
    /// Requests in progress at once (256); others are told 503.
    pub requests_max: usize,
    /// Largest body of a request, in bytes (1 MiB); a larger one is told 413. A route may have a smaller limit.
    pub body_bytes_max: u64,
    /// Longest TLS handshake (10 s).
    pub handshake: Duration,
    /// Longest time to send a request's headers (10 s).
    pub header: Duration,
    /// Longest pause within a request's body (10 s).
    pub body_idle: Duration,
    /// Slowest average of a request's body after `body_idle`, in bytes per second (1024); a slower one is told 408.
    pub body_rate_min_bytes_per_second: u64,
    /// Longest time that a client may stop reading (30 s).
    pub write_stall: Duration,
    /// Longest time that a connection may stay open without a request (60 s).
    pub idle: Duration,
    /// Longest time for requests in progress to end after the service was told to stop (10 s).
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            requests_max: 256,
            body_bytes_max: 1024 * 1024,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            body_idle: Duration::from_secs(10),
            body_rate_min_bytes_per_second: 1024,
            write_stall: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}

/// What to do on SIGHUP. It runs on a thread where it may block.
pub type Reload = Arc<dyn Fn() + Send + Sync>;

/// What to do when the address is known, before the first request.
pub type Ready = Arc<dyn Fn(SocketAddr) + Send + Sync>;

/// A service: routes behind TLS at an address.
#[derive(Clone)]
pub struct Service {
    /// Its name, for the log.
    pub name: &'static str,
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    /// Its certificate, and which clients' certificates it takes.
    pub tls: ServerTls,
    /// What it answers.
    pub router: Router,
    /// Its bounds.
    pub limits: Limits,
    /// What SIGHUP does; without it, nothing.
    pub reload: Option<Reload>,
    /// What to do once the address is known.
    pub ready: Option<Ready>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("addr", &self.addr)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Why a service did not run to its orderly end.
#[derive(Debug)]
pub enum Error {
    /// The address cannot be listened on.
    Bind(BindError),
    /// The system gives no threads or no signals.
    Runtime(io::Error),
    /// Requests were still in progress when the time to stop was over; how many connections.
    Unfinished(usize),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Runtime(error) => write!(f, "the service cannot start: {error}"),
            Self::Unfinished(connections) => write!(
                f,
                "{connections} connection(s) were cut: their requests did not end in time"
            ),
        }
    }
}

impl std::error::Error for Error {}

impl From<BindError> for Error {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl Service {
    /// A service with the usual bounds.
    pub fn new(name: &'static str, addr: SocketAddr, tls: ServerTls, router: Router) -> Self {
        Self { name, addr, tls, router, limits: Limits::default(), reload: None, ready: None }
    }

    /// With other bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With something to do on SIGHUP.
    #[must_use]
    pub fn on_reload(mut self, reload: impl Fn() + Send + Sync + 'static) -> Self {
        self.reload = Some(Arc::new(reload));
        self
    }

    /// With something to do once the address is known, for example to take the port that was free.
    #[must_use]
    pub fn on_ready(mut self, ready: impl Fn(SocketAddr) + Send + Sync + 'static) -> Self {
        self.ready = Some(Arc::new(ready));
        self
    }

    /// Runs as a program does: listens, prints `{"listening":…}` on standard output, serves until SIGTERM or SIGINT,
    /// lets requests in progress end. A second signal cuts them.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn run(self) -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name(self.name)
            .build()
            .map_err(Error::Runtime)?;
        let result = runtime.block_on(self.serve());
        // A handler's blocking work does not keep the program alive.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    }

    /// The same as [`Self::run`], within a runtime.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn serve(self) -> Result<(), Error> {
        let mut signals = Signals::new().map_err(Error::Runtime)?;
        let bound = Bound::new(self.addr).await?;
        let url = bound.url();
        if let Some(ready) = &self.ready {
            ready(bound.addr());
        }
        tracing::info!(service = self.name, listening = url, "ready");
        // Nobody may be reading; the log has it too.
        let _ = writeln!(io::stdout().lock(), "{}", serde_json::json!({ "listening": url }));
        let name = self.name;
        let reload = self.reload.clone();
        let (stop, cut) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let watch = {
            let (stop, cut) = (stop.clone(), cut.clone());
            async move {
                signals.stop(reload.as_ref()).await;
                tracing::info!(service = name, "stopping: no new connections");
                stop.notify_one();
                signals.stop(None).await;
                tracing::info!(service = name, "stopping at once");
                cut.notify_one();
            }
        };
        let watcher = tokio::spawn(watch);
        let result = bound.serve_until(self, stop.notified_owned(), cut.notified_owned()).await;
        watcher.abort();
        tracing::info!(service = name, "stopped");
        result
    }
}

/// The signals that a service listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT and reloads on SIGHUP meanwhile.
    async fn stop(&mut self, reload: Option<&Reload>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    if let Some(reload) = reload.cloned() {
                        // One after the other: the last file read is the one that counts.
                        if tokio::task::spawn_blocking(move || reload()).await.is_err() {
                            tracing::error!("the reload failed; everything stays as it was");
                        }
                    }
                }
            }
        }
    }
}
