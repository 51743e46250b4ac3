// SPDX-License-Identifier: Apache-2.0

//! A registry with all that it needs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chassis::clock::Clock;
use drawbridge_client::drawbridge_core::{ContentDigest, RepoRecord, Tree, UserRecord};
use drawbridge_client::{Client, Error, Published};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use testkit::oidc::{Algorithm, Claims, DevIssuer, Running};
use testkit::pki::{DevCa, Issued, Profile, sample_result};
use types::digest::Sha256;
use types::slug::Slug;
use types::time::Timestamp;

pub(crate) const HOST: &str = "store.example.com";
pub(crate) const AUDIENCE: &str = "https://store.example.com/";
pub(crate) const ALL: &str =
    "manage:drawbridge_users manage:drawbridge_repositories manage:drawbridge_tags";
pub(crate) const WASM: &[u8] = b"\0asm\x01\0\0\0";

pub(crate) fn now() -> Timestamp {
    Clock::System.now()
}

pub(crate) fn slug(text: &str) -> Slug {
    format!("{HOST}/{text}").parse().unwrap()
}

pub(crate) fn files() -> Vec<(String, Vec<u8>)> {
    vec![
        ("main.wasm".to_owned(), WASM.to_vec()),
        ("Enarx.toml".to_owned(), b"steward = \"https://steward.example.com\"\n".to_vec()),
        ("static/index.html".to_owned(), b"<h1>hello</h1>".to_vec()),
        ("static/img/dot.png".to_owned(), vec![7; 5000]),
    ]
}

pub(crate) fn digest() -> Sha256 {
    Tree::from_files(files()).unwrap().digest()
}

/// What a test may change.
#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) simulated: bool,
    pub(crate) store: Option<PathBuf>,
    /// Whether there is an audit log.
    pub(crate) audit: bool,
    /// Whether no file grows beyond 8 KiB.
    pub(crate) full: bool,
    /// Variables that the registry gets.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// Another registry with the same configuration.
pub(crate) struct Beside {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: PathBuf,
    pub(crate) issuer: DevIssuer,
    /// Whose tokens publish where an owner's rules take them.
    pub(crate) machines: DevIssuer,
    pub(crate) steward: DevCa,
    ca: DevCa,
    child: Child,
    address: SocketAddr,
    /// Where it answers its operator.
    pub(crate) admin: SocketAddr,
    options: Options,
    _issuers: [Running; 2],
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn write(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (issuer, running) = testkit::oidc::spawn(0, None, Clock::System.closure()).unwrap();
        let (machines, also_running) =
            testkit::oidc::spawn(0, None, Clock::System.closure()).unwrap();
        let ca = DevCa::generate("TLS", now()).unwrap();
        let steward = DevCa::generate("Steward", now()).unwrap();
        let (chain, key) = ca.issue_server(&[HOST, "localhost"], &[], now()).unwrap();
        write(&dir.path().join("tls.pem"), &chain);
        write(&dir.path().join("tls.key"), &key);
        write(&dir.path().join("steward.pem"), &steward.certificate_pem());
        let store = options.store.clone().unwrap_or_else(|| dir.path().join("store"));
        let issuers = [issuer.issuer(), machines.issuer()];
        let command = command(dir.path(), &store, issuers, &options);
        let (child, address, admin) = start(dir.path(), command);
        Self {
            dir,
            store,
            issuer,
            machines,
            steward,
            ca,
            child,
            address,
            admin,
            options,
            _issuers: [running, also_running],
        }
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The same while others still talk to it; [`Self::kill`] then takes note.
    pub(crate) fn kill_beneath(&self) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    }

    pub(crate) fn start_again(&mut self) {
        let command = self.command(&self.store);
        (self.child, self.address, self.admin) = start(self.dir.path(), command);
    }

    /// The registry with this store, to be started.
    pub(crate) fn command(&self, store: &Path) -> Command {
        let issuers = [self.issuer.issuer(), self.machines.issuer()];
        command(self.dir.path(), store, issuers, &self.options)
    }

    pub(crate) fn beside(&self) -> Beside {
        self.beside_with(&self.store)
    }

    /// Another registry with the same configuration, and another store.
    pub(crate) fn beside_with(&self, store: &Path) -> Beside {
        let command = self.command(store);
        let (child, address, _) = start(self.dir.path(), command);
        Beside { child, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A person who talks to one of several registries.
    pub(crate) fn person_at(&self, address: SocketAddr, subject: &str) -> Client {
        Client::new(HOST, self.agent_at(address, None)).with_token(self.token(subject, ALL))
    }

    /// Who holds this token, at one of several registries.
    pub(crate) fn bearer_at(&self, address: SocketAddr, token: &str) -> Client {
        Client::new(HOST, self.agent_at(address, None)).with_token(token)
    }

    /// Ends the registry as an operator does; its log and whether it ended well.
    pub(crate) fn stop(&mut self) -> (String, bool) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        (self.log(), status.success())
    }

    /// Where the audit log is.
    pub(crate) fn audit_dir(&self) -> PathBuf {
        self.dir.path().join("audit")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    fn agent(&self, identity: Option<&Issued>) -> ureq::Agent {
        self.agent_at(self.address, identity)
    }

    fn agent_at(&self, address: SocketAddr, identity: Option<&Issued>) -> ureq::Agent {
        let mut builder = verify::https::Agent::builder()
            .roots_pem(&self.ca.certificate_pem())
            .resolver(Arc::new(move |_, _| Ok(vec![address])))
            .clock(Clock::System.closure());
        if let Some(issued) = identity {
            builder = builder.client_identity(issued.chain_der.clone(), issued.key_der.clone());
        }
        builder.build().unwrap()
    }

    pub(crate) fn anonymous(&self) -> Client {
        Client::new(HOST, self.agent(None))
    }

    pub(crate) fn claims(&self, subject: &str, scope: &str) -> Claims {
        self.issuer.claims(subject, AUDIENCE, scope)
    }

    pub(crate) fn token(&self, subject: &str, scope: &str) -> String {
        self.issuer.mint(&self.claims(subject, scope), Algorithm::Es256).unwrap()
    }

    pub(crate) fn person(&self, subject: &str) -> Client {
        self.anonymous().with_token(self.token(subject, ALL))
    }

    pub(crate) fn with_certificate(&self, issued: &Issued) -> Client {
        Client::new(HOST, self.agent(Some(issued)))
    }

    /// A genuine Keep that runs this workload.
    pub(crate) fn keep(&self, digest: Sha256) -> Client {
        let profile = Profile::keep(&sample_result(digest, None, now()));
        self.with_certificate(&self.steward.issue(&profile, now()).unwrap())
    }

    /// The user `ann` with a repository.
    pub(crate) fn register(&self, repo: &str, public: bool, discoverable: bool) -> Client {
        let ann = self.person("ann");
        ann.user_put("ann", &UserRecord { subject: "ann".into() }).unwrap();
        ann.repo_put("ann", repo, &RepoRecord { public, discoverable, ..RepoRecord::default() })
            .unwrap();
        ann
    }

    pub(crate) fn publish(&self, client: &Client, name: &str) -> Result<Published, Error> {
        client.publish(&slug(name), files(), &mut |_| {})
    }

    /// Who signed the registry's certificate.
    pub(crate) fn ca_der(&self) -> &[u8] {
        self.ca.certificate_der()
    }

    /// A bare TLS connection, for what no client sends.
    pub(crate) fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        self.try_connect().unwrap()
    }

    fn try_connect(&self) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_slice(self.ca.certificate_der())).unwrap();
        let config = ClientConfig::builder_with_provider(verify::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(HOST).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(StreamOwned::new(connection, stream))
    }

    /// Sends a request as it stands; status, head and body of the answer.
    pub(crate) fn raw(&self, head: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
        self.try_raw(head, body).expect("an answer")
    }

    /// The same; `None` if there is no whole answer.
    pub(crate) fn try_raw(&self, head: &str, body: &[u8]) -> Option<(u16, String, Vec<u8>)> {
        let mut stream = self.try_connect().ok()?;
        let head = head.replace('\n', "\r\n");
        stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
        // The registry may answer and close before it has read everything.
        let _ = stream.write_all(body);
        let _ = stream.flush();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
        let text = String::from_utf8(answer[..end].to_vec()).unwrap();
        Some((text[9..12].parse().unwrap(), text, answer[end + 4..].to_vec()))
    }

    /// A PUT with whatever headers; the status.
    pub(crate) fn put(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
        let mut head = format!("PUT /api/v0.1.0/{path} HTTP/1.1\nHost: {HOST}");
        for (name, value) in headers {
            head += &format!("\n{name}: {value}");
        }
        self.raw(&head, body).0
    }

    /// A GET by this token, or by nobody.
    pub(crate) fn get(&self, path: &str, token: Option<&str>) -> (u16, String, Vec<u8>) {
        let mut head = format!("GET {path} HTTP/1.1\nHost: {HOST}");
        if let Some(token) = token {
            head += &format!("\nAuthorization: Bearer {token}");
        }
        self.raw(&head, b"")
    }
}

fn command(dir: &Path, store: &Path, [issuer, machines]: [&str; 2], options: &Options) -> Command {
    let program = env!("CARGO_BIN_EXE_drawbridge");
    let mut command = Command::new(if options.full { "bash" } else { program });
    if options.full {
        command.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "bash", program]);
    }
    // The log is a file as well.
    let filter = if options.full { "error" } else { "debug" };
    command
        .args(["--log-format", "json", "--log-filter", filter, "serve"])
        .args(["--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--host", HOST])
        .arg("--store")
        .arg(store)
        .arg("--tls-cert")
        .arg(dir.join("tls.pem"))
        .arg("--tls-key")
        .arg(dir.join("tls.key"))
        .arg("--keep-ca")
        .arg(dir.join("steward.pem"))
        .args(["--oidc-issuer", issuer, "--oidc-audience", AUDIENCE, "--trusted-issuer", machines])
        .arg("--scratch")
        .arg(dir.join("scratch"))
        .env_clear()
        .envs(options.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null());
    if options.audit {
        command.arg("--audit-log").arg(dir.join("audit"));
    }
    if options.simulated {
        command.arg("--insecure-release-to-simulated");
    }
    command
}

fn start(dir: &Path, mut command: Command) -> (Child, SocketAddr, SocketAddr) {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
    let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|_| {
        panic!("not started: {}", std::fs::read_to_string(dir.join("log")).unwrap())
    });
    let address = |what: &str| ready[what].as_str().unwrap().split_once("://").unwrap().1.parse();
    let (listening, admin) = (address("listening").unwrap(), address("admin").unwrap());
    (child, listening, admin)
}

/// Waits for something that another process is about to do.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::yield_now();
    }
}

/// The headers of content.
pub(crate) fn describe(bytes: &[u8], media_type: &str) -> [(&'static str, String); 3] {
    [
        ("Content-Length", bytes.len().to_string()),
        ("Content-Type", media_type.to_owned()),
        ("Content-Digest", ContentDigest::of(bytes).to_header()),
    ]
}

pub(crate) fn status<T: std::fmt::Debug>(result: Result<T, Error>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(error) => error.status().unwrap_or_else(|| panic!("{error}")),
    }
}
