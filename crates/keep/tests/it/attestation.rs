// SPDX-License-Identifier: Apache-2.0

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;

use enarx_keep::{EvidenceSource, Image, Launch};
use nix::libc;

use crate::guest::{Lines, finish, image, launch, run};
use crate::jail::passes;

/// Answers with the report data backwards and 36 times 7; fails for data that begin with 0xFF.
struct Mirror;

impl EvidenceSource for Mirror {
    fn attest(&self, report_data: &[u8; 64]) -> io::Result<(Vec<u8>, u32)> {
        if report_data[0] == 0xFF {
            return Err(io::Error::other("no such data"));
        }
        let mut evidence: Vec<u8> = report_data.iter().rev().copied().collect();
        evidence.resize(100, 7);
        Ok((evidence, 1))
    }
}

struct Nothing;

impl EvidenceSource for Nothing {
    fn attest(&self, _: &[u8; 64]) -> io::Result<(Vec<u8>, u32)> {
        Ok((Vec::new(), 1))
    }
}

fn simulated(image: Image, what: &str) -> (Launch, Lines) {
    let (mut launch, lines) = launch(image, what);
    launch.simulate = Some(Arc::new(Mirror));
    (launch, lines)
}

#[test]
fn without_a_source_the_call_does_not_exist() {
    let Some(image) = image("keep.without_a_source_the_call_does_not_exist") else {
        return;
    };
    let lines = run(image, "attest");
    let size = lines.iter().find(|line| line.starts_with("main size")).unwrap();
    // rdx is untouched: it was the null pointer.
    assert_eq!(size, "main size: ENOSYS rdx=0");
    assert!(lines.iter().filter(|line| line.contains(": ")).all(|line| line.contains("ENOSYS")));
}

#[test]
fn a_source_answers_every_thread() {
    let Some(image) = image("keep.a_source_answers_every_thread") else {
        return;
    };
    let (launch, lines) = simulated(image, "attest");
    assert_eq!(finish(launch).unwrap().code(), Some(3));
    let expected: Vec<String> = ["main", "second"]
        .iter()
        .flat_map(|who| {
            [
                "size: 100 rdx=1",
                "short-data: EINVAL rdx=0",
                "no-room: EINVAL rdx=0",
                "negative: EINVAL rdx=0",
                "small: EMSGSIZE rdx=0",
                "bad-data: EFAULT rdx=0",
                "bad-buffer: EFAULT rdx=0",
                "kernel-buffer: EFAULT rdx=0",
                "read-only: EFAULT rdx=0",
                "good: 100 rdx=1",
                "right=1 after=ee",
                "source-fails: EIO rdx=0",
            ]
            .map(|line| format!("{who} {line}"))
        })
        .collect();
    let mut lines = lines.lock().unwrap().clone();
    if !passes("hidden process") {
        // A container's tracer has only the debugger's way to write, for which no page is read-only.
        let written = |line: &mut String| {
            *line = line.replace("read-only: 100 rdx=1", "read-only: EFAULT rdx=0")
        };
        lines.iter_mut().for_each(written);
    }
    assert_eq!(lines, expected);
}

#[test]
fn empty_evidence_is_a_failure() {
    let Some(image) = image("keep.empty_evidence_is_a_failure") else {
        return;
    };
    let (mut launch, lines) = simulated(image, "attest");
    launch.simulate = Some(Arc::new(Nothing));
    assert_eq!(finish(launch).unwrap().code(), Some(3));
    assert!(lines.lock().unwrap().contains(&"main good: EIO rdx=0".to_owned()));
}

#[test]
fn tracing_changes_nothing_else() {
    let Some(image) = image("keep.tracing_changes_nothing_else") else {
        return;
    };
    for what in ["facts", "refused", "allowed", "traps"] {
        let (launch, lines) = simulated(image.clone(), what);
        assert_eq!(finish(launch).unwrap().code(), Some(3), "{what}");
        assert_eq!(*lines.lock().unwrap(), run(image.clone(), what));
    }
    for (what, signal) in
        [("crash", libc::SIGSEGV), ("abort", libc::SIGABRT), ("killed bpf", libc::SIGSYS)]
    {
        let (launch, _) = simulated(image.clone(), what);
        let status = finish(launch).unwrap();
        assert_eq!(status.signal(), Some(signal), "{what}: {status}");
    }
}
