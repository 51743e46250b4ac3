// SPDX-License-Identifier: Apache-2.0

//! The demo of proxy attestation (demo/grpc), with the real programs: a gRPC service in a Keep, and a client that fetches the root
//! from Steward and talks to no other Keep than the one that it expects.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

use serde_json::Value;
use testkit::pki::DevCa;
use testkit::silicon::{Options, SimulatedSnp, simulated_measurement};

use crate::guests::{Running, go};
use crate::keeps::now;
use crate::{bare_enarx, enarx, require};

const NAME: &str = "a_grpc_client_talks_to_the_keep_that_it_expects_and_to_no_other";

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/grpc")
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(bytes.as_ref()).unwrap();
}

/// A Steward with a fresh root that believes simulated silicon if it says of the Keep what is expected.
struct Steward {
    _running: Running,
    _stdout: BufReader<ChildStdout>,
    /// Where it listens, by the name in its certificate.
    authority: String,
}

impl Steward {
    fn start(files: &Path, name: &str) -> Self {
        let path = |name: &str| files.join(name);
        let mut init = Command::new(require("steward"));
        let init = init.args(["ca", "init", "--name", name]).arg(path(name)).output().unwrap();
        assert!(init.status.success(), "{init:?}");
        let mut command = Command::new(require("steward"));
        command
            .args(["serve", "--addr", "127.0.0.1:0", "--insecure-no-issuance-log"])
            .args(["--log-filter", "error", "--ca-cert"])
            .arg(path(name).join("ca.pem"))
            .arg("--ca-key")
            .arg(path(name).join("ca.key"))
            .arg("--policy")
            .arg(path("policy.toml"))
            .arg("--tls-cert")
            .arg(path("tls.pem"))
            .arg("--tls-key")
            .arg(path("tls.key"))
            .arg("--insecure-simulated-roots")
            .arg(path("silicon.pem"))
            .stdout(Stdio::piped());
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("STEWARD_")) {
                command.env_remove(name);
            }
        }
        let mut running = Running(command.spawn().unwrap());
        let mut stdout = BufReader::new(running.0.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        let port = line["listening"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        Self { _running: running, _stdout: stdout, authority: format!("localhost:{port}") }
    }
}

/// The service in its Keep.
struct Service {
    running: Running,
    stderr: BufReader<ChildStderr>,
    port: u64,
}

impl Service {
    fn start(files: &Path, package: &Path) -> Self {
        let child: Child = enarx()
            .args(["run", "--json", "--backend", "nil", "--simulate", "snp"])
            .arg("--simulated-silicon")
            .arg(files.join("silicon"))
            .arg("--ca-bundle")
            .arg(files.join("tls-root.pem"))
            .arg(package)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut running = Running(child);
        let mut stderr = BufReader::new(running.0.stderr.take().unwrap());
        let mut said = String::new();
        loop {
            let start = said.len();
            assert!(stderr.read_line(&mut said).unwrap() > 0, "it never listened:\n{said}");
            // Lines that are no JSON are the service's own.
            let line: Value = serde_json::from_str(&said[start..]).unwrap_or_default();
            if line["event"] == "listening" {
                let port = line["port"].as_u64().unwrap();
                return Self { running, stderr, port };
            }
        }
    }

    /// Ends it: all that it and its Keep said.
    fn end(self) -> String {
        let Self { running, mut stderr, .. } = self;
        drop(running);
        let mut said = String::new();
        stderr.read_to_string(&mut said).unwrap();
        said
    }
}

/// Whom a client asks for the root, and what it expects.
struct Wanted<'a> {
    steward: &'a Steward,
    digest: String,
    measurement: String,
    simulated: bool,
}

/// The client as a user runs it; `None`: Python lacks what it needs.
fn python() -> Option<Command> {
    let modules = Command::new("python3").args(["-c", "import grpc, grpc_tools"]).output();
    modules.is_ok_and(|output| output.status.success()).then(|| Command::new("python3"))
}

fn greet(files: &Path, service: &Service, wanted: &Wanted<'_>) -> Output {
    let mut command = python().unwrap();
    command
        .arg(demo().join("client.py"))
        .args(["Alice", "--steward", &wanted.steward.authority, "--steward-tls-root"])
        .arg(files.join("tls-root.pem"))
        .args(["--service", &format!("localhost:{}", service.port)])
        .args(["--digest", &wanted.digest, "--measurement", &wanted.measurement])
        .arg("--enarx")
        .arg(bare_enarx().get_program());
    if wanted.simulated {
        command.arg("--insecure-allow-simulated");
    }
    // The proxy in it is to take nothing from the user's environment.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("ENARX_")) {
            command.env_remove(name);
        }
    }
    command.output().unwrap()
}

/// The demo's package: its digest. The host chooses the port, and the Steward is this one.
fn package(directory: &Path, module: &Path, steward: &Steward) -> types::digest::Sha256 {
    let config = fs::read_to_string(demo().join("Enarx.toml")).unwrap();
    assert_eq!(config.matches("50051").count(), 3);
    let config =
        format!("steward = \"https://{}\"\n{}", steward.authority, config.replace("50051", "0"));
    let files = [("Enarx.toml", config.into_bytes()), ("main.wasm", fs::read(module).unwrap())];
    fs::create_dir(directory).unwrap();
    for (name, bytes) in &files {
        write(&directory.join(name), bytes);
    }
    let files = files.map(|(name, bytes)| (name.to_owned(), bytes));
    drawbridge_core::package_digest(files.into()).unwrap()
}

#[test]
fn a_grpc_client_talks_to_the_keep_that_it_expects_and_to_no_other() {
    if python().is_none() {
        println!("SKIP {NAME}: Python has no grpcio and grpcio-tools");
        return;
    }
    let Some(module) = go(&demo().join("service"), "grpc") else {
        println!("SKIP {NAME}: Go is not installed");
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let files = scratch.path();
    let ca = DevCa::generate("services", now()).unwrap();
    let (chain, key) = ca.issue_localhost(now()).unwrap();
    write(&files.join("tls.pem"), chain);
    write(&files.join("tls.key"), key);
    write(&files.join("tls-root.pem"), ca.certificate_pem());
    let silicon = SimulatedSnp::generate(now(), Options::default()).unwrap();
    fs::create_dir(files.join("silicon")).unwrap();
    silicon.save(&files.join("silicon")).unwrap();
    write(&files.join("silicon.pem"), silicon.roots_pem());
    let measurement = simulated_measurement(&fs::read(require("enarx-exec")).unwrap());
    let measurement = hex::encode(measurement);
    write(&files.join("policy.toml"), format!("[snp]\nhash = [\"{measurement}\"]\n"));

    let steward = Steward::start(files, "steward");
    let other = Steward::start(files, "other");
    let digest = package(&files.join("package"), &module, &steward).to_string();
    let service = Service::start(files, &files.join("package"));
    let right = || Wanted {
        steward: &steward,
        digest: digest.clone(),
        measurement: measurement.clone(),
        simulated: true,
    };

    let served = || {
        let output = greet(files, &service, &right());
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, "Hello, Alice, from inside a Keep!\n");
        let proved = String::from_utf8(output.stderr).unwrap();
        assert!(proved.contains(&digest) && proved.contains(&measurement), "{proved}");
    };
    served();
    for (check, wanted) in [
        ("requirement.measurement", Wanted { measurement: "ab".repeat(48), ..right() }),
        ("requirement.digest", Wanted { digest: format!("sha256:{}", "ab".repeat(32)), ..right() }),
        ("chain.path", Wanted { steward: &other, ..right() }),
        ("requirement.genuine", Wanted { simulated: false, ..right() }),
    ] {
        let output = greet(files, &service, &wanted);
        let why = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{check}: {why}");
        assert!(why.starts_with("error: nothing was sent to localhost:"), "{why}");
        assert!(why.contains(&format!(": refused: {check}: ")), "{check}: {why}");
    }
    // It is there for the right one, still.
    served();

    // The service says a word for each connection, and for each call before it answers.
    let said = service.end();
    for word in ["greeter: a connection", "greeter: SayHello"] {
        assert_eq!(said.lines().filter(|line| *line == word).count(), 2, "{word}: {said}");
    }
}
