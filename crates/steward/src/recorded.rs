// SPDX-License-Identifier: Apache-2.0

//! Recorded evidence: files on disk that a policy can be tried on.
//!
//! | what | is |
//! |---|---|
//! | `*.csr` | a certification request, DER |
//! | a directory with `report.bin`, `vek.der` and perhaps `*.crl`, `ica.der` | SEV-SNP evidence |
//! | one with `quote.bin`, `tcb_info.json`, `qe_identity.json`, `*_issuer_chain.pem`, `*.crl` | SGX or TDX evidence |
//! | one with `doc.cbor` | a document of AWS Nitro Enclaves |
//! | one with `token.cbor` | a token of Arm CCA |
//! | one with `hcl_report.bin`, `tpm_quote.msg`, `tpm_quote.sig`, `pcrs.bin`, and what its hardware needs | Azure's virtual TPM |
//!
//! A `facts.toml` in a directory may say what to expect: `[[verdict]]` with `at` (RFC 3339), `policy` (a name) and `expect`
//! (`accept` or `reject`).

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use evidence::intel::Collateral;
use evidence::snp::Endorsements;
use evidence::vtpm::Bundle;
use evidence::{Evidence, Kind};
use serde::Deserialize;
use types::limits;
use types::time::Timestamp;

/// Deepest nesting of directories.
const DEPTH_MAX: usize = 8;
/// Most cases.
const CASES_MAX: usize = 10_000;
/// Largest file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Something to judge.
#[derive(Debug)]
pub enum Subject {
    /// A certification request, DER.
    Request(Vec<u8>),
    /// Evidence without claims.
    Evidence(Evidence),
}

/// What is to be expected of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// When it is judged.
    pub at: Timestamp,
    /// Name of the policy.
    pub policy: String,
    /// Whether it is to be accepted.
    pub accept: bool,
}

/// Recorded evidence, with what is said about it.
#[derive(Debug)]
pub struct Case {
    /// Path below the directory that was read.
    pub name: String,
    /// What to judge.
    pub subject: Subject,
    /// What to expect.
    pub verdicts: Vec<Verdict>,
}

/// A file that cannot be read, or is not what its name says.
#[derive(Debug)]
pub struct Unreadable(PathBuf, String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}: {}", self.0.display(), self.1)
    }
}

impl std::error::Error for Unreadable {}

#[derive(Deserialize)]
struct Facts {
    #[serde(default)]
    verdict: Vec<FactsVerdict>,
}

#[derive(Deserialize)]
struct FactsVerdict {
    at: Timestamp,
    policy: String,
    expect: String,
}

/// Reads all cases below `dir`, in the order of their names.
///
/// # Errors
/// [`Unreadable`]; also too many files, or directories nested too deep.
pub fn read(dir: &Path) -> Result<Vec<Case>, Unreadable> {
    let mut cases = Vec::new();
    walk(dir, dir, 0, &mut cases)?;
    cases.sort_by(|a: &Case, b| a.name.cmp(&b.name));
    Ok(cases)
}

fn walk(top: &Path, dir: &Path, depth: usize, cases: &mut Vec<Case>) -> Result<(), Unreadable> {
    let wrong = |what: &dyn fmt::Display| Unreadable(dir.to_owned(), what.to_string());
    if depth > DEPTH_MAX {
        return Err(wrong(&"directories are nested too deep"));
    }
    let name = |path: &Path| path.strip_prefix(top).unwrap_or(path).display().to_string();
    let mut entries = fs::read_dir(dir)
        .and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>())
        .map_err(|error| wrong(&error))?;
    entries.sort();
    let verdicts = verdicts(dir)?;
    if let Some(evidence) = evidence(dir)? {
        let subject = Subject::Evidence(evidence);
        cases.push(Case { name: name(dir), subject, verdicts: verdicts.clone() });
    }
    for path in entries {
        if cases.len() >= CASES_MAX {
            return Err(wrong(&"there are more than 10,000 cases"));
        }
        if path.is_dir() {
            walk(top, &path, depth + 1, cases)?;
        } else if path.extension().is_some_and(|extension| extension == "csr") {
            let subject = Subject::Request(file(&path)?);
            cases.push(Case { name: name(&path), subject, verdicts: verdicts.clone() });
        }
    }
    Ok(())
}

fn file(path: &Path) -> Result<Vec<u8>, Unreadable> {
    let wrong = |what: String| Unreadable(path.to_owned(), what);
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong("it is larger than 1 MiB".to_owned()));
    }
    Ok(bytes)
}

fn verdicts(dir: &Path) -> Result<Vec<Verdict>, Unreadable> {
    let path = dir.join("facts.toml");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let wrong = |what: String| Unreadable(path.clone(), what);
    let text = String::from_utf8(file(&path)?).map_err(|_| wrong("it is no text".to_owned()))?;
    let facts: Facts = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    facts
        .verdict
        .into_iter()
        .map(|verdict| match verdict.expect.as_str() {
            "accept" | "reject" => Ok(Verdict {
                at: verdict.at,
                policy: verdict.policy,
                accept: verdict.expect == "accept",
            }),
            other => Err(wrong(format!("a verdict is neither accept nor reject, but {other}"))),
        })
        .collect()
}

/// The evidence that the files of a directory are, if they are any.
fn evidence(dir: &Path) -> Result<Option<Evidence>, Unreadable> {
    let has = |name: &str| dir.join(name).is_file();
    let of = |kind, statement, endorsements| {
        Ok(Some(Evidence { kind, statement, claims: None, endorsements }))
    };
    if has("hcl_report.bin") && has("tpm_quote.msg") {
        let tdx = has("td_quote.bin");
        let kind = if tdx { Kind::AzureTdx } else { Kind::AzureSnp };
        let endorsements = if tdx { collateral(dir)? } else { snp_endorsements(dir)? };
        of(kind, azure(dir)?.to_bytes(), endorsements)
    } else if has("report.bin") && has("vek.der") {
        of(Kind::Snp, file(&dir.join("report.bin"))?, snp_endorsements(dir)?)
    } else if has("quote.bin") {
        let quote = file(&dir.join("quote.bin"))?;
        let kind = Kind::of_quote(&quote)
            .ok_or_else(|| Unreadable(dir.join("quote.bin"), "it is no quote".to_owned()))?;
        of(kind, quote, collateral(dir)?)
    } else if has("doc.cbor") {
        of(Kind::Nitro, file(&dir.join("doc.cbor"))?, Vec::new())
    } else if has("token.cbor") {
        of(Kind::Cca, file(&dir.join("token.cbor"))?, Vec::new())
    } else {
        Ok(None)
    }
}

/// A file, or nothing if it is not there.
fn optional(path: &Path) -> Result<Option<Vec<u8>>, Unreadable> {
    if path.is_file() { file(path).map(Some) } else { Ok(None) }
}

/// Contents of the revocation lists in a directory, with their file names.
fn crls(dir: &Path) -> Result<Vec<(String, Vec<u8>)>, Unreadable> {
    let mut crls = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "crl") && crls.len() < limits::CRLS_MAX {
            crls.push((entry.file_name().to_string_lossy().into_owned(), file(&path)?));
        }
    }
    crls.sort();
    Ok(crls)
}

fn snp_endorsements(dir: &Path) -> Result<Vec<u8>, Unreadable> {
    // The authority above a provider's key travels with it; the one above a chip's key is built in.
    let above = optional(&dir.join("ica.der"))?;
    let asvk = above.filter(|der| der.windows(8).any(|name| name == b"SEV-VLEK"));
    let endorsements = Endorsements { vcek: file(&dir.join("vek.der"))?, crls: crls(dir)?, asvk };
    endorsements.to_der().map_err(|error| Unreadable(dir.to_owned(), error.to_string()))
}

fn collateral(dir: &Path) -> Result<Vec<u8>, Unreadable> {
    let text = |name: &str| {
        let path = dir.join(name);
        let Some(bytes) = optional(&path)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|_| Unreadable(path, "it is no text".to_owned()))
    };
    let collateral = Collateral {
        crls: crls(dir)?.into_iter().map(|(_, crl)| crl).collect(),
        tcb_info: text("tcb_info.json")?,
        qe_identity: text("qe_identity.json")?,
        tcb_info_chain: text("tcb_info_issuer_chain.pem")?,
        qe_identity_chain: text("qe_identity_issuer_chain.pem")?,
        pck_chain: text("pck_chain.pem")?,
    };
    Ok(collateral.to_bytes())
}

fn azure(dir: &Path) -> Result<Bundle, Unreadable> {
    let values = file(&dir.join("pcrs.bin"))?;
    let pcrs = (0..)
        .zip(values.chunks_exact(32))
        .filter_map(|(index, pcr)| Some((index, pcr.try_into().ok()?)));
    let mut certificates = Vec::new();
    for name in ["ak_cert.pem", "ak_intermediates.pem"] {
        let path = dir.join(name);
        let wrong = |_| Unreadable(path.clone(), "it holds no certificates in PEM".to_owned());
        let Some(pem) = optional(&path)? else { continue };
        for certificate in x509_cert::Certificate::load_pem_chain(&pem).map_err(wrong)? {
            certificates.push(der::Encode::to_der(&certificate).map_err(wrong)?);
        }
    }
    Ok(Bundle {
        certificates,
        hcl: file(&dir.join("hcl_report.bin"))?,
        message: file(&dir.join("tpm_quote.msg"))?,
        pcrs: pcrs.collect(),
        quote: optional(&dir.join("td_quote.bin"))?.unwrap_or_default(),
        signature: file(&dir.join("tpm_quote.sig"))?,
    })
}
