// SPDX-License-Identifier: Apache-2.0

//! The certificates that a server shows, and that it holds their key. Judging them is the caller's part.
//!
//! Nothing is ever sent over such a connection: it ends with the handshake.

use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use types::config::HostPort;

/// How long connecting, and each step of the handshake, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that was asked for its certificates.
#[derive(Clone, Debug)]
pub struct Peek {
    /// What it showed, its own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Name of the key exchange.
    pub key_exchange: String,
    /// Name of the cipher suite.
    pub cipher: String,
}

/// Takes any certificate, but insists that the server holds its key: the certificates are judged after the handshake, before anything
/// is said.
struct Collect(Arc<CryptoProvider>);

impl fmt::Debug for Collect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collect")
    }
}

impl ServerCertVerifier for Collect {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 is required".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Makes a TLS 1.3 handshake with the server at `place` (port 443 unless it names one).
///
/// # Errors
/// If it cannot be reached, speaks no TLS 1.3, or does not hold the key of the certificate that it shows.
pub fn peek(place: &HostPort) -> io::Result<Peek> {
    let provider = verify::provider();
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Collect(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(place.host.clone()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = connect(&place.host, place.port.unwrap_or(443))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    let chain = connection.peer_certificates().unwrap_or_default().iter().map(|der| der.clone().into_owned()).collect();
    let key_exchange = connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name())).unwrap_or_default();
    let cipher = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default();
    connection.send_close_notify();
    // The server may have closed already; all that was wanted is known.
    let _ = connection.complete_io(&mut stream);
    Ok(Peek { chain, key_exchange, cipher })
}

/// Connects to the first address that answers.
///
/// # Errors
/// If none does.
pub fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
