// SPDX-License-Identifier: Apache-2.0

//! A Keep on simulated silicon, a registry, and what becomes of its requests.

use std::sync::LazyLock;

use crate::crypto::Both;
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
};
use drawbridge_core::statement::{self, Statement};
use enarx_evidence::amd::Roots;
use enarx_evidence::claims::{Claims, WorkloadClaim, pubkey_hash_of};
use enarx_evidence::crypto::AwsLc;
use enarx_evidence::policy::Policy;
use enarx_evidence::snp::{self, Endorsements, Verified, verify_snp};
use enarx_evidence::{Anchors, Context, Decision, Kind, Refusal, appraise, csr, encode_evidence};
use testkit::silicon::{Options, Shape, SimulatedSnp};
use types::digest::Sha256;
use types::slug::Slug;
use types::time::Timestamp;

/// When all of this happens.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000);
/// What the Keep is.
pub(crate) const MEASUREMENT: [u8; 48] = [0x4d; 48];
/// A day, in seconds.
pub(crate) const DAY: u64 = 86_400;

/// A Milan whose reports have nothing wrong.
pub(crate) static MILAN: LazyLock<SimulatedSnp> =
    LazyLock::new(|| SimulatedSnp::generate(NOW, Options::default()).unwrap());
/// A Turin, likewise.
pub(crate) static TURIN: LazyLock<SimulatedSnp> = LazyLock::new(|| {
    let shape = Shape {
        product: "Turin".into(),
        version: 5,
        cpuid: (0x1a, 0x02, 0x01),
        fmc: Some(1),
        ..Shape::default()
    };
    SimulatedSnp::generate(NOW, Options { shape, ..Options::default() }).unwrap()
});

pub(crate) fn roots(silicon: &SimulatedSnp) -> Vec<Roots> {
    let roots = Roots::from_pem(&silicon.roots_pem(), &Both).unwrap();
    assert!(roots.iter().all(Roots::simulated));
    roots
}

pub(crate) fn policy(text: &str) -> Policy {
    Policy::parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// Report and endorsements of an attestation.
pub(crate) fn parts(blob: &[u8]) -> (Vec<u8>, Endorsements) {
    let (report, endorsements) = snp::split_attestation(blob).unwrap();
    (report.to_vec(), Endorsements::from_der(endorsements).unwrap())
}

/// Verifies one report of this silicon under this policy, by the roots of the same silicon.
pub(crate) fn verify(silicon: &SimulatedSnp, policy_text: &str) -> Result<Verified, Refusal> {
    verify_at(silicon, policy_text, NOW)
}

pub(crate) fn verify_at(
    silicon: &SimulatedSnp,
    policy_text: &str,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let (report, endorsements) = parts(&silicon.attestation(&[7; 64], &MEASUREMENT).unwrap());
    let policy = policy(policy_text);
    verify_snp(&report, &endorsements, &policy.snp, &roots(silicon), now, &Both)
}

/// A Keep's key.
pub(crate) struct Key {
    pair: EcdsaKeyPair,
    pub(crate) spki: Vec<u8>,
}

impl Key {
    pub(crate) fn new() -> Self {
        Self::on(&ECDSA_P384_SHA384_ASN1_SIGNING)
    }

    pub(crate) fn p256() -> Self {
        Self::on(&ECDSA_P256_SHA256_ASN1_SIGNING)
    }

    fn on(curve: &'static EcdsaSigningAlgorithm) -> Self {
        let pair = EcdsaKeyPair::generate(curve).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let spki = der.as_ref().to_vec();
        Self { pair, spki }
    }

    pub(crate) fn sign(&self, tbs: &csr::Tbs) -> Vec<u8> {
        let signature = self.pair.sign(&SystemRandom::new(), tbs.bytes()).unwrap();
        tbs.assemble(signature.as_ref())
    }

    /// Signs anything as if it were the signed part of a request.
    pub(crate) fn sign_bytes(&self, info: &[u8]) -> Vec<u8> {
        let signature = self.pair.sign(&SystemRandom::new(), info).unwrap();
        csr::assemble(info, signature.as_ref())
    }

    pub(crate) fn claims(&self, workload: Option<WorkloadClaim>) -> Claims {
        Claims { pubkey_hash: pubkey_hash_of(&self.spki), nonce: None, workload }
    }

    /// A request with evidence of `silicon` for these claims.
    pub(crate) fn request(&self, silicon: &SimulatedSnp, claims: &Claims) -> Vec<u8> {
        let blob = silicon.attestation(&claims.report_data(), &MEASUREMENT).unwrap();
        let (report, endorsements) = snp::split_attestation(&blob).unwrap();
        let value = encode_evidence(Kind::Snp, report, &claims.to_bytes(), endorsements);
        self.sign(&csr::build(&self.spki, &value))
    }
}

/// What a Steward with the roots of [`MILAN`] decides.
pub(crate) fn decide(request: &[u8], policy_text: &str) -> Result<Decision, Refusal> {
    decide_at(
        request,
        &policy(policy_text),
        &Anchors { amd: roots(&MILAN), ..Anchors::default() },
        NOW,
    )
}

/// The same by AWS-LC alone, for thousands of requests.
pub(crate) fn decide_fast(request: &[u8], policy_text: &str) -> Result<Decision, Refusal> {
    static ROOTS: LazyLock<Anchors> =
        LazyLock::new(|| Anchors { amd: roots(&MILAN), ..Anchors::default() });
    let (policy, now, verifier) = (policy(policy_text), NOW, &AwsLc);
    let anchors = &*ROOTS;
    appraise(request, &Context { policy: &policy, anchors, nonces: None, build: "", now, verifier })
}

/// What a Steward decides under this policy, with these roots, at this time.
pub(crate) fn decide_at(
    request: &[u8],
    policy: &Policy,
    anchors: &Anchors,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let context = Context { policy, anchors, nonces: None, build: "test 1", now, verifier: &Both };
    appraise(request, &context)
}

/// A registry, with its key.
pub(crate) struct Registry {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let spki = der.as_ref().to_vec();
        Self { pair, spki }
    }

    /// Its place in a policy.
    pub(crate) fn entry(&self, host: &str) -> String {
        let pem = der::pem::encode_string("PUBLIC KEY", Default::default(), &self.spki).unwrap();
        format!("[[registry]]\nhost = \"{host}\"\nkey = '''\n{pem}'''\n")
    }

    /// Its word that `slug` is `digest`.
    pub(crate) fn statement(&self, slug: &Slug, digest: Sha256, at: Timestamp) -> String {
        let Slug { host, user, repo, tag, .. } = slug.clone();
        let tag = tag.to_string();
        let statement = Statement { digest, host, iat: at.0, repo, tag, user };
        let input = statement.signing_input(&statement::thumbprint(&self.spki).unwrap());
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        statement::assemble(&input, signature.as_ref().try_into().unwrap())
    }
}

/// A value with its tag and its length, DER.
pub(crate) fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    match value.len() {
        0..=127 => [&[tag, length[1]], value].concat(),
        128..=255 => [&[tag, 0x81, length[1]], value].concat(),
        _ => [&[tag, 0x82, length[0], length[1]], value].concat(),
    }
}
