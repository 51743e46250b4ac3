// SPDX-License-Identifier: Apache-2.0

//! The registry beside nginx, which serves the same files, and beside Debian's docker-registry; in one run, as ratios.
//!
//! `cargo build --release -p drawbridge && cargo run --release -p drawbridge --example beside [SECONDS]`
//!
//! All of them over TLS 1.3 with the same certificate, on files of their own on the same disk, one after the other in
//! several rounds, with the same client on the same processors. So there are two ratios: of the rates, which the client has
//! a part in, and of the time on a processor that the server needs for the same bytes. Who is not installed is left out, and
//! that is said. Ends with code 1 where a figure is not met.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measuring program, not a part of the product"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chassis::clock::Clock;
use drawbridge_client::Client;
use drawbridge_client::drawbridge_core::{RepoRecord, UserRecord};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use testkit::oidc::{Algorithm, DevIssuer};
use testkit::pki::DevCa;
use testkit::random::Random;
use types::digest::Sha256;

const ALL: &str = "manage:drawbridge_users manage:drawbridge_repositories manage:drawbridge_tags";
const FILES: [(&str, usize); 3] =
    [("1 KiB", 1024), ("1 MiB", 1024 * 1024), ("100 MB", types::limits::FILE_BYTES_MAX)];
const ROUNDS: usize = 3;
/// Repositories to list.
const REPOSITORIES: usize = 10_000;
/// Connections that ask at the same time.
const CLIENTS: usize = 16;

/// A server that is measured.
struct Server {
    name: &'static str,
    child: Child,
    address: SocketAddr,
    /// What stands before the name of a file.
    path: fn(&[u8]) -> String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// What all of them get.
struct World {
    dir: PathBuf,
    tls: DevCa,
    issuer: DevIssuer,
    _issuer: testkit::oidc::Running,
    config: Arc<ClientConfig>,
}

impl World {
    fn new(dir: &Path) -> Self {
        let now = Clock::System.now();
        let tls = DevCa::generate("beside", now).unwrap();
        let (chain, key) = tls.issue_localhost(now).unwrap();
        for (name, text) in
            [("tls.pem", &chain), ("tls.key", &key), ("ca.pem", &tls.certificate_pem())]
        {
            chassis::durable::write(&dir.join(name), text.as_bytes(), 0o600).unwrap();
        }
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_slice(tls.certificate_der())).unwrap();
        let mut config = ClientConfig::builder_with_provider(verify::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        // All have the same name, and none shall get the tickets of another.
        config.resumption = rustls::client::Resumption::disabled();
        let (issuer, running) = testkit::oidc::spawn(0, None, Clock::System.closure()).unwrap();
        Self { dir: dir.to_owned(), tls, issuer, _issuer: running, config: Arc::new(config) }
    }

    fn token(&self) -> String {
        let claims = self.issuer.claims("ann", "https://localhost/", ALL);
        self.issuer.mint(&claims, Algorithm::Es256).unwrap()
    }

    fn client(&self, address: SocketAddr) -> Client {
        let agent = verify::https::Agent::builder()
            .roots_pem(&self.tls.certificate_pem())
            .resolver(Arc::new(move |_, _| Ok(vec![address])))
            .build()
            .unwrap();
        Client::new("localhost", agent).with_token(self.token())
    }

    fn connect(&self, address: SocketAddr) -> Connection {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection(BufReader::with_capacity(64 * 1024, StreamOwned::new(connection, stream)))
    }

    fn drawbridge(&self) -> Server {
        let here = std::env::current_exe().unwrap();
        let program = here.parent().and_then(Path::parent).unwrap().join("drawbridge");
        assert!(program.exists(), "build it first: cargo build --release -p drawbridge");
        let mut child = Command::new(program)
            .args(["--log-filter", "error", "serve", "--addr", "127.0.0.1:0"])
            .args(["--admin-addr", "127.0.0.1:0", "--host", "localhost", "--store", "store"])
            .args(["--tls-cert", "tls.pem", "--tls-key", "tls.key", "--keep-ca", "ca.pem"])
            .args(["--oidc-issuer", self.issuer.issuer(), "--oidc-audience", "https://localhost/"])
            .args(["--client-rate", "0"])
            .current_dir(&self.dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = said["listening"].as_str().unwrap().split_once("://").unwrap().1;
        let path = |bytes: &[u8]| format!("/v2/ann/app/blobs/{}", Sha256::of(bytes));
        Server { name: "drawbridge", child, address: address.parse().unwrap(), path }
    }

    fn nginx(&self) -> Option<Server> {
        let address = free();
        let at = |name: &str| self.dir.join(name).display().to_string();
        let text = format!(
            "user root; worker_processes 2; daemon off; pid {pid}; error_log {log};\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n\
             server {{ listen {address} ssl; ssl_certificate {chain}; ssl_certificate_key {key};\n\
             ssl_protocols TLSv1.3; root {root}; }} }}\n",
            pid = at("nginx.pid"),
            log = at("nginx.log"),
            chain = at("tls.pem"),
            key = at("tls.key"),
            root = at("files"),
        );
        fs::write(self.dir.join("nginx.conf"), text).unwrap();
        fs::create_dir(self.dir.join("files")).unwrap();
        let mut command = Command::new(found("nginx")?);
        command.arg("-c").arg(at("nginx.conf")).arg("-e").arg(at("nginx.log"));
        let path = |bytes: &[u8]| format!("/{}", Sha256::of(bytes).to_hex());
        Some(started(Server { name: "nginx", child: command.spawn().unwrap(), address, path }))
    }

    fn docker_registry(&self) -> Option<Server> {
        let address = free();
        let at = |name: &str| self.dir.join(name).display().to_string();
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {root}}}}}\n\
             http: {{addr: '{address}', host: 'https://localhost:{port}', tls: {{certificate: {chain}, key: {key}}}}}\n",
            root = at("registry"),
            port = address.port(),
            chain = at("tls.pem"),
            key = at("tls.key"),
        );
        fs::write(self.dir.join("registry.yml"), text).unwrap();
        let mut command = Command::new(found("docker-registry")?);
        command.args(["serve", &at("registry.yml")]).stdout(Stdio::null()).stderr(Stdio::null());
        let path = |bytes: &[u8]| format!("/v2/ann/app/blobs/{}", Sha256::of(bytes));
        let child = command.spawn().unwrap();
        Some(started(Server { name: "docker-registry", child, address, path }))
    }
}

/// A program of this machine.
fn found(name: &str) -> Option<PathBuf> {
    let path = ["/usr/sbin", "/usr/bin"].map(|dir| Path::new(dir).join(name));
    let found = path.into_iter().find(|path| path.exists());
    if found.is_none() {
        println!("SKIP {name}: it is not installed (Debian's package has the same name)");
    }
    found
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn started(mut server: Server) -> Server {
    let begun = Instant::now();
    while TcpStream::connect(server.address).is_err() {
        assert!(server.child.try_wait().unwrap().is_none(), "{} does not start", server.name);
        assert!(begun.elapsed() < Duration::from_secs(20), "{} does not listen", server.name);
    }
    server
}

/// A connection that is kept.
struct Connection(BufReader<StreamOwned<ClientConnection, TcpStream>>);

/// Status and headers, their names in lower case.
type Head = (u16, BTreeMap<String, String>);

impl Connection {
    fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> (Head, u64) {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        let stream = self.0.get_mut();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        stream.flush().unwrap();
        let head = self.head();
        let length = head.1.get("content-length").map_or(0, |l| l.parse().unwrap());
        (head, length)
    }

    /// A GET whose answer is looked at.
    fn read(&mut self, path: &str) -> (BTreeMap<String, String>, Vec<u8>) {
        let ((status, headers), length) = self.ask("GET", path, "", b"");
        assert_eq!(status, 200, "{path}");
        let mut body = Vec::new();
        let mut piece = length;
        if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            piece = self.chunk();
        }
        while piece > 0 {
            let at = body.len();
            body.resize(at + piece as usize, 0);
            self.0.read_exact(&mut body[at..]).unwrap();
            piece = if length == 0 { self.chunk() } else { 0 };
        }
        (headers, body)
    }

    /// The length of the next chunk; the end of the one before, and of all of them, is taken as well.
    fn chunk(&mut self) -> u64 {
        let mut line = String::new();
        while line.trim_end().is_empty() {
            line.clear();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the answer is short");
        }
        let length = u64::from_str_radix(line.trim_end(), 16).unwrap();
        if length == 0 {
            self.0.read_line(&mut line).unwrap();
        }
        length
    }

    fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> (Head, u64) {
        let (head, length) = self.ask(method, path, headers, body);
        let mut left: u64 = length;
        while left > 0 {
            let there = self.0.fill_buf().unwrap().len() as u64;
            assert_ne!(there, 0, "the answer is short");
            let taken = there.min(left);
            self.0.consume(taken as usize);
            left -= taken;
        }
        (head, length)
    }

    fn head(&mut self) -> Head {
        let mut line = String::new();
        let mut next = |reader: &mut BufReader<_>| {
            line.clear();
            reader.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let status = next(&mut self.0)[9..12].parse().unwrap();
        let mut headers = BTreeMap::new();
        loop {
            let line = next(&mut self.0);
            let Some((name, value)) = line.split_once(": ") else {
                return (status, headers);
            };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }

    fn get(&mut self, path: &str) -> u64 {
        let ((status, _), length) = self.send("GET", path, "", b"");
        assert_eq!(status, 200, "{path}");
        length
    }

    /// A blob by OCI, as most clients push: POST, then PUT.
    fn push(&mut self, bytes: &[u8], more: &str) {
        let none = format!("{more}Content-Length: 0\r\n");
        let ((status, headers), _) = self.send("POST", "/v2/ann/app/blobs/uploads/", &none, b"");
        assert_eq!(status, 202);
        let location = &headers["location"];
        let path = location.find("/v2/").map(|at| &location[at..]).unwrap();
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}digest={}", Sha256::of(bytes));
        let kind = "Content-Type: application/octet-stream\r\n";
        let some = format!("{more}{kind}Content-Length: {}\r\n", bytes.len());
        let ((status, _), _) = self.send("PUT", &path, &some, bytes);
        assert_eq!(status, 201);
    }
}

/// Seconds on a processor of a process and of those it started.
fn processor_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().map(|pid| processor_seconds(pid.parse().unwrap()));
    (ticks(11) + ticks(12)) / 100.0 + children.sum::<f64>()
}

/// Bytes of memory that a process had at most, or has.
fn memory(pid: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// How often in a second, and how often in a second of the server's processor.
#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    wall: f64,
    processor: f64,
}

/// Clients that do something again and again; the best of several measurements is kept by the caller.
fn measure(
    server: &Server,
    time: Duration,
    each: impl Fn(usize) -> Box<dyn FnMut() + Send> + Sync,
) -> Rates {
    let (begun, before) = (Instant::now(), processor_seconds(server.child.id()));
    let count = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (each, count) = (&each, &count);
            scope.spawn(move || {
                let mut one = each(client);
                while begun.elapsed() < time {
                    one();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let (seconds, used) = (begun.elapsed(), processor_seconds(server.child.id()) - before);
    let count = count.into_inner() as f64;
    Rates { wall: count / seconds.as_secs_f64(), processor: count / used }
}

/// Measures all of them in turn, several times; the best of each.
fn turns(servers: &[&Server], mut one: impl FnMut(&Server) -> Rates) -> Vec<Rates> {
    let mut best = vec![Rates::default(); servers.len()];
    for _ in 0..ROUNDS {
        for (server, best) in servers.iter().zip(&mut best) {
            let rates = one(server);
            best.wall = best.wall.max(rates.wall);
            best.processor = best.processor.max(rates.processor);
        }
    }
    best
}

/// Prints a row for each, with the ratio of the first one to it.
fn show(what: &str, bytes: usize, servers: &[&Server], rates: &[Rates]) {
    for (server, rate) in servers.iter().zip(rates) {
        let ratio = |of: fn(&Rates) -> f64| of(&rates[0]) / of(rate);
        println!(
            "  {what:<12} {:<16} {:>9.0}/s {:>8.0} MB/s {:>9.0} in a processor second   ours: {:.2} of its rate, {:.2} for a processor second",
            server.name,
            rate.wall,
            rate.wall * bytes as f64 / 1e6,
            rate.processor,
            ratio(|r| r.wall),
            ratio(|r| r.processor),
        );
    }
}

/// A figure that is to be reached; whether it is.
fn want(what: &str, is: f64, least: f64) -> bool {
    let met = is >= least;
    println!("{} {what}: {is:.2} (at least {least})", if met { "met:    " } else { "NOT MET:" });
    met
}

fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).map_or(3.0, |s| s.parse().expect("a number of seconds"));
    let time = Duration::from_secs_f64(seconds);
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(dir.path());
    let drawbridge = world.drawbridge();
    let (nginx, docker) = (world.nginx(), world.docker_registry());
    let servers: Vec<&Server> =
        [Some(&drawbridge), nginx.as_ref(), docker.as_ref()].into_iter().flatten().collect();
    let bearer = format!("Authorization: Bearer {}\r\n", world.token());
    let ann = world.client(drawbridge.address);
    ann.user_put("ann", &UserRecord { subject: "ann".into() }).unwrap();
    ann.repo_put("ann", "app", &RepoRecord { public: true, ..RepoRecord::default() }).unwrap();

    let mut met = Vec::new();
    println!("GET over TLS, {CLIENTS} connections, the best of {ROUNDS} rounds of {seconds} s:");
    for (what, size) in FILES {
        let bytes = Random::new(size as u64).bytes(size);
        for server in &servers {
            if server.name == "nginx" {
                fs::write(dir.path().join("files").join(&(server.path)(&bytes)[1..]), &bytes)
                    .unwrap();
            } else {
                world.connect(server.address).push(&bytes, &bearer);
            }
        }
        let rates = turns(&servers, |server| {
            let path = (server.path)(&bytes);
            measure(server, time, |_| {
                let (mut connection, path) = (world.connect(server.address), path.clone());
                Box::new(move || assert_eq!(connection.get(&path), size as u64))
            })
        });
        show(what, size, &servers, &rates);
        if nginx.is_some() {
            met.push(want(
                &format!("GET of {what} beside nginx"),
                rates[0].wall / rates[1].wall,
                0.9,
            ));
        }
    }

    println!(
        "PUT over TLS, durable, {CLIENTS} connections, the best of {ROUNDS} rounds of {seconds} s:"
    );
    let pushed: Vec<&Server> = servers.iter().filter(|s| s.name != "nginx").copied().collect();
    for (what, size) in &FILES[..2] {
        let mut round = 0;
        let rates = turns(&pushed, |server| {
            round += 1;
            measure(server, time, |client| {
                let mut connection = world.connect(server.address);
                let (bearer, size) = (bearer.clone(), *size);
                let mut bytes = Random::new((round * CLIENTS + client + 1) as u64).bytes(size);
                let mut n = 0_u64;
                Box::new(move || {
                    // Other bytes each time.
                    bytes[..8].copy_from_slice(&n.to_be_bytes());
                    n += 1;
                    connection.push(&bytes, &bearer);
                })
            })
        });
        show(what, *size, &pushed, &rates);
        if docker.is_some() {
            let ratio = rates[0].wall / rates[1].wall;
            met.push(want(&format!("PUT of {what} beside docker-registry"), ratio, 2.0));
        }
    }

    met.extend(lists(&world, &servers));

    let pid = drawbridge.child.id();
    let before = memory(pid, "VmRSS");
    // So that the most from now on is known.
    fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    let (gibibytes, begun) = (2_u64, Instant::now());
    upload(&world, &drawbridge, &bearer, gibibytes << 30);
    let most = memory(pid, "VmHWM");
    println!(
        "an upload of {gibibytes} GiB took {:.0} s; memory {:.1} MiB before, {:.1} MiB at most",
        begun.elapsed().as_secs_f64(),
        before as f64 / f64::from(1 << 20),
        most as f64 / f64::from(1 << 20),
    );
    let grown = most.saturating_sub(before) as f64 / f64::from(1 << 20);
    met.push(want("MiB of 32 that are left of what an upload may take", 32.0 - grown, 0.0));
    if met.iter().all(|met| *met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The time that the names of 10,000 repositories take, page by page.
fn lists(world: &World, servers: &[&Server]) -> Option<bool> {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let ann = world.client(servers[0].address);
                for n in (client..REPOSITORIES - 1).step_by(CLIENTS) {
                    let record = RepoRecord { public: true, ..RepoRecord::default() };
                    ann.repo_put("ann", &format!("r{n}"), &record).unwrap();
                }
            });
        }
    });
    let rate = REPOSITORIES as f64 / begun.elapsed().as_secs_f64();
    println!("list of {REPOSITORIES} repositories, by 1000 (they were registered at {rate:.0}/s):");
    let mut times = Vec::new();
    for server in servers.iter().filter(|server| server.name != "nginx") {
        if server.name == "docker-registry" {
            // What it looks for, as pushes leave it.
            for n in 0..REPOSITORIES - 1 {
                let repo = format!("registry/docker/registry/v2/repositories/ann/r{n}/_layers");
                fs::create_dir_all(world.dir.join(repo)).unwrap();
            }
        }
        let mut connection = world.connect(server.address);
        let mut best = Duration::MAX;
        for _ in 0..ROUNDS {
            let (begun, mut seen, mut next) =
                (Instant::now(), 0, Some("/v2/_catalog?n=1000".to_owned()));
            while let Some(path) = next {
                let (headers, body) = connection.read(&path);
                let page: serde_json::Value = serde_json::from_slice(&body).unwrap();
                seen += page["repositories"].as_array().unwrap().len();
                next = headers.get("link").and_then(|link| {
                    let (path, _) = link.strip_prefix('<')?.split_once('>')?;
                    path.find("/v2/").map(|at| path[at..].to_owned())
                });
            }
            assert_eq!(seen, REPOSITORIES, "{}", server.name);
            best = best.min(begun.elapsed());
        }
        println!(
            "  {:<16} {:>8.0} ms for all, {:>6.1} ms a page",
            server.name,
            best.as_secs_f64() * 1e3,
            best.as_secs_f64() * 1e2
        );
        times.push(best.as_secs_f64());
    }
    match times[..] {
        [ours, theirs] => Some(want("list beside docker-registry", theirs / ours, 1.0)),
        _ => None,
    }
}

/// One blob in chunks of 64 MiB.
fn upload(world: &World, server: &Server, bearer: &str, length: u64) {
    let chunk = Random::new(9).bytes(64 << 20);
    let mut connection = world.connect(server.address);
    let none = format!("{bearer}Content-Length: 0\r\n");
    let ((_, headers), _) = connection.send("POST", "/v2/ann/app/blobs/uploads/", &none, b"");
    let path = headers["location"].clone();
    let (mut sent, mut hash) = (0, aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256));
    while sent < length {
        let range = format!("Content-Range: {sent}-{}\r\n", sent + chunk.len() as u64 - 1);
        let some = format!("{bearer}{range}Content-Length: {}\r\n", chunk.len());
        let ((status, _), _) = connection.send("PATCH", &path, &some, &chunk);
        assert_eq!(status, 202);
        hash.update(&chunk);
        sent += chunk.len() as u64;
    }
    let digest: String = hash.finish().as_ref().iter().map(|b| format!("{b:02x}")).collect();
    let ((status, _), _) =
        connection.send("PUT", &format!("{path}?digest=sha256:{digest}"), &none, b"");
    assert_eq!(status, 201);
}
