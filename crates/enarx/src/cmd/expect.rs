// SPDX-License-Identifier: Apache-2.0

//! What `enarx verify` and `enarx proxy` ask of a server: whom to believe, and what to expect.

use std::path::{Path, PathBuf};

use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use types::limits;
use verify::{Anchors, Expectation, Refusal, Requirements, Unmet};

use crate::failure::{Context as _, Failure};
use crate::files;

/// Flags of the commands that judge a server.
#[derive(Clone, Debug, Args)]
pub struct ExpectArgs {
    /// PEM file with the root of the Steward that you trust
    #[arg(long, value_name = "FILE", env = "ENARX_CA")]
    pub ca: PathBuf,
    /// File with revocation lists, PEM or DER: what is on one is refused (may be repeated)
    #[arg(long, value_name = "FILE", env = "ENARX_CRL", value_delimiter = ',')]
    pub crl: Vec<PathBuf>,
    /// What the certificate has to prove: workload, digest, tee, tier, measurement, signer, policy or max-age. May be repeated: of
    /// those with one key any will do, and every key that is there has to hold
    #[arg(long, value_name = "KEY=VALUE", env = "ENARX_EXPECT", value_delimiter = '\n')]
    pub expect: Vec<Expectation>,
    /// Accept simulated silicon, which proves nothing (for development)
    #[arg(long, env = "ENARX_INSECURE_ALLOW_SIMULATED")]
    pub insecure_allow_simulated: bool,
}

impl ExpectArgs {
    /// Whom to believe.
    ///
    /// # Errors
    /// If the file cannot be read, or has no certificate of an authority.
    pub fn anchors(&self) -> Result<Anchors, Failure> {
        let next = |failure: Failure| failure.next("name the Steward's root with --ca (ENARX_CA)");
        let roots = certificates(&self.ca).map_err(next)?;
        let mut anchors = Anchors::from_roots(roots).map_err(|error| {
            next(Failure::new(format!("cannot trust {}", self.ca.display())).why(error))
        })?;
        for path in &self.crl {
            let bytes = files::read_bounded(path, limits::POLICY_BYTES_MAX)?;
            let what = format!("cannot use the revocation lists in {}", path.display());
            anchors
                .crls
                .add(&bytes)
                .context(what)
                .map_err(|f| f.next("check --crl (ENARX_CRL)"))?;
        }
        Ok(anchors)
    }

    /// What to expect.
    pub fn requirements(&self) -> Requirements {
        Requirements {
            allow_simulated: self.insecure_allow_simulated,
            expected: self.expect.clone(),
            ..Requirements::default()
        }
    }
}

/// What to do after a refusal.
pub fn next(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Requirement(Unmet::Simulated) => {
            "do not send it anything secret; --insecure-allow-simulated accepts it for development"
        }
        Refusal::Requirement(Unmet::Warning(_)) => {
            "do not talk to this server; --expect tier=warning accepts it as it is"
        }
        Refusal::Requirement(Unmet::Expected { .. }) => {
            "do not talk to this server, or change what you expect of it"
        }
        other => other.hint(),
    }
}

/// All certificates of a PEM file.
///
/// # Errors
/// If it cannot be read or has none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    certificates_in(&files::read_bounded(path, limits::POLICY_BYTES_MAX)?, &path.display())
}

/// All certificates of a text in PEM that was found at `place`.
///
/// # Errors
/// If there is none.
pub fn certificates_in(
    text: &[u8],
    place: &dyn std::fmt::Display,
) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let failure = || Failure::new(format!("cannot read the certificates in {place}"));
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| failure().why(error))?;
    if found.is_empty() {
        let failure = failure().why("it has none in PEM");
        return Err(match text.first() {
            // A SEQUENCE: most likely one certificate in DER.
            Some(0x30) => failure.next("turn DER into PEM: openssl x509 -inform der -in FILE"),
            _ => failure.next("wanted blocks that begin with -----BEGIN CERTIFICATE-----"),
        });
    }
    Ok(found)
}
