// SPDX-License-Identifier: Apache-2.0

//! Paths of the OCI protocol.

use super::error::{Code, Refused};
use crate::store::{RepoName, TagName, UserName};

/// Where a client of `wkg`'s kind learns which registry has the packages of a name.
const WELL_KNOWN: &str = "/.well-known/wasm-pkg/registry.json";
/// Longest tag (OCI distribution 1.1, "Pulling manifests").
const TAG_BYTES_MAX: usize = 128;

/// What a path names. References and digests are as the client wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`
    Base,
    /// `/.well-known/wasm-pkg/registry.json`
    WellKnown,
    /// The repositories.
    Catalog,
    /// A blob.
    Blob(RepoName, String),
    /// Where uploads begin.
    Uploads(RepoName),
    /// An upload.
    Upload(RepoName, String),
    /// A manifest.
    Manifest(RepoName, String),
    /// The tags.
    Tags(RepoName),
    /// The manifests about a manifest.
    Referrers(RepoName, String),
}

impl Route {
    /// Whether a path is of this protocol.
    pub fn is_here(path: &str) -> bool {
        path == "/v2" || path.starts_with("/v2/") || path == WELL_KNOWN
    }

    /// The route without the names in it, for metrics.
    pub const fn template(&self) -> &'static str {
        match self {
            Self::Base => "/v2/",
            Self::WellKnown => WELL_KNOWN,
            Self::Catalog => "/v2/_catalog",
            Self::Blob(..) => "/v2/{user}/{repo}/blobs/{digest}",
            Self::Uploads(_) => "/v2/{user}/{repo}/blobs/uploads/",
            Self::Upload(..) => "/v2/{user}/{repo}/blobs/uploads/{id}",
            Self::Manifest(..) => "/v2/{user}/{repo}/manifests/{reference}",
            Self::Tags(_) => "/v2/{user}/{repo}/tags/list",
            Self::Referrers(..) => "/v2/{user}/{repo}/referrers/{digest}",
        }
    }

    /// What may be done there.
    pub const fn methods(&self) -> &'static str {
        match self {
            Self::Uploads(_) => "POST",
            Self::Upload(..) => "GET, PATCH, PUT, DELETE",
            Self::Manifest(..) => "GET, HEAD, PUT, DELETE",
            Self::Blob(..) => "GET, HEAD, DELETE",
            _ => "GET, HEAD",
        }
    }

    /// Reads the path of a request, undecoded.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(path: &str) -> Result<Self, Refused> {
        if path == WELL_KNOWN {
            return Ok(Self::WellKnown);
        }
        let rest = match path.strip_prefix("/v2") {
            Some("" | "/") => return Ok(Self::Base),
            Some(rest) => rest.strip_prefix('/').unwrap_or(rest),
            None => path,
        };
        let parts: Vec<&str> = rest.split('/').collect();
        // Some write the colon of a digest so. No other character of any reference needs it.
        let last = |text: &str| text.replace("%3A", ":").replace("%3a", ":");
        Ok(match parts[..] {
            ["_catalog"] => Self::Catalog,
            [ref name @ .., "blobs", "uploads"] | [ref name @ .., "blobs", "uploads", ""] => {
                Self::Uploads(repo(name)?)
            }
            [ref name @ .., "blobs", "uploads", id] => Self::Upload(repo(name)?, id.to_owned()),
            [ref name @ .., "tags", "list"] => Self::Tags(repo(name)?),
            [ref name @ .., "blobs", digest] => Self::Blob(repo(name)?, last(digest)),
            [ref name @ .., "manifests", reference] => Self::Manifest(repo(name)?, last(reference)),
            [ref name @ .., "referrers", digest] => Self::Referrers(repo(name)?, last(digest)),
            _ => return Err(Refused::new(Code::NameUnknown, "there is nothing at this path")),
        })
    }
}

fn repo(parts: &[&str]) -> Result<RepoName, Refused> {
    if let [user, repo] = parts
        && let Some(user) = UserName::new(user)
        && let Some(repo) = RepoName::new(user, repo)
    {
        return Ok(repo);
    }
    // OCI distribution 1.1, "Pulling manifests".
    let part = |part: &&str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    let what = "repositories are named <user>/<repository> here: letters and digits, and in the second part also -";
    let good = !parts.is_empty() && parts.iter().all(part);
    Err(Refused::new(if good { Code::NameUnknown } else { Code::NameInvalid }, what))
}

/// A tag, as this protocol and as the store writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OciTag {
    repo: RepoName,
    key: String,
    /// The tag of the Drawbridge API, if it is a semantic version.
    pub(super) version: Option<TagName>,
}

impl OciTag {
    /// `None` if it is no tag. Build metadata has an underscore for the plus sign, which is not allowed in tags of OCI.
    pub(super) fn new(repo: &RepoName, tag: &str) -> Option<Self> {
        let good = tag.len() <= TAG_BYTES_MAX
            && tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
            && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !good {
            return None;
        }
        let version = TagName::new(repo.clone(), &tag.replace('_', "+"));
        let key = version.as_ref().map_or(tag, TagName::tag).to_owned();
        Some(Self { repo: repo.clone(), key, version })
    }

    /// As this protocol writes a version.
    pub(super) fn write(version: &str) -> String {
        version.replace('+', "_")
    }

    /// What names its record.
    pub(super) fn parts(&self) -> [&str; 3] {
        let [user, repo] = self.repo.parts();
        [user, repo, &self.key]
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use proptest::prelude::*;

    use super::*;

    fn show(path: &str) -> String {
        match Route::parse(path) {
            Ok(Route::Base) => "base".into(),
            Ok(Route::WellKnown) => "well-known".into(),
            Ok(Route::Catalog) => "catalog".into(),
            Ok(Route::Blob(r, d)) => format!("blob {r} {d}"),
            Ok(Route::Uploads(r)) => format!("uploads {r}"),
            Ok(Route::Upload(r, i)) => format!("upload {r} {i}"),
            Ok(Route::Manifest(r, m)) => format!("manifest {r} {m}"),
            Ok(Route::Tags(r)) => format!("tags {r}"),
            Ok(Route::Referrers(r, d)) => format!("referrers {r} {d}"),
            Err(refused) => refused.into_response().status().to_string(),
        }
    }

    #[test]
    fn every_path() {
        for (path, expected) in [
            ("/v2", "base"),
            ("/v2/", "base"),
            (WELL_KNOWN, "well-known"),
            ("/v2/ann/app/blobs/sha256:0", "blob ann/app sha256:0"),
            ("/v2/ann/app/blobs/sha256%3A0", "blob ann/app sha256:0"),
            ("/v2/ann/app/blobs/uploads/", "uploads ann/app"),
            ("/v2/ann/app/blobs/uploads", "uploads ann/app"),
            ("/v2/ann/app/blobs/uploads/0a", "upload ann/app 0a"),
            ("/v2/ann/app/manifests/1.0.0", "manifest ann/app 1.0.0"),
            ("/v2/ann/app/tags/list", "tags ann/app"),
            ("/v2/ann/app/referrers/sha256:0", "referrers ann/app sha256:0"),
            ("/v2/blobs/uploads/blobs/uploads/", "uploads blobs/uploads"),
            ("/v2/x", "404 Not Found"),
            ("/v2/_catalog", "catalog"),
            ("/v2/_catalog/x", "404 Not Found"),
            ("/v2/app/manifests/x", "404 Not Found"),
            ("/v2/ann/app/sub/manifests/x", "404 Not Found"),
            ("/v2/ann/app_x/tags/list", "404 Not Found"),
            ("/v2/manifests/x", "400 Bad Request"),
            ("/v2/../app/manifests/x", "400 Bad Request"),
            ("/v2/ann//manifests/x", "400 Bad Request"),
            ("/v2/ann/%2e%2e/tags/list", "400 Bad Request"),
        ] {
            assert_eq!(show(path), expected, "{path}");
        }
        assert!(Route::is_here("/v2") && Route::is_here("/v2/x") && Route::is_here(WELL_KNOWN));
        assert!(!Route::is_here("/v20") && !Route::is_here("/api/v0.1.0/v2"));
    }

    #[test]
    fn tags_and_versions() {
        let repo = RepoName::new(UserName::new("ann").unwrap(), "app").unwrap();
        let version =
            |tag: &str| OciTag::new(&repo, tag).map(|t| t.version.map(|v| v.tag().to_owned()));
        assert_eq!(version("1.0.0"), Some(Some("1.0.0".into())));
        assert_eq!(version("1.0.0-rc.1_b"), Some(Some("1.0.0-rc.1+b".into())));
        assert_eq!(OciTag::write("1.0.0-rc.1+b"), "1.0.0-rc.1_b");
        for other in ["latest", "v1.0.0", "1.0", "_x", "1.0.0_b_c"] {
            assert_eq!(version(other), Some(None), "{other}");
        }
        let long = "a".repeat(129);
        for bad in ["", ".x", "-x", "a b", "a/b", "1.0.0+b", "ü", &long] {
            assert_eq!(version(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(path in "/v2/[a-z_./%:é]{0,60}") {
            let _ = Route::parse(&path);
        }
    }
}
