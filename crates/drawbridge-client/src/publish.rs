// SPDX-License-Identifier: Apache-2.0

//! Publishing a package.

use drawbridge_core::{Tree, media};
use types::digest::Sha256;
use types::slug::Slug;

use crate::{Client, Error, Named as _};

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being sent: a path within the package, empty for its root.
    pub path: &'a str,
    /// Bytes of content sent.
    pub bytes: u64,
    /// Bytes of content in all.
    pub bytes_total: u64,
}

/// A package that is in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// What the tag stands for.
    pub digest: Sha256,
    /// Whether it was there already, just so.
    pub already: bool,
}

impl Client {
    /// Uploads a package and makes the tag stand for it.
    ///
    /// The tag becomes visible when the last file has arrived. If something fails on the way, the same call goes on from
    /// there. A tag that stands for something else stays so.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Refused`] with status 409 if the tag stands for something else.
    pub fn publish(
        &self,
        slug: &Slug,
        files: Vec<(String, Vec<u8>)>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Published, Error> {
        let tree = Tree::from_files(files)?;
        let digest = tree.digest();
        if slug.digest.is_some_and(|pinned| pinned != digest) {
            return Err(Error::Integrity {
                what: slug.without_digest_ref(),
                detail: format!("the name pins another digest than that of the files, {digest}"),
            });
        }
        let tag_path = self.tag_path(slug)?;
        let bare = slug.clone().without_digest();
        match self.tag_entry(&bare) {
            Ok(tag) if tag == tree.tag() => {
                return Ok(Published { digest, already: true });
            }
            // What differs, is hidden or is not there: the upload tells.
            Ok(_) | Err(Error::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        let tag = tree.tag().to_bytes();
        let tag_digest = drawbridge_core::ContentDigest::of(&tag);
        self.put(&tag_path, media::ENTRY, &tag_digest, &tag, &mut |_| {})?;
        let bytes_total = tree.nodes().map(|(_, node)| node.entry.length).sum();
        let mut before = 0;
        for (path, node) in tree.nodes() {
            let url = if path.is_empty() {
                format!("{tag_path}/tree")
            } else {
                format!("{tag_path}/tree/{path}")
            };
            let entry = &node.entry;
            let mut sent =
                |sent: u64| progress(Progress { path, bytes: before + sent, bytes_total });
            self.put(&url, &entry.media_type, &entry.digest, &node.bytes, &mut sent)?;
            before += entry.length;
        }
        // Somebody else may have announced another tree meanwhile, with files of the same names. Now that all of this one is
        // there, the tag stands for it, or the registry says that it does not.
        if !self.tag_entry(&bare).is_ok_and(|seen| seen == tree.tag()) {
            self.put(&tag_path, media::ENTRY, &tag_digest, &tag, &mut |_| {})?;
        }
        Ok(Published { digest, already: false })
    }
}
