// SPDX-License-Identifier: Apache-2.0

//! `enarx platform`: what this machine offers, and what its vendors say about it.

pub mod import;
pub mod info;
pub mod rows;
pub mod snp;
pub mod sources;
pub mod update;

use clap::Subcommand;

use crate::failure::Outcome;

/// `enarx platform …`
#[derive(Debug, Subcommand)]
pub enum PlatformCommand {
    /// Show for each backend what was found, what is missing, and how to mend it; and the collateral that is kept
    Info(info::InfoArgs),
    /// Print the measurement of the Keep that this build would start
    Measure(info::MeasureArgs),
    /// AMD SEV-SNP: get certificates and revocation lists of this machine's processor
    #[command(subcommand)]
    Snp(snp::SnpCommand),
    /// Get anew all collateral that this machine needs or that is kept already
    Update(update::UpdateArgs),
    /// Take collateral from files, for machines without a network
    Import(import::ImportArgs),
}

/// Runs the command.
///
/// # Errors
/// In the command's own words.
pub fn run(command: &PlatformCommand) -> Outcome {
    match command {
        PlatformCommand::Info(args) => info::info(args),
        PlatformCommand::Measure(args) => info::measure(args),
        PlatformCommand::Snp(command) => snp::run(command),
        PlatformCommand::Update(args) => update::run(args, update::Whose::All),
        PlatformCommand::Import(args) => import::run(args),
    }
}
