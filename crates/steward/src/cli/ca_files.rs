// SPDX-License-Identifier: Apache-2.0

//! `steward serve`: the files of the CA, read at the start and on SIGHUP.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use chassis::clock::Clock;
use types::limits;
use types::time::Timestamp;

use super::ca::{CA_FILE_BYTES_MAX, read};
use crate::authority::directory::Directory;
use crate::authority::{Authority, KeySource, crl, inspect};
use crate::certificate::LIFETIME_SECONDS_MAX;
use crate::published::{Files, Known};

/// Where the CA is.
pub(super) struct CaFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: KeySource,
    /// Directory of revocation lists.
    pub(super) lists: Option<PathBuf>,
    pub(super) clock: Clock,
}

impl CaFiles {
    /// The CA, and what is published about it and those before it.
    pub(super) fn read(&self) -> anyhow::Result<(Authority, Known)> {
        let path = &self.certificate;
        let chain = read(path, CA_FILE_BYTES_MAX).context("the CA certificate")?;
        let signer = self.key.open()?;
        let now = self.clock.now();
        let authority = Authority::new(&chain, signer, now).with_context(|| {
            format!("the CA of {} and {} cannot be used", path.display(), self.key)
        })?;
        let (key_id, not_after) = (hex::encode(authority.key_id()), authority.not_after());
        let mut known = self.before(now);
        known.insert(
            key_id.clone(),
            Files {
                certificate: authority.chain().first().cloned().unwrap_or_default(),
                list: None,
            },
        );
        let authority = match &self.lists {
            Some(dir) => {
                lists(dir, &key_id, &mut known, now)?;
                authority.naming_list()
            }
            None => authority,
        };
        tracing::info!(ca_key_id = key_id, ca_not_after = %not_after, "the CA is read");
        if not_after < now.plus(LIFETIME_SECONDS_MAX) {
            tracing::warn!(ca_not_after = %not_after, "the CA ends soon, and no certificate outlives it; see: steward ca rotate");
        }
        Ok((authority, known))
    }

    /// The certificates of intermediates that were in service before, and are valid, if the directory of the CA has them.
    fn before(&self, now: Timestamp) -> Known {
        let Some(dir) = self.certificate.parent() else { return Known::new() };
        let certificates = Directory::new(dir).certificates().into_iter();
        certificates
            .filter_map(|path| {
                let found = inspect(&read(&path, CA_FILE_BYTES_MAX).ok()?).ok()?;
                let valid = found.not_after > now;
                valid
                    .then_some((found.subject_key_id, Files { certificate: found.der, list: None }))
            })
            .collect()
    }
}

/// Adds the revocation lists in `dir` of those who are known. The one in service must have one.
fn lists(dir: &Path, current: &str, known: &mut Known, now: Timestamp) -> anyhow::Result<()> {
    for (key_id, files) in known {
        let path = dir.join(format!("{key_id}.crl"));
        if fs::symlink_metadata(&path).is_err() {
            if key_id == current {
                return Err(anyhow!(
                    "the CA has no revocation list {}; make one: steward ca crl {} --ca-cert … --ca-key …",
                    path.display(),
                    dir.display()
                ));
            }
            tracing::warn!(list = %path.display(), "a CA that was in service before has no revocation list");
            continue;
        }
        let der = read(&path, limits::CRL_BYTES_MAX as u64)?;
        let checked = crl::read(&der, &files.certificate, now)
            .with_context(|| format!("the revocation list {} cannot be used", path.display()));
        match checked {
            Ok(list) => tracing::info!(
                ca_key_id = key_id,
                number = list.number,
                revoked = list.revoked(),
                next_update = %list.next_update,
                "a revocation list is read"
            ),
            Err(error) if key_id == current => return Err(error),
            // Somebody who asks for it is told that there is none, and decides.
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "it is not published");
                continue;
            }
        }
        files.list = Some(der);
    }
    Ok(())
}
