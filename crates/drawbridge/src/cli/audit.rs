// SPDX-License-Identifier: Apache-2.0

//! `drawbridge audit verify` and `drawbridge audit show`.

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use chassis::journal::{Expected, LogError, read};
use clap::{Args, Subcommand};
use types::digest::Sha256;

use crate::audit::{Event, SHAPE};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check the chain of a log from its first line to its last.
    #[command(
        after_help = "Example:\n  drawbridge audit verify /var/log/drawbridge --through sha256:…"
    )]
    Verify {
        #[command(flatten)]
        range: Range,
        /// A head that was noted earlier; the log must still go through it.
        #[arg(long, value_name = "sha256:HEX")]
        through: Option<Sha256>,
    },
    /// Print the events of a log, checking its chain on the way.
    #[command(
        after_help = "Example:\n  drawbridge audit show /var/log/drawbridge --name ann/app --json"
    )]
    Show {
        #[command(flatten)]
        range: Range,
        /// Only events about names that begin with this.
        #[arg(long, value_name = "OWNER[/REPO[:TAG]]")]
        name: Option<String>,
    },
}

/// Which log, and how it is shown.
#[derive(Args, Debug)]
pub(super) struct Range {
    /// Directory of the log.
    #[arg(env = "DRAWBRIDGE_AUDIT_LOG", value_name = "DIR")]
    dir: PathBuf,
    /// Hash of the last line before those that are here, if older files were moved away.
    #[arg(long, value_name = "sha256:HEX")]
    after: Option<Sha256>,
    /// Print JSON, one object on each line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &AuditCommand) -> anyhow::Result<()> {
    match command {
        AuditCommand::Verify { range, through } => verify(range, *through),
        AuditCommand::Show { range, name } => show(range, name.as_deref()),
    }
}

fn verify(range: &Range, through: Option<Sha256>) -> anyhow::Result<()> {
    let expected = Expected { after: range.after, through };
    let summary = read(&range.dir, SHAPE, expected, |_| Ok(()))?;
    let entries = summary.head.entries - summary.first;
    let text = if range.json {
        let object = serde_json::json!({
            "ok": summary.passed_through,
            "first": summary.first,
            "entries": entries,
            "head": summary.head.hash,
            "torn_bytes": summary.torn_bytes,
        });
        format!("{object}\n")
    } else {
        let dir = range.dir.display();
        let hash = summary.head.hash;
        format!("{dir} holds {entries} events in an unbroken chain.\n\n  head  {hash}\n")
    };
    super::print(text.as_bytes())?;
    if !summary.passed_through {
        bail!(
            "the log does not go through the head that was noted earlier: it is not the same log, or was cut"
        );
    }
    Ok(())
}

fn show(range: &Range, name: Option<&str>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let expected = Expected { after: range.after, through: None };
    let result = read(&range.dir, SHAPE, expected, |line| {
        // It was found to be an event.
        let Ok(event) = serde_json::from_str::<Event>(line.record) else { return Ok(()) };
        if name.is_some_and(|name| !event.name.starts_with(name)) {
            return Ok(());
        }
        let text = if range.json { line.record.to_owned() } else { event.to_string() };
        writeln!(out, "{text}").map_err(|error| LogError::Io("print", range.dir.clone(), error))
    });
    out.flush().context("cannot write to standard output")?;
    result.map(drop).map_err(Into::into)
}
