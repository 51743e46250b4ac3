// SPDX-License-Identifier: Apache-2.0

use std::os::unix::process::ExitStatusExt as _;

use enarx_keep::platform;
use nix::libc;

use crate::guest::{finish, image, launch, run};

/// Whether this machine passes this check of the backend.
pub(crate) fn passes(name: &str) -> bool {
    let all = platform::info();
    let nil = all.iter().find(|info| info.name == "nil").unwrap();
    nil.checks.iter().any(|check| check.name == name && check.pass)
}

#[test]
fn nothing_is_inherited() {
    let Some(image) = image("keep.nothing_is_inherited") else {
        return;
    };
    let lines = run(image, "facts");
    assert_eq!(lines[0], "argc=1 argv0=enarx-exec env=0");
    assert_eq!(lines[1], "open: 0 1 2 3");
    if passes("hidden process") {
        assert_eq!(lines[2], "dumpable=0");
    } else {
        println!("SKIP keep.nothing_is_inherited.hidden: not allowed on this machine");
    }
    if passes("namespaces") {
        assert_eq!(lines[3], "root=0");
    } else {
        println!("SKIP keep.nothing_is_inherited.namespaces: not allowed on this machine");
    }
    assert_eq!(lines[4], "blocked=0 ignored=0");
}

#[test]
fn what_a_keep_does_not_need_is_refused() {
    let Some(image) = image("keep.what_a_keep_does_not_need_is_refused") else {
        return;
    };
    let lines = run(image, "refused");
    let expected = [
        "open=ENOENT",
        "openat=ENOENT",
        "stat=ENOENT",
        "readlink=ENOENT",
        "execve=EPERM",
        "execveat=EPERM",
        "execveat-path=EPERM",
        "fork=EPERM",
        "vfork=EPERM",
        "clone=EPERM",
        "clone3=ENOSYS",
        "unix=EPERM",
        "udp=EPERM",
        "raw=EPERM",
        "netlink=EPERM",
        "socketpair=EPERM",
        "kill-parent=EPERM",
        "kill-all=EPERM",
        "tgkill-parent=EPERM",
        "prlimit-parent=EPERM",
        "tiocsti=EPERM",
        "attach-filter=EPERM",
        "ulp=EPERM",
        "pdeathsig=EPERM",
        "dumpable=EPERM",
        "setown=EPERM",
        "seccomp=ENOSYS",
        "io_uring=ENOSYS",
        "memfd=ENOSYS",
        "unknown=ENOSYS",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_a_keep_needs_works() {
    let Some(image) = image("keep.what_a_keep_needs_works") else {
        return;
    };
    let expected = [
        "socket=ok",
        "reuseaddr=ok",
        "nodelay=ok",
        "bind=ok",
        "listen=ok",
        "thread=ok",
        "seen=7",
        "mprotect=ok",
        "jit=42",
    ];
    assert_eq!(run(image, "allowed"), expected);
}

#[test]
fn an_attack_on_the_host_ends_the_keep() {
    let Some(image) = image("keep.an_attack_on_the_host_ends_the_keep") else {
        return;
    };
    for what in [
        "ptrace",
        "process_vm_readv",
        "bpf",
        "keyctl",
        "mount",
        "unshare",
        "setuid",
        "perf_event_open",
        "int80",
    ] {
        let (launch, lines) = launch(image.clone(), &format!("killed {what}"));
        let status = finish(launch).unwrap();
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{what}: {status}");
        assert!(lines.lock().unwrap().is_empty(), "{what}");
    }
}

#[test]
fn traps_reach_their_handlers() {
    let Some(image) = image("keep.traps_reach_their_handlers") else {
        return;
    };
    assert_eq!(run(image, "traps"), ["main: 1 1 1 1", "second: 1 1 1 1"]);
}
