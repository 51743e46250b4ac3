// SPDX-License-Identifier: Apache-2.0

//! Requests as Keeps make them, on simulated silicon.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair as _,
};
use evidence::claims::{Claims, WorkloadClaim, pubkey_hash_of};
use evidence::intel::Collateral;
use evidence::{Kind, csr, encode_evidence, snp};
use testkit::silicon::intel::{Evidence, SimulatedIntel, Tee};
use testkit::silicon::{Options, SimulatedSnp};
use types::digest::Sha256;
use types::time::Timestamp;

/// What the simulated guests of SNP measure.
pub(crate) const MEASUREMENT: [u8; 48] = [7; 48];

/// Curve of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    P384,
    P256,
}

impl Curve {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::P384 => "P-384",
            Self::P256 => "P-256",
        }
    }

    pub(crate) fn generate(self) -> EcdsaKeyPair {
        let algorithm: &'static EcdsaSigningAlgorithm = match self {
            Self::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
            Self::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        };
        EcdsaKeyPair::generate(algorithm).unwrap()
    }
}

/// One of each.
pub(crate) struct Silicon {
    pub(crate) snp: SimulatedSnp,
    pub(crate) intel: SimulatedIntel,
}

impl Silicon {
    pub(crate) fn generate(now: Timestamp) -> Self {
        Self {
            snp: SimulatedSnp::generate(now, Options::default()).unwrap(),
            intel: SimulatedIntel::generate(now).unwrap(),
        }
    }

    /// Their roots, PEM.
    pub(crate) fn roots_pem(&self) -> String {
        format!("{}{}", self.snp.roots_pem(), self.intel.root_pem().unwrap())
    }

    /// Evidence of SGX or TDX for 64 bytes.
    pub(crate) fn quote(&self, kind: Kind, data: [u8; 64]) -> Evidence {
        let tee = if kind == Kind::Sgx { Tee::Sgx } else { Tee::Tdx };
        let mut knobs = self.intel.knobs(tee);
        knobs.quote.report_data = data;
        self.intel.evidence(&knobs).unwrap()
    }

    /// Statement and endorsements for 64 bytes.
    fn evidence(&self, kind: Kind, data: [u8; 64]) -> (Vec<u8>, Vec<u8>) {
        if kind == Kind::Snp {
            let blob = self.snp.attestation(&data, &MEASUREMENT).unwrap();
            let (report, endorsements) = snp::split_attestation(&blob).unwrap();
            return (report.to_vec(), endorsements.to_vec());
        }
        let made = self.quote(kind, data);
        let collateral = Collateral {
            crls: vec![made.root_crl, made.pck_crl],
            tcb_info: Some(made.tcb_info),
            qe_identity: Some(made.qe_identity),
            tcb_info_chain: Some(made.signer_chain),
            ..Collateral::default()
        };
        (made.quote, collateral.to_bytes())
    }

    /// A request with all endorsements, for a new key on this curve.
    pub(crate) fn request(&self, kind: Kind, curve: Curve) -> Vec<u8> {
        let key = curve.generate();
        let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap();
        let digest = Sha256::of(b"workload");
        let claims = Claims {
            pubkey_hash: pubkey_hash_of(spki.as_ref()),
            nonce: None,
            workload: Some(WorkloadClaim { digest, slug: None, statement: None }),
        };
        let (statement, endorsements) = self.evidence(kind, claims.report_data());
        let value = encode_evidence(kind, &statement, &claims.to_bytes(), &endorsements);
        let tbs = csr::build(spki.as_ref(), &value);
        let signature = key.sign(&SystemRandom::new(), tbs.bytes()).unwrap();
        tbs.assemble(signature.as_ref())
    }
}
