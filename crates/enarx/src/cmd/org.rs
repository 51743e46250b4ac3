// SPDX-License-Identifier: Apache-2.0

//! `enarx org`: organisations of a registry (docs/FORMATS.md 2.6).

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use drawbridge_core::rights::{OrgDocument, Role};

use crate::cli::RegistryArgs;
use crate::cmd::keys::{self, KeysCommand};
use crate::cmd::publishers::{self, PublishersCommand};
use crate::cmd::rights::RoleArg;
use crate::cmd::user::UserName;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::reach::Registry;
use crate::tokens::TokenStore;

const REGISTER_EXAMPLES: &str = "\
Examples:
  enarx org register store.example.com/acme --owner alice

Whoever registers it must be among its owners.";
const SHOW_EXAMPLES: &str = "\
Examples:
  enarx org show store.example.com/acme
  enarx org show store.example.com/acme --json";
const SET_EXAMPLES: &str = "\
Examples:
  enarx org set store.example.com/acme bob writer
  enarx org set store.example.com/acme carol --team dev

A member has the role in all repositories; a team has rights where `enarx repo access` gives it some.";
const REMOVE_EXAMPLES: &str = "\
Examples:
  enarx org remove store.example.com/acme bob                 out of the organisation and its teams
  enarx org remove store.example.com/acme carol --team dev";

/// `enarx org …`
#[derive(Debug, Subcommand)]
pub enum OrgCommand {
    /// Register an organisation
    Register(RegisterArgs),
    /// Show members and teams
    Show(ShowArgs),
    /// Make a user a member, change a member's role, or put a user in a team
    Set(SetArgs),
    /// Take a user out
    Remove(RemoveArgs),
    /// Whose continuous integration publishes to repositories of an organisation, or of a user
    #[command(subcommand)]
    Publishers(PublishersCommand),
    /// Public keys that sign the organisation's packages
    #[command(subcommand)]
    Keys(KeysCommand),
}

/// What every command needs.
#[derive(Debug, Args)]
pub struct Where {
    /// The organisation: host/org
    #[arg(value_name = "HOST/ORG")]
    pub name: String,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx org register`.
#[derive(Debug, Args)]
#[command(after_help = REGISTER_EXAMPLES)]
pub struct RegisterArgs {
    /// Which.
    #[command(flatten)]
    pub org: Where,
    /// A user that owns it (may be repeated)
    #[arg(long, value_name = "USER", required = true)]
    pub owner: Vec<String>,
}

/// Arguments of `enarx org show`.
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub struct ShowArgs {
    /// Which.
    #[command(flatten)]
    pub org: Where,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `enarx org set`.
#[derive(Debug, Args)]
#[command(after_help = SET_EXAMPLES)]
pub struct SetArgs {
    /// Which.
    #[command(flatten)]
    pub org: Where,
    /// The user
    #[arg(value_name = "USER")]
    pub user: String,
    /// The role
    #[arg(value_enum, required_unless_present = "team", conflicts_with = "team")]
    pub role: Option<RoleArg>,
    /// The team to put the user in; made if it is not there
    #[arg(long, value_name = "TEAM")]
    pub team: Option<String>,
}

/// Arguments of `enarx org remove`.
#[derive(Debug, Args)]
#[command(after_help = REMOVE_EXAMPLES)]
pub struct RemoveArgs {
    /// Which.
    #[command(flatten)]
    pub org: Where,
    /// The user
    #[arg(value_name = "USER")]
    pub user: String,
    /// Only out of this team
    #[arg(long, value_name = "TEAM")]
    pub team: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// What the registry says.
pub fn run(command: &OrgCommand) -> Outcome {
    let store = TokenStore::of_user()?;
    match command {
        OrgCommand::Register(args) => {
            let (name, registry) = args.org.open(&store)?;
            let owners = args.owner.iter().map(|user| (user.clone(), Role::Owner));
            let document = OrgDocument { members: owners.collect(), teams: BTreeMap::new() };
            check(&document)?;
            registry
                .client()
                .put_document(&name.user, None, &document, None)
                .map_err(|e| registry.failure(format!("cannot register {}", args.org.name), &e))?;
            output::talk(&format!("registered {}", args.org.name));
            Ok(0)
        }
        OrgCommand::Show(args) => show(args, &store),
        OrgCommand::Keys(command) => keys::run(command, &store),
        OrgCommand::Publishers(command) => publishers::run(command, &store),
        OrgCommand::Set(args) => args.org.change(&store, |document| {
            match (&args.team, args.role) {
                (Some(team), _) => {
                    document.teams.entry(team.clone()).or_default().insert(args.user.clone());
                }
                (None, Some(role)) => {
                    document.members.insert(args.user.clone(), role.into());
                }
                (None, None) => {}
            }
            true
        }),
        OrgCommand::Remove(args) => args.org.change(&store, |document| match &args.team {
            Some(team) => {
                document.teams.get_mut(team).is_some_and(|users| users.remove(&args.user))
            }
            None => {
                let teams = document.teams.values_mut();
                let from_teams = teams.map(|users| users.remove(&args.user)).filter(|was| *was);
                let from_teams = from_teams.count() > 0;
                document.members.remove(&args.user).is_some() || from_teams
            }
        }),
    }
}

fn check(document: &OrgDocument) -> Result<(), Failure> {
    document.check().map_err(|flaw| Failure::new("there cannot be such an organisation").why(flaw))
}

fn show(args: &ShowArgs, store: &TokenStore) -> Outcome {
    let (name, registry) = args.org.open(store)?;
    let document = registry
        .client()
        .document::<OrgDocument>(&name.user, None)
        .map_err(|e| registry.failure(format!("cannot show {}", args.org.name), &e))?
        .value;
    if args.json {
        output::json(&document)?;
        return Ok(0);
    }
    let members = document.members.iter();
    let mut rows: Vec<_> =
        members.map(|(name, role)| vec![name.clone(), role.name().to_owned()]).collect();
    for (team, users) in &document.teams {
        let row = |user: &String| vec![user.clone(), format!("in the team {team}")];
        rows.extend(users.iter().map(row));
    }
    output::data(&output::columns(&rows))?;
    Ok(0)
}

impl Where {
    fn open(&self, store: &TokenStore) -> Result<(UserName, Registry), Failure> {
        let name = UserName::parse(&self.name)?;
        let registry = Registry::open(&name.host, &self.registry, store)?;
        registry.token()?;
        Ok((name, registry))
    }

    /// Reads, changes and writes the document; the registry refuses if somebody else changed it meanwhile.
    fn change(&self, store: &TokenStore, change: impl FnOnce(&mut OrgDocument) -> bool) -> Outcome {
        let (name, registry) = self.open(store)?;
        let failed = |e: &_| registry.failure(format!("cannot change {}", self.name), e);
        let client = registry.client();
        let mut found = client.document::<OrgDocument>(&name.user, None).map_err(|e| failed(&e))?;
        if !change(&mut found.value) {
            return Err(Failure::new(format!("cannot change {}", self.name))
                .why("there is no such user in it")
                .next(format!("see who is with `enarx org show {}`", self.name)));
        }
        check(&found.value)?;
        client
            .put_document(&name.user, None, &found.value, found.etag.as_deref())
            .map_err(|e| failed(&e))?;
        output::talk(&format!("changed {}", self.name));
        Ok(0)
    }
}
