// SPDX-License-Identifier: Apache-2.0

//! The Keep's server, and connections to it that are verified.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, Error};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use types::limits;
use verify::tls::{KeepServerVerifier, refusal};
use verify::{Anchors, Identity, Refusal, Requirements, Usage};

use super::ProxyArgs;
use crate::cmd::expect::certificates;
use crate::failure::{Context as _, Failure};
use crate::{files, reach};

/// How long finding the server's addresses may take.
const RESOLVE: Duration = Duration::from_secs(10);
/// How long connecting to one address may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// The server, and what it has to prove.
pub(super) struct Target {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
    anchors: Anchors,
    requirements: Requirements,
    /// Whether an application protocol has to be agreed on.
    negotiates: bool,
}

/// Why there is no connection to the server.
#[derive(Debug)]
pub(super) enum NotOpen {
    /// It cannot be reached, or TLS with it fails; which, and why.
    Failed(&'static str, io::Error),
    /// It is not what is expected.
    Refused(Refusal),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Target {
    /// The server that `args` name.
    ///
    /// # Errors
    /// If the anchors, or the certificate to show, cannot be used.
    pub(super) fn new(args: &ProxyArgs) -> Result<Self, Failure> {
        let host = args.target.host.clone();
        let name = match host.parse::<IpAddr>() {
            Ok(address) => ServerName::IpAddress(address.into()),
            Err(_) => ServerName::try_from(host.clone())
                .context(format!("{host:?} is no name of a server"))?,
        };
        let (anchors, requirements) = (args.expect.anchors()?, args.expect.requirements());
        let what = "cannot set up TLS";
        let verifier = KeepServerVerifier::new(anchors.clone(), requirements.clone());
        let config = ClientConfig::builder_with_provider(verify::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .context(what)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match (&args.client_cert, &args.client_key) {
            (Some(chain), Some(key)) => {
                let chain = certificates(chain).map_err(|f| f.next("check --client-cert"))?;
                config.with_client_auth_cert(chain, private_key(key)?).map_err(|error| {
                    Failure::new("cannot use the client's certificate").why(error).next(
                        "--client-key must be the key of the first certificate in --client-cert",
                    )
                })?
            }
            _ => config.with_no_client_auth(),
        };
        // Each connection proves anew who is there: nothing is resumed.
        config.resumption = Resumption::disabled();
        if args.alpn.len() > limits::ALPN_PROTOCOLS_MAX {
            return Err(Failure::new("too many application protocols")
                .next(format!("name at most {} with --alpn", limits::ALPN_PROTOCOLS_MAX)));
        }
        config.alpn_protocols = args.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let port = args.target.port.unwrap_or(443);
        let tls = TlsConnector::from(Arc::new(config));
        let negotiates = !args.alpn.is_empty();
        Ok(Self { host, port, name, tls, anchors, requirements, negotiates })
    }

    /// A connection to the server, and what the server proved. Nothing was said to it yet.
    ///
    /// # Errors
    /// [`NotOpen`].
    pub(super) async fn open(&self) -> Result<(TlsStream<TcpStream>, Identity), NotOpen> {
        let socket =
            self.connect().await.map_err(|error| NotOpen::Failed("cannot connect", error))?;
        let failed = |error| NotOpen::Failed("TLS fails", error);
        socket.set_nodelay(true).map_err(failed)?;
        let handshake = self.tls.connect(self.name.clone(), socket);
        let stream = timeout(HANDSHAKE, handshake).await.unwrap_or_else(|_| Err(late())).map_err(
            |error| match tls_error(&error).and_then(refusal) {
                Some(refusal) => NotOpen::Refused(refusal.clone()),
                None => failed(error),
            },
        )?;
        let tls = stream.get_ref().1;
        // The handshake was judged already; this tells who it is.
        let chain = tls.peer_certificates().unwrap_or_default();
        let now = reach::now();
        let identity =
            verify::verify_chain(chain, &self.anchors, &self.requirements, now, Usage::Server)
                .map_err(NotOpen::Refused)?;
        // A choice that was not offered fails the handshake; no choice does not.
        if self.negotiates && tls.alpn_protocol().is_none() {
            return Err(failed(io::Error::other(
                "it negotiates no application protocol; leave out --alpn if it need not",
            )));
        }
        Ok((stream, identity))
    }

    /// The first address that answers.
    async fn connect(&self) -> io::Result<TcpStream> {
        let lookup = timeout(RESOLVE, lookup_host((self.host.as_str(), self.port)));
        let addresses = lookup.await.map_err(|_| late())??;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses.take(limits::ADDRESSES_MAX) {
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(error)) => last = error,
                Err(_) => last = late(),
            }
        }
        Err(last)
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it does not answer in time")
}

/// The error of rustls inside of one of input and output.
fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// An error of a connection to the server, in words.
pub(super) fn explain(error: &io::Error) -> String {
    match tls_error(error) {
        Some(Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            "it wants a client's certificate: --client-cert and --client-key".to_owned()
        }
        Some(Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied),
        )) => format!("it does not take the client's certificate ({alert:?})"),
        Some(Error::AlertReceived(AlertDescription::ProtocolVersion)) => {
            "it does not speak TLS 1.3".to_owned()
        }
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            "it speaks none of the application protocols in --alpn".to_owned()
        }
        Some(Error::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it hung up without saying goodbye".to_owned()
        }
        _ => error.to_string(),
    }
}

impl NotOpen {
    /// What happened.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Failed(what, _) => what,
            Self::Refused(_) => "refused",
        }
    }

    /// Why.
    pub(super) fn why(&self) -> String {
        match self {
            Self::Failed(_, error) => explain(error),
            Self::Refused(refusal) => refusal.to_string(),
        }
    }
}

/// A private key, which nobody else may read.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    let what = || format!("cannot use the key in {}", path.display());
    let pem = files::read_private(path, limits::CERTIFICATE_BYTES_MAX)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .context(what())
        .map_err(|failure| failure.next("wanted one PRIVATE KEY block in PEM: check --client-key"))
}
