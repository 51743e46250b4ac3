// SPDX-License-Identifier: Apache-2.0

//! A Keep that asks for a certificate, honest or not, and a registry that vouches for its workload.

use std::sync::LazyLock;

use ::evidence::claims::{Claims, WorkloadClaim};
use ::evidence::{Kind, csr, encode_evidence, encode_legacy_snp, snp};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use chassis::clock::Clock;
use drawbridge_core::statement::{Statement, assemble, thumbprint};
use testkit::silicon::{Options, SimulatedSnp};
use types::digest::Sha256;
use types::slug::Slug;

/// Measurement of the Keep of these tests.
pub(crate) const MEASUREMENT: [u8; 48] = [0x5a; 48];
/// A workload.
pub(crate) const SLUG: &str = "store.example.com/team/app:1.2.0";

/// One chip for all tests: its keys take long to make.
pub(crate) static SILICON: LazyLock<SimulatedSnp> =
    LazyLock::new(|| SimulatedSnp::generate(Clock::System.now(), Options::default()).unwrap());

pub(crate) fn digest() -> Sha256 {
    Sha256::of(b"workload")
}

pub(crate) fn slug() -> Slug {
    SLUG.parse().unwrap()
}

/// Takes evidence without a nonce: most tests are about something else. See `nonce.rs` for those that are not.
pub(crate) const NO_NONCE: &str = "[request]\nallow = [\"nonce-missing\"]\n";

/// A policy that pins the Keep of these tests, knows `registries`, and does without nonces.
pub(crate) fn policy(registries: &[&Registry]) -> String {
    let mut policy = format!("{NO_NONCE}[snp]\nhash = [\"{}\"]\n", hex::encode(MEASUREMENT));
    for registry in registries {
        policy.push_str(&registry.entry());
    }
    policy
}

/// What a Keep has: a key.
pub(crate) struct Keep {
    key: EcdsaKeyPair,
    pub(crate) spki: Vec<u8>,
}

/// Evidence in its parts.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) report: Vec<u8>,
    pub(crate) claims: Vec<u8>,
    pub(crate) endorsements: Vec<u8>,
}

impl Keep {
    pub(crate) fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let spki =
            AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap().as_ref().to_vec();
        Self { key, spki }
    }

    /// Claims about this Keep's key, and this workload.
    pub(crate) fn claims(&self, workload: Option<WorkloadClaim>) -> Claims {
        Claims {
            pubkey_hash: ::evidence::claims::pubkey_hash_of(&self.spki),
            nonce: None,
            workload,
        }
    }

    /// Evidence for claims, from `silicon`.
    pub(crate) fn evidence_of(silicon: &SimulatedSnp, claims: &Claims) -> Parts {
        let blob = silicon.attestation(&claims.report_data(), &MEASUREMENT).unwrap();
        let (report, endorsements) = snp::split_attestation(&blob).unwrap();
        Parts {
            report: report.to_vec(),
            claims: claims.to_bytes(),
            endorsements: endorsements.to_vec(),
        }
    }

    /// Evidence for this key and workload from the chip of all tests.
    pub(crate) fn evidence(&self, workload: Option<WorkloadClaim>) -> Parts {
        Self::evidence_of(&SILICON, &self.claims(workload))
    }

    /// The request with this evidence, signed by this Keep's key.
    pub(crate) fn request(&self, parts: &Parts) -> Vec<u8> {
        let value = encode_evidence(Kind::Snp, &parts.report, &parts.claims, &parts.endorsements);
        self.sign(&csr::build(&self.spki, &value))
    }

    /// A request with any extension.
    pub(crate) fn request_with(&self, oid: const_oid::ObjectIdentifier, value: &[u8]) -> Vec<u8> {
        self.sign(&csr::build_with(&self.spki, oid, value))
    }

    /// A request without any attribute, as other programs make them.
    pub(crate) fn request_without_extensions(&self) -> Vec<u8> {
        use der::asn1::{Any, BitString};
        use der::{Decode as _, Encode as _};
        let info = [&[0x30, 127, 2, 1, 0, 0x30, 0][..], &self.spki, &[0xa0, 0]].concat();
        let signature = self.key.sign(&SystemRandom::new(), &info).unwrap();
        let algorithm = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
        let signature = BitString::from_bytes(signature.as_ref()).unwrap();
        vec![
            Any::from_der(&info).unwrap(),
            Any::from_der(algorithm).unwrap(),
            Any::encode_from(&signature).unwrap(),
        ]
        .to_der()
        .unwrap()
    }

    /// A request in the form of the original Enarx, which binds the key only.
    pub(crate) fn legacy_request(&self) -> Vec<u8> {
        let bound = ::evidence::claims::legacy_report_data(Kind::Snp, &self.spki);
        let blob = SILICON.attestation(&bound, &MEASUREMENT).unwrap();
        let (report, endorsements) = snp::split_attestation(&blob).unwrap();
        self.request_with(csr::LEGACY_SNP, &encode_legacy_snp(report, endorsements))
    }

    fn sign(&self, tbs: &csr::Tbs) -> Vec<u8> {
        let signature = self.key.sign(&SystemRandom::new(), tbs.bytes()).unwrap();
        tbs.assemble(signature.as_ref())
    }
}

/// A workload without a name.
pub(crate) fn unnamed() -> WorkloadClaim {
    WorkloadClaim { digest: digest(), slug: None, statement: None }
}

/// A workload with a name, and `statement` to show for it.
pub(crate) fn named(statement: &str) -> WorkloadClaim {
    WorkloadClaim { digest: digest(), slug: Some(slug()), statement: Some(statement.to_owned()) }
}

/// A registry that signs for tags.
pub(crate) struct Registry {
    key: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let spki =
            AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap().as_ref().to_vec();
        Self { key, spki }
    }

    /// Its entry in a policy.
    pub(crate) fn entry(&self) -> String {
        let pem = der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, &self.spki);
        format!(
            "[[registry]]\nhost = \"store.example.com\"\nkey = \"\"\"\n{}\"\"\"\n",
            pem.unwrap()
        )
    }

    /// Its word that the tag of these tests stands for `digest`.
    pub(crate) fn statement(&self, digest: Sha256) -> String {
        let slug = slug();
        let statement = Statement {
            digest,
            host: slug.host,
            iat: Clock::System.now().0,
            repo: slug.repo,
            tag: slug.tag.to_string(),
            user: slug.user,
        };
        let input = statement.signing_input(&thumbprint(&self.spki).unwrap());
        let signature = self.key.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        assemble(&input, signature.as_ref().try_into().unwrap())
    }
}
