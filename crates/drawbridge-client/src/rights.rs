// SPDX-License-Identifier: Apache-2.0

//! Who may do what, at a registry: organisations, rights, publishers, release policies, tokens (docs/FORMATS.md 2.6 to 2.9).

use drawbridge_core::rights::{
    AccessDocument, OrgDocument, PolicyVersion, PublishersDocument, TokenCreated, TokenInfo,
    TokenRequest,
};
use drawbridge_core::{RepoRecord, media};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::limits;

use crate::http::Sent;
use crate::{Client, Error};

/// A document as it was read, and what [`Client::put_document`] compares with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged<T> {
    /// The document.
    pub value: T,
    /// Its entity tag, without quotes; none if nobody has written it yet.
    pub etag: Option<String>,
}

/// A document that owners change.
pub trait Document: Serialize + DeserializeOwned {
    /// Where it is, below an owner or a repository.
    const PATH: &'static str;
}

impl Document for OrgDocument {
    const PATH: &'static str = "_org";
}

impl Document for AccessDocument {
    const PATH: &'static str = "_access";
}

impl Document for PublishersDocument {
    const PATH: &'static str = "_publishers";
}

impl Client {
    fn below(&self, user: &str, repo: Option<&str>) -> Result<String, Error> {
        match repo {
            Some(repo) => self.repo_path(user, repo),
            None => self.user_path(user),
        }
    }

    /// A document of an owner, or of one of its repositories.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn document<T: Document>(
        &self,
        user: &str,
        repo: Option<&str>,
    ) -> Result<Tagged<T>, Error> {
        let path = format!("{}/{}", self.below(user, repo)?, T::PATH);
        let answer = self.get(&path, limits::JSON_BYTES_MAX)?;
        let value = serde_json::from_slice(&answer.body).map_err(|e| answer.wrong(e))?;
        Ok(Tagged { value, etag: answer.etag })
    }

    /// Writes a document in place of the one with this entity tag, or a new one.
    ///
    /// # Errors
    /// See [`Error`]; status 412 or 409 if somebody else changed it meanwhile.
    pub fn put_document<T: Document>(
        &self,
        user: &str,
        repo: Option<&str>,
        document: &T,
        etag: Option<&str>,
    ) -> Result<(), Error> {
        let path = format!("{}/{}", self.below(user, repo)?, T::PATH);
        let body = serde_json::to_vec(document).unwrap_or_default();
        self.send(Sent::Put(media::JSON, &body, etag), &path).map(drop)
    }

    /// The record of a repository, and what [`Client::repo_change`] compares with.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn repo_record(&self, user: &str, repo: &str) -> Result<Tagged<RepoRecord>, Error> {
        let answer = self.get(&self.repo_path(user, repo)?, limits::JSON_BYTES_MAX)?;
        let value = serde_json::from_slice(&answer.body).map_err(|e| answer.wrong(e))?;
        Ok(Tagged { value, etag: answer.etag })
    }

    /// Writes the record of a repository in place of the one with this entity tag.
    ///
    /// # Errors
    /// See [`Error`]; status 412 if somebody else changed it meanwhile.
    pub fn repo_change(
        &self,
        user: &str,
        repo: &str,
        record: &RepoRecord,
        etag: &str,
    ) -> Result<(), Error> {
        let body = serde_json::to_vec(record).unwrap_or_default();
        let sent = Sent::Put(media::JSON, &body, Some(etag));
        self.send(sent, &self.repo_path(user, repo)?).map(drop)
    }

    /// A version of a repository's release policy, or the one in force; its tag is its number.
    ///
    /// # Errors
    /// See [`Error`]; status 404 if there is none.
    pub fn policy(
        &self,
        user: &str,
        repo: &str,
        version: Option<u64>,
    ) -> Result<Tagged<String>, Error> {
        let mut path = format!("{}/_policy", self.repo_path(user, repo)?);
        if let Some(version) = version {
            path += &format!("/{version}");
        }
        let answer = self.get(&path, limits::RELEASE_POLICY_BYTES_MAX)?;
        let value = String::from_utf8(answer.body.clone()).map_err(|e| answer.wrong(e))?;
        Ok(Tagged { value, etag: answer.etag })
    }

    /// All versions of a repository's release policy.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn policies(&self, user: &str, repo: &str) -> Result<Vec<PolicyVersion>, Error> {
        let path = format!("{}/_policies", self.repo_path(user, repo)?);
        self.get_json(&path, limits::JSON_BYTES_MAX)
    }

    /// Writes a release policy in place of the version with this tag, or the first; its number, as a tag.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn put_policy(
        &self,
        user: &str,
        repo: &str,
        text: &str,
        etag: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let path = format!("{}/_policy", self.repo_path(user, repo)?);
        Ok(self.send(Sent::Put(media::TOML, text.as_bytes(), etag), &path)?.etag)
    }

    /// Makes a token of the registry's own.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn create_token(&self, owner: &str, request: &TokenRequest) -> Result<TokenCreated, Error> {
        let path = format!("{}/_token", self.user_path(owner)?);
        let body = serde_json::to_vec(request).unwrap_or_default();
        let answer = self.send(Sent::Post(media::JSON, &body), &path)?;
        serde_json::from_slice(&answer.body).map_err(|_| Error::Answer {
            url: self.url(&path),
            // Its content is a secret.
            detail: "it is no token".to_owned(),
        })
    }

    /// The tokens of an owner.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn tokens(&self, owner: &str) -> Result<Vec<TokenInfo>, Error> {
        let path = format!("{}/_token", self.user_path(owner)?);
        self.get_json(&path, limits::TOKENS_MAX * limits::JSON_BYTES_MAX)
    }

    /// Ends a token.
    ///
    /// # Errors
    /// See [`Error`]; status 404 if there is none of that id.
    pub fn revoke_token(&self, owner: &str, id: &str) -> Result<(), Error> {
        if id.len() != 16 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::Name("a token's id has 16 hex digits"));
        }
        let path = format!("{}/_token/{id}", self.user_path(owner)?);
        self.send(Sent::Delete, &path).map(drop)
    }
}
