// SPDX-License-Identifier: Apache-2.0

//! The Keep's idea of the time.
//!
//! The host tells the time, and the host may lie. So its word is only a claim, and this clock bounds it: it never goes
//! back, and it never reads earlier than a moment that somebody the Keep trusts has signed ([`Clock::not_before`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use types::time::Timestamp;

/// A wall clock that the host cannot turn back. Copies share one state.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    /// A clock that believes the host, so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.claim(host_nanoseconds() / 1_000_000_000)
    }

    /// The time now, in nanoseconds since 1970, with the same bound in whole seconds.
    pub fn now_nanoseconds(&self) -> u64 {
        let claimed = host_nanoseconds();
        let bounded = self.claim(claimed / 1_000_000_000).0;
        claimed.max(bounded.saturating_mul(1_000_000_000))
    }

    /// From here on the time is at least this, whatever the host says.
    pub fn not_before(&self, earliest: Timestamp) {
        self.0.fetch_max(earliest.0, Ordering::Relaxed);
    }

    /// The clock in the form that the verifiers take.
    pub fn reader(&self) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }

    fn claim(&self, seconds: u64) -> Timestamp {
        Timestamp(self.0.fetch_max(seconds, Ordering::Relaxed).max(seconds))
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "this is the one reader of the host's clock in a Keep"
)]
fn host_nanoseconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back() {
        let clock = Clock::new();
        let now = clock.now();
        let later = now.plus(86_400);
        clock.not_before(later);
        assert_eq!(clock.now(), later);
        assert_eq!(clock.clone().now(), later);
        assert_eq!(clock.now_nanoseconds(), later.0 * 1_000_000_000);
        clock.not_before(now);
        assert_eq!((clock.reader())(), later);
    }
}
