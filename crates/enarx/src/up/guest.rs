// SPDX-License-Identifier: Apache-2.0

//! Keeps that `enarx up` starts: their streams are pipes, and all that they say goes to the hub.

use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Instant;

use keep::{EvidenceSource, Image, Killer, Launch, Stream};
use types::hostlink::{Boot, Event, FromKeep, Workload};

use super::hub::Happening;
use crate::failure::{Context as _, EXIT_KEEP, Failure};
use crate::keeps;

/// Longest line of a workload that is taken as one, bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// A Keep under way. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Guest {
    killer: Killer,
    stdin: Option<PipeWriter>,
    threads: Vec<JoinHandle<()>>,
}

/// What it takes to start one.
pub(super) struct Order<'a> {
    /// Its name here.
    pub name: &'a str,
    /// Its program.
    pub exec: &'a Image,
    /// What it is to run.
    pub workload: Workload,
    /// Roots of Steward and Drawbridge.
    pub roots_pem: String,
    /// Who attests to it.
    pub simulate: Option<Arc<dyn EvidenceSource>>,
    /// Log level.
    pub level: &'a str,
}

impl Guest {
    /// Starts a Keep.
    ///
    /// # Errors
    /// If this machine does not allow it.
    pub(super) fn start(order: Order<'_>, hub: &Sender<Happening>) -> Result<Self, Failure> {
        let what = format!("cannot start the Keep {}", order.name);
        let boot = Boot {
            workload: order.workload,
            reach_roots_pem: order.roots_pem,
            log_level: order.level.to_owned(),
        };
        let (stdin, stdin_writer) = pipe().context(&what)?;
        let (stdout_reader, stdout) = pipe().context(&what)?;
        let (stderr_reader, stderr) = pipe().context(&what)?;
        let mut launch = Launch::new(order.exec.clone(), boot);
        launch.simulate = order.simulate;
        launch.stdin = Stream::Fd(OwnedFd::from(stdin));
        launch.stdout = Stream::Fd(OwnedFd::from(stdout));
        launch.stderr = Stream::Fd(OwnedFd::from(stderr));
        let tell = {
            let (hub, name) = (hub.clone(), order.name.to_owned());
            // The hub may be gone at the end; then nobody needs to know.
            move |message| drop(hub.send(Happening::Keep { name: name.clone(), message }))
        };
        let log = tell.clone();
        let since = Instant::now();
        launch.on_event = Box::new(move |event| {
            let event = match event {
                // The Keep counts from when it runs; what the host did before belongs to its start as well.
                Event::Timing { phase, .. } if phase == "start" => Event::Timing {
                    phase,
                    micros: u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX),
                },
                other => other,
            };
            tell(FromKeep::Event { event });
        });
        launch.on_log = Box::new(move |level, text| {
            log(FromKeep::Log { level: level.to_owned(), text: text.to_owned() })
        });
        let running = keep::nil::start(launch).map_err(|error| keeps::failure_of(&error))?;
        let killer = running.killer();
        let mut guest = Self { killer, stdin: Some(stdin_writer), threads: Vec::new() };
        for reader in [stdout_reader, stderr_reader] {
            guest.threads.push(read_lines(order.name, reader, hub.clone()));
        }
        let (hub, name) = (hub.clone(), order.name.to_owned());
        guest.threads.push(std::thread::spawn(move || {
            let code = match running.wait() {
                Ok(status) => status
                    .code()
                    .or_else(|| status.signal().map(|signal| 128 + signal))
                    .unwrap_or(i32::from(EXIT_KEEP)),
                Err(error) => {
                    let message =
                        FromKeep::Log { level: "error".to_owned(), text: error.to_string() };
                    let _ = hub.send(Happening::Keep { name: name.clone(), message });
                    i32::from(EXIT_KEEP)
                }
            };
            let _ = hub.send(Happening::Ended { name, code });
        }));
        Ok(guest)
    }

    /// Types a line into its standard input; false if it does not listen any more.
    pub(super) fn say(&mut self, line: &str) -> bool {
        self.stdin
            .as_mut()
            .is_some_and(|stdin| writeln!(stdin, "{line}").and_then(|()| stdin.flush()).is_ok())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.killer.kill();
        self.stdin = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to do either.
            let _ = thread.join();
        }
    }
}

fn read_lines(name: &str, reader: PipeReader, hub: Sender<Happening>) -> JoinHandle<()> {
    let name = name.to_owned();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = Vec::new();
            match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            // What a workload writes must not steer this terminal.
            let text =
                String::from_utf8_lossy(&line).trim_end().replace(|c: char| c.is_control(), " ");
            if hub.send(Happening::Line { name: name.clone(), text }).is_err() {
                return;
            }
        }
    })
}
