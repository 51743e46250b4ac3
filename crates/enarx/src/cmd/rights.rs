// SPDX-License-Identifier: Apache-2.0

//! `enarx repo access`: rights in one repository (docs/FORMATS.md 2.6).

use clap::{Args, Subcommand, ValueEnum};
use drawbridge_core::rights::{AccessDocument, Role};

use crate::cli::RegistryArgs;
use crate::cmd::user::RepoName;
use crate::failure::Outcome;
use crate::output;
use crate::reach::Registry;
use crate::tokens::TokenStore;

const SHOW_EXAMPLES: &str = "\
Examples:
  enarx repo access show store.example.com/acme/app
  enarx repo access show store.example.com/acme/app --json";
const GRANT_EXAMPLES: &str = "\
Examples:
  enarx repo access grant store.example.com/acme/app bob reader
  enarx repo access grant store.example.com/acme/app --team dev writer";
const REVOKE_EXAMPLES: &str = "\
Examples:
  enarx repo access revoke store.example.com/acme/app bob
  enarx repo access revoke store.example.com/acme/app --team dev";

/// `enarx repo access …`
#[derive(Debug, Subcommand)]
pub enum RightsCommand {
    /// Show who has rights
    Show(ShowArgs),
    /// Give a user or a team a role
    Grant(GrantArgs),
    /// Take a user's or a team's role away
    Revoke(RevokeArgs),
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Read what is private
    Reader,
    /// Also publish
    Writer,
    /// Also change the repository and who may do what
    Owner,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Reader => Self::Reader,
            RoleArg::Writer => Self::Writer,
            RoleArg::Owner => Self::Owner,
        }
    }
}

/// Arguments of `enarx repo access show`.
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub struct ShowArgs {
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

/// Arguments of `enarx repo access grant`.
#[derive(Debug, Args)]
#[command(after_help = GRANT_EXAMPLES)]
pub struct GrantArgs {
    /// The repository: host/user/repo
    #[arg(value_name = "HOST/USER/REPO")]
    pub name: String,
    /// The user, or with --team the team
    #[arg(value_name = "WHO")]
    pub who: String,
    /// The role
    #[arg(value_enum)]
    pub role: RoleArg,
    /// WHO is a team of the organisation
    #[arg(long)]
    pub team: bool,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx repo access revoke`.
#[derive(Debug, Args)]
#[command(after_help = REVOKE_EXAMPLES)]
pub struct RevokeArgs {
    /// The repository: host/user/repo
    #[arg(value_name = "HOST/USER/REPO")]
    pub name: String,
    /// The user, or with --team the team
    #[arg(value_name = "WHO")]
    pub who: String,
    /// WHO is a team of the organisation
    #[arg(long)]
    pub team: bool,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Runs the command.
///
/// # Errors
/// What the registry says.
pub fn run(command: &RightsCommand, store: &TokenStore) -> Outcome {
    match command {
        RightsCommand::Show(args) => show(args, store),
        RightsCommand::Grant(args) => {
            let registry = (&args.registry, store);
            change(&args.name, registry, |document| {
                let of = if args.team { &mut document.teams } else { &mut document.users };
                of.insert(args.who.clone(), args.role.into());
            })?;
            let role = Role::from(args.role);
            output::talk(&format!("{} is {role} of {}", args.who, args.name));
            Ok(0)
        }
        RightsCommand::Revoke(args) => {
            let registry = (&args.registry, store);
            let mut was = false;
            change(&args.name, registry, |document| {
                let of = if args.team { &mut document.teams } else { &mut document.users };
                was = of.remove(&args.who).is_some();
            })?;
            let who = &args.who;
            output::talk(&if was {
                format!("{who} has no rights in {} of its own any more", args.name)
            } else {
                format!("{who} had no rights in {} of its own", args.name)
            });
            Ok(0)
        }
    }
}

fn show(args: &ShowArgs, store: &TokenStore) -> Outcome {
    let name = RepoName::parse(&args.name)?;
    let registry = Registry::open(&name.host, &args.registry, store)?;
    let document: AccessDocument = registry
        .client()
        .document(&name.user, Some(&name.repo))
        .map_err(|e| registry.failure(format!("cannot show who has rights in {}", args.name), &e))?
        .value;
    if args.json {
        output::json(&document)?;
        return Ok(0);
    }
    let row = |kind: &str, name: &String, role: &Role| {
        vec![kind.to_owned(), name.clone(), role.name().to_owned()]
    };
    let users = document.users.iter().map(|(name, role)| row("user", name, role));
    let teams = document.teams.iter().map(|(name, role)| row("team", name, role));
    let rows: Vec<_> = users.chain(teams).collect();
    if rows.is_empty() {
        output::talk("nobody has rights besides those who have them in all of the owner's");
    } else {
        output::data(&output::columns(&rows))?;
    }
    Ok(0)
}

/// Reads, changes and writes the document; the registry refuses if somebody else changed it meanwhile.
fn change(
    full_name: &str,
    (args, store): (&RegistryArgs, &TokenStore),
    change: impl FnOnce(&mut AccessDocument),
) -> Outcome {
    let name = RepoName::parse(full_name)?;
    let registry = Registry::open(&name.host, args, store)?;
    registry.token()?;
    let failed =
        |e: &_| registry.failure(format!("cannot change who has rights in {full_name}"), e);
    let client = registry.client();
    let found = client.document::<AccessDocument>(&name.user, Some(&name.repo));
    let mut found = found.map_err(|e| failed(&e))?;
    change(&mut found.value);
    client
        .put_document(&name.user, Some(&name.repo), &found.value, found.etag.as_deref())
        .map_err(|e| failed(&e))?;
    Ok(0)
}
