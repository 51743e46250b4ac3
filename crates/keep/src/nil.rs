// SPDX-License-Identifier: Apache-2.0

//! The backend `nil`: a Keep as a jailed process of the host's kernel. **The host can look into it and change it.**
//!
//! The program is executed out of sealed memory with one argument and no environment. It inherits its standard streams and
//! the link (descriptor 3), nothing else; it is in namespaces of its own without any file, an unprivileged user without
//! capabilities, and reaches only the system calls that a Keep needs. Where a machine forbids namespaces, the rest stays;
//! [`crate::platform`] says which. The process is killed with the loader, however that ends.
//!
//! ```text
//! starting thread                    keep-watch (one per Keep)                 the Keep
//!   start() ── Launch ──────────────▶ fork ──────────────────────────────────▶ waits
//!                                     becomes its tracer (simulate only)
//!                                     "go" ──────────────────────────────────▶ jails itself, executes
//!   ◀─ Running, or which step failed ─ end of the control socket ◀──────────── (closed by exec)
//!                                     waits, answers 0xEA01                    runs
//!   keep-link, keep-answers ◀──────────────────────────────────────────────── descriptor 3
//! ```
//!
//! Forking, tracing and waiting are one thread's business, since the kernel ties tracees and the signal at the parent's
//! death to the thread, not to the process.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use nix::libc::pid_t;

use crate::launch::{OnEvent, OnLog, Stream};
use crate::link::{self, Greeting};
use crate::sys::{self, HANDED, Jail, Step};
use crate::{Error, EvidenceSource, Killer, Launch, Running, jail, trace};

/// Starts a Keep.
///
/// # Errors
/// The machine does not allow it; the files do not fit the boot message.
pub fn start(launch: Launch) -> Result<Running, Error> {
    let Launch { exec, boot, files, simulate, stdin, stdout, stderr, on_event, on_log } = launch;
    let greeting = Greeting::new(boot, files)?;
    let jail = jail::of_keep(simulate.is_some())?;
    let prepare = || -> io::Result<Prepared> {
        let (link, keep_link) = UnixStream::pair()?;
        let (control, keep_control) = UnixStream::pair()?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let stream = |stream: Stream, own: io::Result<OwnedFd>| match stream {
            Stream::Inherit => sys::out_of_the_way(own?),
            Stream::Null => sys::out_of_the_way(&null),
            Stream::Fd(fd) => sys::out_of_the_way(fd),
        };
        let descriptors = [
            stream(stdin, io::stdin().as_fd().try_clone_to_owned())?,
            stream(stdout, io::stdout().as_fd().try_clone_to_owned())?,
            stream(stderr, io::stderr().as_fd().try_clone_to_owned())?,
            sys::out_of_the_way(keep_link)?,
            sys::out_of_the_way(&exec)?,
            sys::out_of_the_way(keep_control)?,
        ];
        Ok(Prepared { descriptors, link, control })
    };
    let prepared =
        prepare().map_err(|source| Error::Start { step: Step::Descriptors.describe(), source })?;

    let (started, outcome) = channel();
    let watch = Watch { jail, prepared, simulate, greeting, on_event, on_log };
    let watcher = thread::Builder::new()
        .name("keep-watch".into())
        .spawn(move || watch.run(&started))
        .map_err(|source| Error::Start { step: "start a thread", source })?;
    match outcome.recv() {
        Ok((pid, killer)) => {
            Ok(Running { pid: pid.unsigned_abs(), killer, watcher: Some(watcher) })
        }
        // The thread tells why it ended before the Keep ran.
        Err(_) => match watcher.join() {
            Ok(Err(error)) => Err(error),
            _ => Err(Error::Trace(io::Error::other("the Keep ended before it ran"))),
        },
    }
}

/// Descriptors of the Keep, and the loader's ends of its two sockets.
struct Prepared {
    descriptors: [OwnedFd; HANDED],
    link: UnixStream,
    control: UnixStream,
}

/// All that the watching thread needs.
struct Watch {
    jail: Jail,
    prepared: Prepared,
    simulate: Option<Arc<dyn EvidenceSource>>,
    greeting: Greeting,
    on_event: OnEvent,
    on_log: OnLog,
}

impl Watch {
    fn run(self, started: &Sender<(pid_t, Killer)>) -> Result<ExitStatus, Error> {
        let Self { mut jail, prepared, simulate, greeting, on_event, on_log } = self;
        let Prepared { descriptors, link, control } = prepared;
        let numbers = descriptors.each_ref().map(AsRawFd::as_raw_fd);
        let pid = sys::spawn(&mut jail, numbers)
            .map_err(|source| Error::Start { step: "start a process", source })?;
        // Else the ends of the sockets would never be seen.
        drop(descriptors);
        let child = Child { pid, waited: false };
        let killer = sys::pidfd(pid)
            .map(|pidfd| Killer { pidfd: Arc::new(pidfd) })
            .map_err(|source| Error::Start { step: "refer to a process", source })?;
        child.release(control, simulate.is_some())?;

        let ender = killer.clone();
        let served = link::serve(link, greeting, on_event, on_log, move || ender.kill())
            .map_err(|source| Error::Start { step: "start a thread", source })?;
        // The receiver waits for this; if it is gone, the Keep is ended by dropping `child`.
        let _ = started.send((pid, killer));
        let status = child.follow(simulate.as_deref())?;
        match served.join() {
            Ok(Ok(())) => Ok(status),
            Ok(Err(error)) => Err(Error::Link(error)),
            Err(_) => Err(Error::Link(io::Error::other("the thread of the link stopped"))),
        }
    }
}

/// A child that is killed and waited for, whatever happens.
struct Child {
    pid: pid_t,
    waited: bool,
}

impl Child {
    /// Lets the child jail itself and execute the program.
    fn release(&self, mut control: UnixStream, traced: bool) -> Result<(), Error> {
        if traced {
            trace::attach(self.pid).map_err(|source| Error::Start {
                step: "trace the Keep, as simulated evidence needs",
                source,
            })?;
        }
        let start = |source| Error::Start { step: "release the process", source };
        control.write_all(&[1]).map_err(start)?;
        let mut message = Vec::new();
        control.read_to_end(&mut message).map_err(start)?;
        match *message.as_slice() {
            // Closed by the execution of the program.
            [] => Ok(()),
            [step, a, b, c, d] => Err(Error::Start {
                step: Step::from_number(step).map_or("?", Step::describe),
                source: io::Error::from_raw_os_error(i32::from_ne_bytes([a, b, c, d])),
            }),
            _ => Err(start(io::ErrorKind::InvalidData.into())),
        }
    }

    /// Waits for its end.
    fn follow(mut self, simulate: Option<&dyn EvidenceSource>) -> Result<ExitStatus, Error> {
        let status = match simulate {
            Some(source) => trace::follow(self.pid, source),
            None => sys::wait(self.pid).map(|(_, status)| ExitStatus::from_raw(status)),
        };
        self.waited = status.is_ok();
        status.map_err(Error::Trace)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.waited {
            sys::end(self.pid);
        }
    }
}
