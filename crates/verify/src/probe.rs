// SPDX-License-Identifier: Apache-2.0

//! Asking a server who it is, without saying anything to it.

use std::io;
use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use types::limits;
use types::time::Timestamp;

use crate::path::algorithms;
use crate::tls::handshake_signatures;
use crate::{Anchors, Identity, Usage, VerifyError, identify, provider};

/// How long connecting to one address may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// What a server showed, and what it proves.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Its certificates, its own first. It holds the key of that one.
    pub chain: Vec<CertificateDer<'static>>,
    /// What they prove.
    pub identity: Result<Identity, VerifyError>,
    /// Name of the key exchange.
    pub key_exchange: String,
    /// Name of the cipher suite.
    pub cipher: String,
}

/// Makes a TLS 1.3 handshake with the server at `host` (a name or an address, IPv6 with or without brackets), judges what it shows
/// and hangs up. No byte of an application is sent or read.
///
/// # Errors
/// If it cannot be reached, speaks no TLS 1.3, or does not hold the key of the certificate that it shows.
pub fn probe(host: &str, port: u16, anchors: &Anchors, now: Timestamp) -> io::Result<Probe> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let name = match bare.parse::<IpAddr>() {
        Ok(address) => ServerName::IpAddress(address.into()),
        Err(_) => ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?,
    };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Later { algorithms: algorithms() }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut socket = connect(bare, port)?;
    let until = Instant::now() + HANDSHAKE;
    while tls.is_handshaking() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        socket.set_write_timeout(Some(left))?;
        if tls.wants_write() {
            tls.write_tls(&mut socket)?;
        } else if tls.read_tls(&mut socket)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        } else {
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
    let chain: Vec<_> = tls.peer_certificates().unwrap_or_default().to_vec();
    let group = tls.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
    let suite = tls.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    Ok(Probe {
        identity: identify(&chain, anchors, now, Usage::Server),
        chain: chain.into_iter().map(CertificateDer::into_owned).collect(),
        key_exchange: group.unwrap_or_default(),
        cipher: suite.unwrap_or_default(),
    })
}

/// The first address that answers.
fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()?.take(limits::ADDRESSES_MAX) {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Takes any certificate, but insists that the server holds its key: it is judged after the handshake, before anything is said.
/// Private on purpose: there is no other use for it.
#[derive(Debug)]
struct Later {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Later {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    handshake_signatures!(algorithms);
}
