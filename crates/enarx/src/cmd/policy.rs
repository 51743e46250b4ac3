// SPDX-License-Identifier: Apache-2.0

//! `enarx repo policy`: to which Keeps a repository is released (docs/FORMATS.md 2.9).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use types::limits;
use verify::ReleasePolicy;

use crate::cli::RegistryArgs;
use crate::cmd::user::RepoName;
use crate::failure::{Failure, Outcome};
use crate::files;
use crate::output;
use crate::reach::Registry;
use crate::tokens::TokenStore;

const SHOW_EXAMPLES: &str = "\
Examples:
  enarx repo policy show store.example.com/alice/app > release.toml
  enarx repo policy show store.example.com/alice/app --version 3
  enarx repo policy show store.example.com/alice/app --json      all versions";
const SET_EXAMPLES: &str = "\
Examples:
  enarx repo policy set store.example.com/alice/app release.toml

The file, for Keeps on AMD's and Intel's silicon that were attested within a day:
  [[release]]
  tee = [\"snp\", \"tdx\"]
  max-age = \"24h\"";
const CHECK_EXAMPLES: &str = "\
Examples:
  enarx repo policy check release.toml";

/// `enarx repo policy …`
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Show the policy in force, or another version
    Show(ShowArgs),
    /// Put a policy in force, in place of the one that is
    Set(SetArgs),
    /// Check a policy without asking anybody
    Check(CheckArgs),
}

/// Arguments of `enarx repo policy show`.
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub struct ShowArgs {
    /// The repository: host/user/repo
    #[arg(value_name = "HOST/USER/REPO")]
    pub name: String,
    /// Which version, in place of the one in force
    #[arg(long, value_name = "N")]
    pub version: Option<u64>,
    /// Print JSON: the policy, its version, and which others there are
    #[arg(long)]
    pub json: bool,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx repo policy set`.
#[derive(Debug, Args)]
#[command(after_help = SET_EXAMPLES)]
pub struct SetArgs {
    /// The repository: host/user/repo
    #[arg(value_name = "HOST/USER/REPO")]
    pub name: String,
    /// The policy, TOML
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The version that it is to replace; whichever is in force if not given
    #[arg(long, value_name = "N")]
    pub replaces: Option<u64>,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx repo policy check`.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct CheckArgs {
    /// The policy, TOML
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// What the registry says, or what is wrong with the policy.
pub fn run(command: &PolicyCommand, store: &TokenStore) -> Outcome {
    match command {
        PolicyCommand::Show(args) => show(args, store),
        PolicyCommand::Set(args) => set(args, store),
        PolicyCommand::Check(args) => {
            let (_, policy) = read(&args.file)?;
            output::talk(&format!("the policy is good: {} rules", policy.rules()));
            if policy.releases_to_simulated() {
                output::talk("it releases to simulated silicon, which protects nothing");
            }
            Ok(0)
        }
    }
}

fn read(file: &std::path::Path) -> Result<(String, ReleasePolicy), Failure> {
    let text = files::read_text(file, limits::RELEASE_POLICY_BYTES_MAX)?;
    let policy = ReleasePolicy::parse(&text).map_err(|error| {
        Failure::new(format!("{} is no release policy", file.display())).why(error)
    })?;
    Ok((text, policy))
}

fn show(args: &ShowArgs, store: &TokenStore) -> Outcome {
    let name = RepoName::parse(&args.name)?;
    let registry = Registry::open(&name.host, &args.registry, store)?;
    let what = || format!("cannot show the release policy of {}", args.name);
    let failed = |error: &_| registry.failure(what(), error);
    let client = registry.client();
    let found = match client.policy(&name.user, &name.repo, args.version) {
        Ok(found) => Some(found),
        Err(error) if error.status() == Some(404) && args.version.is_none() => None,
        Err(error) => return Err(failed(&error)),
    };
    if args.json {
        let versions = client.policies(&name.user, &name.repo).map_err(|e| failed(&e))?;
        let version = found.as_ref().and_then(|found| found.etag.as_ref()?.parse::<u64>().ok());
        let text = found.map(|found| found.value);
        output::json(&json!({
            "name": args.name, "version": version, "policy": text, "versions": versions,
        }))?;
        return Ok(0);
    }
    match found {
        Some(found) => output::data(&found.value)?,
        None => output::talk(
            "its owner wrote none: it is released to genuine Keeps that are attested for the very digest",
        ),
    }
    Ok(0)
}

fn set(args: &SetArgs, store: &TokenStore) -> Outcome {
    let name = RepoName::parse(&args.name)?;
    let (text, policy) = read(&args.file)?;
    let registry = Registry::open(&name.host, &args.registry, store)?;
    registry.token()?;
    let failed = |error: &_| {
        registry.failure(format!("cannot set the release policy of {}", args.name), error)
    };
    let client = registry.client();
    let etag = match args.replaces {
        Some(version) => Some(version.to_string()),
        None => match client.policy(&name.user, &name.repo, None) {
            Ok(found) => found.etag,
            Err(error) if error.status() == Some(404) => None,
            Err(error) => return Err(failed(&error)),
        },
    };
    let version = client
        .put_policy(&name.user, &name.repo, &text, etag.as_deref())
        .map_err(|error| failed(&error))?;
    let version = version.unwrap_or_default();
    output::talk(&format!("version {version} of the release policy of {} is in force", args.name));
    if policy.releases_to_simulated() {
        output::talk("it releases to simulated silicon, which protects nothing");
    }
    Ok(0)
}
