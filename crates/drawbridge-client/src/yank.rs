// SPDX-License-Identifier: Apache-2.0

//! Versions that are taken back (docs/FORMATS.md 2.12).

use drawbridge_core::{Yank, YankDocument, media};
use types::limits;
use types::slug::Slug;

use crate::http::Sent;
use crate::rights::Tagged;
use crate::{Client, Error};

impl Client {
    /// Why a version is yanked; `None` if it is not.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn yanked(&self, slug: &Slug) -> Result<Option<Tagged<Yank>>, Error> {
        let answer = match self.get(&self.yank_path(slug)?, limits::JSON_BYTES_MAX) {
            Ok(answer) => answer,
            Err(error) if error.status() == Some(404) => return Ok(None),
            Err(error) => return Err(error),
        };
        let value = serde_json::from_slice(&answer.body).map_err(|e| answer.wrong(e))?;
        Ok(Some(Tagged { value, etag: answer.etag }))
    }

    /// Takes a version back: it is not listed any more, and no new Keep starts it. With the entity tag of another reason that
    /// is there already, this one takes its place.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn yank(&self, slug: &Slug, reason: &str, etag: Option<&str>) -> Result<(), Error> {
        let document = YankDocument { reason: reason.to_owned() };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        self.send(Sent::Put(media::JSON, &body, etag), &self.yank_path(slug)?).map(drop)
    }

    /// Takes that back.
    ///
    /// # Errors
    /// See [`Error`]; status 404 if the version is not yanked.
    pub fn unyank(&self, slug: &Slug) -> Result<(), Error> {
        self.send(Sent::Delete, &self.yank_path(slug)?).map(drop)
    }

    fn yank_path(&self, slug: &Slug) -> Result<String, Error> {
        Ok(format!("{}/_yank", self.tag_path(slug)?))
    }
}
