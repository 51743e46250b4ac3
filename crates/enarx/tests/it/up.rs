// SPDX-License-Identifier: Apache-2.0

//! `enarx up`, as a newcomer runs it, and as things go wrong around it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{enarx, require};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

fn up() -> Command {
    require("steward");
    require("drawbridge");
    let mut command = enarx();
    command.args(["up", "--chat-port", "0"]);
    command
}

/// A running `enarx up`.
struct Up {
    child: Child,
    stdout: Receiver<String>,
    stderr: std::thread::JoinHandle<String>,
    said: Vec<String>,
    state: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Up {
    /// Starts one and waits until the room is open.
    fn start() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let state = scratch.path().join("state");
        let mut command = up();
        command
            .arg("--state")
            .arg(&state)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = lines(BufReader::new(child.stdout.take().unwrap()));
        let stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || read(stderr));
        let mut up = Self { child, stdout, stderr, said: Vec::new(), state, _scratch: scratch };
        up.wait_for("Ctrl-C ends everything");
        up
    }

    fn wait_for(&mut self, word: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.stdout.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = line.contains(word);
                    self.said.push(line);
                    if found {
                        return;
                    }
                }
                Err(_) => {
                    // Its own words are the best explanation.
                    let _ = self.child.kill();
                    panic!("`enarx up` never said {word:?}; it said {:?}", self.said);
                }
            }
        }
    }

    /// The command that follows the line with `title`.
    fn command_after(&self, title: &str) -> Vec<String> {
        let at = self.said.iter().position(|line| line.contains(title)).unwrap();
        self.said[at + 1].split_whitespace().map(str::to_owned).collect()
    }

    /// Children by name, their children included.
    fn children(&self) -> BTreeMap<String, i32> {
        descendants(i32::try_from(self.child.id()).unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end: how, and what it said on standard error.
    fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "`enarx up` does not end");
            std::thread::yield_now();
        };
        drop(self.stdout);
        (status, self.stderr.join().unwrap())
    }
}

fn read(mut stream: ChildStderr) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn lines(reader: impl std::io::BufRead + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in reader.lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Name, state and parent of a process.
fn stat(pid: i32) -> Option<(String, char, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = text.rsplit_once(") ")?;
    let name = head.split_once('(')?.1.to_owned();
    let mut fields = tail.split_whitespace();
    Some((name, fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn descendants(root: i32) -> BTreeMap<String, i32> {
    let all: Vec<(i32, String, i32)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| stat(pid).map(|(name, _, parent)| (pid, name, parent)))
        .collect();
    let mut found = BTreeMap::new();
    let mut generation = vec![root];
    while let Some(parent) = generation.pop() {
        for (pid, name, _) in all.iter().filter(|(_, _, of)| *of == parent) {
            // Several Keeps have one name.
            let mut name = name.clone();
            while found.contains_key(&name) {
                name.push('\'');
            }
            found.insert(name, *pid);
            generation.push(*pid);
        }
    }
    found
}

/// Waits until these processes are gone, or are but entries that somebody has still to collect.
fn assert_gone(processes: &BTreeMap<String, i32>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    for (name, pid) in processes {
        while stat(*pid).is_some_and(|(_, state, _)| state != 'Z') {
            assert!(Instant::now() < deadline, "{name} ({pid}) was left running");
            std::thread::yield_now();
        }
    }
}

fn entries(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn check_holds() {
    let scratch = tempfile::tempdir().unwrap();
    let output: Output =
        up().args(["--check", "--json", "--state"]).arg(scratch.path()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let json: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr}"));
    for check in json["checks"].as_array().unwrap() {
        if check["verdict"] == "skipped" {
            println!("SKIP enarx up --check, {}: {}", check["check"], check["got"]);
        }
        assert_ne!(check["verdict"], "failed", "{check}\n{stderr}");
    }
    assert!(output.status.success(), "{stderr}");
    assert!(json["checks"].as_array().unwrap().len() >= 20, "{json}");
    for phase in ["start", "attestation", "certificate", "fetch", "compile", "first_byte"] {
        assert!(
            json["timings"].as_array().unwrap().iter().any(|timing| timing["phase"] == phase),
            "{phase}: {json}"
        );
    }
    for step in 1..=13 {
        assert!(
            stderr.lines().any(|line| line.trim_start().starts_with(&format!("{step} "))),
            "step {step}: {stderr}"
        );
    }
}

#[test]
fn the_room_is_verified_by_others_and_joined_by_a_second_client() {
    let mut up = Up::start();
    let line = up.command_after("What does the room prove?");
    let verify = |arguments: &[String]| {
        let output = Command::new(&line[0]).args(arguments).env("NO_COLOR", "1").output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, stdout, stderr) = verify(&line[1..]);
    assert_eq!(code, 0, "{stderr}");
    for word in ["demo/chat-server:0.1.0", "sha256:", "SIMULATED", "localhost"] {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
    let changed = |from: &str, to: &str| -> Vec<String> {
        line[1..]
            .iter()
            .filter(|word| !(to.is_empty() && *word == from))
            .map(|word| word.replace(from, to))
            .collect()
    };
    let (code, _, stderr) = verify(&changed("--insecure-allow-simulated", ""));
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("simulated"), "{stderr}");
    let (code, _, stderr) = verify(&changed("chat-server", "chat-client"));
    assert_eq!(code, 1, "{stderr}");
    let mut with = changed("", "");
    with.extend(["--expect".to_owned(), format!("digest=sha256:{}", "0".repeat(64))]);
    assert_eq!(verify(&with).0, 1);
    with = changed("", "");
    with.extend(["--expect".to_owned(), format!("measurement={}", "0".repeat(96))]);
    assert_eq!(verify(&with).0, 1);
    // The authority of the services' own certificates vouches for no Keep.
    let at = line.iter().position(|word| word == "--ca").unwrap();
    let other = line[at + 1].clone();
    let tls_root = up.state.join("tls-root.pem");
    assert_eq!(verify(&changed(&other, tls_root.to_str().unwrap())).0, 1);
    let mut json = changed("", "");
    json.push("--json".to_owned());
    let (code, stdout, _) = verify(&json);
    assert_eq!(code, 0);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json["ok"], true);
    assert_eq!(json["proved"]["peer"]["kind"], "keep");

    // A second client, by the line that is printed.
    let line = up.command_after("Join the room from another terminal");
    let mut second = Command::new(&line[0])
        .args(&line[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = lines(BufReader::new(second.stdout.take().unwrap()));
    writeln!(second.stdin.as_mut().unwrap(), "Good evening.").unwrap();
    loop {
        let line = said.recv_timeout(PATIENCE).unwrap();
        if line == "guest 2: Good evening." {
            break;
        }
    }
    // What is typed into `enarx up` is said in the room.
    writeln!(up.child.stdin.as_mut().unwrap(), "And to you.").unwrap();
    while said.recv_timeout(PATIENCE).unwrap() != "guest 1: And to you." {}
    drop(second.stdin.take());
    assert!(second.wait().unwrap().success());

    let children = up.children();
    assert!(
        children.contains_key("steward") && children.contains_key("drawbridge"),
        "{children:?}"
    );
    up.signal(Signal::TERM);
    let (status, stderr) = up.end();
    assert!(status.success(), "{stderr}");
    assert_gone(&children);
}

#[test]
fn a_service_that_dies_ends_everything_with_one_clear_line() {
    for name in ["steward", "drawbridge"] {
        let up = Up::start();
        let children = up.children();
        kill_process(Pid::from_raw(children[name]).unwrap(), Signal::KILL).unwrap();
        let state = up.state.clone();
        let (status, stderr) = up.end();
        assert_eq!(status.code(), Some(1), "{stderr}");
        let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(
            errors,
            [format!("error: {name} died (killed (signal 9)), so everything was ended")]
        );
        assert!(stderr.contains(&format!("{}/{name}.log", state.display())), "{stderr}");
        assert_gone(&children);
    }
}

#[test]
fn a_room_that_dies_ends_everything_with_one_clear_line() {
    let up = Up::start();
    let children = up.children();
    let keeps: Vec<i32> = children
        .iter()
        .filter(|(name, _)| name.starts_with("memfd:enarx"))
        .map(|(_, pid)| *pid)
        .collect();
    assert!(keeps.len() >= 2, "{children:?}");
    // The room was there first. Keeps run from sealed memory, whose name is cut to 15 characters.
    kill_process(Pid::from_raw(*keeps.iter().min().unwrap()).unwrap(), Signal::KILL).unwrap();
    let (status, stderr) = up.end();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: the chat room's Keep ended\n"), "{stderr}");
    assert_gone(&children);
}

#[test]
fn nothing_outlives_a_killed_up_and_it_starts_again() {
    let up = Up::start();
    let children = up.children();
    let state = up.state.clone();
    up.signal(Signal::KILL);
    let scratch = up._scratch.path().to_path_buf();
    assert_eq!(entries(&scratch), ["state"]);
    assert_gone(&children);
    // The same state directory serves again.
    let output = self::up().args(["--check", "--state"]).arg(&state).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    drop(up);
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let scratch = tempfile::tempdir().unwrap();
    let mut command = enarx();
    command
        .args(["up", "--chat-port", &port.to_string(), "--state"])
        .arg(scratch.path().join("state"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        stderr.lines().next().unwrap(),
        format!("error: port {port} for the chat room is taken")
    );
    assert!(stderr.contains("--chat-port"), "{stderr}");
    assert!(!scratch.path().join("state").exists(), "nothing was made");
}

#[test]
fn programs_that_are_not_built_are_named() {
    let exec = require("enarx-exec");
    let scratch = tempfile::tempdir().unwrap();
    let alone = scratch.path().join("enarx");
    fs::copy(env!("CARGO_BIN_EXE_enarx"), &alone).unwrap();
    let run = |exec: Option<&Path>| {
        let mut command = Command::new(&alone);
        command
            .args(["up", "--state"])
            .arg(scratch.path().join("state"))
            .env("NO_COLOR", "1")
            .env_remove("ENARX_EXEC");
        if let Some(exec) = exec {
            command.arg("--exec").arg(exec);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    for (exec, name) in [(None, "enarx-exec"), (Some(exec.as_path()), "steward")] {
        let stderr = run(exec);
        assert!(
            stderr.starts_with(&format!("error: cannot find the program {name}\n")),
            "{stderr}"
        );
        assert!(stderr.contains("cargo xtask build"), "{stderr}");
    }
    assert_eq!(entries(scratch.path()), ["enarx"]);
}

#[test]
fn a_full_disk_is_one_clear_line() {
    let scratch = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=64k tmpfs \"$0\" && exec \"$@\"";
    let within = |command: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", mount])
            .arg(scratch.path())
            .args(command);
        unshare.env("NO_COLOR", "1").output()
    };
    if !within(&["true"]).is_ok_and(|output| output.status.success()) {
        println!(
            "SKIP a_full_disk_is_one_clear_line: this machine lets nobody mount a small file system"
        );
        return;
    }
    let enarx = env!("CARGO_BIN_EXE_enarx");
    let state = scratch.path().join("state");
    let exec = require("enarx-exec");
    let output = within(&[
        enarx,
        "up",
        "--chat-port",
        "0",
        "--exec",
        exec.to_str().unwrap(),
        "--state",
        state.to_str().unwrap(),
    ]);
    let output = output.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    assert!(stderr.contains("full") || stderr.contains("No space left"), "{stderr}");
}

#[test]
fn a_directory_of_somebody_else_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    fs::File::create(scratch.path().join("thesis.tex")).unwrap();
    let output = up().arg("--state").arg(scratch.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("nothing of yours is touched") && stderr.contains("--state"),
        "{stderr}"
    );
    assert_eq!(entries(scratch.path()), ["thesis.tex"]);
}
