// SPDX-License-Identifier: Apache-2.0

//! Certification requests as an attacker would make them who owns the machine: with simulated silicon, that can be
//! anything.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::asn1::Any;
use der::{Decode as _, Encode as _};
use evidence::claims::{Claims, WorkloadClaim, pubkey_hash_of};
use evidence::{Kind, csr, encode_evidence};
use testkit::silicon::SimulatedSnp;
use types::limits;
use types::problem::Problem;
use ureq::Agent;

use crate::failure::{Context as _, Failure};

/// A key, as a Keep would make one.
pub(super) struct Key {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
    spki: Vec<u8>,
}

impl Key {
    /// A new key.
    ///
    /// # Errors
    /// If the system's randomness fails.
    pub(super) fn generate() -> Result<Self, Failure> {
        let what = "cannot make a key";
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &SystemRandom::new())
                .context(what)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, document.as_ref())
            .context(what)?;
        let spki: aws_lc_rs::encoding::PublicKeyX509Der<'_> =
            pair.public_key().as_der().context(what)?;
        let spki = spki.as_ref().to_vec();
        Ok(Self { pkcs8: document.as_ref().to_vec(), pair, spki })
    }

    /// The private key, PKCS#8 DER.
    pub(super) fn pkcs8(&self) -> Vec<u8> {
        self.pkcs8.clone()
    }
}

/// The parts of a piece of evidence.
pub(super) struct Evidence {
    /// The report.
    pub report: Vec<u8>,
    /// The claims that it binds.
    pub claims: Vec<u8>,
    /// The certificate of the key that signed it, with revocation lists.
    pub endorsements: Vec<u8>,
}

/// A nonce of Steward's.
///
/// # Errors
/// If Steward cannot be reached or its answer cannot be understood.
pub(super) fn nonce(agent: &Agent, steward: &str) -> Result<Vec<u8>, Failure> {
    let url = format!("{}/v1/nonce", steward.trim_end_matches('/'));
    let what = || format!("cannot get a nonce from {url}");
    let body = agent.get(&url).call().context(what())?.into_body().read_to_vec().context(what())?;
    let json: serde_json::Value = serde_json::from_slice(&body).context(what())?;
    let text = json.get("nonce").and_then(serde_json::Value::as_str).unwrap_or_default();
    URL_SAFE_NO_PAD.decode(text).context(what())
}

/// Evidence of `silicon` for a Keep of this measurement, with this key and workload, made after `nonce`.
///
/// # Errors
/// If the silicon gives no evidence.
pub(super) fn evidence(
    silicon: &SimulatedSnp,
    measurement: &[u8; 48],
    key: &Key,
    workload: Option<WorkloadClaim>,
    nonce: Option<Vec<u8>>,
) -> Result<Evidence, Failure> {
    let claims = Claims { pubkey_hash: pubkey_hash_of(&key.spki), nonce, workload };
    let blob = silicon
        .attestation(&claims.report_data(), measurement)
        .context("cannot simulate evidence")?;
    let (report, endorsements) =
        evidence::snp::split_attestation(&blob).context("cannot read the simulated evidence")?;
    Ok(Evidence {
        report: report.to_vec(),
        claims: claims.to_bytes(),
        endorsements: endorsements.to_vec(),
    })
}

/// A request of `key` with this evidence.
///
/// # Errors
/// If it cannot be signed.
pub(super) fn request(key: &Key, evidence: &Evidence) -> Result<Vec<u8>, Failure> {
    let extension =
        encode_evidence(Kind::Snp, &evidence.report, &evidence.claims, &evidence.endorsements);
    let tbs = csr::build(&key.spki, &extension);
    let signature =
        key.pair.sign(&SystemRandom::new(), tbs.bytes()).context("cannot sign a request")?;
    Ok(tbs.assemble(signature.as_ref()))
}

/// What Steward answered.
pub(super) enum Answer {
    /// A chain, leaf first, DER.
    Issued(Vec<Vec<u8>>),
    /// No.
    Refused(Problem),
}

/// Sends a request to Steward.
///
/// # Errors
/// If Steward cannot be reached or its answer cannot be understood.
pub(super) fn send(agent: &Agent, steward: &str, request: &[u8]) -> Result<Answer, Failure> {
    let what = || format!("cannot ask {steward} for a certificate");
    let response = agent
        .post(steward)
        .header("content-type", "application/pkcs10")
        .send(request)
        .context(what())?;
    let status = response.status();
    let limit = u64::try_from(limits::CHAIN_BYTES_MAX).unwrap_or(u64::MAX);
    let body = response.into_body().with_config().limit(limit).read_to_vec().context(what())?;
    if status != 200 {
        let problem = serde_json::from_slice(&body).context(what())?;
        return Ok(Answer::Refused(problem));
    }
    let path = Vec::<Any>::from_der(&body).context(what())?;
    let chain: Result<Vec<Vec<u8>>, _> =
        path.iter().rev().map(|certificate| certificate.to_der()).collect();
    Ok(Answer::Issued(chain.context(what())?))
}
