// SPDX-License-Identifier: Apache-2.0

//! A web server of files that misbehaves when told to: what stands behind the fakes of AMD's and Intel's services.
//!
//! Plain HTTP/1.1 on loopback, one answer per connection, a thread each. [`Mirror::answer`] speaks over any stream, so that a
//! test can put TLS in between.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Largest request that is read, head and body each.
const REQUEST_BYTES_MAX: usize = 128 * 1024;
/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a huge answer pretends to have, and sends as long as anybody reads.
const HUGE_BYTES: u64 = 1 << 40;
/// Pause between two bytes of a slow answer.
const DRIP: Duration = Duration::from_millis(20);

/// What a source does instead of answering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// One byte of the answer now and then, for ever.
    Slow,
    /// Takes the request and never answers.
    Silent,
    /// An answer without an end, its length announced.
    Huge,
    /// An answer without an end, its length not announced.
    HugeUnannounced,
    /// Sends the client elsewhere.
    Redirect(String),
    /// `200 OK` with bytes that are nothing.
    Garbage,
    /// `200 OK` with these bytes in place of the registered ones, as an outdated mirror has them.
    Stale(Vec<u8>),
    /// `429 Too Many Requests`, with `Retry-After` in seconds if there is one.
    TooManyRequests(Option<u64>),
    /// This status and an HTML page.
    Status(u16),
    /// Closes the connection within the answer.
    CloseEarly,
    /// Closes the connection before the answer.
    Hangup,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// `Content-Type`.
    pub content_type: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Status, 200 mostly.
    pub status: u16,
}

impl Piece {
    /// `200 OK` with this body.
    pub fn new(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            content_type: content_type.to_owned(),
            headers: Vec::new(),
            body: body.into(),
            status: 200,
        }
    }

    /// The same, with a header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct State {
    pieces: BTreeMap<(String, String), Piece>,
    /// By beginning of the target; how many times, `None` for ever.
    plans: Vec<(String, Misbehaviour, Option<u32>)>,
    requests: Vec<Request>,
}

/// What the server serves; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    state: Arc<Mutex<State>>,
    stop: Arc<Stop>,
}

#[derive(Debug, Default)]
struct Stop {
    stopped: AtomicBool,
    lock: Mutex<()>,
    woken: Condvar,
}

impl Stop {
    /// Waits, and says whether to go on.
    fn pause(&self, time: Duration) -> bool {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.stopped.load(Ordering::Relaxed) {
            drop(self.woken.wait_timeout(guard, time));
        }
        !self.stopped.load(Ordering::Relaxed)
    }

    fn now(&self) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.stopped.store(true, Ordering::Relaxed);
        self.woken.notify_all();
    }
}

impl Mirror {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers `GET target` (path and query, to the letter) with this, from now on.
    pub fn put(&self, target: &str, piece: Piece) {
        self.lock().pieces.insert(("GET".to_owned(), target.to_owned()), piece);
    }

    /// Answers `POST target` with this, from now on.
    pub fn put_post(&self, target: &str, piece: Piece) {
        self.lock().pieces.insert(("POST".to_owned(), target.to_owned()), piece);
    }

    /// Misbehaves at targets that begin so: the next `times` requests, or all of them.
    pub fn misbehave(&self, target: &str, how: Misbehaviour, times: Option<u32>) {
        self.lock().plans.push((target.to_owned(), how, times));
    }

    /// Behaves from now on.
    pub fn behave(&self) {
        self.lock().plans.clear();
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// How many requests there were for targets that begin so.
    pub fn asked(&self, target: &str) -> usize {
        self.lock().requests.iter().filter(|request| request.target.starts_with(target)).count()
    }

    fn plan(&self, request: &Request) -> Result<Piece, Misbehaviour> {
        let mut state = self.lock();
        state.requests.push(request.clone());
        let found = state
            .plans
            .iter()
            .position(|(target, _, left)| request.target.starts_with(target) && *left != Some(0));
        if let Some((_, how, left)) = found.and_then(|at| state.plans.get_mut(at)) {
            *left = left.map(|left| left - 1);
            return Err(how.clone());
        }
        let key = (request.method.clone(), request.target.clone());
        Ok(state.pieces.get(&key).cloned().unwrap_or_else(|| Piece {
            status: 404,
            ..Piece::new("text/plain", "there is no such thing here\n")
        }))
    }

    /// Takes one request from `stream` and answers it, or misbehaves.
    ///
    /// # Errors
    /// What the stream says.
    pub fn answer(&self, stream: &mut (impl Read + Write)) -> io::Result<()> {
        let request = read(stream)?;
        let how = match self.plan(&request) {
            Ok(piece) => return send(stream, &piece),
            Err(how) => how,
        };
        match how {
            Misbehaviour::Slow => self.drip(stream),
            Misbehaviour::Silent => {
                while self.stop.pause(PATIENCE) {}
                Ok(())
            }
            Misbehaviour::Huge => self.flood(stream, &format!("content-length: {HUGE_BYTES}\r\n")),
            Misbehaviour::HugeUnannounced => self.flood(stream, ""),
            Misbehaviour::Redirect(to) => send(
                stream,
                &Piece { status: 302, ..Piece::new("text/plain", "") }.header("location", &to),
            ),
            Misbehaviour::Garbage => send(
                stream,
                &Piece::new(
                    "application/octet-stream",
                    b"\x30\x82\xff\xff<html>\0garbage".to_vec(),
                ),
            ),
            Misbehaviour::Stale(bytes) => {
                send(stream, &Piece::new("application/octet-stream", bytes))
            }
            Misbehaviour::TooManyRequests(after) => {
                let mut piece = Piece { status: 429, ..Piece::new("text/plain", "slow down\n") };
                if let Some(after) = after {
                    piece = piece.header("retry-after", &after.to_string());
                }
                send(stream, &piece)
            }
            Misbehaviour::Status(status) => send(
                stream,
                &Piece { status, ..Piece::new("text/html", "<html>\x1b[31mno</html>") },
            ),
            Misbehaviour::CloseEarly => {
                stream.write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\nconnection: close\r\n\r\nhalf",
                )?;
                stream.flush()
            }
            Misbehaviour::Hangup => Ok(()),
        }
    }

    fn drip(&self, stream: &mut impl Write) -> io::Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")?;
        while self.stop.pause(DRIP) {
            stream.write_all(b"x")?;
            stream.flush()?;
        }
        Ok(())
    }

    fn flood(&self, stream: &mut impl Write, length: &str) -> io::Result<()> {
        stream.write_all(format!("HTTP/1.1 200 OK\r\n{length}\r\n").as_bytes())?;
        while !self.stop.stopped.load(Ordering::Relaxed) {
            stream.write_all(&[b'x'; 8192])?;
        }
        Ok(())
    }
}

fn read(stream: &mut impl Read) -> io::Result<Request> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
        if head.len() > REQUEST_BYTES_MAX {
            return Err(malformed());
        }
    }
    let head = String::from_utf8(head).map_err(|_| malformed())?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (first.next(), first.next()) else {
        return Err(malformed());
    };
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(Ok(0), |(_, value)| value.parse::<usize>().map_err(|_| malformed()))?;
    if length > REQUEST_BYTES_MAX {
        return Err(malformed());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Request { method: method.to_owned(), target: target.to_owned(), headers, body })
}

fn send(stream: &mut impl Write, piece: &Piece) -> io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {} x\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n",
        piece.status,
        piece.content_type,
        piece.body.len()
    );
    for (name, value) in &piece.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(&piece.body)?;
    stream.flush()
}

/// A server that runs until this is dropped.
pub struct Running {
    mirror: Mirror,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Running {
    /// Serves `mirror` on a free port of loopback; `each` stands between socket and mirror, for TLS.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn spawn_with(
        mirror: &Mirror,
        each: impl Fn(&Mirror, TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let own = mirror.clone();
        let each = Arc::new(each);
        let thread = thread::Builder::new().name("mirror".to_owned()).spawn(move || {
            for socket in listener.incoming().flatten() {
                if own.stop.stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (mirror, each) = (own.clone(), Arc::clone(&each));
                // A client that goes away is its own business.
                thread::spawn(move || {
                    let _ = socket.set_read_timeout(Some(PATIENCE));
                    let _ = socket.set_write_timeout(Some(PATIENCE));
                    let _ = each(&mirror, socket);
                });
            }
        })?;
        Ok(Self { mirror: mirror.clone(), port, thread: Some(thread) })
    }

    /// Serves `mirror` as plain HTTP on a free port of loopback.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn spawn(mirror: &Mirror) -> io::Result<Self> {
        Self::spawn_with(mirror, |mirror, mut socket| mirror.answer(&mut socket))
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.mirror.stop.now();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(running: &Running, request: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, running.port())).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[test]
    fn it_serves_and_remembers() {
        let mirror = Mirror::new();
        mirror.put("/a?b=1", Piece::new("text/plain", "hello").header("x", "y"));
        mirror.put_post("/p", Piece { status: 201, ..Piece::new("text/plain", "made") });
        let running = Running::spawn(&mirror).unwrap();
        let answer = ask(&running, "GET /a?b=1 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\nx: y\r\n\r\nhello"));
        assert!(ask(&running, "GET /a HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        let answer = ask(&running, "POST /p HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
        assert!(answer.starts_with("HTTP/1.1 201 "));
        let requests = mirror.requests();
        assert_eq!((requests.len(), mirror.asked("/a")), (3, 2));
        assert_eq!((&requests[2].body[..], requests[0].header("host")), (&b"abc"[..], Some("x")));
    }

    #[test]
    fn it_misbehaves_as_often_as_told() {
        let mirror = Mirror::new();
        mirror.put("/a", Piece::new("text/plain", "hello"));
        mirror.misbehave("/a", Misbehaviour::TooManyRequests(Some(7)), Some(1));
        mirror.misbehave("/a", Misbehaviour::CloseEarly, Some(1));
        let running = Running::spawn(&mirror).unwrap();
        let request = "GET /a HTTP/1.1\r\n\r\n";
        let answer = ask(&running, request);
        assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("retry-after: 7\r\n"));
        assert!(ask(&running, request).ends_with("half"));
        assert!(ask(&running, request).ends_with("hello"));
        mirror.misbehave("/", Misbehaviour::Hangup, None);
        assert_eq!(ask(&running, request) + &ask(&running, request), "");
        mirror.behave();
        assert!(ask(&running, request).ends_with("hello"));
    }
}
