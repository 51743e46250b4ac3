// SPDX-License-Identifier: Apache-2.0

//! Signatures for `dcap-qvl`: each is checked by our own verifier first, and `dcap-qvl` is told of those that hold.
//!
//! The crate takes its algorithms as types, without state, and so cannot be handed a verifier. It is given an algorithm
//! that knows by heart what has been proved for the quote at hand, and says no to everything else. So no signature counts
//! that [`Verifier`] has not seen, and nothing is remembered from one quote to the next.

use std::cell::RefCell;

use dcap_qvl::config::{Config, CryptoProvider, EcdsaSigEncoder as _};
use dcap_qvl::signature::DerSigEncoder;
use dcap_qvl::x509::X509CertBackend;
use pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest as _, Sha256, Sha384};

use crate::crypto::{Scheme, Verifier};

/// Key, message and signature that hold together.
type Proof = [Vec<u8>; 3];

thread_local! {
    /// What is proved for the quote that this thread is at.
    static PROVED: RefCell<Vec<Proof>> = const { RefCell::new(Vec::new()) };
}

/// Signatures (ECDSA, P-256, SHA-256) that have been checked.
pub(super) struct Proofs<'a> {
    verifier: &'a dyn Verifier,
    proved: Vec<Proof>,
}

impl<'a> Proofs<'a> {
    pub(super) const fn new(verifier: &'a dyn Verifier) -> Self {
        Self { verifier, proved: Vec::new() }
    }

    /// Whether the key (uncompressed point) signed what many pieces of evidence share; the signature is in DER.
    pub(super) fn endorsement(&mut self, point: &[u8], message: &[u8], signature: &[u8]) -> bool {
        if holds(&self.proved, point, message, signature) {
            return true;
        }
        let scheme = Scheme::EcdsaP256Sha256Der;
        let holds = self.verifier.verify_endorsement(scheme, point, message, signature).is_ok();
        self.note(holds, point, message, signature)
    }

    /// The same with a signature of 64 bytes, `r ‖ s`.
    pub(super) fn document(&mut self, point: &[u8], message: &[u8], signature: &[u8]) -> bool {
        der(signature).is_some_and(|signature| self.endorsement(point, message, &signature))
    }

    /// Whether the key signed what is of this piece of evidence only; the signature is `r ‖ s`.
    pub(super) fn statement(&mut self, point: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let Some(signature) = der(signature) else { return false };
        let scheme = Scheme::EcdsaP256Sha256Der;
        let holds = self.verifier.verify(scheme, point, message, &signature).is_ok();
        self.note(holds, point, message, &signature)
    }

    fn note(&mut self, holds: bool, point: &[u8], message: &[u8], signature: &[u8]) -> bool {
        if holds {
            self.proved.push([point, message, signature].map(<[u8]>::to_vec));
        }
        holds
    }

    /// Runs `judge`, during which [`Proved`] knows these signatures.
    pub(super) fn during<T>(self, judge: impl FnOnce() -> T) -> T {
        /// Forgets, however the judging ends.
        struct Forget;
        impl Drop for Forget {
            fn drop(&mut self) {
                PROVED.with_borrow_mut(Vec::clear);
            }
        }
        let _forget = Forget;
        PROVED.set(self.proved);
        judge()
    }
}

/// Whether this is among what is proved.
fn holds(proved: &[Proof], point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let wanted = [point, message, signature];
    proved.iter().any(|proof| proof.iter().zip(wanted).all(|(have, want)| have == want))
}

/// `SEQUENCE { r, s }` of `r ‖ s`, exactly as `dcap-qvl` makes it.
fn der(signature: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(32)?;
    DerSigEncoder::encode_ecdsa_sig(r, s).ok()
}

/// What `dcap-qvl` is made of here.
pub(super) struct Parts;

impl Config for Parts {
    type X509 = X509CertBackend;
    type SigEncoder = DerSigEncoder;
    type Crypto = Self;
}

impl CryptoProvider for Parts {
    fn sig_algo() -> &'static dyn SignatureVerificationAlgorithm {
        &Proved
    }

    fn sha256(data: &[u8]) -> [u8; 32] {
        Sha256::digest(data).into()
    }

    fn sha384(data: &[u8]) -> [u8; 48] {
        Sha384::digest(data).into()
    }
}

/// ECDSA with P-256 and SHA-256, of what has been proved.
#[derive(Debug)]
struct Proved;

impl SignatureVerificationAlgorithm for Proved {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        PROVED
            .with_borrow(|proved| holds(proved, public_key, message, signature))
            .then_some(())
            .ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::BadSignature;

    /// Takes signatures that begin with the message.
    struct Simple;

    impl Verifier for Simple {
        fn verify(
            &self,
            _: Scheme,
            _: &[u8],
            message: &[u8],
            signature: &[u8],
        ) -> Result<(), BadSignature> {
            if signature.starts_with(message) { Ok(()) } else { Err(BadSignature) }
        }
    }

    #[test]
    fn only_what_was_proved_holds_and_only_for_this_quote() {
        let mut proofs = Proofs::new(&Simple);
        assert!(proofs.endorsement(b"key", b"one", b"one!"));
        assert!(!proofs.endorsement(b"key", b"two", b"one!"));
        assert!(!proofs.statement(b"key", b"two", b"short"));
        let ask = |key: &[u8], message: &[u8], signature: &[u8]| {
            Parts::sig_algo().verify_signature(key, message, signature).is_ok()
        };
        assert!(!ask(b"key", b"one", b"one!"));
        proofs.during(|| {
            assert!(ask(b"key", b"one", b"one!"));
            for (key, message, signature) in [
                (&b"kez"[..], &b"one"[..], &b"one!"[..]),
                (b"key", b"two", b"one!"),
                (b"key", b"one", b"one?"),
                (b"key", b"two", b"two!"),
            ] {
                assert!(!ask(key, message, signature));
            }
        });
        assert!(!ask(b"key", b"one", b"one!"));
    }

    #[test]
    fn hashes_are_those_of_fips_180() {
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::encode(Parts::sha256(b"abc")), sha256);
        let sha384 = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
                      8086072ba1e7cc2358baeca134c825a7";
        assert_eq!(hex::encode(Parts::sha384(b"abc")), sha384);
    }

    #[test]
    fn a_panic_leaves_nothing_behind() {
        let mut proofs = Proofs::new(&Simple);
        assert!(proofs.endorsement(b"key", b"one", b"one!"));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            proofs.during(|| std::panic::resume_unwind(Box::new(())))
        }));
        assert!(caught.is_err());
        assert!(Parts::sig_algo().verify_signature(b"key", b"one", b"one!").is_err());
    }
}
