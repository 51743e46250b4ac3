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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::PeerAddr;
use crate::connection;
use crate::requests::Requests;
use crate::service::{Error, Service};

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
    listener: TcpListener,
    addr: SocketAddr,
}

impl Bound {
    /// Listens on `addr`; port 0 takes a free one. Within a tokio runtime.
    ///
    /// # Errors
    /// The address is taken, not allowed or not of this machine.
    pub async fn new(addr: SocketAddr) -> Result<Self, BindError> {
        let failed = |source| BindError { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, addr })
    }

    /// The address, with the port that was taken.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `https://address:port`.
    pub fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    /// Serves until `shutdown` completes, then lets requests in progress end within the service's drain limit.
    ///
    /// For use within another program: no signal is touched and nothing is printed. The service's own `addr` is ignored.
    ///
    /// # Errors
    /// [`Error::Unfinished`] if connections had to be cut.
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
        let limits = service.limits.clone();
        let mut accepting = Accepting {
            requests: Arc::new(Requests::new(service.router.clone(), limits.clone())),
            slots: Arc::new(Semaphore::new(limits.connections_max)),
            refusals: Arc::new(Semaphore::new((limits.connections_max / REFUSED_SHARE).max(1))),
            drain: watch::channel(false).0,
            connections: JoinSet::new(),
            service,
        };
        {
            let mut shutdown = pin!(shutdown);
            loop {
                tokio::select! {
                    () = shutdown.as_mut() => break,
                    accepted = self.listener.accept() => accepting.take(accepted).await,
                    Some(ended) = accepting.connections.join_next() => accepting.ended(ended),
                }
            }
        }
        drop(self.listener);
        accepting.drain.send_replace(true);
        let mut connections = accepting.connections;
        let drained = async { while connections.join_next().await.is_some() {} };
        let finished = tokio::select! {
            result = tokio::time::timeout(limits.drain, drained) => result.is_ok(),
            () = cut => false,
        };
        if finished {
            return Ok(());
        }
        let left = connections.len();
        connections.shutdown().await;
        Err(Error::Unfinished(left))
    }
}

struct Accepting {
    service: Service,
    requests: Arc<Requests>,
    slots: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    drain: watch::Sender<bool>,
    connections: JoinSet<()>,
}

impl Accepting {
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
        let Some((permit, refuse)) = self.admit() else {
            tracing::debug!(peer = %address, "too many connections: closed");
            return;
        };
        let serving = connection::serve(
            stream,
            PeerAddr(address),
            self.service.tls.config(),
            self.requests.clone(),
            self.service.limits.clone(),
            refuse,
            self.drain.subscribe(),
        );
        self.connections.spawn(async move {
            // Boxed: the state of a connection is large, and most of them are idle.
            Box::pin(serving).await;
            drop(permit);
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
