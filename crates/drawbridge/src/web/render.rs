// SPDX-License-Identifier: Apache-2.0

//! From what is known to the text of a page. The templates escape all of it.

use askama::Template;
use axum::http::StatusCode;
use drawbridge_core::{API_VERSION, Directory, Entry, RepoSummary};
use types::time::Timestamp;
use types::{limits, slug};

use super::route::Place;
use super::{STYLE, text};
use crate::auth::access::{Action, Denied};
use crate::query::{Query, encode};
use crate::service::Registry;
use crate::service::asker::Asker;
use crate::service::find::Wanted;
use crate::service::pages::{Page, Paging};
use crate::service::refusal::Refusal;
use crate::service::yank::Versions;
use crate::store::{RepoName, StoreError, Tag, TagName};

/// What is on every page.
pub(super) struct Frame {
    title: String,
    host: String,
    key: String,
    style: &'static str,
    search: String,
    search_max: usize,
    /// Where one is: names and their pages.
    path: Vec<(String, String)>,
}

impl Frame {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            title: "Packages".to_owned(),
            host: registry.host.clone(),
            key: registry.key.thumbprint().to_owned(),
            style: STYLE,
            search: String::new(),
            search_max: limits::SEARCH_BYTES_MAX,
            path: Vec::new(),
        }
    }

    fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    fn below(mut self, name: &str, href: String) -> Self {
        self.path.push((name.to_owned(), href));
        self
    }

    fn of_owner(registry: &Registry, owner: &str) -> Self {
        Self::new(registry).below("all", "/_/".to_owned()).below(owner, format!("/_/{owner}"))
    }

    fn of_repo(registry: &Registry, repo: &RepoName) -> Self {
        let frame = Self::of_owner(registry, repo.user().as_str());
        frame.below(repo.repo(), format!("/_/{repo}"))
    }

    fn of_version(registry: &Registry, name: &TagName) -> Self {
        Self::of_repo(registry, name.repo()).below(name.tag(), href(name))
    }
}

#[derive(Template)]
#[template(path = "repos.html")]
struct Repos {
    frame: Frame,
    heading: String,
    lead: &'static str,
    repos: Vec<RepoSummary>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "repo.html")]
struct Repo {
    frame: Frame,
    name: String,
    versions: Vec<Row>,
    next: Option<String>,
}

/// A version in a list.
struct Row {
    tag: String,
    digest: String,
    published: Timestamp,
    yanked: bool,
}

#[derive(Template)]
#[template(path = "version.html")]
struct Version {
    frame: Frame,
    repo: String,
    tag: String,
    yanked: Option<String>,
    pinned: String,
    directory: String,
    oci: String,
    digest: String,
    published: Timestamp,
    steward: Option<String>,
    /// Of its owner: the key's name, its thumbprint, and why a signature does not count.
    signatures: Vec<(String, String, Option<String>)>,
    content: String,
    statement: String,
    key_pem: String,
    api: String,
    directory_shown: bool,
    files: Vec<File>,
    texts: Vec<Text>,
}

/// A file or a directory in a list.
struct File {
    name: String,
    href: String,
    directory: bool,
    media_type: String,
    size: String,
    digest: String,
}

/// A file that is shown on the page of its version.
struct Text {
    name: &'static str,
    content: String,
}

#[derive(Template)]
#[template(path = "directory.html")]
struct Below {
    frame: Frame,
    name: String,
    package: String,
    files: Vec<File>,
}

#[derive(Template)]
#[template(path = "file.html")]
struct One {
    frame: Frame,
    name: String,
    package: String,
    media_type: String,
    size: String,
    digest: String,
    download: String,
    text: Option<String>,
}

/// That there is no such page.
#[derive(Template)]
#[template(path = "refused.html")]
pub(super) struct Refused {
    frame: Frame,
    heading: &'static str,
    detail: &'static str,
}

impl Refused {
    pub(super) fn new(frame: Frame, heading: &'static str, detail: &'static str) -> Self {
        Self { frame: frame.titled(heading), heading, detail }
    }
}

/// What a reader is told instead of the page. What is private and what is not there is told in the same words.
pub(super) fn words(refusal: &Refusal) -> (StatusCode, &'static str, &'static str) {
    match refusal.status() {
        400 => (
            StatusCode::BAD_REQUEST,
            "That is no search",
            "The address has a part that is too long or that leads nowhere.",
        ),
        401 | 403 | 404 | 410 => (
            StatusCode::NOT_FOUND,
            "Nothing is here for everybody",
            "There is nothing of this name, or it is private. Its readers get it with their login, by the program enarx.",
        ),
        500 => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "This cannot be shown",
            "What lies in the registry's storage is not what was put there. Its operator finds more in the log.",
        ),
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Not now",
            "The registry cannot reach its storage. Try again in a moment.",
        ),
    }
}

/// The text of a page.
pub(super) fn show(
    registry: &Registry,
    asker: &Asker,
    place: &Place,
    query: &Query,
) -> Result<String, Refusal> {
    match place {
        Place::Root | Place::Home => home(registry, asker, query),
        Place::Owner(owner) => {
            let path = format!("/_/{owner}?");
            let page = repos(registry, asker, &Wanted::of(owner), query)?;
            if page.items.is_empty() && page.next.is_none() {
                return Err(Denied::NotFound.into());
            }
            rendered(&Repos {
                frame: Frame::new(registry)
                    .below("all", "/_/".to_owned())
                    .titled(owner.to_string()),
                heading: owner.to_string(),
                lead: "The public repositories of this owner.",
                next: page.next.map(|next| format!("{path}after={}", encode(&next))),
                repos: page.items,
            })
        }
        Place::Repo(repo) => versions(registry, asker, repo, query),
        Place::Version(name) => version(registry, asker, name),
        Place::Node(name, path) => node(registry, asker, name, path),
    }
}

fn rendered(page: &impl Template) -> Result<String, Refusal> {
    page.render().map_err(|error| {
        tracing::error!(%error, "a page cannot be written");
        Refusal::new(500, "Internal error", "the page cannot be written", "internal")
    })
}

fn repos(
    registry: &Registry,
    asker: &Asker,
    wanted: &Wanted,
    query: &Query,
) -> Result<Page<RepoSummary>, Refusal> {
    let after = query.get("after").map(str::to_owned);
    let paging = Paging { limit: Some(limits::WEB_ROWS), after };
    registry.find(&asker.caller, wanted, &paging, true)
}

fn home(registry: &Registry, asker: &Asker, query: &Query) -> Result<String, Refusal> {
    let q = query.get("q").unwrap_or_default().trim();
    let page = repos(registry, asker, &Wanted::search(q)?, query)?;
    let (heading, lead) = if q.is_empty() {
        ("Packages".to_owned(), "All public repositories of this registry.")
    } else {
        (format!("Search for “{q}”"), "Public repositories with these words in their names.")
    };
    let mut frame = Frame::new(registry).titled(heading.clone());
    frame.search = q.to_owned();
    rendered(&Repos {
        frame,
        heading,
        lead,
        next: page.next.map(|next| format!("/_/?q={}&after={}", encode(q), encode(&next))),
        repos: page.items,
    })
}

fn versions(
    registry: &Registry,
    asker: &Asker,
    repo: &RepoName,
    query: &Query,
) -> Result<String, Refusal> {
    let known = registry.with_repo(asker, Action::ListTags, repo)?;
    let unsigned = !known.hides_unsigned(&asker.caller);
    let mut tags = registry.versions(repo, Versions { yanked: true, unsigned })?;
    if let Some(before) = query.get("before") {
        let wrong = || Refusal::bad("the parameter before is no semantic version", "query.before");
        let before = slug::parse_tag(before).ok_or_else(wrong)?;
        tags.retain(|tag| *tag < before);
    }
    let page = Page::of(tags.into_iter().rev(), limits::WEB_ROWS, ToString::to_string);
    let mut rows = Vec::new();
    for tag in page.items {
        let Some(name) = TagName::new(repo.clone(), &tag.to_string()) else { continue };
        if let Some(tag) = registry.store.tag(&name)? {
            rows.push(Row {
                tag: name.tag().to_owned(),
                digest: tag.digest().to_string(),
                published: Timestamp(tag.completed_at),
                yanked: registry.yank_of(&name)?.is_some(),
            });
        }
    }
    let owner = repo.user().as_str();
    rendered(&Repo {
        frame: Frame::of_owner(registry, owner).titled(repo.to_string()),
        name: repo.to_string(),
        versions: rows,
        next: page.next.map(|next| format!("/_/{repo}?before={}", encode(&next))),
    })
}

fn version(registry: &Registry, asker: &Asker, name: &TagName) -> Result<String, Refusal> {
    let tag = registry.with_tag(asker, Action::ReadTag, name)?;
    let repo = name.repo();
    let directory = registry.entries(repo, &tag.entry)?;
    let config = directory.as_ref().and_then(|directory| directory.get("Enarx.toml"));
    let config = config.map(|entry| registry.text(repo, entry)).transpose()?.flatten();
    let content = match &directory {
        Some(directory) if directory.len() == 1 => "a directory with one entry".to_owned(),
        Some(directory) => format!("a directory with {} entries", directory.len()),
        None => text::size(tag.entry.length),
    };
    let signatures = registry.judged_signatures(name, &tag)?;
    let signatures = signatures.into_iter();
    let signatures = signatures.map(|info| (info.key.unwrap_or_default(), info.kid, info.check));
    let signatures = signatures.collect();
    let plain = format!("{}/{name}", registry.host);
    rendered(&Version {
        frame: Frame::of_repo(registry, repo).titled(name.to_string()),
        repo: repo.to_string(),
        tag: name.tag().to_owned(),
        yanked: registry.yank_of(name)?.map(|yank| yank.reason),
        pinned: format!("{plain}@{}", tag.digest()),
        directory: repo.repo().to_owned(),
        oci: plain.replace('+', "_"),
        digest: tag.digest().to_string(),
        published: Timestamp(tag.completed_at),
        statement: registry.key.state(&registry.host, name, &tag)?,
        key_pem: registry.key.public_pem(),
        signatures,
        steward: tag.steward,
        content,
        api: api(name),
        directory_shown: directory.is_some(),
        files: directory.map(|directory| files(&directory, &href(name), "")).unwrap_or_default(),
        texts: config.into_iter().map(|content| Text { name: "Enarx.toml", content }).collect(),
    })
}

fn node(
    registry: &Registry,
    asker: &Asker,
    name: &TagName,
    path: &[String],
) -> Result<String, Refusal> {
    let tag: Tag = registry.with_tag(asker, Action::ReadTag, name)?;
    let repo = name.repo();
    let entry = registry.store.node_entry(repo, &tag, path)?.ok_or(Denied::NotFound)?;
    let mut frame = Frame::of_version(registry, name);
    let (last, above) = path.split_last().ok_or(Denied::NotFound)?;
    let mut at = format!("{}/tree", href(name));
    for part in above {
        at = format!("{at}/{part}");
        frame = frame.below(part, at.clone());
    }
    let frame = frame.titled(format!("{last} · {name}"));
    let joined = path.join("/");
    if let Some(directory) = registry.entries(repo, &entry)? {
        return rendered(&Below {
            frame,
            name: last.clone(),
            package: name.to_string(),
            files: files(&directory, &href(name), &format!("{joined}/")),
        });
    }
    rendered(&One {
        frame,
        name: last.clone(),
        package: name.to_string(),
        text: registry.text(repo, &entry)?,
        media_type: entry.media_type,
        size: text::size(entry.length),
        digest: entry.digest.sha256().to_hex(),
        download: format!("{}/tree/{joined}", api(name)),
    })
}

/// The page of a version.
fn href(name: &TagName) -> String {
    format!("/_/{}/{}", name.repo(), name.tag())
}

/// The version in the Drawbridge API.
fn api(name: &TagName) -> String {
    format!("/api/v{API_VERSION}/{}/_tag/{}", name.repo(), name.tag())
}

fn files(directory: &Directory, version: &str, below: &str) -> Vec<File> {
    let file = |(name, entry): (&str, &Entry)| File {
        name: name.to_owned(),
        href: format!("{version}/tree/{below}{name}"),
        directory: entry.is_directory(),
        media_type: if entry.is_directory() {
            "directory".to_owned()
        } else {
            entry.media_type.clone()
        },
        size: if entry.is_directory() { String::new() } else { text::size(entry.length) },
        digest: entry.digest.sha256().to_hex(),
    };
    directory.iter().map(file).collect()
}

impl Registry {
    /// A directory of a whole tree; `None` for a file.
    fn entries(&self, repo: &RepoName, entry: &Entry) -> Result<Option<Directory>, StoreError> {
        if !entry.is_directory() {
            return Ok(None);
        }
        let bytes = self.bytes(repo, entry)?;
        let damaged = |_| StoreError::Damaged(entry.digest.sha256().to_hex().into());
        Directory::from_bytes(&bytes).map(Some).map_err(damaged)
    }

    /// A file as text, if it is short enough and is text.
    fn text(&self, repo: &RepoName, entry: &Entry) -> Result<Option<String>, StoreError> {
        if entry.is_directory() || entry.length > limits::WEB_TEXT_BYTES_MAX {
            return Ok(None);
        }
        Ok(text::shown(&self.bytes(repo, entry)?))
    }

    /// The content of a node of a whole tree, which is bounded.
    fn bytes(&self, repo: &RepoName, entry: &Entry) -> Result<Vec<u8>, StoreError> {
        let missing = || StoreError::Damaged(entry.digest.sha256().to_hex().into());
        let mut blob = self.store.blob(repo, entry, None)?.ok_or_else(missing)?;
        let mut bytes = Vec::new();
        while let Some(piece) = blob.next_piece()? {
            bytes.extend(piece);
        }
        Ok(bytes)
    }
}
