// SPDX-License-Identifier: Apache-2.0

//! Repositories, listed and searched: only those that the caller may see.
//!
//! Names come in the order of the store's keys, and each is decided on like any other request. A request looks at a bounded
//! number of them; where that is used up, the page ends there, perhaps without anything on it, and the next goes on. The place is
//! then sealed: it may be the name of a repository that the caller must not learn of.

use drawbridge_core::{API_VERSION, RepoSummary, newest};
use types::limits;

use super::Registry;
use super::content::Content;
use super::pages::{Page, Paging, next_link};
use super::refusal::Refusal;
use super::yank::Versions;
use crate::auth::access::{Action, Caller};
use crate::auth::owner::OwnerRecord;
use crate::query::Query;
use crate::store::{REPOS, RepoName, UserName};

/// Names that are read from the store together; a bucket answers with as many.
const STEP: usize = 1000;
/// How a sealed place begins; no name begins so.
const SEALED: char = '~';
/// Length of a place before it is sealed, so that its length says nothing: 64 + 1 + 64 characters and some.
const PLACE_BYTES: usize = 132;

/// What repositories are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Only those of this owner.
    pub(crate) owner: Option<UserName>,
    /// Only those with each of these in their names, in lower case.
    words: Vec<String>,
}

impl Wanted {
    pub(crate) fn of(owner: &UserName) -> Self {
        Self { owner: Some(owner.clone()), words: Vec::new() }
    }

    /// Those with each word of `text` somewhere in `user/repo`, whatever its case.
    pub(crate) fn search(text: &str) -> Result<Self, Refusal> {
        if text.len() > limits::SEARCH_BYTES_MAX {
            let what = format!("the parameter q is longer than {} bytes", limits::SEARCH_BYTES_MAX);
            return Err(Refusal::bad(what, "query.q"));
        }
        let words = text.split_whitespace().map(str::to_ascii_lowercase).collect();
        Ok(Self { owner: None, words })
    }

    fn matches(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.words.iter().all(|word| name.contains(word))
    }
}

/// A page that is being filled.
struct Filling {
    limit: usize,
    /// Whether newest version and number of versions are wanted.
    versions: bool,
    items: Vec<RepoSummary>,
    names: usize,
    looked: usize,
    tags: usize,
    /// The owner of the repository before.
    owner: Option<(UserName, Option<OwnerRecord>)>,
}

/// How far it got.
enum Progress {
    /// There is room for more.
    On,
    /// There is one more than has room.
    Full,
    /// What one request may look at is used up.
    Spent,
}

impl Registry {
    /// A page of the repositories that are wanted and that the caller may see.
    pub(crate) fn find(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        paging: &Paging,
        versions: bool,
    ) -> Result<Page<RepoSummary>, Refusal> {
        let mut filling = Filling {
            limit: paging.limit.unwrap_or(limits::LIST_PAGE),
            versions,
            items: Vec::new(),
            names: 0,
            looked: 0,
            tags: 0,
            owner: None,
        };
        let mut at = paging.after.as_deref().map(|after| self.place(after)).transpose()?;
        let prefix = wanted.owner.as_ref().map(UserName::parts);
        let prefix: &[&str] = prefix.as_ref().map_or(&[], |parts| parts);
        loop {
            let after = at.as_ref().map(RepoName::parts);
            let after = after.as_ref().map(|parts| parts.as_slice());
            let names = self.store.table(&REPOS).list(prefix, after, STEP)?;
            let last = names.len() < STEP;
            for parts in names {
                let [user, repo] = &parts[..] else { continue };
                let name = UserName::new(user).and_then(|user| RepoName::new(user, repo));
                let Some(name) = name else { continue };
                match self.look(caller, wanted, &name, &mut filling)? {
                    Progress::On => at = Some(name),
                    Progress::Full => {
                        let next = filling.items.last().map(|item| item.name.clone());
                        return Ok(Page { items: filling.items, next });
                    }
                    Progress::Spent => {
                        let next = at.map(|at| self.sealed_place(&at)).transpose()?;
                        return Ok(Page { items: filling.items, next });
                    }
                }
            }
            if last {
                return Ok(Page { items: filling.items, next: None });
            }
        }
    }

    /// Looks at one repository.
    fn look(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        name: &RepoName,
        filling: &mut Filling,
    ) -> Result<Progress, Refusal> {
        // Of each there is some before, so that every page gets on.
        if filling.names >= limits::LIST_NAMES_MAX
            || filling.looked >= limits::LIST_REPOS_MAX
            || filling.tags >= limits::LIST_TAGS_MAX
        {
            return Ok(Progress::Spent);
        }
        filling.names += 1;
        let text = name.to_string();
        if !wanted.matches(&text) {
            return Ok(Progress::On);
        }
        filling.looked += 1;
        let owner = match filling.owner.take() {
            Some((user, owner)) if user == *name.user() => owner,
            _ => self.store.user(name.user())?,
        };
        filling.owner = Some((name.user().clone(), owner.clone()));
        let known = self.known_repo_of(caller, name, owner)?;
        let Some(record) = known.repo else { return Ok(Progress::On) };
        if known.decide(caller, Action::FindRepo, false, None).is_err() {
            return Ok(Progress::On);
        }
        if filling.items.len() >= filling.limit {
            return Ok(Progress::Full);
        }
        let tags = if filling.versions {
            self.versions(
                name,
                Versions { yanked: false, unsigned: !known.hides_unsigned(caller) },
            )?
        } else {
            Vec::new()
        };
        filling.tags += tags.len();
        filling.items.push(RepoSummary {
            name: text,
            public: record.public,
            newest: newest(&tags).cloned(),
            versions: tags.len(),
        });
        Ok(Progress::On)
    }

    /// The answer of the Drawbridge API.
    pub(super) fn find_content(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        query: &Query,
    ) -> Result<Content, Refusal> {
        let paging = Paging::read(query)?;
        let page = self.find(caller, wanted, &paging, true)?;
        let mut content = Content::json(&page.items);
        if let Some(next) = &page.next {
            let limit = paging.limit.unwrap_or(limits::LIST_PAGE).to_string();
            let q = query.get("q").unwrap_or_default();
            let (path, mut parameters) = match &wanted.owner {
                Some(owner) => (format!("/api/v{API_VERSION}/{owner}/_repos"), Vec::new()),
                None => (format!("/api/v{API_VERSION}/_search"), vec![("q", q)]),
            };
            parameters.extend([("limit", limit.as_str()), ("after", next.as_str())]);
            content.next = Some(next_link(&path, &parameters));
        }
        Ok(content)
    }

    /// What a page is after.
    fn place(&self, text: &str) -> Result<RepoName, Refusal> {
        let unsealed = text.strip_prefix(SEALED).map(|sealed| {
            let bytes = self.key.unseal(sealed)?;
            let text = String::from_utf8(bytes).ok()?;
            Some(text.trim_end().to_owned())
        });
        let name = match unsealed {
            Some(name) => name,
            None => Some(text.to_owned()),
        };
        let name = name.as_deref().and_then(|name| name.split_once('/'));
        let name = name.and_then(|(user, repo)| RepoName::new(UserName::new(user)?, repo));
        name.ok_or_else(|| {
            Refusal::bad("the parameter after is no place in this list", "query.after")
                .hint("take it from the link to the next page, or write user/repo")
        })
    }

    fn sealed_place(&self, at: &RepoName) -> Result<String, Refusal> {
        let padded = format!("{:PLACE_BYTES$}", at.to_string());
        Ok(format!("{SEALED}{}", self.key.seal(padded.as_bytes())?))
    }
}

#[cfg(test)]
mod tests;
