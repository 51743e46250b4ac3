// SPDX-License-Identifier: Apache-2.0

//! Which identities are good enough.

use std::fmt;

use evidence::result::Status;
use types::config::PeerRule;

use crate::Identity;

/// What a relying party demands. The default: a genuine Keep, pinned by the Steward's policy, nothing relaxed; any workload.
#[derive(Clone, Debug, Default)]
pub struct Requirements {
    /// Take simulated silicon, which proves nothing: a warning on top of that changes nothing and is let pass. For development.
    pub allow_simulated: bool,
    /// Take Keeps that the Steward's policy does not pin, or for which it relaxed something.
    pub allow_warning: bool,
    /// The peer must meet one of these. None: any workload will do.
    pub rules: Vec<PeerRule>,
}

/// What an identity lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// The silicon is simulated.
    Simulated,
    /// The guest can be debugged.
    Debug,
    /// The status is only `warning`, for these reasons.
    Warning(String),
    /// It meets no rule; what it is instead.
    Rules(String),
}

impl Unmet {
    /// The stable name of the requirement.
    pub const fn check(&self) -> &'static str {
        match self {
            Self::Simulated => "requirement.genuine",
            Self::Debug => "requirement.debug",
            Self::Warning(_) => "requirement.affirming",
            Self::Rules(_) => "requirement.peer",
        }
    }

    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Simulated => {
                "do not give it anything secret; simulated silicon can be let in by name, for development"
            }
            Self::Debug => {
                "do not give it anything secret; its workload must be deployed without debugging"
            }
            Self::Warning(_) => {
                "have the Steward's policy pin the Keep and relax nothing, or let in warnings by name"
            }
            Self::Rules(_) => "check which workload was meant, and which one answers",
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
            Self::Rules(is) => write!(f, "it is not one of the expected workloads, but {is}"),
        }
    }
}

impl std::error::Error for Unmet {}

impl Requirements {
    /// Whether `identity` is good enough.
    ///
    /// # Errors
    /// The first thing that it lacks.
    pub fn check(&self, identity: &Identity) -> Result<(), Unmet> {
        let facts = &identity.result.facts;
        if facts.simulated && !self.allow_simulated {
            return Err(Unmet::Simulated);
        }
        if facts.debug {
            return Err(Unmet::Debug);
        }
        if facts.status() == Status::Warning && !self.allow_warning {
            let mut why = facts.relaxations.clone();
            if !facts.pinned {
                why.push("the policy does not pin this Keep".to_owned());
            }
            return Err(Unmet::Warning(why.join(", ")));
        }
        if self.rules.is_empty() || self.rules.iter().any(|rule| meets(rule, identity)) {
            return Ok(());
        }
        Err(Unmet::Rules(match (&identity.slug, &identity.digest) {
            (Some(slug), _) => slug.to_string(),
            (None, Some(digest)) => format!("{digest}, for which no registry vouches"),
            (None, None) => "a Keep whose workload is not known".to_owned(),
        }))
    }
}

/// Whether an identity has everything that a rule names.
fn meets(rule: &PeerRule, identity: &Identity) -> bool {
    let facts = &identity.result.facts;
    rule.workload
        .as_ref()
        .is_none_or(|pattern| identity.slug.as_ref().is_some_and(|slug| pattern.matches(slug)))
        && rule.digest.as_ref().is_none_or(|digest| identity.digest.as_ref() == Some(digest))
        && rule.measurement.as_ref().is_none_or(|measurement| *measurement == facts.measurement)
        && rule.tee.as_ref().is_none_or(|tee| tee == facts.tee.name())
}

#[cfg(test)]
mod tests;
