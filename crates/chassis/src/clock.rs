// SPDX-License-Identifier: Apache-2.0

//! The wall clock of the services, which a test or an operator can hold still.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use types::time::Timestamp;

/// Where the time comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The system.
    #[default]
    System,
    /// Always this time: for tests and for judging old evidence.
    Fixed(Timestamp),
}

impl Clock {
    /// The time now; 1970 if the system's clock stands before it.
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place where services read the time"
    )]
    pub fn now(self) -> Timestamp {
        match self {
            Self::System => Timestamp(
                std::time::SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |since| since.as_secs()),
            ),
            Self::Fixed(time) => time,
        }
    }

    /// Nanoseconds since 1970 by the system's clock, for what people look at only.
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place where services read the time"
    )]
    pub(crate) fn nanoseconds() -> u64 {
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The same as a closure, for libraries that take one.
    pub fn closure(self) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
        Arc::new(move || self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_stands_still_and_the_systems_does_not_lie_far_off() {
        let then: Timestamp = "2022-12-01T00:00:00Z".parse().unwrap();
        assert_eq!(Clock::Fixed(then).now(), then);
        assert_eq!((Clock::Fixed(then).closure())(), then);
        assert!(Clock::System.now() > then);
    }
}
