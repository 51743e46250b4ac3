// SPDX-License-Identifier: Apache-2.0

//! Waiting until one of many descriptors is ready.
//!
//! Everything in a Keep runs on one thread over non-blocking descriptors. A call that has to wait lets each
//! source that matters make progress, looks whether it can go on, and if not registers the sources with a
//! [`PollSet`] and waits. A set lives for one wait only.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

/// What the guest waits for. A source adds what it needs for itself (bytes to flush, a handshake to go on).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Wake up when there is something to read.
    pub read: bool,
    /// Wake up when there is room to write.
    pub write: bool,
}

impl Interest {
    /// The guest waits for nothing here; a source registers only what it needs to finish work of its own.
    pub const NONE: Self = Self { read: false, write: false };
    /// Something to read.
    pub const READ: Self = Self { read: true, write: false };
    /// Room to write.
    pub const WRITE: Self = Self { read: false, write: true };
    /// Either.
    pub const BOTH: Self = Self { read: true, write: true };
}

/// Descriptors to wait for, and the longest time to wait.
#[derive(Debug, Default)]
pub struct PollSet<'fd> {
    fds: Vec<PollFd<'fd>>,
    within: Option<Duration>,
}

impl<'fd> PollSet<'fd> {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for `fd` too. An interest in nothing adds nothing.
    pub fn add(&mut self, fd: BorrowedFd<'fd>, interest: Interest) {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, interest.read);
        flags.set(PollFlags::OUT, interest.write);
        if !flags.is_empty() {
            self.fds.push(PollFd::from_borrowed_fd(fd, flags));
        }
    }

    /// Wakes up after `delay` at the latest, for a source that has a time limit of its own (a handshake, say).
    pub fn within(&mut self, delay: Duration) {
        self.within = Some(self.within.map_or(delay, |sooner| sooner.min(delay)));
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.fds.is_empty()
    }

    /// Waits until one of the descriptors is ready or the time is over; `None` waits without end. Returns how
    /// many are ready. An interruption by a signal counts as none ready.
    ///
    /// # Errors
    /// What `poll(2)` says.
    pub fn wait(mut self, timeout: Option<Duration>) -> io::Result<usize> {
        if let Some(timeout) = timeout {
            self.within(timeout);
        }
        let timeout = self.within.map(|within| Timespec {
            tv_sec: i64::try_from(within.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: within.subsec_nanos().into(),
        });
        match rustix::event::poll(&mut self.fds, timeout.as_ref()) {
            Ok(ready) => Ok(ready),
            Err(rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn waits_for_what_was_asked() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let ready = |interest, fd| {
            let mut set = PollSet::new();
            set.add(fd, interest);
            set.wait(Some(Duration::ZERO)).unwrap()
        };
        assert_eq!(ready(Interest::READ, reader.as_fd()), 0);
        assert_eq!(ready(Interest::WRITE, writer.as_fd()), 1);
        rustix::io::write(&writer, b"x").unwrap();
        assert_eq!(ready(Interest::READ, reader.as_fd()), 1);
        assert_eq!(ready(Interest::NONE, reader.as_fd()), 0);
    }

    #[test]
    fn the_soonest_time_limit_counts() {
        let mut set = PollSet::new();
        set.within(Duration::from_secs(3600));
        set.within(Duration::from_millis(1));
        assert!(set.is_empty());
        assert_eq!(set.wait(Some(Duration::from_secs(3600))).unwrap(), 0);
    }
}
