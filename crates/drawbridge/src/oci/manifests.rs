// SPDX-License-Identifier: Apache-2.0

//! Manifests: what a tag or a digest stands for, and how it comes to that.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use drawbridge_core::oci::{Descriptor, Manifest, ManifestError};
use drawbridge_core::{ContentDigest, Entry};
use types::digest::Sha256;
use types::limits;

use super::blobs::{digest, untaken};
use super::error::{Code, Refused};
use super::records::{MANIFESTS, ManifestRecord, REFERRERS, TAGS, TagRecord};
use super::route::OciTag;
use super::{Asking, CONTENT_DIGEST, SUBJECT, put};
use crate::audit::Outcome;
use crate::auth::access::Action;
use crate::service::Registry;
use crate::service::body::collect;
use crate::service::conditions::Conditions;
use crate::service::content::{Content, Payload};
use crate::service::refusal::Refusal;
use crate::service::signatures;
use crate::store::{Amounts, BlobDigest, Finished, Put, RepoName, StoreError, TagName};

/// How often a tree is announced again because somebody else announced another one.
const PUBLISH_ATTEMPTS_MAX: usize = 16;

/// How a manifest is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    Tag(OciTag),
    Digest(Sha256),
}

impl Reference {
    pub(super) fn parse(repo: &RepoName, text: &str) -> Result<Self, Refused> {
        if !text.contains(':') {
            let bad = "a tag has 1 to 128 letters, digits and the characters _ . -, and begins with neither . nor -";
            let tag = OciTag::new(repo, text).ok_or_else(|| Refused::new(Code::TagInvalid, bad))?;
            return Ok(Self::Tag(tag));
        }
        digest(text)?;
        // The other algorithms name blobs only.
        let other = || Refused::new(Code::DigestInvalid, "manifests are kept by sha256 here");
        text.parse().map(Self::Digest).map_err(|_| other())
    }
}

pub(super) fn unknown() -> Refused {
    Refused::new(Code::ManifestUnknown, "there is no such manifest in this repository")
}

fn taken() -> Refused {
    Refused::new(
        Code::Taken,
        "the tag stands for something else, and is never given a new meaning; take another one",
    )
}

impl From<ManifestError> for Refused {
    fn from(error: ManifestError) -> Self {
        let code = match &error {
            ManifestError::TooLarge => Code::TooLarge,
            _ => Code::ManifestInvalid,
        };
        Self::new(code, error.to_string())
    }
}

/// Whether a layer may be elsewhere, by its type (OCI image specification 1.1, "Non-distributable layers").
pub(crate) fn is_elsewhere(layer: &Descriptor) -> bool {
    layer.media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || layer.media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
}

impl Asking {
    /// GET and HEAD.
    pub(super) async fn manifest(
        self,
        method: &Method,
        repo: RepoName,
        reference: String,
    ) -> Result<Response, Refused> {
        let asked = Conditions::read(method, &self.headers);
        self.block(move |registry, asker| {
            let known = registry.may_pull(asker, &repo)?;
            let mut version = None;
            let found = match Reference::parse(&repo, &reference) {
                Ok(Reference::Digest(digest)) => Some(digest),
                Ok(Reference::Tag(tag)) => {
                    if let Some(version) = &tag.version
                        && known.hides_unsigned(&asker.caller)
                        && let Some(seen) = registry.store.tag(version)?
                        && !registry.is_signed(version, seen.digest())?
                    {
                        return Err(signatures::missing().into());
                    }
                    let found = registry.manifest_of(&repo, &tag)?;
                    version = tag.version;
                    found
                }
                // There is nothing of a name that nothing can have.
                Err(_) if !reference.contains(':') => None,
                Err(refused) => return Err(refused),
            };
            let digest = found.ok_or_else(unknown)?;
            let record = registry.manifest_record(&repo, &digest)?.ok_or_else(unknown)?;
            let content = Content {
                media_type: record.media_type,
                digest: ContentDigest::from(digest),
                etag: None,
                next: None,
                payload: Payload::Stored { repo, blob: (digest, record.length) },
            };
            let mut response = content.answer(&registry.store, &asked)?;
            put(response.headers_mut(), CONTENT_DIGEST, &digest.to_string());
            if let Some(version) = version {
                registry.note_yank(&version, response.headers_mut())?;
            }
            Ok(response)
        })
        .await
    }

    pub(super) async fn put_manifest(
        self,
        repo: RepoName,
        reference: &str,
        body: Body,
    ) -> Result<Response, Refused> {
        self.may_write(&repo).await?;
        let reference = Reference::parse(&repo, reference)?;
        let media_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
        let media_type = media_type.trim().to_owned();
        let max = limits::OCI_MANIFEST_BYTES_MAX;
        let bytes = collect(body, max as u64).await;
        let bytes =
            bytes.map_err(|e| untaken(e, &format!("at most {max} bytes are taken here")))?;
        self.block(move |registry, asker| {
            registry.may_push(asker, &repo)?;
            let manifest = Manifest::parse(&media_type, &bytes)?;
            let name = match &reference {
                Reference::Tag(tag) => Some(format!("{repo}:{}", tag.parts()[2])),
                Reference::Digest(_) => None,
            };
            if let Some(name) = &name {
                let detail = Some(format!("OCI manifest {}", Sha256::of(&bytes)));
                registry.granted(asker, Action::WriteTag, name, detail)?;
            }
            let pushed = registry.push(&repo, &reference, &manifest, &bytes);
            if let (Some(name), Err(refused)) = (&name, &pushed) {
                let refusal = Refusal::new(400, "Not published", refused.to_string(), "oci");
                registry.refused(asker, Action::WriteTag, name, Outcome::Failed, &refusal);
            }
            let digest = pushed?;
            let mut response = StatusCode::CREATED.into_response();
            let headers = response.headers_mut();
            put(headers, LOCATION, &format!("/v2/{repo}/manifests/{digest}"));
            put(headers, CONTENT_DIGEST, &digest.to_string());
            if let Some(subject) = &manifest.subject {
                put(headers, SUBJECT, &subject.digest);
            }
            Ok(response)
        })
        .await
    }
}

impl Registry {
    pub(super) fn manifest_record(
        &self,
        repo: &RepoName,
        digest: &Sha256,
    ) -> Result<Option<ManifestRecord>, Refused> {
        let [user, name] = repo.parts();
        Ok(self.store.table(&MANIFESTS).value(&[user, name, &digest.to_hex()])?)
    }

    /// The manifest that a tag stands for. For a tree that nobody pushed by this protocol it is made, and stays that one.
    pub(super) fn manifest_of(
        &self,
        repo: &RepoName,
        tag: &OciTag,
    ) -> Result<Option<Sha256>, Refused> {
        let table = self.store.table(&TAGS);
        let Some(name) = &tag.version else {
            let record = table.value(&tag.parts())?.filter(|record| !record.deleted);
            return Ok(record.map(|record| record.manifest));
        };
        let Some(seen) = self.store.tag(name)? else {
            return Ok(None);
        };
        let package = Some(seen.digest());
        let kept = table.update(&tag.parts(), |found| {
            Ok::<_, Refused>(match found.filter(|found| found.package == package) {
                Some(found) if found.settled => None,
                Some(found) => Some(TagRecord { settled: true, ..found.clone() }),
                None => {
                    let manifest = self.pack(repo, &seen)?;
                    Some(TagRecord { manifest, package, settled: true, deleted: false })
                }
            })
        })?;
        Ok(kept.map(|record| record.manifest))
    }

    /// Keeps a small piece of content.
    pub(super) fn keep_bytes(&self, repo: &RepoName, bytes: &[u8]) -> Result<Sha256, Refused> {
        let digest = Sha256::of(bytes);
        let expected = BlobDigest::from(digest);
        let mut upload = self.store.upload(expected.hasher())?;
        upload.write(bytes)?;
        match self.store.put_blob(repo, &upload, &expected)? {
            Finished::Put(..) => {
                self.show_blob(repo, &digest)?;
                Ok(digest)
            }
            Finished::Mismatch | Finished::Unknown => {
                Err(Refused::new(Code::Internal, "the content changed on its way"))
            }
        }
    }

    /// Keeps a manifest, so that it can be asked for by its digest.
    pub(super) fn keep_manifest(
        &self,
        repo: &RepoName,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Sha256, Refused> {
        let digest = self.keep_bytes(repo, bytes)?;
        let record =
            ManifestRecord { media_type: media_type.to_owned(), length: bytes.len() as u64 };
        let [user, name] = repo.parts();
        match self.store.table(&MANIFESTS).create(&[user, name, &digest.to_hex()], &record)? {
            Put::Created | Put::Same => Ok(digest),
            Put::Conflict => Err(Refused::new(
                Code::ManifestInvalid,
                "these bytes are there as a manifest of another type; put mediaType into it",
            )),
        }
    }

    fn push(
        &self,
        repo: &RepoName,
        reference: &Reference,
        manifest: &Manifest,
        bytes: &[u8],
    ) -> Result<Sha256, Refused> {
        let digest = Sha256::of(bytes);
        match reference {
            Reference::Digest(expected) if *expected != digest => {
                let what = "the manifest does not hash to the digest in the path";
                return Err(Refused::new(Code::DigestInvalid, what));
            }
            Reference::Digest(_) => {}
            Reference::Tag(tag) => match self.manifest_of(repo, tag)? {
                Some(found) if found != digest => return Err(taken()),
                // A repetition may have to finish what broke off.
                Some(_) | None => {}
            },
        }
        self.spare_content(repo, manifest)?;
        self.is_all_there(repo, manifest)?;
        let publish = match reference {
            Reference::Tag(tag) => match &tag.version {
                Some(version) => Some((version, self.unpack(repo, manifest)?)),
                None => None,
            },
            Reference::Digest(_) => None,
        };
        let keep = || {
            self.keep_manifest(repo, &manifest.media_type, bytes)?;
            match &manifest.subject {
                Some(subject) => self.refer(repo, subject, manifest, &digest, bytes.len() as u64),
                None => Ok(()),
            }
        };
        keep()?;
        if let Reference::Tag(tag) = reference {
            self.name_manifest(repo, tag, digest, publish)?;
        }
        // Somebody may have deleted it before it had this name, or what it names.
        if self.manifest_record(repo, &digest)?.is_none() {
            keep()?;
        }
        self.show_content(repo, manifest)?;
        Ok(digest)
    }

    /// Makes a tag stand for a manifest that is kept; of a version also for its tree.
    fn name_manifest(
        &self,
        repo: &RepoName,
        tag: &OciTag,
        digest: Sha256,
        publish: Option<(&TagName, Entry)>,
    ) -> Result<(), Refused> {
        let package = publish.as_ref().map(|(_, root)| root.digest.sha256());
        let settled = publish.is_none();
        let new = TagRecord { manifest: digest, package, settled, deleted: false };
        let table = self.store.table(&TAGS);
        let Some((version, root)) = publish else {
            let [user, name] = repo.parts();
            if table.list(&[user, name], None, usize::MAX)?.len() >= limits::TAGS_MAX
                && table.value(&tag.parts())?.is_none()
            {
                let what = "the repository has 10,000 tags, which is the most";
                return Err(Refused::new(Code::Limit, what));
            }
            // A deleted tag keeps its room.
            let room = match table.value(&tag.parts())? {
                Some(_) => Amounts::default(),
                None => Amounts::TAG,
            };
            let write = || {
                let mut put = Put::Same;
                table.update(&tag.parts(), |found| {
                    put = if found.is_none() { Put::Created } else { Put::Same };
                    match found.filter(|found| !found.deleted) {
                        Some(found) if *found == new => Ok(None),
                        Some(_) => {
                            put = Put::Conflict;
                            Ok(None)
                        }
                        None => Ok::<_, StoreError>(Some(new.clone())),
                    }
                })?;
                Ok::<_, StoreError>(put)
            };
            let is_new = |put: &Put| *put == Put::Created;
            return match self.store.with_room(repo.user(), room, write, is_new)? {
                Put::Created | Put::Same => {
                    tracing::info!(%repo, %digest, "tagged a manifest");
                    Ok(())
                }
                Put::Conflict => Err(taken()),
            };
        };
        // First what is about to be published, for the tag of the Drawbridge API may be there from one moment to the next.
        table.update(&tag.parts(), |found| {
            let seen = self.store.tag(version)?.map(|seen| seen.digest());
            match found {
                Some(found) if found.manifest == digest && found.package == package => Ok(None),
                Some(found) if found.settled => Err(taken()),
                Some(_) if seen.is_some() && seen != package => Err(taken()),
                _ => Ok(Some(new.clone())),
            }
        })?;
        let record = drawbridge_core::TagRecord(root);
        // All of the tree is there. Somebody who announces another one just then may only delay it.
        let mut attempts = 0..PUBLISH_ATTEMPTS_MAX;
        while self.store.tag(version)?.is_none() && attempts.next().is_some() {
            self.store.put_tag(version, &record, self.clock.now())?;
        }
        match self.store.tag(version)? {
            Some(seen) if seen.entry == record.0 => {}
            Some(_) => return Err(taken()),
            None => return Err(StoreError::Busy.into()),
        }
        // Somebody else may have been about to publish another one meanwhile, which did not come to be.
        table.update(&tag.parts(), |found| match found.filter(|found| found.settled) {
            Some(found) if found.manifest == digest => Ok(None),
            Some(_) => Err(taken()),
            None => Ok(Some(TagRecord { settled: true, ..new.clone() })),
        })?;
        Ok(())
    }

    /// What a manifest names stays from now on, if it is there.
    fn spare_content(&self, repo: &RepoName, manifest: &Manifest) -> Result<(), Refused> {
        let mut named = Vec::new();
        for wanted in manifest.config.iter().chain(&manifest.layers) {
            named.push(digest(&wanted.digest)?);
        }
        self.store.spare_blobs(repo, || {
            let resolved = named.iter().map(|digest| self.store.resolve(repo, digest));
            resolved.filter_map(Result::transpose).collect()
        })?;
        Ok(())
    }

    /// Whether everything that a manifest names is in its repository.
    fn is_all_there(&self, repo: &RepoName, manifest: &Manifest) -> Result<(), Refused> {
        let layers = manifest.layers.iter().filter(|layer| !is_elsewhere(layer));
        for wanted in manifest.config.iter().chain(layers) {
            let there = self.visible_blob(repo, &digest(&wanted.digest)?)?;
            match there {
                Some((_, length)) if length == wanted.size => {}
                Some(_) => {
                    let what = format!("{} is not as long as the manifest says", wanted.digest);
                    return Err(Refused::new(Code::ManifestInvalid, what));
                }
                None => {
                    let what = format!("{} is not in this repository", wanted.digest);
                    return Err(Refused::new(Code::ManifestBlobUnknown, what));
                }
            }
        }
        for wanted in &manifest.manifests {
            let there = match wanted.digest.parse() {
                Ok(digest) => self.manifest_record(repo, &digest)?,
                Err(_) => None,
            };
            if there.is_none_or(|there| there.length != wanted.size) {
                let what = format!("the manifest {} is not in this repository", wanted.digest);
                return Err(Refused::new(Code::ManifestBlobUnknown, what));
            }
        }
        Ok(())
    }

    /// Lists a manifest among those about its subject, which need not be there.
    fn refer(
        &self,
        repo: &RepoName,
        subject: &Descriptor,
        manifest: &Manifest,
        digest: &Sha256,
        size: u64,
    ) -> Result<(), Refused> {
        let [user, name] = repo.parts();
        let (of, hex) = (subject.digest.replace(':', "-"), digest.to_hex());
        let table = self.store.table(&REFERRERS);
        let descriptor = Descriptor {
            media_type: manifest.media_type.clone(),
            digest: digest.to_string(),
            size,
            artifact_type: manifest.kind().map(str::to_owned),
            annotations: (!manifest.annotations.is_empty()).then(|| manifest.annotations.clone()),
        };
        let at = [user, name, &of, &hex];
        let there = table.list(&at[..3], None, limits::OCI_REFERRERS_MAX)?.len();
        if there >= limits::OCI_REFERRERS_MAX && table.value(&at)?.is_none() {
            let what = "1000 manifests refer to this one, which is the most";
            return Err(Refused::new(Code::Limit, what));
        }
        table.create(&at, &descriptor)?;
        Ok(())
    }
}
