// SPDX-License-Identifier: Apache-2.0

//! Records of a registry that are plain JSON.

use serde::{Deserialize, Serialize};
use types::digest::Sha256;

/// A user of the registry: whose names these are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRecord {
    /// The `sub` of the person's tokens.
    pub subject: String,
}

/// A repository, as its owner registered it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepoRecord {
    /// Whether anybody may read tags and trees.
    pub public: bool,
    /// Whether anybody may learn what a Keep must know before it is attested (docs/FORMATS.md 2.4), though the repository is private.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discoverable: bool,
    /// Whether versions are read and deployed only if they carry a signature of the owner (docs/FORMATS.md 2.14).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_signature: bool,
    /// Whether manifests, their tags and blobs may be deleted by the OCI protocol; versions never are (docs/FORMATS.md 2.11).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deletable: bool,
}

/// What a Keep may know before it is attested (docs/FORMATS.md 2.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployInfo {
    /// The digest that the tag stands for.
    pub digest: Sha256,
    /// The registry's signed word on it (docs/FORMATS.md 2.3).
    pub statement: String,
    /// The Steward that the workload wants.
    pub steward: Option<String>,
}

/// A repository in a list (docs/FORMATS.md 2.14).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoSummary {
    /// `user/repo`.
    pub name: String,
    /// Whether anybody may read it.
    pub public: bool,
    /// Its newest version: of those that are no pre-releases, if there are any. None if there is no version.
    pub newest: Option<semver::Version>,
    /// How many versions there are.
    pub versions: usize,
}

/// The newest of some versions: of those that are no pre-releases, if there are any.
pub fn newest<'a>(
    versions: impl IntoIterator<Item = &'a semver::Version>,
) -> Option<&'a semver::Version> {
    versions.into_iter().max_by_key(|version| (version.pre.is_empty(), *version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_newer_than_any_pre_release() {
        let newest_of = |texts: &[&str]| {
            let versions: Vec<semver::Version> = texts.iter().map(|t| t.parse().unwrap()).collect();
            newest(&versions).map(ToString::to_string)
        };
        assert_eq!(newest_of(&[]), None);
        assert_eq!(newest_of(&["1.10.0", "1.9.0", "2.0.0-rc.1"]).as_deref(), Some("1.10.0"));
        assert_eq!(newest_of(&["0.1.0-a", "0.1.0-b"]).as_deref(), Some("0.1.0-b"));
    }

    #[test]
    fn a_repository_is_written_as_clients_of_old_expect() {
        let open = RepoRecord { public: true, ..RepoRecord::default() };
        assert_eq!(serde_json::to_string(&open).unwrap(), r#"{"public":true}"#);
        assert_eq!(serde_json::from_str::<RepoRecord>(r#"{"public":true}"#).unwrap(), open);
        let found = RepoRecord { discoverable: true, ..RepoRecord::default() };
        let text = r#"{"public":false,"discoverable":true}"#;
        assert_eq!(serde_json::to_string(&found).unwrap(), text);
        for bad in ["{}", r#"{"public":true,"x":1}"#, r#"{"public":1}"#] {
            assert!(serde_json::from_str::<RepoRecord>(bad).is_err(), "{bad}");
        }
    }
}
