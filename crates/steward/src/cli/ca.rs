// SPDX-License-Identifier: Apache-2.0

//! `steward ca init`

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use chassis::clock::Clock;
use chassis::durable;
use types::digest::Sha256;
use types::time::Timestamp;

use super::{failed, usage};
use crate::authority;

/// How long before now a new root begins unless told otherwise, in seconds: clocks differ.
const SKEW_SECONDS: u64 = 3_600;

/// Makes a root in `dir`; never over one that is there.
pub(super) fn init(dir: &Path, name: &str, not_before: Option<Timestamp>, json: bool) -> ExitCode {
    let (certificate, key) = (dir.join("ca.pem"), dir.join("ca.key"));
    for path in [&certificate, &key] {
        if fs::symlink_metadata(path).is_ok() {
            return usage(&format!(
                "{} is there already and is not overwritten; name another directory, or move it away",
                path.display()
            ));
        }
    }
    let first = not_before.unwrap_or_else(|| Clock::System.now().minus(SKEW_SECONDS));
    let new = match authority::generate(name, first) {
        Ok(new) => new,
        Err(error) => return usage(&error),
    };
    let write = || -> io::Result<()> {
        private_directory(dir)?;
        durable::write_new(&key, new.key_pem.as_bytes(), 0o600)?;
        durable::write_new(&certificate, new.certificate_pem.as_bytes(), 0o644).inspect_err(|_| {
            // A key without certificate would be in the way of the next attempt.
            let _ = fs::remove_file(&key);
        })
    };
    if let Err(error) = write() {
        return failed(&format!("cannot write the CA to {}: {error}", dir.display()));
    }
    let fingerprint = Sha256::of(&new.certificate_der);
    let text = if json {
        serde_json::json!({
            "certificate": certificate,
            "key": key,
            "fingerprint": fingerprint,
            "not_after": new.not_after,
        })
        .to_string()
    } else {
        format!(
            "Made a certificate authority, valid until {}.\n\n  certificate  {}\n  private key  {} (keep it secret)\n  fingerprint  {fingerprint}\n\nNext: steward serve --ca-cert {} --ca-key {} …",
            new.not_after,
            certificate.display(),
            key.display(),
            certificate.display(),
            key.display(),
        )
    };
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// The directory, for its owner only if it is new.
fn private_directory(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}
