// SPDX-License-Identifier: Apache-2.0

//! Owners' keys, and what they signed (docs/FORMATS.md 2.14).

use std::collections::BTreeSet;

use drawbridge_core::jose::Jose;
use drawbridge_core::keys::{KeysDocument, OwnerKey};
use drawbridge_core::signature::{self, About, Refused};
use drawbridge_core::signature::{SignatureInfo, SignaturesDocument};
use drawbridge_core::{TagRecord, media};
use serde::{Deserialize, Serialize};
use types::digest::Sha256;
use types::limits;

use super::Registry;
use super::asker::Asker;
use super::content::Content;
use super::documents::{Condition, UNWRITTEN, Written, etag};
use super::refusal::Refusal;
use crate::auth::access::Action;
use crate::store::{Expected, Kind, Put, RepoName, StoreError, Tag, TagName, UserName};

/// Keys that sign versions, by owner.
pub(crate) const OWNER_KEYS: Kind<KeysDocument> = Kind::new("owner-keys", 1);
/// Signatures, by owner, repository and version.
pub(crate) const SIGNATURES: Kind<Vec<Kept>> = Kind::new("signatures", 3);
/// Tags as their author signed them, by owner, repository and version.
pub(crate) const JOSE_TAGS: Kind<JoseTag> = Kind::new("jose-tags", 3);

/// A signature as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    jws: String,
    added_at: u64,
}

/// A signed tag as it came, and the root that it is for. It counts if the tag stands for just that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoseTag {
    digest: Sha256,
    body: String,
}

fn not_signed(refused: &Refused) -> Refusal {
    Refusal::new(400, "Signature refused", refused.to_string(), refused.check())
}

impl Registry {
    pub(super) fn owner_keys(&self, owner: &UserName) -> Result<Vec<OwnerKey>, StoreError> {
        let document = self.store.table(&OWNER_KEYS).value(&owner.parts())?;
        Ok(document.unwrap_or_default().keys)
    }

    pub(super) fn read_keys(&self, owner: &UserName) -> Result<Content, Refusal> {
        Ok(match self.store.table(&OWNER_KEYS).value(&owner.parts())? {
            Some(document) => Content::json(&document).tagged(etag(&document)),
            // Of names that are nobody's the same is said.
            None => Content::json(&KeysDocument::default()).tagged(UNWRITTEN.to_owned()),
        })
    }

    pub(super) fn write_keys(
        &self,
        asker: &Asker,
        owner: &UserName,
        document: &KeysDocument,
        condition: &Condition,
    ) -> Result<Written, Refusal> {
        document.check().map_err(|flaw| Refusal::bad(flaw, "record"))?;
        let key = |key: &OwnerKey| {
            let OwnerKey { kid, name, not_after, revoked, .. } = key;
            let end = not_after.map(|end| format!(" until {end}")).unwrap_or_default();
            format!("{kid} {name:?}{end}{}", if *revoked { " revoked" } else { "" })
        };
        let detail = document.keys.iter().map(key).collect::<Vec<_>>().join(", ");
        self.audited(asker, Action::ChangeKeys, owner, Some(detail), || {
            self.put_document(&OWNER_KEYS, &owner.parts(), document, condition, |_| Ok(()))
        })
    }

    fn about<'a>(&'a self, name: &'a TagName, digest: Sha256) -> About<'a> {
        let [user, repo, tag] = name.parts();
        About { host: &self.host, user, repo, tag, digest }
    }

    fn signatures(&self, name: &TagName) -> Result<Vec<Kept>, StoreError> {
        Ok(self.store.table(&SIGNATURES).value(&name.parts())?.unwrap_or_default())
    }

    /// The signatures on a version, and what they are worth now.
    pub(crate) fn judged_signatures(
        &self,
        name: &TagName,
        tag: &Tag,
    ) -> Result<Vec<SignatureInfo>, StoreError> {
        let keys = self.owner_keys(name.repo().user())?;
        let (about, now) = (self.about(name, tag.digest()), self.clock.now());
        let info = |Kept { jws, added_at }| {
            let kid = signature::claimed_kid(&jws).unwrap_or_default();
            let judged = verify::signature::judge(&jws, &about, &keys, now);
            let check = judged.as_ref().err().map(|refused| refused.check().to_owned());
            SignatureInfo { jws, kid, key: judged.ok().map(|signed| signed.name), added_at, check }
        };
        Ok(self.signatures(name)?.into_iter().map(info).collect())
    }

    pub(super) fn read_signatures(&self, name: &TagName, tag: &Tag) -> Result<Content, Refusal> {
        let signatures = self.judged_signatures(name, tag)?;
        Ok(Content::json(&SignaturesDocument { signatures }))
    }

    /// Takes a signature on what a version stands for, or is about to.
    pub(super) fn add_signature(
        &self,
        asker: &Asker,
        name: &TagName,
        bytes: &[u8],
    ) -> Result<Put, Refusal> {
        let jws = std::str::from_utf8(bytes).map_err(|_| not_signed(&Refused::Form))?;
        let digest = match self.store.expected(name, &[])? {
            Expected::Entry { entry, .. } => entry.digest.sha256(),
            _ => return Err(Refusal::not_found("there is no such version; publish it first")),
        };
        let keys = self.owner_keys(name.repo().user())?;
        let now = self.clock.now();
        let signed = verify::signature::judge(jws, &self.about(name, digest), &keys, now);
        let signed = signed.map_err(|refused| {
            let refusal = not_signed(&refused);
            match refused {
                Refused::UnknownKey => {
                    refusal.hint("an owner registers it first: enarx user keys add")
                }
                _ => refusal,
            }
        })?;
        let detail = format!("{digest} by the key {} {:?}", signed.kid, signed.name);
        self.audited(asker, Action::Sign, name, Some(detail), || {
            let mut put = Put::Same;
            self.store.table(&SIGNATURES).update(&name.parts(), |old| {
                let mut all = old.cloned().unwrap_or_default();
                // What was signed before something else took the place of a tree that never got whole.
                all.retain(|kept| signature::claimed_digest(&kept.jws) == Some(digest));
                let by =
                    |kept: &Kept| signature::claimed_kid(&kept.jws).as_ref() == Some(&signed.kid);
                if all.iter().any(by) {
                    put = Put::Same;
                    return Ok(None);
                }
                if all.len() >= limits::SIGNATURES_MAX {
                    return Err(StoreError::Quota(
                        "the version has 8 signatures, which is the most",
                    )
                    .into());
                }
                put = Put::Created;
                all.push(Kept { jws: jws.to_owned(), added_at: now.0 });
                Ok::<_, Refusal>(Some(all))
            })?;
            Ok(put)
        })
    }

    /// Whether a version carries a signature of its owner that counts now.
    pub(crate) fn is_signed(&self, name: &TagName, digest: Sha256) -> Result<bool, StoreError> {
        let signatures = self.signatures(name)?;
        if signatures.is_empty() {
            return Ok(false);
        }
        let keys = self.owner_keys(name.repo().user())?;
        let (about, now) = (self.about(name, digest), self.clock.now());
        let counts = |kept: &Kept| verify::signature::judge(&kept.jws, &about, &keys, now).is_ok();
        Ok(signatures.iter().any(counts))
    }

    /// The versions of a repository that somebody signed; whether that still counts is said when one is read.
    pub(crate) fn signed(&self, repo: &RepoName) -> Result<BTreeSet<String>, StoreError> {
        let names = self.store.table(&SIGNATURES).list(&repo.parts(), None, usize::MAX)?;
        Ok(names.into_iter().filter_map(|mut name| name.pop()).collect())
    }

    /// Announces a tag that its author signed, with a key of the owner.
    pub(super) fn write_jose(
        &self,
        asker: &Asker,
        name: &TagName,
        bytes: &[u8],
    ) -> Result<Put, Refusal> {
        let jose = Jose::parse(bytes).map_err(|why| Refusal::bad(why, "tag.form"))?;
        let keys = self.owner_keys(name.repo().user())?;
        let judged = verify::signature::judge_jose(&jose, &keys, self.clock.now());
        judged.map_err(|refused| not_signed(&refused))?;
        let digest = jose.tag.0.digest.sha256();
        // What parses as JSON is UTF-8.
        let body = String::from_utf8_lossy(bytes).into_owned();
        let new = JoseTag { digest, body };
        let detail = Some(format!("digest {digest}, signed"));
        self.audited(asker, Action::WriteTag, name, detail, || {
            if let Some(seen) = self.store.tag(name)? {
                let there = self.store.table(&JOSE_TAGS).value(&name.parts())?;
                let same = seen.entry == jose.tag.0 && there.as_ref() == Some(&new);
                return Ok(if same { Put::Same } else { Put::Conflict });
            }
            self.store.table(&JOSE_TAGS).update(&name.parts(), |old| {
                Ok::<_, StoreError>((old != Some(&new)).then(|| new.clone()))
            })?;
            Ok(self.store.put_tag(name, &jose.tag, self.clock.now())?)
        })
    }

    /// A tag as it is read: signed, if it came so.
    pub(super) fn tag_content(&self, name: &TagName, tag: Tag) -> Result<Content, Refusal> {
        let signed = self.store.table(&JOSE_TAGS).value(&name.parts())?;
        Ok(match signed.filter(|signed| signed.digest == tag.digest()) {
            Some(signed) => Content::new(media::JOSE, signed.body.into_bytes()),
            None => Content::new(media::ENTRY, TagRecord(tag.entry).to_bytes()),
        })
    }
}

/// What is said of a version without a signature, where the owner wants one.
pub(crate) fn missing() -> Refusal {
    let detail = "this version carries no signature of its owner that counts, which this repository asks for";
    Refusal::new(403, "Not signed", detail, "signature.required")
        .hint("whoever publishes there signs it: enarx package sign")
}
