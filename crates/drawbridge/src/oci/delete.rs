// SPDX-License-Identifier: Apache-2.0

//! Deletes, where a repository's owner allows them: of names only. Bytes that nothing needs any more are left to `gc`.
//!
//! Nothing that is acknowledged is lost to a delete that goes on beside it, on whichever instance:
//!
//! - A tag is marked as deleted by comparing and swapping. Its record stays, so no delete ever takes a tag's next meaning away.
//! - Whoever pushes a manifest looks in the end whether it is still there, and brings it back if not; whoever deletes one
//!   looks for its tags before and after. So a tag that is there has its manifest.
//! - Content is hidden only if no tag, announcement or manifest needs it, which is looked at again after it was hidden; a push
//!   shows in the end what its manifest names.

use axum::http::StatusCode;
use axum::http::header::ALLOW;
use axum::response::{IntoResponse as _, Response};
use drawbridge_core::oci::Manifest;
use types::digest::Sha256;
use types::limits;

use super::Asking;
use super::blobs::digest;
use super::error::{Code, Refused};
use super::manifests::{Reference, unknown};
use super::records::{HIDDEN, Hidden, MANIFESTS, ManifestRecord, REFERRERS, TAGS, TagRecord};
use crate::audit::Outcome;
use crate::auth::access::Action;
use crate::service::Registry;
use crate::service::asker::Asker;
use crate::service::refusal::Refusal;
use crate::store::{BlobDigest, RepoName, TagName};
use crate::upkeep::gc::needed;

/// What else may be done with what is not deleted.
const METHODS: &str = "GET, HEAD";

fn is_version() -> Refused {
    let what = "versions are never deleted; enarx package yank keeps new Keeps from starting one";
    Refused::new(Code::Unsupported, what).header(ALLOW, METHODS)
}

fn in_use(what: &str) -> Refused {
    Refused::new(Code::Taken, what)
}

impl Asking {
    pub(super) async fn delete_manifest(
        self,
        repo: RepoName,
        reference: String,
    ) -> Result<Response, Refused> {
        self.block(move |registry, asker| {
            registry.may_delete(asker, &repo)?;
            let reference = Reference::parse(&repo, &reference)?;
            let (name, what) = match &reference {
                Reference::Tag(tag) => (format!("{repo}:{}", tag.parts()[2]), "tag".to_owned()),
                Reference::Digest(digest) => (repo.to_string(), format!("manifest {digest}")),
            };
            registry.deleting(asker, &name, what, || match &reference {
                Reference::Tag(tag) => match &tag.version {
                    Some(version) if registry.store.tag(version)?.is_some() => Err(is_version()),
                    Some(_) => Err(unknown()),
                    None => registry.delete_tag(&tag.parts(), None),
                },
                Reference::Digest(digest) => registry.delete_manifest(&repo, digest),
            })?;
            Ok(StatusCode::ACCEPTED.into_response())
        })
        .await
    }

    pub(super) async fn delete_blob(
        self,
        repo: RepoName,
        text: String,
    ) -> Result<Response, Refused> {
        self.block(move |registry, asker| {
            registry.may_delete(asker, &repo)?;
            let wanted = digest(&text)?;
            registry.deleting(asker, &repo.to_string(), format!("blob {text}"), || {
                registry.hide_blob(&repo, &wanted)
            })?;
            Ok(StatusCode::ACCEPTED.into_response())
        })
        .await
    }
}

impl Registry {
    fn may_delete(&self, asker: &Asker, repo: &RepoName) -> Result<(), Refused> {
        let known = self.with_repo(asker, Action::Delete, repo)?;
        if known.repo.is_some_and(|repo| repo.deletable) {
            return Ok(());
        }
        let what = "in this repository nothing is deleted; an owner allows it by enarx repo set --deletable true, and versions are yanked: enarx package yank";
        Err(Refused::new(Code::Unsupported, what).header(ALLOW, METHODS))
    }

    /// Deletes between two lines of the log: one before, and one if nothing came of it.
    fn deleting(
        &self,
        asker: &Asker,
        name: &str,
        what: String,
        work: impl FnOnce() -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        self.granted(asker, Action::Delete, &name, Some(what))?;
        let done = work();
        if let Err(refused) = &done {
            let refusal = Refusal::new(400, "Not deleted", refused.to_string(), "oci");
            self.refused(asker, Action::Delete, &name, Outcome::Failed, &refusal);
        }
        done
    }

    /// Marks a tag as deleted, if it stands for this, or for whatever.
    fn delete_tag(&self, parts: &[&str], of: Option<&Sha256>) -> Result<(), Refused> {
        self.store.table(&TAGS).update(parts, |found| {
            let found = found.filter(|found| {
                !found.deleted && of.is_none_or(|digest| found.manifest == *digest)
            });
            match (found, of) {
                (Some(found), _) => Ok(Some(TagRecord { deleted: true, ..found.clone() })),
                (None, None) => Err(unknown()),
                (None, Some(_)) => Ok(None),
            }
        })?;
        Ok(())
    }

    /// Tags of a manifest that are no versions; fails if a version stands for it.
    fn tags_of(&self, repo: &RepoName, digest: &Sha256) -> Result<Vec<Vec<String>>, Refused> {
        let table = self.store.table(&TAGS);
        let mut tags = Vec::new();
        for name in table.list(&repo.parts(), None, usize::MAX)? {
            let parts: Vec<&str> = name.iter().map(String::as_str).collect();
            let Some(found) = table.value(&parts)? else { continue };
            if found.deleted || found.manifest != *digest {
                continue;
            }
            match (found.package, parts.last().and_then(|tag| TagName::new(repo.clone(), tag))) {
                (Some(package), Some(version)) => {
                    let seen = self.store.tag(&version)?;
                    if seen.is_some_and(|seen| seen.digest() == package) {
                        return Err(is_version());
                    }
                }
                _ => tags.push(name),
            }
        }
        Ok(tags)
    }

    fn delete_manifest(&self, repo: &RepoName, digest: &Sha256) -> Result<(), Refused> {
        let record = self.manifest_record(repo, digest)?.ok_or_else(unknown)?;
        let delete_tags = || {
            for tag in self.tags_of(repo, digest)? {
                let parts: Vec<&str> = tag.iter().map(String::as_str).collect();
                self.delete_tag(&parts, Some(digest))?;
            }
            Ok::<_, Refused>(())
        };
        self.is_in_no_index(repo, digest)?;
        delete_tags()?;
        let [user, name] = repo.parts();
        let hex = digest.to_hex();
        let subject = self.read_manifest(repo, digest, &record)?.and_then(|read| read.subject);
        if let Some(subject) = subject {
            let of = subject.digest.replace(':', "-");
            self.store.table(&REFERRERS).delete(&[user, name, &of, &hex])?;
        }
        self.store.table(&MANIFESTS).delete(&[user, name, &hex])?;
        delete_tags()
    }

    fn is_in_no_index(&self, repo: &RepoName, digest: &Sha256) -> Result<(), Refused> {
        let text = digest.to_string();
        let table = self.store.table(&MANIFESTS);
        for name in table.list(&repo.parts(), None, usize::MAX)? {
            let parts: Vec<&str> = name.iter().map(String::as_str).collect();
            let Some(record) = table.value(&parts)? else { continue };
            let hex = parts.last().copied().unwrap_or_default();
            let Ok(index) = format!("sha256:{hex}").parse::<Sha256>() else { continue };
            if !Manifest::is_index(&record.media_type) || index == *digest {
                continue;
            }
            let read = self.read_manifest(repo, &index, &record)?;
            if read.is_some_and(|read| read.manifests.iter().any(|child| child.digest == text)) {
                return Err(in_use(&format!("the index {index} names it; delete that first")));
            }
        }
        Ok(())
    }

    /// A manifest as it was pushed; `None` if it is not there, or none.
    fn read_manifest(
        &self,
        repo: &RepoName,
        digest: &Sha256,
        record: &ManifestRecord,
    ) -> Result<Option<Manifest>, Refused> {
        if record.length > limits::OCI_MANIFEST_BYTES_MAX as u64 {
            return Ok(None);
        }
        let Some(mut blob) = self.store.open_blob(repo, (*digest, record.length), None)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        while let Some(piece) = blob.next_piece()? {
            bytes.extend(piece);
        }
        Ok(Manifest::parse(&record.media_type, &bytes).ok())
    }

    /// The blob with this digest, if it was not deleted.
    pub(super) fn visible_blob(
        &self,
        repo: &RepoName,
        wanted: &BlobDigest,
    ) -> Result<Option<(Sha256, u64)>, Refused> {
        let Some(found) = self.store.find_blob(repo, wanted)? else {
            return Ok(None);
        };
        let [user, name] = repo.parts();
        let hidden = self.store.table(&HIDDEN).value(&[user, name, &found.0.to_hex()])?;
        Ok(hidden.is_none().then_some(found))
    }

    fn hide_blob(&self, repo: &RepoName, wanted: &BlobDigest) -> Result<(), Refused> {
        let Some((sha256, _)) = self.visible_blob(repo, wanted)? else {
            let what = "there is no such blob in this repository";
            return Err(Refused::new(Code::BlobUnknown, what));
        };
        let is_free = || {
            let needed = needed(&self.store, repo)?;
            if let Some(why) = needed.blind {
                return Err(in_use(&format!("it is not known whether something needs it: {why}")));
            }
            match needed.blobs.contains(&sha256) {
                true => Err(in_use("a tag, an announced tag or a manifest needs it")),
                false => Ok(()),
            }
        };
        is_free()?;
        let [user, name] = repo.parts();
        let hidden = Hidden { deleted_at: self.clock.now().0 };
        self.store.table(&HIDDEN).create(&[user, name, &sha256.to_hex()], &hidden)?;
        // Somebody may have come to need it just then, and have seen it.
        is_free().inspect_err(|_| {
            if let Err(error) = self.show_blob(repo, &sha256) {
                tracing::error!(%error, %repo, %sha256, "content that is needed is hidden; push it again");
            }
        })
    }

    /// Content that came again is there again.
    pub(super) fn show_blob(&self, repo: &RepoName, sha256: &Sha256) -> Result<(), Refused> {
        let [user, name] = repo.parts();
        let (table, hex) = (self.store.table(&HIDDEN), sha256.to_hex());
        if table.value(&[user, name, &hex])?.is_some() {
            table.delete(&[user, name, &hex])?;
        }
        Ok(())
    }

    /// What a manifest names, which is there now, is not hidden.
    pub(super) fn show_content(&self, repo: &RepoName, manifest: &Manifest) -> Result<(), Refused> {
        let table = self.store.table(&HIDDEN);
        // Hardly ever is there any.
        if table.list(&repo.parts(), None, 1)?.is_empty() {
            return Ok(());
        }
        for named in manifest.config.iter().chain(&manifest.layers) {
            if let Some(sha256) = self.store.resolve(repo, &digest(&named.digest)?)? {
                self.show_blob(repo, &sha256)?;
            }
        }
        Ok(())
    }
}
