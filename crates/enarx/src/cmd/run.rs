// SPDX-License-Identifier: Apache-2.0

//! `enarx run`: a workload from this machine.

use std::path::PathBuf;

use clap::Args;
use types::config::Config;
use types::hostlink::{FileHeader, Workload};
use types::limits;

use crate::cli::{Global, KeepArgs, ReachArgs};
use crate::failure::{EXIT_KEEP, EXIT_USAGE, Failure, Outcome};
use crate::keeps::{self, Show, Start};
use crate::{cmd, files, reach};

const EXAMPLES: &str = "\
Examples:
  enarx run hello.wasm                            with the streams of this terminal, nothing else
  enarx run hello.wasm -- one two                 with arguments
  enarx run --config Enarx.toml server.wasm       with what the configuration allows
  enarx run app/                                  a directory with main.wasm and Enarx.toml

Ends with the workload's exit code; 134: it trapped, 137: it reached a limit, 125: the Keep failed.";

/// Arguments of `enarx run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// WebAssembly module, or directory with main.wasm and Enarx.toml
    #[arg(value_name = "MODULE|DIR")]
    pub path: PathBuf,
    /// Arguments of the program; only without a configuration, which has its own
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
    /// Configuration for a module
    #[arg(long, value_name = "FILE", env = "ENARX_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where and how.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// How to reach Steward.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// Runs the workload.
///
/// # Errors
/// See the exit codes.
pub fn run(args: &RunArgs, global: &Global) -> Outcome {
    let (files, config) = gather(args).map_err(|failure| {
        if failure.code == EXIT_USAGE { failure } else { failure.code(EXIT_KEEP) }
    })?;
    let start = Start::from_args(&args.keep, false)?;
    // A certificate is for who can prove something and knows whom to ask.
    let attest = start.simulate.is_some() && config.is_some_and(|config| config.steward.is_some());
    let workload = Workload::Local {
        files: files
            .iter()
            .map(|(path, bytes)| FileHeader {
                path: path.clone(),
                length: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            })
            .collect(),
        args: args.args.clone(),
        attest,
    };
    let show = Show { json: args.keep.json, steps: attest, level: global.log_filter };
    keeps::run(start, workload, files, reach::roots_pem(&args.reach)?, show)
}

type Gathered = (Vec<(String, Vec<u8>)>, Option<Config>);

/// The files of the workload, and its configuration if it has one.
fn gather(args: &RunArgs) -> Result<Gathered, Failure> {
    let mut files = files::read_package(&args.path)?;
    let mut origin = args.path.join("Enarx.toml");
    if let Some(config) = &args.config {
        if args.path.is_dir() {
            return Err(Failure::new("cannot use --config with a directory")
                .why("its Enarx.toml is part of the workload's identity")
                .next("edit the file in the directory, or name the module alone")
                .code(EXIT_USAGE));
        }
        origin = config.clone();
        files.insert(
            0,
            ("Enarx.toml".to_owned(), files::read_bounded(config, limits::CONFIG_BYTES_MAX)?),
        );
    }
    let config = cmd::package::check(&args.path, &origin, &files)?;
    if config.is_some() && !args.args.is_empty() {
        return Err(Failure::new("cannot pass arguments to a workload with a configuration")
            .why("they are part of its identity")
            .next(format!("put them into {}: args = [...]", origin.display()))
            .code(EXIT_USAGE));
    }
    Ok((files, config))
}
