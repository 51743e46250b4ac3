// SPDX-License-Identifier: Apache-2.0

//! Points in time, handed around as arguments.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// Its text is RFC 3339 in UTC, in whole seconds: `2026-11-21T09:00:00Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// 9999-12-31T23:59:59Z, the last second that X.509 can express.
const LAST: u64 = 253_402_300_799;

/// Text that is no point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseTimestampError;

impl fmt::Display for ParseTimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time is written as RFC 3339 in UTC, for example 2026-11-21T09:00:00Z")
    }
}

impl std::error::Error for ParseTimestampError {}

impl Timestamp {
    /// This time, `seconds` later; stops at the end of the year 9999.
    pub const fn plus(self, seconds: u64) -> Self {
        let sum = self.0.saturating_add(seconds);
        Self(if sum > LAST { LAST } else { sum })
    }

    /// This time, `seconds` earlier; stops at 1970.
    pub const fn minus(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Year, month, day, hour, minute, second (proleptic Gregorian, UTC).
    pub const fn civil(self) -> (u64, u64, u64, u64, u64, u64) {
        let seconds = if self.0 > LAST { LAST } else { self.0 };
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        // Days since 0000-03-01, in eras of 400 years.
        let z = days + 719_468;
        let (era, doe) = (z / 146_097, z % 146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + if month <= 2 { 1 } else { 0 };
        (year, month, day, rest / 3_600, rest / 60 % 60, rest % 60)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.as_bytes();
        let shape = bytes.len() == 20
            && bytes.iter().enumerate().all(|(i, b)| match i {
                4 | 7 => *b == b'-',
                10 => *b == b'T',
                13 | 16 => *b == b':',
                19 => *b == b'Z',
                _ => b.is_ascii_digit(),
            });
        if !shape {
            return Err(ParseTimestampError);
        }
        let number = |from: usize, to: usize| {
            text.get(from..to).and_then(|s| s.parse::<u64>().ok()).ok_or(ParseTimestampError)
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(ParseTimestampError);
        }
        if hour > 23 || minute > 59 || second > 59 {
            return Err(ParseTimestampError);
        }
        let y = if month <= 2 { year - 1 } else { year };
        let mp = if month > 2 { month - 3 } else { month + 9 };
        let (era, yoe) = (y / 400, y % 400);
        let doy = (153 * mp + 2) / 5 + day - 1;
        let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
        let days = era * 146_097 + doe - 719_468;
        let time = Self(days * 86_400 + hour * 3_600 + minute * 60 + second);
        // Catches 31 April and the like.
        if time.civil() == (year, month, day, hour, minute, second) {
            Ok(time)
        } else {
            Err(ParseTimestampError)
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_669_852_800, "2022-12-01T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (LAST, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp(seconds).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp(seconds)));
        }
    }

    #[test]
    fn every_day_round_trips() {
        for day in (0..LAST / 86_400).step_by(17) {
            let time = Timestamp(day * 86_400 + day % 86_400);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "2022-12-01",
            "2022-02-29T00:00:00Z",
            "2022-13-01T00:00:00Z",
            "2022-12-01T24:00:00Z",
            "2022-12-01T00:00:00+00:00",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        assert_eq!(Timestamp(5).minus(9), Timestamp(0));
        assert_eq!(Timestamp(LAST).plus(u64::MAX), Timestamp(LAST));
    }
}
