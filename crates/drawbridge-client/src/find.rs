// SPDX-License-Identifier: Apache-2.0

//! Lists of repositories, page by page (docs/FORMATS.md 2.13).

use drawbridge_core::{API_VERSION, RepoSummary};
use types::limits;

use crate::{Client, Error};

/// Longest link to a next page that is followed, in bytes.
const LINK_BYTES_MAX: usize = 4096;
/// Longest item of a list, in bytes: two names, a version, and what is around them.
const SUMMARY_BYTES_MAX: usize = 512;

/// Repositories that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// As many as were asked for, at most.
    pub repos: Vec<RepoSummary>,
    /// Whether there may be more.
    pub more: bool,
}

impl Client {
    /// At most `max` of an owner's repositories that one may see.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn repos(&self, owner: &str, max: usize) -> Result<Found, Error> {
        self.find(&format!("{}/_repos?", self.user_path(owner)?), max)
    }

    /// At most `max` of the repositories that one may see with each word of `text` in their names.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn search(&self, text: &str, max: usize) -> Result<Found, Error> {
        if text.len() > limits::SEARCH_BYTES_MAX {
            return Err(Error::Name("a search has at most 256 bytes"));
        }
        self.find(&format!("_search?q={}&", encode(text)), max)
    }

    /// Follows the links to further pages, which may be empty, as long as there is need and patience.
    fn find(&self, path: &str, max: usize) -> Result<Found, Error> {
        let limit = max.clamp(1, limits::LIST_PAGE_MAX);
        let mut path = format!("{path}limit={limit}");
        let mut repos = Vec::new();
        for _ in 0..limits::LIST_PAGES_MAX {
            let answer = self.get(&path, limits::LIST_PAGE_MAX * SUMMARY_BYTES_MAX)?;
            let page: Vec<RepoSummary> =
                serde_json::from_slice(&answer.body).map_err(|e| answer.wrong(e))?;
            repos.extend(page);
            let Some(link) = &answer.next else {
                let more = repos.len() > max;
                repos.truncate(max);
                return Ok(Found { repos, more });
            };
            if repos.len() >= max {
                break;
            }
            path = next(link)
                .ok_or_else(|| answer.wrong("the link to the next page leads somewhere else"))?;
        }
        repos.truncate(max);
        Ok(Found { repos, more: true })
    }
}

/// The path of the next page, below that of the API. It never leads to another host.
fn next(link: &str) -> Option<String> {
    let (path, relation) = link.strip_prefix('<')?.split_once('>')?;
    let path = path.strip_prefix(&format!("/api/v{API_VERSION}/"))?;
    let plain = path.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"\\#".contains(&b));
    let good = link.len() <= LINK_BYTES_MAX && plain && relation.trim() == "; rel=\"next\"";
    good.then(|| path.to_owned())
}

/// Text as a value in a query.
fn encode(text: &str) -> String {
    let byte = |b: u8| match b {
        b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_at_the_registry() {
        let path = next;
        let good = "</api/v0.1.0/ann/_repos?limit=2&after=ann/app>; rel=\"next\"";
        assert_eq!(path(good).as_deref(), Some("ann/_repos?limit=2&after=ann/app"));
        for bad in [
            "<https://evil.example/api/v0.1.0/x>; rel=\"next\"",
            "<//evil.example/api/v0.1.0/x>; rel=\"next\"",
            "</v2/x>; rel=\"next\"",
            "</api/v0.1.0/x y>; rel=\"next\"",
            "</api/v0.1.0/x#y>; rel=\"next\"",
            "</api/v0.1.0/x>; rel=\"prev\"",
            "/api/v0.1.0/x",
            "",
        ] {
            assert_eq!(path(bad), None, "{bad}");
        }
        assert_eq!(encode("a b/ü&"), "a%20b%2F%C3%BC%26");
    }
}
