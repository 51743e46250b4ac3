// SPDX-License-Identifier: Apache-2.0

//! System calls that neither std nor `nix` has in a safe form. All unsafe code of this crate is below this module.

#![allow(unsafe_code, reason = "each call states why it is sound")]

mod child;
mod ioctl;

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use nix::libc::{self, c_int, pid_t};

pub(crate) use self::child::{
    EXEC_FD, FIRST_FREE_FD, HANDED, Jail, Maps, Step, idle, probe, spawn,
};

pub(crate) use self::ioctl::{
    DeviceError, sev_id, snp_ext_report, snp_report, snp_status, td_report,
};

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A descriptor that refers to the process `pid`, a child that was not waited for yet.
pub(crate) fn pidfd(pid: pid_t) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Kills the process that `pidfd` refers to, if it still runs.
pub(crate) fn kill(pidfd: &OwnedFd) {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed; the other arguments are integers.
    // It can only fail for a process that is gone, which is what was wanted.
    unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, none, 0)
    };
}

/// Kills `pid`, a child of this thread that was not waited for yet, and waits until it is gone. Takes the end of any other
/// child of this thread for granted, so that the thread should have none.
pub(crate) fn end(pid: pid_t) {
    // SAFETY: integers only. The number still belongs to the child, which nobody has waited for.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    // Of a traced process, each thread has to be waited for.
    while let Ok((who, status)) = wait(-1) {
        if who == pid && (libc::WIFEXITED(status) || libc::WIFSIGNALED(status)) {
            return;
        }
    }
}

/// Waits for a change of `pid`, or with -1 of any child or tracee of this thread (not of other threads). Returns who, and
/// the raw status.
pub(crate) fn wait(pid: pid_t) -> io::Result<(pid_t, c_int)> {
    loop {
        let mut status = 0;
        // SAFETY: `status` outlives the call and is what the kernel writes to.
        let who = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if who >= 0 {
            return Ok((who, status));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Lets a stopped tracee go on, with a signal or with 0. Signals are plain numbers, since real-time ones have no name.
pub(crate) fn resume(pid: pid_t, signal: c_int) -> io::Result<()> {
    let signal = libc::c_long::from(signal);
    // SAFETY: PTRACE_CONT takes integers only; a process that is no tracee of this thread yields an error.
    check(unsafe { libc::ptrace(libc::PTRACE_CONT, pid, 0_usize, signal) }).map(drop)
}

/// Leaves a tracee stopped that its user stopped, but hears of what happens to it.
pub(crate) fn listen(pid: pid_t) -> io::Result<()> {
    // SAFETY: PTRACE_LISTEN takes integers only; a process that is no tracee of this thread yields an error.
    check(unsafe { libc::ptrace(libc::PTRACE_LISTEN, pid, 0_usize, 0_usize) }).map(drop)
}

/// Whether the kernel knows this verdict of a system call filter.
pub(crate) fn knows_verdict(verdict: u32) -> bool {
    // SAFETY: the kernel reads the four bytes of `verdict`, which outlives the call.
    let known = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const verdict)
    };
    known == 0
}

/// Version of Landlock's interface; `None`: the kernel has none.
pub(crate) fn landlock_version() -> Option<i64> {
    const VERSION: c_int = 1;
    let none = std::ptr::null::<u8>();
    // SAFETY: with this flag the kernel reads no memory, and a null pointer is asked for.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) };
    (version > 0).then_some(version)
}

/// Duplicates `fd` to a number that the child does not use, closed at exec.
pub(crate) fn out_of_the_way(fd: impl AsFd) -> io::Result<OwnedFd> {
    let raw = fd.as_fd().as_raw_fd();
    // SAFETY: the call takes integers only.
    let new = check(libc::c_long::from(unsafe {
        libc::fcntl(raw, libc::F_DUPFD_CLOEXEC, FIRST_FREE_FD)
    }))?;
    let new = RawFd::try_from(new).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}
