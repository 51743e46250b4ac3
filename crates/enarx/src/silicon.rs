// SPDX-License-Identifier: Apache-2.0

//! Simulated silicon, kept in a directory: answers for the CPU that is not there. It proves nothing, and says so.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keep::{EvidenceSource, Image};
use testkit::silicon::{Options, SimulatedSnp, simulated_measurement};

use crate::cli::{KeepArgs, Simulate};
use crate::failure::{Context as _, Failure};
use crate::{files, output, reach};

/// Technology number of SEV-SNP (docs/FORMATS.md 3.4).
const SNP: u32 = 1;

/// Answers the evidence requests of Keeps that run one program.
#[derive(Debug)]
pub struct Simulated {
    silicon: SimulatedSnp,
    measurement: [u8; 48],
}

impl EvidenceSource for Simulated {
    fn attest(&self, report_data: &[u8; 64]) -> io::Result<(Vec<u8>, u32)> {
        let blob =
            self.silicon.attestation(report_data, &self.measurement).map_err(io::Error::other)?;
        Ok((blob, SNP))
    }
}

/// The measurement that simulated silicon reports for a Keep with this program.
///
/// # Errors
/// If the program cannot be read.
pub fn measure(exec: &Image) -> Result<[u8; 48], Failure> {
    Ok(simulated_measurement(&exec.bytes().context("cannot read the Keep's runtime")?))
}

/// Loads the silicon in `directory`.
///
/// # Errors
/// If it is not there or damaged.
pub fn load(directory: &Path) -> Result<SimulatedSnp, Failure> {
    SimulatedSnp::load(directory)
        .context(format!("cannot read the simulated silicon in {}", directory.display()))
}

/// Makes new silicon in `directory`.
///
/// # Errors
/// If it cannot be written.
pub fn make(directory: &Path) -> Result<SimulatedSnp, Failure> {
    let what = || format!("cannot make simulated silicon in {}", directory.display());
    files::make_private_directory(directory)?;
    let silicon = SimulatedSnp::generate(reach::now(), Options::default()).context(what())?;
    silicon.save(directory).context(what())?;
    Ok(silicon)
}

/// An answerer for Keeps with the program `exec`.
///
/// # Errors
/// If the program cannot be read.
pub fn source(silicon: SimulatedSnp, exec: &Image) -> Result<Arc<dyn EvidenceSource>, Failure> {
    Ok(Arc::new(Simulated { silicon, measurement: measure(exec)? }))
}

/// What `--simulate` and `--simulated-silicon` ask for. Silicon that is not there is made.
///
/// # Errors
/// If it cannot be read or made.
pub fn from_args(
    args: &KeepArgs,
    exec: &Image,
) -> Result<Option<Arc<dyn EvidenceSource>>, Failure> {
    let Some(Simulate::Snp) = args.simulate else { return Ok(None) };
    let directory = match &args.simulated_silicon {
        Some(directory) => directory.clone(),
        None => default_directory()?,
    };
    let there = directory.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    let silicon = if there {
        load(&directory)?
    } else {
        let made = make(&directory)?;
        output::talk(&format!(
            "made simulated silicon in {}; a Steward takes it only if started with --insecure-simulated-roots",
            directory.display()
        ));
        made
    };
    source(silicon, exec).map(Some)
}

/// Where the silicon is unless told otherwise.
fn default_directory() -> Result<PathBuf, Failure> {
    Ok(files::data_directory()?.join("simulated-silicon"))
}
