// SPDX-License-Identifier: Apache-2.0

//! Paths of the API. Names are taken as they are written; no name needs an escape, so none is taken.

use drawbridge_core::{API_VERSION, parse_path};

use crate::auth::token::TokenId;
use crate::store::{RepoName, TagName, UserName};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/health`
    Health,
    /// `/api/openapi.json`
    OpenApi,
    /// `/_search`
    Search,
    /// `/{user}`
    User(UserName),
    /// `/{user}/_org`
    Org(UserName),
    /// `/{user}/_repos`
    Repos(UserName),
    /// `/{user}/_publishers`
    OwnerPublishers(UserName),
    /// `/{user}/_keys`
    Keys(UserName),
    /// `/{user}/_token`
    Tokens(UserName),
    /// `/{user}/_token/{id}`
    Token(UserName, TokenId),
    /// `/{user}/{repo}`
    Repo(RepoName),
    /// `/{user}/{repo}/_access`
    Access(RepoName),
    /// `/{user}/{repo}/_publishers`
    Publishers(RepoName),
    /// `/{user}/{repo}/_policies`
    Policies(RepoName),
    /// `/{user}/{repo}/_policy[/{version}]`
    Policy(RepoName, Option<u64>),
    /// `/{user}/{repo}/_tag`
    Tags(RepoName),
    /// `/{user}/{repo}/_tag/{tag}`
    Tag(TagName),
    /// `/{user}/{repo}/_tag/{tag}/_deploy`
    Deploy(TagName),
    /// `/{user}/{repo}/_tag/{tag}/_signatures`
    Signatures(TagName),
    /// `/{user}/{repo}/_tag/{tag}/_yank`
    Yank(TagName),
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
            Self::OpenApi => "/api/openapi.json",
            Self::Search => "/_search",
            Self::User(_) => "/{user}",
            Self::Org(_) => "/{user}/_org",
            Self::Repos(_) => "/{user}/_repos",
            Self::OwnerPublishers(_) => "/{user}/_publishers",
            Self::Keys(_) => "/{user}/_keys",
            Self::Tokens(_) => "/{user}/_token",
            Self::Token(..) => "/{user}/_token/{id}",
            Self::Repo(_) => "/{user}/{repo}",
            Self::Access(_) => "/{user}/{repo}/_access",
            Self::Publishers(_) => "/{user}/{repo}/_publishers",
            Self::Policies(_) => "/{user}/{repo}/_policies",
            Self::Policy(..) => "/{user}/{repo}/_policy",
            Self::Tags(_) => "/{user}/{repo}/_tag",
            Self::Tag(_) => "/{user}/{repo}/_tag/{tag}",
            Self::Deploy(_) => "/{user}/{repo}/_tag/{tag}/_deploy",
            Self::Signatures(_) => "/{user}/{repo}/_tag/{tag}/_signatures",
            Self::Yank(_) => "/{user}/{repo}/_tag/{tag}/_yank",
            Self::Node(..) => "/{user}/{repo}/_tag/{tag}/tree/{path}",
        }
    }

    /// The methods that it takes, as the header `Allow` lists them.
    pub const fn methods(&self) -> &'static str {
        match self {
            Self::Health
            | Self::OpenApi
            | Self::Search
            | Self::Repos(_)
            | Self::Tags(_)
            | Self::Deploy(_)
            | Self::Policies(_)
            | Self::Policy(_, Some(_)) => "GET, HEAD",
            Self::Tokens(_) | Self::Signatures(_) => "GET, HEAD, POST",
            Self::Token(..) => "DELETE",
            Self::Yank(_) => "GET, HEAD, PUT, DELETE",
            _ => "GET, HEAD, PUT",
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
        if path == "/api/openapi.json" {
            return Ok(Self::OpenApi);
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
        // No owner's name has such a character.
        if user.starts_with('_') {
            let search = user == "_search" && next().is_none();
            return search.then_some(Self::Search).ok_or(RouteError::Unknown);
        }
        let user = UserName::new(user)
            .ok_or(RouteError::Name("a user's name has 1 to 64 letters and digits"))?;
        let repo = match next() {
            None => return Ok(Self::User(user)),
            // No repository's name has such a character.
            Some(special) if special.starts_with('_') => {
                return Self::of_owner(user, special, next(), next());
            }
            Some(repo) => repo,
        };
        let repo = RepoName::new(user, repo)
            .ok_or(RouteError::Name("a repository's name has 1 to 64 letters, digits and -"))?;
        match next() {
            None => return Ok(Self::Repo(repo)),
            Some("_tag") => {}
            Some(special) => return Self::of_repo(repo, special, next(), next()),
        }
        let Some(tag) = next() else {
            return Ok(Self::Tags(repo));
        };
        let tag = TagName::new(repo, tag)
            .ok_or(RouteError::Name("a tag is a semantic version of at most 128 bytes"))?;
        match (next(), next()) {
            (None, _) => Ok(Self::Tag(tag)),
            (Some("_deploy"), None) => Ok(Self::Deploy(tag)),
            (Some("_signatures"), None) => Ok(Self::Signatures(tag)),
            (Some("_yank"), None) => Ok(Self::Yank(tag)),
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

    fn of_owner(
        owner: UserName,
        special: &str,
        more: Option<&str>,
        rest: Option<&str>,
    ) -> Result<Self, RouteError> {
        match (special, more, rest) {
            ("_org", None, None) => Ok(Self::Org(owner)),
            ("_repos", None, None) => Ok(Self::Repos(owner)),
            ("_publishers", None, None) => Ok(Self::OwnerPublishers(owner)),
            ("_keys", None, None) => Ok(Self::Keys(owner)),
            ("_token", None, None) => Ok(Self::Tokens(owner)),
            ("_token", Some(id), None) => match TokenId::new(id) {
                Some(id) => Ok(Self::Token(owner, id)),
                None => Err(RouteError::Name("a token's id has 16 hex digits")),
            },
            _ => Err(RouteError::Unknown),
        }
    }

    fn of_repo(
        repo: RepoName,
        special: &str,
        more: Option<&str>,
        rest: Option<&str>,
    ) -> Result<Self, RouteError> {
        match (special, more, rest) {
            ("_access", None, None) => Ok(Self::Access(repo)),
            ("_publishers", None, None) => Ok(Self::Publishers(repo)),
            ("_policies", None, None) => Ok(Self::Policies(repo)),
            ("_policy", None, None) => Ok(Self::Policy(repo, None)),
            ("_policy", Some(version), None) => match number(version) {
                Some(version) => Ok(Self::Policy(repo, Some(version))),
                None => Err(RouteError::Name("a policy's version is a number from 1 on")),
            },
            _ => Err(RouteError::Unknown),
        }
    }
}

/// A number from 1 on, in its one spelling.
fn number(text: &str) -> Option<u64> {
    let digits = text.len() <= 8 && text.bytes().all(|b| b.is_ascii_digit());
    (digits && !text.starts_with('0')).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(path: &str) -> String {
        match Route::parse(path) {
            Ok(Route::Health) => "health".into(),
            Ok(Route::OpenApi) => "openapi".into(),
            Ok(Route::Search) => "search".into(),
            Ok(Route::Repos(u)) => format!("repos {u}"),
            Ok(Route::User(u)) => format!("user {u}"),
            Ok(Route::Org(u)) => format!("org {u}"),
            Ok(Route::OwnerPublishers(u)) => format!("publishers {u}"),
            Ok(Route::Tokens(u)) => format!("tokens {u}"),
            Ok(Route::Token(u, id)) => format!("token {u} {}", id.as_str()),
            Ok(Route::Repo(r)) => format!("repo {r}"),
            Ok(Route::Access(r)) => format!("access {r}"),
            Ok(Route::Publishers(r)) => format!("publishers {r}"),
            Ok(Route::Policies(r)) => format!("policies {r}"),
            Ok(Route::Policy(r, version)) => format!("policy {r} {version:?}"),
            Ok(Route::Tags(r)) => format!("tags {r}"),
            Ok(Route::Tag(t)) => format!("tag {t}"),
            Ok(Route::Deploy(t)) => format!("deploy {t}"),
            Ok(Route::Keys(u)) => format!("keys {u}"),
            Ok(Route::Signatures(t)) => format!("signatures {t}"),
            Ok(Route::Yank(t)) => format!("yank {t}"),
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
            ("/api/openapi.json", "openapi"),
            ("/api/v0.1.0/_search", "search"),
            ("/api/v0.1.0/ann/_repos", "repos ann"),
            ("/api/v0.1.0/ann/_org", "org ann"),
            ("/api/v0.1.0/ann/_publishers", "publishers ann"),
            ("/api/v0.1.0/ann/_keys", "keys ann"),
            ("/api/v0.1.0/ann/_token", "tokens ann"),
            ("/api/v0.1.0/ann/_token/0123456789abcdef", "token ann 0123456789abcdef"),
            ("/api/v0.1.0/ann/app/_access", "access ann/app"),
            ("/api/v0.1.0/ann/app/_publishers", "publishers ann/app"),
            ("/api/v0.1.0/ann/app/_policies", "policies ann/app"),
            ("/api/v0.1.0/ann/app/_policy", "policy ann/app None"),
            ("/api/v0.1.0/ann/app/_policy/12", "policy ann/app Some(12)"),
            ("/api/v0.1.0/ann/app/_tag", "tags ann/app"),
            ("/api/v0.1.0/ann/app/_tag/1.2.3-rc.1+b", "tag ann/app:1.2.3-rc.1+b"),
            ("/api/v0.1.0/ann/app/_tag/1.2.3/_deploy", "deploy ann/app:1.2.3"),
            ("/api/v0.1.0/ann/app/_tag/1.2.3/_signatures", "signatures ann/app:1.2.3"),
            ("/api/v0.1.0/ann/app/_tag/1.2.3/_yank", "yank ann/app:1.2.3"),
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
            ("/api/v0.1.0/_", "Unknown"),
            ("/api/v0.1.0/_search/", "Unknown"),
            ("/api/v0.1.0/ann/_repos/x", "Unknown"),
            ("/api/v0.1.0/ann/_", "Unknown"),
            ("/api/v0.1.0/ann/_org/", "Unknown"),
            ("/api/v0.1.0/ann/_org/x", "Unknown"),
            ("/api/v0.1.0/ann/_keys/x", "Unknown"),
            ("/api/v0.1.0/ann/_token/", "Name"),
            ("/api/v0.1.0/ann/_token/0123456789ABCDEF", "Name"),
            ("/api/v0.1.0/ann/_token/0123456789abcdef/x", "Unknown"),
            ("/api/v0.1.0/ann/app/_policy/0", "Name"),
            ("/api/v0.1.0/ann/app/_policy/01", "Name"),
            ("/api/v0.1.0/ann/app/_policy/+1", "Name"),
            ("/api/v0.1.0/ann/app/_policy/1/2", "Unknown"),
            ("/api/v0.1.0/ann/app/_access/x", "Unknown"),
            ("/api/v0.1.0/ann/app/tag", "Unknown"),
            ("/api/v0.1.0/ann/app/_tag/", "Name"),
            ("/api/v0.1.0/ann/app/_tag/latest", "Name"),
            ("/api/v0.1.0/ann/app/_tag/1.0.0/", "Unknown"),
            ("/api/v0.1.0/ann/app/_tag/1.0.0/deploy", "Unknown"),
            ("/api/v0.1.0/ann/app/_tag/1.0.0/_deploy/x", "Unknown"),
            ("/api/v0.1.0/ann/app/_tag/1.0.0/_yank/x", "Unknown"),
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
