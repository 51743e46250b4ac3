// SPDX-License-Identifier: Apache-2.0

//! `enarx platform`: what this machine offers.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keep::Image;
use keep::platform::BackendInfo;
use serde_json::json;

use crate::failure::Outcome;
use crate::{files, keeps, output, silicon};

const INFO_EXAMPLES: &str = "\
Examples:
  enarx platform info
  enarx platform info --json";
const MEASURE_EXAMPLES: &str = "\
Examples:
  enarx platform measure
  enarx platform measure --exec target/debug/enarx-exec --json

The value goes into Steward's policy, so that certificates may name workloads.";

/// `enarx platform …`
#[derive(Debug, Subcommand)]
pub enum PlatformCommand {
    /// Show for each backend what was found, what is missing, and how to mend it
    Info(InfoArgs),
    /// Print the measurement of the Keep that this build would start
    Measure(MeasureArgs),
}

/// Arguments of `enarx platform info`.
#[derive(Debug, Args)]
#[command(after_help = INFO_EXAMPLES)]
pub struct InfoArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `enarx platform measure`.
#[derive(Debug, Args)]
#[command(after_help = MEASURE_EXAMPLES)]
pub struct MeasureArgs {
    /// The Keep's runtime [default: enarx-exec beside this program]
    #[arg(long, value_name = "FILE", env = "ENARX_EXEC")]
    pub exec: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// If the Keep's runtime cannot be read.
pub fn run(command: &PlatformCommand) -> Outcome {
    match command {
        PlatformCommand::Info(args) => info(args),
        PlatformCommand::Measure(args) => measure(args),
    }
}

fn info(args: &InfoArgs) -> Outcome {
    let backends = keep::platform::info();
    if args.json {
        output::json(&json!({"version": env!("CARGO_PKG_VERSION"), "backends": backends}))?;
    } else {
        output::data(&tree(&backends))?;
    }
    Ok(0)
}

fn tree(backends: &[BackendInfo]) -> String {
    let style = output::stdout_style();
    let mut text = String::new();
    for backend in backends {
        let summary = match (backend.available, backend.can_attest) {
            (true, true) => style.good("available, attests"),
            (true, false) => {
                style.warn("available, cannot attest: no protection from this machine")
            }
            (false, _) => style.dim("not available"),
        };
        text.push_str(&format!("{}  {summary}\n", style.bold(&backend.name)));
        let mut told = "";
        for check in &backend.checks {
            let mark = match (check.pass, check.required) {
                (true, _) => style.good("ok"),
                (false, true) => style.bad("missing"),
                (false, false) => style.warn("without"),
            };
            text.push_str(&format!("  {mark}  {}: {}\n", check.name, check.info));
            // Several checks may fail for one reason.
            if let Some(hint) = check.hint.as_deref().filter(|hint| *hint != told) {
                told = hint;
                text.push_str(&format!("      {} {hint}\n", style.dim("next:")));
            }
        }
    }
    text
}

fn measure(args: &MeasureArgs) -> Outcome {
    let path = files::find_exec(args.exec.as_deref())
        .map_err(|failure| failure.code(crate::failure::EXIT_FAILED))?;
    let exec = Image::read(&path)
        .map_err(|error| keeps::failure_of(&error).code(crate::failure::EXIT_FAILED))?;
    let measurement = hex::encode(silicon::measure(&exec)?);
    if args.json {
        return output::json(&json!({"exec": path, "measurements": [{"tee": "snp", "simulated": true, "measurement": measurement}]})).map(|()| 0);
    }
    output::talk("simulated: what simulated silicon reports for this program; no real TEE would");
    output::data(&format!("{measurement}\n"))?;
    Ok(0)
}
