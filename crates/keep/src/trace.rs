// SPDX-License-Identifier: Apache-2.0

//! The loader as tracer: answers the Keep's request for evidence (docs/FORMATS.md 3.4) in place of silicon.
//!
//! The system call returns two registers, which only a tracer can set. The filter ([`crate::filter`]) stops the Keep at
//! this one number; everything else runs at full speed, but signals pass through here, untouched: the runtime's traps are
//! among them.

use std::io::{IoSlice, IoSliceMut};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::{io, ptr, thread};

use nix::errno::Errno;
use nix::libc::{self, c_int, pid_t};
use nix::sys::ptrace;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;
use types::limits::ATTESTATION_BYTES_MAX;

use crate::{EvidenceSource, GET_ATTESTATION, sys};

/// Length of the report data.
const REPORT_DATA_BYTES: u64 = 64;
/// Bytes of a word that `PTRACE_PEEKDATA` and `PTRACE_POKEDATA` move.
const WORD: usize = 8;

/// Becomes the tracer of `pid`, a child that waits for its start. Tracing belongs to this thread.
///
/// # Errors
/// The host forbids it.
pub(crate) fn attach(pid: pid_t) -> io::Result<()> {
    let options = ptrace::Options::PTRACE_O_TRACECLONE
        | ptrace::Options::PTRACE_O_TRACESECCOMP
        | ptrace::Options::PTRACE_O_EXITKILL;
    Ok(ptrace::seize(Pid::from_raw(pid), options)?)
}

/// Whether this process may trace its children: tries it.
///
/// # Errors
/// It may not.
pub(crate) fn probe() -> io::Result<()> {
    // A thread of its own, since waiting for the child would take other children of the caller's for it.
    let probe = || {
        let child = sys::idle()?;
        let result = attach(child);
        sys::end(child);
        result
    };
    let failed = |_| Err(io::Error::other("the thread of the probe stopped"));
    thread::spawn(probe).join().unwrap_or_else(failed)
}

/// Follows the Keep `main` and all of its threads until it ends.
///
/// # Errors
/// The kernel refuses something that cannot be gone without; the caller ends the Keep.
pub(crate) fn follow(main: pid_t, source: &dyn EvidenceSource) -> io::Result<ExitStatus> {
    loop {
        let (thread, status) = sys::wait(-1)?;
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            if thread == main {
                return Ok(ExitStatus::from_raw(status));
            }
            continue;
        }
        let result = match stop(status) {
            Stop::Evidence => answer(thread, source).and_then(|()| sys::resume(thread, 0)),
            Stop::Signal(signal) => sys::resume(thread, signal),
            Stop::Paused => sys::listen(thread),
            Stop::Other => sys::resume(thread, 0),
        };
        match result {
            // A thread may be killed at any moment, also while it is stopped.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            other => other?,
        }
    }
}

/// Why a thread stopped.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// It asked for evidence.
    Evidence,
    /// A signal is about to be delivered to it.
    Signal(c_int),
    /// Somebody stopped it, by SIGSTOP for instance.
    Paused,
    /// It is new, or made a new thread, or goes on after a pause.
    Other,
}

fn stop(status: c_int) -> Stop {
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        0 => Stop::Signal(signal),
        libc::PTRACE_EVENT_SECCOMP => Stop::Evidence,
        libc::PTRACE_EVENT_STOP if signal != libc::SIGTRAP => Stop::Paused,
        _ => Stop::Other,
    }
}

/// Answers the system call at which `thread` stopped, and makes the kernel skip it.
fn answer(thread: pid_t, source: &dyn EvidenceSource) -> io::Result<()> {
    let pid = Pid::from_raw(thread);
    let mut registers = ptrace::getregs(pid)?;
    if registers.orig_rax != GET_ATTESTATION.cast_unsigned() {
        return Ok(());
    }
    let request = Request {
        data: registers.rdi,
        data_length: registers.rsi,
        buffer: registers.rdx,
        buffer_length: registers.r10,
    };
    let (result, technology) = match request.serve(&Memory { pid }, source) {
        Ok((length, technology)) => (length, technology),
        Err(errno) => (-i64::from(errno as i32), 0),
    };
    registers.orig_rax = u64::MAX;
    registers.rax = result.cast_unsigned();
    registers.rdx = u64::from(technology);
    Ok(ptrace::setregs(pid, registers)?)
}

/// The arguments of the system call.
struct Request {
    data: u64,
    data_length: u64,
    buffer: u64,
    buffer_length: u64,
}

impl Request {
    /// Length of the evidence, and technology.
    fn serve(&self, memory: &Memory, source: &dyn EvidenceSource) -> Result<(i64, u32), Errno> {
        if self.data_length != REPORT_DATA_BYTES {
            return Err(Errno::EINVAL);
        }
        let mut data = [0; 64];
        if self.buffer == 0 {
            // How long it is does not depend on the data.
            return evidence(source, &data)
                .map(|(evidence, technology)| (evidence.len() as i64, technology));
        }
        if self.buffer_length == 0 || i64::try_from(self.buffer_length).is_err() {
            return Err(Errno::EINVAL);
        }
        memory.read(self.data, &mut data)?;
        let (evidence, technology) = evidence(source, &data)?;
        if self.buffer_length < evidence.len() as u64 {
            return Err(Errno::EMSGSIZE);
        }
        memory.write(self.buffer, &evidence)?;
        Ok((evidence.len() as i64, technology))
    }
}

fn evidence(source: &dyn EvidenceSource, data: &[u8; 64]) -> Result<(Vec<u8>, u32), Errno> {
    match source.attest(data) {
        Ok((evidence, technology)) if (1..=ATTESTATION_BYTES_MAX).contains(&evidence.len()) => {
            Ok((evidence, technology))
        }
        _ => Err(Errno::EIO),
    }
}

/// The memory of a stopped thread.
struct Memory {
    pid: Pid,
}

impl Memory {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        let wanted = bytes.len();
        let remote = RemoteIoVec { base: at(address)?, len: wanted };
        match process_vm_readv(self.pid, &mut [IoSliceMut::new(bytes)], &[remote]) {
            Ok(read) if read == wanted => Ok(()),
            // A container may forbid this call but not the tracing itself.
            Err(Errno::EPERM | Errno::ENOSYS) => self.read_by_words(address, bytes),
            Ok(_) | Err(_) => Err(Errno::EFAULT),
        }
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let remote = RemoteIoVec { base: at(address)?, len: bytes.len() };
        match process_vm_writev(self.pid, &[IoSlice::new(bytes)], &[remote]) {
            Ok(written) if written == bytes.len() => Ok(()),
            Err(Errno::EPERM | Errno::ENOSYS) => self.write_by_words(address, bytes),
            Ok(_) | Err(_) => Err(Errno::EFAULT),
        }
    }

    fn read_by_words(&self, mut address: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        for chunk in bytes.chunks_mut(WORD) {
            let word = self.word(address)?;
            chunk.iter_mut().zip(word).for_each(|(to, from)| *to = from);
            address = address.checked_add(WORD as u64).ok_or(Errno::EFAULT)?;
        }
        Ok(())
    }

    fn write_by_words(&self, mut address: u64, bytes: &[u8]) -> Result<(), Errno> {
        for chunk in bytes.chunks(WORD) {
            let mut word = if chunk.len() < WORD { self.word(address)? } else { [0; WORD] };
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            let place = ptr::with_exposed_provenance_mut(at(address)?);
            ptrace::write(self.pid, place, i64::from_ne_bytes(word)).map_err(|_| Errno::EFAULT)?;
            address = address.checked_add(WORD as u64).ok_or(Errno::EFAULT)?;
        }
        Ok(())
    }

    fn word(&self, address: u64) -> Result<[u8; WORD], Errno> {
        let place = ptr::with_exposed_provenance_mut(at(address)?);
        let word = ptrace::read(self.pid, place).map_err(|_| Errno::EFAULT)?;
        Ok(word.to_ne_bytes())
    }
}

fn at(address: u64) -> Result<usize, Errno> {
    usize::try_from(address).map_err(|_| Errno::EFAULT)
}
