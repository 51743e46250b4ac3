// SPDX-License-Identifier: Apache-2.0

//! Who the Keep is: its key, the evidence of its TEE, the certificate that Steward issues for both.

mod attest;
mod fallback;
mod key;
mod patience;
mod steward;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use types::time::Timestamp;

pub use self::attest::{AttestError, Evidence, Platform, Workload, attest, can_attest, request};
pub use self::key::{Key, KeyError};
pub use self::steward::{CertifyError, Claimed, check, nonce, request as request_certificate};

/// Key and certificate chain of the Keep, as it shows them to everybody.
#[derive(Debug)]
pub struct Identity {
    key: Key,
    chain: Vec<Vec<u8>>,
}

impl Identity {
    /// The identity of a Keep without a certificate: others see it as anonymous.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn anonymous(key: Key, now: Timestamp) -> Result<Self, KeyError> {
        let chain = vec![fallback::certificate(&key, now)?];
        Ok(Self { key, chain })
    }

    /// The identity of a Keep with a certificate: the chain, leaf first, DER. That the leaf is for this key is the
    /// caller's to check ([`check`]).
    pub fn certified(key: Key, chain: Vec<Vec<u8>>) -> Self {
        Self { key, chain }
    }

    /// The chain, leaf first, DER.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The chain, leaf first, PEM.
    pub fn chain_pem(&self) -> String {
        let mut pem = String::new();
        for der in &self.chain {
            pem.push_str("-----BEGIN CERTIFICATE-----\n");
            let mut digits = STANDARD.encode(der);
            while !digits.is_empty() {
                let rest = digits.split_off(digits.len().min(64));
                pem.push_str(&digits);
                pem.push('\n');
                digits = rest;
            }
            pem.push_str("-----END CERTIFICATE-----\n");
        }
        pem
    }

    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }
}
