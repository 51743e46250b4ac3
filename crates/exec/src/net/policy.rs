// SPDX-License-Identifier: Apache-2.0

//! From the rules of `Enarx.toml` to TLS configurations that enforce them.

use std::fmt;
use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use types::config::{ClientAuth, Config, IncomingRule, OutgoingRule, OutgoingTrust, PeerRule};
use types::peer::Peer;
use verify::tls::{
    ClientMode, KeepClientVerifier, KeepServerVerifier, UnjudgedClients, web_pki_roots,
};
use verify::{Anchors, Requirements, Usage};

use crate::clock::Clock;
use crate::identity::{Identity, Key};
use crate::net::connection::OUTBOX_BYTES;
use crate::net::error::{NetError, NetErrorKind};

/// What TLS needs, for all rules.
pub(crate) struct Policy {
    anchors: Anchors,
    insecure_simulated: bool,
    /// Made when it is first needed, if the Keep has none: most workloads without one do not speak TLS at all.
    certificate: OnceLock<Arc<SingleCertAndKey>>,
    certified: bool,
    clock: Clock,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").field("anchors", &self.anchors).finish_non_exhaustive()
    }
}

/// Finds out who a peer is, after its handshake.
#[derive(Debug)]
pub(crate) struct Introduction {
    anchors: Anchors,
    requirements: Requirements,
    clock: Clock,
    usage: Usage,
}

impl Introduction {
    /// The peer with this chain. Whoever proves less than the policy demands of a Keep is anonymous.
    pub(crate) fn peer(&self, chain: Option<&[CertificateDer<'_>]>) -> Peer {
        let Some(chain) = chain.filter(|_| !self.anchors.is_empty()) else {
            return Peer::Anonymous;
        };
        let (anchors, requirements) = (&self.anchors, &self.requirements);
        verify::verify_chain(chain, anchors, requirements, self.clock.now(), self.usage)
            .map_or(Peer::Anonymous, |identity| identity.peer)
    }
}

/// TLS for the connections of one listener.
pub(crate) struct ServerTls {
    config: Arc<ServerConfig>,
    introduction: Introduction,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("introduction", &self.introduction)
            .finish_non_exhaustive()
    }
}

/// TLS for one connection to a server.
pub(crate) struct ClientTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    introduction: Option<Introduction>,
}

impl Policy {
    /// The policy of `config`; without `identity` the Keep is anonymous.
    ///
    /// # Errors
    /// [`NetErrorKind::Tls`] if the identity cannot be used.
    pub(crate) fn new(
        config: &Config,
        identity: Option<&Identity>,
        clock: &Clock,
    ) -> Result<Self, NetError> {
        let provider = verify::provider();
        let certificate = match identity {
            Some(identity) => OnceLock::from(usable(identity, &provider)?),
            None => OnceLock::new(),
        };
        Ok(Self {
            anchors: Anchors::from_pins(&config.trust.steward),
            insecure_simulated: config.trust.insecure_simulated,
            certificate,
            certified: identity.is_some(),
            clock: clock.clone(),
            provider,
        })
    }

    /// What this Keep shows to others.
    fn certificate(&self) -> Result<Arc<SingleCertAndKey>, NetError> {
        if let Some(certificate) = self.certificate.get() {
            return Ok(Arc::clone(certificate));
        }
        let made = Key::generate()
            .and_then(|key| Identity::anonymous(key, self.clock.now()))
            .map_err(|error| NetError::new(NetErrorKind::Tls, error.to_string()))?;
        let certificate = usable(&made, &self.provider)?;
        Ok(Arc::clone(self.certificate.get_or_init(|| certificate)))
    }

    /// TLS for those who connect under `rule`.
    ///
    /// # Errors
    /// [`NetErrorKind::Policy`] if nobody could ever meet the rule, [`NetErrorKind::Tls`] if TLS cannot be set up.
    pub(crate) fn server(&self, rule: &IncomingRule) -> Result<ServerTls, NetError> {
        let requirements = self.requirements(&rule.peers);
        let required = rule.client == ClientAuth::Require || !rule.peers.is_empty();
        let verifier: Arc<dyn ClientCertVerifier> = if required {
            self.need_anchors()?;
            KeepClientVerifier::new(self.anchors.clone(), requirements.clone(), ClientMode::Require)
        } else if rule.client == ClientAuth::None {
            Arc::new(NoClientAuth)
        } else {
            UnjudgedClients::new()
        };
        let mut config =
            ServerConfig::builder_with_details(Arc::clone(&self.provider), self.time())
                .with_protocol_versions(&[&rustls::version::TLS13])
                .map_err(|error| unusable(&error))?
                .with_client_cert_verifier(verifier)
                .with_cert_resolver(self.certificate()?);
        // Each connection proves anew who is there: nothing is resumed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = rule.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let introduction = self.introduction(requirements, Usage::Client);
        Ok(ServerTls { config: Arc::new(config), introduction })
    }

    /// TLS for connecting to `host` under `rule`.
    ///
    /// # Errors
    /// Those of [`Self::server`], and [`NetErrorKind::Resolve`] if `host` is no host name.
    pub(crate) fn client(&self, rule: &OutgoingRule, host: &str) -> Result<ClientTls, NetError> {
        let keep = rule.trust == OutgoingTrust::Steward || !rule.peers.is_empty();
        let requirements = self.requirements(&rule.peers);
        let verifier: Arc<dyn ServerCertVerifier> = if keep {
            self.need_anchors()?;
            KeepServerVerifier::new(self.anchors.clone(), requirements.clone())
        } else {
            WebPkiServerVerifier::builder_with_provider(
                Arc::new(web_pki_roots()),
                Arc::clone(&self.provider),
            )
            .build()
            .map_err(|error| unusable(&rustls::Error::General(error.to_string())))?
        };
        let builder = ClientConfig::builder_with_details(Arc::clone(&self.provider), self.time())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| unusable(&error))?
            // The name says no more than that the verifier is chosen here; each of the two verifies.
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        // A certificate that proves nothing is not worth showing.
        let mut config = if self.certified {
            builder.with_client_cert_resolver(self.certificate()?)
        } else {
            builder.with_no_client_auth()
        };
        config.resumption = Resumption::disabled();
        let introduction = keep.then(|| self.introduction(requirements, Usage::Server));
        Ok(ClientTls { config: Arc::new(config), name: server_name(host)?, introduction })
    }

    fn requirements(&self, rules: &[PeerRule]) -> Requirements {
        // A Keep that its Steward does not pin, or for which it bent a rule, is no Keep to this one.
        Requirements {
            allow_simulated: self.insecure_simulated,
            rules: rules.to_vec(),
            ..Requirements::default()
        }
    }

    fn introduction(&self, requirements: Requirements, usage: Usage) -> Introduction {
        Introduction {
            anchors: self.anchors.clone(),
            requirements,
            clock: self.clock.clone(),
            usage,
        }
    }

    fn need_anchors(&self) -> Result<(), NetError> {
        if self.anchors.is_empty() {
            let message = "only attested Keeps will do, but no Steward is trusted; name its root in [trust] steward";
            return Err(NetError::new(NetErrorKind::Policy, message));
        }
        Ok(())
    }

    fn time(&self) -> Arc<dyn TimeProvider> {
        Arc::new(KeepTime(self.clock.clone()))
    }
}

impl ServerTls {
    pub(crate) fn begin(&self) -> Result<ServerConnection, rustls::Error> {
        ServerConnection::new(Arc::clone(&self.config))
    }

    /// Who the client is, after its handshake.
    pub(crate) fn peer(&self, chain: Option<&[CertificateDer<'_>]>) -> Peer {
        self.introduction.peer(chain)
    }
}

impl ClientTls {
    /// The handshake, over a socket that may block, until `until`; the connection, and who the server is.
    ///
    /// # Errors
    /// The reason, in words.
    pub(crate) fn handshake(
        self,
        mut socket: &TcpStream,
        until: Instant,
    ) -> Result<(ClientConnection, Peer), String> {
        let mut tls =
            ClientConnection::new(self.config, self.name).map_err(|error| refusal(&error))?;
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
                Ok(0) => {
                    return Err(
                        "the server closed the connection during the TLS handshake".to_owned()
                    );
                }
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
        let peer =
            self.introduction.map_or(Peer::Anonymous, |known| known.peer(tls.peer_certificates()));
        Ok((tls, peer))
    }
}

/// An identity in the form that rustls takes.
fn usable(
    identity: &Identity,
    provider: &CryptoProvider,
) -> Result<Arc<SingleCertAndKey>, NetError> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key().pkcs8_der().to_vec()));
    let key = provider.key_provider.load_private_key(key).map_err(|error| unusable(&error))?;
    let chain = identity.chain().iter().map(|der| CertificateDer::from(der.clone())).collect();
    Ok(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))))
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
        Error::NoCertificatesPresented => {
            "it shows no certificate, and an attested one is required".to_owned()
        }
        Error::NoApplicationProtocol => {
            "it speaks none of the application protocols that `alpn` names".to_owned()
        }
        Error::InvalidCertificate(CertificateError::Other(other)) => other.0.to_string(),
        other => other.to_string(),
    }
}

fn unusable(error: &rustls::Error) -> NetError {
    NetError::new(NetErrorKind::Tls, format!("TLS cannot be set up: {error}"))
}
