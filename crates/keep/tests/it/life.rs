// SPDX-License-Identifier: Apache-2.0

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use enarx_keep::{EvidenceSource, Launch, Running, nil};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::guest::{image, launch};

struct Silent;

impl EvidenceSource for Silent {
    fn attest(&self, _: &[u8; 64]) -> std::io::Result<(Vec<u8>, u32)> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

/// A Keep that has started and stays.
fn staying(mut launch: Launch, simulate: bool) -> Running {
    let (up, is_up) = channel();
    launch.on_log = Box::new(move |_, text| {
        let _ = up.send(text.to_owned());
    });
    if simulate {
        launch.simulate = Some(Arc::new(Silent));
    }
    let running = nil::start(launch).unwrap();
    assert_eq!(is_up.recv().unwrap(), "up");
    running
}

fn is_gone(pid: u32) -> bool {
    kill(Pid::from_raw(pid.try_into().unwrap()), None).is_err()
}

#[test]
fn a_keep_can_be_ended_in_three_ways() {
    let Some(image) = image("keep.a_keep_can_be_ended_in_three_ways") else {
        return;
    };
    for simulate in [false, true] {
        let running = staying(launch(image.clone(), "stay").0, simulate);
        assert!(!running.has_ended());
        running.kill();
        assert_eq!(running.wait().unwrap().signal(), Some(libc::SIGKILL));

        let running = staying(launch(image.clone(), "stay").0, simulate);
        let (pid, killer) = (running.pid(), running.killer());
        let ender = std::thread::spawn(move || killer.kill());
        assert_eq!(running.wait().unwrap().signal(), Some(libc::SIGKILL));
        ender.join().unwrap();
        assert!(is_gone(pid));

        let running = staying(launch(image.clone(), "stay").0, simulate);
        let (pid, killer) = (running.pid(), running.killer());
        drop(running);
        assert!(is_gone(pid));
        // Without effect, also on whoever has its number now.
        killer.kill();
    }
}

#[test]
fn signals_of_its_user_are_passed_on() {
    let Some(image) = image("keep.signals_of_its_user_are_passed_on") else {
        return;
    };
    for simulate in [false, true] {
        let running = staying(launch(image.clone(), "stay").0, simulate);
        let pid = Pid::from_raw(running.pid().try_into().unwrap());
        for signal in [Signal::SIGSTOP, Signal::SIGCONT, Signal::SIGTERM] {
            kill(pid, signal).unwrap();
        }
        assert_eq!(running.wait().unwrap().signal(), Some(libc::SIGTERM));
    }
}

#[test]
fn several_keeps_run_side_by_side() {
    let Some(image) = image("keep.several_keeps_run_side_by_side") else {
        return;
    };
    let keeps: Vec<Running> =
        (0..6).map(|i| staying(launch(image.clone(), "stay").0, i % 2 == 0)).collect();
    for running in keeps {
        running.kill();
        assert_eq!(running.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}

/// Not a test by itself: a loader for the next one to kill.
#[test]
#[ignore = "run by nothing_outlives_the_loader"]
fn loader_to_be_killed() {
    let simulate = match std::env::var("KEEP_TEST_SIMULATE").as_deref() {
        Ok("yes") => true,
        Ok("no") => false,
        _ => return,
    };
    let Some(image) = image("keep.loader_to_be_killed") else {
        return;
    };
    let running = staying(launch(image, "stay").0, simulate);
    println!("keep {}", running.pid());
    let _ = running.wait();
}

#[test]
fn nothing_outlives_the_loader() {
    if image("keep.nothing_outlives_the_loader").is_none() {
        return;
    }
    for simulate in ["yes", "no"] {
        // The Keep inherits the loader's standard output: its end means that both are gone.
        let (output, far) = UnixStream::pair().unwrap();
        output.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut loader = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "life::loader_to_be_killed", "--ignored", "--nocapture"])
            .env("KEEP_TEST_SIMULATE", simulate)
            .stdin(Stdio::null())
            .stdout(std::os::fd::OwnedFd::from(far))
            .spawn()
            .unwrap();
        let mut output = BufReader::new(output);
        let pid: u32 = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the loader ended too early");
            if let Some((_, pid)) = line.split_once("keep ") {
                break pid.trim().parse().unwrap();
            }
        };
        loader.kill().unwrap();
        loader.wait().unwrap();
        output.read_to_end(&mut Vec::new()).unwrap();
        // Its descriptors are closed before it is quite gone. Whoever inherits orphans may take its time to wait for it.
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let gone =
            |state: &str| state.is_empty() || state.contains(") Z ") || state.contains(") X ");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !gone(&state()) {
            assert!(Instant::now() < deadline, "{}", state());
            std::thread::yield_now();
        }
    }
}
