// SPDX-License-Identifier: Apache-2.0

//! How many certificates one core issues, compared with what its signature operations alone would allow.
//!
//! `cargo run --release -p steward --example issue_rate`
//!
//! The work of one request is measured twice: as a whole (parse, appraise, write, sign, lint), and as nothing but the
//! signature checks that it makes and the signature that it writes. The ratio of the two does not depend on the machine.
//! Appraisal is measured for a chip that is seen for the first time (cold) and for one whose certificate and revocation list
//! were checked before (known), as a Steward remembers them. Beside it, the crate `sev` verifies the same chain and report.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measuring program, not a part of the product"
)]

use std::cell::Cell;
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use chassis::clock::Clock;
use evidence::claims::{Claims, WorkloadClaim, pubkey_hash_of};
use evidence::crypto::{AwsLc, BadSignature, Cached, Scheme, Verifier};
use evidence::intel::Collateral;
use evidence::{Context, Kind, csr, encode_evidence, snp};
use sev::certs::snp::{Certificate, Chain, Verifiable, ca};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use steward::audit::Caller;
use steward::authority::{Authority, generate};
use steward::issuer::Issuer;
use steward::log::IssuanceLog;
use steward::nonce::Mint;
use steward::policies::{Loaded, Policies};
use steward::roots;
use testkit::silicon::intel::{SimulatedIntel, Tee};
use testkit::silicon::{Options, SimulatedSnp};
use types::digest::Sha256;

/// How long each of the two is measured.
const MEASURED: Duration = Duration::from_secs(5);
const MEASUREMENT: [u8; 48] = [7; 48];

thread_local! {
    static SPENT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// AWS-LC, with a watch.
struct Timed;

fn timed(check: impl FnOnce() -> Result<(), BadSignature>) -> Result<(), BadSignature> {
    let start = Instant::now();
    let result = check();
    SPENT.set(SPENT.get() + start.elapsed());
    result
}

impl Verifier for Timed {
    fn verify(&self, scheme: Scheme, k: &[u8], m: &[u8], s: &[u8]) -> Result<(), BadSignature> {
        timed(|| AwsLc.verify(scheme, k, m, s))
    }
}

/// A request as a Keep makes it; `evidence` is from what the TEE is to sign to its kind, statement and endorsements.
fn request(evidence: impl FnOnce([u8; 64]) -> (Kind, Vec<u8>, Vec<u8>)) -> Vec<u8> {
    let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap();
    let workload = WorkloadClaim { digest: Sha256::of(b"workload"), slug: None, statement: None };
    let claims = Claims {
        pubkey_hash: pubkey_hash_of(spki.as_ref()),
        nonce: None,
        workload: Some(workload),
    };
    let (kind, statement, endorsements) = evidence(claims.report_data());
    let value = encode_evidence(kind, &statement, &claims.to_bytes(), &endorsements);
    let tbs = csr::build(spki.as_ref(), &value);
    let signature = key.sign(&SystemRandom::new(), tbs.bytes()).unwrap();
    tbs.assemble(signature.as_ref())
}

/// Evidence of SEV-SNP.
fn of_snp(silicon: &SimulatedSnp, data: [u8; 64]) -> (Kind, Vec<u8>, Vec<u8>) {
    let blob = silicon.attestation(&data, &MEASUREMENT).unwrap();
    let (report, endorsements) = snp::split_attestation(&blob).unwrap();
    (Kind::Snp, report.to_vec(), endorsements.to_vec())
}

/// Evidence of SGX or TDX, with all of its collateral.
fn of_intel(silicon: &SimulatedIntel, tee: Tee, data: [u8; 64]) -> (Kind, Vec<u8>, Vec<u8>) {
    let mut knobs = silicon.knobs(tee);
    knobs.quote.report_data = data;
    let made = silicon.evidence(&knobs).unwrap();
    let collateral = Collateral {
        crls: vec![made.root_crl, made.pck_crl],
        tcb_info: Some(made.tcb_info),
        qe_identity: Some(made.qe_identity),
        tcb_info_chain: Some(made.signer_chain),
        ..Collateral::default()
    };
    let kind = if tee == Tee::Sgx { Kind::Sgx } else { Kind::Tdx };
    (kind, made.quote, collateral.to_bytes())
}

/// Time that `work` takes, averaged over [`MEASURED`].
fn average(mut work: impl FnMut()) -> Duration {
    work();
    let start = Instant::now();
    let mut rounds = 0;
    while start.elapsed() < MEASURED {
        work();
        rounds += 1;
    }
    start.elapsed() / rounds
}

/// Time of the signature that a certificate gets, and of checking it again.
fn own_signature() -> Duration {
    let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let random = SystemRandom::new();
    let message = [0; 2048];
    average(|| {
        let signature = key.sign(&random, &message).unwrap();
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, key.public_key().as_ref())
            .verify(&message, signature.as_ref())
            .unwrap();
    })
}

/// Time of what the crate `sev` does: three RSA signatures and the report's, no names, dates, lists or versions.
fn by_the_crate_sev(silicon: &SimulatedSnp) -> Duration {
    let blob = silicon.attestation(&[7; 64], &MEASUREMENT).unwrap();
    let (report, _) = snp::split_attestation(&blob).unwrap();
    let read = |der: &[u8]| Certificate::from_der(der).unwrap();
    average(|| {
        let (ark, ask) = (read(silicon.ark()), read(silicon.ask()));
        let chain = Chain { ca: ca::Chain { ark, ask }, vek: read(silicon.vcek()) };
        let report = AttestationReport::from_bytes(report).unwrap();
        (&chain, &report).verify().unwrap();
    })
}

fn main() {
    let now = Clock::System.now();
    let silicon = SimulatedSnp::generate(now, Options::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    chassis::durable::write(&path("roots.pem"), silicon.roots_pem().as_bytes(), 0o600).unwrap();
    let policy = format!(
        // The same request again and again.
        "[request]\nallow = [\"nonce-missing\"]\n[snp]\nhash = [\"{}\"]\n",
        hex::encode(MEASUREMENT)
    );
    chassis::durable::write(&path("policy.toml"), policy.as_bytes(), 0o600).unwrap();
    let policy = Loaded::read(&path("policy.toml")).unwrap();
    let mut anchors = roots::vendors().unwrap();
    anchors.extend(roots::insecure_simulated(&path("roots.pem")).unwrap());
    let root = generate("Measured", now.minus(3600)).unwrap();
    let authority =
        Authority::from_pem(root.certificate_pem.as_bytes(), root.key_pem.as_bytes(), now).unwrap();
    let intel = SimulatedIntel::generate(now).unwrap();
    let request_of = |tee: Tee| request(|data| of_intel(&intel, tee, data));
    let (sgx, tdx) = (request_of(Tee::Sgx), request_of(Tee::Tdx));
    let request = request(|data| of_snp(&silicon, data));

    let mut roots = evidence::Anchors::simulated(&silicon.roots_pem(), &AwsLc).unwrap();
    let intels = intel.root_pem().unwrap();
    roots.extend(evidence::Anchors::simulated(&intels, &AwsLc).unwrap());
    let appraised = policy.policy.clone();
    let appraise_one = |request: &[u8], verifier: &dyn Verifier| {
        let mut rounds = 0;
        SPENT.set(Duration::ZERO);
        let time = average(|| {
            rounds += 1;
            let context = Context {
                policy: &appraised,
                anchors: &roots,
                nonces: None,
                build: "measured",
                now,
                verifier,
            };
            evidence::appraise(request, &context).unwrap();
        });
        (time, SPENT.get() / rounds)
    };
    let appraise = |verifier: &dyn Verifier| appraise_one(&request, verifier);
    let (cold, cold_checks) = appraise(&Timed);
    let (known, checks) = appraise(&Cached::new(Timed, 64));
    let snp_known = known;
    let own = own_signature();
    let others = by_the_crate_sev(&silicon);

    // Many requests share one write to the disk, so that it is no part of the work of one.
    let log = IssuanceLog::insecure_none();
    let nonces = Mint::new().unwrap();
    let issuer =
        Issuer::new(authority, Policies::new(policy), anchors, Clock::Fixed(now), log, nonces);
    issuer.set_url("https://steward.example.com");
    let whole = average(|| {
        issuer.issue(&request, &Caller::default()).unwrap();
    });

    let rate = |time: Duration| 1.0 / time.as_secs_f64();
    let of = |part: Duration, whole: Duration| part.as_secs_f64() / whole.as_secs_f64();
    let line = |what: &str, time: Duration, unit: &str| {
        println!("  {what:<44} {time:>10.1?}   {:>7.0} {unit}/s", rate(time));
    };
    println!("one core, one certificate:");
    line("appraisal, cold", cold, "requests");
    line("  of it signature checks", cold_checks, "requests");
    line("appraisal, chip known", known, "requests");
    line("  of it signature checks", checks, "requests");
    line("the crate sev, chain and report alone", others, "reports");
    line("signing, and checking it", own, "certificates");
    line("issuance, chip known", whole, "certificates");
    line("  its signatures alone", checks + own, "certificates");
    // Not measured in one piece: a request is cold once.
    let first = whole + cold.saturating_sub(known);
    line("issuance, cold (sum)", first, "certificates");
    line("  its signatures alone", cold_checks + own, "certificates");
    println!("issuance rate / rate of its signature operations alone:");
    println!(
        "  chip known {:.2}, cold {:.2}",
        of(checks + own, whole),
        of(cold_checks + own, first)
    );
    for (name, request) in [("SGX", &sgx), ("TDX", &tdx)] {
        let (cold, cold_checks) = appraise_one(request, &Timed);
        let (known, checks) = appraise_one(request, &Cached::new(Timed, 64));
        // Writing, signing and reading a certificate is the same work for every TEE: that of the SNP one.
        let rest = whole.saturating_sub(snp_known);
        line(&format!("{name}: appraisal, cold"), cold, "requests");
        line(&format!("{name}: appraisal, platform known"), known, "requests");
        line(&format!("{name}: issuance, platform known (sum)"), known + rest, "certificates");
        println!(
            "  {name}: issuance rate / rate of its signatures alone: known {:.2}, cold {:.2}",
            of(checks + own, known + rest),
            of(cold_checks + own, cold + rest)
        );
    }
    println!("appraisal, cold, whole / the crate sev: {:.1} times as fast", of(others, cold));
}
