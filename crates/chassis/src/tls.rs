// SPDX-License-Identifier: Apache-2.0

//! TLS of a service: TLS 1.3, hybrid post-quantum key exchange first, cryptography by AWS-LC.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};
use rustls::{InconsistentKeys, RootCertStore};

use crate::secret::{self, Secret, SecretError};

/// Most certificates in a chain or among the roots for clients.
const CERTIFICATES_MAX: usize = 64;
/// Largest file of certificates, in bytes.
const CERTIFICATE_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The cryptography of every service.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP384R1,
            kx_group::SECP256R1,
        ],
        ..rustls::crypto::aws_lc_rs::default_provider()
    })
}

/// Why TLS could not be set up.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The file with the certificates cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file with the private key cannot be taken.
    Key(SecretError),
    /// What was to be PEM certificates is not.
    NoCertificates(&'static str),
    /// What was to be a PEM private key is not.
    NoKey,
    /// The private key is not that of the first certificate.
    OtherKey,
    /// Anything else that rustls dislikes.
    Refused(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(f, "cannot read the certificates in {}: {error}", path.display())
            }
            Self::Key(error) => error.fmt(f),
            Self::NoCertificates(what) => {
                write!(f, "{what}: expected PEM with 1 to {CERTIFICATES_MAX} CERTIFICATE blocks")
            }
            Self::NoKey => f.write_str(
                "the private key of the TLS certificate: expected one PEM block, PRIVATE KEY (PKCS#8), EC PRIVATE KEY or RSA PRIVATE KEY",
            ),
            Self::OtherKey => f.write_str(
                "the private key does not belong to the first certificate of the chain; the server's own certificate comes first",
            ),
            Self::Refused(why) => write!(f, "the TLS configuration is not usable: {why}"),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Self::OtherKey,
            other => Self::Refused(other.to_string()),
        }
    }
}

/// The TLS side of a service. Clones share one configuration, which [`Self::replace`] exchanges while it serves.
#[derive(Clone)]
pub struct ServerTls {
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Starts from a certificate chain (own certificate first) and its private key, both PEM.
    pub fn builder(chain_pem: &[u8], key_pem: &[u8]) -> TlsBuilder {
        TlsBuilder {
            chain_pem: chain_pem.to_vec(),
            key_pem: Secret::new(key_pem.to_vec()),
            clients: Clients::None,
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            tls12: false,
        }
    }

    /// The same, from files; the key's may be readable by its owner only.
    ///
    /// # Errors
    /// A file that cannot be read, or a key that others can read.
    pub fn from_files(chain: &Path, key: &Path) -> Result<TlsBuilder, TlsError> {
        let unreadable = |error| TlsError::Unreadable(chain.to_owned(), error);
        let size = std::fs::metadata(chain).map_err(unreadable)?.len();
        if size > CERTIFICATE_FILE_BYTES_MAX {
            return Err(unreadable(io::Error::other("it is larger than 1 MiB")));
        }
        let chain_pem = std::fs::read(chain).map_err(unreadable)?;
        let key_pem = secret::read(key).map_err(TlsError::Key)?;
        Ok(Self::builder(&chain_pem, key_pem.expose()))
    }

    /// New connections use `other`'s configuration from now on, for example after a renewal of the certificate.
    pub fn replace(&self, other: &Self) {
        let new = other.config();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Which clients' certificates are taken.
enum Clients {
    None,
    Roots { pem: Vec<u8>, required: bool },
    Verifier(Arc<dyn ClientCertVerifier>),
}

/// Choices for [`ServerTls`].
pub struct TlsBuilder {
    chain_pem: Vec<u8>,
    key_pem: Secret,
    clients: Clients,
    alpn: Vec<Vec<u8>>,
    tls12: bool,
}

impl fmt::Debug for TlsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsBuilder").finish_non_exhaustive()
    }
}

impl TlsBuilder {
    /// Asks clients for a certificate issued under one of these roots (PEM). Without `required` a client may have none.
    #[must_use]
    pub fn client_roots(mut self, roots_pem: &[u8], required: bool) -> Self {
        self.clients = Clients::Roots { pem: roots_pem.to_vec(), required };
        self
    }

    /// Asks clients for a certificate that this verifier takes.
    #[must_use]
    pub fn client_verifier(mut self, verifier: Arc<dyn ClientCertVerifier>) -> Self {
        self.clients = Clients::Verifier(verifier);
        self
    }

    /// Protocols offered, best first; HTTP/2 and HTTP/1.1 unless told otherwise.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&[u8]]) -> Self {
        self.alpn = protocols.iter().map(|p| p.to_vec()).collect();
        self
    }

    /// Also takes TLS 1.2, for clients that know nothing newer.
    #[must_use]
    pub fn tls12(mut self, allow: bool) -> Self {
        self.tls12 = allow;
        self
    }

    /// Checks everything and makes the configuration.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn build(self) -> Result<ServerTls, TlsError> {
        let provider = provider();
        let chain = certificates(&self.chain_pem, "the TLS certificate chain")?;
        let key =
            PrivateKeyDer::from_pem_slice(self.key_pem.expose()).map_err(|_| TlsError::NoKey)?;
        let verifier = match self.clients {
            Clients::None => None,
            Clients::Verifier(verifier) => Some(verifier),
            Clients::Roots { pem, required } => Some(client_verifier(&provider, &pem, required)?),
        };
        let versions: &[_] = if self.tls12 {
            &[&rustls::version::TLS13, &rustls::version::TLS12]
        } else {
            &[&rustls::version::TLS13]
        };
        let builder =
            ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
        let mut config = match verifier {
            None => builder.with_no_client_auth().with_single_cert(chain, key)?,
            Some(verifier) => {
                let mut config =
                    builder.with_client_cert_verifier(verifier).with_single_cert(chain, key)?;
                // A resumed session would carry a client's certificate past its last second.
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
                config
            }
        };
        config.alpn_protocols = self.alpn;
        Ok(ServerTls { current: Arc::new(RwLock::new(Arc::new(config))) })
    }
}

fn client_verifier(
    provider: &Arc<CryptoProvider>,
    pem: &[u8],
    required: bool,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(pem, "the roots for clients")? {
        roots.add(root)?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| TlsError::Refused(error.to_string()))
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .take(CERTIFICATES_MAX + 1)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::NoCertificates(what))?;
    if chain.is_empty() || chain.len() > CERTIFICATES_MAX {
        return Err(TlsError::NoCertificates(what));
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use testkit::pki::DevCa;

    #[test]
    fn wrong_pieces_are_named() {
        let now = Clock::System.now();
        let ca = DevCa::generate("CA", now).unwrap();
        let (chain, key) = ca.issue_localhost(now).unwrap();
        let (_, other) = ca.issue_localhost(now).unwrap();
        let build =
            |chain: &str, key: &str| ServerTls::builder(chain.as_bytes(), key.as_bytes()).build();
        assert!(build(&chain, &key).is_ok());
        assert!(matches!(build(&chain, &other), Err(TlsError::OtherKey)));
        assert!(matches!(build(&chain, &chain), Err(TlsError::NoKey)));
        assert!(matches!(build(&key, &key), Err(TlsError::NoCertificates(_))));
        assert!(matches!(build("", &key), Err(TlsError::NoCertificates(_))));
        let roots = ServerTls::builder(chain.as_bytes(), key.as_bytes())
            .client_roots(b"no roots", true)
            .build();
        assert!(matches!(roots, Err(TlsError::NoCertificates(_))));
    }
}
