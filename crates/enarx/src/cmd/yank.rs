// SPDX-License-Identifier: Apache-2.0

//! `enarx package yank|unyank`: versions that nobody should start any more (docs/FORMATS.md 2.12).

use clap::Args;
use drawbridge_core::YankDocument;
use types::slug::Slug;

use crate::cli::RegistryArgs;
use crate::failure::{EXIT_USAGE, Failure, Outcome};
use crate::output;
use crate::reach::Registry;
use crate::tokens::TokenStore;

const YANK_EXAMPLES: &str = "\
Examples:
  enarx package yank store.example.com/alice/app:1.2.0 --reason 'leaks keys, use 1.2.1'

The version is not listed any more, and no new Keep starts it. It is not deleted: Keeps that run it go on, and whoever may
read it still can. `enarx package unyank` takes it back.";
const UNYANK_EXAMPLES: &str = "\
Examples:
  enarx package unyank store.example.com/alice/app:1.2.0";

/// Arguments of `enarx package yank`.
#[derive(Debug, Args)]
#[command(after_help = YANK_EXAMPLES)]
pub struct YankArgs {
    /// The name: host/user/repo:tag
    pub slug: Slug,
    /// Why, in words for those who wanted to deploy it
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Arguments of `enarx package unyank`.
#[derive(Debug, Args)]
#[command(after_help = UNYANK_EXAMPLES)]
pub struct UnyankArgs {
    /// The name: host/user/repo:tag
    pub slug: Slug,
    /// How to reach it, and who asks.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// `enarx package yank`.
///
/// # Errors
/// What the registry says.
pub fn yank(args: &YankArgs, store: &TokenStore) -> Outcome {
    YankDocument { reason: args.reason.clone() }
        .check()
        .map_err(|flaw| Failure::new("cannot yank for this reason").why(flaw).code(EXIT_USAGE))?;
    let registry = Registry::open(&args.slug.host, &args.registry, store)?;
    registry.token()?;
    let name = args.slug.clone().without_digest();
    let failed = |e: &_| registry.failure(format!("cannot yank {name}"), e);
    let there = registry.client().yanked(&args.slug).map_err(|e| failed(&e))?;
    let etag = there.and_then(|there| there.etag);
    registry.client().yank(&args.slug, &args.reason, etag.as_deref()).map_err(|e| failed(&e))?;
    output::talk(&format!("{name} is yanked; `enarx package unyank {name}` takes that back"));
    Ok(0)
}

/// `enarx package unyank`.
///
/// # Errors
/// What the registry says.
pub fn unyank(args: &UnyankArgs, store: &TokenStore) -> Outcome {
    let registry = Registry::open(&args.slug.host, &args.registry, store)?;
    registry.token()?;
    let name = args.slug.clone().without_digest();
    registry
        .client()
        .unyank(&args.slug)
        .map_err(|e| registry.failure(format!("cannot take the yank of {name} back"), &e))?;
    output::talk(&format!("{name} is listed and deployed again"));
    Ok(0)
}
