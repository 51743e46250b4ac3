// SPDX-License-Identifier: Apache-2.0

//! Talks to a Drawbridge and believes nothing that it says.
//!
//! Bytes are handed out only after they hashed to the digest that was asked for. Everything is bounded by
//! [`types::limits`]. Calls block; whoever calls brings the HTTP agent, and with it roots, client certificate, resolver and
//! time limits.

#![forbid(unsafe_code)]

mod error;
mod fetch;
mod find;
mod http;
mod publish;
mod rights;
mod signatures;
mod tree;
mod yank;

use std::fmt;

use drawbridge_core::jose::Jose;
use drawbridge_core::{DeployInfo, RepoRecord, TagRecord, UserRecord, media};
use types::slug::Slug;
use types::{limits, slug};

pub use drawbridge_core;
pub use error::Error;
pub use find::Found;
pub use publish::{Progress, Published};
pub use rights::{Document, Tagged};
pub use tree::Listing;

/// A registry, as one party sees it.
#[derive(Clone)]
pub struct Client {
    host: String,
    agent: ureq::Agent,
    token: Option<Token>,
}

/// A bearer token. Its value is never shown.
#[derive(Clone)]
struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.host)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// The registry at `host[:port]`, over https by this agent.
    pub fn new(host: &str, agent: ureq::Agent) -> Self {
        Self { host: host.to_owned(), agent, token: None }
    }

    /// The same, on behalf of the person with this bearer token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token(token.into()));
        self
    }

    /// The registry's host, with its port where it has one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What a Keep may know before it is attested: digest, tag statement, Steward (docs/FORMATS.md 2.4).
    ///
    /// If the name pins a digest, the registry must state the same.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn deploy_info(&self, slug: &Slug) -> Result<DeployInfo, Error> {
        let path = format!("{}/_deploy", self.tag_path(slug)?);
        let info: DeployInfo = self.get_json(&path, limits::JSON_BYTES_MAX)?;
        match slug.digest {
            Some(pinned) if pinned != info.digest => Err(Error::Integrity {
                what: slug.without_digest_ref(),
                detail: format!(
                    "the name pins {pinned}, but the registry says that the tag stands for {}",
                    info.digest
                ),
            }),
            _ => Ok(info),
        }
    }

    /// The content of a tag: the entry of the package's root. If the name pins a digest, it must be that of the entry.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn tag_entry(&self, slug: &Slug) -> Result<TagRecord, Error> {
        let path = self.tag_path(slug)?;
        let answer = self.get(&path, limits::JSON_BYTES_MAX)?;
        let tag = match answer.media_type.as_deref() {
            Some(media::ENTRY) => {
                TagRecord::from_bytes(&answer.body).map_err(|e| answer.wrong(e))?
            }
            // What counts is the digest, whoever signed it: names pin it, or the registry states it.
            Some(media::JOSE) => Jose::parse(&answer.body).map_err(|e| answer.wrong(e))?.tag,
            _ => return Err(answer.wrong("the tag is of an unknown type")),
        };
        match slug.digest {
            Some(pinned) if pinned != tag.0.digest.sha256() => Err(Error::Integrity {
                what: slug.without_digest_ref(),
                detail: format!(
                    "the name pins {pinned}, but the tag stands for {}",
                    tag.0.digest.sha256()
                ),
            }),
            _ => Ok(tag),
        }
    }

    /// The tags of a repository, but for those that are yanked.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn tags(&self, user: &str, repo: &str) -> Result<Vec<semver::Version>, Error> {
        self.tags_at(format!("{}/_tag", self.repo_path(user, repo)?))
    }

    /// The tags of a repository, also those that are yanked.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn tags_with_yanked(&self, user: &str, repo: &str) -> Result<Vec<semver::Version>, Error> {
        self.tags_at(format!("{}/_tag?yanked=true", self.repo_path(user, repo)?))
    }

    fn tags_at(&self, path: String) -> Result<Vec<semver::Version>, Error> {
        let max = limits::TAGS_MAX * (limits::TAG_BYTES_MAX + 3) + 2;
        let tags: Vec<String> = self.get_json(&path, max)?;
        let parse = |tag: &String| slug::parse_tag(tag);
        let tags: Option<Vec<_>> = tags.iter().map(parse).collect();
        tags.filter(|t| t.len() <= limits::TAGS_MAX).ok_or_else(|| Error::Answer {
            url: self.url(&path),
            detail: "the list of tags has a name that is no semantic version".to_owned(),
        })
    }

    /// The record of a user.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn user_get(&self, user: &str) -> Result<UserRecord, Error> {
        self.get_json(&self.user_path(user)?, limits::JSON_BYTES_MAX)
    }

    /// Registers a user; `false` if the same record was there before.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn user_put(&self, user: &str, record: &UserRecord) -> Result<bool, Error> {
        self.put_json(&self.user_path(user)?, record)
    }

    /// The record of a repository.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn repo_get(&self, user: &str, repo: &str) -> Result<RepoRecord, Error> {
        self.get_json(&self.repo_path(user, repo)?, limits::JSON_BYTES_MAX)
    }

    /// Registers a repository; `false` if the same record was there before.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn repo_put(&self, user: &str, repo: &str, record: &RepoRecord) -> Result<bool, Error> {
        self.put_json(&self.repo_path(user, repo)?, record)
    }

    fn user_path(&self, user: &str) -> Result<String, Error> {
        if !slug::valid_host(&self.host) {
            return Err(Error::Name("the host is no DNS name or address in lower case"));
        }
        if !slug::valid_user(user) {
            return Err(Error::Name("the user may have only letters and digits, at most 64"));
        }
        Ok(user.to_owned())
    }

    fn repo_path(&self, user: &str, repo: &str) -> Result<String, Error> {
        if !slug::valid_repo(repo) {
            return Err(Error::Name(
                "the repository may have only letters, digits and -, at most 64",
            ));
        }
        Ok(format!("{}/{repo}", self.user_path(user)?))
    }

    fn tag_path(&self, slug: &Slug) -> Result<String, Error> {
        if slug.host != self.host {
            return Err(Error::Name("the workload's name is of another registry's host"));
        }
        Ok(format!("{}/_tag/{}", self.repo_path(&slug.user, &slug.repo)?, slug.tag))
    }
}

/// A slug as messages name it.
trait Named {
    fn without_digest_ref(&self) -> String;
}

impl Named for Slug {
    fn without_digest_ref(&self) -> String {
        self.clone().without_digest().to_string()
    }
}
