// SPDX-License-Identifier: Apache-2.0

//! `enarx token`: tokens of a registry's own, for programs (docs/FORMATS.md 2.7).

use clap::{Args, Subcommand};
use drawbridge_core::rights::TokenRequest;
use serde_json::json;
use types::time::Timestamp;
use verify::Expectation;

use crate::cli::RegistryArgs;
use crate::cmd::user::UserName;
use crate::failure::{EXIT_USAGE, Failure, Outcome};
use crate::output;
use crate::reach::Registry;
use crate::tokens::TokenStore;

const CREATE_EXAMPLES: &str = "\
Examples:
  enarx token create store.example.com/alice --name laptop --repo 'app*' --scope read:drawbridge_tags
  enarx token create store.example.com/acme --name ci --repo app --scope write:drawbridge_tags --for 90d

The token is printed once, on standard output. One of an organisation speaks for a robot, which publishes and no more; one of your own
can do nothing that you cannot, and nothing that says who may do what.";
const LIST_EXAMPLES: &str = "\
Examples:
  enarx token list store.example.com/alice
  enarx token list store.example.com/acme --json";
const REVOKE_EXAMPLES: &str = "\
Examples:
  enarx token revoke store.example.com/alice 0123456789abcdef
  enarx token revoke store.example.com/alice $(enarx token list store.example.com/alice --json | jq -r '.[].id')   all of them

It counts from then on, at every instance of the registry. In a token that was found somewhere, dbt_alice_0123456789abcdef…, the id is
the 16 digits behind the name.";

/// `enarx token …`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token
    Create(CreateArgs),
    /// List tokens; what they open stays hidden
    List(ListArgs),
    /// End tokens at once
    Revoke(RevokeArgs),
}

/// What every command needs.
#[derive(Debug, Args)]
pub struct Where {
    /// Whose tokens: host/user or host/organisation
    #[arg(value_name = "HOST/OWNER")]
    pub owner: String,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx token create`.
#[derive(Debug, Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub struct CreateArgs {
    /// Whose.
    #[command(flatten)]
    pub of: Where,
    /// What it is for
    #[arg(long)]
    pub name: String,
    /// What it allows: {read,write}:drawbridge_{tags,repositories} or read:drawbridge_users (may be repeated)
    #[arg(long, required = true, value_name = "SCOPE")]
    pub scope: Vec<String>,
    /// A repository that it is for, or the beginning of its name and * (may be repeated)
    #[arg(long, required = true, value_name = "REPO")]
    pub repo: Vec<String>,
    /// How long it is good, as 24h or 90d; 366d at most
    #[arg(long = "for", default_value = "30d", value_name = "TIME")]
    pub good_for: String,
    /// Print JSON: the token, and what is known of it
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `enarx token list`.
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub struct ListArgs {
    /// Whose.
    #[command(flatten)]
    pub of: Where,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `enarx token revoke`.
#[derive(Debug, Args)]
#[command(after_help = REVOKE_EXAMPLES)]
pub struct RevokeArgs {
    /// Whose.
    #[command(flatten)]
    pub of: Where,
    /// Its id, as `enarx token list` shows it (may be repeated)
    #[arg(value_name = "ID", required = true)]
    pub id: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// What the registry says.
pub fn run(command: &TokenCommand) -> Outcome {
    let store = TokenStore::of_user()?;
    match command {
        TokenCommand::Create(args) => create(args, &store),
        TokenCommand::List(args) => list(args, &store),
        TokenCommand::Revoke(args) => {
            let (name, registry) = args.of.open(&store)?;
            for id in &args.id {
                registry.client().revoke_token(&name.user, id).map_err(|e| {
                    let failure = registry.failure(format!("cannot revoke {id}"), &e);
                    match e.status() {
                        Some(404) => failure
                            .next(format!("see them with `enarx token list {}`", args.of.owner)),
                        _ => failure,
                    }
                })?;
                output::talk(&format!("{id} is good for nothing any more"));
            }
            Ok(0)
        }
    }
}

fn create(args: &CreateArgs, store: &TokenStore) -> Outcome {
    let what = || format!("cannot make a token of {}", args.of.owner);
    let usage = |why: String| Failure::new(what()).why(why).code(EXIT_USAGE);
    // The same spelling as everywhere: a number and its unit.
    let expires_in = match format!("max-age={}", args.good_for).parse() {
        Ok(Expectation::MaxAge(seconds)) => seconds,
        Ok(_) => return Err(usage("--for is no time".to_owned())),
        Err(error) => return Err(usage(error.to_string().replace("max-age", "--for"))),
    };
    let request = TokenRequest {
        name: args.name.clone(),
        scopes: args.scope.iter().cloned().collect(),
        repos: args.repo.clone(),
        expires_in,
    };
    request.check().map_err(usage)?;
    let (name, registry) = args.of.open(store)?;
    let created = registry
        .client()
        .create_token(&name.user, &request)
        .map_err(|e| registry.failure(what(), &e))?;
    if args.json {
        output::json(&created)?;
    } else {
        output::data(&format!("{}\n", created.token))?;
        let end = Timestamp(created.info.expires_at);
        output::talk(&format!("it ends at {end}; it is not shown again"));
    }
    Ok(0)
}

fn list(args: &ListArgs, store: &TokenStore) -> Outcome {
    let (name, registry) = args.of.open(store)?;
    let infos = registry.client().tokens(&name.user).map_err(|e| {
        registry.failure(format!("cannot list the tokens of {}", args.of.owner), &e)
    })?;
    if args.json {
        output::json(&json!(infos))?;
        return Ok(0);
    }
    let row = |info: &drawbridge_core::rights::TokenInfo| {
        let scopes: Vec<_> = info.scopes.iter().map(String::as_str).collect();
        vec![
            info.id.clone(),
            info.name.clone(),
            info.repos.join(","),
            scopes.join(","),
            format!("until {}", Timestamp(info.expires_at)),
        ]
    };
    let rows: Vec<_> = infos.iter().map(row).collect();
    if rows.is_empty() {
        output::talk("there are none");
    } else {
        output::data(&output::columns(&rows))?;
    }
    Ok(0)
}

impl Where {
    fn open(&self, store: &TokenStore) -> Result<(UserName, Registry), Failure> {
        let name = UserName::parse(&self.owner)?;
        let registry = Registry::open(&name.host, &self.registry, store)?;
        registry.token()?;
        Ok((name, registry))
    }
}
