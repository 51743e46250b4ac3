// SPDX-License-Identifier: Apache-2.0

//! Twice as many requests as Steward can serve: who is let in is served as before, the rest is told to come back.
//!
//! `cargo build --release -p steward && cargo run --release -p steward --example overload [SECONDS]`
//!
//! Drives the program beside this one, over TLS, with requests of simulated silicon; the issuance log is kept, on disk.
//! Client and server share this machine, so the capacity is what is left to the server. Ends with code 1 if anything but
//! certificates and 503 with Retry-After came back, or if RELIABILITY S-5 is not met: p99 of the accepted below 500 ms, and
//! memory that does not grow from the first half to the second.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measuring program, not a part of the product"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use chassis::clock::Clock;
use evidence::claims::{Claims, WorkloadClaim, pubkey_hash_of};
use evidence::{Kind, csr, encode_evidence, snp};
use testkit::pki::DevCa;
use testkit::silicon::{Options, SimulatedSnp};
use types::digest::Sha256;

const MEASUREMENT: [u8; 48] = [7; 48];
/// Different requests that are sent again and again.
const REQUESTS: usize = 32;
/// Connections that overload it.
const CLIENTS: usize = 192;
/// How long the load lasts that is no overload.
const WARM: Duration = Duration::from_secs(3);
/// RELIABILITY S-5.
const P99_MAX: Duration = Duration::from_millis(500);

/// A request as a Keep makes it.
fn request(silicon: &SimulatedSnp) -> Vec<u8> {
    let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap();
    let workload = WorkloadClaim { digest: Sha256::of(b"workload"), slug: None, statement: None };
    let claims = Claims {
        pubkey_hash: pubkey_hash_of(spki.as_ref()),
        nonce: None,
        workload: Some(workload),
    };
    let blob = silicon.attestation(&claims.report_data(), &MEASUREMENT).unwrap();
    let (report, endorsements) = snp::split_attestation(&blob).unwrap();
    let value = encode_evidence(Kind::Snp, report, &claims.to_bytes(), endorsements);
    let tbs = csr::build(spki.as_ref(), &value);
    let signature = key.sign(&SystemRandom::new(), tbs.bytes()).unwrap();
    tbs.assemble(signature.as_ref())
}

struct Steward {
    child: Child,
    url: String,
    admin: String,
    tls: DevCa,
}

impl Drop for Steward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program that was built beside this one.
fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let program = here.parent().and_then(Path::parent).unwrap().join("steward");
    assert!(program.exists(), "build it first: cargo build --release -p steward");
    program
}

impl Steward {
    fn start(dir: &Path, silicon: &SimulatedSnp) -> Self {
        let now = Clock::System.now();
        let tls = DevCa::generate("overload", now).unwrap();
        let (chain, key) = tls.issue_localhost(now).unwrap();
        let put = |name: &str, text: &str| {
            chassis::durable::write(&dir.join(name), text.as_bytes(), 0o600).unwrap();
        };
        put("tls.pem", &chain);
        put("tls.key", &key);
        put("roots.pem", &silicon.roots_pem());
        // The same requests again and again, so without nonces.
        let allow = "[request]\nallow = [\"nonce-missing\"]\n";
        let policy = format!("{allow}[snp]\nhash = [\"{}\"]\n", hex::encode(MEASUREMENT));
        put("policy.toml", &policy);
        let made = Command::new(program())
            .args(["ca", "init", "ca", "--name", "Overload"])
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut child = Command::new(program())
            .args(["serve", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"])
            .args(["--tls-cert", "tls.pem", "--tls-key", "tls.key"])
            .args(["--ca-cert", "ca/ca.pem", "--ca-key", "ca/ca.key", "--issuance-log", "log"])
            .args(["--policy", "policy.toml", "--insecure-simulated-roots", "roots.pem"])
            .args(["--client-rate", "0", "--client-connections-max", "4096"])
            .args(["--audit-log", "audit.jsonl", "--log-filter", "error"])
            .current_dir(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let said = |what: &str| said[what].as_str().unwrap().to_owned();
        Self { child, url: said("listening"), admin: said("admin"), tls }
    }

    fn agent(&self) -> ureq::Agent {
        verify::https::Agent::builder()
            .roots_pem(&self.tls.certificate_pem())
            .insecure_plain_loopback()
            .build()
            .unwrap()
    }

    /// A sample of the metrics.
    fn metric(&self, agent: &ureq::Agent, name: &str) -> f64 {
        let mut answer = agent.get(format!("{}/metrics", self.admin)).call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    }

    fn memory(&self, agent: &ureq::Agent) -> f64 {
        self.metric(agent, "process_resident_memory_bytes")
    }
}

/// What came back.
#[derive(Default)]
struct Outcome {
    accepted: Vec<Duration>,
    shed: Vec<Duration>,
    wrong: usize,
}

impl Outcome {
    fn ask(&mut self, agent: &ureq::Agent, url: &str, request: &[u8]) {
        let start = Instant::now();
        let answer = agent.post(url).header("content-type", "application/pkcs10").send(request);
        let Ok(mut answer) = answer else {
            self.wrong += 1;
            return;
        };
        let mut body = Vec::new();
        let whole = answer.body_mut().as_reader().read_to_end(&mut body).is_ok();
        let time = start.elapsed();
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let certificate = header("content-type") == Some("application/pkix-pkipath");
        match answer.status().as_u16() {
            200 if whole && certificate && body.len() > 1000 => self.accepted.push(time),
            503 if whole && header("retry-after").is_some() => self.shed.push(time),
            _ => self.wrong += 1,
        }
    }

    fn add(&mut self, mut other: Self) {
        self.accepted.append(&mut other.accepted);
        self.shed.append(&mut other.shed);
        self.wrong += other.wrong;
    }
}

/// The time below which this share of them is.
fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let place = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(place).copied().unwrap_or_default()
}

/// Clients that each ask again as soon as they are answered.
fn closed(steward: &Steward, requests: &[Vec<u8>], clients: usize, time: Duration) -> Outcome {
    let end = Instant::now() + time;
    load(steward, requests, clients, |_| (Instant::now() < end).then(Instant::now))
}

/// Clients that together ask so often in a second, answered or not.
fn open(steward: &Steward, requests: &[Vec<u8>], rate: f64, time: Duration) -> Outcome {
    let (start, all) = (Instant::now(), (rate * time.as_secs_f64()) as usize);
    load(steward, requests, CLIENTS, |n| {
        (n < all).then(|| start + Duration::from_secs_f64(n as f64 / rate))
    })
}

/// Sends requests from so many clients; `when` says when the n-th is due, or that there is none.
fn load(
    steward: &Steward,
    requests: &[Vec<u8>],
    clients: usize,
    when: impl Fn(usize) -> Option<Instant> + Sync,
) -> Outcome {
    let next = AtomicUsize::new(0);
    let mut all = Outcome::default();
    std::thread::scope(|scope| {
        let run = || {
            let (agent, mut outcome) = (steward.agent(), Outcome::default());
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let Some(due) = when(n) else { return outcome };
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                outcome.ask(&agent, &steward.url, &requests[n % requests.len()]);
            }
        };
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(run)).collect();
        threads.into_iter().for_each(|thread| all.add(thread.join().unwrap()));
    });
    all
}

fn show(what: &str, times: &mut [Duration]) -> Duration {
    let (p50, p99) = (quantile(times, 0.5), quantile(times, 0.99));
    println!("  {what:<34} {:>8}  p50 {p50:>8.1?}  p99 {p99:>8.1?}", times.len());
    p99
}

fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).map_or(20, |seconds| seconds.parse().unwrap());
    let overload = Duration::from_secs(seconds);
    let silicon = SimulatedSnp::generate(Clock::System.now(), Options::default()).unwrap();
    let requests: Vec<_> = (0..REQUESTS).map(|_| request(&silicon)).collect();
    let dir = tempfile::tempdir().unwrap();
    let steward = Steward::start(dir.path(), &silicon);
    let agent = steward.agent();
    let idle = steward.memory(&agent);

    let mut alone = closed(&steward, &requests, 1, WARM);
    let processors = std::thread::available_parallelism().unwrap().get();
    let mut full = closed(&steward, &requests, 4 * processors, WARM);
    let capacity = full.accepted.len() as f64 / WARM.as_secs_f64();
    let before = steward.memory(&agent);
    let rate = 2.0 * capacity;
    let start = Instant::now();
    // Late, but while all connections are there.
    let (mut over, [middle, after]) = std::thread::scope(|scope| {
        let samples = scope.spawn(|| {
            [0.5, 0.95].map(|share| {
                let due = start + overload.mul_f64(share);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                steward.memory(&agent)
            })
        });
        let over = open(&steward, &requests, rate, overload);
        (over, samples.join().unwrap())
    });
    let time = start.elapsed().as_secs_f64();
    let offered = (over.accepted.len() + over.shed.len() + over.wrong) as f64 / time;

    println!(
        "{processors} processors for server and clients; requests of simulated SEV-SNP over TLS"
    );
    show("one client, one after the other", &mut alone.accepted);
    show(&format!("at capacity, {capacity:.0}/s"), &mut full.accepted);
    println!(
        "at {:.2} times the capacity, {offered:.0}/s for {time:.0} s, {CLIENTS} connections:",
        offered / capacity
    );
    let p99 = show("accepted", &mut over.accepted);
    show("shed: 503 with Retry-After", &mut over.shed);
    println!("  {:<34} {:>8}", "anything else", over.wrong + alone.wrong + full.wrong);
    println!("  accepted {:.0}/s", over.accepted.len() as f64 / time);
    let median = |times: &mut [Duration]| quantile(times, 0.5).as_secs_f64();
    let slower = median(&mut over.accepted) / median(&mut full.accepted);
    println!("  p50 of the accepted: {slower:.1} times that at capacity");
    let mebibytes = |bytes: f64| bytes / 1024.0 / 1024.0;
    println!(
        "memory: idle {:.1} MiB, at capacity {:.1}, in the middle of the overload {:.1}, at its end {:.1}",
        mebibytes(idle),
        mebibytes(before),
        mebibytes(middle),
        mebibytes(after)
    );
    let per_request = (middle.max(after) - idle) / CLIENTS as f64;
    println!(
        "memory per request in progress: {:.0} KiB (growth since idle, shared by {CLIENTS} connections)",
        per_request / 1024.0
    );
    let mut met = true;
    let mut check = |what: &str, ok: bool| {
        println!("{}: {what}", if ok { "met" } else { "NOT MET" });
        met &= ok;
    };
    check(
        "nothing but certificates and 503 with Retry-After",
        over.wrong + alone.wrong + full.wrong == 0,
    );
    check("it was an overload", offered > 1.5 * capacity && !over.shed.is_empty());
    check("p99 of the accepted is below 500 ms", p99 < P99_MAX);
    check(
        "memory did not grow by more than a tenth from the middle to the end",
        after < 1.1 * middle,
    );
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
