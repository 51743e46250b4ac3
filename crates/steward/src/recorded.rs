// SPDX-License-Identifier: Apache-2.0

//! Recorded evidence: files on disk that a policy can be tried on.
//!
//! | what | is |
//! |---|---|
//! | `*.csr` | a certification request, DER |
//! | a directory with `report.bin`, `vek.der` and perhaps `*.crl` | SEV-SNP evidence |
//!
//! A `facts.toml` in a directory may say what to expect: `[[verdict]]` with `at` (RFC 3339), `policy` (a name) and `expect`
//! (`accept` or `reject`).

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use evidence::snp::Endorsements;
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
    let (report, vek) = (dir.join("report.bin"), dir.join("vek.der"));
    if !report.is_file() || !vek.is_file() || dir.join("hcl_report.bin").exists() {
        return Ok(None);
    }
    let mut crls = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "crl") && crls.len() < limits::CRLS_MAX {
            let url = entry.file_name().to_string_lossy().into_owned();
            crls.push((url, file(&path)?));
        }
    }
    crls.sort();
    let endorsements = Endorsements { vcek: file(&vek)?, crls, asvk: None }
        .to_der()
        .map_err(|error| Unreadable(dir.to_owned(), error.to_string()))?;
    Ok(Some(Evidence { kind: Kind::Snp, statement: file(&report)?, claims: None, endorsements }))
}
