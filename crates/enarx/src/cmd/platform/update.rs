// SPDX-License-Identifier: Apache-2.0

//! `enarx platform update`: everything that this machine needs, and everything that is kept.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use evidence::amd::Product;

use super::rows;
use super::sources::SourceArgs;
use crate::collateral::cache::Entry;
use crate::collateral::collect::{Ask, Row};
use crate::collateral::kds;
use crate::collateral::piece::{IntelTee, PckCa, Piece, Vek};
use crate::collateral::recognise::fmspc;
use crate::failure::{EXIT_USAGE, Failure, Outcome};

const EXAMPLES: &str = "\
Examples:
  enarx platform update                            once a day, from a timer
  enarx platform update --json
  HTTPS_PROXY=http://proxy.example.com:3128 enarx platform update
  enarx platform update --pcs https://pccs.example.com:8081 --ca pccs.pem

What has a date (revocation lists, TCB infos, identities of quoting enclaves) is asked for anew; certificates only
if they are missing or at their end, or with --refresh. A source that fails harms nothing: what is kept stays, with
a note, until its own end. The exit code is 1 if something is missing or at its end.";

/// Arguments of `enarx platform update`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct UpdateArgs {
    /// Where from, and how.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// Whose collateral.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's.
    All,
    /// AMD's.
    Amd,
    /// Intel's.
    Intel,
}

/// Gets everything anew.
///
/// # Errors
/// If there is nothing to get, or the cache cannot be used.
pub fn run(args: &UpdateArgs, whose: Whose) -> Outcome {
    let collector = args.source.collector()?;
    let (kept, broken) = collector.cache.list()?;
    let mut wanted = BTreeSet::new();
    needed_here(&mut wanted);
    for entry in &kept {
        needed_with(entry, &mut wanted);
    }
    wanted.retain(|piece| match whose {
        Whose::All => true,
        Whose::Amd => piece.is_amd(),
        Whose::Intel => !piece.is_amd(),
    });
    if wanted.is_empty() {
        return Err(Failure::new("there is nothing to update")
            .why("no collateral is kept, and this machine's processor needs none that is known")
            .next("get some by name, for example `enarx platform snp crl --product Milan`")
            .code(EXIT_USAGE));
    }
    let ask = if args.source.refresh { Ask::Always } else { Ask::Dated };
    // Lists first: what they revoke is asked for anew.
    let (mut order, rest): (Vec<&Piece>, Vec<&Piece>) =
        wanted.iter().partition(|piece| piece.is_list());
    order.extend(rest);
    let mut rows: Vec<Row> =
        order.into_iter().map(|piece| collector.obtain(piece, ask)).collect::<Result<_, _>>()?;
    rows.sort_by(|a, b| a.piece.cmp(&b.piece));
    rows::show(&rows, &broken, args.source.json, collector.now)
}

/// What this machine needs.
fn needed_here(wanted: &mut BTreeSet<Piece>) {
    if let Some(product) = product_here() {
        wanted.extend([Piece::SnpChain { product, vek: Vek::Vcek }, Piece::SnpCrl { product }]);
        // Without the right to ask the firmware, the rest is useful all the same.
        wanted.extend(vcek_here(product));
    }
    let Some(processor) = keep::host::processor(&root()) else { return };
    let can = |flag: &str| processor.flags.iter().any(|found| found == flag);
    for (tee, flag) in [(IntelTee::Sgx, "sgx"), (IntelTee::Tdx, "tdx_host_platform")] {
        if processor.vendor == "GenuineIntel" && can(flag) {
            wanted.insert(Piece::IntelQe { tee });
            needed_below_intel(wanted, tee);
        }
    }
}

/// Revocation lists without which nothing of Intel proves anything.
fn needed_below_intel(wanted: &mut BTreeSet<Piece>, tee: IntelTee) {
    wanted.extend([Piece::IntelRootCrl, Piece::IntelPckCrl { ca: PckCa::Platform }]);
    // Virtual machines are protected by servers only.
    if tee == IntelTee::Sgx {
        wanted.insert(Piece::IntelPckCrl { ca: PckCa::Processor });
    }
}

/// The line of platforms that a piece is about.
pub fn fmspc_of(entry: &Entry) -> Option<[u8; 6]> {
    match &entry.found.piece {
        Piece::IntelTcb { fmspc, .. } => Some(*fmspc),
        Piece::IntelPck { .. } => fmspc(&entry.found.bytes).ok(),
        _ => None,
    }
}

/// What is kept, and what makes no sense without.
fn needed_with(entry: &Entry, wanted: &mut BTreeSet<Piece>) {
    let piece = &entry.found.piece;
    match piece {
        Piece::SnpVcek { product, .. } | Piece::SnpChain { product, .. } => {
            wanted.insert(Piece::SnpCrl { product: *product });
        }
        Piece::IntelTcb { tee, .. } | Piece::IntelQe { tee } => {
            wanted.insert(Piece::IntelQe { tee: *tee });
            needed_below_intel(wanted, *tee);
        }
        Piece::IntelPck { .. } => {
            let tee = IntelTee::Sgx;
            wanted.extend(fmspc_of(entry).map(|fmspc| Piece::IntelTcb { tee, fmspc }));
            wanted.insert(Piece::IntelQe { tee });
            needed_below_intel(wanted, tee);
        }
        Piece::SnpCrl { .. } | Piece::IntelRootCrl | Piece::IntelPckCrl { .. } => {}
    }
    wanted.insert(piece.clone());
}

/// The root of the file system; tests bring another.
pub fn root() -> PathBuf {
    std::env::var_os("ENARX_SYSROOT").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// The line of processors of this machine, if it is one of AMD's.
pub fn product_here() -> Option<Product> {
    let processor = keep::host::processor(&root())?;
    let is_amds = processor.vendor == "AuthenticAMD";
    is_amds.then(|| Product::of_cpuid(processor.family, processor.model)).flatten()
}

/// The certificate of this machine's processor.
///
/// # Errors
/// If its firmware cannot be asked.
pub fn vcek_here(product: Product) -> Result<Piece, Failure> {
    let next = "run it as root on the host itself; or name a report (--report) or the chip (--chip-id, --tcb, --product)";
    let failure = |why: String| {
        Failure::new("cannot ask the firmware whose certificate is wanted").why(why).next(next)
    };
    let host = keep::host::snp(&root()).map_err(|error| failure(error.to_string()))?;
    kds::vcek(product, &host.chip_id, host.reported_tcb).map_err(failure)
}
