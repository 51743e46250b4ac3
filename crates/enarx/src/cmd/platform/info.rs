// SPDX-License-Identifier: Apache-2.0

//! `enarx platform info` and `measure`.

use std::path::PathBuf;

use clap::Args;
use keep::Image;
use keep::platform::BackendInfo;
use serde_json::{Value, json};
use types::time::Timestamp;

use super::rows;
use super::sources::CacheArgs;
use crate::collateral::authentic::Roots;
use crate::collateral::cache::Entry;
use crate::collateral::standing::void;
use crate::failure::Outcome;
use crate::{files, keeps, output, reach, silicon};

const INFO_EXAMPLES: &str = "\
Examples:
  enarx platform info
  enarx platform info --json

Collateral is what the vendors publish about their silicon; `enarx platform update` gets it.";
const MEASURE_EXAMPLES: &str = "\
Examples:
  enarx platform measure
  enarx platform measure --exec target/debug/enarx-exec --json

The value goes into Steward's policy, so that certificates may name workloads.";

/// Arguments of `enarx platform info`.
#[derive(Debug, Args)]
#[command(after_help = INFO_EXAMPLES)]
pub struct InfoArgs {
    /// Directory in which collateral is kept [default: $XDG_CACHE_HOME/enarx/collateral]
    #[arg(long, value_name = "DIR", env = "ENARX_COLLATERAL")]
    pub cache_dir: Option<PathBuf>,
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

/// Shows backends and collateral.
///
/// # Errors
/// If the cache cannot be read.
pub fn info(args: &InfoArgs) -> Outcome {
    let backends = keep::platform::info();
    let cache = CacheArgs { cache_dir: args.cache_dir.clone(), ..CacheArgs::default() }.cache()?;
    let (entries, broken) = cache.list()?;
    let now = reach::now();
    // Whose root it is was asked when it came in.
    let worthless = |entry: &Entry| void(&entry.found, &cache, Roots::Any);
    if args.json {
        let piece = |entry: &Entry| {
            let mut piece = rows::entry_json(entry, now);
            piece["void"] = json!(worthless(entry));
            piece
        };
        let pieces: Vec<Value> = entries.iter().map(piece).collect();
        output::json(&json!({
            "version": env!("CARGO_PKG_VERSION"), "backends": backends,
            "collateral": {"directory": cache.directory(), "pieces": pieces, "damaged": broken},
        }))?;
        return Ok(0);
    }
    let directory = cache.directory().display().to_string();
    output::data(&format!("{}{}", tree(&backends), kept(&directory, &entries, now)))?;
    rows::note_broken(&broken);
    for entry in &entries {
        if let Some(why) = worthless(entry) {
            let note = output::stderr_style().warn("note");
            output::talk(&format!(
                "{note}: {}: it is void, and `enarx platform update` asks anew: {why}",
                entry.found.piece
            ));
        }
    }
    Ok(0)
}

fn kept(directory: &str, entries: &[Entry], now: Timestamp) -> String {
    let style = output::stdout_style();
    let title = style.bold("collateral");
    if entries.is_empty() {
        return format!(
            "{title}  {}\n",
            style.dim(&format!("none in {directory}; `enarx platform update` gets it"))
        );
    }
    let mut table = vec![rows::heading(style, "source")];
    for entry in entries {
        let piece = entry.found.piece.to_string();
        table.push(rows::cells(&piece, Some(entry), style.dim(&entry.source), style, now));
    }
    let mut text = format!("{title}  {}\n", style.dim(directory));
    for line in output::columns(&table).lines() {
        text.push_str(&format!("  {line}\n"));
    }
    text
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

/// Prints the measurement.
///
/// # Errors
/// If the Keep's runtime cannot be read.
pub fn measure(args: &MeasureArgs) -> Outcome {
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
