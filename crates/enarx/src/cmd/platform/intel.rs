// SPDX-License-Identifier: Apache-2.0

//! `enarx platform sgx` and `tdx`: Intel's TCB infos, identities, certificates and revocation lists.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use types::limits;

use super::sources::SourceArgs;
use super::{rows, update};
use crate::collateral::collect::{Outcome as Came, Row};
use crate::collateral::pcs::{PckId, Registration};
use crate::collateral::piece::{IntelTee, PckCa, Piece};
use crate::collateral::recognise;
use crate::failure::{EXIT_FAILED, EXIT_USAGE, Failure, Outcome};
use crate::{files, output};

const TCB_EXAMPLES: &str = "\
Examples:
  enarx platform tdx tcb --fmspc b0c06f000000
  enarx platform sgx tcb --quote quote.bin           of the platform that made a quote
  enarx platform sgx tcb                             of the platforms whose certificates are kept
  enarx platform tdx tcb --fmspc b0c06f000000 --pcs https://pccs.example.com:8081 --ca pccs.pem

A TCB info says which firmware and microcode of a line of platforms (FMSPC) are good; the identity of the quoting
enclave comes along. Both hold for about thirty days.";
const CRL_EXAMPLES: &str = "\
Examples:
  enarx platform sgx crl
  enarx platform tdx crl --pck-ca platform --json

Gets the lists of Intel's root and of its authorities for platforms' keys. Verifiers want current ones; `enarx
platform update` from a timer, once a day, keeps them so.";
const PCK_EXAMPLES: &str = "\
Examples:
  enarx platform sgx pck --id pckid_retrieval.csv --pcs-key intel.key
  enarx platform tdx pck --id pckid_retrieval.csv --pcs https://pccs.example.com:8081 --ca pccs.pem

The file is what Intel's PCKIDRetrievalTool writes on the host: only the host's own enclaves know who it is. Intel's
service wants a subscription key; a caching service mostly does not.";
const REGISTER_EXAMPLES: &str = "\
Examples:
  enarx platform sgx register
  enarx platform tdx register --manifest manifest.bin

A server with several sockets has to be made known to Intel once, before it can have a certificate (PCK). Its firmware
leaves the request in an EFI variable, which root may read. Afterwards tell the firmware that it is done (mpa_manage of
Intel's tools does), or it asks again.";

/// `enarx platform sgx …` and `enarx platform tdx …`
#[derive(Debug, Subcommand)]
pub enum IntelCommand {
    /// Get TCB info of a line of platforms, and the identity of the quoting enclave
    Tcb(TcbArgs),
    /// Get the revocation lists of Intel's authorities
    Crl(CrlArgs),
    /// Get the certificate of this platform's key (PCK)
    Pck(PckArgs),
    /// Make this platform known to Intel
    Register(RegisterArgs),
    /// Get anew all of Intel that this machine needs or that is kept already
    Update(update::UpdateArgs),
}

/// Arguments of `… tcb`.
#[derive(Debug, Args)]
#[command(after_help = TCB_EXAMPLES)]
pub struct TcbArgs {
    /// Line of platforms, 12 hex digits (may be repeated)
    #[arg(long, value_name = "HEX", value_parser = line)]
    pub fmspc: Vec<Fmspc>,
    /// Quote, or PCK certificate chain in PEM, of a platform of that line (may be repeated)
    #[arg(long, value_name = "FILE")]
    pub quote: Vec<PathBuf>,
    /// Where from, and how.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Arguments of `… crl`.
#[derive(Debug, Args)]
#[command(after_help = CRL_EXAMPLES)]
pub struct CrlArgs {
    /// Only the list of this authority for platforms' keys, beside the root's
    #[arg(long, value_name = "CA", value_enum)]
    pub pck_ca: Option<PckCa>,
    /// Where from, and how.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Arguments of `… pck`.
#[derive(Debug, Args)]
#[command(after_help = PCK_EXAMPLES)]
pub struct PckArgs {
    /// What PCKIDRetrievalTool wrote
    #[arg(long, value_name = "FILE")]
    pub id: PathBuf,
    /// Copy the certificate with its chain (PEM) there
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Where from, and how.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Arguments of `… register`.
#[derive(Debug, Args)]
#[command(after_help = REGISTER_EXAMPLES)]
pub struct RegisterArgs {
    /// The EFI variable SgxRegistrationServerRequest as a file, in place of this machine's
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Where to, and how.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// A line of platforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fmspc(pub [u8; 6]);

fn line(text: &str) -> Result<Fmspc, String> {
    recognise::line(text).map(Fmspc)
}

/// Runs the command.
///
/// # Errors
/// In words.
pub fn run(tee: IntelTee, command: &IntelCommand) -> Outcome {
    match command {
        IntelCommand::Tcb(args) => tcb(tee, args),
        IntelCommand::Crl(args) => crl(args),
        IntelCommand::Pck(args) => pck(args),
        IntelCommand::Register(args) => register(args),
        IntelCommand::Update(args) => update::run(args, update::Whose::Intel),
    }
}

fn tcb(tee: IntelTee, args: &TcbArgs) -> Outcome {
    let mut lines: BTreeSet<[u8; 6]> = args.fmspc.iter().map(|fmspc| fmspc.0).collect();
    for path in &args.quote {
        let bytes = files::read_bounded(path, limits::ATTESTATION_BYTES_MAX)?;
        let fmspc = recognise::fmspc(&bytes).map_err(|why| {
            Failure::new(format!("cannot tell the line of platforms from {}", path.display()))
                .why(why)
                .next("name it: --fmspc HEX")
                .code(EXIT_USAGE)
        })?;
        lines.insert(fmspc);
    }
    let collector = args.source.collector()?;
    if lines.is_empty() {
        let (kept, _) = collector.cache.list()?;
        lines.extend(kept.iter().filter_map(update::fmspc_of));
    }
    if lines.is_empty() {
        return Err(Failure::new("cannot tell the line of platforms")
            .why("no certificate of a platform is kept")
            .next("name it (--fmspc HEX), or a quote of such a platform (--quote FILE), or get its certificate first (`pck`)")
            .code(EXIT_USAGE));
    }
    let mut rows: Vec<Row> = Vec::new();
    for fmspc in lines {
        rows.push(collector.obtain(&Piece::IntelTcb { tee, fmspc }, args.source.ask())?);
    }
    rows.push(collector.obtain(&Piece::IntelQe { tee }, args.source.ask())?);
    rows::show(&rows, &[], args.source.json, collector.now)
}

fn crl(args: &CrlArgs) -> Outcome {
    let collector = args.source.collector()?;
    let all = [PckCa::Platform, PckCa::Processor];
    let wanted = all.into_iter().filter(|ca| args.pck_ca.is_none_or(|only| only == *ca));
    let mut rows: Vec<Row> = Vec::new();
    for ca in wanted {
        rows.push(collector.obtain(&Piece::IntelPckCrl { ca }, args.source.ask())?);
    }
    rows.push(collector.obtain(&Piece::IntelRootCrl, args.source.ask())?);
    rows::show(&rows, &[], args.source.json, collector.now)
}

fn pck(args: &PckArgs) -> Outcome {
    let usage = |why: String| {
        Failure::new(format!("{} does not say which platform this is", args.id.display()))
            .why(why)
            .next("let Intel's PCKIDRetrievalTool write it on the host")
            .code(EXIT_USAGE)
    };
    let text = files::read_text(&args.id, limits::PLATFORM_MANIFEST_BYTES_MAX)?;
    let id = PckId::parse(&text).map_err(usage)?;
    let collector = args.source.collector()?;
    let row = collector.obtain_pck(&id)?.map_err(|why| {
        Failure::new("cannot get the certificate of this platform's key").why(why).next(
            "401: name a subscription key (--pcs-key); 404: make the platform known first (`register`), or check the file",
        )
    })?;
    if let (Some(out), Some(entry)) = (&args.out, &row.entry)
        && !matches!(row.outcome, Came::Failed(_))
    {
        files::write_shared(out, &entry.found.bytes)?;
    }
    rows::show(&[row], &[], args.source.json, collector.now)
}

fn register(args: &RegisterArgs) -> Outcome {
    let variable = match &args.manifest {
        Some(path) => files::read_bounded(path, limits::PLATFORM_MANIFEST_BYTES_MAX)?,
        None => {
            let root = update::root();
            keep::host::registration(&root, limits::PLATFORM_MANIFEST_BYTES_MAX).map_err(|error| {
                Failure::new("there is nothing to register")
                    .why(error)
                    .next("the firmware asks only servers with several sockets, and only until it is done; run it as root on the host")
            })?
        }
    };
    let request = Registration::parse(&variable).map_err(|why| {
        Failure::new("what the firmware wants registered cannot be read").why(why)
    })?;
    let collector = args.source.collector()?;
    let what = match request {
        Registration::Platform(_) => "platform",
        Registration::Package(_) => "package",
    };
    let answer = collector.register(&request);
    if args.source.json {
        output::json(&json!({
            "ok": answer.is_ok(), "registered": what, "answer": answer.as_ref().ok(),
            "why": answer.as_ref().err(),
        }))?;
        return Ok(if answer.is_ok() { 0 } else { EXIT_FAILED });
    }
    match answer {
        Ok(ppid) => {
            output::talk(&format!("registered this {what}; Intel knows it as"));
            output::data(&format!("{ppid}\n"))?;
            Ok(0)
        }
        Err(why) => Err(Failure::new(format!("cannot register this {what}"))
            .why(why)
            .next("401: name a subscription key (--pcs-key); 400: reset SGX in the firmware's setup, and try again")),
    }
}
