// SPDX-License-Identifier: Apache-2.0

//! An HTTPS client for all parts of Enarx: blocking, TLS 1.3 unless the caller allows 1.2, with roots, identity, resolver,
//! proxy and clock of the caller's choice.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    TcpConnector, Transport, TransportAdapter,
};

use crate::anchors::certificates_from_pem;
use crate::tls::web_pki_roots;
use crate::{Clock, VerifyError, provider, provider_with_tls12};

/// How long a name may take to become addresses.
const RESOLVE: Duration = Duration::from_secs(10);
/// How long connecting may take, the TLS handshake included.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the other end may be silent within an answer, or not take what is sent.
const STEP: Duration = Duration::from_secs(30);
/// How long the beginning of an answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// How long everything may take together; packages are large and lines slow.
const ALL: Duration = Duration::from_secs(3_600);

/// How a host name becomes addresses.
pub type Resolve = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// Where clients come from: `Agent::builder()…build()`.
#[derive(Debug)]
pub struct Agent;

/// What a client needs to know.
#[derive(Default)]
pub struct AgentBuilder {
    roots: Vec<CertificateDer<'static>>,
    unreadable: Option<VerifyError>,
    web_pki: bool,
    identity: Option<(Vec<Vec<u8>>, Vec<u8>)>,
    resolve: Option<Resolve>,
    clock: Option<Clock>,
    plain_loopback: bool,
    tls12: bool,
    proxy: Option<ureq::Proxy>,
}

impl fmt::Debug for AgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentBuilder").finish_non_exhaustive()
    }
}

/// Why there is no client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentError {
    /// No roots were given, so no server could ever be trusted.
    NoRoots,
    /// The roots are not certificates.
    Roots(VerifyError),
    /// The identity's key or certificate cannot be used.
    Identity(String),
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoots => f.write_str("no roots to trust servers by"),
            Self::Roots(error) => write!(f, "the roots cannot be used: {error}"),
            Self::Identity(why) => {
                write!(f, "the client's certificate or key cannot be used: {why}")
            }
        }
    }
}

impl std::error::Error for AgentError {}

impl Agent {
    /// A builder without roots, identity or resolver of its own.
    pub fn builder() -> AgentBuilder {
        AgentBuilder::default()
    }
}

impl AgentBuilder {
    /// Trusts servers below these certificates (PEM, any number).
    #[must_use]
    pub fn roots_pem(mut self, pem: &str) -> Self {
        match certificates_from_pem(pem) {
            Ok(roots) => self.roots.extend(roots),
            Err(error) => self.unreadable = Some(error),
        }
        self
    }

    /// Trusts servers of the public Web PKI.
    #[must_use]
    pub fn web_pki(mut self) -> Self {
        self.web_pki = true;
        self
    }

    /// Shows this certificate chain (leaf first, DER) to servers that ask; the key is PKCS#8 DER.
    #[must_use]
    pub fn client_identity(mut self, chain: Vec<Vec<u8>>, pkcs8: Vec<u8>) -> Self {
        self.identity = Some((chain, pkcs8));
        self
    }

    /// Resolves names so; otherwise the operating system does.
    #[must_use]
    pub fn resolver(mut self, resolve: Resolve) -> Self {
        self.resolve = Some(resolve);
        self
    }

    /// Judges certificates by this clock; otherwise by the operating system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Allows plain `http` to loopback addresses, for a development issuer on this machine.
    #[must_use]
    pub fn insecure_plain_loopback(mut self) -> Self {
        self.plain_loopback = true;
        self
    }

    /// Speaks TLS 1.2 to servers that have no 1.3: public services of others, never parts of Enarx.
    #[must_use]
    pub fn tls12(mut self) -> Self {
        self.tls12 = true;
        self
    }

    /// Goes through this HTTP proxy (`CONNECT`), but for hosts that it excepts. TLS is with the server, not with the proxy.
    #[must_use]
    pub fn proxy(mut self, proxy: Option<ureq::Proxy>) -> Self {
        self.proxy = proxy;
        self
    }

    /// The client. Answers other than 2xx are not errors, redirects are not followed, every phase has a time limit.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn build(self) -> Result<ureq::Agent, AgentError> {
        if let Some(error) = self.unreadable {
            return Err(AgentError::Roots(error));
        }
        let mut roots = if self.web_pki { web_pki_roots() } else { RootCertStore::empty() };
        for root in self.roots {
            roots
                .add(root)
                .map_err(|error| AgentError::Roots(VerifyError::Malformed(error.to_string())))?;
        }
        if roots.is_empty() {
            return Err(AgentError::NoRoots);
        }
        let identity = |error: rustls::Error| AgentError::Identity(error.to_string());
        let time: Arc<dyn TimeProvider> = match self.clock {
            Some(clock) => Arc::new(CallersTime(clock)),
            None => Arc::new(rustls::time_provider::DefaultTimeProvider),
        };
        let (provider, versions): (_, &[_]) = if self.tls12 {
            (provider_with_tls12(), &[&rustls::version::TLS13, &rustls::version::TLS12])
        } else {
            (provider(), &[&rustls::version::TLS13])
        };
        let builder = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(versions)
            .map_err(identity)?
            .with_root_certificates(roots);
        let mut tls = match self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = chain.into_iter().map(CertificateDer::from).collect();
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
                builder.with_client_auth_cert(chain, key).map_err(identity)?
            }
        };
        tls.resumption = Resumption::disabled();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = ureq::config::Config::builder()
            .http_status_as_error(false)
            .https_only(!self.plain_loopback)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(self.proxy.clone())
            .timeout_resolve(Some(RESOLVE))
            .timeout_connect(Some(CONNECT))
            .timeout_send_request(Some(STEP))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(STEP))
            .timeout_per_write(Some(STEP))
            .timeout_global(Some(ALL))
            .max_response_header_size(64 * 1024)
            .user_agent(concat!("enarx/", env!("CARGO_PKG_VERSION")))
            .build();
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(TlsConnector(Arc::new(tls)));
        let names = Names {
            resolve: self.resolve,
            plain_loopback: self.plain_loopback,
            proxy: self.proxy.map(|proxy| proxy.uri().clone()),
        };
        Ok(ureq::Agent::with_parts(config, connector, names))
    }
}

struct CallersTime(Clock);

impl fmt::Debug for CallersTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallersTime")
    }
}

impl TimeProvider for CallersTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs((self.0)().0)))
    }
}

struct Names {
    resolve: Option<Resolve>,
    plain_loopback: bool,
    /// The proxy may be reached in plain text: what goes through it is TLS.
    proxy: Option<Uri>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = match &self.resolve {
            None => DefaultResolver::default().resolve(uri, config, timeout)?,
            Some(resolve) => {
                let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
                let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
                let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") {
                    80
                } else {
                    443
                });
                let found = match bare.parse() {
                    Ok(ip) => vec![SocketAddr::new(ip, port)],
                    Err(_) => resolve(bare, port).map_err(ureq::Error::Io)?,
                };
                let mut addresses = self.empty();
                for address in found.into_iter().take(types::limits::ADDRESSES_MAX) {
                    addresses.push(address);
                }
                addresses
            }
        };
        if addresses.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        if self.plain_loopback
            && uri.scheme_str() == Some("http")
            && self.proxy.as_ref() != Some(uri)
            && !addresses.iter().all(|address| address.ip().is_loopback())
        {
            let message = "plain http is for loopback addresses only";
            return Err(ureq::Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, message)));
        }
        Ok(addresses)
    }
}

/// TLS over what the TCP connector made, with our configuration and nobody else's.
#[derive(Debug)]
struct TlsConnector(Arc<ClientConfig>);

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if details.uri.scheme_str() != Some("https") {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| ureq::Error::HostNotFound)?;
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name).map_err(tls_error)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(details.timeout);
        let host = details.uri.authority().map_or(bare, |authority| authority.as_str());
        connection.complete_io(&mut socket).map_err(|error| explain(host, error))?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Either::B(TlsTransport {
            buffers,
            stream: StreamOwned { conn: connection, sock: socket },
        })))
    }
}

fn tls_error(error: rustls::Error) -> ureq::Error {
    ureq::Error::Io(io::Error::new(io::ErrorKind::InvalidData, error))
}

/// A failed handshake, in words that say who did what.
fn explain(host: &str, error: io::Error) -> ureq::Error {
    use rustls::{AlertDescription, CertificateError, Error};
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let why = match cause {
        Some(Error::InvalidCertificate(why)) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is not by an authority that is trusted here".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired, or the clock here is ahead".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet, or the clock here is behind".to_owned()
            }
            other => format!("its certificate is refused: {other}"),
        },
        Some(Error::AlertReceived(AlertDescription::ProtocolVersion)) => {
            "it does not speak TLS 1.3".to_owned()
        }
        Some(Error::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        Some(other) => other.to_string(),
        None => return ureq::Error::Io(error),
    };
    ureq::Error::Io(io::Error::new(error.kind(), format!("TLS with {host}: {why}")))
}

struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output).map_err(ureq::Error::Io)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let count = self.stream.read(input).map_err(ureq::Error::Io)?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
