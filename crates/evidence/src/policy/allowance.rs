// SPDX-License-Identifier: Apache-2.0

//! How long a relaxation holds.

use types::time::Timestamp;

/// Whether a relaxation is allowed, and until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allowance {
    /// It is not.
    #[default]
    Never,
    /// Before this second: the first after its last day.
    Before(Timestamp),
    /// Without end.
    Always,
}

impl Allowance {
    /// Whether it holds at this time.
    pub fn holds(self, now: Timestamp) -> bool {
        match self {
            Self::Never => false,
            Self::Before(end) => now < end,
            Self::Always => true,
        }
    }

    /// The last day on which it holds (UTC), as `2026-12-31`, if it ends.
    pub fn last_day(self) -> Option<String> {
        match self {
            Self::Before(end) => Some(day_before(end)),
            Self::Never | Self::Always => None,
        }
    }

    /// That last day, if it is over.
    pub fn ended(self, now: Timestamp) -> Option<String> {
        self.last_day().filter(|_| !self.holds(now))
    }
}

/// The day that ends with this second.
pub(super) fn day_before(end: Timestamp) -> String {
    let mut day = end.minus(1).to_string();
    day.truncate(10);
    day
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_with_its_last_second() {
        let end: Timestamp = "2027-03-02T00:00:00Z".parse().unwrap();
        let until = Allowance::Before(end);
        assert!(until.holds(end.minus(1)) && !until.holds(end));
        assert_eq!(until.last_day().as_deref(), Some("2027-03-01"));
        assert_eq!(until.ended(end.minus(1)), None);
        assert_eq!(until.ended(end).as_deref(), Some("2027-03-01"));
        for (allowance, holds) in [(Allowance::Never, false), (Allowance::Always, true)] {
            assert_eq!((allowance.holds(end), allowance.ended(end)), (holds, None));
        }
    }
}
