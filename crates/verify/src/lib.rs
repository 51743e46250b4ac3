// SPDX-License-Identifier: Apache-2.0

//! The relying party's side of attestation: from a certificate chain to an identity, and TLS that demands one.
//!
//! - [`verify_chain`] turns a chain into an [`Identity`], if it leads to one of the caller's [`Anchors`] and meets the
//!   [`Requirements`]; [`identify`] alone tells who it is, whoever that may be.
//! - [`Requirements`] say which identities are good enough; the default takes only genuine, pinned, unrelaxed Keeps.
//! - [`tls`] has verifiers for both sides of rustls, [`report`] a table for people; [`probe()`] asks a server who it is.
//! - `https`, a feature of that name, is an HTTPS client for the services of Enarx.
//!
//! Time comes in as an argument or a closure (`https` falls back to the system's clock if it gets none). There is no switch that
//! turns verification off.
//!
//! Two Keeps that verify each other, from beginning to end:
//!
//! ```
//! use std::sync::Arc;
//!
//! use enarx_verify::rustls::pki_types::{CertificateDer, PrivateKeyDer};
//! use enarx_verify::rustls::{ClientConfig, ServerConfig, version::TLS13};
//! use enarx_verify::tls::{ClientMode, KeepClientVerifier, KeepServerVerifier, refusal};
//! use enarx_verify::{Anchors, Requirements, Timestamp, Usage, provider, verify_chain};
//! # use enarx_verify::rustls::{ClientConnection, Error, ServerConnection};
//! # use testkit::pki::{DevCa, Profile, sample_result};
//! # let now = Timestamp(std::time::UNIX_EPOCH.elapsed()?.as_secs());
//! # let ca = DevCa::generate("a Steward", now)?;
//! # let steward_pem = ca.certificate_pem();
//! # let digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111".parse()?;
//! # let issue = |slug: &str| {
//! #     let result = sample_result(digest, Some(slug.parse().unwrap()), now);
//! #     let issued = ca.issue(&Profile::keep(&result), now).unwrap();
//! #     let chain: Vec<_> = issued.chain_der.into_iter().map(CertificateDer::from).collect();
//! #     (chain, PrivateKeyDer::Pkcs8(issued.key_der.into()))
//! # };
//! # let (server_chain, server_key) = issue("store.example.com/team/server:1.2.3");
//! # let (client_chain, client_key) = issue("store.example.com/team/client:0.1.0");
//! # /// Handshakes in memory.
//! # fn handshake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Error> {
//! #     while client.is_handshaking() || server.is_handshaking() {
//! #         let (mut up, mut down) = (Vec::new(), Vec::new());
//! #         client.write_tls(&mut up).unwrap();
//! #         server.read_tls(&mut up.as_slice()).unwrap();
//! #         server.process_new_packets()?;
//! #         server.write_tls(&mut down).unwrap();
//! #         client.read_tls(&mut down.as_slice()).unwrap();
//! #         client.process_new_packets()?;
//! #     }
//! #     Ok(())
//! # }
//!
//! // Both sides believe one Steward, and say whom they expect.
//! let steward = Anchors::from_pem(&steward_pem)?;
//! let clients = Requirements::expecting(["workload=store.example.com/team/client", "tee=snp"])?;
//! let servers = Requirements::expecting(["workload=store.example.com/team/server:^1.2"])?;
//!
//! let verifier = KeepClientVerifier::new(steward.clone(), clients.clone(), ClientMode::Require);
//! let server = ServerConfig::builder_with_provider(provider())
//!     .with_protocol_versions(&[&TLS13])?
//!     .with_client_cert_verifier(verifier)
//!     .with_single_cert(server_chain, server_key)?;
//!
//! let verifier = KeepServerVerifier::new(steward.clone(), servers);
//! let client = ClientConfig::builder_with_provider(provider())
//!     .with_protocol_versions(&[&TLS13])?
//!     .dangerous() // The verifier takes the place of that for the public Web PKI.
//!     .with_custom_certificate_verifier(verifier)
//!     .with_client_auth_cert(client_chain, client_key)?;
//!
//! # let mut server = ServerConnection::new(Arc::new(server))?;
//! # let mut client = ClientConnection::new(Arc::new(client), "nobody.invalid".try_into()?)?;
//! // … connect and shake hands, by any means that rustls has …
//! # handshake(&mut client, &mut server)?;
//!
//! // Then the server can tell who its client is.
//! let chain = server.peer_certificates().ok_or("no certificate")?;
//! let identity = verify_chain(chain, &steward, &clients, now, Usage::Client)?;
//! assert_eq!(identity.slug.ok_or("no name")?.repo, "client");
//!
//! // Whoever is somebody else is refused within the handshake, for a reason that has a name.
//! # let wanted = Requirements::expecting(["workload=store.example.com/team/other"])?;
//! # let verifier = KeepServerVerifier::new(steward.clone(), wanted);
//! # let client = ClientConfig::builder_with_provider(provider())
//! #     .with_protocol_versions(&[&TLS13])?.dangerous()
//! #     .with_custom_certificate_verifier(verifier).with_no_client_auth();
//! # let (chain, key) = issue("store.example.com/team/server:1.2.3");
//! # let server = ServerConfig::builder_with_provider(provider())
//! #     .with_protocol_versions(&[&TLS13])?.with_no_client_auth().with_single_cert(chain, key)?;
//! # let mut server = ServerConnection::new(Arc::new(server))?;
//! # let mut client = ClientConnection::new(Arc::new(client), "nobody.invalid".try_into()?)?;
//! # let error = handshake(&mut client, &mut server).unwrap_err();
//! let refusal = refusal(&error).ok_or("another error")?;
//! assert_eq!(refusal.check(), "requirement.workload");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod anchors;
mod error;
mod expect;
#[cfg(feature = "https")]
pub mod https;
mod identity;
pub mod jws;
mod path;
mod probe;
mod release;
pub mod report;
mod requirements;
pub mod signature;
#[cfg(test)]
mod testing;
pub mod tls;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use anchors::Anchors;
pub use error::{Refusal, VerifyError};
pub use expect::{Expectation, ParseExpectationError, Tier};
pub use identity::{Identity, Usage, identify, verify_chain};
pub use path::Crls;
pub use probe::{Probe, probe};
pub use release::{NotReleased, Reason, ReleasePolicy, Released, RuleUnmet};
pub use requirements::{Requirements, Unmet};
// What appears in signatures, so that callers need no other crate for it, nor can have another version of it.
pub use evidence::result::{AttestationResult, Facts, Status};
pub use rustls;
pub use types::config::{PeerRule, WorkloadPattern};
pub use types::digest::Sha256;
pub use types::peer::Peer;
pub use types::slug::Slug;
pub use types::time::Timestamp;

/// A clock, as the verifiers take it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Our cryptography: AWS-LC, TLS 1.3 only, X25519MLKEM768 before the classical groups.
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = provider_with_tls12();
    Arc::make_mut(&mut provider).cipher_suites.retain(|suite| suite.tls13().is_some());
    provider
}

/// [`provider`] with the suites of TLS 1.2 as well (ECDHE with AES-GCM or ChaCha20-Poly1305), for those who ask for it by name.
///
/// The versions that are spoken are chosen where a configuration is built; this alone turns none on.
pub fn provider_with_tls12() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![
        aws_lc_rs::kx_group::X25519MLKEM768,
        aws_lc_rs::kx_group::X25519,
        aws_lc_rs::kx_group::SECP384R1,
        aws_lc_rs::kx_group::SECP256R1,
    ];
    Arc::new(provider)
}

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
