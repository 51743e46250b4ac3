// SPDX-License-Identifier: Apache-2.0

//! What all connections of a workload share: the limit on their number, and those that are closed but not yet done.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::poll::PollSet;

/// How long a closed connection may take to deliver what was written to it.
const LINGER: Duration = Duration::from_secs(5);
/// Most closed connections that still deliver; a further one is cut off.
const LINGERERS_MAX: usize = 64;
/// While there are such connections, they are looked after this often.
const LINGER_TICK: Duration = Duration::from_millis(20);
/// How long the end of the workload may be delayed by them, all together.
const FINISH: Duration = Duration::from_secs(2);

/// State shared by all listeners and connections of a workload.
#[derive(Debug)]
pub(crate) struct Shared {
    open: AtomicU32,
    limit: u32,
    lingering: Mutex<Vec<Lingerer>>,
}

/// The right to hold one connection open.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Shared>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(crate) fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self { open: AtomicU32::new(0), limit, lingering: Mutex::new(Vec::new()) })
    }

    /// A permit, unless the limit is reached.
    pub(crate) fn permit(self: &Arc<Self>) -> Option<Permit> {
        let take = |open: u32| (open < self.limit).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Permit(Arc::clone(self)))
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    pub(crate) fn has_room(&self) -> bool {
        self.open.load(Ordering::Relaxed) < self.limit
    }

    /// Takes over a connection that nobody uses any more but that still has `rest` to say.
    ///
    /// With `drain` set what the other end still sends is read and thrown away for a while: closing at once would make the
    /// kernel reset the connection, and the other end would lose the last message, for example the alert that says why it
    /// was refused.
    pub(crate) fn linger(&self, socket: TcpStream, rest: Vec<u8>, drain: bool) {
        let mut lingerer =
            Lingerer { socket, rest, written: 0, drain, until: Instant::now() + LINGER };
        if lingerer.progress() {
            let mut lingering = self.lock();
            if lingering.len() < LINGERERS_MAX {
                lingering.push(lingerer);
            }
        }
    }

    /// Lets them go on.
    pub(crate) fn progress(&self) {
        self.lock().retain_mut(Lingerer::progress);
    }

    /// Makes a wait end soon enough to look after them.
    pub(crate) fn register(&self, set: &mut PollSet<'_>) {
        if !self.lock().is_empty() {
            set.within(LINGER_TICK);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Lingerer>> {
        self.lingering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let until = Instant::now() + FINISH;
        let lingering = self.lingering.get_mut().unwrap_or_else(PoisonError::into_inner);
        for lingerer in lingering.drain(..) {
            lingerer.finish(until);
        }
    }
}

#[derive(Debug)]
struct Lingerer {
    socket: TcpStream,
    rest: Vec<u8>,
    written: usize,
    drain: bool,
    until: Instant,
}

impl Lingerer {
    /// Does what can be done now; whether there is more to do.
    fn progress(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        while let Some(rest) = self.rest.get(self.written..).filter(|rest| !rest.is_empty()) {
            match (&self.socket).write(rest) {
                Ok(0) => return false,
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        if self.socket.shutdown(Shutdown::Write).is_err() {
            return false;
        }
        self.drain && self.discard()
    }

    /// Reads and throws away; whether more may come.
    fn discard(&self) -> bool {
        let mut bin = [0; 4096];
        for _ in 0..16 {
            match (&self.socket).read(&mut bin) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// Delivers the rest before the Keep ends, or gives up at `until`.
    fn finish(self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let Some(rest) = self.rest.get(self.written..).filter(|rest| !rest.is_empty()) else {
            return;
        };
        if left.is_zero() {
            return;
        }
        let deliver = || {
            self.socket.set_nonblocking(false)?;
            self.socket.set_write_timeout(Some(left))?;
            (&self.socket).write_all(rest)?;
            self.socket.shutdown(Shutdown::Write)
        };
        // Nobody is left who could be told.
        let _delivered: io::Result<()> = deliver();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_come_back() {
        let shared = Shared::new(2);
        let first = shared.permit().unwrap();
        let _second = shared.permit().unwrap();
        assert!(shared.permit().is_none() && !shared.has_room());
        drop(first);
        assert!(shared.permit().is_some());
    }
}
