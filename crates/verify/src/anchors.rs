// SPDX-License-Identifier: Apache-2.0

//! Whom a relying party believes.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use types::config::RootPin;
use types::digest::Sha256;
use types::limits;
use types::time::Timestamp;

use crate::VerifyError;
use crate::path::{Crls, Issuer};

/// Roots of Stewards.
#[derive(Clone, Debug, Default)]
pub struct Anchors {
    /// Certificates of authorities.
    pub roots: Vec<CertificateDer<'static>>,
    /// SHA-256 of self-signed certificates of authorities (DER). One counts where the peer sends that certificate along in its chain.
    pub fingerprints: Vec<Sha256>,
    /// Revocation lists of these authorities, or of those below them.
    pub crls: Crls,
}

/// An anchor that can serve now.
#[derive(Debug)]
pub(crate) struct Usable<'a> {
    pub(crate) anchor: TrustAnchor<'a>,
    /// Most authorities that may stand between it and the leaf's issuer, that one included.
    pub(crate) path_length: Option<u8>,
    /// Whether it may sign revocation lists.
    pub(crate) signs_lists: bool,
}

impl Anchors {
    /// Anchors out of PEM, any number of certificates; blocks of another kind are skipped.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`]: broken PEM, no certificate, one that is larger than 16 KiB, or one of no authority.
    pub fn from_pem(pem: &str) -> Result<Self, VerifyError> {
        Self::from_roots(certificates_from_pem(pem)?)
    }

    /// These anchors, each a certificate (DER).
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] if one is of no authority.
    pub fn from_roots(roots: Vec<CertificateDer<'static>>) -> Result<Self, VerifyError> {
        for root in &roots {
            Issuer::read(root).map_err(VerifyError::Malformed)?;
        }
        Ok(Self { roots, ..Self::default() })
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
    pub const fn is_empty(&self) -> bool {
        self.roots.is_empty() && self.fingerprints.is_empty()
    }

    /// The certificates that serve as anchors for this chain at `now`: authorities, and valid.
    pub(crate) fn for_chain<'a>(
        &'a self,
        chain: &'a [CertificateDer<'a>],
        now: Timestamp,
    ) -> Result<Vec<Usable<'a>>, VerifyError> {
        if self.is_empty() {
            return Err(VerifyError::NoAnchor("nobody is trusted to vouch for Keeps"));
        }
        // The leaf itself is never an anchor.
        let sent = chain.iter().skip(1).filter(|c| self.fingerprints.contains(&Sha256::of(c)));
        let mut why = "the pinned root is not in the chain that the peer sent";
        let mut usable = Vec::new();
        for (certificate, pinned) in
            self.roots.iter().map(|c| (c, false)).chain(sent.map(|c| (c, true)))
        {
            let Ok(issuer) = Issuer::read(certificate) else {
                why = "what is named as a root is no certificate of an authority";
                continue;
            };
            if pinned && !issuer.self_issued {
                why =
                    "what is pinned by its fingerprint is no root, but issued by another authority";
                continue;
            }
            if !issuer.valid_at(now) {
                why = "the root is not valid at this time";
                continue;
            }
            match webpki::anchor_from_trusted_cert(certificate) {
                Ok(anchor) => {
                    let Issuer { path_length, signs_lists, .. } = issuer;
                    usable.push(Usable { anchor, path_length, signs_lists });
                }
                Err(_) => why = "what is named as a root is no certificate of an authority",
            }
        }
        if usable.is_empty() { Err(VerifyError::NoAnchor(why)) } else { Ok(usable) }
    }
}

/// All certificates of a PEM text; at least one.
pub(crate) fn certificates_from_pem(
    pem: &str,
) -> Result<Vec<CertificateDer<'static>>, VerifyError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| VerifyError::Malformed(format!("not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(VerifyError::Malformed("the PEM text holds no certificate".to_owned()));
    }
    if certificates.iter().any(|c| c.len() > limits::CERTIFICATE_BYTES_MAX) {
        return Err(VerifyError::Malformed(
            "a certificate in the PEM text is too large".to_owned(),
        ));
    }
    Ok(certificates)
}
