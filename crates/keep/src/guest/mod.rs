// SPDX-License-Identifier: Apache-2.0

//! Evidence inside of a confidential virtual machine that somebody else started: a cloud, mostly.
//!
//! What is attested there is the whole machine, its kernel and firmware included, which is a weaker thing than a Keep. The
//! kernel offers it in several ways; [`collect`] takes the best that is there:
//!
//! | module | where | what |
//! |---|---|---|
//! | [`configfs_tsm`] | `/sys/kernel/config/tsm/report` | any TEE's report or quote (Linux 6.7) |
//! | [`sev_guest`] | `/dev/sev-guest` | SEV-SNP report and certificates |
//! | [`tdx_guest`] | `/dev/tdx_guest` | TDREPORT, which only this machine can check |
//! | [`azure`] | `/dev/tpmrm0` | Azure's HCL report and a quote of its virtual TPM |
//!
//! Every function takes the root of the file system, so that tests can bring their own. **Nothing here ever ran on hardware
//! of the kind**: structures and request numbers are Linux's and the TCG's as published, and the TPM part runs against
//! another implementation of a TPM in the tests.

pub mod azure;
pub mod configfs_tsm;
pub mod sev_guest;
pub mod tdx_guest;
mod tpm;

use std::fmt;
use std::io;
use std::path::Path;

pub use self::azure::VtpmEvidence;
pub use self::tpm::TpmError;

/// Bytes that evidence is about.
pub const REPORT_DATA_BYTES: usize = 64;
/// Most bytes of certificates that come with a report.
const CERTIFICATES_BYTES_MAX: usize = 64 * 1024;

/// Where evidence can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// configfs.
    ConfigfsTsm,
    /// `/dev/sev-guest`.
    SevGuest,
    /// `/dev/tdx_guest`.
    TdxGuest,
    /// Azure's virtual TPM.
    AzureVtpm,
}

impl Source {
    /// All of them, the best first.
    pub const ALL: [Self; 4] = [Self::ConfigfsTsm, Self::SevGuest, Self::AzureVtpm, Self::TdxGuest];

    /// The name for machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConfigfsTsm => "configfs-tsm",
            Self::SevGuest => "sev-guest",
            Self::TdxGuest => "tdx-guest",
            Self::AzureVtpm => "azure-vtpm",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::ConfigfsTsm => configfs_tsm::PATH,
            Self::SevGuest => sev_guest::PATH,
            Self::TdxGuest => tdx_guest::PATH,
            Self::AzureVtpm => azure::PATH,
        }
    }
}

/// Evidence about the machine that this runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvidence {
    /// Where it came from.
    pub source: Source,
    /// What it is.
    pub statement: Statement,
}

/// What the machine's TEE says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// A SEV-SNP report of 1184 bytes, and the certificates that the host has for it.
    Snp {
        /// The report.
        report: Vec<u8>,
        /// Certificates by kind, DER.
        certificates: Vec<(sev_guest::CertificateKind, Vec<u8>)>,
    },
    /// A TDX quote.
    TdxQuote(Vec<u8>),
    /// A TDREPORT of 1024 bytes, which means nothing to others than this processor's quoting enclave.
    TdxReport(Vec<u8>),
    /// What Azure's virtual TPM says.
    Azure(VtpmEvidence),
    /// Of a provider that is not known here.
    Other {
        /// Linux's name of it.
        provider: String,
        /// What it says.
        blob: Vec<u8>,
    },
}

/// Why there is no evidence.
#[derive(Debug)]
pub enum GuestError {
    /// A file or device cannot be used: which, and why.
    File(String, io::Error),
    /// The firmware or the hypervisor refuses: their error numbers together.
    Firmware(u64),
    /// Something else kept interfering.
    Raced,
    /// What came is not what was asked for.
    Wrong(String),
    /// The virtual TPM refuses.
    Tpm(TpmError),
    /// None of the sources is there.
    Nothing(Vec<String>),
}

impl fmt::Display for GuestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{path}: {error}"),
            Self::Firmware(error) => {
                write!(f, "the security processor or the hypervisor refuses, with error {error:#x}")
            }
            Self::Raced => {
                f.write_str("another program keeps asking for evidence at the same place")
            }
            Self::Wrong(what) => write!(f, "the machine's answer is wrong: {what}"),
            Self::Tpm(error) => write!(f, "the virtual TPM: {error}"),
            Self::Nothing(tried) => {
                write!(f, "this machine offers no evidence: {}", tried.join("; "))
            }
        }
    }
}

impl std::error::Error for GuestError {}

impl From<TpmError> for GuestError {
    fn from(error: TpmError) -> Self {
        Self::Tpm(error)
    }
}

/// Gets evidence over `report_data` from the best source below `root`.
///
/// A source that is there and fails is an error, not a reason to take a worse one; so is a `/dev/tdx_guest` alone, whose
/// TDREPORT nobody else can check.
///
/// # Errors
/// [`GuestError`].
pub fn collect(
    root: &Path,
    report_data: &[u8; REPORT_DATA_BYTES],
) -> Result<CloudEvidence, GuestError> {
    let mut tried = Vec::new();
    for source in Source::ALL {
        let path = root.join(source.path());
        if !path.exists() {
            tried.push(format!("there is no {}", path.display()));
            continue;
        }
        match (source, collect_from(source, root, report_data)) {
            // The directory is there wherever the kernel knows of such reports at all.
            (Source::ConfigfsTsm, Err(GuestError::File(path, error)))
                if error.raw_os_error() == Some(nix::libc::ENXIO) =>
            {
                tried.push(format!("{path}: no TEE offers anything there"));
            }
            // Many machines have a TPM, and few are of Azure's confidential kind.
            (Source::AzureVtpm, Err(GuestError::Tpm(error))) if error.no_such_index() => {
                tried.push(format!("{}: not a TPM of Azure's kind", path.display()));
            }
            (Source::TdxGuest, _) => tried.push(format!(
                "{} alone makes reports for this processor only; quotes need Linux 6.7 with configfs-tsm",
                path.display()
            )),
            (_, found) => return found,
        }
    }
    Err(GuestError::Nothing(tried))
}

/// Gets evidence over `report_data` from this source below `root`.
///
/// # Errors
/// [`GuestError`].
pub fn collect_from(
    source: Source,
    root: &Path,
    report_data: &[u8; REPORT_DATA_BYTES],
) -> Result<CloudEvidence, GuestError> {
    let statement = match source {
        Source::ConfigfsTsm => configfs_tsm::statement(root, report_data)?,
        Source::SevGuest => sev_guest::statement(root, report_data)?,
        Source::TdxGuest => Statement::TdxReport(tdx_guest::report(root, report_data)?),
        Source::AzureVtpm => Statement::Azure(azure::collect(root, report_data)?),
    };
    Ok(CloudEvidence { source, statement })
}

/// Checks that the report data stand in `statement` at `at`.
fn speaks_of(
    statement: &[u8],
    at: usize,
    report_data: &[u8; REPORT_DATA_BYTES],
) -> Result<(), GuestError> {
    if statement.get(at..at + REPORT_DATA_BYTES) == Some(report_data.as_slice()) {
        return Ok(());
    }
    Err(GuestError::Wrong("it is not about the report data that were given".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_any_says_what_was_looked_for() {
        let root = tempfile::tempdir().unwrap();
        let error = collect(root.path(), &[0; 64]).unwrap_err().to_string();
        for source in Source::ALL {
            assert!(error.contains(source.path()), "{error}");
        }
    }

    #[test]
    fn what_is_there_and_broken_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("dev")).unwrap();
        std::fs::File::create(root.path().join("dev/sev-guest")).unwrap();
        let error = collect(root.path(), &[0; 64]).unwrap_err();
        assert!(matches!(&error, GuestError::File(path, _) if path.ends_with("dev/sev-guest")));
        // A TDREPORT alone is not evidence to others.
        std::fs::remove_file(root.path().join("dev/sev-guest")).unwrap();
        std::fs::File::create(root.path().join("dev/tdx_guest")).unwrap();
        let error = collect(root.path(), &[0; 64]).unwrap_err();
        assert!(error.to_string().contains("quotes need Linux 6.7"), "{error}");
    }

    #[test]
    fn answers_about_something_else_are_refused() {
        let mut report = vec![0; 200];
        report[80..144].copy_from_slice(&[7; 64]);
        assert!(speaks_of(&report, 80, &[7; 64]).is_ok());
        assert!(speaks_of(&report, 81, &[7; 64]).is_err());
        assert!(speaks_of(&report, 137, &[7; 64]).is_err());
        assert!(speaks_of(&report, usize::MAX - 64, &[7; 64]).is_err());
    }
}
