// SPDX-License-Identifier: Apache-2.0

//! The issuance log: what a client holds is in it, whatever happens to Steward.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use testkit::random::{Random, count};

use crate::issuance::believing;
use crate::keep::{Keep, SILICON, policy, unnamed};
use crate::steward::{Files, Setup, Steward, run, stderr, wait_until, write};

/// The entries of the log, by `steward log show --json`.
fn entries(log: &Path) -> Vec<Value> {
    let shown = run(&["log", "show", log.to_str().unwrap(), "--json"]);
    assert!(shown.status.success(), "{}", stderr(&shown));
    let lines = String::from_utf8(shown.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn certificate(entry: &Value) -> Vec<u8> {
    STANDARD.decode(entry["entry"]["issued"]["certificate"].as_str().unwrap()).unwrap()
}

/// What `steward log verify --json` says, and its exit code.
fn verdict(log: &Path, more: &[&str]) -> (Value, Option<i32>) {
    let arguments = [&["log", "verify", log.to_str().unwrap(), "--json"], more].concat();
    let verified = run(&arguments);
    (serde_json::from_slice(&verified.stdout).unwrap(), verified.status.code())
}

fn request() -> Vec<u8> {
    let keep = Keep::new();
    keep.request(&keep.evidence(Some(unnamed())))
}

fn setup() -> Setup {
    Setup { policy: policy(&[]), simulated_roots: Some(SILICON.roots_pem()), ..Setup::default() }
}

/// The only file of a log.
fn file(log: &Path) -> PathBuf {
    log.join(format!("{:020}.jsonl", 0))
}

#[test]
fn certificates_are_recorded_and_refusals_are_not() {
    let steward = believing(policy(&[]));
    let log = steward.files.path("log");
    let (first, one) = verdict(&log, &[]);
    assert_eq!((&first["ok"], &first["entries"], one), (&true.into(), &0.into(), Some(0)));
    let [_, leaf] = steward.request(&request()).path();
    assert_eq!(steward.request(b"garbage").status, 400);
    let [_, second] = steward.request(&request()).path();
    let entries = entries(&log);
    assert_eq!(entries.iter().map(certificate).collect::<Vec<_>>(), [leaf.clone(), second]);
    let issued = &entries[0]["entry"]["issued"];
    assert_eq!((&issued["tee"], &issued["status"]), (&"snp".into(), &"contraindicated".into()));
    let digest = types::digest::Sha256::of(policy(&[]).as_bytes()).to_string();
    assert_eq!(issued["policy"], digest);

    let serial = issued["serial"].as_str().unwrap();
    let shown = run(&["log", "show", log.to_str().unwrap(), "--serial", &serial.to_uppercase()]);
    let pem = der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, &leaf).unwrap();
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), pem);
    let shown = run(&["log", "show", log.to_str().unwrap(), "--serial", "00"]);
    assert_eq!(shown.status.code(), Some(1));

    let noted = entries[0]["hash"].as_str().unwrap();
    let (found, code) = verdict(&log, &["--through", noted]);
    assert_eq!((&found["ok"], code), (&true.into(), Some(0)));
    let (found, code) = verdict(&log, &["--through", &digest]);
    assert_eq!((&found["ok"], code), (&false.into(), Some(1)));
    assert_eq!(steward.stop(), Some(0));
}

#[test]
fn a_changed_log_names_the_entry_and_is_not_served_on() {
    let steward = believing(policy(&[]));
    for _ in 0..3 {
        steward.request(&request()).path();
    }
    let files = steward.kill();
    let log = files.path("log");
    let good = fs::read_to_string(file(&log)).unwrap();
    let lines: Vec<&str> = good.split_inclusive('\n').collect();
    let contraband = good.replacen("contraindicated", "affirming", 1);
    let twice = [lines[0], lines[0], lines[1], lines[2]].concat();
    let without = [lines[0], lines[2]].concat();
    for (text, words) in [
        (contraband, "line 1 "),
        (twice, "entry 1 should be here, but this is entry 0"),
        (without, "entry 1 should be here, but this is entry 2"),
    ] {
        write(&file(&log), &text, 0o600);
        let (found, code) = verdict(&log, &[]);
        assert_eq!((&found["ok"], code), (&false.into(), Some(1)));
        assert!(found["message"].as_str().unwrap().contains(words), "{found}");
        let served = files.serve(&setup()).output().unwrap();
        assert_eq!(served.status.code(), Some(2));
        assert!(stderr(&served).contains(words), "{}", stderr(&served));
        assert_eq!(fs::read_to_string(file(&log)).unwrap(), text, "it is left as it is");
    }
    // What a crash leaves behind the last entry is no change.
    write(&file(&log), format!("{good}{}", &lines[2][..100]), 0o600);
    let (found, code) = verdict(&log, &[]);
    assert_eq!((&found["torn_bytes"], code), (&100.into(), Some(0)));
    let command = files.serve(&setup());
    let steward = Steward::run(files, command);
    steward.logged(&["was cut", "100"]);
    steward.request(&request()).path();
    assert_eq!(verdict(&log, &[]).0["entries"], 4);
}

#[test]
fn two_stewards_do_not_share_a_log() {
    let steward = Steward::start(setup());
    let output = steward.files.serve(&setup()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("another process"), "{}", stderr(&output));
}

#[test]
fn a_log_is_needed_unless_somebody_insists() {
    let files = Arc::new(Files::new(&Setup::default()));
    let with = |more: &[&str]| {
        let mut command = files.serve(&Setup::default());
        let kept: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let at = kept.iter().position(|argument| argument == "--issuance-log").unwrap();
        command = crate::steward::command();
        command.args(&kept[..at]).args(&kept[at + 2..]).args(more);
        command
    };
    let refused = with(&[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("--issuance-log"), "{}", stderr(&refused));
    let command = with(&["--insecure-no-issuance-log"]);
    let steward = Steward::run(files, command);
    steward.logged(&["WARNING", "NOT RECORDED"]);
    assert_eq!(steward.stop(), Some(0));
}

#[test]
fn nothing_leaves_that_the_disk_does_not_take() {
    let files = Arc::new(Files::new(&setup()));
    let serve = files.serve(&setup());
    // Files may not grow beyond 8 KiB, which is room for one entry, and for a piece of the next.
    let mut command = Command::new("bash");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "bash"])
        .arg(serve.get_program())
        .args(serve.get_args());
    let steward = Steward::run(files, command);
    let mut held = Vec::new();
    let refused = loop {
        let answer = steward.request(&request());
        if answer.status != 200 {
            break answer;
        }
        let [_, leaf] = answer.path();
        held.push(leaf);
        assert!(held.len() < 8, "the limit is not in force");
    };
    assert_eq!(refused.check(), (503, "steward.issuance-log".to_owned()));
    assert_eq!(refused.retry_after.as_deref(), Some("1"));
    steward.logged(&["could not be recorded", "cannot write"]);
    assert_eq!(steward.request(&request()).status, 503, "and it stays so");
    assert_eq!(steward.get("/").status, 200);
    let problem = steward.operator("/readyz").problem();
    assert_eq!(problem.status, 503);
    assert!(problem.detail.contains("cannot write"), "{problem:?}");
    assert!(!held.is_empty());
    let log = steward.files.path("log");
    assert_eq!(entries(&log).iter().map(certificate).collect::<Vec<_>>(), held);
    assert_eq!(verdict(&log, &[]).0["torn_bytes"], 0);
    assert_eq!(steward.stop(), Some(0));
}

/// RELIABILITY S-2. `STEWARD_KILLS` says how often; `STEWARD_SEED` repeats a run.
#[test]
fn whatever_a_client_holds_is_in_the_log_of_a_killed_steward() {
    let kills = count("STEWARD_KILLS", 15);
    let mut random = Random::from_env("STEWARD_SEED");
    let requests: Vec<Vec<u8>> = (0..4).map(|_| request()).collect();
    let mut files = Arc::new(Files::new(&setup()));
    let mut held = HashSet::new();
    for kill in 0..kills {
        let command = files.serve(&setup());
        let steward = Steward::run(files, command);
        let (answered, taken) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let (enough, wait) = (random.below(12), random.below(20_000));
        std::thread::scope(|scope| {
            for request in &requests {
                let (steward, answered, taken) = (&steward, &answered, &taken);
                scope.spawn(move || {
                    while let Some(answer) = steward.try_request(request) {
                        let [_, leaf] = answer.path();
                        taken.lock().unwrap().push(leaf);
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            wait_until(|| answered.load(Ordering::SeqCst) >= enough);
            // Anywhere in the next request.
            std::thread::sleep(std::time::Duration::from_micros(wait as u64));
            steward.signal("KILL");
        });
        files = steward.kill();
        held.extend(taken.into_inner().unwrap());
        let log = files.path("log");
        let recorded: HashSet<Vec<u8>> = entries(&log).iter().map(certificate).collect();
        let missing = held.difference(&recorded).count();
        assert_eq!(missing, 0, "of {} certificates after kill {kill} of {kills}", held.len());
    }
    let (found, code) = verdict(&files.path("log"), &[]);
    assert_eq!((&found["ok"], code), (&true.into(), Some(0)));
    println!("{} certificates held, {} recorded", held.len(), found["entries"]);
    assert!(found["entries"].as_u64().unwrap() >= held.len() as u64);
    assert!(!held.is_empty());
}
