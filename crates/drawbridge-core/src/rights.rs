// SPDX-License-Identifier: Apache-2.0

//! Who may do what in a registry, as its owners write it down (docs/FORMATS.md 2.6 to 2.9).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use types::{limits, slug};

/// What somebody may do with a repository, or with all of an organisation. Each role has what those below it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read what is private.
    Reader,
    /// Publish.
    Writer,
    /// Register and change repositories, and say who may do what.
    Owner,
}

impl Role {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with a document, in words.
pub type Flaw = String;

/// An organisation: a name that several people share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgDocument {
    /// Users of this registry, each with its role in all repositories of the organisation.
    pub members: BTreeMap<String, Role>,
    /// Users by team. A team has rights only where a repository gives it some.
    #[serde(default)]
    pub teams: BTreeMap<String, BTreeSet<String>>,
}

impl OrgDocument {
    /// Whether it can stand: names are names, somebody owns it, and it is not too large.
    ///
    /// # Errors
    /// The first flaw.
    pub fn check(&self) -> Result<(), Flaw> {
        self.members.keys().try_for_each(|name| user(name))?;
        for (team, users) in &self.teams {
            if !slug::valid_repo(team) {
                return Err(format!(
                    "{:?} is no name of a team: 1 to 64 letters, digits and -",
                    cut(team)
                ));
            }
            users.iter().try_for_each(|name| user(name))?;
        }
        at_most(self.teams.len(), limits::TEAMS_MAX, "teams")?;
        at_most(self.users().len(), limits::MEMBERS_MAX, "users")?;
        if self.members.values().any(|role| *role == Role::Owner) {
            Ok(())
        } else {
            Err("at least one member must be an owner, or nobody could ever change it".to_owned())
        }
    }

    /// Everybody who is named.
    pub fn users(&self) -> BTreeSet<&str> {
        let teams = self.teams.values().flatten();
        self.members.keys().chain(teams).map(String::as_str).collect()
    }
}

/// Who has rights in one repository besides those who have them in all of its owner's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessDocument {
    /// By users of this registry.
    #[serde(default)]
    pub users: BTreeMap<String, Role>,
    /// By teams of the organisation whose repository it is.
    #[serde(default)]
    pub teams: BTreeMap<String, Role>,
}

impl AccessDocument {
    /// Whether it can stand; `teams` are those of the organisation.
    ///
    /// # Errors
    /// The first flaw.
    pub fn check(&self, teams: &BTreeMap<String, BTreeSet<String>>) -> Result<(), Flaw> {
        self.users.keys().try_for_each(|name| user(name))?;
        if let Some(unknown) = self.teams.keys().find(|team| !teams.contains_key(*team)) {
            return Err(format!("the owner has no team {:?}", cut(unknown)));
        }
        at_most(self.users.len(), limits::MEMBERS_MAX, "users")
    }
}

/// Which tokens of other issuers may publish (trusted publishing).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishersDocument {
    /// One of them has to hold.
    pub publishers: Vec<Publisher>,
}

/// One rule for tokens of another issuer: all of it has to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publisher {
    /// What the audit log calls it.
    pub name: String,
    /// The token's `iss`, one of those that the registry's operator trusts.
    pub issuer: String,
    /// What the token's `aud` must have in it.
    pub audience: String,
    /// Claims by name, each with the value it must have. In a few ([`GLOB_CLAIMS`]) `*` stands for any characters.
    pub claims: BTreeMap<String, String>,
    /// In rules of an owner: the repositories that may be published to, by name, or beginning with what is before a `*` at
    /// the end. In those of a repository: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repos: Vec<String>,
}

/// Claims in whose values `*` stands for any characters: none of these alone says whose token it is.
pub const GLOB_CLAIMS: [&str; 5] =
    ["environment", "job_workflow_ref", "ref", "ref_path", "workflow_ref"];

/// Claims that are judged by other members of a rule, or by the clock.
const RESERVED_CLAIMS: [&str; 6] = ["aud", "exp", "iat", "iss", "jti", "nbf"];

impl PublishersDocument {
    /// Whether it can stand. Rules of an owner name `repos`, those of one repository do not.
    ///
    /// # Errors
    /// The first flaw.
    pub fn check(&self, of_owner: bool) -> Result<(), Flaw> {
        at_most(self.publishers.len(), limits::PUBLISHERS_MAX, "publishers")?;
        let mut names = BTreeSet::new();
        for publisher in &self.publishers {
            publisher
                .check(of_owner)
                .map_err(|flaw| format!("the publisher {:?}: {flaw}", cut(&publisher.name)))?;
            if !names.insert(&publisher.name) {
                return Err(format!("two publishers are called {:?}", publisher.name));
            }
        }
        Ok(())
    }
}

impl Publisher {
    fn check(&self, of_owner: bool) -> Result<(), Flaw> {
        if !slug::valid_repo(&self.name) {
            return Err("its name must have 1 to 64 letters, digits and -".to_owned());
        }
        let texts = [&self.issuer, &self.audience].into_iter().chain(self.claims.values());
        for text in texts.chain(self.claims.keys()) {
            if text.is_empty() || text.len() > limits::CLAIM_BYTES_MAX {
                let max = limits::CLAIM_BYTES_MAX;
                return Err(format!(
                    "issuer, audience, claims and their values have 1 to {max} bytes"
                ));
            }
        }
        at_most(self.claims.len(), limits::CLAIM_RULES_MAX, "claims")?;
        for (claim, value) in &self.claims {
            if RESERVED_CLAIMS.contains(&claim.as_str()) {
                return Err(format!("the claim {claim} cannot be ruled by `claims`"));
            }
            if value.contains('*') && !GLOB_CLAIMS.contains(&claim.as_str()) {
                let taken = GLOB_CLAIMS.join(", ");
                return Err(format!("* is taken in {taken} only, not in {:?}", cut(claim)));
            }
        }
        // Else anybody who has an account at that issuer could publish.
        let telling = |(claim, _): (&String, &String)| !GLOB_CLAIMS.contains(&claim.as_str());
        if !self.claims.iter().any(telling) {
            return Err(
                "`claims` must say whose token it is, for example by `repository_id` or `sub`"
                    .to_owned(),
            );
        }
        if of_owner == self.repos.is_empty() {
            return Err(if of_owner {
                "`repos` must name the repositories that it may publish to".to_owned()
            } else {
                "`repos` is for the rules of an owner, not for those of one repository".to_owned()
            });
        }
        check_patterns(&self.repos)
    }
}

/// Whether each is the name of a repository, or the beginning of one and `*`.
///
/// # Errors
/// The first that is none.
pub fn check_patterns(patterns: &[String]) -> Result<(), Flaw> {
    at_most(patterns.len(), limits::TOKEN_REPOS_MAX, "repositories")?;
    let good = |pattern: &String| {
        let stem = pattern.strip_suffix('*').unwrap_or(pattern);
        slug::valid_repo(stem) || pattern == "*"
    };
    match patterns.iter().find(|pattern| !good(pattern)) {
        None => Ok(()),
        Some(bad) => Err(format!(
            "{:?} names no repository: wanted a name, or the beginning of one and *",
            cut(bad)
        )),
    }
}

/// Whether `repo` is one of those that the patterns name.
pub fn names_repo(patterns: &[String], repo: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(stem) => repo.starts_with(stem),
        None => pattern == repo,
    })
}

/// Everything that a token of the registry's own can be allowed.
pub const TOKEN_SCOPES: [&str; 5] = [
    "read:drawbridge_repositories",
    "read:drawbridge_tags",
    "read:drawbridge_users",
    "write:drawbridge_repositories",
    "write:drawbridge_tags",
];

/// A wish for a token of the registry's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What it is for, in words of its owner.
    pub name: String,
    /// What it is to allow, of [`TOKEN_SCOPES`].
    pub scopes: BTreeSet<String>,
    /// The repositories of the owner that it is for, as in [`Publisher::repos`].
    pub repos: Vec<String>,
    /// When it ends, in seconds from now.
    pub expires_in: u64,
}

impl TokenRequest {
    /// Whether there can be such a token.
    ///
    /// # Errors
    /// The first flaw.
    pub fn check(&self) -> Result<(), Flaw> {
        let printable = self.name.chars().all(|c| matches!(c, ' '..='~'));
        if !(1..=limits::NAME_BYTES_MAX).contains(&self.name.len()) || !printable {
            return Err("`name` must have 1 to 64 printable characters of ASCII".to_owned());
        }
        if self.scopes.is_empty() {
            return Err(format!("`scopes` is empty; there are {}", TOKEN_SCOPES.join(", ")));
        }
        let known = |scope: &&String| !TOKEN_SCOPES.contains(&scope.as_str());
        if let Some(unknown) = self.scopes.iter().find(known) {
            let there_are = TOKEN_SCOPES.join(", ");
            return Err(format!(
                "no token can have the scope {:?}; there are {there_are}",
                cut(unknown)
            ));
        }
        if self.repos.is_empty() {
            return Err("`repos` is empty; [\"*\"] stands for all of them".to_owned());
        }
        check_patterns(&self.repos)?;
        if !(1..=limits::TOKEN_SECONDS_MAX).contains(&self.expires_in) {
            let days = limits::TOKEN_SECONDS_MAX / 86_400;
            return Err(format!("`expires_in` must be 1 second to {days} days"));
        }
        Ok(())
    }
}

/// For whom a token of the registry's own speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// For the person who made it: it can do nothing that the person cannot.
    Personal,
    /// For an organisation, whoever made it.
    Robot,
}

/// What is known of a token of the registry's own. The token itself is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenInfo {
    /// Its public part, by which it is revoked.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// For whom it speaks.
    pub kind: TokenKind,
    /// What it allows.
    pub scopes: BTreeSet<String>,
    /// With which repositories.
    pub repos: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub created_at: u64,
    /// When it ends, in seconds since 1970.
    pub expires_at: u64,
}

/// A new token. This is the only time that it is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenCreated {
    /// The bearer token.
    pub token: String,
    /// What is known of it.
    pub info: TokenInfo,
}

impl fmt::Debug for TokenCreated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCreated").field("info", &self.info).finish_non_exhaustive()
    }
}

/// One version of a repository's release policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyVersion {
    /// Its number, from 1 on; the last one is in force.
    pub version: u64,
    /// When it was written, in seconds since 1970.
    pub created_at: u64,
}

fn user(name: &str) -> Result<(), Flaw> {
    if slug::valid_user(name) {
        Ok(())
    } else {
        Err(format!("{:?} is no name of a user: 1 to 64 letters and digits", cut(name)))
    }
}

fn at_most(count: usize, max: usize, what: &str) -> Result<(), Flaw> {
    if count <= max {
        Ok(())
    } else {
        Err(format!("there are {count} {what}; at most {max} are taken"))
    }
}

/// What an error shows of a name.
fn cut(name: &str) -> &str {
    name.get(..name.floor_char_boundary(64)).unwrap_or(name)
}

#[cfg(test)]
mod tests;
