// SPDX-License-Identifier: Apache-2.0

//! `enarx repo`: repositories of a registry.

use clap::{ArgGroup, Args, Subcommand};
use drawbridge_core::RepoRecord;
use serde_json::json;

use crate::cli::RegistryArgs;
use crate::cmd::find;
use crate::cmd::policy::{self, PolicyCommand};
use crate::cmd::publishers::{self, PublishersCommand};
use crate::cmd::rights::{self, RightsCommand};
use crate::cmd::user::RepoName;
use crate::cmd::yank::{self, UnyankArgs, YankArgs};
use crate::failure::Outcome;
use crate::output;
use crate::reach::Registry;
use crate::tokens::TokenStore;

const REGISTER_EXAMPLES: &str = "\
Examples:
  enarx repo register store.example.com/alice/app                          anybody may read it
  enarx repo register store.example.com/alice/app --private --discoverable only Keeps that prove to run it may

A private repository gives its packages to you, and to Keeps whose certificate names the very digest that they ask for.
For that, a Keep must first learn digest and Steward: --discoverable.";
const SET_EXAMPLES: &str = "\
Examples:
  enarx repo set store.example.com/alice/app --public          anybody may read it
  enarx repo set store.example.com/alice/app --discoverable    only Keeps that prove to run it may; anybody may learn its digests
  enarx repo set store.example.com/alice/app --private         only Keeps that prove to run it and know its digest may
  enarx repo set store.example.com/alice/app --require-signature true   only versions that the owner signed

What was public may have been copied; nothing takes that back.";
const INFO_EXAMPLES: &str = "\
Examples:
  enarx repo info store.example.com/alice/app
  enarx repo info store.example.com/alice/app --json";

/// `enarx repo …`
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// Register a repository
    Register(RegisterArgs),
    /// Say who may read a repository, and what its versions need
    Set(SetArgs),
    /// Show a repository and its tags
    Info(InfoArgs),
    /// List the repositories of an owner
    List(find::ListArgs),
    /// Search the names of all repositories
    Search(find::SearchArgs),
    /// Take a version back, as `enarx package yank` does
    Yank(YankArgs),
    /// Take a yank back, as `enarx package unyank` does
    Unyank(UnyankArgs),
    /// To which Keeps a repository is released
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Whose continuous integration publishes to a repository
    #[command(subcommand)]
    Publishers(PublishersCommand),
    /// Who has rights in a repository besides those who have them in all of its owner's
    #[command(subcommand)]
    Access(RightsCommand),
}

/// Arguments of `enarx repo register`.
#[derive(Debug, Args)]
#[command(after_help = REGISTER_EXAMPLES)]
pub struct RegisterArgs {
    /// The repository: host/user/repo
    #[arg(value_name = "HOST/USER/REPO")]
    pub name: String,
    /// Let only the owner and attested Keeps read it
    #[arg(long)]
    pub private: bool,
    /// Let anybody learn digest and Steward of its tags, so that Keeps can be deployed from it
    #[arg(long)]
    pub discoverable: bool,
    /// Let versions be read and deployed only if they carry a signature of the owner (`enarx package sign`)
    #[arg(long)]
    pub require_signature: bool,
    /// Let OCI clients of those who publish delete manifests, tags and blobs; versions are never deleted
    #[arg(long)]
    pub deletable: bool,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx repo set`.
#[derive(Debug, Args)]
#[command(after_help = SET_EXAMPLES, group = ArgGroup::new("change").required(true).multiple(true))]
pub struct SetArgs {
    /// The repository: host/user/repo
    #[arg(value_name = "HOST/USER/REPO")]
    pub name: String,
    /// Let anybody read it
    #[arg(long, group = "change", conflicts_with_all = ["private", "discoverable"])]
    pub public: bool,
    /// Let only those with a role in it and attested Keeps read it
    #[arg(long, group = "change", conflicts_with_all = ["public", "discoverable"])]
    pub private: bool,
    /// The same, and let anybody learn digest and Steward of its tags, so that Keeps can be deployed from it
    #[arg(long, group = "change", conflicts_with_all = ["public", "private"])]
    pub discoverable: bool,
    /// Whether versions are read and deployed only if they carry a signature of the owner (`enarx package sign`)
    #[arg(long, group = "change", value_name = "true|false")]
    pub require_signature: Option<bool>,
    /// Whether OCI clients of those who publish may delete manifests, tags and blobs; versions are never deleted
    #[arg(long, group = "change", value_name = "true|false")]
    pub deletable: Option<bool>,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx repo info`.
#[derive(Debug, Args)]
#[command(after_help = INFO_EXAMPLES)]
pub struct InfoArgs {
    /// The repository: host/user/repo
    #[arg(value_name = "HOST/USER/REPO")]
    pub name: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Runs the command.
///
/// # Errors
/// What the registry says.
pub fn run(command: &RepoCommand) -> Outcome {
    let store = TokenStore::of_user()?;
    match command {
        RepoCommand::Yank(args) => yank::yank(args, &store),
        RepoCommand::Unyank(args) => yank::unyank(args, &store),
        RepoCommand::Register(args) => {
            let name = RepoName::parse(&args.name)?;
            let registry = Registry::open(&name.host, &args.registry, &store)?;
            registry.token()?;
            let record = RepoRecord {
                public: !args.private,
                discoverable: args.discoverable,
                require_signature: args.require_signature,
                deletable: args.deletable,
            };
            registry.repo_put(&name.user, &name.repo, &record)?;
            output::talk(&format!(
                "registered {}; next: `enarx package publish {}:0.1.0 DIR`",
                args.name, args.name
            ));
            Ok(0)
        }
        RepoCommand::Set(args) => set(args, &store),
        RepoCommand::Info(args) => info(args, &store),
        RepoCommand::List(args) => find::list(args, &store),
        RepoCommand::Search(args) => find::search(args, &store),
        RepoCommand::Publishers(command) => publishers::run(command, &store),
        RepoCommand::Policy(command) => policy::run(command, &store),
        RepoCommand::Access(command) => rights::run(command, &store),
    }
}

fn set(args: &SetArgs, store: &TokenStore) -> Outcome {
    let name = RepoName::parse(&args.name)?;
    let registry = Registry::open(&name.host, &args.registry, store)?;
    registry.token()?;
    let failed = |e: &_| registry.failure(format!("cannot change {}", args.name), e);
    let client = registry.client();
    let found = client.repo_record(&name.user, &name.repo).map_err(|e| failed(&e))?;
    let mut record = found.value;
    if args.public || args.private || args.discoverable {
        (record.public, record.discoverable) = (args.public, args.discoverable);
    }
    record.require_signature = args.require_signature.unwrap_or(record.require_signature);
    record.deletable = args.deletable.unwrap_or(record.deletable);
    if found.value == record {
        output::talk(&format!("{} is so already: read by {}", args.name, readers(&record)));
        return Ok(0);
    }
    let etag = found.etag.unwrap_or_default();
    client.repo_change(&name.user, &name.repo, &record, &etag).map_err(|e| failed(&e))?;
    output::talk(&format!("{} is read by {}", args.name, readers(&record)));
    Ok(0)
}

/// Who may read such a repository.
fn readers(record: &RepoRecord) -> &'static str {
    match record {
        RepoRecord { public: true, .. } => "anybody",
        RepoRecord { discoverable: true, .. } => {
            "its owner, and attested Keeps; anybody may learn digest and Steward"
        }
        _ => "its owner, and attested Keeps that know the digest",
    }
}

fn info(args: &InfoArgs, store: &TokenStore) -> Outcome {
    let name = RepoName::parse(&args.name)?;
    let registry = Registry::open(&name.host, &args.registry, store)?;
    let what = || format!("cannot show {}", args.name);
    let tags = registry
        .client()
        .tags(&name.user, &name.repo)
        .map_err(|error| registry.failure(what(), &error))?;
    // Only the owner may see the record; the tags of a public repository everybody.
    let record = match registry.client().repo_get(&name.user, &name.repo) {
        Ok(record) => Some(record),
        Err(error) if matches!(error.status(), Some(401 | 403)) => None,
        Err(error) => return Err(registry.failure(what(), &error)),
    };
    if args.json {
        let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
        output::json(&json!({"name": args.name, "config": record, "tags": tags}))?;
        return Ok(0);
    }
    let readers = record.as_ref().map_or("known to its owner only", readers);
    let mut rows = vec![
        vec!["repository".to_owned(), args.name.clone()],
        vec!["readers".to_owned(), readers.to_owned()],
    ];
    if record.is_some_and(|record| record.require_signature) {
        rows.push(vec!["versions".to_owned(), "need a signature of the owner".to_owned()]);
    }
    rows.extend(tags.iter().map(|tag| vec!["tag".to_owned(), tag.to_string()]));
    output::data(&output::columns(&rows))?;
    Ok(0)
}
