// SPDX-License-Identifier: Apache-2.0

//! Every kind of record that there is. Whoever adds one adds it here: `gc` removes nothing from a store with records that it
//! does not know, for they may need what it would remove.

use super::lease::LEASES;
use crate::oci::records::{HIDDEN, MANIFESTS, REFERRERS, TAGS as OCI_TAGS};
use crate::service::documents::{ACCESS, OWNER_PUBLISHERS, PUBLISHERS};
use crate::service::policies::POLICIES;
use crate::service::signatures::{JOSE_TAGS, OWNER_KEYS, SIGNATURES};
use crate::service::tokens::TOKENS;
use crate::service::yank::YANKS;
use crate::store::{
    ALIASES, GARBAGE, PENDING, REPOS, Store, StoreError, TAGS, UPLOADS, USAGE, USERS,
};

/// What has to be there for a record to make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing.
    Nothing,
    /// The owner, who is its first part.
    Owner,
    /// The repository, which is its first two parts.
    Repo,
}

/// A kind of records.
pub(crate) struct Known {
    /// The first part of its keys.
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    /// What names the record with a key.
    pub(crate) parts: fn(&str) -> Option<Vec<String>>,
    /// Whether a record is there; fails if it does not parse.
    pub(crate) read: fn(&Store, &[&str]) -> Result<bool, StoreError>,
}

macro_rules! known {
    ($kind:expr, $needs:ident) => {
        Known {
            name: $kind.name(),
            needs: Needs::$needs,
            parts: |key| $kind.parts(key),
            read: |store, parts| Ok(store.table(&$kind).get(parts)?.is_some()),
        }
    };
}

/// All of them.
pub(crate) const KINDS: &[Known] = &[
    known!(USERS, Nothing),
    known!(REPOS, Owner),
    known!(TAGS, Repo),
    known!(PENDING, Repo),
    known!(UPLOADS, Nothing),
    known!(ALIASES, Repo),
    known!(MANIFESTS, Repo),
    known!(OCI_TAGS, Repo),
    known!(REFERRERS, Repo),
    known!(ACCESS, Repo),
    known!(PUBLISHERS, Repo),
    known!(OWNER_PUBLISHERS, Owner),
    known!(POLICIES, Repo),
    known!(TOKENS, Owner),
    known!(YANKS, Repo),
    known!(OWNER_KEYS, Owner),
    known!(SIGNATURES, Repo),
    known!(JOSE_TAGS, Repo),
    known!(HIDDEN, Repo),
    known!(GARBAGE, Nothing),
    known!(LEASES, Nothing),
    known!(USAGE, Owner),
];

/// The kind of this name.
pub(crate) fn known(name: &str) -> Option<&'static Known> {
    KINDS.iter().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The names in `Kind::new("…"` of all source files.
    fn written(dir: &Path, names: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                written(&path, names);
            } else if !path.to_str().unwrap().contains("/tests") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let code = code.collect::<String>();
                let code = code.split("mod tests {").next().unwrap();
                for part in code.split("Kind::new(").skip(1) {
                    let name = part.trim_start().strip_prefix('"').and_then(|p| p.split_once('"'));
                    names.extend(name.map(|(name, _)| name.to_owned()));
                }
            }
        }
    }

    #[test]
    fn every_kind_that_is_written_is_known() {
        let mut names = Vec::new();
        written(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
        assert!(names.len() > 15, "{names:?}");
        for name in &names {
            assert!(known(name).is_some(), "add the kind {name:?} to KINDS, or gc does nothing");
        }
        assert_eq!(names.len(), KINDS.len(), "{names:?}");
    }
}
