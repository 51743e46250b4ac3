// SPDX-License-Identifier: Apache-2.0

//! The system that `enarx up` brings up: what is where, and the hands to do things in it.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use drawbridge_core::RepoRecord;
use keep::{EvidenceSource, Image};
use testkit::oidc::DevIssuer;
use testkit::pki::DevCa;
use types::digest::Sha256;
use types::hostlink::{Event, FromKeep, Workload};
use types::slug::Slug;

use super::demo::{self, Places};
use super::guest::{Guest, Order};
use super::hub::{Happening, Hub, Interrupted, Mark};
use super::service::{Service, tail};
use super::services::{
    DRAWBRIDGE, POLICY, SILICON, SILICON_ROOTS, STEWARD, TLS_CHAIN, TLS_KEY, TLS_ROOT, localhost,
    port_of,
};
use super::state::State;
use super::{PATIENCE, UpArgs, show};
use crate::cli::{Global, Level, ReachArgs, RegistryArgs};
use crate::cmd::user;
use crate::failure::{Context as _, EXIT_FAILED, Failure, Outcome};
use crate::login::{self, At, How, Prompt};
use crate::reach::{self, Registry};
use crate::tokens::TokenStore;
use crate::{files, keeps, output, silicon};

/// Whom the development issuer lets in.
const SUBJECT: &str = "developer";

/// See the module.
pub(super) struct World {
    /// Where everything comes together.
    pub hub: Hub,
    /// The state directory.
    pub state: State,
    /// The Keep's runtime.
    pub exec: Image,
    /// What simulated silicon measures of it.
    pub measurement: [u8; 48],
    /// Most verbose log level of Keeps.
    pub level: Level,
    /// Port of the chat room.
    pub chat_port: u16,
    /// The development issuer, once it is up.
    pub issuer: Option<(DevIssuer, testkit::oidc::Running)>,
    /// The other services, once they are up.
    pub services: Option<Services>,
}

/// What is there once the services are up.
pub(super) struct Services {
    /// The registry.
    pub drawbridge: Service,
    /// The attestation authority.
    pub steward: Service,
    /// Where the demo finds what it needs.
    pub places: Places,
    /// The same silicon for all Keeps.
    pub silicon: Arc<dyn EvidenceSource>,
    /// Roots of Steward's and Drawbridge's TLS.
    pub reach: ReachArgs,
}

impl World {
    /// Looks whether all that is needed is there, and makes a fresh state directory.
    ///
    /// # Errors
    /// If something is missing or taken, in one line.
    pub(super) fn prepare(args: &UpArgs, global: &Global) -> Result<Self, Failure> {
        let exec_path =
            files::find_exec(args.exec.as_deref()).map_err(|failure| failure.code(EXIT_FAILED))?;
        let exec =
            Image::read(&exec_path).map_err(|error| keeps::failure_of(&error).code(EXIT_FAILED))?;
        for program in [STEWARD, DRAWBRIDGE] {
            files::beside(program)?;
        }
        let chat_port = free_chat_port(args.chat_port)?;
        let directory = match &args.state {
            Some(directory) => directory.clone(),
            None => State::default_directory()?,
        };
        let state = State::create(&directory)?;
        let measurement = silicon::measure(&exec)?;
        Ok(Self {
            hub: Hub::new()?,
            state,
            exec,
            measurement,
            level: global.log_filter,
            chat_port,
            issuer: None,
            services: None,
        })
    }

    /// The services.
    ///
    /// # Errors
    /// Before they are up.
    pub(super) fn services(&self) -> Result<&Services, Failure> {
        self.services.as_ref().ok_or_else(|| Failure::new("the services are not up yet"))
    }

    /// Starts issuer, Drawbridge and Steward.
    ///
    /// # Errors
    /// If one does not come up.
    pub(super) fn start_services(&mut self) -> Result<(), Failure> {
        let style = output::stderr_style();
        output::talk(&style.bold("Enarx on this machine. The silicon is simulated: this shows everything and protects nothing."));
        let row = |name: &str, place: &str, what: &str| {
            output::talk(&format!("  {:<11} {place:<28} {what}", style.bold(name)))
        };
        row("state", &self.state.directory().display().to_string(), "");

        let now: testkit::oidc::Now = Arc::new(reach::now);
        let (issuer, running) = testkit::oidc::spawn(0, Some(SUBJECT), now)
            .context("cannot start the development issuer")?;
        row("issuer", issuer.issuer(), "OpenID, for development: lets in whoever asks");
        self.issuer = Some((issuer.clone(), running));

        let reach = self.make_tls()?;
        let silicon_directory = self.state.make_directory(SILICON)?;
        let silicon = silicon::make(&silicon_directory)?;
        let steward_root = self.make_authority()?;
        self.state.write(SILICON_ROOTS, silicon.roots_pem())?;

        let drawbridge =
            self.start_drawbridge("drawbridge", issuer.issuer(), "store", free_port()?)?;
        let registry = format!("localhost:{}", port_of(&drawbridge));
        row("drawbridge", &format!("https://{registry}"), "registry, over a directory");

        let places =
            Places { registry, steward: String::new(), steward_root, chat_port: self.chat_port };
        self.write_policy(POLICY, &places)?;
        let steward = self.start_steward("steward", POLICY, true)?;
        let places = Places { steward: localhost(&steward), ..places };
        row("steward", &places.steward, "attestation authority, with a fresh root");
        output::talk(&format!("  {:<11} {steward_root}", ""));

        let silicon = silicon::source(silicon, &self.exec)?;
        self.services = Some(Services { drawbridge, steward, places, silicon, reach });
        Ok(())
    }

    /// An authority for the TLS certificates of the services, and one certificate for both.
    fn make_tls(&self) -> Result<ReachArgs, Failure> {
        let what = "cannot make TLS certificates";
        let now = reach::now();
        let ca = DevCa::generate("enarx up", now).context(what)?;
        let (chain, key) = ca.issue_localhost(now).context(what)?;
        self.state.write(TLS_CHAIN, chain)?;
        self.state.write(TLS_KEY, key)?;
        let bundle = self.state.write(TLS_ROOT, ca.certificate_pem())?;
        Ok(ReachArgs { ca_bundle: vec![bundle] })
    }

    /// Logs in, registers a user and repositories, and publishes the demo: by the code of the commands.
    ///
    /// # Errors
    /// What issuer and registry say.
    pub(super) fn publish_demo(&mut self) -> Result<(), Failure> {
        let services = self.services()?;
        let issuer = self
            .issuer
            .as_ref()
            .ok_or_else(|| Failure::new("the issuer is not up yet"))?
            .0
            .issuer()
            .to_owned();
        let host = services.places.registry.clone();
        let store = self.token_store();
        let at = At { host: &host, issuer: &issuer, client_id: "enarx-cli", audience: None };
        let agent = reach::agent(&services.reach)?;
        login::login(&agent, at, How::Device, &store, &mut |prompt| {
            if let Prompt::Device(device) = prompt {
                output::talk(&format!(
                    "\nLogging in at {} with the code {}",
                    device.verification_uri, device.user_code
                ));
            }
        })?;
        let registry = self.registry()?;
        user::register(&registry, demo::USER)?;
        output::talk(&format!("Registered {host}/{}", demo::USER));
        let places = &services.places;
        for (repo, files) in
            [(demo::SERVER_REPO, places.server()), (demo::CLIENT_REPO, places.client())]
        {
            let digest = self.publish(&registry, repo, files)?;
            output::talk(&format!("Published {host}/{}/{repo}:{}@{digest}", demo::USER, demo::TAG));
        }
        Ok(())
    }

    /// Registers a private, discoverable repository of the demo's user and publishes one package in it.
    ///
    /// # Errors
    /// What the registry says.
    pub(super) fn publish(
        &self,
        registry: &Registry,
        repo: &str,
        files: demo::Files,
    ) -> Result<Sha256, Failure> {
        registry.repo_put(
            demo::USER,
            repo,
            &RepoRecord { discoverable: true, ..RepoRecord::default() },
        )?;
        Ok(registry.publish(&self.slug(repo)?, files, &mut |_| {})?.digest)
    }

    /// The registry, with the token of the login.
    ///
    /// # Errors
    /// If the services are not up.
    pub(super) fn registry(&self) -> Result<Registry, Failure> {
        let services = self.services()?;
        Registry::open(
            &services.places.registry,
            &RegistryArgs { reach: services.reach.clone(), ..RegistryArgs::default() },
            &self.token_store(),
        )
    }

    /// Tokens go into the state directory, not into the user's store.
    pub(super) fn token_store(&self) -> TokenStore {
        TokenStore::at(&self.state.path("tokens"))
    }

    /// The name of a package of the demo.
    ///
    /// # Errors
    /// If the services are not up.
    pub(super) fn slug(&self, repo: &str) -> Result<Slug, Failure> {
        let registry = &self.services()?.places.registry;
        format!("{registry}/{}/{repo}:{}", demo::USER, demo::TAG)
            .parse()
            .context("cannot name the demo's packages")
    }

    /// Deploys a package with simulated silicon.
    ///
    /// # Errors
    /// If this machine cannot start Keeps.
    pub(super) fn deploy(&self, name: &str, slug: &Slug) -> Result<Guest, Failure> {
        self.deploy_with(name, slug, true, None)
    }

    /// Deploys a package.
    ///
    /// # Errors
    /// If this machine cannot start Keeps.
    pub(super) fn deploy_with(
        &self,
        name: &str,
        slug: &Slug,
        attested: bool,
        steward: Option<String>,
    ) -> Result<Guest, Failure> {
        let services = self.services()?;
        let order = Order {
            name,
            exec: &self.exec,
            workload: Workload::Remote { slug: slug.clone(), steward, insecure_no_tee: false },
            roots_pem: reach::roots_pem(&services.reach)?,
            simulate: attested.then(|| Arc::clone(&services.silicon)),
            level: self.level.name(),
        };
        Guest::start(order, &self.hub.sender())
    }

    /// Waits for something, while showing what happens. The end of the Keep `name` ends the wait too.
    ///
    /// # Errors
    /// If the Keep gives up or ends, if a service dies, if it takes too long, or at Ctrl-C.
    pub(super) fn wait_for<T>(
        &mut self,
        name: &str,
        since: Mark,
        what: &str,
        mut wanted: impl FnMut(&Happening) -> Option<T>,
    ) -> Result<T, Failure> {
        let (style, verbose) = (output::stderr_style(), self.level >= Level::Info);
        let mut observe = |happening: &Happening| {
            if let Some(text) = show(happening, style, verbose) {
                output::talk_raw(&text);
            }
        };
        let mut last_words: Option<Failure> = None;
        let waited = self.hub.wait(since, PATIENCE, &mut observe, |happening| {
            if let Some(found) = wanted(happening) {
                return Some(Ok(found));
            }
            match happening {
                Happening::Keep { name: who, message: FromKeep::Event { event } }
                    if who == name =>
                {
                    if matches!(event, Event::Failed { .. } | Event::Ended { .. }) {
                        last_words = keeps::ending(event).err();
                    }
                    None
                }
                Happening::Ended { name: who, code } if who == name => {
                    Some(Err(last_words.take().unwrap_or_else(|| {
                        Failure::new(format!("the Keep ended with exit code {code}"))
                    })))
                }
                _ => None,
            }
        });
        match waited {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(failure)) => {
                let why = failure.to_string();
                // What looks like a Keep's failure may be the death of a service.
                self.hub
                    .catch_up(&mut observe)
                    .map_err(|interrupted| self.interrupted(what, &interrupted))?;
                Err(Failure::new(format!("the Keep `{name}` failed before {what}")).why(why))
            }
            Err(interrupted) => Err(self.interrupted(what, &interrupted)),
        }
    }

    /// Shows something that happened.
    pub(super) fn observe(&self, happening: &Happening) {
        if let Some(text) = show(happening, output::stderr_style(), self.level >= Level::Info) {
            output::talk_raw(&text);
        }
    }

    /// How an interruption is told.
    pub(super) fn interrupted(&self, what: &str, interrupted: &Interrupted) -> Failure {
        match interrupted {
            Interrupted::Stop => Failure::silent(130),
            Interrupted::Timeout => {
                Failure::new(format!("waited {} s in vain: {what}", PATIENCE.as_secs()))
                    .next(format!("look at the logs in {}", self.state.directory().display()))
            }
            Interrupted::Died(name, how) => {
                let log = self.log_of(name);
                Failure::new(format!("{name} died ({how}), so everything was ended")).why(format!(
                    "its log is {}{}",
                    log.display(),
                    tail(&log)
                ))
            }
        }
    }

    /// The outcome as it is to be told: a service that died explains failures that came of it, and Ctrl-C is none.
    ///
    /// # Errors
    /// As `outcome`.
    pub(super) fn explain(mut self, outcome: Outcome) -> Outcome {
        let outcome = match outcome {
            Err(failure) if !failure.what.is_empty() => match self.hub.catch_up(&mut |_| {}) {
                Err(interrupted @ (Interrupted::Died(..) | Interrupted::Stop)) => {
                    Err(self.interrupted("", &interrupted))
                }
                _ => Err(failure),
            },
            other => other,
        };
        // Keeps are gone already; now the services, one after the other.
        self.services = None;
        self.issuer = None;
        match outcome {
            Err(failure) if failure.what.is_empty() => {
                output::talk("everything has been ended");
                Err(failure)
            }
            // Whatever failed inside: of `up` it is a failure.
            Err(failure) => Err(failure.code(EXIT_FAILED)),
            Ok(code) => Ok(code),
        }
    }

    /// The log of a service.
    pub(super) fn log_of(&self, name: &str) -> PathBuf {
        self.state.path(&format!("{name}.log"))
    }

    /// From now on lines that are typed are told to the hub.
    pub(super) fn listen_to_keyboard(&self) {
        let sender: Sender<Happening> = self.hub.sender();
        // A background job that reads its terminal is stopped by it.
        let stdin = std::io::stdin();
        if let Ok(foreground) = rustix::termios::tcgetpgrp(&stdin)
            && foreground != rustix::process::getpgrp()
        {
            return;
        }
        std::thread::spawn(move || {
            for line in stdin.lines() {
                let Ok(line) = line else { return };
                if sender.send(Happening::Typed(line)).is_err() {
                    return;
                }
            }
        });
    }
}

/// The port of the room: the one wanted, or a free one for 0.
fn free_chat_port(port: u16) -> Result<u16, Failure> {
    for ip in [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)] {
        match TcpListener::bind(SocketAddr::new(ip, port)) {
            Ok(listener) if port == 0 => {
                return listener
                    .local_addr()
                    .map(|address| address.port())
                    .context("cannot find a free port");
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                return Err(Failure::new(format!("port {port} for the chat room is taken")).next(
                    format!(
                        "end what listens there, or take another: `enarx up --chat-port {}`",
                        port.wrapping_add(1).max(1024)
                    ),
                ));
            }
            // A machine without IPv6.
            Err(_) if ip.is_ipv6() => {}
            Err(error) => {
                return Err(Failure::new(format!("port {port} for the chat room cannot be used"))
                    .why(error)
                    .next("take another with --chat-port"));
            }
        }
    }
    Ok(port)
}

/// A port on loopback that is free now, and will most likely be so in a moment: it is none of those that the kernel gives to
/// connections and to whoever asks for any.
///
/// # Errors
/// If there is none.
pub(super) fn free_port() -> Result<u16, Failure> {
    // By default the kernel's are 32768 to 60999.
    const PORTS: std::ops::Range<u16> = 20_000..32_000;
    let random = RandomState::new();
    let candidates = (0..64).map(|n| {
        let offset = random.hash_one(n) % u64::from(PORTS.end - PORTS.start);
        // Less than the length of the range.
        PORTS.start + u16::try_from(offset).unwrap_or(0)
    });
    for port in candidates {
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port")?;
    listener.local_addr().map(|address| address.port()).context("cannot find a free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_none_that_others_are_given() {
        let port = free_port().unwrap();
        assert!((20_000..32_000).contains(&port), "{port}");
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    }

    #[test]
    fn a_port_of_zero_is_any_and_a_taken_one_is_told() {
        assert_ne!(free_chat_port(0).unwrap(), 0);
        let taken = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let failure = free_chat_port(port).unwrap_err();
        assert!(failure.what.contains("is taken") && failure.next.unwrap().contains("--chat-port"));
    }
}
