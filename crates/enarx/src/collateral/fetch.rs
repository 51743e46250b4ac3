// SPDX-License-Identifier: Apache-2.0

//! Asking a source over HTTPS: bounded in size and time, patient with those that are busy, never sent elsewhere.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use ureq::http::{HeaderMap, Response, Uri};

use crate::failure::{Context as _, EXIT_USAGE, Failure};
use crate::reach;

/// First pause between two attempts; each next one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// Longest pause, unless the source asks for more.
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// Longest text of an answer that is shown.
const TEXT_MAX: usize = 160;

/// How long to keep at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Most attempts, the first included.
    pub attempts: u32,
    /// Most time for all attempts and pauses of one piece.
    pub total: Duration,
}

/// How to reach sources.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Roots of the sources, PEM; empty: the public Web PKI.
    pub roots_pem: String,
    /// Whether plain http to this machine is allowed.
    pub plain: bool,
    /// How long to keep at it.
    pub patience: Patience,
}

/// The address of a source: scheme, host, port, and perhaps a path that all others begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    url: String,
    plain: bool,
}

impl Base {
    /// Reads an address.
    ///
    /// # Errors
    /// In words: anything but `https://host[:port][/path]`, or `http` in its place.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = || format!("wanted https://host[:port][/path], not {text:?}");
        let uri: Uri = text.parse().map_err(|_| wanted())?;
        let authority = uri.authority().ok_or_else(wanted)?.as_str();
        let plain = match uri.scheme_str() {
            Some("https") => false,
            Some("http") => true,
            _ => return Err(wanted()),
        };
        if authority.contains('@') || uri.query().is_some() || text.contains('#') {
            return Err(wanted());
        }
        Ok(Self { url: text.trim_end_matches('/').to_owned(), plain })
    }

    /// The address of `target`, which begins with a slash.
    pub fn join(&self, target: &str) -> String {
        format!("{}{target}", self.url)
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// What to ask for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// From whom.
    pub base: &'a Base,
    /// Path and query.
    pub target: &'a str,
    /// Most bytes that are taken as an answer.
    pub limit: usize,
    /// Headers. Their values are not shown.
    pub headers: &'a [(&'a str, &'a str)],
    /// What to send, with its type; nothing: a `GET`.
    pub body: Option<(&'a str, &'a [u8])>,
}

/// What the source said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// Nobody is there, or the connection broke.
    Unreachable(String),
    /// Nothing came in time.
    TimedOut,
    /// It wants the client to go elsewhere.
    Redirected(String),
    /// More bytes than such a piece has.
    TooLarge(usize),
    /// It refuses, or fails.
    Status(u16, String),
    /// It wants to be asked later than there is time for: seconds.
    Busy(u64),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "it cannot be reached: {why}"),
            Self::TimedOut => f.write_str("it does not answer in time"),
            Self::Redirected(to) => {
                write!(f, "it sends elsewhere ({to}), and redirects are not followed")
            }
            Self::TooLarge(limit) => {
                write!(f, "its answer is larger than the {limit} bytes that such a piece may have")
            }
            Self::Status(status, text) if text.is_empty() => write!(f, "it answers {status}"),
            Self::Status(status, text) => write!(f, "it answers {status}: {text}"),
            Self::Busy(seconds) => {
                write!(f, "it is busy and wants to be asked again in {seconds} seconds")
            }
        }
    }
}

impl std::error::Error for FetchError {}

/// A failed attempt.
#[derive(Debug)]
struct Attempt {
    error: FetchError,
    /// Whether another attempt may help.
    again: bool,
    /// How long the source wants to be left alone.
    after: Option<Duration>,
}

impl Attempt {
    fn last(error: FetchError) -> Self {
        Self { error, again: false, after: None }
    }
}

/// Asks sources.
pub struct Fetcher {
    https: Agent,
    plain: Option<Agent>,
    patience: Patience,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Fetcher {
    /// One with these roots, and the proxy that the environment names (`HTTPS_PROXY`, `ALL_PROXY`, but for `NO_PROXY`).
    ///
    /// # Errors
    /// If roots or proxy cannot be used.
    pub fn new(reach: &Reach) -> Result<Self, Failure> {
        let builder = || {
            let builder = verify::https::Agent::builder().clock(Arc::new(reach::now)).tls12();
            if reach.roots_pem.is_empty() {
                builder.web_pki()
            } else {
                builder.roots_pem(&reach.roots_pem)
            }
        };
        let proxy = proxy(|name| std::env::var(name).ok())?;
        let build = |builder: verify::https::AgentBuilder| {
            builder.build().context("cannot reach anybody").map_err(|f| f.next("check --ca"))
        };
        // What goes to this machine in plain text must never go to a proxy.
        let plain =
            if reach.plain { Some(build(builder().insecure_plain_loopback())?) } else { None };
        Ok(Self { https: build(builder().proxy(proxy))?, plain, patience: reach.patience })
    }

    /// Asks, several times if need be.
    ///
    /// # Errors
    /// The last attempt's.
    pub fn fetch(&self, request: Request<'_>) -> Result<Answer, FetchError> {
        let begin = Instant::now();
        let Patience { attempts, total } = self.patience;
        let each = total / attempts.max(1);
        let mut attempt = 1;
        loop {
            let left = total.saturating_sub(begin.elapsed());
            let failed = match self.attempt(request, each.min(left)) {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let left = total.saturating_sub(begin.elapsed());
            if !failed.again || attempt >= attempts {
                return Err(failed.error);
            }
            match pause(attempt, failed.after, left, random()) {
                Ok(pause) => std::thread::sleep(pause),
                Err(after) => return Err(after.unwrap_or(failed.error)),
            }
            attempt += 1;
        }
    }

    fn attempt(&self, request: Request<'_>, time: Duration) -> Result<Answer, Attempt> {
        if time.is_zero() {
            return Err(Attempt::last(FetchError::TimedOut));
        }
        let agent = match (&self.plain, request.base.plain) {
            (_, false) => &self.https,
            (Some(plain), true) => plain,
            (None, true) => {
                let why = "plain http needs --insecure-plain-http, and goes to this machine only";
                return Err(Attempt::last(FetchError::Unreachable(why.to_owned())));
            }
        };
        let url = request.base.join(request.target);
        let response = match request.body {
            None => {
                let mut ask = agent.get(&url);
                for (name, value) in request.headers {
                    ask = ask.header(*name, *value);
                }
                ask.config().timeout_global(Some(time)).build().call()
            }
            Some((kind, body)) => {
                let mut ask = agent.post(&url).header(CONTENT_TYPE, kind);
                for (name, value) in request.headers {
                    ask = ask.header(*name, *value);
                }
                ask.config().timeout_global(Some(time)).build().send(body)
            }
        };
        read(response.map_err(broken)?, request.limit)
    }
}

/// An error of the connection.
fn broken(error: ureq::Error) -> Attempt {
    let again = |why| Attempt { error: FetchError::Unreachable(why), again: true, after: None };
    match error {
        ureq::Error::Timeout(_) => {
            Attempt { error: FetchError::TimedOut, again: true, after: None }
        }
        ureq::Error::Io(error) => {
            // Another attempt does not make a certificate better.
            let again = !matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied
            );
            Attempt { error: FetchError::Unreachable(error.to_string()), again, after: None }
        }
        ureq::Error::ConnectionFailed => again("nobody answers there".to_owned()),
        // An answer that ends too early is one of these.
        ureq::Error::Protocol(error) => again(error.to_string()),
        ureq::Error::HostNotFound => {
            Attempt::last(FetchError::Unreachable("its name is not known".to_owned()))
        }
        other => Attempt::last(FetchError::Unreachable(other.to_string())),
    }
}

fn read(mut response: Response<ureq::Body>, limit: usize) -> Result<Answer, Attempt> {
    let status = response.status().as_u16();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    if (300..400).contains(&status) {
        let to = harmless(header(LOCATION).unwrap_or("nowhere"));
        return Err(Attempt::last(FetchError::Redirected(to)));
    }
    let after =
        header(RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let good = (200..300).contains(&status);
    if good && response.body().content_length().is_some_and(|length| length > as_u64(limit)) {
        return Err(Attempt::last(FetchError::TooLarge(limit)));
    }
    let most = if good { limit } else { 4 * TEXT_MAX };
    // One byte more than allowed tells that there is more.
    let taken =
        response.body_mut().with_config().limit(as_u64(most).saturating_add(1)).read_to_vec();
    let body = match taken {
        Ok(body) if good && body.len() > limit => {
            return Err(Attempt::last(FetchError::TooLarge(limit)));
        }
        Ok(body) => body,
        Err(ureq::Error::BodyExceedsLimit(_)) if good => {
            return Err(Attempt::last(FetchError::TooLarge(limit)));
        }
        Err(error) if good => return Err(broken(error)),
        Err(_) => Vec::new(),
    };
    if good {
        return Ok(Answer { headers: response.headers().clone(), body });
    }
    let error = FetchError::Status(status, harmless(&said(&body)));
    let again = matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504);
    Err(Attempt { error, again, after })
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// What a refusal says: its message, if it is one of Intel's in JSON.
fn said(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    serde_json::from_slice(body).map_or_else(
        |_| String::from_utf8_lossy(body).into_owned(),
        |refusal: Refusal| refusal.message,
    )
}

/// Text of a stranger, fit for a terminal.
pub(super) fn harmless(text: &str) -> String {
    let mut out = String::new();
    for character in text.trim().chars().take(TEXT_MAX) {
        match character {
            '"' | '\'' => out.push(character),
            other => out.extend(other.escape_debug()),
        }
    }
    out
}

/// How long to wait after this attempt (the first is 1), if there is time `left`; `random` is in 0..=255. The error: the
/// source wants more patience than there is, or just no time.
fn pause(
    attempt: u32,
    after: Option<Duration>,
    left: Duration,
    random: u8,
) -> Result<Duration, Option<FetchError>> {
    let doubled = PAUSE_FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(PAUSE_MAX);
    // Between a half and all of it, so that many clients do not come back at once.
    let own = doubled / 2 + doubled / 2 * u32::from(random) / 255;
    match after {
        Some(after) if after >= left => Err(Some(FetchError::Busy(after.as_secs()))),
        Some(after) => Ok(after.max(own).min(left)),
        None if own >= left => Err(None),
        None => Ok(own),
    }
}

fn random() -> u8 {
    let mut byte = [128];
    // Without randomness clients may come back at once, which is no harm to this one.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    u8::from_ne_bytes(byte)
}

/// The proxy that the environment names.
fn proxy(get: impl Fn(&str) -> Option<String>) -> Result<Option<ureq::Proxy>, Failure> {
    let names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let set = names
        .iter()
        .find_map(|name| get(name).filter(|value| !value.is_empty()).map(|value| (*name, value)));
    let Some((name, value)) = set else { return Ok(None) };
    let bad = |why: String| {
        Failure::new(format!("cannot use the proxy that {name} names"))
            .why(why)
            .next(format!("set {name} to http://host:port, or unset it"))
            .code(EXIT_USAGE)
    };
    let parsed = ureq::Proxy::new(&value).map_err(|error| bad(error.to_string()))?;
    let protocol = parsed.protocol();
    if !matches!(protocol, ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https) {
        return Err(bad("only HTTP proxies are spoken to".to_owned()));
    }
    let mut builder = ureq::Proxy::builder(protocol).host(parsed.host()).port(parsed.port());
    if let Some(user) = parsed.username() {
        builder = builder.username(user);
    }
    if let Some(password) = parsed.password() {
        builder = builder.password(password);
    }
    let except = ["NO_PROXY", "no_proxy"].iter().find_map(|name| get(name)).unwrap_or_default();
    for host in except.split(',').map(str::trim).filter(|host| !host.is_empty()) {
        builder = builder.no_proxy(host);
    }
    builder.build().map(Some).map_err(|error| bad(error.to_string()))
}

#[cfg(test)]
mod tests;
