// SPDX-License-Identifier: Apache-2.0

//! Bearer tokens of OpenID Connect issuers, whose keys may change at any time.

use std::fmt;
use std::io::Read as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Mutex;
use types::time::Timestamp;

use super::jwk::KeySet;
use super::jwt::{Person, TokenError, Unverified, Verified};

/// Largest document taken from the issuer, in bytes.
const DOCUMENT_BYTES_MAX: u64 = 256 * 1024;
/// Longest request to an issuer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long keys are used before they are asked for again.
const KEYS_AGE_MAX: Duration = Duration::from_secs(600);
/// How long keys are used if the issuer does not answer. Longer, whoever cuts it off would keep keys that it took back.
const KEYS_STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// At most this many requests go to the issuer within [`WINDOW`]: tokens with made-up key ids must not become its load.
const REQUESTS_MAX: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// Why nobody knows who this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// The token is no good.
    Token(TokenError),
    /// The issuer's keys cannot be had.
    Issuer(String),
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(error) => error.fmt(f),
            Self::Issuer(detail) => write!(f, "the issuer's keys cannot be had: {detail}"),
        }
    }
}

/// One issuer: those whose tokens these are asks it for its keys.
pub struct Issuer {
    url: String,
    /// What tokens must have in `aud`; none if a rule judges it.
    audience: Option<String>,
    /// Its keys must be where it is itself, so that nobody but the operator says whom the registry asks.
    same_origin: bool,
    agent: ureq::Agent,
    /// Longest request to it.
    timeout: Duration,
    keys: RwLock<Option<Keys>>,
    /// Held by whoever asks the issuer.
    asking: Mutex<Asking>,
}

#[derive(Clone)]
struct Keys {
    set: Arc<KeySet>,
    since: Instant,
}

#[derive(Default)]
struct Asking {
    /// When the issuer was asked, within the last [`WINDOW`].
    times: Vec<Instant>,
    failure: String,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Whether an issuer may be asked at this URL: by https, or on this very machine.
pub fn valid_issuer_url(url: &str) -> bool {
    if !url.bytes().all(|b| b.is_ascii_graphic()) || url.contains(['?', '#', '@']) {
        return false;
    }
    if let Some(rest) = url.strip_prefix("https://") {
        return !rest.is_empty() && !rest.starts_with('/');
    }
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let host = rest.split('/').next().unwrap_or_default();
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|local| {
        host.strip_prefix(local).is_some_and(|port| {
            port.is_empty()
                || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok_and(|p| p > 0))
        })
    })
}

/// Whether two URLs have the same scheme, host and port.
fn same_origin(one: &str, other: &str) -> bool {
    // At most `https:`, nothing, the authority.
    let origin = |url: &str| url.splitn(4, '/').take(3).map(str::to_owned).collect::<Vec<_>>();
    origin(one) == origin(other)
}

impl Issuer {
    /// The issuer of people's tokens, which are for this audience, asked by this agent.
    pub fn of_people(url: &str, audience: &str, agent: ureq::Agent) -> Self {
        Self::new(url, Some(audience.to_owned()), false, agent)
    }

    /// An issuer whose tokens are judged by owners' rules, asked by this agent.
    pub fn of_machines(url: &str, agent: ureq::Agent) -> Self {
        Self::new(url, None, true, agent)
    }

    fn new(url: &str, audience: Option<String>, same_origin: bool, agent: ureq::Agent) -> Self {
        let (keys, asking) = (RwLock::default(), Mutex::default());
        let url = url.to_owned();
        Self { url, audience, same_origin, agent, timeout: TIMEOUT, keys, asking }
    }

    /// Asks for the issuer's keys before the first token comes. If it does not answer, the first token asks again.
    pub async fn warm_up(&self) {
        let mut asking = self.asking.lock().await;
        self.refresh(&mut asking).await;
    }

    /// Whether there are keys to check a token with.
    ///
    /// # Errors
    /// There are none, in words for the operator.
    pub fn ready(&self) -> Result<(), String> {
        match self.cached() {
            Some(_) => Ok(()),
            None => Err(format!("the keys of {} could not be had so far", self.url)),
        }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// See [`AuthError`].
    async fn authenticate(
        &self,
        token: &Unverified<'_>,
        now: Timestamp,
    ) -> Result<Verified, AuthError> {
        let keys = self.keys_with(&token.kid).await?;
        let audience = self.audience.as_deref();
        token.verify(&keys, &self.url, audience, now).map_err(AuthError::Token)
    }

    /// The issuer's keys; asked for anew if this one is unknown or they are old.
    async fn keys_with(&self, kid: &str) -> Result<Arc<KeySet>, AuthError> {
        let known = |keys: &Keys| keys.set.has(kid);
        if let Some(keys) = self.cached().filter(known) {
            // Old keys stay good while somebody asks, and if the issuer does not answer: its pause is not ours.
            if keys.since.elapsed() >= KEYS_AGE_MAX
                && let Ok(mut asking) = self.asking.try_lock()
            {
                self.refresh(&mut asking).await;
                return Ok(self.cached().map_or(keys.set, |keys| keys.set));
            }
            return Ok(keys.set);
        }
        let mut asking = self.asking.lock().await;
        // Somebody may have asked meanwhile.
        if let Some(keys) = self.cached().filter(known) {
            return Ok(keys.set);
        }
        self.refresh(&mut asking).await;
        match self.cached() {
            Some(keys) => Ok(keys.set),
            None => Err(AuthError::Issuer(asking.failure.clone())),
        }
    }

    fn cached(&self) -> Option<Keys> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        keys.filter(|keys| keys.since.elapsed() < KEYS_STALE_MAX)
    }

    async fn refresh(&self, asking: &mut Asking) {
        asking.times.retain(|at| at.elapsed() < WINDOW);
        if asking.times.len() >= REQUESTS_MAX {
            return;
        }
        asking.times.push(Instant::now());
        let (agent, issuer) = (self.agent.clone(), self.url.clone());
        let (same_origin, timeout) = (self.same_origin, self.timeout);
        let fetched =
            tokio::task::spawn_blocking(move || fetch(&agent, &issuer, same_origin, timeout)).await;
        match fetched.unwrap_or_else(|_| Err("the task that asks was ended".to_owned())) {
            Ok(set) => {
                let keys = Keys { set: Arc::new(set), since: Instant::now() };
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(keys);
                tracing::debug!(issuer = %self.url, "got the issuer's keys");
            }
            Err(failure) => {
                tracing::warn!(issuer = %self.url, %failure, "the issuer's keys cannot be had");
                asking.failure = failure;
            }
        }
    }
}

/// All issuers whose tokens are taken.
#[derive(Debug, Default)]
pub struct Issuers {
    people: Option<Issuer>,
    machines: Vec<Issuer>,
}

/// Whose a good token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bearer {
    /// A person's.
    Person(Person),
    /// A machine's, good only where an owner's rule takes it.
    Machine(Verified),
}

impl Issuers {
    /// The issuer of people's tokens, if there is one, and those of machines' tokens, which are others.
    pub fn new(people: Option<Issuer>, machines: Vec<Issuer>) -> Self {
        Self { people, machines }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn authenticate(&self, token: &str, now: Timestamp) -> Result<Bearer, AuthError> {
        let unverified = Unverified::parse(token).map_err(AuthError::Token)?;
        let name = unverified.issuer().map_err(AuthError::Token)?;
        if let Some(people) = self.people.as_ref().filter(|issuer| issuer.url == name) {
            let Verified { subject, scopes, .. } = people.authenticate(&unverified, now).await?;
            return Ok(Bearer::Person(Person { subject, scopes }));
        }
        match self.machines.iter().find(|issuer| issuer.url == name) {
            Some(machines) => machines.authenticate(&unverified, now).await.map(Bearer::Machine),
            None => Err(AuthError::Token(TokenError::Issuer)),
        }
    }

    /// Whether people's tokens can be checked.
    ///
    /// # Errors
    /// They cannot, in words for the operator.
    pub fn ready(&self) -> Result<(), String> {
        self.people.as_ref().map_or(Ok(()), Issuer::ready)
    }

    /// Asks all issuers for their keys before the first token comes.
    pub async fn warm_up(&self) {
        for issuer in self.people.iter().chain(&self.machines) {
            issuer.warm_up().await;
        }
    }

    /// Whether machines' tokens of this issuer are taken.
    pub fn trusts(&self, url: &str) -> bool {
        self.machines.iter().any(|issuer| issuer.url == url)
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

fn fetch(
    agent: &ureq::Agent,
    issuer: &str,
    at_home: bool,
    timeout: Duration,
) -> Result<KeySet, String> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let discovery: Discovery = serde_json::from_slice(&get(agent, &url, timeout)?)
        .map_err(|e| format!("{url} is no OpenID configuration: {e}"))?;
    if discovery.issuer != issuer {
        return Err(format!("{url} is of the issuer {}", discovery.issuer.escape_debug()));
    }
    if !valid_issuer_url(&discovery.jwks_uri) {
        return Err(format!("{url} names keys that are not at an https URL"));
    }
    if at_home && !same_origin(&discovery.jwks_uri, issuer) {
        return Err(format!("{url} names keys at another place than its own"));
    }
    let keys = get(agent, &discovery.jwks_uri, timeout)?;
    KeySet::parse(&keys).map_err(|_| format!("{} is no JWK set", discovery.jwks_uri))
}

fn get(agent: &ureq::Agent, url: &str, timeout: Duration) -> Result<Vec<u8>, String> {
    let request = agent
        .get(url)
        .config()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(timeout))
        .build();
    let mut response = request.call().map_err(|e| format!("{url} cannot be reached: {e}"))?;
    if response.status().as_u16() != 200 {
        return Err(format!("{url} answered {}", response.status()));
    }
    let mut body = Vec::new();
    let mut reader = response.body_mut().as_reader().take(DOCUMENT_BYTES_MAX + 1);
    reader.read_to_end(&mut body).map_err(|e| format!("the answer of {url} broke off: {e}"))?;
    if body.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(format!("the answer of {url} is larger than {DOCUMENT_BYTES_MAX} bytes"));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use testkit::oidc::{Algorithm, DevIssuer};

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000);

    fn agent() -> ureq::Agent {
        ureq::Agent::new_with_defaults()
    }

    fn people(issuer: &str) -> Issuers {
        Issuers::new(Some(Issuer::of_people(issuer, "aud", agent())), Vec::new())
    }

    fn mint(issuer: &DevIssuer) -> String {
        issuer.mint(&issuer.claims("ann", "aud", ""), Algorithm::Es256).unwrap()
    }

    fn running() -> (DevIssuer, testkit::oidc::Running) {
        testkit::oidc::spawn(0, None, Arc::new(|| NOW)).unwrap()
    }

    #[tokio::test]
    async fn keys_rotate_without_a_restart_and_made_up_ids_are_no_load() {
        let (issuer, _running) = running();
        let people = people(issuer.issuer());
        people.warm_up().await;
        assert!(people.authenticate(&mint(&issuer), NOW).await.is_ok());
        let old = mint(&issuer);
        issuer.rotate().unwrap();
        assert!(people.authenticate(&mint(&issuer), NOW).await.is_ok());
        let unknown = Err(AuthError::Token(TokenError::UnknownKey));
        for _ in 0..20 {
            assert_eq!(people.authenticate(&old, NOW).await, unknown);
        }
        let asking = people.people.unwrap().asking;
        assert_eq!(asking.lock().await.times.len(), REQUESTS_MAX);
    }

    /// As if the issuer had been asked so long ago.
    fn age(issuers: &Issuers, by: Duration) {
        let people = issuers.people.as_ref().unwrap();
        let mut keys = people.keys.write().unwrap();
        keys.as_mut().unwrap().since = Instant::now().checked_sub(by).unwrap();
    }

    #[tokio::test]
    async fn keys_outlast_a_pause_of_the_issuer_and_no_more() {
        let (issuer, running) = running();
        let people = people(issuer.issuer());
        people.warm_up().await;
        let old = mint(&issuer);
        // What it took back is trusted until it is asked again.
        issuer.rotate().unwrap();
        assert!(people.authenticate(&old, NOW).await.is_ok());
        age(&people, KEYS_AGE_MAX);
        let error = people.authenticate(&old, NOW).await.unwrap_err();
        assert_eq!(error, AuthError::Token(TokenError::UnknownKey));
        let token = mint(&issuer);
        drop(running);
        age(&people, KEYS_AGE_MAX);
        for _ in 0..20 {
            assert!(people.authenticate(&token, NOW).await.is_ok());
        }
        assert!(people.ready().is_ok());
        assert!(people.people.as_ref().unwrap().asking.lock().await.times.len() <= REQUESTS_MAX);
        age(&people, KEYS_STALE_MAX);
        let error = people.authenticate(&token, NOW).await.unwrap_err();
        assert!(error.to_string().contains("cannot be reached"), "{error}");
        assert!(people.ready().is_err());
    }

    /// An issuer that answers questions for keys by itself: the head, and what follows it.
    fn sends(keys: impl Fn(&mut std::net::TcpStream) + Send + 'static) -> String {
        use std::io::{BufRead as _, BufReader, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let document = serde_json::json!({"issuer": url, "jwks_uri": format!("{url}/jwks")});
        let document = document.to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let reader = BufReader::new(stream.try_clone().unwrap());
                let head: Vec<_> =
                    reader.lines().map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
                match head.first() {
                    Some(first) if first.contains("/jwks") => keys(&mut stream),
                    // Who asks may be gone.
                    _ => drop(write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{document}",
                        document.len()
                    )),
                }
            }
        });
        url
    }

    #[tokio::test]
    async fn keys_without_end_are_cut_off() {
        use std::io::Write as _;
        const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"keys\":[";
        let huge = sends(|stream| {
            let mut going = stream.write_all(HEAD);
            // As much as is taken from it.
            while going.is_ok() {
                going = stream.write_all(&[b' '; 4096]);
            }
        });
        let slow = sends(|stream| {
            let mut going = stream.write_all(HEAD);
            while going.is_ok() {
                going = stream.write_all(b" ");
                std::thread::park_timeout(Duration::from_millis(5));
            }
        });
        let silent = sends(|stream| drop(std::io::copy(stream, &mut std::io::sink())));
        let elsewhere = sends(|stream| {
            let away =
                b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
            drop(stream.write_all(away));
        });
        let many = sends(|stream| {
            let keys = vec!["{}"; super::super::jwk::KEYS_MAX + 1].join(",");
            drop(write!(
                stream,
                "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{{\"keys\":[{keys}]}}"
            ));
        });
        let (issuer, _running) = running();
        for (url, why) in [
            (huge, "is larger than 262144 bytes"),
            (slow, "broke off: timeout"),
            (silent, "timeout"),
            (elsewhere, "answered 302"),
            (many, "is no JWK set"),
        ] {
            let mut one = Issuer::of_people(&url, "aud", agent());
            one.timeout = Duration::from_millis(300);
            let issuers = Issuers::new(Some(one), Vec::new());
            let claims = testkit::oidc::Claims { issuer: url, ..issuer.claims("ann", "aud", "") };
            let token = issuer.mint(&claims, Algorithm::Es256).unwrap();
            let error = issuers.authenticate(&token, NOW).await.unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[tokio::test]
    async fn an_issuer_that_is_away_or_another_is_said_so() {
        let (issuer, running) = running();
        let slash = format!("{}/", issuer.issuer());
        let claims =
            testkit::oidc::Claims { issuer: slash.clone(), ..issuer.claims("ann", "aud", "") };
        let token = issuer.mint(&claims, Algorithm::Es256).unwrap();
        let error = people(&slash).authenticate(&token, NOW).await.unwrap_err();
        assert!(error.to_string().contains("is of the issuer"), "{error}");
        let token = mint(&issuer);
        drop(running);
        let error = people(issuer.issuer()).authenticate(&token, NOW).await.unwrap_err();
        assert!(error.to_string().contains("cannot be reached"), "{error}");
    }

    #[tokio::test]
    async fn each_issuer_speaks_for_its_own_only() {
        let ((one, _one), (other, _other), (third, _third)) = (running(), running(), running());
        let machines = vec![Issuer::of_machines(other.issuer(), agent())];
        let issuers = Issuers::new(Some(Issuer::of_people(one.issuer(), "aud", agent())), machines);
        assert!(issuers.trusts(other.issuer()) && !issuers.trusts(one.issuer()));
        let person = issuers.authenticate(&mint(&one), NOW).await.unwrap();
        assert!(matches!(person, Bearer::Person(Person { subject, .. }) if subject == "ann"));
        // What a machine's token says is judged later, its audience too; it is never a person.
        match issuers.authenticate(&mint(&other), NOW).await.unwrap() {
            Bearer::Machine(machine) => assert_eq!(machine.issuer, other.issuer()),
            Bearer::Person(person) => panic!("{person:?}"),
        }
        let error = issuers.authenticate(&mint(&third), NOW).await.unwrap_err();
        assert_eq!(error, AuthError::Token(TokenError::Issuer));
        // Signed by the machines' issuer in the name of the people's.
        let claims = one.claims("ann", "aud", "");
        let forged = other.mint(&claims, Algorithm::Es256).unwrap();
        let error = issuers.authenticate(&forged, NOW).await.unwrap_err();
        assert_eq!(error, AuthError::Token(TokenError::UnknownKey));
    }

    #[tokio::test]
    async fn keys_of_machines_issuers_are_at_their_own_place() {
        use axum::routing::get;
        let (elsewhere, _running) = running();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let document =
            serde_json::json!({"issuer": url, "jwks_uri": format!("{}/jwks", elsewhere.issuer())});
        let router = axum::Router::new().route(
            "/.well-known/openid-configuration",
            get(move || async move { document.to_string() }),
        );
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let claims =
            testkit::oidc::Claims { issuer: url.clone(), ..elsewhere.claims("ann", "aud", "") };
        let token = elsewhere.mint(&claims, Algorithm::Es256).unwrap();
        let machines = Issuers::new(None, vec![Issuer::of_machines(&url, agent())]);
        let error = machines.authenticate(&token, NOW).await.unwrap_err();
        assert!(error.to_string().contains("at another place"), "{error}");
    }

    #[test]
    fn origins() {
        assert!(same_origin("https://a/x/y", "https://a"));
        assert!(same_origin("https://a:1/x", "https://a:1/"));
        for other in ["https://b/x", "http://a/x", "https://a:1/x", "https://a.b", "https://aa/"] {
            assert!(!same_origin("https://a/x", other), "{other}");
        }
    }

    #[test]
    fn issuers_are_asked_by_https_or_at_home() {
        for good in [
            "https://auth.example.com/",
            "https://a/b",
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:1/x",
        ] {
            assert!(valid_issuer_url(good), "{good}");
        }
        for bad in [
            "",
            "https://",
            "https:///x",
            "http://example.com",
            "http://127.0.0.1.example.com",
            "http://127.0.0.1:x",
            "http://127.0.0.1@evil",
            "http://localhost@evil",
            "ftp://127.0.0.1",
            "https://a b",
            "https://a/?x",
        ] {
            assert!(!valid_issuer_url(bad), "{bad}");
        }
    }
}
