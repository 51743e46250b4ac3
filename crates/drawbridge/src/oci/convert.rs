// SPDX-License-Identifier: Apache-2.0

//! Trees as manifests, and manifests as trees, over the same blobs.

use std::collections::HashMap;

use drawbridge_core::oci::{DIGEST, IMAGE, Manifest, Shape, of_tree, shape};
use drawbridge_core::{ContentDigest, Entry, Hasher, MAIN_MODULE, directories, media};
use types::digest::Sha256;
use types::limits;

use super::blobs::digest;
use super::error::{Code, Refused};
use crate::service::Registry;
use crate::store::{RepoName, Tag};

/// How much of a module is looked at: its magic number, version and layer.
const MODULE_START_BYTES: u64 = 8;

fn invalid(what: impl Into<String>) -> Refused {
    Refused::new(Code::ManifestInvalid, what)
}

impl Registry {
    /// Makes and keeps the manifest of a tree.
    pub(super) fn pack(&self, repo: &RepoName, tag: &Tag) -> Result<Sha256, Refused> {
        let files = self.store.files(repo, tag)?;
        let module = if tag.entry.is_directory() {
            files.iter().find(|(path, _)| path == MAIN_MODULE).map(|(_, entry)| entry)
        } else {
            Some(&tag.entry)
        };
        let start = module.map(|entry| self.start_of(repo, entry)).transpose()?;
        let packed = of_tree(&tag.entry, &files, start.as_deref()).map_err(|_| {
            let what = "the package has so many files with so long names that no manifest names them all; fetch it by the Drawbridge API";
            Refused::new(Code::ManifestUnknown, what)
        })?;
        self.keep_bytes(repo, &packed.config)?;
        let digest = self.keep_manifest(repo, IMAGE, &packed.manifest)?;
        if let Ok(manifest) = Manifest::parse(IMAGE, &packed.manifest) {
            self.show_content(repo, &manifest)?;
        }
        Ok(digest)
    }

    fn start_of(&self, repo: &RepoName, entry: &Entry) -> Result<Vec<u8>, Refused> {
        let blob = (entry.digest.sha256(), entry.length);
        let range = 0..entry.length.min(MODULE_START_BYTES);
        let mut start = Vec::new();
        if let Some(mut blob) = self.store.open_blob(repo, blob, Some(range))? {
            while let Some(piece) = blob.next_piece()? {
                start.extend(piece);
            }
        }
        Ok(start)
    }

    /// The root of the tree that a manifest is. All of the tree is in the repository then.
    pub(super) fn unpack(&self, repo: &RepoName, manifest: &Manifest) -> Result<Entry, Refused> {
        let files = match shape(manifest) {
            Shape::Files(files) => files,
            Shape::Module(layer) => {
                let digest = self.all_digests(repo, &layer.digest, &mut HashMap::new())?;
                let entry =
                    Entry { digest, length: layer.size, media_type: media::WASM.to_owned() };
                entry.check().map_err(|error| invalid(error.to_string()))?;
                return expected(manifest, &entry).map(|()| entry);
            }
            Shape::Other(why) => {
                return Err(invalid(format!(
                    "a tag that is a semantic version is a package, and this is none: {why}. Give each layer its path as the annotation org.opencontainers.image.title, or push by another tag (v1.0.0, latest) to keep the manifest as it is"
                )));
            }
        };
        let total = files.iter().fold(0u64, |sum, (_, layer)| sum.saturating_add(layer.size));
        if total > limits::PACKAGE_BYTES_MAX as u64 {
            return Err(Refused::new(
                Code::TooLarge,
                "the package is larger than 200,000,000 bytes",
            ));
        }
        let mut known = HashMap::new();
        let mut entries = Vec::with_capacity(files.len());
        for (path, layer) in files {
            let digest = self.all_digests(repo, &layer.digest, &mut known)?;
            let name = path.rsplit('/').next().unwrap_or(path);
            let media_type = media::of_file(name).to_owned();
            let entry = Entry { digest, length: layer.size, media_type };
            entries.push((path.to_owned(), entry, layer.media_type.as_str()));
        }
        let tree = |types: &dyn Fn(&Entry, &str) -> String| {
            let typed = |(path, entry, layer): &(String, Entry, &str)| {
                (path.clone(), Entry { media_type: types(entry, layer), ..entry.clone() })
            };
            directories(entries.iter().map(typed).collect())
                .map_err(|error| invalid(error.to_string()))
        };
        // By their names, as every tool types files; what was published otherwise says so by its digest.
        let mut nodes = tree(&|entry, _| entry.media_type.clone())?;
        if let Some(root) = nodes.get("")
            && expected(manifest, &root.entry).is_err()
        {
            nodes = tree(&|_, layer| layer.to_owned())?;
        }
        let root = nodes
            .get("")
            .map(|node| node.entry.clone())
            .ok_or_else(|| Refused::new(Code::Internal, "a tree has a root"))?;
        expected(manifest, &root)?;
        for node in nodes.values() {
            self.keep_bytes(repo, &node.bytes)?;
        }
        Ok(root)
    }

    /// All digests of a blob, which a tree names.
    fn all_digests(
        &self,
        repo: &RepoName,
        text: &str,
        known: &mut HashMap<Sha256, ContentDigest>,
    ) -> Result<ContentDigest, Refused> {
        let missing = || Refused::new(Code::ManifestBlobUnknown, format!("{text} is not there"));
        let found = self.store.find_blob(repo, &digest(text)?)?.ok_or_else(missing)?;
        if let Some(known) = known.get(&found.0) {
            return Ok(known.clone());
        }
        let mut blob = self.store.open_blob(repo, found, None)?.ok_or_else(missing)?;
        let mut hasher = Hasher::new();
        while let Some(piece) = blob.next_piece()? {
            hasher.update(&piece);
        }
        let digests = hasher.finish();
        known.insert(found.0, digests.clone());
        Ok(digests)
    }
}

/// Whether a tree is the one that the manifest's annotation names, if it names one.
fn expected(manifest: &Manifest, root: &Entry) -> Result<(), Refused> {
    match manifest.annotations.get(DIGEST) {
        Some(digest) if *digest != root.digest.sha256().to_string() => Err(invalid(format!(
            "the layers make the package {}, and the annotation {DIGEST} names another",
            root.digest.sha256()
        ))),
        _ => Ok(()),
    }
}
