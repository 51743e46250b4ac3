// SPDX-License-Identifier: Apache-2.0

//! What is in `packaging/` fits the program.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::keep::{Keep, SILICON, policy, unnamed};
use crate::steward::{Files, Setup, Steward, command, run, stderr, write};

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(packaging(name)).unwrap()
}

/// Whether this program is there to be asked; says so if not.
fn there(test: &str, program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    let there = asked.is_ok_and(|status| status.success());
    if !there {
        eprintln!("SKIP {test}: {program} is not installed");
    }
    there
}

/// The settings in the example that are in force: name and value.
fn settings() -> Vec<(String, String)> {
    let set = |line: &str| {
        let (name, value) = line.split_once('=')?;
        (!name.starts_with('#')).then(|| (name.to_owned(), value.to_owned()))
    };
    read("steward/steward.env").lines().filter_map(set).collect()
}

#[test]
fn the_example_policy_is_valid() {
    let path = packaging("steward/policy.toml");
    let checked = run(&["policy", "check", path.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", stderr(&checked));
}

#[test]
fn the_example_settings_are_all_that_there_are() {
    let help = run(&["serve", "--help"]);
    // Lines may break anywhere between words.
    let help = String::from_utf8(help.stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let known: BTreeSet<&str> = help
        .split("[env: ")
        .skip(1)
        .filter_map(|part| part.split_once('=').map(|(name, _)| name))
        .collect();
    assert!(known.len() > 10, "{help}");
    let example = read("steward/steward.env");
    let shown: BTreeSet<&str> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#').unwrap_or(line).split_once('='))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(shown, known, "packaging/steward/steward.env and `steward serve --help` differ");
}

/// `steward serve` with the example's settings, on files of this test.
fn as_installed(files: &Files) -> Command {
    let root = files.dir.path();
    let at = |path: &str| root.join(path).to_str().unwrap().to_owned();
    std::fs::create_dir(at("state")).unwrap();
    let mut command = command();
    command.arg("serve");
    for (name, value) in settings() {
        let value = match (name.as_str(), value.as_str()) {
            ("STEWARD_ADDR", addr) => {
                assert_eq!(addr, "[::]:3000");
                "127.0.0.1:0".to_owned()
            }
            ("STEWARD_ADMIN_ADDR", addr) => {
                assert!(addr.starts_with("127.0.0.1:"), "{addr}");
                "127.0.0.1:0".to_owned()
            }
            ("STEWARD_POLICY", path) => {
                assert_eq!(path, "/etc/steward/policy.toml");
                packaging("steward/policy.toml").to_str().unwrap().to_owned()
            }
            (_, path) if path.starts_with("/etc/steward/tls/") => {
                path.replace("/etc/steward/tls", &at(""))
            }
            (_, path) if path.starts_with('/') => path
                .replace("/etc/steward", &at(""))
                .replace("/var/lib/steward", &at("state"))
                .replace("/var/log/steward", &at("state")),
            (_, value) => value.to_owned(),
        };
        command.env(name, value);
    }
    // What the unit says, with systemd's directory for credentials.
    assert!(read("systemd/steward.service").contains("\nEnvironment=STEWARD_CA_KEY=%d/ca.key\n"));
    command.env("STEWARD_CA_KEY", at("ca/ca.key"));
    command
}

#[test]
fn steward_serves_with_the_example_settings() {
    let files = Arc::new(Files::new(&Setup::default()));
    let command = as_installed(&files);
    let steward = Steward::run(files, command);
    assert_eq!(steward.operator("/readyz").status, 200);
    assert_eq!(steward.get("/").status, 200);
    let digest = types::digest::Sha256::of(read("steward/policy.toml").as_bytes());
    assert_eq!(steward.get(&format!("/policy/{}", digest.to_hex())).status, 200);
    assert_eq!(steward.request(b"garbage").status, 400);
    let audit = std::fs::read_to_string(steward.files.path("state/audit.jsonl")).unwrap();
    assert_eq!(audit.lines().count(), 1);
    assert_eq!(steward.stop(), Some(0));
}

#[test]
fn systemd_takes_the_units_and_finds_them_confined() {
    const TEST: &str = "systemd_takes_the_units_and_finds_them_confined";
    if !there(TEST, "systemd-analyze") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for unit in ["steward.service", "drawbridge.service"] {
        let program = format!("/usr/bin/{}", unit.strip_suffix(".service").unwrap());
        let text = read(&format!("systemd/{unit}"));
        assert!(text.contains(&format!("\nExecStart={program} serve\n")));
        // The program need not be installed here.
        let path = dir.path().join(unit);
        write(&path, text.replace(&program, env!("CARGO_BIN_EXE_steward")), 0o644);
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&path)
            .output()
            .unwrap();
        // What it ignores, it only mentions.
        let said = stderr(&verified);
        let about_it: Vec<&str> = said.lines().filter(|line| line.contains(unit)).collect();
        assert!(verified.status.success() && about_it.is_empty(), "{said}");
        // Tenths: 0 is confined wholly, 10.0 not at all.
        let judged = Command::new("systemd-analyze")
            .args(["security", "--offline=yes", "--threshold=15", "--no-pager"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&judged.stdout);
        if said.is_empty() {
            eprintln!(
                "SKIP {TEST}: this systemd-analyze does not judge offline: {}",
                stderr(&judged)
            );
            return;
        }
        assert!(judged.status.success(), "{said}");
    }
}

/// The system calls in a group of systemd's, with the groups in it.
fn group(name: &str, calls: &mut BTreeSet<String>) {
    let listed = Command::new("systemd-analyze")
        .args(["syscall-filter", "--no-pager", name])
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for word in listed.lines().skip(1).map(str::trim).filter(|word| !word.starts_with('#')) {
        if word.starts_with('@') {
            group(word, calls);
        } else if !word.is_empty() {
            calls.insert(word.to_owned());
        }
    }
}

#[test]
fn every_system_call_is_one_that_the_unit_allows() {
    const TEST: &str = "every_system_call_is_one_that_the_unit_allows";
    if !there(TEST, "strace") || !there(TEST, "systemd-analyze") {
        return;
    }
    let traces = Command::new("strace").args(["-o", "/dev/null", "true"]).output().unwrap();
    if !traces.status.success() {
        eprintln!("SKIP {TEST}: strace cannot trace here: {}", stderr(&traces));
        return;
    }
    let mut allowed = BTreeSet::new();
    let unit = read("systemd/steward.service");
    for words in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let mut calls = BTreeSet::new();
        words.trim_start_matches('~').split(' ').for_each(|name| group(name, &mut calls));
        assert!(calls.len() > 5, "{words}: {calls:?}");
        if words.starts_with('~') {
            allowed.retain(|call| !calls.contains(call));
        } else {
            allowed.extend(calls);
        }
    }

    let setup = Setup {
        policy: policy(&[]),
        simulated_roots: Some(SILICON.roots_pem()),
        ..Setup::default()
    };
    let files = Arc::new(Files::new(&setup));
    let traced = tempfile::tempdir().unwrap();
    let (serve, trace) = (files.serve(&setup), traced.path().join("trace"));
    let mut command = Command::new("strace");
    command.args(["--follow-forks", "--seccomp-bpf", "-o"]).arg(&trace).arg("--");
    command.arg(serve.get_program()).args(serve.get_args());
    let steward = Steward::run(files, command);
    let keep = Keep::new();
    assert_eq!(steward.request(&keep.request(&keep.evidence(Some(unnamed())))).status, 200);
    assert_eq!(steward.request(b"garbage").status, 400);
    assert_eq!(steward.operator("/metrics").status, 200);
    assert_eq!(steward.operator("/readyz").status, 200);
    // The first line is of the Steward itself, which strace only watches.
    let text = std::fs::read_to_string(&trace).unwrap();
    let pid = text.split_whitespace().next().unwrap();
    let signal = |name: &str| {
        assert!(Command::new("kill").args(["-s", name, pid]).status().unwrap().success());
    };
    signal("HUP");
    while steward.metric("reloads_total{result=\"ok\"}") < 1.0 {}
    signal("TERM");
    assert_eq!(steward.wait(), Some(0));
    let trace = std::fs::read_to_string(&trace).unwrap();
    let call = |line: &str| {
        let (name, _) = line.split_once(' ')?.1.trim_start().split_once('(')?;
        name.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            .then(|| name.to_owned())
    };
    let made: BTreeSet<String> = trace.lines().filter_map(call).collect();
    assert!(made.contains("epoll_wait") && made.contains("fdatasync"), "{made:?}");
    let denied: Vec<&String> = made.difference(&allowed).collect();
    assert!(denied.is_empty(), "the unit denies {denied:?}");
}
