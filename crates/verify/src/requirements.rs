// SPDX-License-Identifier: Apache-2.0

//! Which identities are good enough.

use std::fmt;

use evidence::result::Status;
use types::config::PeerRule;
use types::time::Timestamp;

use crate::expect::{Tier, duration};
use crate::{Expectation, Identity, ParseExpectationError};

/// What a relying party demands. The default: a genuine Keep, pinned by the Steward's policy, nothing relaxed; any workload.
#[derive(Clone, Debug, Default)]
pub struct Requirements {
    /// Take simulated silicon, which proves nothing: a warning on top of that changes nothing and is let pass. For development.
    pub allow_simulated: bool,
    /// What is expected. Of those with the same key one has to hold, and every key that is there has to; none: any workload will
    /// do. Without a tier it is [`Tier::Affirming`].
    pub expected: Vec<Expectation>,
    /// The peer must meet one of these besides, as `Enarx.toml` has them. None: no more is asked.
    pub rules: Vec<PeerRule>,
}

/// What an identity lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unmet {
    /// The silicon is simulated.
    Simulated,
    /// The guest can be debugged.
    Debug,
    /// The status is only `warning`, for these reasons.
    Warning(String),
    /// It is not as expected.
    Expected {
        /// Key of the expectation.
        key: &'static str,
        /// All values that would do.
        wanted: String,
        /// What it is instead.
        is: String,
    },
    /// It meets no rule; what it is instead.
    Rules(String),
}

impl Unmet {
    /// The stable name of the requirement.
    pub fn check(&self) -> &'static str {
        match self {
            Self::Simulated => "requirement.genuine",
            Self::Debug => "requirement.debug",
            Self::Warning(_) => "requirement.tier",
            Self::Expected { key, .. } => match *key {
                "workload" => "requirement.workload",
                "digest" => "requirement.digest",
                "tee" => "requirement.tee",
                "measurement" => "requirement.measurement",
                "signer" => "requirement.signer",
                "policy" => "requirement.policy",
                "max-age" => "requirement.max-age",
                _ => "requirement.tier",
            },
            Self::Rules(_) => "requirement.peer",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Simulated => {
                "do not give it anything secret; simulated silicon can be let in by name, for development"
            }
            Self::Debug => {
                "do not give it anything secret; its workload must be deployed without debugging"
            }
            Self::Warning(_) => {
                "have the Steward's policy pin the Keep and relax nothing, or expect no more than tier=warning"
            }
            Self::Expected { key: "max-age", .. } => {
                "have it certified anew, or check the clock here"
            }
            Self::Expected { .. } | Self::Rules(_) => {
                "check which workload was meant, and which one answers"
            }
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simulated => f.write_str("its TEE is simulated, which protects nothing"),
            Self::Debug => f.write_str("its TEE can be debugged by its host"),
            Self::Warning(why) => {
                write!(f, "its Steward vouches for it only with a warning: {why}")
            }
            Self::Expected { key: "max-age", wanted, is } => {
                write!(f, "it was appraised {is}, and not within {wanted}")
            }
            Self::Expected { key, wanted, is } => {
                write!(f, "its {key} is not {wanted}, but {is}")
            }
            Self::Rules(is) => write!(f, "it is not one of the expected workloads, but {is}"),
        }
    }
}

impl std::error::Error for Unmet {}

impl Requirements {
    /// Requirements with these expectations, each `key=value` (docs/FORMATS.md 5.1).
    ///
    /// ```
    /// use enarx_verify::Requirements;
    ///
    /// let wanted = Requirements::expecting(["workload=store.example.com/team/app:^1.2", "tee=snp"])?;
    /// assert_eq!(wanted.expected.len(), 2);
    /// # Ok::<(), enarx_verify::ParseExpectationError>(())
    /// ```
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn expecting<'a>(
        expectations: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ParseExpectationError> {
        let expected = expectations.into_iter().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { expected, ..Self::default() })
    }

    /// Whether `identity` is good enough at `now`.
    ///
    /// # Errors
    /// The first thing that it lacks.
    pub fn check(&self, identity: &Identity, now: Timestamp) -> Result<(), Unmet> {
        let facts = &identity.result.facts;
        if facts.simulated && !self.allow_simulated {
            return Err(Unmet::Simulated);
        }
        if facts.debug {
            return Err(Unmet::Debug);
        }
        if facts.status() == Status::Warning && !self.takes_warnings() {
            let mut why = facts.relaxations.clone();
            if !facts.pinned {
                why.push("the policy does not pin this Keep".to_owned());
            }
            return Err(Unmet::Warning(why.join(", ")));
        }
        for key in Expectation::KEYS {
            self.check_key(key, identity, now)?;
        }
        if self.rules.is_empty() || self.rules.iter().any(|rule| meets(rule, identity, now)) {
            return Ok(());
        }
        Err(Unmet::Rules(actual("workload", identity, now)))
    }

    /// Whether no more than genuine silicon is asked for.
    fn takes_warnings(&self) -> bool {
        self.expected.contains(&Expectation::Tier(Tier::Warning))
    }

    /// Whether one of the expectations with this key holds, if there are any.
    fn check_key(
        &self,
        key: &'static str,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(), Unmet> {
        // The tier is judged above, simulation with it, which is let in by name or not at all.
        let of_key = || self.expected.iter().filter(|one| one.key() == key && key != "tier");
        if of_key().next().is_none() || of_key().any(|one| one.matches(identity, now)) {
            return Ok(());
        }
        let wanted: Vec<_> = of_key().map(|one| one.to_string().split_off(key.len() + 1)).collect();
        Err(Unmet::Expected { key, wanted: wanted.join(" or "), is: actual(key, identity, now) })
    }
}

/// What an identity has under a key, in words.
fn actual(key: &str, identity: &Identity, now: Timestamp) -> String {
    let facts = &identity.result.facts;
    let unknown = || "a workload that is not known".to_owned();
    match key {
        "workload" => match (&identity.slug, &identity.digest) {
            (Some(slug), _) => slug.to_string(),
            (None, Some(digest)) => format!("{digest}, for which no registry vouches"),
            (None, None) => unknown(),
        },
        "digest" => identity.digest.map_or_else(unknown, |digest| digest.to_string()),
        "tee" => facts.tee.name().to_owned(),
        "measurement" => facts.measurement.clone(),
        "signer" => facts.signer.clone().unwrap_or_else(|| "signed by nobody".to_owned()),
        "policy" => identity.result.policy.to_string(),
        _ => match now.0.checked_sub(identity.result.issued_at.0) {
            Some(age) => format!("{} ago", duration(age)),
            None => format!("at {}, which is in the future", identity.result.issued_at),
        },
    }
}

/// Whether an identity has everything that a rule names.
fn meets(rule: &PeerRule, identity: &Identity, now: Timestamp) -> bool {
    let PeerRule { workload, digest, measurement, signer, tee, policy } = rule.clone();
    let parts = [
        workload.map(Expectation::Workload),
        digest.map(Expectation::Digest),
        measurement.map(Expectation::Measurement),
        signer.map(Expectation::Signer),
        tee.map(Expectation::Tee),
        policy.map(Expectation::Policy),
    ];
    parts.into_iter().flatten().all(|part| part.matches(identity, now))
}

#[cfg(test)]
mod tests;
