// SPDX-License-Identifier: Apache-2.0

//! Paths of the API. Names are taken as they are written; no name needs an escape, so none is taken.

use drawbridge_core::{API_VERSION, parse_path};

use crate::store::{RepoName, TagName, UserName};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/health`
    Health,
    /// `/{user}`
    User(UserName),
    /// `/{user}/{repo}`
    Repo(RepoName),
    /// `/{user}/{repo}/_tag`
    Tags(RepoName),
    /// `/{user}/{repo}/_tag/{tag}`
    Tag(TagName),
    /// `/{user}/{repo}/_tag/{tag}/_deploy`
    Deploy(TagName),
    /// `/{user}/{repo}/_tag/{tag}/tree[/{path}]`
    Node(TagName, Vec<String>),
}

/// Why a path names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// The version of the API is no semantic version.
    Version,
    /// The version of the API is newer than this registry's.
    Newer,
    /// A name has characters that it must not have.
    Name(&'static str),
    /// There is nothing like this.
    Unknown,
}

impl Route {
    /// The route without the names in it, for metrics.
    pub const fn template(&self) -> &'static str {
        match self {
            Self::Health => "/health",
            Self::User(_) => "/{user}",
            Self::Repo(_) => "/{user}/{repo}",
            Self::Tags(_) => "/{user}/{repo}/_tag",
            Self::Tag(_) => "/{user}/{repo}/_tag/{tag}",
            Self::Deploy(_) => "/{user}/{repo}/_tag/{tag}/_deploy",
            Self::Node(..) => "/{user}/{repo}/_tag/{tag}/tree/{path}",
        }
    }

    /// Reads the path of a request, undecoded.
    ///
    /// # Errors
    /// See [`RouteError`].
    pub fn parse(path: &str) -> Result<Self, RouteError> {
        if path == "/health" {
            return Ok(Self::Health);
        }
        let rest = path.strip_prefix("/api/v").ok_or(RouteError::Unknown)?;
        let (version, rest) = rest.split_once('/').ok_or(RouteError::Unknown)?;
        let version = types::slug::parse_tag(version).ok_or(RouteError::Version)?;
        if (version.major, version.minor) > (API_VERSION.major, API_VERSION.minor) {
            return Err(RouteError::Newer);
        }
        let mut parts = rest.splitn(6, '/');
        let mut next = || parts.next();
        let user = next().filter(|u| !u.is_empty()).ok_or(RouteError::Unknown)?;
        let user = UserName::new(user)
            .ok_or(RouteError::Name("a user's name has 1 to 64 letters and digits"))?;
        let Some(repo) = next() else {
            return Ok(Self::User(user));
        };
        let repo = RepoName::new(user, repo)
            .ok_or(RouteError::Name("a repository's name has 1 to 64 letters, digits and -"))?;
        match next() {
            None => return Ok(Self::Repo(repo)),
            Some("_tag") => {}
            Some(_) => return Err(RouteError::Unknown),
        }
        let Some(tag) = next() else {
            return Ok(Self::Tags(repo));
        };
        let tag = TagName::new(repo, tag)
            .ok_or(RouteError::Name("a tag is a semantic version of at most 128 bytes"))?;
        match (next(), next()) {
            (None, _) => Ok(Self::Tag(tag)),
            (Some("_deploy"), None) => Ok(Self::Deploy(tag)),
            (Some("tree"), None) => Ok(Self::Node(tag, Vec::new())),
            (Some("tree"), Some(path)) if !path.is_empty() => match parse_path(path) {
                Ok(names) => Ok(Self::Node(tag, names.into_iter().map(str::to_owned).collect())),
                Err(_) => Err(RouteError::Name(
                    "a path in a tree has at most 16 names of letters, digits and _ . : -, none of them . or ..",
                )),
            },
            _ => Err(RouteError::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(path: &str) -> String {
        match Route::parse(path) {
            Ok(Route::Health) => "health".into(),
            Ok(Route::User(u)) => format!("user {u}"),
            Ok(Route::Repo(r)) => format!("repo {r}"),
            Ok(Route::Tags(r)) => format!("tags {r}"),
            Ok(Route::Tag(t)) => format!("tag {t}"),
            Ok(Route::Deploy(t)) => format!("deploy {t}"),
            Ok(Route::Node(t, p)) => format!("node {t} {}", p.join(" ")),
            Err(error) => format!("{error:?}").split('(').next().unwrap().to_owned(),
        }
    }

    #[test]
    fn every_path_of_the_api() {
        for (path, expected) in [
            ("/health", "health"),
            ("/api/v0.1.0/ann", "user ann"),
            ("/api/v0.0.9/ann", "user ann"),
            ("/api/v0.1.7/ann", "user ann"),
            ("/api/v0.1.0/ann/my-app", "repo ann/my-app"),
            ("/api/v0.1.0/ann/app/_tag", "tags ann/app"),
            ("/api/v0.1.0/ann/app/_tag/1.2.3-rc.1+b", "tag ann/app:1.2.3-rc.1+b"),
            ("/api/v0.1.0/ann/app/_tag/1.2.3/_deploy", "deploy ann/app:1.2.3"),
            ("/api/v0.1.0/ann/app/_tag/1.2.3/tree", "node ann/app:1.2.3 "),
            ("/api/v0.1.0/ann/app/_tag/1.2.3/tree/a/b.c", "node ann/app:1.2.3 a b.c"),
        ] {
            assert_eq!(show(path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_none() {
        for (path, expected) in [
            ("", "Unknown"),
            ("/", "Unknown"),
            ("/health/", "Unknown"),
            ("/api", "Unknown"),
            ("/api/v0.1.0", "Unknown"),
            ("/api/v0.1.0/", "Unknown"),
            ("/api/0.1.0/ann", "Unknown"),
            ("/api/v0.2.0/ann", "Newer"),
            ("/api/v1.0.0/ann", "Newer"),
            ("/api/v0.1/ann", "Version"),
            ("/api/v/ann", "Version"),
            ("/api/v0.1.0/an.n", "Name"),
            ("/api/v0.1.0/..", "Name"),
            ("/api/v0.1.0/ann/", "Name"),
            ("/api/v0.1.0/ann/..", "Name"),
            ("/api/v0.1.0/ann/%2e%2e", "Name"),
            ("/api/v0.1.0/ann/app/tag", "Unknown"),
            ("/api/v0.1.0/ann/app/_tag/", "Name"),
            ("/api/v0.1.0/ann/app/_tag/latest", "Name"),
            ("/api/v0.1.0/ann/app/_tag/1.0.0/", "Unknown"),
            ("/api/v0.1.0/ann/app/_tag/1.0.0/deploy", "Unknown"),
            ("/api/v0.1.0/ann/app/_tag/1.0.0/_deploy/x", "Unknown"),
            ("/api/v0.1.0/ann/app/_tag/1.0.0/tree/", "Unknown"),
            ("/api/v0.1.0/ann/app/_tag/1.0.0/tree//a", "Name"),
            ("/api/v0.1.0/ann/app/_tag/1.0.0/tree/a/", "Name"),
            ("/api/v0.1.0/ann/app/_tag/1.0.0/tree/../a", "Name"),
            ("/api/v0.1.0/ann/app/_tag/1.0.0/tree/a%00", "Name"),
            ("/api/v0.1.0/ann/app/_tag/1.0.0/tree/a\\b", "Name"),
        ] {
            assert_eq!(show(path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_name_ever_leaves_its_directory(path in "/api/v0\\.1\\.0/[a-z]{1,3}(/[a-z_./%]{0,8}){0,6}") {
            if let Ok(Route::Node(_, names)) = Route::parse(&path) {
                for name in names {
                    prop_assert!(name != ".." && name != "." && !name.is_empty() && !name.contains('/'));
                }
            }
        }
    }
}
