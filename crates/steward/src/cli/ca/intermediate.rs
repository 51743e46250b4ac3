// SPDX-License-Identifier: Apache-2.0

//! `steward ca intermediate`, `rotate`, `sign` and `install`

use std::path::Path;

use anyhow::{Context as _, anyhow};
use chassis::clock::Clock;
use chassis::durable;
use types::digest::Sha256;
use types::limits;

use super::{CA_FILE_BYTES_MAX, From, Root, Stop, read};
use crate::authority::create::{self, Candidate, NewCertificate};
use crate::authority::directory::{CERTIFICATE, Directory, KEY, ROOT};
use crate::authority::{Authority, KeySource, inspect};

/// Makes the first intermediate of a directory.
pub(super) fn first(dir: &Path, name: &str, from: &From) -> Result<String, Stop> {
    let directory = Directory::new(dir);
    if directory.is_taken() {
        return Err(anyhow!(
            "{} holds a CA already; `steward ca rotate` replaces an intermediate, or name another directory",
            dir.display()
        )
        .into());
    }
    make(&directory, name, from)
}

/// Makes the next intermediate of a directory.
pub(super) fn next(dir: &Path, name: Option<&str>, from: &From) -> Result<String, Stop> {
    let directory = Directory::new(dir);
    let Some(current) = directory.current() else {
        return Err(anyhow!(
            "{} holds no intermediate; `steward ca intermediate` makes the first",
            dir.display()
        )
        .into());
    };
    let path = directory.issuer(&current, CERTIFICATE);
    let name = match name {
        Some(name) => name.to_owned(),
        // One that has expired has a name all the same.
        None => inspect(&read(&path, CA_FILE_BYTES_MAX)?)
            .ok()
            .and_then(|found| found.base_name)
            .ok_or_else(|| anyhow!("{} has no plain common name; give --name", path.display()))?,
    };
    make(&directory, &name, from)
}

fn make(directory: &Directory, name: &str, from: &From) -> Result<String, Stop> {
    // What the root says comes first: nothing is left behind if it says no.
    let root = from.root.as_ref().map(Root::open).transpose()?;
    let (signer, key) = super::key(from.key.as_ref())?;
    let key_id = signer.key_id();
    let failed =
        |error| Stop::Failed(format!("cannot write to {}: {error}", directory.path("").display()));
    let Some((root, first, at)) = root else {
        let request = create::request(name, &signer)?;
        directory.keep_key(&key_id, key.expose()).map_err(failed)?;
        let path = directory.keep_request(&key_id, &request).map_err(failed)?;
        return Ok(requested(directory, &key_id, &path, from.json));
    };
    let days = from.root.as_ref().map_or(create::INTERMEDIATE_DAYS, |root| root.days);
    let made = create::intermediate(&Candidate::new(name, &signer), &root, first, days, at)?;
    directory.keep_key(&key_id, key.expose()).map_err(failed)?;
    let before = directory.current();
    put(directory, &key_id, &made, before, from.json)
}

/// Signs the request in `path`, as the root.
pub(super) fn sign(
    path: &Path,
    name: Option<&str>,
    root: &Root,
    out: Option<&Path>,
) -> Result<String, Stop> {
    let pem = read(path, limits::REQUEST_BYTES_MAX as u64)?;
    let candidate = Candidate::from_request(&pem).with_context(|| path.display().to_string())?;
    let candidate = match name {
        Some(name) => candidate.named(name),
        None => candidate,
    };
    let (authority, first, at) = root.open()?;
    let made = create::intermediate(&candidate, &authority, first, root.days, at)?;
    let Some(out) = out else { return Ok(made.chain_pem) };
    durable::write_new(out, made.chain_pem.as_bytes(), 0o644)
        .map_err(|error| Stop::Failed(format!("cannot write {}: {error}", out.display())))?;
    Ok(format!(
        "Signed an intermediate, valid until {}.\n\n  chain        {}\n  fingerprint  {}\n\nNext, on Steward's machine: steward ca install DIR {}",
        made.not_after,
        out.display(),
        Sha256::of(&made.der),
        out.display()
    ))
}

/// Puts the chain in `path` into service, whose key is in `dir`.
pub(super) fn install(dir: &Path, path: &Path, json: bool) -> Result<String, Stop> {
    let directory = Directory::new(dir);
    let pem = read(path, CA_FILE_BYTES_MAX)?;
    let found = inspect(&pem).with_context(|| path.display().to_string())?;
    let key = directory.issuer(&found.key_id, KEY);
    let signer = KeySource::File(key.clone())
        .open()
        .with_context(|| format!("the key of {} is not in {}", path.display(), dir.display()))?;
    let authority = Authority::new(&pem, signer, Clock::System.now())
        .with_context(|| format!("{} cannot be used", path.display()))?;
    let made = NewCertificate {
        chain_pem: authority.chain_pem()?,
        der: authority.chain().first().cloned().unwrap_or_default(),
        not_after: authority.not_after(),
    };
    let before = directory.current();
    put(&directory, &found.key_id, &made, before, json)
}

/// Puts an intermediate into service, and says so.
fn put(
    directory: &Directory,
    key_id: &str,
    made: &NewCertificate,
    before: Option<String>,
    json: bool,
) -> Result<String, Stop> {
    let root = made.root_pem()?;
    directory.put_into_service(key_id, &made.chain_pem, &root).map_err(|error| {
        Stop::Failed(format!("cannot write to {}: {error}", directory.path("").display()))
    })?;
    let (certificate, key) = (directory.path(CERTIFICATE), directory.path(KEY));
    let fingerprint = Sha256::of(&made.der);
    let before = before.filter(|before| before != key_id);
    if json {
        let made = serde_json::json!({
            "certificate": certificate,
            "key": key,
            "root": directory.path(ROOT),
            "key_id": key_id,
            "previous_key_id": before,
            "fingerprint": fingerprint,
            "not_after": made.not_after,
        });
        return Ok(made.to_string());
    }
    let next = match &before {
        Some(_) => {
            "Next: send SIGHUP to Steward. Certificates of the intermediate before it stay valid."
                .to_owned()
        }
        None => format!(
            "Next: steward serve --ca-cert {} --ca-key {} …",
            certificate.display(),
            key.display()
        ),
    };
    Ok(format!(
        "An intermediate is in service, valid until {}.\n\n  certificate  {} (with those above it)\n  private key  {} (keep it secret)\n  root         {} (what relying parties trust)\n  fingerprint  {fingerprint}\n\n{next}",
        made.not_after,
        certificate.display(),
        key.display(),
        directory.path(ROOT).display(),
    ))
}

fn requested(directory: &Directory, key_id: &str, path: &Path, json: bool) -> String {
    let key = directory.issuer(key_id, KEY);
    if json {
        return serde_json::json!({ "request": path, "key": key, "key_id": key_id }).to_string();
    }
    format!(
        "Made a key and a request for an intermediate.\n\n  request      {}\n  private key  {} (keep it secret)\n\nNext, on the machine of the root: steward ca sign {} --root-cert … --root-key … --out chain.pem\nThen, here: steward ca install {} chain.pem",
        path.display(),
        key.display(),
        path.display(),
        directory.path("").display(),
    )
}
