// SPDX-License-Identifier: Apache-2.0

//! From the rules of `Enarx.toml` to TLS configurations that enforce them.

use std::fmt;
use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use types::config::{Config, IncomingRule, OutgoingRule};
use types::peer::Peer;

use crate::clock::Clock;
use crate::identity::Identity;
use crate::net::connection::OUTBOX_BYTES;
use crate::net::error::{NetError, NetErrorKind};

/// What TLS needs, for all rules.
pub(crate) struct Policy {
    certificate: Arc<SingleCertAndKey>,
    clock: Clock,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").finish_non_exhaustive()
    }
}

/// TLS for the connections of one listener.
pub(crate) struct ServerTls {
    config: Arc<ServerConfig>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

/// TLS for one connection to a server.
pub(crate) struct ClientTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Policy {
    /// # Errors
    /// [`NetErrorKind::Tls`] if the identity or the anchors cannot be used.
    pub(crate) fn new(_config: &Config, identity: &Identity, clock: &Clock) -> Result<Self, NetError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key().pkcs8_der().to_vec()));
        let key = provider.key_provider.load_private_key(key).map_err(|error| unusable(&error))?;
        let chain = identity.chain().iter().map(|der| CertificateDer::from(der.clone())).collect();
        let certificate = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
        Ok(Self { certificate, clock: clock.clone(), provider })
    }

    /// TLS for those who connect under `rule`.
    pub(crate) fn server(&self, _rule: &IncomingRule) -> Result<ServerTls, NetError> {
        let mut config =
            ServerConfig::builder_with_details(Arc::clone(&self.provider), Arc::new(KeepTime(self.clock.clone())))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .map_err(|error| unusable(&error))?
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(&self.certificate) as _);
        // Each connection proves anew who is there: nothing is resumed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(ServerTls { config: Arc::new(config) })
    }

    /// TLS for connecting to `host` under `rule`.
    pub(crate) fn client(&self, _rule: &OutgoingRule, host: &str) -> Result<ClientTls, NetError> {
        let roots = rustls::RootCertStore::empty();
        let mut config =
            ClientConfig::builder_with_details(Arc::clone(&self.provider), Arc::new(KeepTime(self.clock.clone())))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .map_err(|error| unusable(&error))?
                .with_root_certificates(roots)
                .with_client_cert_resolver(Arc::clone(&self.certificate) as _);
        config.resumption = Resumption::disabled();
        Ok(ClientTls { config: Arc::new(config), name: server_name(host)? })
    }

    /// Who the server is, after its handshake.
    pub(crate) fn server_peer(&self, _rule: &OutgoingRule, _chain: Option<&[CertificateDer<'_>]>) -> Peer {
        Peer::Anonymous
    }
}

impl ServerTls {
    pub(crate) fn begin(&self) -> Result<ServerConnection, rustls::Error> {
        ServerConnection::new(Arc::clone(&self.config))
    }

    /// Who the client is, after its handshake.
    pub(crate) fn peer(&self, _chain: Option<&[CertificateDer<'_>]>) -> Peer {
        Peer::Anonymous
    }
}

impl ClientTls {
    /// The handshake, over a socket that may block, until `until`.
    pub(crate) fn handshake(self, mut socket: &TcpStream, until: Instant) -> Result<ClientConnection, String> {
        let mut tls = ClientConnection::new(self.config, self.name).map_err(|error| refusal(&error))?;
        tls.set_buffer_limit(Some(OUTBOX_BYTES));
        let late = || "the server did not finish the TLS handshake in time".to_owned();
        let gone = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => late(),
            _ => format!("the connection broke during the TLS handshake: {error}"),
        };
        while tls.is_handshaking() || tls.wants_write() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(late());
            }
            socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).map_err(gone)?;
            socket.set_write_timeout(Some(left.max(Duration::from_millis(1)))).map_err(gone)?;
            if tls.wants_write() {
                tls.write_tls(&mut socket).map_err(gone)?;
                continue;
            }
            match tls.read_tls(&mut socket) {
                Ok(0) => return Err("the server closed the connection during the TLS handshake".to_owned()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(gone(error)),
            }
            if let Err(error) = tls.process_new_packets() {
                // The alert that tells the server why; it may no longer listen.
                while matches!(tls.write_tls(&mut socket), Ok(count) if count > 0) {}
                return Err(refusal(&error));
            }
        }
        Ok(tls)
    }
}

/// The Keep's clock for rustls.
#[derive(Debug)]
struct KeepTime(Clock);

impl TimeProvider for KeepTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.now().0)))
    }
}

/// `host` as TLS wants it.
fn server_name(host: &str) -> Result<ServerName<'static>, NetError> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(ServerName::IpAddress(address.into()));
    }
    ServerName::try_from(bare.to_owned())
        .map_err(|_| NetError::new(NetErrorKind::Resolve, format!("`{host}` is no host name")))
}

/// The reason of a failed handshake, in words.
pub(crate) fn refusal(error: &rustls::Error) -> String {
    use rustls::{CertificateError, Error};
    match error {
        Error::NoCertificatesPresented => "it shows no certificate, and an attested one is required".to_owned(),
        Error::InvalidCertificate(CertificateError::Other(other)) => other.0.to_string(),
        other => other.to_string(),
    }
}

fn unusable(error: &rustls::Error) -> NetError {
    NetError::new(NetErrorKind::Tls, format!("TLS cannot be set up: {error}"))
}
