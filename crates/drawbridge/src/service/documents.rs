// SPDX-License-Identifier: Apache-2.0

//! Documents that owners change: organisations, rights, rules for machines. Nobody's change is lost: a change names what it was
//! made of (`If-Match`), and of two at once one is refused.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::HeaderMap;
use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use drawbridge_core::RepoRecord;
use drawbridge_core::rights::{AccessDocument, Flaw, OrgDocument, PublishersDocument, Role};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::digest::Sha256;

use super::Registry;
use super::asker::Asker;
use super::content::Content;
use super::refusal::Refusal;
use crate::auth::access::{Action, Caller, Denied};
use crate::auth::owner::{AccessRecord, OrgRecord, OwnerRecord};
use crate::store::{Amounts, Kind, Put, REPOS, RepoName, StoreError, USERS, UserName};

/// Rights in repositories, by owner and repository.
pub(crate) const ACCESS: Kind<AccessRecord> = Kind::new("access", 2);
/// Rules for machines, by owner and repository.
pub(crate) const PUBLISHERS: Kind<PublishersDocument> = Kind::new("publishers", 2);
/// Rules for machines, by owner.
pub(crate) const OWNER_PUBLISHERS: Kind<PublishersDocument> = Kind::new("owner-publishers", 1);

/// On what condition a document is written (RFC 9110 section 13.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing is said: a new document, or the one that is there.
    None,
    /// `If-None-Match: *`: a new one.
    Absent,
    /// `If-Match: "…"`: in place of this one.
    Is(String),
}

impl Condition {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Refusal> {
        let wrong = |what: &str| Err(Refusal::bad(what, "header.condition"));
        let value = |name: HeaderName| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (None, _) => Ok(None),
                (Some(value), None) => Ok(Some(value.to_str().unwrap_or_default())),
                (Some(_), Some(_)) => Err(Refusal::bad(
                    "the header If-Match or If-None-Match is there twice",
                    "header.condition",
                )),
            }
        };
        match (value(IF_MATCH)?, value(IF_NONE_MATCH)?) {
            (None, None) => Ok(Self::None),
            (None, Some("*")) => Ok(Self::Absent),
            (Some(tag), None) => match tag.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
                Some(inner) if !inner.contains('"') => Ok(Self::Is(inner.to_owned())),
                _ => wrong("If-Match must be one entity tag, as the answer to GET has it"),
            },
            (None, Some(_)) => wrong("If-None-Match must be * where something is written"),
            (Some(_), Some(_)) => wrong("If-Match and If-None-Match contradict each other"),
        }
    }

    /// Whether something may be written over what is there, which has this tag.
    pub(super) fn permits(&self, there: Option<&str>) -> Result<(), Refusal> {
        match (self, there) {
            (Self::None | Self::Absent, None) => Ok(()),
            (Self::Is(wanted), there) if wanted == there.unwrap_or(UNWRITTEN) => Ok(()),
            (Self::None, Some(_)) => Err(Refusal::conflict("there is another one already")
                .hint("read it, and send the ETag of what you read as If-Match to take its place")),
            (Self::Absent | Self::Is(_), _) => Err(Refusal::new(
                412,
                "Changed meanwhile",
                "what is there is not what the request was made of",
                "header.condition",
            )
            .hint("read it again, and make the change to that")),
        }
    }
}

/// The entity tag of a document that nobody has written yet, which is read as an empty one. No record has it.
pub(super) const UNWRITTEN: &str = "unwritten";

/// The entity tag of a record.
pub(super) fn etag(record: &impl Serialize) -> String {
    Sha256::of(&serde_json::to_vec(record).unwrap_or_default()).to_hex()
}

/// What the audit log says of a document.
fn words(document: &impl Serialize) -> String {
    serde_json::to_string(document).unwrap_or_default()
}

fn flawed(flaw: Flaw) -> Refusal {
    Refusal::bad(flaw, "record")
}

/// What was written: whether it is new, and its entity tag.
pub(super) type Written = (Put, Option<String>);

impl Registry {
    /// Writes a document on a condition; `may` looks at what is there at the moment when it is replaced.
    pub(super) fn put_document<T: Serialize + DeserializeOwned + PartialEq + Clone>(
        &self,
        kind: &Kind<T>,
        name: &[&str],
        new: &T,
        condition: &Condition,
        may: impl Fn(Option<&T>) -> Result<(), Refusal>,
    ) -> Result<Written, Refusal> {
        let mut put = Put::Same;
        self.store.table(kind).update(name, |old| {
            may(old)?;
            put = if old.is_none() { Put::Created } else { Put::Same };
            if old == Some(new) {
                return Ok(None);
            }
            condition.permits(old.map(etag).as_deref())?;
            Ok::<_, Refusal>(Some(new.clone()))
        })?;
        Ok((put, Some(etag(new))))
    }

    fn document<T: Serialize + DeserializeOwned + Default>(
        &self,
        kind: &Kind<T>,
        name: &[&str],
    ) -> Result<Option<T>, StoreError> {
        self.store.table(kind).value(name)
    }

    /// The subjects of users.
    fn subjects(&self, users: BTreeSet<&str>) -> Result<BTreeMap<String, String>, Refusal> {
        let subject = |user: &str| {
            let name = UserName::new(user).ok_or_else(|| flawed(format!("{user:?} is no name")))?;
            match self.store.user(&name)? {
                Some(OwnerRecord::User(record)) => Ok((user.to_owned(), record.subject)),
                Some(OwnerRecord::Organisation(_)) => {
                    Err(flawed(format!("{user} is an organisation, and no user")))
                }
                None => Err(flawed(format!("there is no user {user}"))),
            }
        };
        users.into_iter().map(subject).collect()
    }

    pub(super) fn read_org(&self, owner: Option<OwnerRecord>) -> Result<Content, Refusal> {
        match owner {
            Some(OwnerRecord::Organisation(record)) => {
                let tag = etag(&OwnerRecord::Organisation(record.clone()));
                Ok(Content::json(&record.organisation).tagged(tag))
            }
            _ => Err(Refusal::not_found("there is no organisation of this name")),
        }
    }

    pub(super) fn write_org(
        &self,
        asker: &Asker,
        name: &UserName,
        document: OrgDocument,
        condition: &Condition,
    ) -> Result<Written, Refusal> {
        document.check().map_err(flawed)?;
        let Caller::Person(person) = &asker.caller else {
            return Err(Denied::PeopleOnly.into());
        };
        let subjects = self.subjects(document.users())?;
        let detail = Some(words(&document));
        let new = OwnerRecord::Organisation(OrgRecord { organisation: document, subjects });
        let owns = |record: &OwnerRecord| record.role(&person.subject) == Some(Role::Owner);
        let may = |old: Option<&OwnerRecord>| match old {
            None if owns(&new) => Ok(()),
            None => Err(Refusal::new(
                403,
                "Not allowed",
                "whoever registers an organisation must be one of its owners",
                "owner",
            )),
            Some(OwnerRecord::User(_)) => Err(Refusal::conflict("the name is a user's")),
            Some(record) if owns(record) => Ok(()),
            Some(_) => Err(Denied::NotOwner.into()),
        };
        self.audited(asker, Action::ChangeOwner, name, detail, || {
            self.put_document(&USERS, &name.parts(), &new, condition, may)
        })
    }

    pub(super) fn read_access(&self, name: &RepoName) -> Result<Content, Refusal> {
        let record = self.document(&ACCESS, &name.parts())?;
        Ok(match record {
            Some(record) => Content::json(&record.access).tagged(etag(&record)),
            None => Content::json(&AccessDocument::default()).tagged(UNWRITTEN.to_owned()),
        })
    }

    pub(super) fn write_access(
        &self,
        asker: &Asker,
        name: &RepoName,
        access: AccessDocument,
        condition: &Condition,
    ) -> Result<Written, Refusal> {
        let owner = self.store.user(name.user())?;
        let none = BTreeMap::new();
        let teams = owner.as_ref().and_then(OwnerRecord::organisation);
        access.check(teams.map_or(&none, |org| &org.organisation.teams)).map_err(flawed)?;
        let subjects = self.subjects(access.users.keys().map(String::as_str).collect())?;
        let detail = Some(words(&access));
        let new = AccessRecord { access, subjects };
        self.audited(asker, Action::ChangeRights, name, detail, || {
            self.put_document(&ACCESS, &name.parts(), &new, condition, |_| Ok(()))
        })
    }

    /// Rules for machines, of a repository or of an owner.
    pub(super) fn read_publishers(
        &self,
        owner: &UserName,
        repo: Option<&RepoName>,
    ) -> Result<Content, Refusal> {
        let record = match repo {
            Some(repo) => self.document(&PUBLISHERS, &repo.parts())?,
            None => self.document(&OWNER_PUBLISHERS, &owner.parts())?,
        };
        Ok(match record {
            Some(record) => Content::json(&record).tagged(etag(&record)),
            None => Content::json(&PublishersDocument::default()).tagged(UNWRITTEN.to_owned()),
        })
    }

    pub(super) fn write_publishers(
        &self,
        asker: &Asker,
        owner: &UserName,
        repo: Option<&RepoName>,
        document: &PublishersDocument,
        condition: &Condition,
    ) -> Result<Written, Refusal> {
        document.check(repo.is_none()).map_err(flawed)?;
        let trusted = |issuer: &str| self.issuers.trusts(issuer);
        if let Some(unknown) = document.publishers.iter().find(|rule| !trusted(&rule.issuer)) {
            let detail = format!(
                "the publisher {:?}: the registry's operator does not trust the issuer {:?}",
                unknown.name, unknown.issuer
            );
            return Err(Refusal::bad(detail, "publisher.issuer"));
        }
        let detail = Some(words(document));
        match repo {
            Some(repo) => self.audited(asker, Action::ChangeRights, repo, detail, || {
                self.put_document(&PUBLISHERS, &repo.parts(), document, condition, |_| Ok(()))
            }),
            None => self.audited(asker, Action::ChangePublishers, owner, detail, || {
                let (kind, name) = (&OWNER_PUBLISHERS, owner.parts());
                self.put_document(kind, &name, document, condition, |_| Ok(()))
            }),
        }
    }

    /// Registers a repository, or changes its record in place of the one that the condition names.
    pub(crate) fn write_repo(
        &self,
        asker: &Asker,
        name: &RepoName,
        record: RepoRecord,
        condition: &Condition,
    ) -> Result<Written, Refusal> {
        let action = match condition {
            Condition::Is(_) => Action::ChangeRepo,
            Condition::None | Condition::Absent => Action::CreateRepo,
        };
        self.audited(asker, action, name, Some(words(&record)), || {
            let put = || self.put_document(&REPOS, &name.parts(), &record, condition, |_| Ok(()));
            let room = match self.store.repo(name)? {
                Some(_) => Amounts::default(),
                None => Amounts::REPO,
            };
            let is_new = |written: &Written| written.0 == Put::Created;
            self.store.with_room(name.user(), room, put, is_new)
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(pairs: &[(HeaderName, &'static str)]) -> Result<Condition, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        Condition::read(&headers).map_err(|refusal| refusal.status())
    }

    #[test]
    fn conditions_are_read_strictly() {
        assert_eq!(read(&[]), Ok(Condition::None));
        assert_eq!(read(&[(IF_NONE_MATCH, "*")]), Ok(Condition::Absent));
        assert_eq!(read(&[(IF_MATCH, "\"ab\"")]), Ok(Condition::Is("ab".to_owned())));
        for bad in [
            &[(IF_MATCH, "*")][..],
            &[(IF_MATCH, "ab")],
            &[(IF_MATCH, "W/\"ab\"")],
            &[(IF_MATCH, "\"a\", \"b\"")],
            &[(IF_MATCH, "\"a\""), (IF_MATCH, "\"b\"")],
            &[(IF_NONE_MATCH, "\"a\"")],
            &[(IF_MATCH, "\"a\""), (IF_NONE_MATCH, "*")],
        ] {
            assert_eq!(read(bad), Err(400), "{bad:?}");
        }
    }

    #[test]
    fn what_a_condition_permits() {
        let status = |condition: &Condition, there: Option<&str>| {
            condition.permits(there).err().map_or(200, |refusal| refusal.status())
        };
        let is = Condition::Is("a".to_owned());
        assert_eq!(status(&Condition::None, None), 200);
        assert_eq!(status(&Condition::None, Some("a")), 409);
        assert_eq!(status(&Condition::Absent, None), 200);
        assert_eq!(status(&Condition::Absent, Some("a")), 412);
        assert_eq!(status(&is, Some("a")), 200);
        assert_eq!(status(&is, Some("b")), 412);
        assert_eq!(status(&is, None), 412);
        let unwritten = Condition::Is(UNWRITTEN.to_owned());
        assert_eq!(status(&unwritten, None), 200);
        assert_eq!(status(&unwritten, Some("a")), 412);
    }
}
