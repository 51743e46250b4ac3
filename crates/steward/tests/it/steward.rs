// SPDX-License-Identifier: Apache-2.0

//! A Steward as a process of its own, and a client for it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chassis::clock::Clock;
use der::{Decode as _, Encode as _};
use testkit::pki::DevCa;
use types::problem::Problem;
use types::time::Timestamp;

/// Longest time that anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steward"));
    command.stdin(Stdio::null());
    // The environment of whoever runs the tests is not part of them.
    for (name, _) in std::env::vars_os() {
        let name_of = name.to_string_lossy();
        if name_of.starts_with("STEWARD_") || name_of.starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command that ends by itself.
pub(crate) fn run(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>, mode: u32) {
    chassis::durable::write(path, text.as_ref(), mode).unwrap();
}

/// Tells threads to stop when it goes, also when a test fails.
#[derive(Default)]
pub(crate) struct Stop(AtomicBool);

impl Stop {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// What sets it when it is dropped.
    pub(crate) fn on_drop(&self) -> StopOnDrop<'_> {
        StopOnDrop(self)
    }
}

pub(crate) struct StopOnDrop<'a>(&'a Stop);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::SeqCst);
    }
}

/// Waits until `holds`.
pub(crate) fn wait_until(holds: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "nothing happens");
        std::thread::yield_now();
    }
}

/// What a Steward is started with.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) policy: String,
    /// A free port of this machine, if not given.
    pub(crate) addr: Option<SocketAddr>,
    /// PEM of roots that it believes besides the vendors'.
    pub(crate) simulated_roots: Option<String>,
    pub(crate) time: Option<Timestamp>,
    /// Directory of its CA among its files; `ca`, which is made, if not given.
    pub(crate) ca: Option<&'static str>,
    /// First second of its CA, if it is not new.
    pub(crate) ca_not_before: Option<Timestamp>,
    /// Further words of its command line.
    pub(crate) more: Vec<String>,
}

/// The files that a Steward needs.
pub(crate) struct Files {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) tls: DevCa,
}

impl Files {
    pub(crate) fn new(setup: &Setup) -> Self {
        let now = Clock::System.now();
        let dir = tempfile::tempdir().unwrap();
        let tls = DevCa::generate("steward test", now).unwrap();
        let (chain, key) = tls.issue_localhost(now).unwrap();
        let path = |name: &str| dir.path().join(name);
        write(&path("tls.pem"), chain, 0o644);
        write(&path("tls.key"), key, 0o600);
        write(&path("policy.toml"), &setup.policy, 0o644);
        if let Some(roots) = &setup.simulated_roots {
            write(&path("roots.pem"), roots, 0o644);
        }
        let mut init = command();
        init.args(["ca", "init", "--name", "Test Steward"]).arg(path("ca"));
        if let Some(time) = setup.ca_not_before {
            init.arg("--not-before").arg(time.to_string());
        }
        let made = init.output().unwrap();
        assert!(made.status.success(), "{}", stderr(&made));
        Self { dir, tls }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `steward serve` with these files.
    pub(crate) fn serve(&self, setup: &Setup) -> Command {
        let mut command = command();
        command
            .args(["serve", "--addr"])
            .arg(setup.addr.map_or_else(|| "127.0.0.1:0".to_owned(), |addr| addr.to_string()))
            .args(["--url", "https://steward.example.com"])
            .args(["--admin-addr", "127.0.0.1:0"]);
        if !setup.more.iter().any(|word| word == "--plain") {
            command.arg("--tls-cert").arg(self.path("tls.pem"));
            command.arg("--tls-key").arg(self.path("tls.key"));
        }
        command
            .args(&setup.more)
            .arg("--ca-cert")
            .arg(self.path(setup.ca.unwrap_or("ca")).join("ca.pem"))
            .arg("--ca-key")
            .arg(self.path(setup.ca.unwrap_or("ca")).join("ca.key"))
            .arg("--policy")
            .arg(self.path("policy.toml"));
        if !setup.more.iter().any(|word| word == "--insecure-no-issuance-log") {
            command.arg("--issuance-log").arg(self.path("log"));
        }
        if setup.simulated_roots.is_some() {
            command.arg("--insecure-simulated-roots").arg(self.path("roots.pem"));
        }
        if let Some(time) = setup.time {
            command.arg("--insecure-time").arg(time.to_string());
        }
        command
    }
}

/// A Steward that serves.
pub(crate) struct Steward {
    pub(crate) files: Arc<Files>,
    pub(crate) url: String,
    /// Where it answers its operator.
    pub(crate) admin: SocketAddr,
    child: Child,
    log: Mutex<Receiver<String>>,
    agent: ureq::Agent,
}

/// An answer: status, some headers, body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The problem document that this must be.
    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(
            self.content_type,
            types::problem::MEDIA_TYPE,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        problem
    }

    /// The failed check of the problem that this must be, with its status.
    pub(crate) fn check(&self) -> (u16, String) {
        let problem = self.problem();
        assert!(problem.hint.is_some(), "{problem:?}");
        (self.status, problem.check.unwrap_or_default())
    }

    /// The certificates of the PkiPath that this must be: issuer, leaf.
    pub(crate) fn path(&self) -> [Vec<u8>; 2] {
        self.certificates().try_into().unwrap()
    }

    /// The certificates of the PkiPath that this must be: root first.
    pub(crate) fn certificates(&self) -> Vec<Vec<u8>> {
        assert_eq!(
            (self.status, self.content_type.as_str()),
            (200, "application/pkix-pkipath"),
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        let path: Vec<der::asn1::Any> = Vec::from_der(&self.body).unwrap();
        path.iter().map(|any| any.to_der().unwrap()).collect()
    }
}

impl Steward {
    pub(crate) fn start(setup: Setup) -> Self {
        let files = Arc::new(Files::new(&setup));
        let command = files.serve(&setup);
        Self::run(files, command)
    }

    /// The Steward that `command` starts, with these files.
    pub(crate) fn run(files: Arc<Files>, mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<serde_json::Value>(&line) else {
            let _ = child.wait();
            panic!("no Steward: {:?}", log.iter().collect::<Vec<_>>());
        };
        let agent = verify::https::Agent::builder()
            .roots_pem(&files.tls.certificate_pem())
            .insecure_plain_loopback()
            .build()
            .unwrap();
        let said = |what: &str| ready[what].as_str().unwrap().to_owned();
        let admin = said("admin").strip_prefix("http://").unwrap().parse().unwrap();
        Self { url: said("listening"), admin, files, child, log: Mutex::new(log), agent }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.url.split_once("://").unwrap().1.parse().unwrap()
    }

    /// What the operator gets.
    pub(crate) fn operator(&self, path: &str) -> Answer {
        answer(self.agent.get(format!("http://{}{path}", self.admin)).call())
    }

    /// One sample of the metrics; 0 if it is not among them.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let text = String::from_utf8(self.operator("/metrics").body).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        answer(self.agent.get(format!("{}{path}", self.url)).call())
    }

    pub(crate) fn post(&self, content_type: &str, body: &[u8]) -> Answer {
        self.post_to("", content_type, body)
    }

    pub(crate) fn post_to(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let url = format!("{}{path}", self.url);
        answer(self.agent.post(url).header("content-type", content_type).send(body))
    }

    pub(crate) fn request(&self, request: &[u8]) -> Answer {
        self.post("application/pkcs10", request)
    }

    /// The next line of the log with all of `words`.
    pub(crate) fn logged(&self, words: &[&str]) -> String {
        let mut seen = Vec::new();
        loop {
            let Ok(line) = self.log.lock().unwrap().recv_timeout(PATIENCE) else {
                panic!("no line with {words:?} in {seen:#?}");
            };
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
            seen.push(line);
        }
    }

    /// Does `work` again and again until the log has a line with all of `words`.
    pub(crate) fn logged_while(&self, words: &[&str], work: impl Fn()) {
        let start = std::time::Instant::now();
        loop {
            work();
            let log = self.log.lock().unwrap();
            if log.try_iter().any(|line| words.iter().all(|word| line.contains(word))) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "no line with {words:?}");
        }
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything in the log that nobody has read yet.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().try_iter().collect()
    }

    pub(crate) fn signal(&self, name: &str) {
        let killed =
            Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// As [`Self::request`], for when it may be killed meanwhile; none then.
    pub(crate) fn try_request(&self, request: &[u8]) -> Option<Answer> {
        let post = self.agent.post(&self.url).header("content-type", "application/pkcs10");
        post.send(request).ok().and_then(try_answer)
    }

    /// Kills it at once; its files.
    pub(crate) fn kill(mut self) -> Arc<Files> {
        self.signal("KILL");
        self.child.wait().unwrap();
        self.files.clone()
    }

    /// Waits for its end, which somebody else brings about; its exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Ends it as an operator would; its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().unwrap().code()
    }
}

impl Steward {
    /// Ends it as an operator would; its exit code, and all lines that were logged and not asked for yet.
    pub(crate) fn stop_and_read(self) -> (Option<i32>, Vec<String>) {
        self.signal("TERM");
        self.wait_and_read()
    }

    /// Waits for its end, which somebody else brings about; the same.
    pub(crate) fn wait_and_read(mut self) -> (Option<i32>, Vec<String>) {
        let code = self.child.wait().unwrap().code();
        let lines = self.log.lock().unwrap().iter().collect();
        (code, lines)
    }
}

impl Drop for Steward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    try_answer(response.unwrap()).unwrap()
}

fn try_answer(response: ureq::http::Response<ureq::Body>) -> Option<Answer> {
    let (parts, body) = response.into_parts();
    let mut bytes = Vec::new();
    body.into_reader().take(1_000_000).read_to_end(&mut bytes).ok()?;
    let header =
        |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    Some(Answer {
        status: parts.status.as_u16(),
        content_type: header("content-type").unwrap_or_default(),
        retry_after: header("retry-after"),
        body: bytes,
    })
}
