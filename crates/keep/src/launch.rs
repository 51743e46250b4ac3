// SPDX-License-Identifier: Apache-2.0

//! What it takes to start a Keep.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::{fmt, io};

use types::hostlink::{Boot, Event};

use crate::Image;

/// Answers a Keep's request for evidence in place of silicon.
pub trait EvidenceSource: Send + Sync {
    /// The evidence for these report data, in the form of docs/FORMATS.md 3.4, and the number of its technology.
    ///
    /// # Errors
    /// The Keep is told EIO, whatever the error.
    fn attest(&self, report_data: &[u8; 64]) -> io::Result<(Vec<u8>, u32)>;
}

/// Where a standard stream of the Keep leads.
#[derive(Debug, Default)]
pub enum Stream {
    /// Where the loader's own leads.
    #[default]
    Inherit,
    /// Nowhere.
    Null,
    /// To this file, pipe or socket.
    Fd(OwnedFd),
}

/// Takes each event of a Keep.
pub type OnEvent = Box<dyn FnMut(Event) + Send>;
/// Takes each line of a Keep's log: level and text, without control characters.
pub type OnLog = Box<dyn FnMut(&str, &str) + Send>;

/// A Keep that is about to start.
pub struct Launch {
    /// Its program.
    pub exec: Image,
    /// What it is told. Headers of local files are filled in from `files`.
    pub boot: Boot,
    /// The files of a local workload: path in the package, and content.
    pub files: Vec<(String, Vec<u8>)>,
    /// Who answers its requests for evidence; without one they fail with ENOSYS.
    pub simulate: Option<Arc<dyn EvidenceSource>>,
    /// Its standard input.
    pub stdin: Stream,
    /// Its standard output.
    pub stdout: Stream,
    /// Its standard error.
    pub stderr: Stream,
    /// Takes its events, on a thread of the link.
    pub on_event: OnEvent,
    /// Takes the lines of its log, on the same thread.
    pub on_log: OnLog,
}

impl Launch {
    /// A Keep with the loader's standard streams, without evidence, whose events and log nobody reads.
    pub fn new(exec: Image, boot: Boot) -> Self {
        Self {
            exec,
            boot,
            files: Vec::new(),
            simulate: None,
            stdin: Stream::Inherit,
            stdout: Stream::Inherit,
            stderr: Stream::Inherit,
            on_event: Box::new(|_| {}),
            on_log: Box::new(|_, _| {}),
        }
    }
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<(&str, usize)> =
            self.files.iter().map(|(p, b)| (p.as_str(), b.len())).collect();
        f.debug_struct("Launch")
            .field("exec", &self.exec)
            .field("boot", &self.boot)
            .field("files", &files)
            .field("simulate", &self.simulate.is_some())
            .finish_non_exhaustive()
    }
}
