// SPDX-License-Identifier: Apache-2.0

//! The operations of the Drawbridge API, one row each.

use drawbridge_core::{API_VERSION, media};

/// What a client may do at a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    /// Its name, for programs that generate clients.
    pub(super) id: &'static str,
    /// In lower case.
    pub(super) method: &'static str,
    /// Below the version of the API, or from the root on if it begins so.
    pub(super) at: &'static str,
    pub(super) summary: &'static str,
    /// Of queries and headers.
    pub(super) parameters: &'static [&'static str],
    /// What may be sent.
    pub(super) bodies: &'static [Body],
    /// What is answered if all is well.
    pub(super) answers: &'static [(u16, Body)],
    /// Whether it depends on who asks.
    pub(super) credentials: bool,
}

/// Content.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    None,
    /// A media type and the name of a schema.
    Of(&'static str, &'static str),
    /// Whatever bytes.
    Bytes(&'static str),
}

const JSON: &str = media::JSON;

const fn read(
    id: &'static str,
    at: &'static str,
    summary: &'static str,
    answers: &'static [(u16, Body)],
) -> Operation {
    Operation {
        id,
        method: "get",
        at,
        summary,
        parameters: &[],
        bodies: &[],
        answers,
        credentials: true,
    }
}

const fn write(
    id: &'static str,
    at: &'static str,
    summary: &'static str,
    bodies: &'static [Body],
) -> Operation {
    let answers = &[(200, Body::None), (201, Body::None)];
    Operation {
        id,
        method: "put",
        at,
        summary,
        parameters: &[],
        bodies,
        answers,
        credentials: true,
    }
}

const fn remove(id: &'static str, at: &'static str, summary: &'static str) -> Operation {
    let answers = &[(204, Body::None)];
    Operation {
        id,
        method: "delete",
        at,
        summary,
        parameters: &[],
        bodies: &[],
        answers,
        credentials: true,
    }
}

impl Operation {
    const fn taking(mut self, parameters: &'static [&'static str]) -> Self {
        self.parameters = parameters;
        self
    }

    const fn open(mut self) -> Self {
        self.credentials = false;
        self
    }

    /// The whole path.
    pub(super) fn path(&self) -> String {
        match self.at.strip_prefix("//") {
            Some(at) => format!("/{at}"),
            None => format!("/api/v{API_VERSION}{}", self.at),
        }
    }

    /// The names in its path.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.at.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// How it can be refused.
    pub(super) fn refusals(&self) -> Vec<(u16, &'static str)> {
        if !self.credentials {
            return vec![(429, "Too many requests.")];
        }
        let mut all = vec![
            (400, "The request is not as it has to be."),
            (401, "Log in."),
            (403, "Not allowed; the check says why."),
            (404, "There is nothing of this name."),
            (410, "The version is yanked."),
            (429, "Too many requests."),
            (500, "What lies in the registry's storage is damaged."),
            (503, "The registry's storage, issuer or audit log does not answer."),
        ];
        if self.method != "get" {
            all.extend([
                (409, "Something else has this name."),
                (411, "The header Content-Length is missing."),
                (412, "It is not any more what the request was made of."),
                (413, "Too large."),
                (507, "No room, or more than the owner may have."),
            ]);
        }
        all
    }
}

/// Conditions on which documents are written.
const CONDITIONS: &[&str] = &["If-Match", "If-None-Match"];
const PAGES: &[&str] = &["limit", "after"];

/// All of them.
pub(super) const OPERATIONS: &[Operation] = &[
    read("health", "//health", "Whether the registry answers.", &[(200, Body::None)]).open(),
    read("openapi", "//api/openapi.json", "This document.", &[(200, Body::Bytes(JSON))]).open(),
    read(
        "search",
        "/_search",
        "Repositories that one may see, by words in their names.",
        &[(200, Body::Of(JSON, "Repos"))],
    )
    .taking(&["q", "limit", "after"]),
    read(
        "listRepos",
        "/{owner}/_repos",
        "The repositories of an owner that one may see.",
        &[(200, Body::Of(JSON, "Repos"))],
    )
    .taking(PAGES),
    read("readUser", "/{owner}", "Whose a name is.", &[(200, Body::Of(JSON, "User"))]),
    write("writeUser", "/{owner}", "Register a user.", &[Body::Of(JSON, "User")])
        .taking(CONDITIONS),
    read(
        "readOrg",
        "/{owner}/_org",
        "The members and teams of an organisation.",
        &[(200, Body::Of(JSON, "Org"))],
    ),
    write(
        "writeOrg",
        "/{owner}/_org",
        "Register or change an organisation.",
        &[Body::Of(JSON, "Org")],
    )
    .taking(CONDITIONS),
    read(
        "readOwnerPublishers",
        "/{owner}/_publishers",
        "By which rules machines publish to repositories of an owner.",
        &[(200, Body::Of(JSON, "Publishers"))],
    ),
    write(
        "writeOwnerPublishers",
        "/{owner}/_publishers",
        "Change that.",
        &[Body::Of(JSON, "Publishers")],
    )
    .taking(CONDITIONS),
    read(
        "readKeys",
        "/{owner}/_keys",
        "The keys with which an owner signs versions.",
        &[(200, Body::Of(JSON, "Keys"))],
    ),
    write("writeKeys", "/{owner}/_keys", "Change them.", &[Body::Of(JSON, "Keys")])
        .taking(CONDITIONS),
    read(
        "listTokens",
        "/{owner}/_token",
        "The registry's own tokens of an owner.",
        &[(200, Body::Of(JSON, "Tokens"))],
    ),
    Operation {
        id: "createToken",
        method: "post",
        at: "/{owner}/_token",
        summary: "Make one; what it opens is answered once.",
        parameters: &[],
        bodies: &[Body::Of(JSON, "TokenRequest")],
        answers: &[(201, Body::Of(JSON, "TokenCreated"))],
        credentials: true,
    },
    remove("revokeToken", "/{owner}/_token/{id}", "End one at once."),
    read(
        "readRepo",
        "/{owner}/{repo}",
        "The record of a repository.",
        &[(200, Body::Of(JSON, "Repo"))],
    ),
    write(
        "writeRepo",
        "/{owner}/{repo}",
        "Register or change a repository.",
        &[Body::Of(JSON, "Repo")],
    )
    .taking(CONDITIONS),
    read(
        "readAccess",
        "/{owner}/{repo}/_access",
        "Who has rights in a repository besides.",
        &[(200, Body::Of(JSON, "Access"))],
    ),
    write("writeAccess", "/{owner}/{repo}/_access", "Change that.", &[Body::Of(JSON, "Access")])
        .taking(CONDITIONS),
    read(
        "readPublishers",
        "/{owner}/{repo}/_publishers",
        "By which rules machines publish to a repository.",
        &[(200, Body::Of(JSON, "Publishers"))],
    ),
    write(
        "writePublishers",
        "/{owner}/{repo}/_publishers",
        "Change that.",
        &[Body::Of(JSON, "Publishers")],
    )
    .taking(CONDITIONS),
    read(
        "listPolicies",
        "/{owner}/{repo}/_policies",
        "The versions of a release policy.",
        &[(200, Body::Of(JSON, "PolicyVersions"))],
    ),
    read(
        "readPolicy",
        "/{owner}/{repo}/_policy",
        "The release policy in force.",
        &[(200, Body::Of(media::TOML, "Toml"))],
    ),
    write(
        "writePolicy",
        "/{owner}/{repo}/_policy",
        "Put another in its place.",
        &[Body::Of(media::TOML, "Toml")],
    )
    .taking(CONDITIONS),
    read(
        "readPolicyVersion",
        "/{owner}/{repo}/_policy/{version}",
        "A version of the release policy.",
        &[(200, Body::Of(media::TOML, "Toml"))],
    ),
    read(
        "listVersions",
        "/{owner}/{repo}/_tag",
        "The versions of a repository; all of them without limit and after.",
        &[(200, Body::Of(JSON, "Versions"))],
    )
    .taking(&["limit", "after", "yanked"]),
    read(
        "readTag",
        "/{owner}/{repo}/_tag/{tag}",
        "What a version stands for.",
        &[(200, Body::Of(media::ENTRY, "Entry"))],
    ),
    write(
        "writeTag",
        "/{owner}/{repo}/_tag/{tag}",
        "Announce what it is to stand for.",
        &[Body::Of(media::ENTRY, "Entry"), Body::Of(media::JOSE, "SignedTag")],
    )
    .taking(&["Content-Digest"]),
    read(
        "deploy",
        "/{owner}/{repo}/_tag/{tag}/_deploy",
        "What a Keep may know before it is attested.",
        &[(200, Body::Of(JSON, "Deploy"))],
    ),
    read(
        "listSignatures",
        "/{owner}/{repo}/_tag/{tag}/_signatures",
        "The owner's signatures on a version.",
        &[(200, Body::Of(JSON, "Signatures"))],
    ),
    Operation {
        id: "addSignature",
        method: "post",
        at: "/{owner}/{repo}/_tag/{tag}/_signatures",
        summary: "Add one.",
        parameters: &[],
        bodies: &[Body::Of("application/jose", "Jws")],
        answers: &[(200, Body::None), (201, Body::None)],
        credentials: true,
    },
    read(
        "readYank",
        "/{owner}/{repo}/_tag/{tag}/_yank",
        "Why a version is yanked.",
        &[(200, Body::Of(JSON, "Yank"))],
    ),
    write("yank", "/{owner}/{repo}/_tag/{tag}/_yank", "Yank it.", &[Body::Of(JSON, "YankRequest")])
        .taking(CONDITIONS),
    remove("unyank", "/{owner}/{repo}/_tag/{tag}/_yank", "Take that back.").taking(&["If-Match"]),
    read(
        "readRoot",
        "/{owner}/{repo}/_tag/{tag}/tree",
        "The root of its tree: a directory or a module.",
        &[(200, Body::Bytes("*/*"))],
    ),
    write(
        "writeRoot",
        "/{owner}/{repo}/_tag/{tag}/tree",
        "Upload it.",
        &[Body::Bytes(media::OCTET_STREAM)],
    )
    .taking(&["Content-Digest"]),
    read(
        "readNode",
        "/{owner}/{repo}/_tag/{tag}/tree/{path}",
        "A directory or a file of its tree.",
        &[(200, Body::Bytes("*/*"))],
    ),
    write(
        "writeNode",
        "/{owner}/{repo}/_tag/{tag}/tree/{path}",
        "Upload it; its parent comes first, and its entry there says the type.",
        &[Body::Bytes(media::OCTET_STREAM)],
    )
    .taking(&["Content-Digest"]),
];
