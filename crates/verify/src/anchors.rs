// SPDX-License-Identifier: Apache-2.0

//! Whom a relying party believes.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use types::config::RootPin;
use types::digest::Sha256;
use types::time::Timestamp;

use crate::VerifyError;
use crate::identity::valid_at;

/// Roots of Stewards.
#[derive(Clone, Debug, Default)]
pub struct Anchors {
    /// Certificates.
    pub roots: Vec<CertificateDer<'static>>,
    /// SHA-256 of certificates (DER). One counts where the peer sends that certificate along in its chain.
    pub fingerprints: Vec<Sha256>,
}

impl Anchors {
    /// Anchors out of PEM, any number of certificates; other PEM blocks are errors.
    ///
    /// # Errors
    /// Text that is no PEM, or holds no certificate.
    pub fn from_pem(pem: &str) -> Result<Self, VerifyError> {
        let roots = certificates_from_pem(pem)?;
        Ok(Self { roots, fingerprints: Vec::new() })
    }

    /// Anchors as a workload's configuration names them.
    pub fn from_pins(pins: &[RootPin]) -> Self {
        let mut anchors = Self::default();
        for pin in pins {
            match pin {
                RootPin::Fingerprint(fingerprint) => anchors.fingerprints.push(*fingerprint),
                RootPin::Certificate(der) => anchors.roots.push(CertificateDer::from(der.clone())),
            }
        }
        anchors
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty() && self.fingerprints.is_empty()
    }

    /// The certificates that serve as anchors for this chain, valid at `now`.
    pub(crate) fn for_chain<'a>(
        &'a self,
        chain: &'a [CertificateDer<'a>],
        now: Timestamp,
    ) -> Result<Vec<TrustAnchor<'a>>, VerifyError> {
        // The leaf itself is never an anchor.
        let sent = chain.iter().skip(1).filter(|c| self.fingerprints.contains(&Sha256::of(c)));
        let anchors: Vec<_> = self
            .roots
            .iter()
            .chain(sent)
            .filter(|certificate| valid_at(certificate, now))
            .filter_map(|certificate| webpki::anchor_from_trusted_cert(certificate).ok())
            .collect();
        if anchors.is_empty() { Err(VerifyError::NoAnchor) } else { Ok(anchors) }
    }
}

/// All certificates of a PEM text; at least one.
pub(crate) fn certificates_from_pem(pem: &str) -> Result<Vec<CertificateDer<'static>>, VerifyError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| VerifyError::Malformed(format!("not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(VerifyError::Malformed("the PEM text holds no certificate".to_owned()));
    }
    Ok(certificates)
}
