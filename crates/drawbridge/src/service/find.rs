// SPDX-License-Identifier: Apache-2.0

//! Repositories, listed and searched: only those that the caller may see.
//!
//! Names come in the order of the store's keys, and each is decided on like any other request. A request looks at a bounded
//! number of them; where that is used up, the page ends there, perhaps without anything on it, and the next goes on. The place is
//! then sealed: it may be the name of a repository that the caller must not learn of.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use drawbridge_core::{API_VERSION, RepoSummary, newest};
use types::limits;

use super::Registry;
use super::content::Content;
use super::pages::{Page, Paging, next_link};
use super::refusal::Refusal;
use super::yank::Versions;
use crate::auth::access::{Action, Caller};
use crate::query::Query;
use crate::store::{REPOS, RepoName, UserName};

/// Names that are read from the store together; a bucket answers with as many.
const STEP: usize = 1000;
/// Repositories of one request that are looked at at once: each costs a bucket several requests.
const AT_ONCE: usize = 16;
/// Threads that do so, for all requests together; what finds none free does it by itself.
const THREADS_MAX: usize = 64;
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
    /// What was looked at last.
    at: Option<RepoName>,
    looked: usize,
    tags: usize,
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
        let limit = paging.limit.unwrap_or(limits::LIST_PAGE);
        let mut filling =
            Filling { limit, versions, items: Vec::new(), at: None, looked: 0, tags: 0 };
        let mut passed = paging.after.as_deref().map(|after| self.place(after)).transpose()?;
        let prefix = wanted.owner.as_ref().map(UserName::parts);
        let prefix: &[&str] = prefix.as_ref().map_or(&[], |parts| parts);
        let (mut names_passed, mut waiting) = (0, Vec::new());
        loop {
            let after = passed.as_ref().map(RepoName::parts);
            let after = after.as_ref().map(|parts| parts.as_slice());
            let names = self.store.table(&REPOS).list(prefix, after, STEP)?;
            let last = names.len() < STEP;
            for parts in names {
                let [user, repo] = &parts[..] else { continue };
                let name = UserName::new(user).and_then(|user| RepoName::new(user, repo));
                let Some(name) = name else { continue };
                if names_passed >= limits::LIST_NAMES_MAX
                    && let Some(at) = &passed
                {
                    let page = self.fill(caller, &mut waiting, &mut filling)?;
                    let next = Some(self.sealed_place(at)?);
                    return Ok(page.unwrap_or(Page { items: filling.items, next }));
                }
                names_passed += 1;
                if wanted.matches(&name.to_string()) {
                    waiting.push(name.clone());
                }
                // One more than fits tells whether there is a next page.
                let room = (limit + 1).saturating_sub(filling.items.len()).clamp(1, AT_ONCE);
                if waiting.len() >= room
                    && let Some(page) = self.fill(caller, &mut waiting, &mut filling)?
                {
                    return Ok(page);
                }
                passed = Some(name);
            }
            if last {
                let page = self.fill(caller, &mut waiting, &mut filling)?;
                return Ok(page.unwrap_or(Page { items: filling.items, next: None }));
            }
        }
    }

    /// Looks at repositories; the page, if it ends there.
    fn fill(
        &self,
        caller: &Caller,
        waiting: &mut Vec<RepoName>,
        filling: &mut Filling,
    ) -> Result<Option<Page<RepoSummary>>, Refusal> {
        let names = std::mem::take(waiting);
        let seen = |name: &RepoName| self.seen(caller, name, filling.versions);
        let seen = match self.store.is_far() {
            true => at_once(&names, seen),
            false => names.iter().map(seen).collect(),
        };
        for (name, seen) in names.into_iter().zip(seen) {
            if (filling.looked >= limits::LIST_REPOS_MAX || filling.tags >= limits::LIST_TAGS_MAX)
                && let Some(at) = &filling.at
            {
                let next = Some(self.sealed_place(at)?);
                return Ok(Some(Page { items: std::mem::take(&mut filling.items), next }));
            }
            filling.looked += 1;
            if let Some(item) = seen? {
                if filling.items.len() >= filling.limit {
                    let items = std::mem::take(&mut filling.items);
                    let next = items.last().map(|item| item.name.clone());
                    return Ok(Some(Page { items, next }));
                }
                filling.tags += item.versions;
                filling.items.push(item);
            }
            filling.at = Some(name);
        }
        Ok(None)
    }

    /// What a list says of a repository; `None` if the caller may not see it.
    fn seen(
        &self,
        caller: &Caller,
        name: &RepoName,
        versions: bool,
    ) -> Result<Option<RepoSummary>, Refusal> {
        let owner = match caller {
            // Whose it is does not matter to them.
            Caller::Anonymous | Caller::Keep(_) => None,
            Caller::Person(_) | Caller::Token(_) | Caller::Machine(_) => {
                self.store.user(name.user())?
            }
        };
        let known = self.known_repo_of(caller, name, owner)?;
        let Some(record) = known.repo else { return Ok(None) };
        if known.decide(caller, Action::FindRepo, false, None).is_err() {
            return Ok(None);
        }
        let which = Versions { yanked: false, unsigned: !known.hides_unsigned(caller) };
        let tags = if versions { self.versions(name, which)? } else { Vec::new() };
        Ok(Some(RepoSummary {
            name: name.to_string(),
            public: record.public,
            newest: newest(&tags).cloned(),
            versions: tags.len(),
        }))
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

/// Does work for each name, several at once; the results in the order of the names.
fn at_once<T: Send>(
    names: &[RepoName],
    work: impl Fn(&RepoName) -> Result<T, Refusal> + Sync,
) -> Vec<Result<T, Refusal>> {
    static BUSY: AtomicUsize = AtomicUsize::new(0);
    let wanted = names.len().saturating_sub(1);
    let free = |busy: usize| (busy + wanted <= THREADS_MAX).then_some(busy + wanted);
    if wanted == 0 || BUSY.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_err() {
        return names.iter().map(work).collect();
    }
    let (work, lost) =
        (&work, || Refusal::new(500, "Internal error", "the request was not finished", "internal"));
    let results = std::thread::scope(|scope| {
        let spawn = |name| std::thread::Builder::new().spawn_scoped(scope, move || work(name));
        let threads: Vec<_> = names.iter().map(|name| (name, spawn(name))).collect();
        let result = |(name, thread): (_, std::io::Result<ScopedJoinHandle<'_, _>>)| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|_| Err(lost())),
            // The system has no thread to give.
            Err(_) => work(name),
        };
        threads.into_iter().map(result).collect()
    });
    BUSY.fetch_sub(wanted, Ordering::Relaxed);
    results
}

#[cfg(test)]
mod tests;
