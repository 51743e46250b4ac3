// SPDX-License-Identifier: Apache-2.0

//! The files of a tree.

use drawbridge_core::Entry;

use super::{RepoName, Store, StoreError, Tag, record};

impl Store {
    /// Paths and entries of the files of a whole tree, in the order of the bytes of their paths; none for a bare module.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub(crate) fn files(
        &self,
        repo: &RepoName,
        tag: &Tag,
    ) -> Result<Vec<(String, Entry)>, StoreError> {
        let mut files = Vec::new();
        // A tree that is whole is bounded in files, directories and depth.
        let mut open = vec![(String::new(), tag.entry.clone())];
        while let Some((path, entry)) = open.pop() {
            if !entry.is_directory() {
                if !path.is_empty() {
                    files.push((path, entry));
                }
                continue;
            }
            let missing = || record::damaged(&repo.blob(&entry.digest.sha256()));
            let directory = self.directory(repo, &entry)?.ok_or_else(missing)?;
            for (name, child) in directory.iter() {
                let below =
                    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
                open.push((below, child.clone()));
            }
        }
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(files)
    }
}
