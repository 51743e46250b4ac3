// SPDX-License-Identifier: Apache-2.0

//! `enarx repo publishers`, `enarx org publishers`: by which rules tokens of other issuers publish (docs/FORMATS.md 2.8).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use drawbridge_core::rights::PublishersDocument;
use types::limits;

use crate::cli::RegistryArgs;
use crate::cmd::user::{RepoName, UserName};
use crate::failure::{Context as _, Failure, Outcome};
use crate::files;
use crate::output;
use crate::reach::Registry;
use crate::tokens::TokenStore;

const SHOW_EXAMPLES: &str = "\
Examples:
  enarx repo publishers show store.example.com/acme/app
  enarx org publishers show store.example.com/acme --json > rules.json";
const SET_EXAMPLES: &str = "\
Examples:
  enarx repo publishers set store.example.com/acme/app rules.json
  enarx org publishers set store.example.com/acme rules.json       for the repositories that each rule names in \"repos\"

rules.json, for one repository on GitHub:
  {\"publishers\": [{\"name\": \"ci\", \"issuer\": \"https://token.actions.githubusercontent.com\",
    \"audience\": \"https://store.example.com/\", \"claims\": {\"repository\": \"acme/app\", \"ref\": \"refs/tags/v*\"}}]}

A token publishes if all of one rule holds for it. The file takes the place of all rules that were there; {\"publishers\": []} is none.
The registry's operator says which issuers there can be (drawbridge serve --trusted-issuer).";

/// `enarx repo publishers …`, `enarx org publishers …`
#[derive(Debug, Subcommand)]
pub enum PublishersCommand {
    /// Show the rules
    Show(ShowArgs),
    /// Write the rules
    Set(SetArgs),
}

/// What every command needs.
#[derive(Debug, Args)]
pub struct Where {
    /// Of a repository: host/owner/repo; of an owner: host/owner
    #[arg(value_name = "HOST/OWNER[/REPO]")]
    pub name: String,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `publishers show`.
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub struct ShowArgs {
    /// Whose.
    #[command(flatten)]
    pub of: Where,
    /// Print JSON, as `set` takes it
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `publishers set`.
#[derive(Debug, Args)]
#[command(after_help = SET_EXAMPLES)]
pub struct SetArgs {
    /// Whose.
    #[command(flatten)]
    pub of: Where,
    /// The rules, as JSON
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// What the registry says.
pub fn run(command: &PublishersCommand, store: &TokenStore) -> Outcome {
    match command {
        PublishersCommand::Show(args) => show(args, store),
        PublishersCommand::Set(args) => set(args, store),
    }
}

/// An owner, and one of its repositories.
type Of = (String, Option<String>);

impl Where {
    fn open(&self, store: &TokenStore) -> Result<(Of, Registry), Failure> {
        let (host, of) = if self.name.matches('/').count() == 2 {
            let name = RepoName::parse(&self.name)?;
            (name.host, (name.user, Some(name.repo)))
        } else {
            let name = UserName::parse(&self.name)?;
            (name.host, (name.user, None))
        };
        let registry = Registry::open(&host, &self.registry, store)?;
        registry.token()?;
        Ok((of, registry))
    }
}

fn show(args: &ShowArgs, store: &TokenStore) -> Outcome {
    let ((owner, repo), registry) = args.of.open(store)?;
    let document: PublishersDocument = registry
        .client()
        .document(&owner, repo.as_deref())
        .map_err(|e| {
            registry.failure(format!("cannot show who publishes to {}", args.of.name), &e)
        })?
        .value;
    if args.json {
        output::json(&document)?;
        return Ok(0);
    }
    let mut rows = Vec::new();
    for rule in &document.publishers {
        let first = [("issuer", &rule.issuer), ("audience", &rule.audience)];
        let claims = rule.claims.iter().map(|(name, value)| (name.as_str(), value));
        let repos = rule.repos.iter().map(|repo| ("publishes to", repo));
        let row = |(label, value): (&str, &String)| {
            vec![rule.name.clone(), label.to_owned(), value.clone()]
        };
        rows.extend(first.into_iter().chain(claims).chain(repos).map(row));
    }
    if rows.is_empty() {
        output::talk("there are no rules: no token of another issuer publishes");
    } else {
        output::data(&output::columns(&rows))?;
    }
    Ok(0)
}

fn set(args: &SetArgs, store: &TokenStore) -> Outcome {
    let path = args.file.display();
    let text = files::read_bounded(&args.file, limits::JSON_BYTES_MAX)?;
    let document: PublishersDocument = serde_json::from_slice(&text)
        .context(format!("{path} has no rules for publishers"))
        .map_err(|failure| failure.next("see an example with --help"))?;
    let ((owner, repo), registry) = args.of.open(store)?;
    document.check(repo.is_none()).map_err(|flaw| {
        Failure::new(format!("there cannot be such rules as in {path}")).why(flaw)
    })?;
    let failed =
        |e: &_| registry.failure(format!("cannot change who publishes to {}", args.of.name), e);
    let client = registry.client();
    let found = client.document::<PublishersDocument>(&owner, repo.as_deref());
    let found = found.map_err(|e| failed(&e))?;
    client
        .put_document(&owner, repo.as_deref(), &document, found.etag.as_deref())
        .map_err(|e| failed(&e))?;
    let count = document.publishers.len();
    output::talk(&format!("{} has {count} rules for publishers", args.of.name));
    Ok(0)
}
