// SPDX-License-Identifier: Apache-2.0

//! A workload whose files the host hands over. The digest is computed here, over the very bytes that will run.

use drawbridge_core::package_digest;

use crate::deploy::{Context, Failure, Prepared, Stage, certify, configuration};
use crate::hostlink::{Files, Level};
use crate::identity::Workload;

/// Checks the files, and gets a certificate for their digest if there is a Steward and `attest` says so.
pub(super) fn prepare(
    context: &Context<'_>,
    files: Files,
    args: Vec<String>,
    attest: bool,
) -> Result<Prepared, Failure> {
    let config = configuration(&files, args)?;
    let digest =
        package_digest(files.clone()).map_err(|error| Failure::new(Stage::Config, error))?;
    let identity = match config.steward.as_deref() {
        Some(steward) if attest => {
            let workload = Workload { digest: &digest, named: None };
            Some(certify::certify(context, workload, steward)?.ok_or_else(cannot_attest)?)
        }
        Some(_) => {
            let line =
                "no evidence on this backend, so no certificate: others see this Keep as anonymous";
            context.link.log(Level::Warn, line);
            None
        }
        None => None,
    };
    Ok(Prepared { config, files, digest, identity })
}

/// There is a Steward to convince and nothing to convince it with.
pub(super) fn cannot_attest() -> Failure {
    Failure::new(Stage::Attest, "this backend cannot attest").hint(
        "use a machine with a TEE (`enarx platform info` says what this one lacks); to try things out, \
         --simulate snp makes evidence that proves nothing, and --insecure-no-tee goes on without any",
    )
}
