// SPDX-License-Identifier: Apache-2.0

//! `enarx platform import`: collateral from files.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use types::limits;
use types::time::Timestamp;

use super::sources::CacheArgs;
use crate::collateral::authentic::{Roots, authenticate};
use crate::collateral::cache::{Cache, Put};
use crate::collateral::piece::Piece;
use crate::collateral::recognise::{Found, Recognised, recognise};
use crate::failure::{EXIT_FAILED, Failure, Outcome};
use crate::{files, output, reach};

const EXAMPLES: &str = "\
Examples:
  enarx platform import vcek.der cert_chain.pem crl.der
  enarx platform import /media/stick/collateral/*      what another machine's cache has
  enarx platform import tcb.json tcb-issuer-chain.pem --json

Files are told by their contents, not by their names: certificates (DER or PEM), chains (PEM), revocation lists (DER
or PEM), Intel's TCB infos and enclave identities (JSON) with the chains of their issuers (PEM). An older piece never
takes the place of a newer one, and nothing enters that its vendor has not signed.";

/// Arguments of `enarx platform import`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    /// Files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Where it is kept.
    #[command(flatten)]
    pub cache: CacheArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A file, and what became of it.
struct Line {
    file: PathBuf,
    piece: Option<Piece>,
    result: Result<&'static str, String>,
}

/// Takes the files.
///
/// # Errors
/// If the cache cannot be written.
pub fn run(args: &ImportArgs) -> Outcome {
    let cache = args.cache.cache()?;
    let (mut pieces, mut chains, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for file in &args.files {
        let line = |result| Line { file: file.clone(), piece: None, result };
        let most = limits::COLLATERAL_JSON_BYTES_MAX.max(2 * limits::CRL_BYTES_MAX);
        match files::read_bounded(file, most) {
            Err(failure) => lines.push(line(Err(failure.to_string()))),
            Ok(bytes) if is_description(&bytes) => lines.push(line(Ok("not needed"))),
            Ok(bytes) => match recognise(&bytes) {
                Ok(Found::Piece(found)) => pieces.push((file.clone(), found)),
                Ok(Found::IssuerChain(chain)) => {
                    chains.push(chain);
                    lines.push(line(Ok("used with others")));
                }
                Err(why) => lines.push(line(Err(why))),
            },
        }
    }
    // Chains come before what they sign, and the root's list after what has the root.
    pieces.sort_by_key(|(_, found)| match found.piece {
        Piece::SnpChain { .. } => 0,
        Piece::IntelRootCrl => 2,
        _ => 1,
    });
    let now = reach::now();
    for (file, found) in pieces {
        let piece = Some(found.piece.clone());
        let result = take(&cache, args, found, &chains, &file, now)?;
        lines.push(Line { file, piece, result });
    }
    show(&lines, args.json)
}

/// Whether these are the words of a cache about a piece, which are written anew here.
fn is_description(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes)
        .is_ok_and(|value| value.get("format").is_some_and(|f| f == "enarx-collateral-v1"))
}

fn take(
    cache: &Cache,
    args: &ImportArgs,
    mut found: Recognised,
    chains: &[String],
    file: &std::path::Path,
    now: Timestamp,
) -> Result<Result<&'static str, String>, Failure> {
    if found.until < now && !args.cache.accept_expired {
        return Ok(Err(format!("it ended on {}; --accept-expired takes it", found.until)));
    }
    let roots = args.cache.roots();
    if let Err(why) = match_chain(&mut found, chains, cache, roots) {
        return Ok(Err(why));
    }
    let source = format!("import {}", file.display());
    Ok(Ok(match cache.put(&found, &source, now)? {
        Put::New => "imported",
        Put::Same => "unchanged",
        Put::Older => "a newer one is kept",
    }))
}

/// Authenticates `found` with whichever chain fits.
fn match_chain(
    found: &mut Recognised,
    chains: &[String],
    cache: &Cache,
    roots: Roots,
) -> Result<(), String> {
    let mut failed = match authenticate(found, cache, roots) {
        Ok(()) => return Ok(()),
        Err(why) => why,
    };
    let needs = matches!(
        found.piece,
        Piece::IntelTcb { .. } | Piece::IntelQe { .. } | Piece::IntelPckCrl { .. }
    );
    if !needs {
        return Err(failed);
    }
    let kept = cache.get(&found.piece).and_then(|entry| entry.found.chain);
    for chain in chains.iter().chain(&kept) {
        found.chain = Some(chain.clone());
        match authenticate(found, cache, roots) {
            Ok(()) => return Ok(()),
            Err(why) => failed = why,
        }
    }
    Err(failed)
}

fn show(lines: &[Line], as_json: bool) -> Outcome {
    let failed = lines.iter().any(|line| line.result.is_err());
    let code = if failed { EXIT_FAILED } else { 0 };
    let name = |line: &Line| line.piece.as_ref().map(ToString::to_string);
    if as_json {
        let files: Vec<Value> = lines
            .iter()
            .map(|line| {
                json!({
                    "file": line.file, "piece": name(line), "ok": line.result.is_ok(),
                    "result": line.result.as_ref().map_or("refused", |result| result),
                    "why": line.result.as_ref().err(),
                })
            })
            .collect();
        output::json(&json!({"ok": !failed, "files": files}))?;
        return Ok(code);
    }
    let style = output::stdout_style();
    let mut table = Vec::new();
    for line in lines {
        let result = match &line.result {
            Ok(result) => style.good(result),
            Err(why) => format!("{}: {why}", style.bad("refused")),
        };
        let piece = name(line).unwrap_or_else(|| "-".to_owned());
        table.push(vec![line.file.display().to_string(), piece, result]);
    }
    output::data(&output::columns(&table))?;
    Ok(code)
}
