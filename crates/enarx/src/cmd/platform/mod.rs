// SPDX-License-Identifier: Apache-2.0

//! `enarx platform`: what this machine offers, and what its vendors say about it.

pub mod attest;
pub mod import;
pub mod info;
pub mod intel;
pub mod rows;
pub mod snp;
pub mod sources;
pub mod update;

use clap::Subcommand;

use crate::collateral::piece::IntelTee;
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
    /// Intel SGX: get TCB infos, certificates and revocation lists, register the platform
    #[command(subcommand)]
    Sgx(intel::IntelCommand),
    /// Intel TDX: get TCB infos, certificates and revocation lists, register the platform
    #[command(subcommand)]
    Tdx(intel::IntelCommand),
    /// Get anew all collateral that this machine needs or that is kept already
    Update(update::UpdateArgs),
    /// Take collateral from files, for machines without a network
    Import(import::ImportArgs),
    /// Get evidence about the confidential virtual machine that this runs in
    Attest(attest::AttestArgs),
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
        PlatformCommand::Sgx(command) => intel::run(IntelTee::Sgx, command),
        PlatformCommand::Tdx(command) => intel::run(IntelTee::Tdx, command),
        PlatformCommand::Update(args) => update::run(args, update::Whose::All),
        PlatformCommand::Import(args) => import::run(args),
        PlatformCommand::Attest(args) => attest::run(args),
    }
}
