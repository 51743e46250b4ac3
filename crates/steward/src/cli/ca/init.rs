// SPDX-License-Identifier: Apache-2.0

//! `steward ca init`

use std::fs;
use std::io;
use std::path::Path;

use anyhow::anyhow;
use chassis::clock::Clock;
use chassis::durable;
use types::digest::Sha256;
use types::time::Timestamp;

use super::{SKEW_SECONDS, Stop};
use crate::authority::directory;
use crate::authority::{KeySource, create};

/// Makes a root in `dir`; never over one that is there.
pub(super) fn init(
    dir: &Path,
    name: &str,
    source: Option<&KeySource>,
    not_before: Option<Timestamp>,
    json: bool,
) -> Result<String, Stop> {
    let (certificate, key) = (dir.join("ca.pem"), dir.join("ca.key"));
    for path in [&certificate, &key] {
        if fs::symlink_metadata(path).is_ok() {
            return Err(anyhow!(
                "{} is there already and is not overwritten; name another directory, or move it away",
                path.display()
            )
            .into());
        }
    }
    let first = not_before.unwrap_or_else(|| Clock::System.now().minus(SKEW_SECONDS));
    let (signer, secret) = super::key(source)?;
    let new = create::root(name, &signer, first)?;
    let write = || -> io::Result<()> {
        directory::make(dir)?;
        durable::write_new(&key, secret.expose(), 0o600)?;
        durable::write_new(&certificate, new.chain_pem.as_bytes(), 0o644).inspect_err(|_| {
            // A key without certificate would be in the way of the next attempt.
            let _ = fs::remove_file(&key);
        })
    };
    write().map_err(|error| {
        Stop::Failed(format!("cannot write the CA to {}: {error}", dir.display()))
    })?;
    let fingerprint = Sha256::of(&new.der);
    if json {
        let made = serde_json::json!({
            "certificate": certificate,
            "key": key,
            "fingerprint": fingerprint,
            "not_after": new.not_after,
        });
        return Ok(made.to_string());
    }
    let (not_after, certificate, key) = (new.not_after, certificate.display(), key.display());
    Ok(format!(
        "Made a certificate authority, valid until {not_after}.\n\n  certificate  {certificate}\n  private key  {key} (keep it secret)\n  fingerprint  {fingerprint}\n\nNext, with the root offline: steward ca intermediate DIR --name CN --root-cert {certificate} --root-key {key}\nor, with the root in service: steward serve --ca-cert {certificate} --ca-key {key} …",
    ))
}
