// SPDX-License-Identifier: Apache-2.0

//! Fetching a package, every byte checked.

use drawbridge_core::{Directory, Entry, MAIN_MODULE, media};
use types::digest::Sha256;
use types::limits;
use types::slug::Slug;

use crate::{Client, Error, Named as _};

/// What every module and component begins with.
const WASM_MAGIC: &[u8] = b"\0asm";

/// A package on its way in.
struct Incoming {
    files: Vec<(String, Vec<u8>)>,
    directories: usize,
    bytes: u64,
}

impl Client {
    /// The files of a package: paths and content, sorted; those of a bare module are `main.wasm` alone.
    ///
    /// The root must hash to `expected`, and everything below to what its parent says, which also tells type and length. The
    /// answers' headers must agree.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Integrity`] if something is not what its digest says.
    pub fn fetch_package(
        &self,
        slug: &Slug,
        expected: &Sha256,
    ) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let root = self.tag_entry(slug)?.0;
        if root.digest.sha256() != *expected {
            return Err(Error::Integrity {
                what: slug.without_digest_ref(),
                detail: format!(
                    "expected {expected}, but the tag stands for {}",
                    root.digest.sha256()
                ),
            });
        }
        let tree = format!("{}/tree", self.tag_path(slug)?);
        let mut incoming = Incoming { files: Vec::new(), directories: 0, bytes: 0 };
        match root.media_type.as_str() {
            media::DIRECTORY => self.fetch_directory(&tree, "", &root, &mut incoming)?,
            media::WASM => {
                let module = self.fetch_node(&tree, "", &root, &mut incoming)?;
                incoming.files.push((MAIN_MODULE.to_owned(), module));
            }
            other => {
                return Err(Error::Integrity {
                    what: slug.without_digest_ref(),
                    detail: format!("a package's root is no `{other}`"),
                });
            }
        }
        let main = incoming.files.iter().find(|(path, _)| path == MAIN_MODULE);
        match main {
            Some((_, module)) if module.starts_with(WASM_MAGIC) => Ok(incoming.files),
            Some(_) => Err(Error::Integrity {
                what: MAIN_MODULE.to_owned(),
                detail: "the file is no WebAssembly".to_owned(),
            }),
            None => Err(drawbridge_core::TreeError::NoMain.into()),
        }
    }

    /// At most 16 deep, by [`drawbridge_core::parse_path`].
    fn fetch_directory(
        &self,
        tree: &str,
        path: &str,
        entry: &Entry,
        incoming: &mut Incoming,
    ) -> Result<(), Error> {
        incoming.directories += 1;
        let bytes = self.fetch_node(tree, path, entry, incoming)?;
        let directory = Directory::from_bytes(&bytes).map_err(|e| unfit(path, e))?;
        for (name, child) in directory.iter() {
            let below = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            drawbridge_core::parse_path(&below).map_err(|e| unfit(&below, e))?;
            if child.is_directory() {
                self.fetch_directory(tree, &below, child, incoming)?;
            } else {
                let content = self.fetch_node(tree, &below, child, incoming)?;
                incoming.files.push((below, content));
            }
        }
        Ok(())
    }

    /// The content of one node, checked against what its parent says of it.
    fn fetch_node(
        &self,
        tree: &str,
        path: &str,
        entry: &Entry,
        incoming: &mut Incoming,
    ) -> Result<Vec<u8>, Error> {
        incoming.bytes = incoming.bytes.saturating_add(entry.length);
        if incoming.bytes > limits::PACKAGE_BYTES_MAX as u64 {
            return Err(unfit(path, "the package is larger than 200,000,000 bytes"));
        }
        if incoming.files.len() >= limits::PACKAGE_FILES_MAX
            || incoming.directories > limits::PACKAGE_FILES_MAX
        {
            return Err(unfit(path, "the package has more than 4096 files or directories"));
        }
        if path == "Enarx.toml" && entry.length > limits::CONFIG_BYTES_MAX as u64 {
            return Err(unfit(path, "the configuration is larger than 1,000,000 bytes"));
        }
        self.node(tree, path, entry)
    }

    /// The same, where there is nothing to sum up.
    pub(crate) fn node(&self, tree: &str, path: &str, entry: &Entry) -> Result<Vec<u8>, Error> {
        let url = if path.is_empty() { tree.to_owned() } else { format!("{tree}/{path}") };
        let max =
            usize::try_from(entry.length).map_err(|_| unfit(path, "the file is too large"))?;
        let answer = self.get(&url, max)?;
        if answer.media_type.as_deref() != Some(entry.media_type.as_str()) {
            return Err(unfit(path, "the answer is of another type than its entry says"));
        }
        if answer.length != Some(entry.length) {
            return Err(unfit(path, "the answer is not as long as its entry says"));
        }
        if !answer.digest.as_ref().is_some_and(|d| d.agrees_with(&entry.digest)) {
            return Err(unfit(path, "the answer has another digest than its entry says"));
        }
        entry.verify(&answer.body).map_err(|e| unfit(path, e))?;
        Ok(answer.body)
    }
}

pub(crate) fn unfit(path: &str, detail: impl std::fmt::Display) -> Error {
    let what = if path.is_empty() { "the package's root" } else { path };
    Error::Integrity { what: what.to_owned(), detail: detail.to_string() }
}
