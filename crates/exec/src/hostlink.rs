// SPDX-License-Identifier: Apache-2.0

//! The Keep's end of the link to its loader ([`types::hostlink`]).
//!
//! Everything that goes out is public to the host, so nothing secret is ever logged; everything that comes in is a claim.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use types::hostlink::{self, Boot, Event, FromKeep, ToKeep, Workload};
use types::{limits, slug};

/// Files of a package: path, parts separated by `/`, and content.
pub type Files = Vec<(String, Vec<u8>)>;

/// A line longer than this is cut before it is sent.
const LOG_BYTES_MAX: usize = 4096;

/// How important a line of the log is, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The Keep stops.
    Error,
    /// Something was refused or is not as it should be.
    Warn,
    /// Progress.
    Info,
    /// Details.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace]
            .into_iter()
            .find(|level| level.name() == text)
    }
}

/// The link. Copies share one stream.
#[derive(Clone, Debug)]
pub struct Link {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stream: Mutex<UnixStream>,
    level: Level,
    started: Instant,
}

impl Link {
    /// Takes the boot message and the files that follow it (path and bytes; none for a remote workload).
    ///
    /// # Errors
    /// What the stream says, and [`io::ErrorKind::InvalidData`] for a message that breaks the format or its limits.
    pub fn boot(mut stream: UnixStream, started: Instant) -> io::Result<(Self, Boot, Files)> {
        let boot: Boot = hostlink::receive(&mut stream)?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::UnexpectedEof, "the loader sent no boot message")
        })?;
        let files = match &boot.workload {
            Workload::Local { files, .. } => receive_files(&mut stream, files)?,
            Workload::Remote { .. } => Vec::new(),
        };
        let level = Level::parse(&boot.log_level)
            .ok_or_else(|| invalid(format!("no such log level: {}", boot.log_level)))?;
        Ok((Self::new(stream, level, started), boot, files))
    }

    /// A link over a stream whose boot message was taken already.
    pub fn new(stream: UnixStream, level: Level, started: Instant) -> Self {
        Self { shared: Arc::new(Shared { stream: Mutex::new(stream), level, started }) }
    }

    /// When the Keep started.
    pub fn started(&self) -> Instant {
        self.shared.started
    }

    /// Tells the loader what happened. A loader that no longer listens is no reason to stop.
    pub fn event(&self, event: Event) {
        self.send(&FromKeep::Event { event });
    }

    /// One of the 13 steps of a deployment is done.
    pub fn step(&self, number: u8, title: &str, facts: Vec<(&str, String)>) {
        let at_micros = micros(self.shared.started);
        let facts = facts.into_iter().map(|(label, value)| (label.to_owned(), value)).collect();
        self.event(Event::Step { number, title: title.to_owned(), facts, at_micros });
    }

    /// A measured phase, from `since` to now.
    pub fn timing(&self, phase: &str, since: Instant) {
        self.event(Event::Timing { phase: phase.to_owned(), micros: micros(since) });
    }

    /// A line for the log, if the loader wants lines of that level. Control characters are replaced.
    pub fn log(&self, level: Level, text: &str) {
        if level > self.shared.level {
            return;
        }
        let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if line.len() > LOG_BYTES_MAX {
            let end = (0..=LOG_BYTES_MAX).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
            line.truncate(end);
        }
        self.send(&FromKeep::Log { level: level.name().to_owned(), text: line });
    }

    /// Addresses for a name: an address as it is, anything else by the loader. A claim; TLS proves who is there.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for what is no host name, [`io::ErrorKind::NotFound`] with the loader's word if it
    /// finds nothing, and what the stream says.
    pub fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        if host.len() > limits::HOST_NAME_BYTES_MAX || !slug::valid_host(host) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{host}` is no host name"),
            ));
        }
        let mut stream = self.lock();
        hostlink::send(&mut *stream, &FromKeep::Resolve { host: host.to_owned(), port })?;
        let answer = hostlink::receive(&mut *stream)?
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the loader is gone"))?;
        drop(stream);
        let ToKeep::Resolved { addresses, error } = answer;
        if addresses.is_empty() {
            let reason = error.unwrap_or_else(|| "no addresses".to_owned());
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("cannot resolve {host}: {reason}"),
            ));
        }
        Ok(addresses
            .into_iter()
            .take(limits::ADDRESSES_MAX)
            .map(|a| SocketAddr::new(a, port))
            .collect())
    }

    fn send(&self, message: &FromKeep) {
        // Only a host that has gone away makes this fail, and then there is nobody left to tell.
        let _gone = hostlink::send(&mut *self.lock(), message);
    }

    fn lock(&self) -> MutexGuard<'_, UnixStream> {
        self.shared.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Microseconds since then.
pub fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn receive_files(stream: &mut impl Read, headers: &[hostlink::FileHeader]) -> io::Result<Files> {
    if headers.len() > limits::PACKAGE_FILES_MAX {
        return Err(invalid(format!("more than {} files", limits::PACKAGE_FILES_MAX)));
    }
    let mut total = 0_usize;
    let mut files = BTreeMap::new();
    for header in headers {
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        total = total.saturating_add(length);
        if length > limits::FILE_BYTES_MAX || total > limits::PACKAGE_BYTES_MAX {
            return Err(invalid(format!("{} makes the package larger than allowed", header.path)));
        }
        let mut bytes = Vec::new();
        stream.by_ref().take(header.length).read_to_end(&mut bytes)?;
        if bytes.len() != length {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{} ends too early", header.path),
            ));
        }
        if files.insert(header.path.clone(), bytes).is_some() {
            return Err(invalid(format!("{} is there twice", header.path)));
        }
    }
    Ok(files.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn local(files: Vec<hostlink::FileHeader>) -> Boot {
        Boot {
            workload: Workload::Local { files, args: Vec::new(), attest: false },
            reach_roots_pem: String::new(),
            log_level: "info".into(),
        }
    }

    fn header(path: &str, length: u64) -> hostlink::FileHeader {
        hostlink::FileHeader { path: path.into(), length }
    }

    #[test]
    fn takes_boot_and_files() {
        let (mut host, keep) = UnixStream::pair().unwrap();
        hostlink::send(&mut host, &local(vec![header("main.wasm", 3), header("Enarx.toml", 0)]))
            .unwrap();
        host.write_all(b"abc").unwrap();
        let (_, _, files) = Link::boot(keep, Instant::now()).unwrap();
        assert_eq!(files, [("Enarx.toml".into(), vec![]), ("main.wasm".into(), b"abc".to_vec())]);
    }

    #[test]
    fn refuses_files_that_lie() {
        for (headers, bytes) in [
            (vec![header("main.wasm", 4)], "abc"),
            (vec![header("main.wasm", u64::MAX)], "abc"),
            (vec![header("a", 1), header("a", 1)], "abc"),
        ] {
            let (mut host, keep) = UnixStream::pair().unwrap();
            hostlink::send(&mut host, &local(headers)).unwrap();
            host.write_all(bytes.as_bytes()).unwrap();
            drop(host);
            assert!(Link::boot(keep, Instant::now()).is_err());
        }
    }

    #[test]
    fn resolves_addresses_alone_and_names_by_the_loader() {
        let (mut host, keep) = UnixStream::pair().unwrap();
        let link = Link::new(keep, Level::Info, Instant::now());
        assert_eq!(link.resolve("127.0.0.1", 5).unwrap(), ["127.0.0.1:5".parse().unwrap()]);
        assert_eq!(link.resolve("[::1]", 5).unwrap(), ["[::1]:5".parse().unwrap()]);
        assert!(link.resolve("no/name", 5).is_err());
        let answer = ToKeep::Resolved { addresses: vec!["10.0.0.1".parse().unwrap()], error: None };
        hostlink::send(&mut host, &answer).unwrap();
        assert_eq!(link.resolve("a.test", 7).unwrap(), ["10.0.0.1:7".parse().unwrap()]);
        assert_eq!(
            hostlink::receive::<FromKeep>(&mut host).unwrap(),
            Some(FromKeep::Resolve { host: "a.test".into(), port: 7 })
        );
        let nothing = ToKeep::Resolved { addresses: vec![], error: Some("no such name".into()) };
        hostlink::send(&mut host, &nothing).unwrap();
        assert!(link.resolve("b.test", 7).unwrap_err().to_string().contains("no such name"));
    }

    #[test]
    fn log_lines_are_one_line_and_filtered() {
        let (mut host, keep) = UnixStream::pair().unwrap();
        let link = Link::new(keep, Level::Info, Instant::now());
        link.log(Level::Debug, "hidden");
        link.log(Level::Warn, "a\nb\u{1b}[31m");
        drop(link);
        assert_eq!(
            hostlink::receive::<FromKeep>(&mut host).unwrap(),
            Some(FromKeep::Log { level: "warn".into(), text: "a b [31m".into() })
        );
        assert_eq!(hostlink::receive::<FromKeep>(&mut host).unwrap(), None);
    }
}
