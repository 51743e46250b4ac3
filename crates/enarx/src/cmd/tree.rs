// SPDX-License-Identifier: Apache-2.0

//! `enarx tree`: what a package consists of, here and at a registry.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use drawbridge_client::Listing;
use drawbridge_core::Entry;
use serde_json::json;
use types::slug::Slug;

use crate::cli::RegistryArgs;
use crate::failure::{Context as _, Failure, Outcome};
use crate::files;
use crate::output::{self, Progress};
use crate::reach::Registry;
use crate::tokens::TokenStore;

const DIGEST_EXAMPLES: &str = "\
Examples:
  enarx tree digest app/          the digest that `enarx package publish NAME app/` would print; nothing is published
  enarx tree digest hello.wasm";
const INFO_EXAMPLES: &str = "\
Examples:
  enarx tree info store.example.com/alice/app:1.2.0
  enarx tree info store.example.com/alice/app:1.2.0 --path static --json";
const FETCH_EXAMPLES: &str = "\
Examples:
  enarx tree fetch store.example.com/alice/app:1.2.0 --path Enarx.toml Enarx.toml     one file
  enarx tree fetch store.example.com/alice/app:1.2.0 --path static site/              a directory of it

Every byte is checked against the tag. Of a directory, what has arrived stays beside it until all of it is there, and the
same command goes on from there.";

/// `enarx tree …`
#[derive(Debug, Subcommand)]
pub enum TreeCommand {
    /// Compute the digest of a package on this machine, without publishing it
    Digest(DigestArgs),
    /// Show the files of a published package
    Info(InfoArgs),
    /// Fetch a file or a directory of a published package
    Fetch(FetchArgs),
}

/// Arguments of `enarx tree digest`.
#[derive(Debug, Args)]
#[command(after_help = DIGEST_EXAMPLES)]
pub struct DigestArgs {
    /// A directory with main.wasm, or a WebAssembly module
    #[arg(value_name = "DIR|FILE")]
    pub path: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `enarx tree info`.
#[derive(Debug, Args)]
#[command(after_help = INFO_EXAMPLES)]
pub struct InfoArgs {
    /// The name: host/user/repo:tag, optionally with the digest it must have
    pub slug: Slug,
    /// A directory or a file of it
    #[arg(long, default_value = "", hide_default_value = true)]
    pub path: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx tree fetch`.
#[derive(Debug, Args)]
#[command(after_help = FETCH_EXAMPLES)]
pub struct FetchArgs {
    /// The name: host/user/repo:tag, optionally with the digest it must have
    pub slug: Slug,
    /// A directory or a file of it
    #[arg(long, default_value = "", hide_default_value = true)]
    pub path: String,
    /// File or directory to make; must not exist
    #[arg(value_name = "DIR|FILE")]
    pub to: PathBuf,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Runs the command.
///
/// # Errors
/// What the registry says; what is wrong with the files.
pub fn run(command: &TreeCommand) -> Outcome {
    match command {
        TreeCommand::Digest(args) => digest(args),
        TreeCommand::Info(args) => info(args),
        TreeCommand::Fetch(args) => {
            absent(&args.to)?;
            let registry =
                Registry::open(&args.slug.host, &args.registry, &TokenStore::of_user()?)?;
            let listing = list(&registry, &args.slug, &args.path)?;
            fetch(&registry, &args.slug, &args.path, &listing, &args.to)?;
            output::data(&format!("sha256:{}\n", listing.at.digest.sha256().to_hex()))?;
            Ok(0)
        }
    }
}

fn digest(args: &DigestArgs) -> Outcome {
    let files = files::read_package(&args.path)?;
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let count = files.len();
    let what = || format!("cannot compute the digest of {}", args.path.display());
    let digest = drawbridge_core::package_digest(files).context(what())?;
    if args.json {
        output::json(&json!({"digest": digest, "files": count, "bytes": bytes}))?;
    } else {
        output::data(&format!("{digest}\n"))?;
    }
    Ok(0)
}

fn info(args: &InfoArgs) -> Outcome {
    let registry = Registry::open(&args.slug.host, &args.registry, &TokenStore::of_user()?)?;
    let listing = list(&registry, &args.slug, &args.path)?;
    let name = args.slug.clone().without_digest();
    let digest = |entry: &Entry| entry.digest.sha256().to_string();
    if args.json {
        let file = |(path, entry): &(String, Entry)| json!({"path": path, "type": entry.media_type, "length": entry.length, "digest": digest(entry)});
        let files: Vec<_> = listing.files.iter().map(file).collect();
        let at = json!({"path": args.path, "type": listing.at.media_type, "digest": digest(&listing.at)});
        output::json(&json!({
            "slug": name, "digest": digest(&listing.root), "at": at, "bytes": listing.bytes(), "files": files,
        }))?;
        return Ok(0);
    }
    let row = |(path, entry): &(String, Entry)| {
        let path = if path.is_empty() { last(&args.path, &listing) } else { path.clone() };
        vec![digest(entry), output::bytes(entry.length), entry.media_type.clone(), path]
    };
    let rows: Vec<_> = listing.files.iter().map(row).collect();
    output::data(&output::columns(&rows))?;
    let (count, total) = (listing.files.len(), output::bytes(listing.bytes()));
    output::talk(&format!("{count} files, {total}; the package is {}", digest(&listing.root)));
    Ok(0)
}

/// The name of the one file of a listing that is of a file.
fn last(path: &str, listing: &Listing) -> String {
    let name = path.rsplit('/').next().filter(|name| !name.is_empty());
    let module = if listing.at.is_directory() { "" } else { drawbridge_core::MAIN_MODULE };
    name.unwrap_or(module).to_owned()
}

/// Nothing is there yet.
///
/// # Errors
/// If something is.
pub fn absent(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok() {
        return Err(Failure::new(format!("{} is there already", path.display()))
            .why("it is not overwritten")
            .next("name a new one"));
    }
    Ok(())
}

/// The files at a path of a published package.
///
/// # Errors
/// What the registry says.
pub fn list(registry: &Registry, slug: &Slug, path: &str) -> Result<Listing, Failure> {
    let failed = |error| registry.failure(what(slug, path), &error);
    registry.client().tree(slug, path.trim_end_matches('/')).map_err(failed)
}

fn what(slug: &Slug, path: &str) -> String {
    let name = slug.clone().without_digest();
    match path {
        "" => format!("cannot fetch {name}"),
        path => format!("cannot fetch {path} of {name}"),
    }
}

/// Fetches what was listed to a place where nothing is. A directory is made beside that place first, under a name that the
/// content decides, so that what has arrived of it is there for the next time.
///
/// # Errors
/// What the registry says; what is wrong with the disk.
pub fn fetch(
    registry: &Registry,
    slug: &Slug,
    path: &str,
    listing: &Listing,
    to: &Path,
) -> Result<(), Failure> {
    let progress = Progress::new(what(slug, path).replacen("cannot fetch", "fetching", 1));
    let path = path.trim_end_matches('/');
    let total = listing.bytes();
    let get = |file: &str, entry: &Entry| {
        let full = [path, file].into_iter().filter(|part| !part.is_empty());
        let full = full.collect::<Vec<_>>().join("/");
        let failed = |error| registry.failure(what(slug, &full), &error);
        registry.client().tree_file(slug, &full, entry).map_err(failed)
    };
    // A file of its own needs no directory.
    if let [(file, entry)] = &listing.files[..]
        && file.is_empty()
    {
        files::write_shared(to, &get("", entry)?)?;
        progress.finish(total);
        return Ok(());
    }
    let partial = partial(to, &listing.at);
    fs::create_dir_all(&partial).context(format!("cannot make {}", partial.display()))?;
    let (mut done, mut had) = (0, 0);
    for (file, entry) in &listing.files {
        let place = partial.join(file);
        if kept(&place, entry) {
            had += 1;
        } else {
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent).context(format!("cannot make {}", parent.display()))?;
            }
            let resume = |failure: Failure| {
                if had + done == 0 {
                    failure
                } else {
                    failure.next("run it again: it goes on from there")
                }
            };
            files::write_shared(&place, &get(file, entry).map_err(resume)?)?;
        }
        done += entry.length;
        progress.step(done, total);
    }
    if had > 0 {
        output::talk(&format!("{had} of {} files were there already", listing.files.len()));
    }
    let wanted = listing.files.iter().map(|(file, _)| partial.join(file)).collect();
    prune(&partial, &wanted).context(format!("cannot tidy {}", partial.display()))?;
    fs::rename(&partial, to).context(format!("cannot make {}", to.display()))?;
    progress.finish(total);
    Ok(())
}

/// Where a directory waits until it is whole.
fn partial(to: &Path, entry: &Entry) -> PathBuf {
    let mut name = to.components().as_path().as_os_str().to_owned();
    name.push(format!(".{}.partial", &entry.digest.sha256().to_hex()[..16]));
    PathBuf::from(name)
}

/// Whether a file is there from the time before, every byte of it.
fn kept(path: &Path, entry: &Entry) -> bool {
    let file = path.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() == entry.length);
    let length = usize::try_from(entry.length).unwrap_or(usize::MAX);
    file && files::read_bounded(path, length).is_ok_and(|bytes| entry.verify(&bytes).is_ok())
}

/// Removes what does not belong there, such as what a killed program was about to write.
fn prune(directory: &Path, wanted: &BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            prune(&path, wanted)?;
        } else if !wanted.contains(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
