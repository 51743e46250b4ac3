// SPDX-License-Identifier: Apache-2.0

//! Verifiers for rustls that demand an identity.
//!
//! A peer is judged inside of the handshake: who does not meet the requirements never sees or sends a byte of the
//! application. After the handshake callers take the peer's chain from rustls and call [`crate::identify`] again for the facts.

use std::sync::Arc;

#[cfg(feature = "https")]
use rustls::RootCertStore;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use types::time::Timestamp;

use crate::path::{algorithms, sensible};
use crate::{Anchors, Refusal, Requirements, Usage, verify_chain};

/// The part of a rustls verifier that is the same for all: signatures of handshakes, by the algorithms in this field.
macro_rules! handshake_signatures {
    ($($field:tt).+) => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            rustls::crypto::verify_tls12_signature(
                message,
                certificate,
                signature,
                &self.$($field).+,
            )
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            rustls::crypto::verify_tls13_signature(
                message,
                certificate,
                signature,
                &self.$($field).+,
            )
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.$($field).+.supported_schemes()
        }
    };
}
pub(crate) use handshake_signatures;

/// What both verifiers share.
#[derive(Debug)]
struct Judge {
    anchors: Anchors,
    requirements: Requirements,
    algorithms: WebPkiSupportedAlgorithms,
}

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
        let chain: Vec<_> = std::iter::once(leaf).chain(issuers).cloned().collect();
        let now = Timestamp(now.as_secs());
        match verify_chain(&chain, &self.anchors, &self.requirements, now, usage) {
            Ok(_) => Ok(()),
            Err(refusal) => {
                let refusal = CertificateError::Other(OtherError(Arc::new(refusal)));
                Err(Error::InvalidCertificate(refusal))
            }
        }
    }
}

/// Why a verifier of this module refused the peer, if it was that what ended the connection with this error.
///
/// Errors of input and output hold the one of rustls: `error.get_ref()?.downcast_ref()`.
pub fn refusal(error: &Error) -> Option<&Refusal> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            inner.downcast_ref()
        }
        _ => None,
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

    handshake_signatures!(judge.algorithms);
}

/// Lets a client in whatever certificate it shows, or none, and makes it prove that it holds that certificate's key.
///
/// Nothing follows from a certificate here. Who the client is, is found out after the handshake by [`crate::verify_chain`], and is
/// nobody unless that says so. Only for servers that let anonymous clients in anyway. Chains that nobody would look at, because
/// they are too long or a certificate is too large, are refused.
#[derive(Debug)]
pub struct UnjudgedClients {
    algorithms: WebPkiSupportedAlgorithms,
}

impl UnjudgedClients {
    /// A verifier that judges nobody.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { algorithms: algorithms() })
    }
}

impl ClientCertVerifier for UnjudgedClients {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if sensible(std::iter::once(end_entity).chain(intermediates)) {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::BadEncoding))
        }
    }

    handshake_signatures!(algorithms);
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

    handshake_signatures!(judge.algorithms);
}

/// The roots of the public Web PKI, as Mozilla has them.
#[cfg(feature = "https")]
pub fn web_pki_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

#[cfg(test)]
mod tests;
