// SPDX-License-Identifier: Apache-2.0

//! What requests of all kinds have in common: key, claims, nonce, time, form, and what can be wrong with these.

use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use evidence::claims::{Claims, WorkloadClaim};
use evidence::cmw::{self, Form};
use evidence::crypto::{AwsLc, Cached, Verifier};
use evidence::{Anchors, Evidence, Kind, Nonces, csr};
use types::digest::Sha256;
use types::time::Timestamp;

use super::made::Made;
use super::steer::{self, Steer};
use super::{NOW, azure, cca, intel, nitro, snp};

/// How long a nonce serves, and how much a clock may be behind, in seconds.
const NONCE_SECONDS: u64 = 300;
const SKEW_SECONDS: u64 = 60;
/// How long evidence is remembered to have verified, in entries.
const REMEMBERED: usize = 4096;
const DAY: u64 = 86_400;

/// A key pair, with its SubjectPublicKeyInfo.
struct Key {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

/// P-384, P-256, and one of somebody else's.
fn keys() -> Option<&'static [Key; 3]> {
    static KEYS: OnceLock<Option<[Key; 3]>> = OnceLock::new();
    let make = |algorithm| {
        let pair = EcdsaKeyPair::generate(algorithm).ok()?;
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
        let spki = der.as_ref().to_vec();
        Some(Key { pair, spki })
    };
    let all = || {
        Some([
            make(&ECDSA_P384_SHA384_ASN1_SIGNING)?,
            make(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
            make(&ECDSA_P384_SHA384_ASN1_SIGNING)?,
        ])
    };
    KEYS.get_or_init(all).as_ref()
}

/// Remembers endorsements, as Steward's does.
pub(super) fn verifier() -> &'static dyn Verifier {
    static VERIFIER: OnceLock<Cached<AwsLc>> = OnceLock::new();
    VERIFIER.get_or_init(|| Cached::new(AwsLc, REMEMBERED))
}

/// The roots of all the silicon here.
pub(super) fn roots() -> &'static Anchors {
    static ROOTS: OnceLock<Anchors> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let pem = [snp::roots_pem(), intel::root_pem(), nitro::root_pem(), cca::key_pem()].concat();
        let mut anchors = Anchors::simulated(&pem, &AwsLc).unwrap_or_default();
        anchors.azure_vtpm.extend(azure::root());
        anchors
    })
}

/// A nonce that was handed out.
#[derive(Debug)]
struct Handed {
    nonce: Vec<u8>,
    at: Timestamp,
    used: bool,
}

impl Nonces for Handed {
    fn check(&self, nonce: &[u8], now: Timestamp) -> Result<(), String> {
        if nonce == self.nonce && self.serves(now) { Ok(()) } else { Err("no".to_owned()) }
    }
}

impl Handed {
    const fn serves(&self, now: Timestamp) -> bool {
        let Timestamp(at) = self.at;
        !self.used
            && now.0 <= at.saturating_add(NONCE_SECONDS)
            && at <= now.0.saturating_add(SKEW_SECONDS)
    }
}

/// How a request is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// As an extension where there is one for the kind, else in a bundle.
    Extension,
    /// In a bundle.
    Bundle(Form),
}

/// A Keep, and who asks it.
#[derive(Debug)]
pub(super) struct Keep {
    /// The time.
    pub(super) now: Timestamp,
    key: usize,
    signer: usize,
    handed: Option<Handed>,
    sent: Option<Vec<u8>>,
    nonce_may_be_missing: bool,
    /// Last day on which it may, from today on.
    nonce_until: Option<i64>,
    workload: Option<Sha256>,
    /// Whose key the claims are about.
    claimed: usize,
    /// Whether there are claims.
    claims: bool,
    /// Bits to flip in what the TEE is given; in the claims that are sent; in the request; how much of it is cut off.
    data_flip: Option<(usize, u8)>,
    claims_flip: Option<(usize, u8)>,
    request_flip: Option<(u16, u8)>,
    cut: usize,
    /// Bytes after the endorsements.
    trailing: Vec<u8>,
    shape: Shape,
    strange_roots: bool,
    other_kind: Option<Kind>,
    include_evidence: bool,
    /// Days from the first to the last on which the policy is in force, from today on.
    from: Option<i64>,
    until: Option<i64>,
}

impl Keep {
    /// The Keep that the bytes choose.
    pub(super) fn steered(steer: &mut Steer<'_>) -> Self {
        let fresh = vec![0x6e; 40];
        let mut keep = Self {
            now: NOW,
            key: 0,
            signer: 0,
            handed: Some(Handed { nonce: fresh.clone(), at: NOW, used: false }),
            sent: Some(fresh),
            nonce_may_be_missing: false,
            nonce_until: None,
            workload: None,
            claimed: 0,
            claims: true,
            data_flip: None,
            claims_flip: None,
            request_flip: None,
            cut: 0,
            trailing: Vec::new(),
            shape: Shape::Extension,
            strange_roots: false,
            other_kind: None,
            include_evidence: false,
            from: None,
            until: None,
        };
        steer.changes(19, |steer, which| keep.change(steer, which));
        keep
    }

    fn change(&mut self, steer: &mut Steer<'_>, which: u8) {
        match which {
            1 => self.now = steer.time(NOW),
            2 => self.sent = None,
            3 => {
                let length = steer.pick(&[7, 8, 40, 64, 65], 40);
                self.sent = Some(vec![steer.byte(); length]);
            }
            4 => {
                let at = steer.time(NOW);
                if let Some(handed) = &mut self.handed {
                    (handed.at, handed.used) = (at, steer.yes());
                }
            }
            5 => self.handed = None,
            6 => {
                self.nonce_may_be_missing = true;
                let until = i64::from(steer.byte() % 8) - 3;
                self.nonce_until = steer.yes().then_some(until);
            }
            7 => self.claims = false,
            8 => self.claimed = steer.below(3),
            9 => self.signer = steer.below(3),
            10 => self.request_flip = Some((steer.word(), 1 << (steer.byte() % 8))),
            11 => self.data_flip = Some(steer.flip(64)),
            12 => self.claims_flip = Some(steer.flip(200)),
            13 => {
                let day = |byte: u8| i64::from(byte) - 3;
                (self.from, self.until) = (Some(day(steer.byte() % 8)), None);
                if steer.yes() {
                    let first = self.from.unwrap_or_default();
                    self.until = Some(first + i64::from(steer.byte() % 8));
                }
            }
            14 => self.workload = Some(Sha256([steer.byte(); 32])),
            15 => self.trailing = vec![steer.byte(); 1 + steer.below(4)],
            16 => self.strange_roots = true,
            17 => {
                let form = if steer.yes() { Form::Json } else { Form::Cbor };
                self.shape = Shape::Bundle(form);
                if steer.yes() {
                    self.other_kind = Kind::ALL.get(steer.below(Kind::ALL.len())).copied();
                }
            }
            18 => (self.key, self.signer, self.claimed) = (1, 1, 1),
            _ => (self.include_evidence, self.cut) = (steer.yes(), steer.below(4)),
        }
    }

    /// The public key, DER.
    pub(super) fn spki(&self) -> Vec<u8> {
        Self::spki_of(self.key)
    }

    fn spki_of(which: usize) -> Vec<u8> {
        keys().and_then(|keys| keys.get(which)).map(|key| key.spki.clone()).unwrap_or_default()
    }

    fn claims(&self) -> Vec<u8> {
        let mut pubkey_hash = [0; 48];
        pubkey_hash.copy_from_slice(digest(&SHA384, &Self::spki_of(self.claimed)).as_ref());
        let workload =
            self.workload.map(|digest| WorkloadClaim { digest, slug: None, statement: None });
        Claims { pubkey_hash, nonce: self.sent.clone(), workload }.to_bytes()
    }

    /// The claims as they are sent.
    fn sent_claims(&self) -> Vec<u8> {
        let mut claims = self.claims();
        if let Some((at, mask)) = self.claims_flip {
            let length = claims.len().max(1);
            steer::flip(&mut claims, (at % length, mask));
        }
        claims
    }

    /// What the TEE is given to sign.
    pub(super) fn report_data(&self) -> [u8; 64] {
        let mut data = [0; 64];
        if self.claims {
            data.copy_from_slice(digest(&SHA512, &self.claims()).as_ref());
        } else {
            let hash = digest(&SHA384, &Self::spki_of(self.claimed));
            data.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        }
        if let Some(place) = self.data_flip {
            steer::flip(&mut data, place);
        }
        data
    }

    /// The same for SGX, where data without claims are shorter.
    pub(super) fn sgx_report_data(&self, data: &[u8; 64]) -> [u8; 64] {
        if self.claims {
            return *data;
        }
        let mut data = [0; 64];
        let hash = digest(&SHA256, &Self::spki_of(self.claimed));
        data.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        if let Some(place) = self.data_flip {
            steer::flip(&mut data, place);
        }
        data
    }

    /// The request for this evidence.
    pub(super) fn request(&self, made: &Made) -> Vec<u8> {
        let endorsements = [&made.endorsements[..], &self.trailing].concat();
        let (statement, spki) = (&made.statement, &self.spki());
        let claims = self.claims.then(|| self.sent_claims());
        let kind = self.other_kind.unwrap_or(made.kind);
        let extension = match (self.shape, kind, &claims) {
            (Shape::Extension, Kind::Snp | Kind::Sgx | Kind::Tdx, Some(claims)) => {
                let value = evidence::encode_evidence(kind, statement, claims, &endorsements);
                Some(csr::build(spki, &value))
            }
            (Shape::Extension, Kind::Snp, None) => {
                let value = evidence::encode_legacy_snp(statement, &endorsements);
                Some(csr::build_with(spki, csr::LEGACY_SNP, &value))
            }
            _ => None,
        };
        let tbs = extension.unwrap_or_else(|| {
            let form = match self.shape {
                Shape::Bundle(form) => form,
                Shape::Extension => Form::Cbor,
            };
            let statement = statement.clone();
            let cmw = cmw::encode(form, &Evidence { kind, statement, claims, endorsements });
            csr::build_attribute(spki, csr::ATTESTATION, &csr::bundle(form, &cmw))
        });
        let signer = keys().and_then(|keys| keys.get(self.signer));
        let signature =
            signer.and_then(|key| key.pair.sign(&SystemRandom::new(), tbs.bytes()).ok());
        let mut request = tbs.assemble(signature.as_ref().map(AsRef::as_ref).unwrap_or_default());
        if let Some((at, mask)) = self.request_flip {
            let at = usize::from(at) % request.len().max(1);
            steer::flip(&mut request, (at, mask));
        }
        request.truncate(request.len().saturating_sub(self.cut));
        request
    }

    /// The policy with this section.
    pub(super) fn policy(&self, section: &str) -> String {
        let mut text = section.to_owned();
        if self.nonce_may_be_missing {
            let entry = match self.nonce_until {
                None => "\"nonce-missing\"".to_owned(),
                Some(until) => {
                    format!("{{ name = \"nonce-missing\", until = {} }}", day(until))
                }
            };
            text.push_str(&format!("[request]\nallow = [{entry}]\n"));
        }
        if self.include_evidence {
            text.push_str("[certificate]\ninclude_evidence = true\n");
        }
        if let Some(from) = self.from {
            text.push_str(&format!("[validity]\nfrom = {}\n", day(from)));
            if let Some(until) = self.until {
                text.push_str(&format!("until = {}\n", day(until)));
            }
        }
        text
    }

    /// Whose silicon is believed.
    pub(super) fn anchors(&self) -> &'static Anchors {
        static NOBODY: OnceLock<Anchors> = OnceLock::new();
        if self.strange_roots { NOBODY.get_or_init(Anchors::default) } else { roots() }
    }

    /// Who hands out nonces.
    pub(super) fn nonces(&self) -> Option<&dyn Nonces> {
        self.handed.as_ref().map(|handed| handed as &dyn Nonces)
    }

    /// The nonce that is sent.
    pub(super) fn sent_nonce(&self) -> Option<&[u8]> {
        self.sent.as_deref().filter(|_| self.claims)
    }

    /// The workload that is claimed.
    pub(super) fn workload(&self) -> Option<Sha256> {
        self.workload.filter(|_| self.claims)
    }

    /// Whether a certificate shows evidence of this kind.
    pub(super) const fn shows_evidence(&self, kind: Kind) -> bool {
        self.include_evidence && self.claims && matches!(kind, Kind::Snp | Kind::Sgx | Kind::Tdx)
    }

    /// Relaxations without which a right request would be refused.
    pub(super) fn relaxed(&self) -> Option<String> {
        let missing = self.claims && self.sent.is_none() && self.handed.is_some();
        missing.then(|| "nonce-missing".to_owned())
    }

    /// For what a yes would be wrong, beside what is wrong with the evidence.
    pub(super) fn wrong(&self, made: &Made) -> Vec<&'static str> {
        let mut wrong = Vec::new();
        let mut must = |holds: bool, what| {
            if !holds {
                wrong.push(what);
            }
        };
        must(self.signer == self.key, "signed by another key");
        must(self.claimed == self.key, "made for another key");
        must(self.data_flip.is_none(), "other report data");
        must(self.claims_flip.is_none() || !self.claims, "other claims");
        must(self.request_flip.is_none() && self.cut == 0, "a changed request");
        must(self.trailing.is_empty(), "something after the endorsements");
        must(!self.strange_roots, "roots of nobody");
        must(self.other_kind.is_none_or(|kind| kind == made.kind), "called another kind");
        must(
            self.from.is_none_or(|from| self.now.0 >= start(from))
                && self.until.is_none_or(|until| self.now.0 < start(until + 1)),
            "a policy out of force",
        );
        if self.claims {
            let right = match (&self.sent, &self.handed) {
                (None, None) => true,
                (None, Some(_)) => {
                    let over = self.nonce_until.is_some_and(|until| is_over(until, self.now));
                    self.nonce_may_be_missing && !over
                }
                (Some(_), None) => false,
                (Some(sent), Some(handed)) => *sent == handed.nonce && handed.serves(self.now),
            };
            must(right, "nonce");
        }
        wrong
    }
}

/// Midnight, this many days after that of [`NOW`].
fn start(days: i64) -> u64 {
    let midnight = NOW.0 - NOW.0 % DAY;
    midnight.saturating_add_signed(days.saturating_mul(86_400))
}

/// Whether the day that begins then is over.
pub(super) fn is_over(days: i64, now: Timestamp) -> bool {
    now.0 >= start(days.saturating_add(1))
}

/// The same as a date.
pub(super) fn day(days: i64) -> String {
    let mut text = Timestamp(start(days)).to_string();
    text.truncate(10);
    text
}
