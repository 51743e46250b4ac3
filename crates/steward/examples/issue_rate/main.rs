// SPDX-License-Identifier: Apache-2.0

//! How many certificates one core issues, compared with what its signature operations alone would allow.
//!
//! `cargo run --release -p steward --example issue_rate [SECONDS PER MEASUREMENT]`
//!
//! The work of one request is measured as a whole (parse, appraise, write, sign, lint), and as nothing but the signatures
//! that it checks and makes, one after the other. The ratio of the two depends little on the machine. Both for a platform
//! whose endorsements were seen before (known), as a Steward remembers them, and for one that is new (cold: nothing at all
//! is remembered); for keys of P-384, as Keeps and Stewards make them, and of P-256, which both may have. Beside it the
//! crates `sev` and `dcap-qvl` verify the same evidence. All on simulated silicon.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measuring program, not a part of the product"
)]

mod memory;
mod others;
mod requests;
mod signatures;
mod watch;

use std::path::Path;
use std::time::Duration;

use chassis::clock::Clock;
use evidence::crypto::{AwsLc, Cached, Verifier};
use evidence::{Anchors, Context, Kind};
use steward::audit::Caller;
use steward::authority::{Authority, Signer, create};
use steward::issuer::Issuer;
use steward::log::IssuanceLog;
use steward::nonce::Mint;
use steward::policies::{Loaded, Policies};
use steward::roots;
use types::limits;
use types::time::Timestamp;

use memory::Counting;
use requests::{Curve, MEASUREMENT, Silicon};
use signatures::{Checks, Own};

#[global_allocator]
static COUNTING: Counting = Counting;

const KINDS: [Kind; 3] = [Kind::Snp, Kind::Sgx, Kind::Tdx];
/// Requests that share one write to the disk.
const TOGETHER: usize = 64;

/// Everything that does not change.
struct Place<'a> {
    dir: &'a Path,
    now: Timestamp,
    silicon: Silicon,
    anchors: Anchors,
}

impl Place<'_> {
    fn policy(&self) -> Loaded {
        Loaded::read(&self.dir.join("policy.toml")).unwrap()
    }

    /// What makes Stewards that have seen nothing yet, with one CA whose key is on this curve.
    fn stewards(&self, curve: Curve) -> impl Fn(IssuanceLog) -> Issuer {
        let pkcs8 = curve.generate().to_pkcs8v1().unwrap();
        let ending = der::pem::LineEnding::LF;
        let key = der::pem::encode_string("PRIVATE KEY", ending, pkcs8.as_ref()).unwrap();
        let signer = Signer::from_pem(key.as_bytes()).unwrap();
        let root = create::root("Measured", &signer, self.now.minus(3600)).unwrap();
        move |log| {
            let ca = Authority::from_pem(root.chain_pem.as_bytes(), key.as_bytes(), self.now);
            let policies = Policies::new(self.policy());
            let (clock, mint) = (Clock::Fixed(self.now), Mint::new().unwrap());
            let issuer = Issuer::new(ca.unwrap(), policies, self.anchors.clone(), clock, log, mint);
            issuer.set_url("https://steward.example.com");
            issuer
        }
    }

    fn appraise(&self, policy: &Loaded, request: &[u8], verifier: &dyn Verifier) {
        let context = Context {
            policy: &policy.policy,
            anchors: &self.anchors,
            nonces: None,
            build: "measured",
            now: self.now,
            verifier,
        };
        evidence::appraise(request, &context).unwrap();
    }
}

fn issue(issuer: &Issuer, request: &[u8]) {
    issuer.issue(request, &Caller::default()).unwrap();
}

fn rate(time: Duration) -> f64 {
    1.0 / time.as_secs_f64()
}

fn of(part: Duration, whole: Duration) -> f64 {
    part.as_secs_f64() / whole.as_secs_f64()
}

fn line(what: &str, time: Duration, unit: &str) {
    println!("  {what:<52} {time:>10.1?}  {:>7.0} {unit}/s", rate(time));
}

/// Measures one curve: the lowest ratio, and certificates of SNP a second when the platform is known.
fn measure(place: &Place<'_>, curve: Curve) -> (f64, f64) {
    let (policy, stewards) = (place.policy(), place.stewards(curve));
    let own = Own::new(curve);
    let signature = own.sign();
    println!("\nKeep's key and CA's key of {}:", curve.name());
    let signing = watch::average(|| {
        let _ = own.sign();
    });
    line("signing a certificate", signing, "signatures");
    let checking = watch::average(|| own.check(&signature));
    line("checking that signature before it leaves", checking, "signatures");
    println!("  issuance, beside its signature operations alone, and the appraisal in it:");
    println!("                  whole   signatures  ratio  certificates/s    appraisal");
    let (mut least, mut snp) = (f64::INFINITY, 0.0);
    for kind in KINDS {
        let request = place.silicon.request(kind, curve);
        let appraise = |verifier: &dyn Verifier| place.appraise(&policy, &request, verifier);
        let checks = Checks::of(appraise);
        let signatures = |checks| {
            signatures::make(checks);
            own.check(&own.sign());
        };
        let (new, cached) = (|| stewards(IssuanceLog::insecure_none()), Cached::new(AwsLc, 64));
        let known = new();
        issue(&known, &request);
        appraise(&cached);
        let times = [
            watch::in_turns([
                &mut watch::turn(|| issue(&known, &request)),
                &mut watch::turn(|| signatures(&checks.known)),
                &mut watch::turn(|| appraise(&cached)),
            ]),
            watch::in_turns([
                &mut watch::turn_once(new, |new| issue(new, &request)),
                &mut watch::turn(|| signatures(&checks.cold)),
                &mut watch::turn(|| appraise(&AwsLc)),
            ]),
        ];
        for (name, [whole, signatures, appraisal]) in ["known", "cold"].into_iter().zip(times) {
            let (kind_name, ratio, rate) = (kind.name(), of(signatures, whole), rate(whole));
            println!(
                "  {kind_name:<5} {name:<5} {whole:>10.1?} {signatures:>12.1?}   {ratio:.2} {rate:>15.0} {appraisal:>12.1?}"
            );
            least = least.min(ratio);
            if (kind, name) == (Kind::Snp, "known") {
                snp = rate;
            }
        }
    }
    (least, snp)
}

/// Issuance that is recorded on disk; many share one write. The thread that writes is another one.
fn with_log(place: &Place<'_>, curve: Curve) {
    let log = IssuanceLog::open(&place.dir.join(curve.name())).unwrap();
    let issuer = place.stewards(curve)(log);
    let request = place.silicon.request(Kind::Snp, curve);
    let time = watch::average(|| {
        let made: Vec<_> = (0..TOGETHER)
            .map(|_| issuer.issue_all(&[&request], &Caller::default()).unwrap())
            .collect();
        made.into_iter().for_each(|made| drop(made.wait().unwrap()));
    });
    let time = time / u32::try_from(TOGETHER).unwrap();
    let what = format!("SNP, known, {}, recorded on disk, {TOGETHER} at a time", curve.name());
    line(&what, time, "certificates");
}

/// Memory of one request, above what Steward holds anyway.
fn memory_of(place: &Place<'_>) {
    println!(
        "\nmemory of one request (held at the same time, at most; the request itself not counted):"
    );
    let issuer = place.stewards(Curve::P384)(IssuanceLog::insecure_none());
    for kind in KINDS {
        let request = place.silicon.request(kind, Curve::P384);
        for name in ["cold", "known"] {
            let (peak, calls) = memory::of(|| issue(&issuer, &request));
            let (length, kib) = (request.len(), peak as f64 / 1024.0);
            let kind = kind.name();
            println!(
                "  {kind:<5} {name:<5} {length:>6} bytes of request: {kib:>6.1} KiB, {calls} allocations"
            );
        }
    }
    // As large as one may be, and of no use.
    let garbage = vec![0x30; limits::REQUEST_BYTES_MAX];
    let refuse = || drop(issuer.issue(&garbage, &Caller::default()).unwrap_err());
    let (peak, calls) = memory::of(refuse);
    let kib = peak as f64 / 1024.0;
    println!(
        "  refused     {:>6} bytes of request: {kib:>6.1} KiB, {calls} allocations",
        garbage.len()
    );
}

fn main() {
    let seconds = std::env::args().nth(1).map_or(3.0, |seconds| seconds.parse().unwrap());
    watch::MEASURED.set(Duration::from_secs_f64(seconds)).unwrap();
    let now = Clock::System.now();
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = dir.path().join(name);
        chassis::durable::write(&path, text.as_bytes(), 0o600).unwrap();
        path
    };
    let silicon = Silicon::generate(now);
    // The same request again and again, so without a nonce.
    let pinned = hex::encode(MEASUREMENT);
    let allow = "[request]\nallow = [\"nonce-missing\"]\n";
    put("policy.toml", &format!("{allow}[snp]\nhash = [\"{pinned}\"]\n"));
    let mut anchors = roots::vendors().unwrap();
    let simulated = put("roots.pem", &silicon.roots_pem());
    anchors.extend(roots::insecure_simulated(&simulated).unwrap());
    let place = Place { dir: dir.path(), now, silicon, anchors };

    println!("one core, {}, {seconds} s each", watch::Watch::start().name());
    let measured = [Curve::P384, Curve::P256].map(|curve| (curve, measure(&place, curve)));
    println!("\nwith the issuance log:");
    with_log(&place, Curve::P384);
    with_log(&place, Curve::P256);
    println!("\nthe same evidence by others:");
    line("SNP, the crate sev: chain and report", others::sev(&place.silicon), "reports");
    for kind in [Kind::Sgx, Kind::Tdx] {
        let [whole, reading] = others::dcap_qvl(&place.silicon, kind, now);
        let name = kind.name();
        line(&format!("{name}, the crate dcap-qvl on AWS-LC: all of a quote"), whole, "quotes");
        line(&format!("{name}, of it all but the signatures"), reading, "quotes");
    }
    memory_of(&place);

    println!();
    for (curve, (ratio, snp)) in measured {
        let said = |met| if met { "met" } else { "NOT MET" };
        let name = curve.name();
        println!(
            "{}: {name}: at least 0.80 of the rate of its signatures: {ratio:.2}",
            said(ratio >= 0.8)
        );
        println!("{}: {name}: 2,000 certificates of SNP a second: {snp:.0}", said(snp >= 2000.0));
    }
}
