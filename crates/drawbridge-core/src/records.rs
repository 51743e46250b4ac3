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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepoRecord {
    /// Whether anybody may read tags and trees.
    pub public: bool,
    /// Whether anybody may learn what a Keep must know before it is attested (docs/FORMATS.md 2.4), though the repository is private.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discoverable: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_written_as_clients_of_old_expect() {
        let open = RepoRecord { public: true, discoverable: false };
        assert_eq!(serde_json::to_string(&open).unwrap(), r#"{"public":true}"#);
        assert_eq!(serde_json::from_str::<RepoRecord>(r#"{"public":true}"#).unwrap(), open);
        let found = RepoRecord { public: false, discoverable: true };
        let text = r#"{"public":false,"discoverable":true}"#;
        assert_eq!(serde_json::to_string(&found).unwrap(), text);
        for bad in ["{}", r#"{"public":true,"x":1}"#, r#"{"public":1}"#] {
            assert!(serde_json::from_str::<RepoRecord>(bad).is_err(), "{bad}");
        }
    }
}
