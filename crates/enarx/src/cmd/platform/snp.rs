// SPDX-License-Identifier: Apache-2.0

//! `enarx platform snp`: AMD's certificates and revocation lists.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use evidence::amd::Product;

use super::sources::SourceArgs;
use super::{rows, update};
use crate::collateral::collect::{Outcome as Came, Row};
use crate::collateral::kds;
use crate::collateral::piece::{Piece, Vek};
use crate::failure::{EXIT_USAGE, Failure, Outcome};
use crate::files;

const VCEK_EXAMPLES: &str = "\
Examples:
  enarx platform snp vcek                          of this machine's processor
  enarx platform snp vcek --report report.bin      of the one that a report is of
  enarx platform snp vcek --product Milan --chip-id 3ac3…d8 --tcb 04000000000018db --out vcek.der

A certificate is good until its end, so the service is asked once per processor and TCB: AMD answers the same
client only every few seconds. The authority's certificates (ASK and ARK) come along.";
const CRL_EXAMPLES: &str = "\
Examples:
  enarx platform snp crl                           of this machine's line of processors
  enarx platform snp crl --product Genoa --product Turin --json

Verifiers want a current list; `enarx platform update` from a timer, once a day, keeps it so.";

/// `enarx platform snp …`
#[derive(Debug, Subcommand)]
pub enum SnpCommand {
    /// Get the certificate of a chip's key (VCEK), and those of the authority that signed it
    Vcek(VcekArgs),
    /// Get the revocation lists of AMD's authorities
    Crl(CrlArgs),
    /// Get anew all of AMD that this machine needs or that is kept already
    Update(update::UpdateArgs),
}

/// Arguments of `enarx platform snp vcek`.
#[derive(Debug, Args)]
#[command(after_help = VCEK_EXAMPLES)]
pub struct VcekArgs {
    /// Report of the chip (1184 bytes), in place of asking this machine's firmware
    #[arg(long, value_name = "FILE", conflicts_with_all = ["chip_id", "tcb"])]
    pub report: Option<PathBuf>,
    /// Identity of the chip, hex: 64 bytes, or a Turin's 8
    #[arg(long, value_name = "HEX", requires_all = ["tcb", "product"], value_parser = bytes)]
    pub chip_id: Option<Bytes>,
    /// TCB_VERSION, hex: the 8 bytes as they stand in a report (reported TCB, offset 384)
    #[arg(long, value_name = "HEX", requires = "chip_id", value_parser = bytes)]
    pub tcb: Option<Bytes>,
    /// Line of processors: Milan, Genoa (with Bergamo and Siena) or Turin [default: as report or processor say]
    #[arg(long, value_name = "NAME", value_parser = product)]
    pub product: Option<Product>,
    /// Copy the certificate (DER) there
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Where from, and how.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Arguments of `enarx platform snp crl`.
#[derive(Debug, Args)]
#[command(after_help = CRL_EXAMPLES)]
pub struct CrlArgs {
    /// Line of processors: Milan, Genoa or Turin (may be repeated) [default: this machine's]
    #[arg(long, value_name = "NAME", value_parser = product)]
    pub product: Vec<Product>,
    /// Get the certificates of the authority for cloud providers (ASVK) as well
    #[arg(long)]
    pub vlek: bool,
    /// Where from, and how.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Bytes that were given in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

fn bytes(text: &str) -> Result<Bytes, String> {
    hex::decode(text).map(Bytes).map_err(|error| format!("wanted hex digits: {error}"))
}

fn product(text: &str) -> Result<Product, String> {
    let found = Product::ALL.into_iter().find(|product| product.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| "wanted Milan, Genoa or Turin".to_owned())
}

/// Runs the command.
///
/// # Errors
/// In words.
pub fn run(command: &SnpCommand) -> Outcome {
    match command {
        SnpCommand::Vcek(args) => vcek(args),
        SnpCommand::Crl(args) => crl(args),
        SnpCommand::Update(args) => update::run(args, update::Whose::Amd),
    }
}

/// The line of processors of this machine.
fn here() -> Result<Product, Failure> {
    update::product_here().ok_or_else(|| {
        Failure::new("cannot tell the line of processors")
            .why("this machine has no AMD EPYC of a line that is known")
            .next("name it: --product Milan, Genoa or Turin")
            .code(EXIT_USAGE)
    })
}

fn wanted(args: &VcekArgs) -> Result<Piece, Failure> {
    let usage = |why: String| {
        Failure::new("cannot tell whose certificate is wanted").why(why).code(EXIT_USAGE)
    };
    if let Some(path) = &args.report {
        let report = files::read_bounded(path, 4096)?;
        return kds::vcek_of_report(&report, args.product)
            .map_err(|why| usage(format!("{}: {why}", path.display())))
            .map_err(|failure| failure.next("--product names the line of processors"));
    }
    if let (Some(chip), Some(tcb), Some(product)) = (&args.chip_id, &args.tcb, args.product) {
        let tcb = tcb.0.as_slice().try_into().map_err(|_| usage("--tcb has not 8 bytes".into()))?;
        return kds::vcek(product, &chip.0, tcb).map_err(usage);
    }
    update::vcek_here(args.product.map_or_else(here, Ok)?)
}

fn vcek(args: &VcekArgs) -> Outcome {
    let piece = wanted(args)?;
    let collector = args.source.collector()?;
    let row = collector.obtain(&piece, args.source.ask())?;
    if let (Some(out), Some(entry)) = (&args.out, &row.entry)
        && !matches!(row.outcome, Came::Failed(_))
    {
        files::write_shared(out, &entry.found.bytes)?;
    }
    rows::show(&[row], &[], args.source.json, collector.now)
}

fn crl(args: &CrlArgs) -> Outcome {
    let products = if args.product.is_empty() { vec![here()?] } else { args.product.clone() };
    let collector = args.source.collector()?;
    let mut rows: Vec<Row> = Vec::new();
    for product in products {
        if args.vlek {
            let chain = Piece::SnpChain { product, vek: Vek::Vlek };
            rows.push(collector.obtain(&chain, args.source.ask())?);
        }
        rows.push(collector.obtain(&Piece::SnpCrl { product }, args.source.ask())?);
    }
    rows::show(&rows, &[], args.source.json, collector.now)
}
