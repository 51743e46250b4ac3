// SPDX-License-Identifier: Apache-2.0

//! The loader's end of the link to a Keep (see [`types::hostlink`]).
//!
//! Two threads: one writes what the Keep is told (the boot message, its files, resolved names), one reads what it says. So
//! neither side can block the other, and a slow name server holds up no log line.

use std::io::{self, Write as _};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use types::hostlink::{Boot, FileHeader, FromKeep, ToKeep, Workload, receive, send};
use types::limits;

use crate::Error;
use crate::launch::{OnEvent, OnLog};

/// Questions that a Keep may have open at once. A Keep waits for each answer, so that more are a fault of its.
const QUESTIONS_MAX: usize = 64;
/// Longest line of a log that is passed on, characters.
const LOG_CHARS_MAX: usize = 4096;
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// What a Keep is told at its start.
#[derive(Debug)]
pub(crate) struct Greeting {
    boot: Boot,
    files: Vec<(String, Vec<u8>)>,
}

impl Greeting {
    /// Puts boot message and files together.
    ///
    /// # Errors
    /// Files for a remote workload; files beyond the limits.
    pub(crate) fn new(mut boot: Boot, files: Vec<(String, Vec<u8>)>) -> Result<Self, Error> {
        match &mut boot.workload {
            Workload::Local { files: headers, .. } => {
                if files.len() > limits::PACKAGE_FILES_MAX {
                    return Err(Error::Files("there are too many"));
                }
                if files.iter().any(|(_, content)| content.len() > limits::FILE_BYTES_MAX) {
                    return Err(Error::Files("one is larger than 100 MB"));
                }
                *headers = files
                    .iter()
                    .map(|(path, content)| FileHeader {
                        path: path.clone(),
                        length: content.len() as u64,
                    })
                    .collect();
            }
            Workload::Remote { .. } if files.is_empty() => {}
            Workload::Remote { .. } => {
                return Err(Error::Files("a workload out of a registry brings its own"));
            }
        }
        Ok(Self { boot, files })
    }
}

/// Serves the link on threads of its own until the Keep closes it. The handle tells whether the Keep kept to the rules.
///
/// # Errors
/// No thread can be started.
pub(crate) fn serve(
    link: UnixStream,
    greeting: Greeting,
    on_event: OnEvent,
    on_log: OnLog,
    on_violation: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<io::Result<()>>> {
    let writer = link.try_clone()?;
    let (questions, asked) = sync_channel(QUESTIONS_MAX);
    // Not joined: it may sit in the host's resolver long after the Keep has gone.
    thread::Builder::new()
        .name("keep-answers".into())
        .spawn(move || write(writer, greeting, &asked))?;
    thread::Builder::new().name("keep-link".into()).spawn(move || {
        // Also runs if a callback panics: nobody would follow the Keep any more.
        let mut end = OnDrop(Some(on_violation));
        let result = read(link, &questions, on_event, on_log);
        if result.is_ok() {
            end.0 = None;
        }
        result
    })
}

/// Runs its content when it is dropped, unless that was taken out.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run();
        }
    }
}

/// Errors here mean that the Keep is gone, which is noticed elsewhere.
fn write(mut link: UnixStream, greeting: Greeting, asked: &Receiver<(String, u16)>) {
    let Greeting { boot, files } = greeting;
    let mut greet = || -> io::Result<()> {
        send(&mut link, &boot)?;
        files.iter().try_for_each(|(_, content)| link.write_all(content))
    };
    if greet().is_err() {
        return;
    }
    drop(files);
    for (host, port) in asked {
        if send(&mut link, &resolve(&host, port)).is_err() {
            return;
        }
    }
}

fn resolve(host: &str, port: u16) -> ToKeep {
    let mut addresses: Vec<IpAddr> = Vec::new();
    let error = match (host, port).to_socket_addrs() {
        Ok(found) => {
            for address in found {
                if addresses.len() < limits::ADDRESSES_MAX && !addresses.contains(&address.ip()) {
                    addresses.push(address.ip());
                }
            }
            addresses.is_empty().then(|| "the name has no address".to_owned())
        }
        Err(error) => Some(error.to_string()),
    };
    ToKeep::Resolved { addresses, error }
}

fn violation(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn read(
    mut link: UnixStream,
    questions: &SyncSender<(String, u16)>,
    mut on_event: OnEvent,
    mut on_log: OnLog,
) -> io::Result<()> {
    loop {
        let message = match receive::<FromKeep>(&mut link) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(()),
            // Killed while it wrote, or while there was something for it to read.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                ) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match message {
            FromKeep::Resolve { host, port } => {
                if host.len() > limits::HOST_NAME_BYTES_MAX {
                    return Err(violation("it asked for a name that is too long"));
                }
                match questions.try_send((host, port)) {
                    Ok(()) => {}
                    Err(TrySendError::Full(_)) => {
                        return Err(violation("it asked for too many names at once"));
                    }
                    // Nobody can be told any more: the Keep closes its end soon.
                    Err(TrySendError::Disconnected(_)) => {}
                }
            }
            FromKeep::Log { level, text } => {
                if !LEVELS.contains(&level.as_str()) {
                    return Err(violation("it logged at a level that does not exist"));
                }
                on_log(&level, &printable(&text));
            }
            FromKeep::Event { event } => on_event(event),
        }
    }
}

/// One line that does nothing to a terminal.
fn printable(text: &str) -> String {
    text.chars().take(LOG_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> Boot {
        Boot {
            workload: Workload::Local { files: Vec::new(), args: Vec::new(), attest: false },
            reach_roots_pem: String::new(),
            log_level: "info".into(),
        }
    }

    #[test]
    fn headers_are_those_of_the_files() {
        let greeting = Greeting::new(local(), vec![("main.wasm".into(), vec![0; 9])]).unwrap();
        let Workload::Local { files, .. } = greeting.boot.workload else {
            panic!("another workload");
        };
        assert_eq!(files.len(), 1);
        assert_eq!((files[0].path.as_str(), files[0].length), ("main.wasm", 9));
    }

    #[test]
    fn files_beyond_the_limits_are_refused() {
        let many = vec![(String::new(), Vec::new()); limits::PACKAGE_FILES_MAX + 1];
        assert!(matches!(Greeting::new(local(), many), Err(Error::Files(_))));
        let large = vec![(String::new(), vec![0; limits::FILE_BYTES_MAX + 1])];
        assert!(matches!(Greeting::new(local(), large), Err(Error::Files(_))));
    }

    /// What becomes of a link on which the Keep says `bytes` and closes it.
    fn said(bytes: &[u8]) -> io::Result<()> {
        let (mut keep, loader) = UnixStream::pair().unwrap();
        keep.write_all(bytes).unwrap();
        drop(keep);
        let (questions, _asked) = sync_channel(1);
        read(loader, &questions, Box::new(|_| {}), Box::new(|_, _| {}))
    }

    #[test]
    fn only_well_formed_messages_pass() {
        let framed = |json: &str| {
            let length = u32::try_from(json.len()).unwrap().to_be_bytes();
            [length.as_slice(), json.as_bytes()].concat()
        };
        assert!(said(b"").is_ok());
        // Killed in the middle of a message.
        assert!(said(b"\0").is_ok());
        assert!(said(&framed(r#"{"message":"log","level":"info","text":"x"}"#)).is_ok());
        let name = "a".repeat(limits::HOST_NAME_BYTES_MAX + 1);
        for bad in [
            r#"{"message":"log","level":"fatal","text":"x"}"#.to_owned(),
            r#"{"message":"log","level":"info"}"#.to_owned(),
            r#"{"message":"event","event":{"event":"reboot"}}"#.to_owned(),
            format!(r#"{{"message":"resolve","host":"{name}","port":1}}"#),
            "[]".to_owned(),
            "\u{1}".to_owned(),
        ] {
            let error = said(&framed(&bad)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bad}");
        }
    }
}
