// SPDX-License-Identifier: Apache-2.0

//! The command line: every command, flag and environment variable.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cmd;
use crate::up;

const ABOUT: &str =
    "Run WebAssembly in Trusted Execution Environments, and check what others run there";

const AFTER: &str = "\
Examples:
  enarx up                                     the whole system on this machine, with simulated silicon
  enarx run hello.wasm                         a module in a Keep on this machine
  enarx deploy store.example.com/team/app:1.2.0
  enarx verify app.example.com:443 --ca ca.pem what does that server prove?
  enarx proxy 8080 app.example.com --ca ca.pem let any program talk to it, if it proves what is expected

Exit codes:
  0    it worked; of `verify`: the certificate proves what was asked for
  1    it failed; of `verify`: refused
  2    called wrongly; of `verify`: nobody could be asked
  run and deploy end with the workload's own exit code, or with
  134  the workload trapped
  137  the workload reached a limit
  125  the Keep itself failed

Standard output carries data, standard error talk. Colour is used on terminals only, and never with NO_COLOR set.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "enarx", version, about = ABOUT, after_help = AFTER, max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    /// What goes for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What goes for every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Most verbose messages to show on standard error
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "warn",
        value_name = "LEVEL",
        env = "ENARX_LOG"
    )]
    pub log_filter: Level,
}

/// How verbose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
    /// What failed.
    Error,
    /// And what should not be.
    Warn,
    /// And what happens.
    Info,
    /// And why.
    Debug,
    /// And everything else.
    Trace,
}

impl Level {
    /// The name that goes to the Keep.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// The level with this name; what is unknown counts as a warning.
    pub fn from_name(name: &str) -> Self {
        match name {
            "error" => Self::Error,
            "info" => Self::Info,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => Self::Warn,
        }
    }
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring the whole system up on this machine, ending in an attested chat between two Keeps
    Up(up::UpArgs),
    /// Run a WebAssembly module or a package from this machine in a Keep
    Run(cmd::run::RunArgs),
    /// Deploy a workload out of a registry: the Keep proves itself, fetches it, runs it
    Deploy(cmd::deploy::DeployArgs),
    /// Write and check Enarx.toml
    #[command(subcommand)]
    Config(cmd::config::ConfigCommand),
    /// Log in to a registry
    #[command(subcommand)]
    User(cmd::user::UserCommand),
    /// Repositories of a registry
    #[command(subcommand)]
    Repo(cmd::repo::RepoCommand),
    /// Organisations of a registry
    #[command(subcommand)]
    Org(cmd::org::OrgCommand),
    /// Tokens of a registry's own, for programs
    #[command(subcommand)]
    Token(cmd::token::TokenCommand),
    /// Packages of a registry
    #[command(subcommand)]
    Package(cmd::package::PackageCommand),
    /// What packages consist of, here and at a registry
    #[command(subcommand)]
    Tree(cmd::tree::TreeCommand),
    /// What this machine offers
    #[command(subcommand)]
    Platform(cmd::platform::PlatformCommand),
    /// Judge the certificate of a server or of a file, and show what it proves
    Verify(cmd::verify::VerifyArgs),
    /// Let other programs talk to a Keep that proves what is expected of it, and to nobody else
    Proxy(cmd::proxy::ProxyArgs),
    /// Print completions for a shell
    Completions(cmd::completions::CompletionsArgs),
    /// Run a program that ends with this one (internal)
    #[command(name = "__child", hide = true)]
    Child(up::child::ChildArgs),
}

/// What answers for silicon that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Simulate {
    /// AMD SEV-SNP
    Snp,
}

/// Where a Keep can run.
const BACKENDS: [&str; 5] = ["sgx", "snp", "cvm", "kvm", "nil"];

/// Flags of the commands that start a Keep.
#[derive(Clone, Debug, Args)]
pub struct KeepArgs {
    /// Where the Keep runs; by default the best that this machine has
    #[arg(long, env = "ENARX_BACKEND", value_parser = BACKENDS)]
    pub backend: Option<String>,
    /// Let simulated silicon attest to the Keep: for development, it proves nothing
    #[arg(long, value_enum, value_name = "TEE", env = "ENARX_SIMULATE")]
    pub simulate: Option<Simulate>,
    /// Directory of the simulated silicon; made if it is not there [default: $XDG_DATA_HOME/enarx/simulated-silicon]
    #[arg(long, value_name = "DIR", env = "ENARX_SIMULATED_SILICON", requires = "simulate")]
    pub simulated_silicon: Option<PathBuf>,
    /// The Keep's runtime [default: enarx-exec beside this program]
    #[arg(long, value_name = "FILE", env = "ENARX_EXEC")]
    pub exec: Option<PathBuf>,
    /// Show what happens as one JSON object per line, on standard error
    #[arg(long)]
    pub json: bool,
}

/// Roots of the services.
#[derive(Clone, Debug, Default, Args)]
pub struct ReachArgs {
    /// PEM file with roots to trust for reaching Steward, Drawbridge and the OpenID issuer, in place of the public Web PKI
    /// (may be repeated)
    #[arg(long, value_name = "FILE", env = "ENARX_CA_BUNDLE", value_delimiter = ',')]
    pub ca_bundle: Vec<PathBuf>,
}

/// How to prove who one is to a registry.
#[derive(Clone, Debug, Default, Args)]
pub struct TokenArgs {
    /// Bearer token to use in place of the stored one (its value is as good as a password: prefer the variable)
    #[arg(long, value_name = "TOKEN", env = "ENARX_INSECURE_AUTH_TOKEN", hide_env_values = true)]
    pub insecure_auth_token: Option<String>,
}

/// How to reach a registry, and who asks.
#[derive(Clone, Debug, Default, Args)]
pub struct RegistryArgs {
    /// How to reach it.
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Who asks.
    #[command(flatten)]
    pub token: TokenArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn walk(command: &clap::Command) {
            if command.is_hide_set() {
                return;
            }
            let children: Vec<_> = command.get_subcommands().collect();
            if children.is_empty() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example"), "{} has no examples", command.get_name());
            }
            for child in children {
                walk(child);
            }
        }
        walk(&Cli::command());
    }
}
