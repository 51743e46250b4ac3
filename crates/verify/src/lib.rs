// SPDX-License-Identifier: Apache-2.0

//! The relying party's side of attestation: from a certificate chain to an identity, and TLS that demands one.
//!
//! - [`identify`] turns a chain into an [`Identity`], if it leads to one of the caller's [`Anchors`]; no anchor, no identity.
//! - [`Requirements`] say which identities are good enough; the default takes only genuine, pinned, unrelaxed Keeps.
//! - [`tls`] has verifiers for rustls, [`https`] an HTTPS client, [`report`] a table for people; [`probe()`] asks a server who it is.
//!
//! Time comes in as an argument or a closure ([`https`] falls back to the system's clock if it gets none). There is no switch that
//! turns verification off.
//!
//! ```no_run
//! use enarx_verify::{Anchors, Requirements, probe};
//! use types::time::Timestamp;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (root_pem, now) = ("", Timestamp(0));
//! let server = probe("app.example.com", 443, &Anchors::from_pem(root_pem)?, now)?;
//! let identity = server.identity?;
//! Requirements::expecting(["workload=store.example.com/team/app:^1.2"])?.check(&identity, now)?;
//! println!("genuine, and runs {}", identity.digest.expect("a name comes with a digest"));
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod anchors;
mod error;
mod expect;
#[cfg(feature = "https")]
pub mod https;
mod identity;
mod path;
mod probe;
pub mod report;
mod requirements;
#[cfg(test)]
mod testing;
pub mod tls;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use types::time::Timestamp;

pub use anchors::Anchors;
pub use error::{Refusal, VerifyError};
pub use expect::{Expectation, ParseExpectationError, Tier};
pub use identity::{Identity, Usage, identify, verify_chain};
pub use probe::{Probe, probe};
pub use requirements::{Requirements, Unmet};

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
