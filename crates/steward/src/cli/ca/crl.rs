// SPDX-License-Identifier: Apache-2.0

//! `steward ca crl`

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use chassis::clock::Clock;
use chassis::durable;
use types::limits;

use super::{CA_FILE_BYTES_MAX, List, Stop, read};
use crate::authority::directory;
use crate::authority::{Authority, crl};
use crate::log::verify::{self, Expected};

/// Makes the next revocation list of a CA in the directory `dir`.
pub(super) fn next(dir: &Path, options: &List) -> Result<String, Stop> {
    let now = Clock::System.now();
    let pem = read(&options.ca_cert, CA_FILE_BYTES_MAX)?;
    let signer = options.ca_key.open()?;
    let authority = Authority::new(&pem, signer, now).with_context(|| {
        format!("the CA of {} and {} cannot be used", options.ca_cert.display(), options.ca_key)
    })?;
    let serials =
        options.revoke.iter().map(|text| crl::serial(text)).collect::<Result<Vec<_>, _>>()?;
    if let Some(log) = &options.issuance_log {
        issued(log, &options.revoke)?;
    }
    let path = dir.join(format!("{}.crl", hex::encode(authority.key_id())));
    let before = match path.try_exists() {
        Ok(false) => None,
        _ => Some(read(&path, limits::CRL_BYTES_MAX as u64)?),
    };
    let der = crl::next(&authority, before.as_deref(), &serials, now, options.hours)
        .with_context(|| path.display().to_string())?;
    directory::make(dir)
        .and_then(|()| durable::write(&path, &der, 0o644))
        .map_err(|error| Stop::Failed(format!("cannot write {}: {error}", path.display())))?;
    let issuer = authority.chain().first().map(Vec::as_slice).unwrap_or_default();
    let made = crl::read(&der, issuer, now)?;
    if options.json {
        let made = serde_json::json!({
            "list": path,
            "number": made.number,
            "revoked": made.revoked(),
            "not_after": made.next_update,
        });
        return Ok(made.to_string());
    }
    Ok(format!(
        "Made a revocation list, valid until {}.\n\n  list     {}\n  revoked  {}\n\nNext: send SIGHUP to Steward, and make the next list in time.",
        made.next_update,
        path.display(),
        made.revoked()
    ))
}

/// Checks that the log knows what is to be revoked: a slip of the pen would revoke nothing.
fn issued(log: &Path, serials: &[String]) -> Result<(), Stop> {
    let mut missing: BTreeSet<String> = serials.iter().map(|s| s.to_ascii_lowercase()).collect();
    verify::read(log, Expected::default(), |entry, _| {
        missing.remove(&entry.issued.serial);
        Ok(())
    })?;
    match missing.pop_first() {
        None => Ok(()),
        Some(serial) => {
            Err(anyhow!("no certificate {serial} is in the log {}", log.display()).into())
        }
    }
}
