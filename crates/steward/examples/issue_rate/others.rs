// SPDX-License-Identifier: Apache-2.0

//! What the crates `sev` and `dcap-qvl` do on the same evidence.

use std::time::Duration;

use dcap_qvl::config::{Config, CryptoProvider};
use dcap_qvl::signature::DerSigEncoder;
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::x509::X509CertBackend;
use dcap_qvl::{QuoteCollateralV3, QuotePolicy};
use evidence::{Kind, snp};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id,
};
use serde_json::value::RawValue;
use sev::certs::snp::{Certificate, Chain, Verifiable, ca};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use sha2::{Digest as _, Sha256, Sha384};
use types::time::Timestamp;

use crate::requests::{MEASUREMENT, Silicon};
use crate::watch;

/// The crate `sev`, with the cryptography in Rust that it brings: three RSA signatures and the report's; no names, dates,
/// lists or versions.
pub(crate) fn sev(silicon: &Silicon) -> Duration {
    let silicon = &silicon.snp;
    let blob = silicon.attestation(&[7; 64], &MEASUREMENT).unwrap();
    let (report, _) = snp::split_attestation(&blob).unwrap();
    let read = |der: &[u8]| Certificate::from_der(der).unwrap();
    watch::average(|| {
        let (ark, ask) = (read(silicon.ark()), read(silicon.ask()));
        let chain = Chain { ca: ca::Chain { ark, ask }, vek: read(silicon.vcek()) };
        let report = AttestationReport::from_bytes(report).unwrap();
        (&chain, &report).verify().unwrap();
    })
}

/// `dcap-qvl` on AWS-LC, as ours: its own back ends are not compiled in, and would be other cryptography.
struct OnAwsLc;

/// `dcap-qvl` with signatures that cost nothing: what is left is its reading.
struct Reading;

macro_rules! config {
    ($name:ident, $algorithm:expr) => {
        impl Config for $name {
            type X509 = X509CertBackend;
            type SigEncoder = DerSigEncoder;
            type Crypto = Self;
        }

        impl CryptoProvider for $name {
            fn sig_algo() -> &'static dyn SignatureVerificationAlgorithm {
                $algorithm
            }

            fn sha256(data: &[u8]) -> [u8; 32] {
                Sha256::digest(data).into()
            }

            fn sha384(data: &[u8]) -> [u8; 48] {
                Sha384::digest(data).into()
            }
        }
    };
}

config!(OnAwsLc, aws_lc());
config!(Reading, &Unlooked);

fn aws_lc() -> &'static dyn SignatureVerificationAlgorithm {
    let all = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let wanted = (alg_id::ECDSA_P256, alg_id::ECDSA_SHA256);
    *all.iter().find(|a| (a.public_key_alg_id(), a.signature_alg_id()) == wanted).unwrap()
}

/// Does not look at signatures.
#[derive(Debug)]
struct Unlooked;

impl SignatureVerificationAlgorithm for Unlooked {
    fn verify_signature(&self, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), InvalidSignature> {
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

/// The signed document in the body of an answer, and its signature.
fn document(body: &str) -> (String, Vec<u8>) {
    let members: std::collections::BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(body).unwrap();
    let document = members.iter().find(|(name, _)| *name != "signature").unwrap().1;
    let signature: String = serde_json::from_str(members["signature"].get()).unwrap();
    (document.get().to_owned(), hex::decode(signature).unwrap())
}

/// The crate `dcap-qvl`: a quote with its collateral, nothing remembered; no binding and no policy. With every signature,
/// and without any.
pub(crate) fn dcap_qvl(silicon: &Silicon, kind: Kind, now: Timestamp) -> [Duration; 2] {
    let made = silicon.quote(kind, [7; 64]);
    let (tcb_info, tcb_info_signature) = document(&made.tcb_info);
    let (qe_identity, qe_identity_signature) = document(&made.qe_identity);
    let collateral = QuoteCollateralV3 {
        pck_crl_issuer_chain: String::new(),
        root_ca_crl: made.root_crl,
        pck_crl: made.pck_crl,
        tcb_info_issuer_chain: made.signer_chain.clone(),
        tcb_info,
        tcb_info_signature,
        qe_identity_issuer_chain: made.signer_chain,
        qe_identity,
        qe_identity_signature,
        pck_certificate_chain: Some(made.pck_chain.clone()),
    };
    let mut chain = x509_cert::Certificate::load_pem_chain(made.pck_chain.as_bytes()).unwrap();
    let root = der::Encode::to_der(&chain.pop().unwrap()).unwrap();
    let policy = QuotePolicy::claims_only(now.0);
    let whole = QuoteVerifier::<OnAwsLc>::new_with_config(root.clone());
    let reading = QuoteVerifier::<Reading>::new_with_config(root);
    watch::in_turns([
        &mut watch::turn(|| {
            whole.verify_with_policy(&made.quote, &collateral, now.0, &policy).unwrap();
        }),
        &mut watch::turn(|| {
            reading.verify_with_policy(&made.quote, &collateral, now.0, &policy).unwrap();
        }),
    ])
}
