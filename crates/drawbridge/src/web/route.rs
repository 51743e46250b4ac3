// SPDX-License-Identifier: Apache-2.0

//! Paths of pages.

use drawbridge_core::parse_path;

use crate::store::{RepoName, TagName, UserName};

/// What a page is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `/`
    Root,
    /// `/_/`
    Home,
    /// `/_/{user}`
    Owner(UserName),
    /// `/_/{user}/{repo}`
    Repo(RepoName),
    /// `/_/{user}/{repo}/{tag}`
    Version(TagName),
    /// `/_/{user}/{repo}/{tag}/tree/{path}`
    Node(TagName, Vec<String>),
}

/// A path of no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown;

impl Place {
    /// The path without the names in it, for metrics.
    pub(super) const fn template(&self) -> &'static str {
        match self {
            Self::Root => "/",
            Self::Home => "/_/",
            Self::Owner(_) => "/_/{user}",
            Self::Repo(_) => "/_/{user}/{repo}",
            Self::Version(_) => "/_/{user}/{repo}/{tag}",
            Self::Node(..) => "/_/{user}/{repo}/{tag}/tree/{path}",
        }
    }

    /// Reads the path of a request, undecoded; no name needs an escape.
    pub(super) fn parse(path: &str) -> Result<Self, Unknown> {
        if path == "/" {
            return Ok(Self::Root);
        }
        let rest = match path.strip_prefix("/_") {
            Some("" | "/") => return Ok(Self::Home),
            Some(rest) => rest.strip_prefix('/').ok_or(Unknown)?,
            None => return Err(Unknown),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let mut parts = rest.splitn(5, '/');
        let user = parts.next().and_then(UserName::new).ok_or(Unknown)?;
        let Some(repo) = parts.next() else { return Ok(Self::Owner(user)) };
        let repo = RepoName::new(user, repo).ok_or(Unknown)?;
        let Some(tag) = parts.next() else { return Ok(Self::Repo(repo)) };
        let tag = TagName::new(repo, tag).ok_or(Unknown)?;
        match (parts.next(), parts.next()) {
            (None, _) | (Some("tree"), None) => Ok(Self::Version(tag)),
            (Some("tree"), Some(path)) => {
                let names = parse_path(path).map_err(|_| Unknown)?;
                Ok(Self::Node(tag, names.into_iter().map(str::to_owned).collect()))
            }
            _ => Err(Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_page() {
        for (path, expected) in [
            ("/", "/"),
            ("/_", "/_/"),
            ("/_/", "/_/"),
            ("/_/ann", "/_/{user}"),
            ("/_/ann/", "/_/{user}"),
            ("/_/ann/app", "/_/{user}/{repo}"),
            ("/_/ann/app/1.0.0+b", "/_/{user}/{repo}/{tag}"),
            ("/_/ann/app/1.0.0/tree", "/_/{user}/{repo}/{tag}"),
            ("/_/ann/app/1.0.0/tree/a/b.c", "/_/{user}/{repo}/{tag}/tree/{path}"),
        ] {
            assert_eq!(Place::parse(path).map(|place| place.template()), Ok(expected), "{path}");
        }
        for bad in [
            "",
            "/x",
            "/_//",
            "/_/an_n",
            "/_/ann//app",
            "/_/ann/app/latest",
            "/_/ann/app/1.0.0/x",
            "/_/ann/app/1.0.0/tree/..",
            "/_/ann/app/1.0.0/tree/a//b",
            "/_/ann/app/1.0.0/tree/%3Cscript%3E",
            "/_/<script>",
        ] {
            assert_eq!(Place::parse(bad), Err(Unknown), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(path in "/_/[a-z0-9_./%é]{0,60}") {
            let _ = Place::parse(&path);
        }
    }
}
