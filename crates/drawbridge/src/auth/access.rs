// SPDX-License-Identifier: Apache-2.0

//! The rules: who may do what. A pure function over what is known, so that every row can be tested.

use drawbridge_core::{RepoRecord, UserRecord};
use types::digest::Sha256;

use super::jwt::Person;
use super::keeps::Keep;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody in particular.
    Anonymous,
    /// A person with a good token.
    Person(Person),
    /// A client with a certificate, good or not.
    Keep(Keep),
}

/// What a scope is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// User records.
    Users,
    /// Repository records.
    Repositories,
    /// Tags and their trees.
    Tags,
}

/// Whether somebody wants to look or to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Look.
    Read,
    /// Add.
    Write,
}

/// A no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Who are you? There may be nothing of that name.
    Unauthenticated,
    /// The token does not allow it; the scope that would.
    Scope(String),
    /// The name is somebody else's.
    NotOwner,
    /// There is no such user, and only that user could do it.
    NoUser,
    /// There is no such thing.
    NotFound,
    /// The Keep is not released to; why.
    NotReleased(String),
}

/// A yes, with the reason for the log if it was a release to a Keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// Everybody may.
    Public,
    /// The owner may.
    Owner,
    /// A Keep that is attested for exactly this; its description.
    Released(String),
}

impl Person {
    /// Whether the token has the scope, or that to manage.
    ///
    /// # Errors
    /// [`Denied::Scope`].
    pub fn may(&self, verb: Verb, topic: Topic) -> Result<(), Denied> {
        let verb = match verb {
            Verb::Read => "read",
            Verb::Write => "write",
        };
        let topic = match topic {
            Topic::Users => "drawbridge_users",
            Topic::Repositories => "drawbridge_repositories",
            Topic::Tags => "drawbridge_tags",
        };
        let scope = format!("{verb}:{topic}");
        if self.scopes.contains(&scope) || self.scopes.contains(&format!("manage:{topic}")) {
            Ok(())
        } else {
            Err(Denied::Scope(scope))
        }
    }
}

impl Caller {
    /// The person, for what only people do.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`], [`Denied::Scope`].
    pub fn person(&self, verb: Verb, topic: Topic) -> Result<&Person, Denied> {
        match self {
            Self::Person(person) => person.may(verb, topic).map(|()| person),
            Self::Anonymous | Self::Keep(_) => Err(Denied::Unauthenticated),
        }
    }

    /// Whether this is the person whose name it is.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn owner(&self, verb: Verb, topic: Topic, user: Option<&UserRecord>) -> Result<(), Denied> {
        let person = self.person(verb, topic)?;
        match user {
            None => Err(Denied::NoUser),
            Some(user) if user.subject == person.subject => Ok(()),
            Some(_) => Err(Denied::NotOwner),
        }
    }

    /// Whether this caller may list the tags of a repository.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn list(
        &self,
        user: Option<&UserRecord>,
        repo: Option<&RepoRecord>,
    ) -> Result<Granted, Denied> {
        if repo.is_some_and(|r| r.public) {
            return Ok(Granted::Public);
        }
        if let Self::Keep(_) = self {
            return Err(Denied::NotReleased(
                "a Keep may read the one tag that it is attested for, but not the list".to_owned(),
            ));
        }
        self.owner(Verb::Read, Topic::Tags, user)?;
        if repo.is_some() { Ok(Granted::Owner) } else { Err(Denied::NotFound) }
    }

    /// Whether this caller may read a tag and its tree, which stands for `digest` if it is there.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn read(
        &self,
        user: Option<&UserRecord>,
        repo: Option<&RepoRecord>,
        digest: Option<&Sha256>,
    ) -> Result<Granted, Denied> {
        if repo.is_some_and(|r| r.public) {
            return if digest.is_some() { Ok(Granted::Public) } else { Err(Denied::NotFound) };
        }
        match self {
            Self::Keep(Keep::Attested { digest: own, description }) if Some(own) == digest => {
                Ok(Granted::Released(description.clone()))
            }
            Self::Keep(Keep::Attested { digest: own, .. }) => Err(Denied::NotReleased(format!(
                "the certificate is for the workload {own}, which is not what this tag stands for"
            ))),
            Self::Keep(Keep::Refused(why)) => Err(Denied::NotReleased(why.clone())),
            Self::Anonymous | Self::Person(_) => {
                self.owner(Verb::Read, Topic::Tags, user)?;
                if digest.is_some() { Ok(Granted::Owner) } else { Err(Denied::NotFound) }
            }
        }
    }

    /// Whether this caller may learn what a Keep must know before it is attested.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn discover(
        &self,
        user: Option<&UserRecord>,
        repo: Option<&RepoRecord>,
        digest: Option<&Sha256>,
    ) -> Result<Granted, Denied> {
        match (repo, digest) {
            (Some(repo), Some(_)) if repo.discoverable => Ok(Granted::Public),
            _ => self.read(user, repo, digest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: Sha256 = Sha256([1; 32]);
    const OTHER: Sha256 = Sha256([2; 32]);

    fn person(subject: &str, scopes: &str) -> Caller {
        let scopes = scopes.split(' ').map(str::to_owned).collect();
        Caller::Person(Person { subject: subject.to_owned(), scopes })
    }

    fn keep(digest: Sha256) -> Caller {
        Caller::Keep(Keep::Attested { digest, description: "k".into() })
    }

    /// Reads a whole table: repository × tag × caller.
    #[test]
    fn reading_tags_and_trees() {
        let user = UserRecord { subject: "ann".into() };
        let public = RepoRecord { public: true, discoverable: false };
        let private = RepoRecord { public: false, discoverable: false };
        let found = RepoRecord { public: false, discoverable: true };
        let tags = "read:drawbridge_tags";
        let callers = [
            ("anonymous", Caller::Anonymous),
            ("owner", person("ann", tags)),
            ("manager", person("ann", "manage:drawbridge_tags")),
            ("writer", person("ann", "write:drawbridge_tags")),
            ("narrow", person("ann", "read:drawbridge_users manage:drawbridge_repositories")),
            ("other", person("bob", tags)),
            ("keep", keep(DIGEST)),
            ("wrong keep", keep(OTHER)),
            ("bad keep", Caller::Keep(Keep::Refused("simulated".into()))),
        ];
        let mut rows = String::new();
        for (repo_name, repo) in [
            ("public", Some(&public)),
            ("private", Some(&private)),
            ("discoverable", Some(&found)),
            ("missing", None),
        ] {
            for (tag_name, digest) in [("tag", Some(&DIGEST)), ("no tag", None)] {
                if repo.is_none() && digest.is_some() {
                    continue;
                }
                for (name, caller) in &callers {
                    let short = |r: Result<Granted, Denied>| match r {
                        Ok(Granted::Public) => "public",
                        Ok(Granted::Owner) => "owner",
                        Ok(Granted::Released(_)) => "released",
                        Err(Denied::Unauthenticated) => "401",
                        Err(Denied::Scope(_)) => "scope",
                        Err(Denied::NotOwner) => "not-owner",
                        Err(Denied::NoUser) => "no-user",
                        Err(Denied::NotFound) => "404",
                        Err(Denied::NotReleased(_)) => "not-released",
                    };
                    let row = [
                        short(caller.read(Some(&user), repo, digest)),
                        short(caller.discover(Some(&user), repo, digest)),
                        short(caller.list(Some(&user), repo)),
                    ];
                    rows += &format!("{repo_name}, {tag_name}, {name}: {}\n", row.join(" "));
                }
            }
        }
        let expected = "\
public, tag, anonymous: public public public
public, tag, owner: public public public
public, tag, manager: public public public
public, tag, writer: public public public
public, tag, narrow: public public public
public, tag, other: public public public
public, tag, keep: public public public
public, tag, wrong keep: public public public
public, tag, bad keep: public public public
public, no tag, anonymous: 404 404 public
public, no tag, owner: 404 404 public
public, no tag, manager: 404 404 public
public, no tag, writer: 404 404 public
public, no tag, narrow: 404 404 public
public, no tag, other: 404 404 public
public, no tag, keep: 404 404 public
public, no tag, wrong keep: 404 404 public
public, no tag, bad keep: 404 404 public
private, tag, anonymous: 401 401 401
private, tag, owner: owner owner owner
private, tag, manager: owner owner owner
private, tag, writer: scope scope scope
private, tag, narrow: scope scope scope
private, tag, other: not-owner not-owner not-owner
private, tag, keep: released released not-released
private, tag, wrong keep: not-released not-released not-released
private, tag, bad keep: not-released not-released not-released
private, no tag, anonymous: 401 401 401
private, no tag, owner: 404 404 owner
private, no tag, manager: 404 404 owner
private, no tag, writer: scope scope scope
private, no tag, narrow: scope scope scope
private, no tag, other: not-owner not-owner not-owner
private, no tag, keep: not-released not-released not-released
private, no tag, wrong keep: not-released not-released not-released
private, no tag, bad keep: not-released not-released not-released
discoverable, tag, anonymous: 401 public 401
discoverable, tag, owner: owner public owner
discoverable, tag, manager: owner public owner
discoverable, tag, writer: scope public scope
discoverable, tag, narrow: scope public scope
discoverable, tag, other: not-owner public not-owner
discoverable, tag, keep: released public not-released
discoverable, tag, wrong keep: not-released public not-released
discoverable, tag, bad keep: not-released public not-released
discoverable, no tag, anonymous: 401 401 401
discoverable, no tag, owner: 404 404 owner
discoverable, no tag, manager: 404 404 owner
discoverable, no tag, writer: scope scope scope
discoverable, no tag, narrow: scope scope scope
discoverable, no tag, other: not-owner not-owner not-owner
discoverable, no tag, keep: not-released not-released not-released
discoverable, no tag, wrong keep: not-released not-released not-released
discoverable, no tag, bad keep: not-released not-released not-released
missing, no tag, anonymous: 401 401 401
missing, no tag, owner: 404 404 404
missing, no tag, manager: 404 404 404
missing, no tag, writer: scope scope scope
missing, no tag, narrow: scope scope scope
missing, no tag, other: not-owner not-owner not-owner
missing, no tag, keep: not-released not-released not-released
missing, no tag, wrong keep: not-released not-released not-released
missing, no tag, bad keep: not-released not-released not-released
";
        assert_eq!(rows, expected);
    }

    #[test]
    fn writing_is_for_owners_with_the_scope() {
        let user = UserRecord { subject: "ann".into() };
        let write = |caller: &Caller, user: Option<&UserRecord>| {
            caller.owner(Verb::Write, Topic::Tags, user)
        };
        let ann = person("ann", "write:drawbridge_tags");
        assert_eq!(write(&ann, Some(&user)), Ok(()));
        assert_eq!(write(&ann, None), Err(Denied::NoUser));
        assert_eq!(
            write(&person("bob", "write:drawbridge_tags"), Some(&user)),
            Err(Denied::NotOwner)
        );
        for scopes in
            ["", "read:drawbridge_tags", "write:drawbridge_repositories", "write:drawbridge_tagsx"]
        {
            let denied = write(&person("ann", scopes), Some(&user));
            assert_eq!(denied, Err(Denied::Scope("write:drawbridge_tags".into())), "{scopes}");
        }
        assert_eq!(write(&Caller::Anonymous, Some(&user)), Err(Denied::Unauthenticated));
        // A Keep reads; it never writes.
        assert_eq!(write(&keep(DIGEST), Some(&user)), Err(Denied::Unauthenticated));
    }
}
