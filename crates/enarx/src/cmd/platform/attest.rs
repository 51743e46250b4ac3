// SPDX-License-Identifier: Apache-2.0

//! `enarx platform attest`: evidence about the confidential virtual machine that this runs in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use evidence::vtpm::Bundle;
use keep::guest::{self, CloudEvidence, GuestError, REPORT_DATA_BYTES, Statement};
use serde_json::{Value, json};

use super::update;
use crate::failure::{Context as _, EXIT_FAILED, Failure, Outcome};
use crate::{files, output};

const EXAMPLES: &str = "\
Examples:
  enarx platform attest --nonce 3f9c…41 --out evidence/
  enarx platform attest --json
  sudo enarx platform attest --source azure-vtpm --out evidence/

For the inside of a confidential virtual machine that a cloud started. The evidence is about the whole machine, kernel
and firmware included. Sources, the best first: configfs-tsm (Linux 6.7), /dev/sev-guest, Azure's virtual TPM; a
TDREPORT of /dev/tdx_guest only if it is named, since no other machine can check one. Most want root. On Azure, 64
bytes of the TPM's memory (index 0x01400002) are overwritten.

Files: report.bin or quote.bin; certificates that the host has (vcek.der, ask.der, …); of Azure hcl_report.bin,
tpm_quote.msg, tpm_quote.sig, pcrs.bin and all of them as one in bundle.cbor (docs/FORMATS.md 3.8).

This was written after the interfaces' documentation and has never run on such hardware; the TPM part is tested
against a software TPM.";

/// Arguments of `enarx platform attest`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AttestArgs {
    /// What the evidence is to be about: exactly 64 bytes, hex [default: 64 random bytes]
    #[arg(long, value_name = "HEX", value_parser = report_data)]
    pub report_data: Option<ReportData>,
    /// The same from a verifier's nonce of 8 to 64 bytes, hex: zeros follow it
    #[arg(long, value_name = "HEX", conflicts_with = "report_data", value_parser = nonce)]
    pub nonce: Option<ReportData>,
    /// Ask there, and nowhere else
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub source: Option<Source>,
    /// Directory to write the files to; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print JSON, with the evidence in base64
    #[arg(long)]
    pub json: bool,
}

/// Where evidence can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// /sys/kernel/config/tsm/report
    ConfigfsTsm,
    /// /dev/sev-guest
    SevGuest,
    /// /dev/tdx_guest
    TdxGuest,
    /// Azure's virtual TPM, /dev/tpmrm0
    AzureVtpm,
}

impl Source {
    const fn kernels(self) -> guest::Source {
        match self {
            Self::ConfigfsTsm => guest::Source::ConfigfsTsm,
            Self::SevGuest => guest::Source::SevGuest,
            Self::TdxGuest => guest::Source::TdxGuest,
            Self::AzureVtpm => guest::Source::AzureVtpm,
        }
    }
}

/// What evidence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportData(pub [u8; REPORT_DATA_BYTES]);

fn report_data(text: &str) -> Result<ReportData, String> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(ReportData).ok_or_else(|| "wanted 128 hex digits".to_owned())
}

fn nonce(text: &str) -> Result<ReportData, String> {
    let mut data = [0; REPORT_DATA_BYTES];
    let bytes = hex::decode(text).ok().filter(|bytes| (8..=64).contains(&bytes.len()));
    let bytes = bytes.ok_or_else(|| "wanted 16 to 128 hex digits".to_owned())?;
    for (to, from) in data.iter_mut().zip(bytes) {
        *to = from;
    }
    Ok(ReportData(data))
}

/// One part of the evidence.
struct Part {
    name: String,
    file: String,
    bytes: Vec<u8>,
}

impl Part {
    fn new(name: &str, file: &str, bytes: &[u8]) -> Self {
        Self { name: name.to_owned(), file: file.to_owned(), bytes: bytes.to_vec() }
    }
}

/// Gets the evidence, shows it, writes it.
///
/// # Errors
/// If there is none, or it cannot be written.
pub fn run(args: &AttestArgs) -> Outcome {
    let data = match args.report_data.or(args.nonce) {
        Some(given) => given.0,
        None => random()?,
    };
    let root = update::root();
    let found = match args.source {
        None => guest::collect(&root, &data),
        Some(source) => guest::collect_from(source.kernels(), &root, &data),
    };
    let found = found.map_err(|error| failure(&error))?;
    let (kind, parts) = parts(&found.statement);
    let mut written = Vec::new();
    if let Some(directory) = &args.out {
        files::make_shared_directory(directory)?;
        for part in &parts {
            let path = directory.join(&part.file);
            files::write_shared(&path, &part.bytes)?;
            written.push(path);
        }
    }
    if args.json {
        output::json(&as_json(&found, kind, &data, &parts, &written))?;
    } else {
        output::data(&table(&found, kind, &data, &parts))?;
    }
    advise(&found.statement, args.out.as_deref());
    Ok(0)
}

fn random() -> Result<[u8; REPORT_DATA_BYTES], Failure> {
    let mut data = [0; REPORT_DATA_BYTES];
    aws_lc_rs::rand::fill(&mut data).map(|()| data).context("cannot make a nonce")
}

fn failure(error: &GuestError) -> Failure {
    let next = match error {
        GuestError::Nothing(_) => {
            "run it inside of a virtual machine of a type that the cloud calls confidential"
        }
        GuestError::File(_, error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            "run it as root, or as a member of the group that owns the device"
        }
        GuestError::Raced => "ask again when the other program is done",
        _ => "--source names another source",
    };
    Failure::new("cannot get evidence about this machine").why(error).next(next).code(EXIT_FAILED)
}

/// The kind of the evidence, and its parts, the statement first.
fn parts(statement: &Statement) -> (&'static str, Vec<Part>) {
    match statement {
        Statement::Snp { report, certificates } => {
            let mut parts = vec![Part::new("report", "report.bin", report)];
            let mut seen = BTreeMap::new();
            for (kind, der) in certificates {
                let count: &mut u32 = seen.entry(kind.to_string()).or_default();
                *count += 1;
                let name = if *count == 1 { kind.to_string() } else { format!("{kind}-{count}") };
                parts.push(Part::new(&name, &format!("{name}.der"), der));
            }
            ("snp", parts)
        }
        Statement::TdxQuote(quote) => ("tdx", vec![Part::new("quote", "quote.bin", quote)]),
        Statement::TdxReport(report) => {
            ("tdx-report", vec![Part::new("td_report", "td_report.bin", report)])
        }
        Statement::Azure(vtpm) => {
            let bundle = Bundle {
                hcl: vtpm.hcl.clone(),
                message: vtpm.message.clone(),
                signature: vtpm.signature.clone(),
                pcrs: vtpm.pcrs.clone(),
                ..Bundle::default()
            };
            let pcrs: Vec<u8> = vtpm.pcrs.values().flatten().copied().collect();
            let mut parts = vec![
                Part::new("bundle", "bundle.cbor", &bundle.to_bytes()),
                Part::new("hcl_report", "hcl_report.bin", &vtpm.hcl),
                Part::new("tpm_quote", "tpm_quote.msg", &vtpm.message),
                Part::new("tpm_signature", "tpm_quote.sig", &vtpm.signature),
                Part::new("pcrs", "pcrs.bin", &pcrs),
            ];
            if let Some(der) = &vtpm.certificate {
                parts.push(Part::new("ak", "ak.der", der));
            }
            (if vtpm.is_snp() { "azure-snp" } else { "azure-tdx" }, parts)
        }
        Statement::Other { blob, .. } => ("other", vec![Part::new("blob", "blob.bin", blob)]),
    }
}

fn provider(statement: &Statement) -> Option<&str> {
    match statement {
        Statement::Other { provider, .. } => Some(provider),
        _ => None,
    }
}

fn as_json(
    found: &CloudEvidence,
    kind: &str,
    data: &[u8],
    parts: &[Part],
    written: &[PathBuf],
) -> Value {
    let parts: BTreeMap<&str, String> =
        parts.iter().map(|part| (part.name.as_str(), STANDARD.encode(&part.bytes))).collect();
    json!({
        "source": found.source.name(), "kind": kind, "provider": provider(&found.statement),
        "report_data": hex::encode(data), "parts": parts, "files": written,
    })
}

fn table(found: &CloudEvidence, kind: &str, data: &[u8], parts: &[Part]) -> String {
    let style = output::stdout_style();
    let mut rows = vec![
        vec![style.dim("source"), found.source.name().to_owned()],
        vec![style.dim("kind"), provider(&found.statement).unwrap_or(kind).to_owned()],
        vec![style.dim("report data"), hex::encode(data)],
    ];
    for part in parts {
        let size = output::bytes(u64::try_from(part.bytes.len()).unwrap_or(u64::MAX));
        rows.push(vec![style.dim(&part.name), format!("{size}, {}", part.file)]);
    }
    output::columns(&rows)
}

/// What is missing, and where it comes from.
fn advise(statement: &Statement, out: Option<&Path>) {
    let next = match statement {
        Statement::Snp { certificates, .. } if certificates.is_empty() => {
            let report = out.unwrap_or_else(|| Path::new("DIR")).join("report.bin");
            format!(
                "the host sent no certificate along: `enarx platform snp vcek --report {}` gets it",
                report.display()
            )
        }
        Statement::TdxReport(_) => {
            "a TDREPORT is checked by the same processor's quoting enclave only".to_owned()
        }
        Statement::Azure(vtpm) if !vtpm.is_snp() => {
            "the quote of the TD is not in it: Azure's metadata service makes that out of the HCL report, and this program does not ask it"
                .to_owned()
        }
        _ => return,
    };
    output::talk(&format!("{}: {next}", output::stderr_style().warn("note")));
}

#[cfg(test)]
mod tests {
    use keep::guest::VtpmEvidence;
    use keep::guest::sev_guest::CertificateKind;

    use super::*;

    #[test]
    fn nonces_are_filled_up_and_report_data_are_whole() {
        let mut wanted = [0; 64];
        wanted[..8].fill(0xab);
        assert_eq!(nonce(&"ab".repeat(8)), Ok(ReportData(wanted)));
        for text in ["", "ab", "zz".repeat(8).as_str(), "ab".repeat(65).as_str()] {
            assert!(nonce(text).is_err());
        }
        assert_eq!(report_data(&"cd".repeat(64)), Ok(ReportData([0xcd; 64])));
        assert!(report_data(&"cd".repeat(63)).is_err());
    }

    #[test]
    fn each_kind_has_its_files() {
        let files = |statement: &Statement| {
            let (kind, parts) = parts(statement);
            let names: Vec<String> = parts.into_iter().map(|part| part.file).collect();
            format!("{kind}: {}", names.join(" "))
        };
        let certificates = vec![
            (CertificateKind::Vcek, vec![1]),
            (CertificateKind::Crl, vec![2]),
            (CertificateKind::Crl, vec![3]),
        ];
        let snp = Statement::Snp { report: vec![0; 1184], certificates };
        assert_eq!(files(&snp), "snp: report.bin vcek.der crl.der crl-2.der");
        assert_eq!(files(&Statement::TdxQuote(vec![])), "tdx: quote.bin");
        assert_eq!(files(&Statement::TdxReport(vec![])), "tdx-report: td_report.bin");
        let azure = Statement::Azure(VtpmEvidence::default());
        let wanted = "azure-tdx: bundle.cbor hcl_report.bin tpm_quote.msg tpm_quote.sig pcrs.bin";
        assert_eq!(files(&azure), wanted);
    }
}
