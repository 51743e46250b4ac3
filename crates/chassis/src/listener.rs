// SPDX-License-Identifier: Apache-2.0

//! Accepting connections, within bounds, until told to stop.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;

use crate::PeerAddr;
use crate::admin::{self, Admin, Inside};
use crate::clients::Clients;
use crate::connection::Accepted;
use crate::metrics::HttpMetrics;
use crate::ready::Readiness;
use crate::requests::Requests;
use crate::service::{Error, Service};
use crate::transport::{Transport, loopback};

/// One in so many connections beyond the limit is told so; the others are closed unheard.
const REFUSED_SHARE: usize = 8;
/// Pause after the system ran out of descriptors or memory.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Why an address cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address.
    pub addr: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addr, source } = self;
        match source.kind() {
            io::ErrorKind::AddrInUse => write!(
                f,
                "cannot listen on {addr}: the port is taken by another program; stop it (`ss -ltnp 'sport = :{0}'` shows it) or choose another port with --addr, 0 for any free one",
                addr.port()
            ),
            io::ErrorKind::PermissionDenied => write!(
                f,
                "cannot listen on {addr}: permission denied; choose a port above 1023 with --addr, or give the program CAP_NET_BIND_SERVICE"
            ),
            io::ErrorKind::AddrNotAvailable => write!(
                f,
                "cannot listen on {addr}: this machine has no such address; `ip addr` shows those it has"
            ),
            _ => write!(f, "cannot listen on {addr}: {source}"),
        }
    }
}

impl std::error::Error for BindError {}

/// An address that is listened on; nothing is accepted yet.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    admin: Option<Socket>,
}

#[derive(Debug)]
struct Socket {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Socket {
    async fn new(addr: SocketAddr) -> Result<Self, BindError> {
        let failed = |source| BindError { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, addr })
    }
}

impl Bound {
    /// Listens on `addr`; port 0 takes a free one. Within a tokio runtime.
    ///
    /// # Errors
    /// The address is taken, not allowed or not of this machine.
    pub async fn new(addr: SocketAddr) -> Result<Self, BindError> {
        Ok(Self { socket: Socket::new(addr).await?, admin: None })
    }

    /// Also listens for the operator, at the address of `admin`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub async fn with_admin(mut self, admin: Admin) -> Result<Self, BindError> {
        self.admin = Some(Socket::new(admin.addr()).await?);
        Ok(self)
    }

    /// The address, with the port that was taken.
    pub const fn addr(&self) -> SocketAddr {
        self.socket.addr
    }

    /// Where the operator is answered, with the port that was taken.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|socket| socket.addr)
    }

    /// Serves until `shutdown` completes, then lets requests in progress end within the service's drain limit. The
    /// operator is answered until the end.
    ///
    /// For use within another program: no signal is touched and nothing is printed. The service's own addresses are
    /// ignored.
    ///
    /// # Errors
    /// [`Error::Unfinished`] if connections had to be cut; [`Error::NotLoopback`] if plain HTTP is not allowed here.
    pub async fn serve(
        self,
        service: Service,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        self.serve_until(service, shutdown, std::future::pending()).await
    }

    /// The same; `cut` ends the wait for requests in progress.
    pub(crate) async fn serve_until(
        self,
        service: Service,
        shutdown: impl Future<Output = ()>,
        cut: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        if matches!(service.transport, Transport::Plain) {
            loopback(self.socket.addr).map_err(Error::NotLoopback)?;
        }
        let accepting = Accepting::new(service);
        let admin = self.admin.map(|socket| {
            let readiness =
                Readiness::new(accepting.service.checks.clone(), accepting.drain.subscribe());
            let inside = Inside { readiness, metrics: accepting.service.metrics.clone() };
            let operator = Accepting::new(admin::service(socket.addr, inside));
            let (stop, stopped) = oneshot::channel::<()>();
            let until = async {
                let _ = stopped.await;
            };
            (stop, tokio::spawn(operator.serve(socket.listener, until, std::future::pending())))
        });
        let result = accepting.serve(self.socket.listener, shutdown, cut).await;
        if let Some((stop, ended)) = admin {
            drop(stop);
            // Whether the operator got the last answer does not matter to clients.
            let _ = ended.await;
        }
        result
    }
}

struct Accepting {
    service: Service,
    requests: Arc<Requests>,
    metrics: HttpMetrics,
    clients: Arc<Clients>,
    slots: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    drain: watch::Sender<bool>,
    connections: JoinSet<()>,
}

impl Accepting {
    fn new(service: Service) -> Self {
        let limits = service.limits.clone();
        let metrics = HttpMetrics::new(&service.metrics, service.name, service.version);
        let clients = Arc::new(Clients::new(limits.client));
        let requests = Requests::new(&service, metrics.clone(), clients.clone());
        Self {
            slots: Arc::new(Semaphore::new(limits.connections_max)),
            refusals: Arc::new(Semaphore::new((limits.connections_max / REFUSED_SHARE).max(1))),
            requests: Arc::new(requests),
            clients,
            metrics,
            drain: watch::channel(false).0,
            connections: JoinSet::new(),
            service,
        }
    }

    async fn serve(
        mut self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        cut: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        {
            let mut shutdown = pin!(shutdown);
            loop {
                tokio::select! {
                    () = shutdown.as_mut() => break,
                    accepted = listener.accept() => self.take(accepted).await,
                    Some(ended) = self.connections.join_next() => self.ended(ended),
                }
            }
        }
        drop(listener);
        self.drain.send_replace(true);
        let mut connections = self.connections;
        let drained = async { while connections.join_next().await.is_some() {} };
        let finished = tokio::select! {
            result = tokio::time::timeout(self.service.limits.drain, drained) => result.is_ok(),
            () = cut => false,
        };
        if finished {
            return Ok(());
        }
        let left = connections.len();
        connections.shutdown().await;
        Err(Error::Unfinished(left))
    }

    async fn take(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // A connection that is gone already concerns nobody; else descriptors or memory are short.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(EXHAUSTED).await;
                }
                return;
            }
        };
        let Some(one_of_its) = self.clients.connect(address.ip()) else {
            self.metrics.accepted.with(["client"]).inc();
            tracing::debug!(peer = %address, "too many connections of one client: closed");
            return;
        };
        let Some((permit, refuse)) = self.admit() else {
            self.metrics.accepted.with(["closed"]).inc();
            tracing::debug!(peer = %address, "too many connections: closed");
            return;
        };
        self.metrics.accepted.with([if refuse { "refused" } else { "served" }]).inc();
        let open = self.metrics.connections.enter();
        let accepted = Accepted {
            stream,
            address: PeerAddr(address),
            transport: self.service.transport.clone(),
            requests: self.requests.clone(),
            limits: self.service.limits.clone(),
            refuse,
            drain: self.drain.subscribe(),
            handshakes: self.metrics.handshakes.clone(),
        };
        self.connections.spawn(async move {
            // Boxed: the state of a connection is large, and most of them are idle.
            Box::pin(accepted.serve()).await;
            drop((permit, open, one_of_its));
        });
    }

    /// A place among those served, or else among those that hear why not.
    fn admit(&self) -> Option<(OwnedSemaphorePermit, bool)> {
        let slot = |slots: &Arc<Semaphore>| slots.clone().try_acquire_owned().ok();
        match slot(&self.slots) {
            Some(permit) => Some((permit, false)),
            None => slot(&self.refusals).map(|permit| (permit, true)),
        }
    }

    fn ended(&self, ended: Result<(), tokio::task::JoinError>) {
        if ended.is_err_and(|error| error.is_panic()) {
            tracing::error!(service = self.service.name, "a connection's task panicked");
        }
    }
}
