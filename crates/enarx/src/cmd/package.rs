// SPDX-License-Identifier: Apache-2.0

//! `enarx package`: packages of a registry.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use types::config::Config;
use types::slug::Slug;

use crate::cli::RegistryArgs;
use crate::cmd::sign::{self, KeygenArgs, SignArgs, VerifyArgs};
use crate::cmd::tree;
use crate::cmd::yank::{self, UnyankArgs, YankArgs};
use crate::failure::{Context as _, Failure, Outcome};
use crate::output::{self, Progress};
use crate::reach::Registry;
use crate::signing::SigningKey;
use crate::tokens::TokenStore;
use crate::{cmd, files};

const PUBLISH_EXAMPLES: &str = "\
Examples:
  enarx package publish store.example.com/alice/app:1.2.0 app/        a directory with main.wasm and Enarx.toml
  enarx package publish store.example.com/alice/hello:1.0.0 hello.wasm
  enarx package publish store.example.com/alice/app:1.2.0 app/ --sign release.key

Prints the digest. What is published under a tag stays: publish a change under a new tag. Publishing the same files
again is no error, and goes on where a broken upload stopped.";
const FETCH_EXAMPLES: &str = "\
Examples:
  enarx package fetch store.example.com/alice/app:1.2.0 app/
  enarx package fetch store.example.com/alice/app:1.2.0@sha256:… app/   only if it is these very files

What has arrived stays beside the directory until all of it is there: after a failure the same command goes on from there.";
const INFO_EXAMPLES: &str = "\
Examples:
  enarx package info store.example.com/alice/app:1.2.0
  enarx package info store.example.com/alice/app:1.2.0 --json";

/// `enarx package …`
#[derive(Debug, Subcommand)]
pub enum PackageCommand {
    /// Publish a package: a directory, or one module
    Publish(PublishArgs),
    /// Fetch a package, every byte checked, into a new directory
    Fetch(FetchArgs),
    /// Show what a tag stands for
    Info(InfoArgs),
    /// Make a key that signs packages
    Keygen(KeygenArgs),
    /// Sign what a tag stands for, with a key of its owner
    Sign(SignArgs),
    /// Check a package: every byte, the registry's statement, and its owner's signatures
    Verify(VerifyArgs),
    /// Take a version back: not listed any more, and started by no new Keep
    Yank(YankArgs),
    /// Take a yank back
    Unyank(UnyankArgs),
}

/// Arguments of `enarx package publish`.
#[derive(Debug, Args)]
#[command(after_help = PUBLISH_EXAMPLES)]
pub struct PublishArgs {
    /// The name: host/user/repo:tag, optionally with the digest it must have
    pub slug: Slug,
    /// A directory with main.wasm, or a WebAssembly module
    #[arg(value_name = "DIR|FILE")]
    pub path: PathBuf,
    /// Sign it as well, with the private key in this file (of the owner, who registered its public half)
    #[arg(long, value_name = "KEY")]
    pub sign: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx package fetch`.
#[derive(Debug, Args)]
#[command(after_help = FETCH_EXAMPLES)]
pub struct FetchArgs {
    /// The name: host/user/repo:tag, optionally with the digest it must have
    pub slug: Slug,
    /// Directory to make; must not exist
    #[arg(value_name = "DIR")]
    pub path: PathBuf,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx package info`.
#[derive(Debug, Args)]
#[command(after_help = INFO_EXAMPLES)]
pub struct InfoArgs {
    /// The name: host/user/repo:tag, optionally with the digest it must have
    pub slug: Slug,
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
/// What the registry says; what is wrong with the files.
pub fn run(command: &PackageCommand) -> Outcome {
    let store = TokenStore::of_user()?;
    match command {
        PackageCommand::Publish(args) => publish(args, &store),
        PackageCommand::Fetch(args) => fetch(args, &store),
        PackageCommand::Info(args) => info(args, &store),
        PackageCommand::Keygen(args) => sign::keygen(args),
        PackageCommand::Sign(args) => sign::sign(args, &store),
        PackageCommand::Verify(args) => sign::verify(args, &store),
        PackageCommand::Yank(args) => yank::yank(args, &store),
        PackageCommand::Unyank(args) => yank::unyank(args, &store),
    }
}

/// Checks what a Keep would refuse anyhow, before it is published for ever: the files of the package at `path`, whose
/// configuration came from `origin`. Returns the configuration, if there is one.
///
/// # Errors
/// If the module is no WebAssembly or the configuration is not valid.
pub fn check(
    path: &Path,
    origin: &Path,
    files: &[(String, Vec<u8>)],
) -> Result<Option<Config>, Failure> {
    let mut config = None;
    for (name, bytes) in files {
        match name.as_str() {
            "main.wasm" if !bytes.starts_with(b"\0asm") => {
                return Err(Failure::new(format!("{} is no package", path.display()))
                    .why("main.wasm is no WebAssembly module")
                    .next(
                        "compile it for wasm32-wasip1; WebAssembly text must be assembled first",
                    ));
            }
            "Enarx.toml" => {
                let text = std::str::from_utf8(bytes).context("Enarx.toml is not UTF-8 text")?;
                let parsed =
                    Config::parse(text).map_err(|error| cmd::config::failure(origin, &error))?;
                config = Some(parsed);
            }
            _ => {}
        }
    }
    Ok(config)
}

fn publish(args: &PublishArgs, store: &TokenStore) -> Outcome {
    let files = files::read_package(&args.path)?;
    check(&args.path, &args.path.join("Enarx.toml"), &files)?;
    let key = args.sign.as_deref().map(SigningKey::read).transpose()?;
    let registry = Registry::open(&args.slug.host, &args.registry, store)?;
    registry.token()?;
    let name = args.slug.clone().without_digest();
    let progress = Progress::new(format!("publishing {name}"));
    let mut total = 0;
    let done = registry.publish(&args.slug, files, &mut |now| {
        total = now.bytes_total;
        progress.step(now.bytes, now.bytes_total);
    })?;
    if done.already {
        output::talk(&format!("{name} is there already, with these very files"));
    } else {
        progress.finish(total);
    }
    if let Some(key) = key {
        sign::add(&registry, &args.slug, done.digest, &key)?;
    }
    if args.json {
        output::json(&json!({"slug": name, "digest": done.digest, "already": done.already}))?;
    } else {
        output::data(&format!("{name}@{}\n", done.digest))?;
        output::talk(&format!("next: `enarx deploy {name}@{}`", done.digest));
    }
    Ok(0)
}

fn fetch(args: &FetchArgs, store: &TokenStore) -> Outcome {
    tree::absent(&args.path)?;
    let registry = Registry::open(&args.slug.host, &args.registry, store)?;
    let name = args.slug.clone().without_digest();
    let listing = tree::list(&registry, &args.slug, "")?;
    let digest = listing.root.digest.sha256();
    match &listing.files[..] {
        // A bare module is fetched as a package would be, into a directory.
        [(path, module)] if path.is_empty() => {
            let failed = |error| registry.failure(format!("cannot fetch {name}"), &error);
            let bytes = registry.client().tree_file(&args.slug, "", module).map_err(failed)?;
            fs::create_dir_all(&args.path)
                .context(format!("cannot make {}", args.path.display()))?;
            files::write_shared(&args.path.join(drawbridge_core::MAIN_MODULE), &bytes)?;
        }
        files if files.iter().any(|(path, _)| path == drawbridge_core::MAIN_MODULE) => {
            tree::fetch(&registry, &args.slug, "", &listing, &args.path)?;
        }
        _ => {
            return Err(Failure::new(format!("{name} is no package"))
                .why("it has no main.wasm")
                .next(format!("fetch it as it is: `enarx tree fetch {name} DIR`")));
        }
    }
    output::data(&format!("{name}@{digest}\n"))?;
    Ok(0)
}

fn info(args: &InfoArgs, store: &TokenStore) -> Outcome {
    let registry = Registry::open(&args.slug.host, &args.registry, store)?;
    let name = args.slug.clone().without_digest();
    let failed = |error: &_| registry.failure(format!("cannot show {name}"), error);
    let deploy = match registry.client().deploy_info(&args.slug) {
        Ok(deploy) => Ok(deploy),
        // Of a yanked version Keeps get nothing, but people do.
        Err(error) if error.status() == Some(410) => Err(error),
        Err(error) => return Err(failed(&error)),
    };
    // A private repository tells its entry to its owner only.
    let entry = match registry.client().tag_entry(&args.slug) {
        Ok(entry) => Some(entry.0),
        Err(error) if matches!(error.status(), Some(401 | 403)) => None,
        Err(error) => return Err(failed(&error)),
    };
    let (digest, yank) = match (&deploy, &entry) {
        (Ok(deploy), _) => (deploy.digest, None),
        (Err(_), Some(entry)) => {
            let yank = registry.client().yanked(&args.slug).map_err(|error| failed(&error))?;
            (entry.digest.sha256(), yank.map(|yank| yank.value))
        }
        (Err(error), None) => return Err(failed(error)),
    };
    let deploy = deploy.ok();
    let steward = deploy.as_ref().and_then(|deploy| deploy.steward.clone());
    if args.json {
        let entry = entry.map(|entry| json!({"type": entry.media_type, "length": entry.length}));
        let statement = deploy.map(|deploy| deploy.statement);
        output::json(
            &json!({"slug": name, "digest": digest, "steward": steward, "statement": statement, "root": entry, "yanked": yank}),
        )?;
        return Ok(0);
    }
    let root = entry.map_or_else(
        || "shown to its owner only".to_owned(),
        |entry| format!("{}, {}", entry.media_type, output::bytes(entry.length)),
    );
    let mut rows = vec![("workload", name.to_string()), ("digest", digest.to_string())];
    match yank {
        Some(yank) => rows.push(("yanked", format!("{}: no new Keep starts it", yank.reason))),
        None => rows.push((
            "steward",
            steward
                .unwrap_or_else(|| "none: name one with `enarx deploy --steward URL`".to_owned()),
        )),
    }
    rows.push(("root", root));
    let rows: Vec<_> =
        rows.into_iter().map(|(label, value)| vec![label.to_owned(), value]).collect();
    output::data(&output::columns(&rows))?;
    Ok(0)
}
