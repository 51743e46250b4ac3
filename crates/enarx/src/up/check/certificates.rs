// SPDX-License-Identifier: Apache-2.0

//! Steward: what it signs, and what not.

use drawbridge_client::Client;
use evidence::claims::WorkloadClaim;
use rustls::pki_types::CertificateDer;
use testkit::silicon::SimulatedSnp;
use types::digest::Sha256;
use types::slug::Slug;
use ureq::Agent;
use verify::{Anchors, Usage};

use super::{Checker, Got};
use crate::failure::{Context as _, Failure};
use crate::up::forge::{self, Answer, Evidence, Key};
use crate::up::services::{POLICY, STEWARD, STEWARD_ROOT, call, localhost};
use crate::up::world::World;
use crate::up::{demo, services};
use crate::{cmd, reach, silicon};

/// Name of the Steward that takes no simulated silicon.
const STRICT: &str = "steward-2";

/// Makes the checks.
pub(super) fn run(checker: &mut Checker<'_>) -> Result<(), Failure> {
    checker.check("a Keep without evidence", "it gives up", |world| {
        let (stage, message) =
            world.gives_up("mute", &world.slug(demo::CLIENT_REPO)?, false, None)?;
        Ok((stage == "attest", format!("gave up ({stage}): {message}")))
    })?;
    checker.check(
        "simulated evidence at a Steward without the insecure roots",
        "refused",
        strict,
    )?;
    checker.check("an unknown key in Steward's policy", "refused, with its place", |world| {
        let policy =
            std::fs::read_to_string(world.state.path(POLICY)).context("cannot read the policy")?;
        let file =
            world.state.write("misspelt-policy.toml", format!("colour = \"blue\"\n{policy}"))?;
        let said = call(STEWARD, &["policy".into(), "check".into(), file.into()])?;
        let line = said
            .stderr
            .lines()
            .find(|line| line.contains("colour"))
            .unwrap_or_default()
            .trim()
            .to_owned();
        Ok((
            !said.success && !line.is_empty(),
            if said.success { "taken".to_owned() } else { format!("refused: {line}") },
        ))
    })?;

    let lab = Lab::new(checker.world)?;
    checker.check(
        "honest evidence and the registry's word",
        "a certificate for the workload",
        |_| {
            let key = Key::generate()?;
            lab.issued(&lab.request(&key, Some(lab.claim(&lab.client)), |_| {})?, Some(&lab.client))
        },
    )?;
    checker.check("evidence without a nonce", "refused", |_| {
        let key = Key::generate()?;
        let claim = Some(lab.claim(&lab.client));
        let evidence = forge::evidence(&lab.silicon, &lab.measurement, &key, claim, None)?;
        lab.refused_for("nonce-missing", &forge::request(&key, &evidence)?)
    })?;
    checker.check("the same request once more", "refused: its nonce was used", |_| {
        let request = lab.request(&Key::generate()?, Some(lab.claim(&lab.client)), |_| {})?;
        let (issued, got) = lab.issued(&request, Some(&lab.client))?;
        if issued { lab.refused_for("nonce", &request) } else { Ok((false, got)) }
    })?;
    checker.check("a request replayed with another key", "refused", |_| {
        let (key, other) = (Key::generate()?, Key::generate()?);
        let evidence = lab.evidence(&key, Some(lab.claim(&lab.client)))?;
        lab.refused(&forge::request(&other, &evidence)?)
    })?;
    for (what, tamper) in TAMPERS {
        checker.check(&format!("a flipped bit in the {what}"), "refused", |_| {
            lab.refused(&lab.request(&Key::generate()?, Some(lab.claim(&lab.client)), tamper)?)
        })?;
    }
    checker.check("a Keep that its host may debug", "refused", |world| {
        let debuggable = silicon::load(&world.state.path(services::SILICON))?.debuggable();
        let key = Key::generate()?;
        let evidence =
            lab.evidence_of(&debuggable, &lab.measurement, &key, Some(lab.claim(&lab.client)))?;
        lab.refused(&forge::request(&key, &evidence)?)
    })?;
    checker.check(
        "a workload's name from a Keep that the policy does not pin",
        "no such name",
        |_| {
            let key = Key::generate()?;
            let evidence =
                lab.evidence_of(&lab.silicon, &[0x5a; 48], &key, Some(lab.claim(&lab.client)))?;
            let request = forge::request(&key, &evidence)?;
            match lab.ask(&request)? {
                Answer::Refused(problem) => Ok((true, format!("refused: {problem}"))),
                Answer::Issued(_) => lab.issued(&request, None),
            }
        },
    )?;
    checker.check("a workload's name without the registry's word", "refused", |_| {
        let claim = WorkloadClaim { statement: None, ..lab.claim(&lab.client) };
        lab.refused(&lab.request(&Key::generate()?, Some(claim), |_| {})?)
    })?;
    checker.check(
        "a workload's name with the registry's word on another digest",
        "refused",
        |_| {
            let claim = WorkloadClaim { digest: lab.server.digest, ..lab.claim(&lab.client) };
            lab.refused(&lab.request(&Key::generate()?, Some(claim), |_| {})?)
        },
    )?;
    checker.check("a certificate for one workload asks for it", "released", |_| {
        lab.fetch(&lab.client, &lab.client)
    })?;
    checker.check("a certificate for one workload asks for another", "refused", |_| {
        let (released, got) = lab.fetch(&lab.client, &lab.server)?;
        Ok((!released, got))
    })
}

/// A way to damage evidence: what, and how.
type Tamper = (&'static str, fn(&mut Evidence));

const TAMPERS: [Tamper; 3] = [
    ("report", |evidence| flip(&mut evidence.report, 150)),
    ("processor's certificate", |evidence| flip_in_certificate(&mut evidence.endorsements)),
    ("revocation list", |evidence| flip_in_list(&mut evidence.endorsements)),
];

fn flip(bytes: &mut [u8], at: usize) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
}

/// Flips a bit in the signature of the processor's certificate, which stands at its end.
fn flip_in_certificate(endorsements: &mut Vec<u8>) {
    let Ok(mut parsed) = evidence::snp::Endorsements::from_der(endorsements) else { return };
    let last = parsed.vcek.len().saturating_sub(1);
    flip(&mut parsed.vcek, last);
    if let Ok(damaged) = parsed.to_der() {
        *endorsements = damaged;
    }
}

/// Flips a bit in the signature of the first revocation list, which stands at its end.
fn flip_in_list(endorsements: &mut Vec<u8>) {
    let Ok(mut parsed) = evidence::snp::Endorsements::from_der(endorsements) else { return };
    if let Some((_, list)) = parsed.crls.first_mut() {
        let last = list.len().saturating_sub(1);
        flip(list, last);
    }
    if let Ok(damaged) = parsed.to_der() {
        *endorsements = damaged;
    }
}

/// Steward refuses what it is not told to take: another one, with the same policy, without the simulated roots.
fn strict(world: &mut World) -> Got {
    let registry = world.registry()?;
    let files = world.services()?.places.orphan();
    world.publish(&registry, demo::ORPHAN_REPO, files)?;
    world.hub.dismiss(STRICT);
    let strict = world.start_steward(STRICT, POLICY, false)?;
    let (stage, message) = world.gives_up(
        "simulated",
        &world.slug(demo::ORPHAN_REPO)?,
        true,
        Some(localhost(&strict)),
    )?;
    drop(strict);
    Ok((stage == "certify", format!("gave up ({stage}): {message}")))
}

/// A published package of the demo.
struct Package {
    slug: Slug,
    digest: Sha256,
    statement: String,
}

/// What an attacker has who owns the machine: silicon that signs anything, and the public word of the registry.
struct Lab {
    agent: Agent,
    roots_pem: String,
    steward: String,
    anchors: Anchors,
    silicon: SimulatedSnp,
    measurement: [u8; 48],
    client: Package,
    server: Package,
}

impl Lab {
    fn new(world: &World) -> Result<Self, Failure> {
        let services = world.services()?;
        let roots_pem = reach::roots_pem(&services.reach)?;
        let agent = reach::agent_with(&roots_pem)?;
        let registry = Client::new(&services.places.registry, agent.clone());
        let package = |repo: &str| -> Result<Package, Failure> {
            let slug = world.slug(repo)?;
            let info =
                registry.deploy_info(&slug).context("cannot ask the registry for its word")?;
            Ok(Package { slug, digest: info.digest, statement: info.statement })
        };
        Ok(Self {
            steward: services.places.steward.clone(),
            anchors: Anchors {
                roots: cmd::expect::certificates(&world.state.path(STEWARD_ROOT))?,
                ..Anchors::default()
            },
            silicon: silicon::load(&world.state.path(services::SILICON))?,
            measurement: world.measurement,
            client: package(demo::CLIENT_REPO)?,
            server: package(demo::SERVER_REPO)?,
            agent,
            roots_pem,
        })
    }

    fn claim(&self, package: &Package) -> WorkloadClaim {
        WorkloadClaim {
            digest: package.digest,
            slug: Some(package.slug.clone()),
            statement: Some(package.statement.clone()),
        }
    }

    fn evidence(&self, key: &Key, workload: Option<WorkloadClaim>) -> Result<Evidence, Failure> {
        self.evidence_of(&self.silicon, &self.measurement, key, workload)
    }

    /// Evidence with a nonce of its own.
    fn evidence_of(
        &self,
        silicon: &SimulatedSnp,
        measurement: &[u8; 48],
        key: &Key,
        workload: Option<WorkloadClaim>,
    ) -> Result<Evidence, Failure> {
        let nonce = forge::nonce(&self.agent, &self.steward)?;
        forge::evidence(silicon, measurement, key, workload, Some(nonce))
    }

    fn request(
        &self,
        key: &Key,
        workload: Option<WorkloadClaim>,
        tamper: impl FnOnce(&mut Evidence),
    ) -> Result<Vec<u8>, Failure> {
        let mut evidence = self.evidence(key, workload)?;
        tamper(&mut evidence);
        forge::request(key, &evidence)
    }

    fn ask(&self, request: &[u8]) -> Result<Answer, Failure> {
        forge::send(&self.agent, &self.steward, request)
    }

    /// Whether Steward says no.
    fn refused(&self, request: &[u8]) -> Got {
        Ok(match self.ask(request)? {
            Answer::Refused(problem) => (true, format!("refused: {problem}")),
            Answer::Issued(_) => (false, "a certificate was issued".to_owned()),
        })
    }

    /// Whether Steward says no because of this check.
    fn refused_for(&self, check: &str, request: &[u8]) -> Got {
        Ok(match self.ask(request)? {
            Answer::Refused(problem) => {
                (problem.check.as_deref() == Some(check), format!("refused: {problem}"))
            }
            Answer::Issued(_) => (false, "a certificate was issued".to_owned()),
        })
    }

    /// Whether Steward issues a certificate that names just this workload.
    fn issued(&self, request: &[u8], workload: Option<&Package>) -> Got {
        let chain = match self.ask(request)? {
            Answer::Refused(problem) => return Ok((false, format!("refused: {problem}"))),
            Answer::Issued(chain) => chain,
        };
        let chain: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
        let identity = verify::identify(&chain, &self.anchors, reach::now(), Usage::Client)
            .context("cannot read the certificate")?;
        let wanted = workload.map(|package| package.slug.clone());
        let got = identity.slug.as_ref().map_or_else(
            || "a certificate without any name".to_owned(),
            |slug| format!("a certificate for {slug}"),
        );
        Ok((
            identity.slug == wanted && identity.digest == workload.map(|package| package.digest),
            got,
        ))
    }

    /// Whether a certificate for one package opens another.
    fn fetch(&self, own: &Package, wanted: &Package) -> Got {
        let key = Key::generate()?;
        let request = self.request(&key, Some(self.claim(own)), |_| {})?;
        let chain = match self.ask(&request)? {
            Answer::Refused(problem) => {
                return Err(Failure::new("Steward gave no certificate").why(problem));
            }
            Answer::Issued(chain) => chain,
        };
        let agent = verify::https::Agent::builder()
            .clock(std::sync::Arc::new(reach::now))
            .roots_pem(&self.roots_pem)
            .client_identity(chain, key.pkcs8())
            .build()
            .context("cannot show the certificate")?;
        let client = Client::new(&wanted.slug.host, agent);
        Ok(match client.fetch_package(&wanted.slug, &wanted.digest) {
            Ok(files) => (true, format!("released: {} files", files.len())),
            Err(drawbridge_client::Error::Refused { problem, .. }) => {
                (false, format!("refused with {}: {problem}", problem.status))
            }
            Err(error) => return Err(Failure::new("cannot ask the registry").why(error)),
        })
    }
}
