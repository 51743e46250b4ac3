// SPDX-License-Identifier: Apache-2.0

//! Release policies: each change makes a new version, and the last one is in force.

use drawbridge_core::media;
use drawbridge_core::rights::PolicyVersion;
use serde::{Deserialize, Serialize};
use types::digest::Sha256;
use types::limits;
use verify::ReleasePolicy;

use super::Registry;
use super::asker::Asker;
use super::content::Content;
use super::documents::{Condition, Written};
use super::refusal::Refusal;
use crate::auth::access::Action;
use crate::auth::keeps::Verdict;
use crate::store::{Kind, Put, RepoName};

/// Versions of release policies, by owner, repository and number.
pub(crate) const POLICIES: Kind<PolicyRecord> = Kind::new("release-policies", 3);

/// One version of a release policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyRecord {
    /// As its owner wrote it, TOML.
    pub(super) text: String,
    /// When, in seconds since 1970.
    pub(super) created_at: u64,
}

/// The name of a version, so that names are in the order of numbers.
fn part(version: u64) -> String {
    format!("{version:08}")
}

impl Registry {
    fn policy_numbers(&self, repo: &RepoName) -> Result<Vec<u64>, Refusal> {
        let names = self.store.table(&POLICIES).list(&repo.parts(), None, usize::MAX)?;
        let number = |name: &Vec<String>| name.last().and_then(|part| part.parse().ok());
        let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn policy_version(&self, repo: &RepoName, version: u64) -> Result<PolicyRecord, Refusal> {
        let [user, name] = repo.parts();
        let found = self.store.table(&POLICIES).value(&[user, name, &part(version)])?;
        found.ok_or_else(|| Refusal::not_found("there is no such version of the policy"))
    }

    /// The policy in force, with its number; none if the owner wrote none.
    fn policy_in_force(&self, repo: &RepoName) -> Result<Option<(u64, PolicyRecord)>, Refusal> {
        match self.policy_numbers(repo)?.last() {
            Some(last) => Ok(Some((*last, self.policy_version(repo, *last)?))),
            None => Ok(None),
        }
    }

    /// What the policy in force is, and whether it releases. One that cannot be read releases nothing.
    pub(super) fn judge(
        &self,
        chain: &[rustls::pki_types::CertificateDer<'_>],
        repo: &RepoName,
        digest: &Sha256,
    ) -> Result<Verdict, Refusal> {
        let policy = match self.policy_in_force(repo)? {
            None => None,
            Some((version, record)) => match ReleasePolicy::parse(&record.text) {
                Ok(policy) => Some(policy),
                Err(error) => {
                    tracing::error!(%repo, version, error = error.brief(), "a release policy cannot be read");
                    let why = "the release policy of its owner cannot be read".to_owned();
                    return Ok(Err(("release.unreadable", why)));
                }
            },
        };
        Ok(self.keeps.judge(chain, policy.as_ref(), digest, self.clock.now()))
    }

    /// A version of the policy, or the one in force.
    pub(super) fn read_policy(
        &self,
        repo: &RepoName,
        version: Option<u64>,
    ) -> Result<Content, Refusal> {
        let (version, record) = match version {
            Some(version) => (version, self.policy_version(repo, version)?),
            None => self.policy_in_force(repo)?.ok_or_else(|| {
                Refusal::not_found(
                    "the owner wrote no policy: released is to genuine Keeps attested for the very digest",
                )
            })?,
        };
        Ok(Content::new(media::TOML, record.text.into_bytes()).tagged(version.to_string()))
    }

    pub(super) fn read_policies(&self, repo: &RepoName) -> Result<Content, Refusal> {
        let mut versions = Vec::new();
        for version in self.policy_numbers(repo)? {
            let created_at = self.policy_version(repo, version)?.created_at;
            versions.push(PolicyVersion { version, created_at });
        }
        Ok(Content::json(&versions))
    }

    pub(super) fn write_policy(
        &self,
        asker: &Asker,
        repo: &RepoName,
        bytes: &[u8],
        condition: &Condition,
    ) -> Result<Written, Refusal> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Refusal::bad("the policy is no UTF-8", "release.policy"))?;
        ReleasePolicy::parse(text)
            .map_err(|error| Refusal::bad(error.to_string(), "release.policy"))?;
        let current = self.policy_in_force(repo)?;
        let last = current.as_ref().map_or(0, |(version, _)| *version);
        if current.as_ref().is_some_and(|(_, record)| record.text == text) {
            return Ok((Put::Same, Some(last.to_string())));
        }
        condition.permits(current.map(|(version, _)| version.to_string()).as_deref())?;
        if last >= limits::RELEASE_POLICIES_MAX as u64 {
            let detail = "the policy was changed 1000 times, which is the most";
            return Err(Refusal::new(403, "Limit reached", detail, "store.limit"));
        }
        let [user, name] = repo.parts();
        let record = PolicyRecord { text: text.to_owned(), created_at: self.clock.now().0 };
        let detail = format!("version {}, {}", last + 1, Sha256::of(bytes));
        self.granted(asker, Action::ChangeRepo, repo, Some(detail))?;
        // Of several next versions one is created.
        match self.store.table(&POLICIES).create(&[user, name, &part(last + 1)], &record)? {
            Put::Created | Put::Same => Ok((Put::Created, Some((last + 1).to_string()))),
            Put::Conflict => match condition.permits(Some("another")) {
                Ok(()) => Ok((Put::Conflict, None)),
                Err(refusal) => Err(refusal),
            },
        }
    }
}
