// SPDX-License-Identifier: Apache-2.0

//! Whole deployments, in one process: simulated silicon, a Steward and a registry in miniature.

mod fakes;

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use der::{Any, Decode, Encode};
use evidence::result::{AttestationResult, Facts, WorkloadName};
use testkit::pki::{DevCa, Profile, sample_result};
use testkit::silicon::{Options, SimulatedSnp};
use types::digest::Sha256;
use types::hostlink::{self, Boot, Ending, Event, FromKeep, Workload};
use types::slug::Slug;
use types::time::Timestamp;

use self::fakes::{Answer, Registry, Request, Server, serve, statement};
use crate::clock::Clock;
use crate::hostlink::{Level, Link};
use crate::identity::Platform;
use crate::sys::{NoEvidence, Technology};

/// A module with an empty `_start`.
const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

/// Base64url of "nonce of a Steward".
const NONCE: &str = "bm9uY2Ugb2YgYSBTdGV3YXJk";

fn now() -> Timestamp {
    Clock::new().now()
}

/// What the loader learns of a deployment.
struct Report {
    code: i32,
    events: Vec<Event>,
}

impl Report {
    fn steps(&self) -> Vec<u8> {
        let number = |event: &Event| {
            if let Event::Step { number, .. } = event { Some(*number) } else { None }
        };
        self.events.iter().filter_map(number).collect()
    }

    fn failure(&self) -> String {
        let found = self.events.iter().find_map(|event| match event {
            Event::Failed { stage, message, hint } => Some(format!("{stage}: {message} / {hint}")),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("it did not fail: {:?}", self.events))
    }
}

fn deploy(boot: Boot, files: Vec<(String, Vec<u8>)>, platform: Platform<'_>) -> Report {
    let (mut host, keep) = UnixStream::pair().unwrap();
    let reader = std::thread::spawn(move || {
        let mut events = Vec::new();
        while let Ok(Some(message)) = hostlink::receive::<FromKeep>(&mut host) {
            if let FromKeep::Event { event } = message {
                events.push(event);
            }
        }
        // Whatever is left is no frame.
        let mut rest = Vec::new();
        host.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
        events
    });
    let link = Link::new(keep, Level::Info, Instant::now());
    let code = super::run(boot, files, &link, &Clock::new(), platform);
    drop(link);
    Report { code, events: reader.join().unwrap() }
}

/// The whole system in miniature.
struct World {
    root: DevCa,
    steward: Server,
    drawbridge: Server,
    registry: Arc<Mutex<Registry>>,
    /// What Steward puts into the certificate, if it is not what the evidence claims.
    vouches: Arc<Mutex<Option<WorkloadName>>>,
    slug: Slug,
}

impl World {
    fn new(files: impl FnOnce(&str) -> Vec<(String, Vec<u8>)>) -> Self {
        let root = DevCa::generate("Test Root", now()).unwrap();
        let authority = Arc::new(DevCa::generate("Test Steward", now()).unwrap());
        let vouches = Arc::new(Mutex::new(None));
        let (issuer, word) = (Arc::clone(&authority), Arc::clone(&vouches));
        let steward = serve(&root, &authority, now(), move |request| {
            issue(&issuer, request, word.lock().unwrap().clone())
        });
        let url = format!("https://127.0.0.1:{}/", steward.port);
        let files = files(&url);
        // The registry's name has its port, which is known only once it listens.
        let shared: Arc<Mutex<Option<Arc<Mutex<Registry>>>>> = Arc::default();
        let late = Arc::clone(&shared);
        let drawbridge = serve(&root, &authority, now(), move |request| {
            late.lock().unwrap().as_ref().unwrap().lock().unwrap().answer(request)
        });
        let slug: Slug = format!("127.0.0.1:{}/team/app:1.0.0", drawbridge.port).parse().unwrap();
        let registry = Arc::new(Mutex::new(Registry::new(&slug, files, Some(url))));
        *shared.lock().unwrap() = Some(Arc::clone(&registry));
        Self { root, steward, drawbridge, registry, vouches, slug }
    }

    fn boot(&self, pinned: Option<Sha256>) -> Boot {
        let slug = Slug { digest: pinned, ..self.slug.clone() };
        Boot {
            workload: Workload::Remote { slug, steward: None, insecure_no_tee: false },
            reach_roots_pem: self.root.certificate_pem(),
            log_level: "info".into(),
        }
    }

    fn deploy(&self, platform: Platform<'_>) -> Report {
        deploy(self.boot(None), Vec::new(), platform)
    }
}

/// A Steward that believes everything.
fn issue(ca: &DevCa, request: &Request, vouches: Option<WorkloadName>) -> Answer {
    if (request.method.as_str(), request.path.as_str()) == ("GET", "/v1/nonce") {
        let nonce = format!("{{\"expires_in\":300,\"nonce\":\"{NONCE}\"}}");
        return Answer::ok("application/json", nonce.into_bytes());
    }
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/"));
    let parsed = evidence::csr::Request::parse(&request.body, &evidence::crypto::AwsLc).unwrap();
    let Some(claims) = &parsed.evidence.claims else { panic!("a legacy request") };
    let claims = evidence::claims::Claims::from_bytes(claims).unwrap();
    assert_eq!(claims.nonce.as_deref(), Some(&b"nonce of a Steward"[..]));
    let claimed = claims.workload.unwrap();
    let workload = vouches.unwrap_or(WorkloadName { digest: claimed.digest, slug: claimed.slug });
    let facts = Facts {
        simulated: true,
        workload: Some(workload),
        ..sample_result(Sha256([7; 32]), None, now()).facts
    };
    let result = AttestationResult {
        build: "test".into(),
        issued_at: now(),
        policy: Sha256([9; 32]),
        facts,
    };
    let chain = ca.issue_for(&Profile::keep(&result), &parsed.spki_der, now()).unwrap();
    let path: Vec<Any> = [ca.certificate_der().to_vec()]
        .iter()
        .chain(chain.iter().rev())
        .map(|der| Any::from_der(der).unwrap())
        .collect();
    Answer::ok("application/pkix-pkipath", path.to_der().unwrap())
}

/// Simulated silicon as the platform.
fn silicon() -> impl Fn(&[u8; 64]) -> Result<(Vec<u8>, Technology), NoEvidence> {
    // Its authorities' keys take a while to make.
    static SILICON: OnceLock<SimulatedSnp> = OnceLock::new();
    let silicon =
        SILICON.get_or_init(|| SimulatedSnp::generate(now(), Options::default()).unwrap());
    |report_data| Ok((silicon.attestation(report_data, &[0xab; 48]).unwrap(), Technology::Snp))
}

fn no_silicon(_: &[u8; 64]) -> Result<(Vec<u8>, Technology), NoEvidence> {
    Err(NoEvidence::Unsupported)
}

fn package(steward: &str) -> Vec<(String, Vec<u8>)> {
    vec![
        ("main.wasm".into(), MODULE.to_vec()),
        ("Enarx.toml".into(), format!("steward = \"{steward}\"\n").into_bytes()),
        ("assets/greeting.txt".into(), b"hello".to_vec()),
    ]
}

#[test]
fn thirteen_steps_lead_to_a_running_workload() {
    let world = World::new(package);
    let digest = world.registry.lock().unwrap().info.digest;
    let report = deploy(world.boot(Some(digest)), Vec::new(), &silicon());
    assert_eq!(report.steps(), (1..=13).collect::<Vec<u8>>(), "{:?}", report.events);
    assert_eq!(report.code, 0);
    assert!(matches!(
        report.events.last(),
        Some(Event::Ended { outcome: Ending::Exited { code: 0 }, digest: ran }) if *ran == digest
    ));
    let chain = report.events.iter().find_map(|e| {
        if let Event::Certificate { chain_pem } = e { Some(chain_pem) } else { None }
    });
    assert_eq!(chain.unwrap().matches("BEGIN CERTIFICATE").count(), 2);
    for phase in ["attestation", "certificate", "fetch"] {
        let timed = |event: &Event| matches!(event, Event::Timing { phase: p, .. } if p == phase);
        assert!(report.events.iter().any(timed), "{phase}");
    }
    // Before the certificate the registry is asked for no more than it may say.
    let seen = world.drawbridge.seen.lock().unwrap();
    assert!(
        seen[0].ends_with("/_deploy") && seen[1..].iter().all(|line| line.ends_with("certified")),
        "{seen:?}"
    );
    assert_eq!(*world.steward.seen.lock().unwrap(), ["GET /v1/nonce", "POST /"]);
}

#[test]
fn without_evidence_nothing_is_fetched_unless_told_so() {
    let world = World::new(package);
    let report = world.deploy(&no_silicon);
    assert_eq!(report.code, 125);
    assert!(
        report.failure().starts_with("attest: this backend cannot attest"),
        "{}",
        report.failure()
    );
    assert_eq!(world.drawbridge.seen.lock().unwrap().len(), 1);
    assert_eq!(*world.steward.seen.lock().unwrap(), ["GET /v1/nonce"]);

    let mut boot = world.boot(None);
    if let Workload::Remote { insecure_no_tee, .. } = &mut boot.workload {
        *insecure_no_tee = true;
    }
    let report = deploy(boot.clone(), Vec::new(), &no_silicon);
    assert!(report.failure().starts_with("fetch: "), "{}", report.failure());
    world.registry.lock().unwrap().needs_certificate = false;
    assert_eq!(deploy(boot, Vec::new(), &no_silicon).code, 0);
}

#[test]
fn evidence_about_something_else_is_refused() {
    let world = World::new(package);
    let real = silicon();
    let replayed = |_: &[u8; 64]| real(&[1; 64]);
    let garbage = |_: &[u8; 64]| Ok((vec![0; 2000], Technology::Snp));
    let broken = |_: &[u8; 64]| Err(NoEvidence::Failed(std::io::ErrorKind::InvalidInput.into()));
    let sgx = |_: &[u8; 64]| Ok((vec![0; 2000], Technology::Sgx));
    let cases: [(Platform<'_>, &str); 4] = [
        (&replayed, "other report data"),
        (&garbage, "not about this Keep"),
        (&broken, "failed to attest"),
        (&sgx, "not supported"),
    ];
    for (platform, why) in cases {
        let failure = world.deploy(platform).failure();
        assert!(
            failure.starts_with("attest: ") && failure.contains(why),
            "{failure} should say {why}"
        );
    }
    assert_eq!(*world.steward.seen.lock().unwrap(), ["GET /v1/nonce"; 4]);
}

#[test]
fn without_a_nonce_there_is_no_evidence() {
    let world = World::new(package);
    // Nobody listens where the registry says that Steward is.
    world.registry.lock().unwrap().info.steward = Some("https://127.0.0.1:1/".to_owned());
    let failure = world.deploy(&silicon()).failure();
    assert!(failure.starts_with("certify: Steward could not be reached"), "{failure}");
    let failure = world.deploy(&no_silicon).failure();
    assert!(failure.starts_with("attest: this backend cannot attest"), "{failure}");
}

#[test]
fn a_registry_that_lies_stops_the_keep_early() {
    let world = World::new(package);
    let honest = world.registry.lock().unwrap().info.clone();
    let failure = deploy(world.boot(Some(Sha256([1; 32]))), Vec::new(), &silicon()).failure();
    assert!(failure.starts_with("resolve: ") && failure.contains("pins"), "{failure}");
    let other: Slug = world.slug.to_string().replace("1.0.0", "1.0.1").parse().unwrap();
    for (lie, why) in [
        (statement(&world.slug, &Sha256([1; 32])), "another digest"),
        (statement(&other, &honest.digest), "another tag"),
        ("no statement".to_owned(), "JWS"),
    ] {
        world.registry.lock().unwrap().info.statement = lie;
        let failure = world.deploy(&silicon()).failure();
        assert!(
            failure.starts_with("resolve: ") && failure.contains(why),
            "{failure} should say {why}"
        );
    }
    // A consistent lie about the digest gets no workload past the Keep: what it fetches is not that.
    {
        let mut registry = world.registry.lock().unwrap();
        registry.info.digest = Sha256([1; 32]);
        registry.info.statement = statement(&world.slug, &Sha256([1; 32]));
    }
    let failure = world.deploy(&silicon()).failure();
    assert!(failure.starts_with("fetch: ") && failure.contains("expected"), "{failure}");
}

#[test]
fn a_changed_byte_of_the_package_is_noticed() {
    let world = World::new(package);
    {
        let mut registry = world.registry.lock().unwrap();
        let node =
            registry.nodes.iter_mut().find(|(path, _)| path.ends_with("greeting.txt")).unwrap().1;
        node.2[0] ^= 1;
    }
    let report = world.deploy(&silicon());
    assert_eq!(report.steps().last(), Some(&9));
    assert!(report.failure().starts_with("fetch: "), "{}", report.failure());
}

#[test]
fn a_registry_that_keeps_the_workload_back_is_explained() {
    let world = World::new(package);
    world.registry.lock().unwrap().nodes.clear();
    let failure = world.deploy(&silicon()).failure();
    assert!(failure.contains("does not release this workload to this Keep"), "{failure}");
}

#[test]
fn stewards_word_is_checked() {
    let world = World::new(package);
    for (slug, digest) in [(Some("store.test/evil/app:1.0.0"), None), (None, Some(Sha256([1; 32])))]
    {
        let honest = world.registry.lock().unwrap().info.digest;
        *world.vouches.lock().unwrap() = Some(WorkloadName {
            digest: digest.unwrap_or(honest),
            slug: Some(slug.map_or_else(|| world.slug.clone(), |slug| slug.parse().unwrap())),
        });
        let failure = world.deploy(&silicon()).failure();
        assert!(
            failure.starts_with("certify: ") && failure.contains("another workload"),
            "{failure}"
        );
    }
}

#[test]
fn the_workload_decides_on_its_steward() {
    let world = World::new(|_| package("https://steward.example.com/"));
    let failure = world.deploy(&silicon()).failure();
    assert!(
        failure.starts_with("config: the workload names the Steward https://steward.example.com"),
        "{failure}"
    );
}

#[test]
fn a_workload_that_names_no_steward_leaves_the_choice_to_who_deploys_it() {
    let silent =
        |_: &str| vec![("main.wasm".into(), MODULE.to_vec()), ("Enarx.toml".into(), Vec::new())];
    let led = |world: &World| {
        let mut boot = world.boot(None);
        if let Workload::Remote { steward, .. } = &mut boot.workload {
            *steward = Some(format!("https://127.0.0.1:{}/", world.steward.port));
        }
        deploy(boot, Vec::new(), &silicon())
    };
    // Not to the registry.
    let world = World::new(silent);
    assert!(led(&world).failure().starts_with("config: the workload names the Steward none"));
    let world = World::new(silent);
    world.registry.lock().unwrap().info.steward = None;
    let report = led(&world);
    assert_eq!(report.code, 0, "{:?}", report.events);
    assert_eq!(*world.steward.seen.lock().unwrap(), ["GET /v1/nonce", "POST /"]);
}

#[test]
fn nobody_there_is_one_clear_line() {
    let world = World::new(package);
    let mut boot = world.boot(None);
    boot.reach_roots_pem = DevCa::generate("Another Root", now()).unwrap().certificate_pem();
    let failure = deploy(boot.clone(), Vec::new(), &silicon()).failure();
    assert!(failure.starts_with("resolve: ") && failure.contains("certificate"), "{failure}");
    boot.reach_roots_pem = "no PEM".into();
    assert!(deploy(boot, Vec::new(), &silicon()).failure().starts_with("boot: "));
}

fn local(attest: bool, args: &[&str]) -> Boot {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    Boot {
        workload: Workload::Local { files: Vec::new(), args, attest },
        reach_roots_pem: String::new(),
        log_level: "info".into(),
    }
}

#[test]
fn local_files_run_under_their_own_digest() {
    let files = vec![("main.wasm".to_owned(), MODULE.to_vec())];
    let digest = drawbridge_core::package_digest(files.clone()).unwrap();
    let report = deploy(local(false, &["argument"]), files, &no_silicon);
    assert_eq!((report.code, report.steps()), (0, vec![13]));
    assert!(
        matches!(report.events.last(), Some(Event::Ended { digest: ran, .. }) if *ran == digest)
    );
}

#[test]
fn local_files_get_a_certificate_without_a_name() {
    let world = World::new(package);
    let files = package(&format!("https://127.0.0.1:{}/", world.steward.port));
    let mut boot = local(true, &[]);
    boot.reach_roots_pem = world.root.certificate_pem();
    let report = deploy(boot.clone(), files.clone(), &silicon());
    assert_eq!((report.code, report.steps()), (0, vec![5, 6, 7, 8, 13]), "{:?}", report.events);
    let failure = deploy(boot, files.clone(), &no_silicon).failure();
    assert!(failure.starts_with("attest: this backend cannot attest"), "{failure}");
    assert_eq!(deploy(local(false, &[]), files, &no_silicon).code, 0);
}

#[test]
fn bad_local_files_are_explained() {
    let with = |config: &str| {
        vec![
            ("main.wasm".to_owned(), MODULE.to_vec()),
            ("Enarx.toml".to_owned(), config.as_bytes().to_vec()),
        ]
    };
    let cases = [
        (with("[netwrok]\n"), vec![], "config: "),
        (with(""), vec!["argument"], "config: arguments were given beside an Enarx.toml"),
        (vec![("Enarx.toml".to_owned(), Vec::new())], vec![], "config: "),
        (vec![("../main.wasm".to_owned(), MODULE.to_vec())], vec![], "config: "),
        (vec![("main.wasm".to_owned(), b"no module".to_vec())], vec![], "run: "),
    ];
    for (files, args, why) in cases {
        let report = deploy(local(false, &args), files, &no_silicon);
        assert_eq!(report.code, 125);
        assert!(report.failure().starts_with(why), "{} should begin with {why}", report.failure());
    }
    let hint = deploy(local(false, &[]), with("[netwrok]\n"), &no_silicon).failure();
    assert!(hint.contains("did you mean `network`?"), "{hint}");
}
