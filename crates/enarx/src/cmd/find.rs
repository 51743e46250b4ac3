// SPDX-License-Identifier: Apache-2.0

//! `enarx repo list|search`: which repositories there are, as far as one may see them.

use clap::Args;
use drawbridge_client::Found;
use serde_json::json;
use types::slug::valid_user;

use crate::cli::RegistryArgs;
use crate::cmd::user::UserName;
use crate::failure::{EXIT_USAGE, Failure, Outcome};
use crate::output;
use crate::reach::Registry;
use crate::tokens::TokenStore;

const LIST_EXAMPLES: &str = "\
Examples:
  enarx repo list store.example.com/alice
  ENARX_HOST=store.example.com enarx repo list alice

Shows what is public, and what is private where you have a role and are logged in.";
const SEARCH_EXAMPLES: &str = "\
Examples:
  enarx repo search store.example.com chat              with chat somewhere in alice/chat-server
  enarx repo search store.example.com alice chat --limit 10 --json";

/// What both commands take.
#[derive(Debug, Args)]
pub struct Asking {
    /// Most repositories to show
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx repo list`.
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub struct ListArgs {
    /// Whose: a user or an organisation, with its registry
    #[arg(value_name = "OWNER|HOST/OWNER")]
    pub owner: String,
    /// The registry, where OWNER does not say it
    #[arg(long, env = "ENARX_HOST")]
    pub host: Option<String>,
    /// How.
    #[command(flatten)]
    pub asking: Asking,
}

/// Arguments of `enarx repo search`.
#[derive(Debug, Args)]
#[command(after_help = SEARCH_EXAMPLES)]
pub struct SearchArgs {
    /// Registry: its host, with its port where that is not 443
    pub host: String,
    /// Words that must all be somewhere in the name
    #[arg(required = true, value_name = "QUERY")]
    pub words: Vec<String>,
    /// How.
    #[command(flatten)]
    pub asking: Asking,
}

pub(super) fn list(args: &ListArgs, store: &TokenStore) -> Outcome {
    let name = match (&args.host, args.owner.contains('/')) {
        (_, true) => UserName::parse(&args.owner)?,
        (Some(host), false) if valid_user(&args.owner) => {
            UserName { host: host.clone(), user: args.owner.clone() }
        }
        _ => {
            return Err(Failure::new(format!("{:?} names no owner", args.owner))
                .why("wanted host/owner, or an owner and --host (ENARX_HOST)")
                .next("for example store.example.com/alice")
                .code(EXIT_USAGE));
        }
    };
    let registry = Registry::open(&name.host, &args.asking.registry, store)?;
    let found = registry.client().repos(&name.user, most(&args.asking)).map_err(|error| {
        registry.failure(format!("cannot list the repositories of {}", name.user), &error)
    })?;
    show(&name.host, &found, &args.asking, &format!("{} has none that you may see", name.user))
}

pub(super) fn search(args: &SearchArgs, store: &TokenStore) -> Outcome {
    let registry = Registry::open(&args.host, &args.asking.registry, store)?;
    let words = args.words.join(" ");
    let found = registry
        .client()
        .search(&words, most(&args.asking))
        .map_err(|error| registry.failure(format!("cannot search {}", args.host), &error))?;
    show(&args.host, &found, &args.asking, "nothing was found that you may see")
}

fn most(asking: &Asking) -> usize {
    usize::try_from(asking.limit).unwrap_or(usize::MAX)
}

fn show(host: &str, found: &Found, asking: &Asking, none: &str) -> Outcome {
    if asking.json {
        output::json(&json!({"host": host, "repos": found.repos, "more": found.more}))?;
        return Ok(0);
    }
    let rows = found.repos.iter().map(|repo| {
        let versions = match repo.versions {
            0 => "no version".to_owned(),
            1 => "1 version".to_owned(),
            count => format!("{count} versions"),
        };
        vec![
            format!("{host}/{}", repo.name),
            repo.newest.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            versions,
            if repo.public { "public" } else { "private" }.to_owned(),
        ]
    });
    output::data(&output::columns(&rows.collect::<Vec<_>>()))?;
    if found.repos.is_empty() {
        output::talk(none);
    }
    if found.more {
        output::talk("there may be more: ask for them with --limit");
    }
    Ok(0)
}
