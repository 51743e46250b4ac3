// SPDX-License-Identifier: Apache-2.0

//! `enarx user keys`, `enarx org keys`: public keys that sign an owner's packages (docs/FORMATS.md 2.14).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use drawbridge_core::keys::{KeysDocument, OwnerKey};
use types::time::Timestamp;

use crate::cli::RegistryArgs;
use crate::cmd::user::UserName;
use crate::failure::{EXIT_USAGE, Failure, Outcome};
use crate::reach::Registry;
use crate::tokens::TokenStore;
use crate::{output, signing};

const ADD_EXAMPLES: &str = "\
Examples:
  enarx package keygen release.key
  enarx user keys add store.example.com/alice --key release.key --name release
  enarx org keys add store.example.com/acme --key ci.pub.pem --name ci --not-after 2027-01-01T00:00:00Z

Only the public half leaves this machine.";
const LIST_EXAMPLES: &str = "\
Examples:
  enarx user keys list store.example.com/alice
  enarx user keys list store.example.com/alice --json > alice.jwks    for `enarx package verify --keys`";
const REMOVE_EXAMPLES: &str = "\
Examples:
  enarx user keys remove store.example.com/alice cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s

From then on nothing counts that the key signed. It stays in the list as revoked, so that others hear of it;
--forget takes it out.";

/// `enarx user keys …`, `enarx org keys …`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Register a key
    Add(AddArgs),
    /// Show all keys
    List(ListArgs),
    /// Revoke a key
    Remove(RemoveArgs),
}

/// Arguments of `enarx user keys add`.
#[derive(Debug, Args)]
#[command(after_help = ADD_EXAMPLES)]
pub struct AddArgs {
    /// The owner: host/user
    #[arg(value_name = "HOST/OWNER")]
    pub name: String,
    /// File with the key: private or public in PEM, or a JWK
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// What the key is called, for people
    #[arg(long = "name", value_name = "NAME")]
    pub label: String,
    /// When it ends, and with it all that it signed
    #[arg(long, value_name = "TIME")]
    pub not_after: Option<Timestamp>,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx user keys list`.
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub struct ListArgs {
    /// The owner: host/user
    #[arg(value_name = "HOST/OWNER")]
    pub name: String,
    /// Print JSON: a JWK set
    #[arg(long)]
    pub json: bool,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx user keys remove`.
#[derive(Debug, Args)]
#[command(after_help = REMOVE_EXAMPLES)]
pub struct RemoveArgs {
    /// The owner: host/user
    #[arg(value_name = "HOST/OWNER")]
    pub name: String,
    /// The key's thumbprint, as `list` shows it
    #[arg(value_name = "KID", allow_hyphen_values = true)]
    pub kid: String,
    /// Take it out of the list
    #[arg(long)]
    pub forget: bool,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Runs the command.
///
/// # Errors
/// What the registry says; what is wrong with the key.
pub fn run(command: &KeysCommand, store: &TokenStore) -> Outcome {
    match command {
        KeysCommand::Add(args) => {
            let public = signing::public_key(&args.key)?;
            let key = OwnerKey::new(&public, &args.label, args.not_after.map(|end| end.0));
            let kid = key.kid.clone();
            change(&args.name, (&args.registry, store), |document| {
                document.keys.retain(|there| there.kid != key.kid);
                document.keys.push(key);
                document.check().map_err(|flaw| {
                    Failure::new("cannot register the key").why(flaw).code(EXIT_USAGE)
                })
            })?;
            output::data(&format!("{kid}\n"))?;
            output::talk(&format!("what this key signs counts for {}", args.name));
            Ok(0)
        }
        KeysCommand::List(args) => list(args, store),
        KeysCommand::Remove(args) => {
            change(&args.name, (&args.registry, store), |document| {
                let known = document.keys.iter_mut().find(|key| key.kid == args.kid);
                let known = known.ok_or_else(|| {
                    Failure::new(format!("{} has no key {}", args.name, args.kid))
                        .next(format!("see which there are: `enarx user keys list {}`", args.name))
                })?;
                known.revoked = true;
                document.keys.retain(|key| !(args.forget && key.kid == args.kid));
                Ok(())
            })?;
            output::talk(&format!("nothing counts any more that {} signed", args.kid));
            Ok(0)
        }
    }
}

fn list(args: &ListArgs, store: &TokenStore) -> Outcome {
    let name = UserName::parse(&args.name)?;
    let registry = Registry::open(&name.host, &args.registry, store)?;
    let found = registry.client().document::<KeysDocument>(&name.user, None);
    let found = found
        .map_err(|e| registry.failure(format!("cannot show the keys of {}", args.name), &e))?;
    if args.json {
        output::json(&found.value)?;
        return Ok(0);
    }
    let state = |key: &OwnerKey| match (key.revoked, key.not_after) {
        (true, _) => "revoked".to_owned(),
        (false, Some(end)) => format!("until {}", Timestamp(end)),
        (false, None) => String::new(),
    };
    let row = |key: &OwnerKey| vec![key.kid.clone(), key.name.clone(), state(key)];
    let rows: Vec<_> = found.value.keys.iter().map(row).collect();
    if rows.is_empty() {
        output::talk(&format!("{} has no keys", args.name));
    } else {
        output::data(&output::columns(&rows))?;
    }
    Ok(0)
}

/// Reads, changes and writes the keys; the registry refuses if somebody else changed them meanwhile.
fn change(
    full_name: &str,
    (args, store): (&RegistryArgs, &TokenStore),
    change: impl FnOnce(&mut KeysDocument) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let name = UserName::parse(full_name)?;
    let registry = Registry::open(&name.host, args, store)?;
    registry.token()?;
    let failed = |e: &_| registry.failure(format!("cannot change the keys of {full_name}"), e);
    let client = registry.client();
    let mut found = client.document::<KeysDocument>(&name.user, None).map_err(|e| failed(&e))?;
    change(&mut found.value)?;
    client
        .put_document(&name.user, None, &found.value, found.etag.as_deref())
        .map_err(|e| failed(&e))
}
