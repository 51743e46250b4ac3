// SPDX-License-Identifier: Apache-2.0

//! People: bearer tokens of one OpenID Connect issuer, whose keys may change at any time.

use std::fmt;
use std::io::Read as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Mutex;
use types::time::Timestamp;

use super::jwt::{Expectations, KeySet, Person, TokenError, Unverified};

/// Largest document taken from the issuer, in bytes.
const DOCUMENT_BYTES_MAX: u64 = 256 * 1024;
/// Longest request to the issuer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long keys are used before they are asked for again.
const KEYS_AGE_MAX: Duration = Duration::from_secs(600);
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

/// Checks tokens of one issuer.
pub struct People {
    expected: Expectations,
    agent: ureq::Agent,
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

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("People").field("expected", &self.expected).finish_non_exhaustive()
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

impl People {
    /// Tokens of this issuer, asked by this agent.
    pub fn new(expected: Expectations, agent: ureq::Agent) -> Self {
        Self { expected, agent, keys: RwLock::default(), asking: Mutex::default() }
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
            None => Err(format!("the keys of {} could not be had so far", self.expected.issuer)),
        }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn authenticate(&self, token: &str, now: Timestamp) -> Result<Person, AuthError> {
        let unverified = Unverified::parse(token).map_err(AuthError::Token)?;
        let keys = self.keys_with(&unverified.kid).await?;
        unverified.verify(&keys, &self.expected, now).map_err(AuthError::Token)
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
                return Ok(self.cached().map_or(keys.set, |k| k.set));
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
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn refresh(&self, asking: &mut Asking) {
        asking.times.retain(|at| at.elapsed() < WINDOW);
        if asking.times.len() >= REQUESTS_MAX {
            return;
        }
        asking.times.push(Instant::now());
        let (agent, issuer) = (self.agent.clone(), self.expected.issuer.clone());
        let fetched = tokio::task::spawn_blocking(move || fetch(&agent, &issuer)).await;
        match fetched.unwrap_or_else(|_| Err("the task that asks was ended".to_owned())) {
            Ok(set) => {
                let keys = Keys { set: Arc::new(set), since: Instant::now() };
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(keys);
                tracing::debug!(issuer = %self.expected.issuer, "got the issuer's keys");
            }
            Err(failure) => {
                tracing::warn!(issuer = %self.expected.issuer, %failure, "the issuer's keys cannot be had");
                asking.failure = failure;
            }
        }
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

fn fetch(agent: &ureq::Agent, issuer: &str) -> Result<KeySet, String> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let discovery: Discovery = serde_json::from_slice(&get(agent, &url)?)
        .map_err(|e| format!("{url} is no OpenID configuration: {e}"))?;
    if discovery.issuer != issuer {
        return Err(format!("{url} is of the issuer {}", discovery.issuer.escape_debug()));
    }
    if !valid_issuer_url(&discovery.jwks_uri) {
        return Err(format!("{url} names keys that are not at an https URL"));
    }
    let keys = get(agent, &discovery.jwks_uri)?;
    KeySet::parse(&keys).map_err(|_| format!("{} is no JWK set", discovery.jwks_uri))
}

fn get(agent: &ureq::Agent, url: &str) -> Result<Vec<u8>, String> {
    let request = agent
        .get(url)
        .config()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(TIMEOUT))
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

    fn people(issuer: &str) -> People {
        let expected = Expectations { issuer: issuer.to_owned(), audience: "aud".to_owned() };
        People::new(expected, ureq::Agent::new_with_defaults())
    }

    fn mint(issuer: &DevIssuer) -> String {
        issuer.mint(&issuer.claims("ann", "aud", ""), Algorithm::Es256).unwrap()
    }

    #[tokio::test]
    async fn keys_rotate_without_a_restart_and_made_up_ids_are_no_load() {
        let (issuer, _running) = testkit::oidc::spawn(0, None, Arc::new(|| NOW)).unwrap();
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
        assert_eq!(people.asking.lock().await.times.len(), REQUESTS_MAX);
    }

    #[tokio::test]
    async fn an_issuer_that_is_away_or_another_is_said_so() {
        let (issuer, running) = testkit::oidc::spawn(0, None, Arc::new(|| NOW)).unwrap();
        let token = mint(&issuer);
        let slash = people(&format!("{}/", issuer.issuer()));
        let error = slash.authenticate(&token, NOW).await.unwrap_err();
        assert!(error.to_string().contains("is of the issuer"), "{error}");
        drop(running);
        let error = people(issuer.issuer()).authenticate(&token, NOW).await.unwrap_err();
        assert!(error.to_string().contains("cannot be reached"), "{error}");
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
