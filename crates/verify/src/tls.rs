// SPDX-License-Identifier: Apache-2.0

//! Verifiers for rustls that demand an identity.
//!
//! A peer is judged inside of the handshake: who does not meet the requirements never sees or sends a byte of the
//! application. After the handshake callers take the peer's chain from rustls and call [`crate::identify`] again for the facts.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use types::time::Timestamp;

use crate::path::algorithms;
use crate::{Anchors, Requirements, Usage, identify};

/// What both verifiers share.
#[derive(Debug)]
struct Judge {
    anchors: Anchors,
    requirements: Requirements,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Why a peer is refused, as an error inside of rustls: `CertificateError::Other` holds it.
#[derive(Debug)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl Judge {
    fn new(anchors: Anchors, requirements: Requirements) -> Self {
        Self { anchors, requirements, algorithms: algorithms() }
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        now: UnixTime,
        usage: Usage,
    ) -> Result<(), Error> {
        let refuse = |why: String| {
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Refusal(why)))))
        };
        let chain: Vec<_> = std::iter::once(leaf).chain(issuers).cloned().collect();
        let identity = identify(&chain, &self.anchors, Timestamp(now.as_secs()), usage)
            .map_err(|error| refuse(error.to_string()))?;
        self.requirements.check(&identity).map_err(|unmet| refuse(unmet.to_string()))
    }
}

/// Whether a server asks its clients for certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMode {
    /// It asks. Who shows none is anonymous; who shows one that does not verify is refused.
    Request,
    /// It insists.
    Require,
}

/// Judges the clients of a server.
#[derive(Debug)]
pub struct KeepClientVerifier {
    judge: Judge,
    mode: ClientMode,
}

impl KeepClientVerifier {
    /// A verifier of clients. The time is that of the TLS configuration it is used in.
    pub fn new(anchors: Anchors, requirements: Requirements, mode: ClientMode) -> Arc<Self> {
        Arc::new(Self { judge: Judge::new(anchors, requirements), mode })
    }
}

impl ClientCertVerifier for KeepClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mode == ClientMode::Require
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hints: which authorities we trust is nobody's business before they show what they have.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge.judge(end_entity, intermediates, now, Usage::Client)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.judge.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.judge.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.algorithms.supported_schemes()
    }
}

/// Judges a server that must be a Keep. Its host name proves nothing and is not looked at: the identity is.
#[derive(Debug)]
pub struct KeepServerVerifier {
    judge: Judge,
}

impl KeepServerVerifier {
    /// A verifier of servers. The time is that of the TLS configuration it is used in.
    ///
    /// Requirements without rules take *any* Keep of these Stewards: name the workload that is expected.
    pub fn new(anchors: Anchors, requirements: Requirements) -> Arc<Self> {
        Arc::new(Self { judge: Judge::new(anchors, requirements) })
    }
}

impl ServerCertVerifier for KeepServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge.judge(end_entity, intermediates, now, Usage::Server)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.judge.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.judge.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.algorithms.supported_schemes()
    }
}

/// The roots of the public Web PKI, as Mozilla has them.
pub fn web_pki_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

#[cfg(test)]
mod tests;
