// SPDX-License-Identifier: Apache-2.0

//! What a name needs: the nodes of a tree, the content of a manifest.

use std::collections::HashSet;

use drawbridge_core::Entry;
use drawbridge_core::oci::{Descriptor, Manifest};
use types::digest::Sha256;
use types::limits;

use crate::oci::is_elsewhere;
use crate::oci::records::ManifestRecord;
use crate::store::{BlobDigest, RepoName, Store, StoreError};

/// What is needed and not there, or not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lacks {
    /// Each in words.
    pub(super) what: Vec<String>,
    /// Whether something there is damaged, so that nobody knows what it needs.
    pub(super) blind: bool,
}

impl Lacks {
    fn one(what: String, blind: bool) -> Self {
        Self { what: vec![what], blind }
    }
}

/// All nodes of a tree, into `found`; what lacks of them.
///
/// # Errors
/// Failures of the place. Damage is no error but a lack.
pub(super) fn tree(
    store: &Store,
    repo: &RepoName,
    root: &Entry,
    found: &mut HashSet<Sha256>,
) -> Result<Lacks, StoreError> {
    let mut lacks = Lacks::default();
    let mut seen: HashSet<(Sha256, u64, bool)> = HashSet::new();
    let mut open = vec![(String::new(), root.clone(), 0usize)];
    while let Some((path, entry, depth)) = open.pop() {
        let digest = entry.digest.sha256();
        if !seen.insert((digest, entry.length, entry.is_directory())) {
            continue;
        }
        found.insert(digest);
        let mut lack = |what: &str| {
            let name = if path.is_empty() { "its root" } else { &path };
            lacks.what.push(format!("{name} ({digest}) {what}"));
        };
        if !entry.is_directory() {
            match store.length_at(&repo.blob(&digest))? {
                Some(length) if length == entry.length => {}
                Some(_) => lack("has another length"),
                None => lack("is missing"),
            }
            continue;
        }
        if depth >= limits::TREE_DEPTH_MAX {
            lack("is nested too deep");
            continue;
        }
        match store.directory(repo, &entry) {
            Ok(Some(directory)) => {
                for (name, child) in directory.iter() {
                    let below =
                        if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
                    open.push((below, child.clone(), depth + 1));
                }
            }
            Ok(None) => lack("is missing"),
            Err(StoreError::Damaged(_)) => {
                lack("is damaged");
                lacks.blind = true;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(lacks)
}

/// A manifest and the content that it names, into `found`; what of it lacks.
///
/// # Errors
/// Failures of the place.
pub(super) fn manifest(
    store: &Store,
    repo: &RepoName,
    digest: &Sha256,
    record: &ManifestRecord,
    found: &mut HashSet<Sha256>,
) -> Result<Lacks, StoreError> {
    // Whatever is the matter, what the manifest needs is not known.
    let lacks = |what: String| Ok(Lacks::one(what, true));
    found.insert(*digest);
    if record.length > limits::OCI_MANIFEST_BYTES_MAX as u64 {
        return lacks(format!("its length of {} bytes is more than any manifest's", record.length));
    }
    let bytes = match store.open_blob(repo, (*digest, record.length), None) {
        Ok(Some(mut blob)) => {
            let mut bytes = Vec::new();
            loop {
                match blob.next_piece() {
                    Ok(Some(piece)) => bytes.extend(piece),
                    Ok(None) => break bytes,
                    Err(StoreError::Damaged(_)) => return lacks(format!("{digest} is damaged")),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(None) => return lacks(format!("its content {digest} is missing")),
        Err(StoreError::Damaged(_)) => return lacks(format!("its content {digest} is damaged")),
        Err(error) => return Err(error),
    };
    let manifest = match Manifest::parse(&record.media_type, &bytes) {
        Ok(manifest) => manifest,
        Err(error) => return lacks(format!("its content is no manifest: {error}")),
    };
    let mut missing = Lacks::default();
    for named in manifest.config.iter().chain(&manifest.layers) {
        let lack = content(store, repo, named, found)?;
        missing.what.extend(lack.filter(|_| !is_elsewhere(named)));
    }
    Ok(missing)
}

fn content(
    store: &Store,
    repo: &RepoName,
    named: &Descriptor,
    found: &mut HashSet<Sha256>,
) -> Result<Option<String>, StoreError> {
    let lack = |what: &str| Ok(Some(format!("{} {what}", named.digest)));
    let Some(digest) = BlobDigest::parse(&named.digest) else {
        return lack("is no digest");
    };
    let sha256 = match store.resolve(repo, &digest) {
        Ok(Some(sha256)) => sha256,
        Ok(None) => return lack("is missing"),
        Err(StoreError::Damaged(_)) => return lack("has a damaged alias"),
        Err(error) => return Err(error),
    };
    found.insert(sha256);
    match store.length_at(&repo.blob(&sha256))? {
        Some(length) if length == named.size => Ok(None),
        Some(_) => lack("has another length"),
        None => lack("is missing"),
    }
}
