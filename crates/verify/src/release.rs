// SPDX-License-Identifier: Apache-2.0

//! To which Keeps the owner of a workload lets a registry release it (docs/FORMATS.md 2.8).

use std::fmt;

use rustls::pki_types::CertificateDer;
use types::config::RootPin;
use types::digest::Sha256;
use types::limits;
use types::time::Timestamp;
use types::toml_error::{Document, Fields, TomlError, Value};

use crate::{Anchors, Expectation, Identity, Refusal, Requirements, Usage, identify};

/// An owner's rules: a Keep that meets one of them gets the workload.
///
/// ```
/// use enarx_verify::ReleasePolicy;
///
/// let policy = ReleasePolicy::parse("[[release]]\ntee = [\"snp\", \"tdx\"]\nmax-age = \"24h\"\n")?;
/// assert_eq!(policy.rules(), 1);
/// let error = ReleasePolicy::parse("[[release]]\ntee = [\"snpp\"]\n").unwrap_err();
/// assert_eq!((error.line, error.column), (2, 8));
/// # Ok::<(), types::toml_error::TomlError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReleasePolicy {
    rules: Vec<Rule>,
}

/// All of it has to hold.
#[derive(Clone, Debug)]
struct Rule {
    name: String,
    /// Stewards whose word counts; none: those that the registry's operator trusts.
    steward: Vec<RootPin>,
    requirements: Requirements,
    /// Keeps that run one of these get the workload besides those that run it themselves.
    readers: Vec<Expectation>,
}

/// Why a Keep gets nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReleased {
    /// The owner releases to nobody.
    Nobody,
    /// It proves nothing, or too little: one reason for each rule.
    Unmet(Vec<RuleUnmet>),
}

/// What a Keep lacks for one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleUnmet {
    /// The rule's name.
    pub rule: String,
    /// What it lacks.
    pub reason: Reason,
}

/// What a Keep lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its certificate proves nothing, or not enough.
    Refused(Refusal),
    /// Its certificate is for another workload, or for none.
    Workload(Option<Sha256>),
}

impl NotReleased {
    /// The stable name of what failed: that of the only rule, or of the rules together.
    pub fn check(&self) -> &'static str {
        match self {
            Self::Nobody => "release.nobody",
            Self::Unmet(unmet) => match unmet.as_slice() {
                [RuleUnmet { reason: Reason::Refused(refusal), .. }] => refusal.check(),
                [RuleUnmet { reason: Reason::Workload(_), .. }] => "release.workload",
                _ => "release.policy",
            },
        }
    }
}

impl fmt::Display for NotReleased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("its owner's policy releases it to no Keep"),
            Self::Unmet(unmet) if unmet.len() == 1 => {
                unmet.iter().try_for_each(|one| one.reason.fmt(f))
            }
            Self::Unmet(unmet) => {
                f.write_str("the Keep meets no rule of its owner's policy")?;
                unmet.iter().try_for_each(|one| write!(f, "; {}: {}", one.rule, one.reason))
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Workload(Some(own)) => write!(
                f,
                "the certificate is for the workload {own}, which is not what this tag stands for"
            ),
            Self::Workload(None) => f.write_str("the certificate names no workload"),
        }
    }
}

/// A Keep that gets the workload.
#[derive(Clone, Debug)]
pub struct Released<'p> {
    /// Who it is.
    pub identity: Identity,
    /// The rule that it meets.
    pub rule: &'p str,
}

/// Keys of a rule that hold lists of what an [`Expectation`] can be.
const LISTS: [&str; 6] = ["workload", "digest", "tee", "measurement", "signer", "policy"];
/// All keys of a rule.
const KEYS: [&str; 11] = [
    "name",
    "steward",
    "tier",
    "max-age",
    "tee",
    "measurement",
    "signer",
    "policy",
    "digest",
    "workload",
    "insecure-release-to-simulated",
];

impl ReleasePolicy {
    /// The policy where an owner wrote none: a genuine Keep with an affirming result that runs the very workload.
    pub fn same_workload(insecure_release_to_simulated: bool) -> Self {
        let requirements =
            Requirements { allow_simulated: insecure_release_to_simulated, ..Default::default() };
        let name = "default".to_owned();
        Self { rules: vec![Rule { name, steward: Vec::new(), requirements, readers: Vec::new() }] }
    }

    /// Reads a policy in TOML.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn parse(text: &str) -> Result<Self, TomlError> {
        if text.len() > limits::RELEASE_POLICY_BYTES_MAX {
            let max = limits::RELEASE_POLICY_BYTES_MAX;
            return Err(TomlError::new("", 0..0, format!("the policy is larger than {max} bytes")));
        }
        let document = Document::new(text);
        let root = document.root()?;
        let span = root.span();
        let mut fields = document.fields(span, root.into_inner(), &["release"])?;
        let Some(rules) = fields.value("release") else {
            return Err(fields.error("the policy says nothing").with_hint(
                "write [[release]] and below it what a Keep has to be, or release = [] for nobody",
            ));
        };
        let span = rules.span();
        let rules = rules.array()?;
        if rules.len() > limits::RELEASE_RULES_MAX {
            let max = limits::RELEASE_RULES_MAX;
            return Err(document.error(span, format!("at most {max} rules are taken")));
        }
        let rules = rules.into_iter().enumerate().map(|(n, value)| Rule::read(n + 1, value));
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// Whether a rule releases to simulated silicon, which protects nothing.
    pub fn releases_to_simulated(&self) -> bool {
        self.rules.iter().any(|rule| rule.requirements.allow_simulated)
    }

    /// Whether a client with this certificate chain (leaf first, DER) gets the workload with this digest at `now`.
    /// `stewards` are those that the registry's operator trusts.
    ///
    /// # Errors
    /// [`NotReleased`].
    pub fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        stewards: &Anchors,
        workload: &Sha256,
        now: Timestamp,
    ) -> Result<Released<'_>, NotReleased> {
        if self.rules.is_empty() {
            return Err(NotReleased::Nobody);
        }
        let mut unmet = Vec::new();
        for rule in &self.rules {
            match rule.judge(chain, stewards, workload, now) {
                Ok(identity) => return Ok(Released { identity, rule: &rule.name }),
                Err(reason) => unmet.push(RuleUnmet { rule: rule.name.clone(), reason }),
            }
        }
        Err(NotReleased::Unmet(unmet))
    }
}

impl Rule {
    fn read(number: usize, value: Value<'_>) -> Result<Self, TomlError> {
        let mut fields = value.fields(&KEYS)?;
        let mut expected = Vec::new();
        let mut readers = Vec::new();
        for key in LISTS {
            for one in list(&mut fields, key)? {
                match expectation(key, &one)? {
                    one @ (Expectation::Digest(_) | Expectation::Workload(_)) => readers.push(one),
                    one => expected.push(one),
                }
            }
        }
        for key in ["tier", "max-age"] {
            if let Some(one) = fields.value(key) {
                expected.push(expectation(key, &one)?);
            }
        }
        let mut steward = Vec::new();
        for one in list(&mut fields, "steward")? {
            let pin: RootPin = one.string()?.parse().map_err(|e| one.error(format!("{e}")))?;
            if let RootPin::Certificate(der) = &pin {
                let root = CertificateDer::from(der.clone());
                Anchors::from_roots(vec![root]).map_err(|e| one.error(e.to_string()))?;
            }
            steward.push(pin);
        }
        let simulated = fields.value("insecure-release-to-simulated");
        let allow_simulated = simulated.map_or(Ok(false), |value| value.boolean())?;
        let name = match fields.value("name") {
            Some(value) => name(&value)?,
            None => format!("rule {number}"),
        };
        let requirements = Requirements { allow_simulated, expected, ..Default::default() };
        Ok(Self { name, steward, requirements, readers })
    }

    fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        stewards: &Anchors,
        workload: &Sha256,
        now: Timestamp,
    ) -> Result<Identity, Reason> {
        let refused = |refusal: Refusal| Reason::Refused(refusal);
        let own = self.anchors(stewards);
        let anchors = own.as_ref().unwrap_or(stewards);
        let identity =
            identify(chain, anchors, now, Usage::Client).map_err(|e| refused(e.into()))?;
        self.requirements.check(&identity, now).map_err(|e| refused(e.into()))?;
        let reads = identity.digest.as_ref() == Some(workload)
            || self.readers.iter().any(|one| one.matches(&identity, now));
        if reads { Ok(identity) } else { Err(Reason::Workload(identity.digest)) }
    }

    /// The owner's own choice of Stewards. A pinned root that the operator has needs not be sent along.
    fn anchors(&self, stewards: &Anchors) -> Option<Anchors> {
        if self.steward.is_empty() {
            return None;
        }
        let mut anchors = Anchors::from_pins(&self.steward);
        let pinned = |root: &&CertificateDer<'_>| anchors.fingerprints.contains(&Sha256::of(root));
        let known: Vec<_> = stewards.roots.iter().filter(pinned).cloned().collect();
        anchors.roots.extend(known);
        anchors.crls = stewards.crls.clone();
        Some(anchors)
    }
}

/// The values of a list, none if it is not there. An empty one would say nothing, or forbid everything.
fn list<'t>(fields: &mut Fields<'t>, key: &str) -> Result<Vec<Value<'t>>, TomlError> {
    let Some(value) = fields.value(key) else {
        return Ok(Vec::new());
    };
    let (span, document) = (value.span(), *fields.document());
    let values = value.array()?;
    match values.len() {
        0 => Err(document
            .error(span, format!("`{key}` is empty"))
            .with_hint("leave the key away if anything will do")),
        1..=limits::RELEASE_RULES_MAX => Ok(values),
        _ => {
            let max = limits::RELEASE_RULES_MAX;
            Err(document.error(span, format!("`{key}` has more than {max} values")))
        }
    }
}

/// One value as `enarx verify --expect` takes it.
fn expectation(key: &str, value: &Value<'_>) -> Result<Expectation, TomlError> {
    let text = value.string()?;
    format!("{key}={text}").parse().map_err(|e: crate::ParseExpectationError| {
        value.error(e.to_string().replace(['\n', '\r'], " "))
    })
}

fn name(value: &Value<'_>) -> Result<String, TomlError> {
    let text = value.string()?;
    if types::slug::valid_repo(text) {
        Ok(text.to_owned())
    } else {
        Err(value.error("`name` must have 1 to 64 letters, digits and -"))
    }
}

#[cfg(test)]
mod tests;
