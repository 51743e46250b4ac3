// SPDX-License-Identifier: Apache-2.0

//! Owners' keys and signatures (docs/FORMATS.md 2.14). Nothing here is judged: whoever calls has the keys to believe.

use drawbridge_core::keys::KeysDocument;
use drawbridge_core::media;
use drawbridge_core::signature::SignaturesDocument;
use types::limits;
use types::slug::Slug;

use crate::http::Sent;
use crate::rights::Document;
use crate::{Client, Error};

impl Document for KeysDocument {
    const PATH: &'static str = "_keys";
}

impl Client {
    /// The signatures of a version, and what the registry says of each.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn signatures(&self, slug: &Slug) -> Result<SignaturesDocument, Error> {
        let max = 2 * limits::SIGNATURES_MAX * limits::SIGNATURE_BYTES_MAX;
        self.get_json(&self.signatures_path(slug)?, max)
    }

    /// Adds a signature to a version; the registry takes only one that counts.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn add_signature(&self, slug: &Slug, jws: &str) -> Result<(), Error> {
        let path = self.signatures_path(slug)?;
        self.send(Sent::Post(media::JOSE_COMPACT, jws.as_bytes()), &path).map(drop)
    }

    fn signatures_path(&self, slug: &Slug) -> Result<String, Error> {
        Ok(format!("{}/_signatures", self.tag_path(slug)?))
    }
}
