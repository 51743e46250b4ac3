// SPDX-License-Identifier: Apache-2.0

//! What a relying party expects, one `key=value` at a time (docs/FORMATS.md 5.1).

use std::fmt;
use std::str::FromStr;

use evidence::result::Status;
use types::config::{TEES, WorkloadPattern, is_measurement};
use types::digest::Sha256;
use types::time::Timestamp;

use crate::Identity;

/// How far Steward's clock and ours may differ: an appraisal this much in the future is as good as one of now.
const SKEW_SECONDS: u64 = 300;

/// One thing that is expected of an [`Identity`], as `enarx verify --expect` takes it.
///
/// ```
/// use enarx_verify::Expectation;
///
/// let wanted: Expectation = "workload=store.example.com/team/app:^1.2".parse()?;
/// assert_eq!(wanted.key(), "workload");
/// assert_eq!(wanted.to_string(), "workload=store.example.com/team/app:^1.2");
/// assert!("colour=blue".parse::<Expectation>().is_err());
/// # Ok::<(), enarx_verify::ParseExpectationError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expectation {
    /// `workload=host/user/repo`, optionally with a version or a requirement: its name, for which its registry vouches.
    Workload(WorkloadPattern),
    /// `digest=sha256:…`: its digest.
    Digest(Sha256),
    /// `tee=snp`: where it runs.
    Tee(String),
    /// `tier=affirming` or `tier=warning`: how good Steward's word on it is at least.
    Tier(Tier),
    /// `measurement=…`: the Keep's, hex.
    Measurement(String),
    /// `signer=…`: digest of the key that signed the Keep, hex.
    Signer(String),
    /// `policy=sha256:…`: digest of the policy under which it was appraised.
    Policy(Sha256),
    /// `max-age=24h`: how many seconds ago it may have been appraised.
    MaxAge(u64),
}

/// How good Steward's word on a Keep has to be. What is `contraindicated` is no tier that can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// Pinned by its Steward's policy, which relaxed nothing for it.
    #[default]
    Affirming,
    /// Or genuine at least: not pinned, or appraised under a relaxed policy.
    Warning,
}

/// Text that is no expectation, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseExpectationError(String);

impl fmt::Display for ParseExpectationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseExpectationError {}

impl Expectation {
    /// The keys, in the order in which they are judged.
    pub const KEYS: [&'static str; 8] =
        ["tier", "workload", "digest", "tee", "measurement", "signer", "policy", "max-age"];

    /// The key, as it is written.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Workload(_) => "workload",
            Self::Digest(_) => "digest",
            Self::Tee(_) => "tee",
            Self::Tier(_) => "tier",
            Self::Measurement(_) => "measurement",
            Self::Signer(_) => "signer",
            Self::Policy(_) => "policy",
            Self::MaxAge(_) => "max-age",
        }
    }

    /// Whether `identity` is as expected at `now`.
    pub fn matches(&self, identity: &Identity, now: Timestamp) -> bool {
        let facts = &identity.result.facts;
        match self {
            Self::Workload(wanted) => {
                identity.slug.as_ref().is_some_and(|slug| wanted.matches(slug))
            }
            Self::Digest(wanted) => identity.digest.as_ref() == Some(wanted),
            Self::Tee(wanted) => wanted == facts.tee.name(),
            Self::Tier(Tier::Affirming) => facts.status() == Status::Affirming,
            Self::Tier(Tier::Warning) => facts.status() <= Status::Warning,
            Self::Measurement(wanted) => *wanted == facts.measurement,
            Self::Signer(wanted) => facts.signer.as_ref() == Some(wanted),
            Self::Policy(wanted) => *wanted == identity.result.policy,
            Self::MaxAge(seconds) => {
                let appraised = identity.result.issued_at;
                appraised <= now.plus(SKEW_SECONDS) && now <= appraised.plus(*seconds)
            }
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Affirming => "affirming",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.key())?;
        match self {
            Self::Workload(pattern) => pattern.fmt(f),
            Self::Digest(digest) | Self::Policy(digest) => digest.fmt(f),
            Self::Tee(text) | Self::Measurement(text) | Self::Signer(text) => f.write_str(text),
            Self::Tier(tier) => tier.fmt(f),
            Self::MaxAge(seconds) => f.write_str(&duration(*seconds)),
        }
    }
}

impl FromStr for Expectation {
    type Err = ParseExpectationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((key, value)) = text.split_once('=') else {
            return Err(ParseExpectationError(format!(
                "wanted KEY=VALUE, for example workload=store.example.com/team/app:^1.2; the keys are {}",
                Self::KEYS.join(", ")
            )));
        };
        let wrong = |why: &dyn fmt::Display| ParseExpectationError(format!("{key}: {why}"));
        let hex = || {
            if is_measurement(value) {
                Ok(value.to_owned())
            } else {
                Err(wrong(&"wanted 64, 96 or 128 hex digits, lower case"))
            }
        };
        match key {
            "workload" => value.parse().map(Self::Workload).map_err(|error| wrong(&error)),
            "digest" => value.parse().map(Self::Digest).map_err(|error| wrong(&error)),
            "policy" => value.parse().map(Self::Policy).map_err(|error| wrong(&error)),
            "measurement" => hex().map(Self::Measurement),
            "signer" => hex().map(Self::Signer),
            "tee" if TEES.contains(&value) => Ok(Self::Tee(value.to_owned())),
            "tee" => Err(wrong(&format!("wanted one of {}", TEES.join(", ")))),
            "tier" => match value {
                "affirming" => Ok(Self::Tier(Tier::Affirming)),
                "warning" => Ok(Self::Tier(Tier::Warning)),
                "contraindicated" => Err(wrong(
                    &"nobody should expect that; simulated silicon is let in by name only",
                )),
                _ => Err(wrong(&"wanted affirming or warning")),
            },
            "max-age" => seconds(value).map(Self::MaxAge).ok_or_else(|| {
                wrong(&"wanted a whole number above 0 with its unit, s, m, h or d, for example 24h")
            }),
            _ => Err(ParseExpectationError(format!(
                "there is no key `{key}`; the keys are {}",
                Self::KEYS.join(", ")
            ))),
        }
    }
}

/// Units of time, the longest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// `90s`, `30m`, `24h`, `7d`, in seconds.
fn seconds(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The same, written.
pub(crate) fn duration(seconds: u64) -> String {
    let (unit, factor) = UNITS
        .into_iter()
        .find(|(_, factor)| seconds > 0 && seconds.is_multiple_of(*factor))
        .unwrap_or(('s', 1));
    format!("{}{unit}", seconds / factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, digest, identity, result};

    fn parse(text: &str) -> Result<Expectation, String> {
        text.parse().map_err(|error: ParseExpectationError| error.to_string())
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        for text in [
            "workload=store.example.com/team/app",
            "workload=store.example.com/team/app:1.2.0",
            "workload=store.example.com/team/app:>=1.0.0, <1.4.0",
            &format!("digest={}", digest()),
            &format!("policy={}", digest()),
            "tee=snp",
            "tee=sgx",
            "tier=affirming",
            "tier=warning",
            &format!("measurement={}", "ab".repeat(48)),
            &format!("signer={}", "ab".repeat(32)),
            "max-age=90s",
            "max-age=30m",
            "max-age=25h",
            "max-age=7d",
        ] {
            let read = parse(text).unwrap();
            assert_eq!(read.to_string(), text);
            assert!(Expectation::KEYS.contains(&read.key()), "{text}");
        }
        assert_eq!(parse("max-age=24h").unwrap(), Expectation::MaxAge(86_400));
        assert_eq!(parse("max-age=24h").unwrap().to_string(), "max-age=1d");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let upper = format!("measurement={}", "AB".repeat(48));
        for (text, says) in [
            ("", "wanted KEY=VALUE"),
            ("workload", "wanted KEY=VALUE"),
            ("colour=blue", "no key `colour`; the keys are tier, workload"),
            ("Workload=h/u/r", "no key `Workload`"),
            ("workload=app", "workload: "),
            ("digest=abc", "digest: a digest is written"),
            ("policy=abc", "policy: a digest is written"),
            ("tee=sev", "tee: wanted one of snp"),
            ("tier=good", "wanted affirming or warning"),
            ("tier=contraindicated", "by name only"),
            ("measurement=abc", "wanted 64, 96 or 128 hex digits"),
            (upper.as_str(), "lower case"),
            ("signer=", "wanted 64, 96 or 128 hex digits"),
            ("max-age=", "wanted a whole number"),
            ("max-age=0s", "wanted a whole number"),
            ("max-age=24", "wanted a whole number"),
            ("max-age=-1h", "wanted a whole number"),
            ("max-age=+1h", "wanted a whole number"),
            ("max-age=h", "wanted a whole number"),
            ("max-age=1w", "wanted a whole number"),
            ("max-age=1é", "wanted a whole number"),
            ("max-age=99999999999999999999s", "wanted a whole number"),
            ("max-age=9999999999999999999d", "wanted a whole number"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(says), "{text}: {said}");
        }
    }

    #[test]
    fn appraisals_grow_old() {
        let identity = identity(&result());
        let matches = |text: &str, now| parse(text).unwrap().matches(&identity, now);
        assert!(matches("max-age=1h", NOW));
        assert!(matches("max-age=1h", NOW.plus(3_600)));
        assert!(!matches("max-age=1h", NOW.plus(3_601)));
        // One in the future is none, but for what clocks differ.
        assert!(matches("max-age=1h", NOW.minus(300)));
        assert!(!matches("max-age=1h", NOW.minus(301)));
    }
}
