// SPDX-License-Identifier: Apache-2.0

//! Names that are safe as parts of a path: whoever has one of these types has a checked name.

use std::fmt;

use types::digest::Sha256;
use types::slug;

use super::Key;

/// A user's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName(String);

/// A repository's full name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoName {
    user: UserName,
    repo: String,
}

/// A tag's full name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagName {
    repo: RepoName,
    tag: String,
}

impl UserName {
    /// `None` if this is no user's name.
    pub fn new(user: &str) -> Option<Self> {
        slug::valid_user(user).then(|| Self(user.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What names the user's records.
    pub fn parts(&self) -> [&str; 1] {
        [&self.0]
    }
}

impl RepoName {
    /// `None` if this is no repository's name.
    pub fn new(user: UserName, repo: &str) -> Option<Self> {
        slug::valid_repo(repo).then(|| Self { user, repo: repo.to_owned() })
    }

    /// Whose it is.
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// The name, without the user's.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// What names the repository's records.
    pub fn parts(&self) -> [&str; 2] {
        [&self.user.0, &self.repo]
    }

    /// Where this repository's content with this digest is.
    pub(crate) fn blob(&self, digest: &Sha256) -> Key {
        Key::own(format!("blobs/{}/{}/{}", self.user, self.repo, digest.to_hex()))
    }
}

impl TagName {
    /// `None` if this is no semantic version.
    pub fn new(repo: RepoName, tag: &str) -> Option<Self> {
        slug::parse_tag(tag).map(|tag| Self { repo, tag: tag.to_string() })
    }

    /// The repository.
    pub fn repo(&self) -> &RepoName {
        &self.repo
    }

    /// The version.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// What names the tag's records.
    pub fn parts(&self) -> [&str; 3] {
        [&self.repo.user.0, &self.repo.repo, &self.tag]
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.user, self.repo)
    }
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repo, self.tag)
    }
}
