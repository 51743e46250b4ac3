// SPDX-License-Identifier: Apache-2.0

//! Where the browser comes back to: one request to a port of this machine (RFC 8252 section 7.3).
//!
//! Any program and any page in a browser can connect to it. So it is open only while somebody logs in, takes little, tells
//! nothing, and ends with the first request to its path.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use types::limits;

use crate::failure::{Context as _, Failure};

/// The path that the browser is sent to.
const PATH: &str = "/callback";
/// What everybody is told, whatever they bring: how it went, the terminal says.
const PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Enarx</title>\
<p>You can close this page. The terminal in which you logged in says how it went.</p>";

/// A port that waits for the browser.
#[derive(Debug)]
pub(super) struct Loopback {
    listener: TcpListener,
    port: u16,
}

/// A connection, and what it sent so far.
struct Caller {
    stream: TcpStream,
    head: Vec<u8>,
}

/// What a request is.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// It is not all there.
    More,
    /// The browser, with this query.
    Back(String),
    /// Somebody else: the status they get.
    Other(&'static str),
}

impl Loopback {
    /// Opens a port.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn open() -> Result<Self, Failure> {
        let what = "cannot open a port of this machine for the browser to come back to";
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context(what)?;
        listener.set_nonblocking(true).context(what)?;
        let port = listener.local_addr().context(what)?.port();
        Ok(Self { listener, port })
    }

    /// The URL of it.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// Waits for the browser; the query that it brings. None if it did not come in time. The port is closed then.
    ///
    /// # Errors
    /// If the system fails, or something else on this machine keeps calling.
    pub(super) fn wait(self, longest: Duration) -> Result<Option<String>, Failure> {
        let end = Instant::now() + longest;
        let mut callers: VecDeque<Caller> = VecDeque::new();
        let mut taken = 0;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            sleep_until_somebody_speaks(&self.listener, &callers, left)?;
            while let Ok((stream, _)) = self.listener.accept() {
                taken += 1;
                if taken > limits::LOGIN_CONNECTIONS_TAKEN_MAX {
                    return Err(Failure::new("cannot log in")
                        .why(
                            "another program keeps calling the port that the browser comes back to",
                        )
                        .next("run the command again, or with --device"));
                }
                if callers.len() >= limits::LOGIN_CONNECTIONS_MAX {
                    callers.pop_front();
                }
                if stream.set_nonblocking(true).is_ok() {
                    callers.push_back(Caller { stream, head: Vec::new() });
                }
            }
            let mut silent = VecDeque::new();
            for mut caller in callers {
                match caller.hear(self.port) {
                    Asked::More => silent.push_back(caller),
                    Asked::Back(query) => {
                        caller.answer("200 OK", PAGE);
                        return Ok(Some(query));
                    }
                    Asked::Other(status) if !status.is_empty() => caller.answer(status, ""),
                    Asked::Other(_) => {}
                }
            }
            callers = silent;
        }
    }
}

fn sleep_until_somebody_speaks(
    listener: &TcpListener,
    callers: &VecDeque<Caller>,
    left: Duration,
) -> Result<(), Failure> {
    let mut fds = vec![PollFd::new(listener, PollFlags::IN)];
    fds.extend(callers.iter().map(|caller| PollFd::new(&caller.stream, PollFlags::IN)));
    let left = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    match poll(&mut fds, Some(&left)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("cannot wait for the browser"),
    }
}

impl Caller {
    /// Reads what is there.
    fn hear(&mut self, port: u16) -> Asked {
        let mut piece = [0; 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Asked::Other(""),
                Ok(count) => self.head.extend_from_slice(piece.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Asked::More,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Asked::Other(""),
            }
            match judge(&self.head, port) {
                Asked::More => {}
                other => return other,
            }
        }
    }

    /// Says goodbye. Who does not listen gets less: this is not worth waiting for.
    fn answer(mut self, status: &str, page: &str) {
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
             Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n\
             X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n\
             Connection: close\r\n\r\n{page}",
            page.len()
        );
        let _ = self.stream.write_all(answer.as_bytes());
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }
}

/// What the head of a request asks for.
fn judge(head: &[u8], port: u16) -> Asked {
    let bad = Asked::Other("400 Bad Request");
    let end = head.windows(4).position(|four| four == b"\r\n\r\n");
    if end.unwrap_or(head.len()) > limits::LOGIN_REQUEST_BYTES_MAX {
        return Asked::Other("431 Request Header Fields Too Large");
    }
    let Some(end) = end else {
        return Asked::More;
    };
    let Ok(text) = std::str::from_utf8(head.get(..end).unwrap_or_default()) else {
        return bad;
    };
    let mut lines = text.split("\r\n");
    let first: Vec<_> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, "HTTP/1.1" | "HTTP/1.0"] = first.as_slice() else {
        return bad;
    };
    let hosts = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    // A page elsewhere whose name was made to lead here says that name.
    if hosts.collect::<Vec<_>>() != [format!("127.0.0.1:{port}")] {
        return bad;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match (*method, path) {
        ("GET", PATH) => Asked::Back(query.to_owned()),
        (_, PATH) => Asked::Other("405 Method Not Allowed"),
        _ => Asked::Other("404 Not Found"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn ask(port: u16, request: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        // One that sends too much may be cut off.
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn the_first_to_the_right_place_ends_it() {
        let door = Loopback::open().unwrap();
        let port = door.port;
        assert_eq!(door.url(), format!("http://127.0.0.1:{port}/callback"));
        let waiting = std::thread::spawn(move || door.wait(LONG).unwrap());
        // One that says nothing keeps nobody waiting.
        let _silent: Vec<_> = (0..limits::LOGIN_CONNECTIONS_MAX + 2)
            .map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap())
            .collect();
        let host = format!("Host: 127.0.0.1:{port}\r\n");
        for (request, status) in [
            (format!("GET /favicon.ico HTTP/1.1\r\n{host}\r\n"), "404"),
            (format!("GET /callback/x?code=1 HTTP/1.1\r\n{host}\r\n"), "404"),
            (format!("GET /Callback?code=1 HTTP/1.1\r\n{host}\r\n"), "404"),
            (format!("POST /callback?code=1 HTTP/1.1\r\n{host}\r\n"), "405"),
            ("GET /callback?code=1 HTTP/1.1\r\n\r\n".to_owned(), "400"),
            ("GET /callback?code=1 HTTP/1.1\r\nHost: evil.example.com\r\n\r\n".to_owned(), "400"),
            (format!("GET /callback?code=1 HTTP/1.1\r\n{host}{host}\r\n"), "400"),
            (format!("GET /callback HTTP/9.9\r\n{host}\r\n"), "400"),
            (format!("GET http://127.0.0.1:{port}/callback HTTP/1.1\r\n{host}\r\n"), "404"),
        ] {
            let answer = ask(port, &request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request} {answer}");
            assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        }
        let answer = ask(port, &format!("GET /callback?code=a%20b&state=c HTTP/1.1\r\n{host}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(PAGE), "{answer}");
        assert!(!answer.contains("code") && !answer.contains("script"), "{answer}");
        assert_eq!(waiting.join().unwrap().as_deref(), Some("code=a%20b&state=c"));
        // The second finds nobody.
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    }

    #[test]
    fn nobody_comes_in_time() {
        let door = Loopback::open().unwrap();
        let port = door.port;
        assert_eq!(door.wait(Duration::from_millis(1)).unwrap(), None);
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    }

    #[test]
    fn heads_are_bounded_and_calls_counted() {
        let endless = vec![b'x'; limits::LOGIN_REQUEST_BYTES_MAX + 1];
        assert_eq!(judge(&endless, 1), Asked::Other("431 Request Header Fields Too Large"));
        assert_eq!(judge(&endless[1..], 1), Asked::More);
        let door = Loopback::open().unwrap();
        let port = door.port;
        let waiting = std::thread::spawn(move || door.wait(LONG));
        let noise = (0..=limits::LOGIN_CONNECTIONS_TAKEN_MAX)
            .take_while(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        assert!(noise.count() > limits::LOGIN_CONNECTIONS_MAX);
        assert!(waiting.join().unwrap().unwrap_err().why.unwrap().contains("keeps calling"));
    }
}
