// SPDX-License-Identifier: Apache-2.0

//! The rules: who may do what. A pure function over what is known, so that every row can be tested.

use std::collections::BTreeSet;

use drawbridge_core::RepoRecord;
use drawbridge_core::rights::{Role, TokenKind, names_repo};

use super::jwt::{Person, Verified};
use super::keeps::{Certificates, Verdict};
use super::owner::{AccessRecord, OwnerRecord};
use super::publisher::Rules;
use crate::store::UserName;

/// Who asks.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Nobody in particular.
    Anonymous,
    /// A person with a good token of the people's issuer.
    Person(Person),
    /// Somebody with a good token of the registry's own.
    Token(Grant),
    /// A machine with a good token of an issuer that the operator trusts.
    Machine(Verified),
    /// A client with a certificate, good or not.
    Keep(Certificates),
}

/// What a token of the registry's own stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose name it was made under.
    pub owner: UserName,
    /// Its public part.
    pub id: String,
    /// For whom it speaks.
    pub kind: TokenKind,
    /// Who made it.
    pub subject: String,
    /// What it allows.
    pub scopes: BTreeSet<String>,
    /// With which repositories of the owner.
    pub repos: Vec<String>,
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take a name that is nobody's, for oneself or for an organisation.
    Register,
    /// See whose a name is, and who is in an organisation.
    ReadOwner,
    /// Change an organisation.
    ChangeOwner,
    /// See the registry's own tokens of an owner.
    ReadTokens,
    /// Make and revoke them.
    ChangeTokens,
    /// See the record of a repository, and its release policy.
    ReadRepo,
    /// Register a repository.
    CreateRepo,
    /// Change whether a repository is public, and to which Keeps it is released.
    ChangeRepo,
    /// See who has rights in a repository, or by which rules machines publish.
    ReadRights,
    /// Change that, for one repository.
    ChangeRights,
    /// See by which rules machines publish to repositories of an owner.
    ReadPublishers,
    /// Change that.
    ChangePublishers,
    /// See that a repository is there, in lists and searches.
    FindRepo,
    /// List the tags of a repository.
    ListTags,
    /// Read a tag and its tree.
    ReadTag,
    /// Learn what a Keep must know before it is attested.
    Discover,
    /// Publish.
    WriteTag,
    /// Take a version back, or take that back.
    Yank,
    /// Add a signature to a version.
    Sign,
    /// Delete by the OCI protocol.
    Delete,
    /// See the public keys of an owner.
    ReadKeys,
    /// Change them.
    ChangeKeys,
}

/// What an action wants of people and of tokens.
struct Wants {
    scope: &'static str,
    manage: &'static str,
    /// None: everybody may who has the scope.
    role: Option<Role>,
    /// Only somebody who is logged in may; no token that lies about somewhere.
    people_only: bool,
    /// It is about a repository that has to be there.
    in_repo: bool,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Register,
        Self::ReadOwner,
        Self::ChangeOwner,
        Self::ReadTokens,
        Self::ChangeTokens,
        Self::ReadRepo,
        Self::CreateRepo,
        Self::ChangeRepo,
        Self::ReadRights,
        Self::ChangeRights,
        Self::ReadPublishers,
        Self::ChangePublishers,
        Self::FindRepo,
        Self::ListTags,
        Self::ReadTag,
        Self::Discover,
        Self::WriteTag,
        Self::Yank,
        Self::Sign,
        Self::Delete,
        Self::ReadKeys,
        Self::ChangeKeys,
    ];

    const fn wants(self) -> Wants {
        const USERS: [&str; 3] =
            ["read:drawbridge_users", "write:drawbridge_users", "manage:drawbridge_users"];
        const REPOS: [&str; 3] = [
            "read:drawbridge_repositories",
            "write:drawbridge_repositories",
            "manage:drawbridge_repositories",
        ];
        const TAGS: [&str; 3] =
            ["read:drawbridge_tags", "write:drawbridge_tags", "manage:drawbridge_tags"];
        let (of, writes, role, people_only, in_repo) = match self {
            Self::Register => (USERS, true, None, true, false),
            Self::ReadKeys => (USERS, false, None, false, false),
            Self::ReadOwner => (USERS, false, Some(Role::Reader), false, false),
            Self::ChangeOwner | Self::ChangeTokens | Self::ChangeKeys => {
                (USERS, true, Some(Role::Owner), true, false)
            }
            Self::ReadTokens => (USERS, false, Some(Role::Owner), true, false),
            Self::ReadRepo | Self::FindRepo => (REPOS, false, Some(Role::Reader), false, true),
            Self::CreateRepo => (REPOS, true, Some(Role::Owner), false, false),
            Self::ReadRights => (REPOS, false, Some(Role::Owner), false, true),
            Self::ChangeRepo | Self::ChangeRights => (REPOS, true, Some(Role::Owner), true, true),
            Self::ReadPublishers => (REPOS, false, Some(Role::Owner), false, false),
            Self::ChangePublishers => (REPOS, true, Some(Role::Owner), true, false),
            Self::ListTags | Self::ReadTag | Self::Discover => {
                (TAGS, false, Some(Role::Reader), false, true)
            }
            Self::WriteTag | Self::Yank | Self::Sign | Self::Delete => {
                (TAGS, true, Some(Role::Writer), false, true)
            }
        };
        let [read, write, manage] = of;
        Wants { scope: if writes { write } else { read }, manage, role, people_only, in_repo }
    }

    /// Whether everybody may do it where a repository is public, or where its owner said so.
    const fn open(self, repo: RepoRecord) -> bool {
        match self {
            Self::FindRepo | Self::ListTags | Self::ReadTag => repo.public,
            Self::Discover => repo.public || repo.discoverable,
            _ => false,
        }
    }
}

/// What is known of that with which somebody wants to do something.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The owner's name.
    pub name: &'a UserName,
    /// Whose it is, if it is anybody's.
    pub owner: Option<&'a OwnerRecord>,
    /// The repository's name, if it is about one.
    pub repo_name: Option<&'a str>,
    /// The repository, if it is there.
    pub repo: Option<RepoRecord>,
    /// Who has rights in it besides.
    pub access: Option<&'a AccessRecord>,
    /// Which machines may publish to it.
    pub publishers: Rules<'a>,
    /// Whether the tag, if it is about one, stands for something.
    pub tag: bool,
    /// What the owner's release policy says of the caller's certificate, if that was asked.
    pub keep: Option<&'a Verdict>,
}

/// A no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Who are you? There may be nothing of that name.
    Unauthenticated,
    /// The token does not allow it; the scope that would.
    Scope(&'static str),
    /// The token is not for this repository, or not for this owner.
    TokenRepo,
    /// Only people who are logged in do this.
    PeopleOnly,
    /// No rule of the owner's lets this machine do it.
    NoRule,
    /// The name is somebody else's.
    NotOwner,
    /// One's role is not enough; the one that is.
    Role(Role),
    /// There is no such user, and only that user could do it.
    NoUser,
    /// There is no such thing.
    NotFound,
    /// The Keep is not released to; the check, and why.
    NotReleased(&'static str, String),
}

/// A yes, with the reason for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// Everybody may.
    Public,
    /// By one's role; none if no role is needed.
    Role(Option<Role>),
    /// By the rule of this name for machines.
    Publisher(String),
    /// A Keep that is attested for exactly this; its description.
    Released(String),
}

/// Whether this caller may do this.
///
/// # Errors
/// See [`Denied`].
pub fn decide(caller: &Caller, action: Action, facts: &Facts<'_>) -> Result<Granted, Denied> {
    // They are there to be known.
    if action == Action::ReadKeys {
        return Ok(Granted::Public);
    }
    let about_tag = matches!(action, Action::ReadTag | Action::Discover);
    let there = |granted| if about_tag && !facts.tag { Err(Denied::NotFound) } else { Ok(granted) };
    // A repository that hides its tags does not say either which there are.
    if facts.repo.is_some_and(|repo| action.open(repo) && (repo.public || facts.tag)) {
        return there(Granted::Public);
    }
    let wants = action.wants();
    let role = match caller {
        Caller::Anonymous => return Err(Denied::Unauthenticated),
        Caller::Keep(_) => return keep(action, facts),
        Caller::Machine(token) => return machine(token, action, facts),
        Caller::Person(person) => {
            scope(&person.scopes, &wants)?;
            role_of(&person.subject, facts, wants.in_repo)
        }
        Caller::Token(grant) => {
            if wants.people_only {
                return Err(Denied::PeopleOnly);
            }
            scope(&grant.scopes, &wants)?;
            let repo = facts.repo_name.is_none_or(|repo| names_repo(&grant.repos, repo));
            if grant.owner != *facts.name || !repo {
                return Err(Denied::TokenRepo);
            }
            match grant.kind {
                TokenKind::Personal => role_of(&grant.subject, facts, wants.in_repo),
                // Whatever it is that a robot publishes, it never says who may.
                TokenKind::Robot => facts.owner.map(|_| Role::Writer),
            }
        }
    };
    let Some(needed) = wants.role else {
        return Ok(Granted::Role(None));
    };
    if facts.owner.is_none() {
        return Err(Denied::NoUser);
    }
    match role {
        None => return Err(Denied::NotOwner),
        Some(role) if role < needed => return Err(Denied::Role(needed)),
        Some(_) => {}
    }
    if wants.in_repo && facts.repo.is_none() {
        return Err(Denied::NotFound);
    }
    there(Granted::Role(role))
}

fn scope(scopes: &BTreeSet<String>, wants: &Wants) -> Result<(), Denied> {
    if scopes.contains(wants.scope) || scopes.contains(wants.manage) {
        Ok(())
    } else {
        Err(Denied::Scope(wants.scope))
    }
}

fn role_of(subject: &str, facts: &Facts<'_>, in_repo: bool) -> Option<Role> {
    let owner = facts.owner?;
    if in_repo { owner.role_in(subject, facts.access) } else { owner.role(subject) }
}

fn machine(token: &Verified, action: Action, facts: &Facts<'_>) -> Result<Granted, Denied> {
    let (Action::WriteTag | Action::Yank | Action::Sign, Some(repo)) = (action, facts.repo_name)
    else {
        return Err(Denied::NoRule);
    };
    match facts.publishers.takes(token, repo) {
        Some(rule) if facts.repo.is_some() => Ok(Granted::Publisher(rule.name.clone())),
        Some(_) => Err(Denied::NotFound),
        None => Err(Denied::NoRule),
    }
}

fn keep(action: Action, facts: &Facts<'_>) -> Result<Granted, Denied> {
    match (action, facts.keep) {
        (Action::ReadTag | Action::Discover, Some(Ok(description))) if facts.tag => {
            Ok(Granted::Released(description.clone()))
        }
        (Action::ReadTag | Action::Discover, Some(Err((check, why)))) => {
            Err(Denied::NotReleased(check, why.clone()))
        }
        (Action::ReadTag | Action::Discover, _) => Err(Denied::NotReleased(
            "release.workload",
            "the certificate is not for what this tag stands for".to_owned(),
        )),
        (Action::ListTags, _) => Err(Denied::NotReleased(
            "release.list",
            "a Keep may read the one tag that it is attested for, but not the list".to_owned(),
        )),
        _ => Err(Denied::Unauthenticated),
    }
}

#[cfg(test)]
mod tests;
