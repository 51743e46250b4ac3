// SPDX-License-Identifier: Apache-2.0

//! Simulated Intel silicon: a platform with its certificates, the collateral that Intel would give for it, and quotes of SGX
//! enclaves and TDX guests.
//!
//! Everything has Intel's form byte for byte, with a knob for each field that a verifier has to look at. It proves nothing,
//! and each certificate says so: its organisation is [`ORGANISATION`].
//!
//! Sources: Intel SGX ECDSA Quote Library Reference (DCAP API), Intel TDX DCAP Quoting Library API, Intel PCK Certificate and
//! CRL Profile, Intel PCS API version 4.

mod certificates;
mod collateral;
mod quote;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm,
};
use types::time::Timestamp;

pub use certificates::{Authority, CrlSpec, PckSpec};
pub use collateral::{Level, QeIdentitySpec, TcbInfoSpec};
pub use quote::{QuoteSpec, SgxBody, TdxBody};

use super::SiliconError;

/// Organisation in the names of all certificates here.
pub const ORGANISATION: &str = "SIMULATED silicon, not Intel";

/// Which TEE of Intel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tee {
    /// SGX: a quote of version 3.
    Sgx,
    /// TDX: a quote of version 4, or of version 5 with a report of TDX 1.5.
    Tdx,
}

/// Everything that a platform says, and what is said about it.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// The quote.
    pub quote: QuoteSpec,
    /// The platform's certificate.
    pub pck: PckSpec,
    /// TCB info.
    pub tcb_info: TcbInfoSpec,
    /// Identity of the quoting enclave.
    pub qe_identity: QeIdentitySpec,
    /// Revocation list of the root.
    pub root_crl: CrlSpec,
    /// Revocation list of the authority that signed the platform's certificate.
    pub pck_crl: CrlSpec,
    /// First and last second of the certificate that signs TCB info and identity.
    pub signer_validity: (Timestamp, Timestamp),
    /// Common name of that certificate.
    pub signer_name: String,
}

/// Evidence, and what travels with it.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The quote.
    pub quote: Vec<u8>,
    /// The platform's certificates, PEM: PCK, its authority, root. The quote carries them too.
    pub pck_chain: String,
    /// Body of the answer about the TCB.
    pub tcb_info: String,
    /// Body of the answer about the quoting enclave.
    pub qe_identity: String,
    /// Who signed both, PEM: signer, root.
    pub signer_chain: String,
    /// Revocation list of the root, DER.
    pub root_crl: Vec<u8>,
    /// Revocation list of the authority of PCK certificates, DER.
    pub pck_crl: Vec<u8>,
}

/// A simulated platform.
#[derive(Debug)]
pub struct SimulatedIntel {
    root: EcdsaKeyPair,
    authority: EcdsaKeyPair,
    signer: EcdsaKeyPair,
    pck: EcdsaKeyPair,
    attestation: EcdsaKeyPair,
    /// Of nobody.
    other: EcdsaKeyPair,
    other_der: EcdsaKeyPair,
    now: Timestamp,
}

fn key(algorithm: &'static EcdsaSigningAlgorithm) -> Result<EcdsaKeyPair, SiliconError> {
    EcdsaKeyPair::generate(algorithm).map_err(|_| SiliconError::Crypto)
}

fn sign(key: &EcdsaKeyPair, message: &[u8]) -> Result<Vec<u8>, SiliconError> {
    let signature = key.sign(&SystemRandom::new(), message).map_err(|_| SiliconError::Crypto)?;
    Ok(signature.as_ref().to_vec())
}

impl SimulatedIntel {
    /// Makes a platform. Certificates are valid for a year around `now`, lists and documents for thirty days from a day
    /// before on.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn generate(now: Timestamp) -> Result<Self, SiliconError> {
        let der = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let fixed = &ECDSA_P256_SHA256_FIXED_SIGNING;
        Ok(Self {
            root: key(der)?,
            authority: key(der)?,
            signer: key(fixed)?,
            pck: key(fixed)?,
            attestation: key(fixed)?,
            other: key(fixed)?,
            other_der: key(der)?,
            now,
        })
    }

    /// Everything right: a platform at the newest TCB level, `UpToDate`.
    pub fn knobs(&self, tee: Tee) -> Knobs {
        const DAY: u64 = 86_400;
        let now = self.now;
        let year = (now.minus(183 * DAY), now.plus(182 * DAY));
        let month = (now.minus(DAY), now.plus(29 * DAY));
        Knobs {
            quote: QuoteSpec::of(tee),
            pck: PckSpec::of(year),
            tcb_info: TcbInfoSpec::of(tee, month),
            qe_identity: QeIdentitySpec::of(tee, month),
            root_crl: CrlSpec::of(month),
            pck_crl: CrlSpec::of(month),
            signer_validity: year,
            signer_name: certificates::SIGNER.to_owned(),
        }
    }

    /// The root, DER.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn root_der(&self) -> Result<Vec<u8>, SiliconError> {
        self.root_certificate()
    }

    /// The root, PEM, for Steward's `--insecure-simulated-roots`.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn root_pem(&self) -> Result<String, SiliconError> {
        Ok(certificates::pem(&[self.root_certificate()?]))
    }

    /// A quote, and all that is needed to judge it.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn evidence(&self, knobs: &Knobs) -> Result<Evidence, SiliconError> {
        let pck_chain = self.pck_chain(&knobs.pck)?;
        Ok(Evidence {
            quote: self.quote(&knobs.quote, &pck_chain)?,
            pck_chain,
            tcb_info: self.tcb_info(&knobs.tcb_info)?,
            qe_identity: self.qe_identity(&knobs.qe_identity)?,
            signer_chain: self.signer_chain(&knobs.signer_name, knobs.signer_validity)?,
            root_crl: self.crl(&knobs.root_crl, Authority::Root, &knobs.pck)?,
            pck_crl: self.crl(&knobs.pck_crl, Authority::Pck, &knobs.pck)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::Decode as _;

    #[test]
    fn certificates_say_that_they_are_simulated() {
        let now = Timestamp(1_800_000_000);
        let intel = SimulatedIntel::generate(now).unwrap();
        for tee in [Tee::Sgx, Tee::Tdx] {
            let evidence = intel.evidence(&intel.knobs(tee)).unwrap();
            let chains = [evidence.pck_chain, evidence.signer_chain, intel.root_pem().unwrap()];
            let mut seen = 0;
            for block in chains.concat().split_inclusive("-----END CERTIFICATE-----\n") {
                let (_, der) = der::pem::decode_vec(block.as_bytes()).unwrap();
                let certificate = x509_cert::Certificate::from_der(&der).unwrap();
                let tbs = certificate.tbs_certificate();
                assert!(tbs.subject().to_string().contains("SIMULATED"));
                assert!(tbs.issuer().to_string().contains("SIMULATED"));
                seen += 1;
            }
            assert_eq!(seen, 6);
            for crl in [evidence.root_crl, evidence.pck_crl] {
                x509_cert::crl::CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&crl)
                    .unwrap();
            }
            let length =
                u32::from_le_bytes(evidence.quote[signed_bytes(tee)..][..4].try_into().unwrap());
            assert_eq!(evidence.quote.len(), signed_bytes(tee) + 4 + length as usize);
        }
    }

    fn signed_bytes(tee: Tee) -> usize {
        match tee {
            Tee::Sgx => 48 + 384,
            Tee::Tdx => 48 + 584,
        }
    }
}
