// SPDX-License-Identifier: Apache-2.0

//! Bytes in both directions, until both sides have said goodbye.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::target::explain;

/// Size of the buffer of one direction.
const BUFFER_BYTES: usize = 64 * 1024;

/// What went through a connection, and when last.
#[derive(Debug)]
pub(super) struct Meter {
    idle: Duration,
    started: Instant,
    /// Milliseconds from `started` to the last byte.
    last: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Meter {
    /// Nothing went through yet; after `idle` without a byte it is too long.
    pub(super) fn new(idle: Duration) -> Self {
        let zero = AtomicU64::default;
        Self { idle, started: Instant::now(), last: zero(), sent: zero(), received: zero() }
    }

    /// Bytes that the client sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes that the client received.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    fn count(&self, which: &AtomicU64, bytes: usize) {
        which.fetch_add(bytes as u64, Ordering::Relaxed);
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.fetch_max(millis, Ordering::Relaxed);
    }

    /// Does `work` at this side, unless nothing moves in either direction for too long.
    async fn while_busy<T>(
        &self,
        side: Side,
        work: impl Future<Output = io::Result<T>>,
    ) -> Result<T, Broken> {
        let mut work = pin!(work);
        loop {
            let last = self.last.load(Ordering::Relaxed);
            let until = self.started + Duration::from_millis(last) + self.idle;
            match timeout_at(until, work.as_mut()).await {
                Ok(done) => return done.map_err(side),
                Err(_) if self.last.load(Ordering::Relaxed) > last => {}
                Err(_) => return Err(Broken::Idle),
            }
        }
    }
}

/// Why a connection ended before both sides had said goodbye.
#[derive(Debug)]
pub(super) enum Broken {
    /// Nothing moved for too long.
    Idle,
    /// The program on this machine went away.
    Client(io::Error),
    /// The server went away, or what it sent is not intact.
    Server(io::Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("nothing was sent for too long"),
            Self::Client(error) => write!(f, "the client broke off: {error}"),
            Self::Server(error) => write!(f, "the server broke off: {}", explain(error)),
        }
    }
}

/// Which side of the proxy an error came from.
type Side = fn(io::Error) -> Broken;

/// Moves bytes between the client and the server. The end of one direction is passed on and leaves the other one open.
///
/// # Errors
/// [`Broken`]. The client's connection is then to be reset, so that it does not take half an answer for a whole one.
pub(super) async fn relay(
    plain: &mut TcpStream,
    tls: impl AsyncRead + AsyncWrite,
    meter: &Meter,
) -> Result<(), Broken> {
    let (from_server, to_server) = split(tls);
    let (from_client, to_client) = plain.split();
    tokio::try_join!(
        copy((from_client, Broken::Client), (to_server, Broken::Server), meter, &meter.sent),
        copy((from_server, Broken::Server), (to_client, Broken::Client), meter, &meter.received),
    )?;
    Ok(())
}

async fn copy(
    (from, read): (impl AsyncRead, Side),
    (to, written): (impl AsyncWrite, Side),
    meter: &Meter,
    counter: &AtomicU64,
) -> Result<(), Broken> {
    let (mut from, mut to) = (pin!(from), pin!(to));
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = meter.while_busy(read, from.read(&mut buffer)).await?;
        if count == 0 {
            return meter.while_busy(written, to.shutdown()).await;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        let write = async {
            to.write_all(bytes).await?;
            to.flush().await
        };
        meter.while_busy(written, write).await?;
        meter.count(counter, count);
    }
}
