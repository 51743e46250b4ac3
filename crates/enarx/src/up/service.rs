// SPDX-License-Identifier: Apache-2.0

//! Services as child processes: started, watched, ended.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::Deserialize;

use super::hub::Happening;
use crate::failure::{Context as _, Failure};

/// How long a service may take until it listens.
const START: Duration = Duration::from_secs(20);
/// How long a service may take to end by itself once it was asked to.
const END: Duration = Duration::from_secs(3);
/// Lines of a log that are shown when its service has failed.
const LOG_LINES: usize = 5;
/// Bytes of a log that are read for that.
const LOG_BYTES: u64 = 8 * 1024;

/// A running service. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Service {
    handle: OwnedFd,
    log: PathBuf,
    ended: Receiver<()>,
    /// Where it listens: `https://host:port`.
    pub url: String,
}

/// What a service says on standard output once it listens.
#[derive(Deserialize)]
struct Ready {
    listening: String,
}

/// A command that dies with this process. Its standard streams lead nowhere.
///
/// # Errors
/// If this program cannot tell where it lies.
pub(super) fn tied(program: &Path, arguments: &[OsString]) -> Result<Command, Failure> {
    let here = std::env::current_exe().context("cannot tell where this program lies")?;
    let mut command = Command::new(here);
    command
        .arg("__child")
        .arg("--parent")
        .arg(std::process::id().to_string())
        .arg("--")
        .arg(program)
        .args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    forget_settings(&mut command);
    // Ctrl-C is for this program, which then ends its children in order.
    command.process_group(0);
    Ok(command)
}

/// Keeps settings for services of the user's own from those started here.
pub(super) fn forget_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let of_services = ["STEWARD_", "DRAWBRIDGE_", "OTEL_"];
        if name.to_str().is_some_and(|name| of_services.iter().any(|its| name.starts_with(its))) {
            command.env_remove(name);
        }
    }
}

impl Service {
    /// Starts `program`, waits until it listens, and watches it: its end is told to `hub`.
    ///
    /// What it writes to standard error goes to the file `log`.
    ///
    /// # Errors
    /// If it cannot be started or ends before it listens, with the last lines of its log.
    pub(super) fn start(
        name: &str,
        program: &Path,
        arguments: &[OsString],
        log: &Path,
        hub: &Sender<Happening>,
    ) -> Result<Self, Failure> {
        let what = || format!("cannot start {name}");
        let file = OpenOptions::new().create(true).append(true).open(log).context(what())?;
        let mut command = tied(program, arguments)?;
        command.stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().context(what())?;
        let handle = match open_handle(&child) {
            Ok(handle) => handle,
            Err(failure) => {
                reap(child);
                return Err(failure);
            }
        };
        let stdout = child.stdout.take();
        let (ended_sender, ended) = channel();
        let (ready_sender, ready) = channel();
        let (hub, owned) = (hub.clone(), name.to_owned());
        let watch = move || {
            // The first line says where it listens; nothing is expected after it, but the pipe must stay open.
            let mut stdout = stdout.map(BufReader::new);
            if let Some(stdout) = &mut stdout {
                let mut line = String::new();
                let read = stdout.take(4096).read_line(&mut line);
                let parsed = read.ok().and_then(|_| serde_json::from_str::<Ready>(&line).ok());
                // Nobody waits any more: then nobody needs to know.
                let _ = ready_sender.send(parsed.map(|ready| ready.listening));
            }
            let how = describe(child.wait());
            drop(stdout);
            let _ = ended_sender.send(());
            let _ = hub.send(Happening::Died { name: owned, how });
        };
        std::thread::Builder::new().name(format!("watch {name}")).spawn(watch).context(what())?;
        let mut service = Self { handle, log: log.to_path_buf(), ended, url: String::new() };
        match ready.recv_timeout(START) {
            Ok(Some(url)) => {
                service.url = url;
                Ok(service)
            }
            Ok(None) => {
                let why = match service.ended.recv_timeout(END) {
                    Ok(()) => "it ended before it listened",
                    Err(_) => "its first line does not say where it listens",
                };
                Err(service.failure(&what(), why))
            }
            Err(_) => Err(service.failure(&what(), "it did not listen in time")),
        }
    }

    fn failure(&self, what: &str, why: &str) -> Failure {
        Failure::new(what)
            .why(format!("{why}{}", tail(&self.log)))
            .next(format!("its whole log is in {}", self.log.display()))
    }

    /// Its log.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Host and port where it listens.
    pub(super) fn authority(&self) -> &str {
        self.url.strip_prefix("https://").unwrap_or(&self.url).trim_end_matches('/')
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) {
        // It may have ended: as good.
        let _ = pidfd_send_signal(&self.handle, signal);
    }

    /// Kills it at once and waits until it is gone.
    pub(super) fn kill(&mut self) {
        self.signal(Signal::KILL);
        // After SIGKILL the end is certain; the limit only guards against a process stuck in the kernel.
        let _ = self.ended.recv_timeout(START);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        if self.ended.recv_timeout(END) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            self.kill();
        }
    }
}

fn open_handle(child: &Child) -> Result<OwnedFd, Failure> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid
        .ok_or_else(|| Failure::new("cannot watch a child process").why("it has no identifier"))?;
    pidfd_open(pid, PidfdFlags::empty()).context("cannot watch a child process")
}

fn reap(mut child: Child) {
    // It is ours and not yet waited for, so both are as good as certain.
    let _ = child.kill();
    let _ = child.wait();
}

/// How a process ended, in words.
pub(super) fn describe(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(9)) => "killed (signal 9)".to_owned(),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "it is gone".to_owned(),
        },
        Err(error) => format!("it cannot be waited for: {error}"),
    }
}

/// The last lines of a log, each on a line of its own; nothing if there are none.
pub(super) fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default();
    if last.is_empty() { String::new() } else { format!("; its last words:\n{}", last.join("\n")) }
}
