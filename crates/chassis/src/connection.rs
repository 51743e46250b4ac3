// SPDX-License-Identifier: Apache-2.0

//! One connection: handshake, HTTP, and its end.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use crate::limits::Limits;
use crate::metrics::{Counter, Family};
use crate::requests::Requests;
use crate::stall::StallGuard;
use crate::transport::Transport;
use crate::{PeerAddr, PeerCertificates};

/// Largest head of an HTTP/1.1 request, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most headers of an HTTP/1.1 request.
const HEADERS_MAX: usize = 100;
/// Largest header list of an HTTP/2 request, in bytes.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;
/// Most requests at once on an HTTP/2 connection.
const STREAMS_MAX: u32 = 64;
/// How an HTTP/2 connection starts without TLS to agree on it (RFC 9113 section 3.4): enough of it to know.
const HTTP2_PREFACE: &[u8] = b"PRI";
/// How long a connection that was told to end for idleness may take.
const CLOSING: Duration = Duration::from_secs(5);

/// Who is on the other side.
pub(crate) struct Peer {
    pub(crate) address: PeerAddr,
    pub(crate) certificates: PeerCertificates,
    pub(crate) activity: Arc<Activity>,
    /// One connection too many: it hears 503 and nothing else.
    pub(crate) refuse: bool,
}

impl Peer {
    fn new(address: PeerAddr, certificates: PeerCertificates, refuse: bool) -> Self {
        Self { address, certificates, activity: Activity::new(), refuse }
    }
}

/// Whether anything goes on in a connection.
pub(crate) struct Activity {
    running: AtomicUsize,
    last_end: Mutex<Instant>,
}

impl Activity {
    fn new() -> Arc<Self> {
        Arc::new(Self { running: AtomicUsize::new(0), last_end: Mutex::new(Instant::now()) })
    }

    /// Counts a request until the returned guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.running.fetch_add(1, Ordering::AcqRel);
        Busy(self.clone())
    }

    /// When the connection will have been idle for `limit`, as far as can be told now.
    fn idle_at(&self, limit: Duration) -> Instant {
        let since = if self.running.load(Ordering::Acquire) > 0 {
            Instant::now()
        } else {
            *self.last_end.lock().unwrap_or_else(PoisonError::into_inner)
        };
        since + limit
    }
}

/// A request in progress.
pub(crate) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.last_end.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A connection that was accepted, and what it takes to serve it.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) address: PeerAddr,
    pub(crate) transport: Transport,
    pub(crate) requests: Arc<Requests>,
    pub(crate) limits: Limits,
    /// See [`Peer::refuse`].
    pub(crate) refuse: bool,
    pub(crate) drain: watch::Receiver<bool>,
    pub(crate) handshakes: Family<Counter, 1>,
}

impl Accepted {
    /// Serves it until it ends, is idle for too long, or `drain` turns true.
    pub(crate) async fn serve(mut self) {
        // Only a delay is lost without it.
        let _ = self.stream.set_nodelay(true);
        match self.transport.clone() {
            Transport::Tls(tls) => self.serve_tls(tls.config()).await,
            Transport::Plain => {
                let mut start = [0; HTTP2_PREFACE.len()];
                let first = timeout(self.limits.header, self.stream.peek(&mut start));
                let http2 = tokio::select! {
                    _ = self.drain.wait_for(|drain| *drain) => return,
                    first = first => match first {
                        Ok(Ok(length)) => start.get(..length) == Some(HTTP2_PREFACE),
                        _ => return,
                    },
                };
                let Self { stream, address, requests, limits, refuse, drain, .. } = self;
                let stream = StallGuard::new(stream, limits.write_stall);
                let peer = Peer::new(address, PeerCertificates::default(), refuse);
                serve(stream, peer, http2, requests, limits, drain).await;
            }
        }
    }

    async fn serve_tls(self, config: Arc<ServerConfig>) {
        let Self { stream, address, requests, limits, refuse, mut drain, handshakes, .. } = self;
        let stream = StallGuard::new(stream, limits.write_stall);
        let handshake = timeout(limits.handshake, TlsAcceptor::from(config).accept(stream));
        let stream = tokio::select! {
            _ = drain.wait_for(|drain| *drain) => return,
            result = handshake => match result {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    handshakes.with(["failed"]).inc();
                    tracing::info!(peer = %address.0, %error, "TLS handshake failed");
                    return;
                }
                Err(_) => {
                    handshakes.with(["timeout"]).inc();
                    tracing::info!(peer = %address.0, "TLS handshake timed out");
                    return;
                }
            },
        };
        handshakes.with(["ok"]).inc();
        let (_, session) = stream.get_ref();
        let certificates = session
            .peer_certificates()
            .map(|chain| chain.iter().map(|c| c.clone().into_owned()).collect())
            .unwrap_or_default();
        let http2 = session.alpn_protocol() == Some(b"h2");
        let peer = Peer::new(address, PeerCertificates(Arc::new(certificates)), refuse);
        serve(stream, peer, http2, requests, limits, drain).await;
    }
}

/// HTTP on a stream.
async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    http2: bool,
    requests: Arc<Requests>,
    limits: Limits,
    mut drain: watch::Receiver<bool>,
) {
    let (activity, address) = (peer.activity.clone(), peer.address);
    let peer = Arc::new(peer);
    let builder = http(&limits, http2);
    let service = service_fn(move |request| {
        let (requests, peer) = (requests.clone(), peer.clone());
        async move { requests.answer(request, &peer).await }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut drained = false;
    let mut give_up: Option<Instant> = None;
    loop {
        let wake = give_up.unwrap_or_else(|| activity.idle_at(limits.idle));
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(peer = %address.0, %error, "connection ended");
                }
                return;
            }
            _ = drain.wait_for(|drain| *drain), if !drained => {
                drained = true;
                connection.as_mut().graceful_shutdown();
            }
            () = sleep_until(wake) => {
                let now = Instant::now();
                if give_up.is_some_and(|at| at <= now) {
                    return;
                }
                if give_up.is_none() && activity.idle_at(limits.idle) <= now {
                    connection.as_mut().graceful_shutdown();
                    give_up = Some(now + CLOSING);
                }
            }
        }
    }
}

/// HTTP with its limits, for the protocol that was agreed on.
fn http(limits: &Limits, http2: bool) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.idle / 2)
        .keep_alive_timeout(limits.header)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX);
    if http2 { builder.http2_only() } else { builder.http1_only() }
}
