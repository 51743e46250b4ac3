// SPDX-License-Identifier: Apache-2.0

//! What a service is, and how it runs as a program.

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::Notify;

use crate::admin::Admin;
use crate::limits::Limits;
use crate::listener::{BindError, Bound};
use crate::metrics::Registry;
use crate::otlp::Exporter;
use crate::ready::ReadyCheck;
use crate::signals::{Reloading, Signals};
use crate::systemd::Manager;
use crate::transport::{NotLoopback, Transport};

/// What to do on SIGHUP: whether all that was read again came into force. It runs on a thread where it may block.
pub type Reload = Arc<dyn Fn() -> bool + Send + Sync>;

/// What to do when the address is known, before the first request.
pub type Ready = Arc<dyn Fn(SocketAddr) + Send + Sync>;

/// A service: routes behind TLS at an address.
#[derive(Clone)]
pub struct Service {
    /// Its name, for the log.
    pub name: &'static str,
    /// Its version, for the operator.
    pub version: &'static str,
    /// Where to listen; port 0 takes a free one.
    pub addr: SocketAddr,
    /// TLS with its certificate, and which clients' certificates it takes; or plain HTTP on loopback.
    pub transport: Transport,
    /// What it answers.
    pub router: Router,
    /// Its bounds.
    pub limits: Limits,
    /// What SIGHUP does; without it, nothing.
    pub reload: Option<Reload>,
    /// What to do once the address is known.
    pub ready: Option<Ready>,
    /// What it needs to do its work.
    pub checks: Vec<ReadyCheck>,
    /// What it counts.
    pub metrics: Registry,
    /// Where it answers its operator; without it, nowhere.
    pub admin: Option<Admin>,
    /// Where it sends traces; without it, nowhere.
    pub traces: Option<Exporter>,
    /// Its requests are of no interest: they are logged for those who debug.
    pub(crate) quiet: bool,
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
    /// Plain HTTP where others could listen in.
    NotLoopback(NotLoopback),
    /// Requests were still in progress when the time to stop was over; how many connections.
    Unfinished(usize),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::NotLoopback(error) => error.fmt(f),
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
    pub fn new(
        name: &'static str,
        addr: SocketAddr,
        transport: impl Into<Transport>,
        router: Router,
    ) -> Self {
        Self {
            name,
            version: "",
            addr,
            transport: transport.into(),
            router,
            limits: Limits::default(),
            reload: None,
            ready: None,
            checks: Vec::new(),
            metrics: Registry::new(),
            admin: None,
            traces: None,
            quiet: false,
        }
    }

    /// Of this version.
    #[must_use]
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// With other bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With something to do on SIGHUP; it says whether all that was read again came into force.
    #[must_use]
    pub fn on_reload(mut self, reload: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.reload = Some(Arc::new(reload));
        self
    }

    /// With something to do once the address is known, for example to take the port that was free.
    #[must_use]
    pub fn on_ready(mut self, ready: impl Fn(SocketAddr) + Send + Sync + 'static) -> Self {
        self.ready = Some(Arc::new(ready));
        self
    }

    /// With something that it needs to do its work. `/readyz` answers 503 with the reason while it is missing.
    #[must_use]
    pub fn ready_check(
        mut self,
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push(ReadyCheck { name, check: Arc::new(check) });
        self
    }

    /// With its metrics among these.
    #[must_use]
    pub fn metrics(mut self, metrics: Registry) -> Self {
        self.metrics = metrics;
        self
    }

    /// With a listener for its operator.
    #[must_use]
    pub fn admin(mut self, admin: Option<Admin>) -> Self {
        self.admin = admin;
        self
    }

    /// With a span for each request.
    #[must_use]
    pub fn traces(mut self, exporter: Option<Exporter>) -> Self {
        self.traces = exporter;
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
        let mut bound = Bound::new(self.addr).await?;
        if let Some(admin) = self.admin {
            bound = bound.with_admin(admin).await?;
        }
        if let Some(ready) = &self.ready {
            ready(bound.addr());
        }
        let listening = format!("{}://{}", self.transport.scheme(), bound.addr());
        let mut said = serde_json::json!({ "listening": listening });
        if let (Some(addr), Some(said)) = (bound.admin_addr(), said.as_object_mut()) {
            said.insert("admin".to_owned(), format!("http://{addr}").into());
        }
        tracing::info!(
            service = self.name,
            version = self.version,
            listening,
            admin = bound.admin_addr().map(tracing::field::display),
            "ready"
        );
        // Nobody may be reading; the log has it too.
        let _ = writeln!(io::stdout().lock(), "{said}");
        let manager = Manager::from_environment();
        manager.tell(&format!("READY=1\nSTATUS=listening at {listening}"));
        let (name, traces) = (self.name, self.traces.clone());
        let reloading = self.reload.clone().map(|reload| {
            let results = self.metrics.counters("reloads_total", "Reloads on SIGHUP.", ["result"]);
            // A rate needs a first value to start from.
            for result in ["ok", "failed"] {
                results.with([result]);
            }
            Reloading { reload, results }
        });
        let (stop, cut) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let watch = {
            let (stop, cut) = (stop.clone(), cut.clone());
            async move {
                tokio::select! {
                    () = signals.stop(reloading.as_ref(), &manager) => {}
                    () = manager.stay_alive() => {}
                }
                manager.tell("STOPPING=1");
                tracing::info!(service = name, "stopping: no new connections");
                stop.notify_one();
                signals.stop(None, &manager).await;
                tracing::info!(service = name, "stopping at once");
                cut.notify_one();
            }
        };
        let watcher = tokio::spawn(watch);
        let result = bound.serve_until(self, stop.notified_owned(), cut.notified_owned()).await;
        watcher.abort();
        if let Some(traces) = traces {
            let _ = tokio::task::spawn_blocking(move || traces.finish()).await;
        }
        tracing::info!(service = name, "stopped");
        result
    }
}
