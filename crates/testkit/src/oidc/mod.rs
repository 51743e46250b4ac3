// SPDX-License-Identifier: Apache-2.0

//! A development issuer of OpenID Connect, not for production: whoever asks is let in.
//!
//! Discovery, keys, the device authorization grant (RFC 8628) and access tokens as JWT (RFC 9068 in substance), on
//! loopback only. Tests also mint the tokens that must be refused.

mod keys;
mod page;
mod routes;
mod server;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use types::time::Timestamp;

pub use keys::Algorithm;
use keys::Keys;
pub use server::{Running, spawn};

/// Tells the time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How long a token is valid, in seconds.
const TOKEN_SECONDS: u64 = 3_600;
/// How long a device code waits for its approval, in seconds.
const DEVICE_SECONDS: u64 = 600;
/// Most device codes that wait at once; the oldest gives way.
const DEVICES_MAX: usize = 64;

/// Why the issuer does not work.
#[derive(Debug)]
pub enum OidcError {
    /// The system's randomness, or a signature, failed.
    Crypto,
    /// The issuer cannot listen.
    Listen(std::io::Error),
}

impl fmt::Display for OidcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crypto => {
                f.write_str("the system's cryptography failed to make a key or a signature")
            }
            Self::Listen(error) => write!(f, "the development issuer cannot listen: {error}"),
        }
    }
}

impl std::error::Error for OidcError {}

/// What a token says. Every member can be set to something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who issued it.
    pub issuer: String,
    /// Whom it stands for.
    pub subject: String,
    /// For whom it is.
    pub audience: String,
    /// What it allows, separated by spaces.
    pub scope: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it begins, if it says so.
    pub not_before: Option<Timestamp>,
    /// Further claims, as continuous integration has them; one of the same name takes the place of those above.
    pub more: BTreeMap<String, Value>,
}

impl Claims {
    /// As they stand in a token.
    pub fn to_json(&self) -> Value {
        let mut claims = json!({
            "iss": self.issuer,
            "sub": self.subject,
            "aud": self.audience,
            "scope": self.scope,
            "iat": self.issued_at.0,
            "exp": self.expires_at.0,
        });
        if let (Some(nbf), Some(map)) = (self.not_before, claims.as_object_mut()) {
            map.insert("nbf".to_owned(), json!(nbf.0));
        }
        if let Some(map) = claims.as_object_mut() {
            map.extend(self.more.clone());
        }
        claims
    }
}

/// A development issuer. Clones are the same issuer.
#[derive(Clone)]
pub struct DevIssuer {
    inner: Arc<Inner>,
}

struct Inner {
    issuer: String,
    now: Now,
    /// Whom device codes stand for that nobody needs to approve.
    auto_approve: Option<String>,
    state: Mutex<State>,
}

struct State {
    keys: Keys,
    devices: BTreeMap<String, Device>,
}

/// A device authorization under way, by its device code.
struct Device {
    user_code: String,
    scope: String,
    audience: String,
    expires_at: Timestamp,
    subject: Option<String>,
}

impl fmt::Debug for DevIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevIssuer").field("issuer", &self.inner.issuer).finish_non_exhaustive()
    }
}

impl DevIssuer {
    /// An issuer with new keys at this URL, without a slash at its end.
    ///
    /// With `auto_approve`, whoever asks for a device code gets a token for that subject without visiting the page.
    ///
    /// # Errors
    /// [`OidcError::Crypto`].
    pub fn generate(issuer: &str, auto_approve: Option<&str>, now: Now) -> Result<Self, OidcError> {
        let state = State { keys: Keys::generate()?, devices: BTreeMap::new() };
        let inner = Inner {
            issuer: issuer.to_owned(),
            now,
            auto_approve: auto_approve.map(str::to_owned),
            state: Mutex::new(state),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The issuer's URL, the `iss` of its tokens.
    pub fn issuer(&self) -> &str {
        &self.inner.issuer
    }

    /// The issuer as a service, to be mounted at its URL.
    pub fn router(&self) -> axum::Router {
        routes::router(self.clone())
    }

    /// The claims of a good token, valid for an hour from now.
    pub fn claims(&self, subject: &str, audience: &str, scope: &str) -> Claims {
        let now = (self.inner.now)();
        Claims {
            issuer: self.inner.issuer.clone(),
            subject: subject.to_owned(),
            audience: audience.to_owned(),
            scope: scope.to_owned(),
            issued_at: now,
            expires_at: now.plus(TOKEN_SECONDS),
            not_before: None,
            more: BTreeMap::new(),
        }
    }

    /// A token with these claims, signed by the issuer's key for the algorithm.
    ///
    /// # Errors
    /// [`OidcError::Crypto`].
    pub fn mint(&self, claims: &Claims, algorithm: Algorithm) -> Result<String, OidcError> {
        let mut state = self.state();
        let kid = state.keys.kid(algorithm)?;
        let header = json!({"alg": algorithm.name(), "kid": kid, "typ": "at+jwt"});
        let input = signing_input(&header, &claims.to_json());
        let signature = state.keys.sign(algorithm, input.as_bytes())?;
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// A token with this header and a signature by the algorithm's key, whatever the header says: for negative tests.
    ///
    /// # Errors
    /// [`OidcError::Crypto`].
    pub fn mint_with_header(
        &self,
        header: &Value,
        claims: &Claims,
        algorithm: Algorithm,
    ) -> Result<String, OidcError> {
        let input = signing_input(header, &claims.to_json());
        let signature = self.state().keys.sign(algorithm, input.as_bytes())?;
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// A token whose header and claims are these texts as they stand, signed by the algorithm's key: for negative tests.
    ///
    /// # Errors
    /// [`OidcError::Crypto`].
    pub fn mint_text(
        &self,
        header: &str,
        claims: &str,
        algorithm: Algorithm,
    ) -> Result<String, OidcError> {
        let input =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.state().keys.sign(algorithm, input.as_bytes())?;
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// A token of `alg` none, with no signature: for negative tests.
    pub fn mint_unsigned(&self, claims: &Claims) -> String {
        let input = signing_input(&json!({"alg": "none", "typ": "at+jwt"}), &claims.to_json());
        format!("{input}.")
    }

    /// A token of `alg` HS256 whose secret is the issuer's public key, under that key's id: for negative tests.
    ///
    /// # Errors
    /// [`OidcError::Crypto`].
    pub fn mint_confused(
        &self,
        claims: &Claims,
        algorithm: Algorithm,
    ) -> Result<String, OidcError> {
        let mut state = self.state();
        let kid = state.keys.kid(algorithm)?;
        let secret = state.keys.public(algorithm)?;
        let header = json!({"alg": "HS256", "kid": kid, "typ": "at+jwt"});
        let input = signing_input(&header, &claims.to_json());
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        let tag = aws_lc_rs::hmac::sign(&key, input.as_bytes());
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag)))
    }

    /// The id of the key for an algorithm.
    ///
    /// # Errors
    /// [`OidcError::Crypto`].
    pub fn kid(&self, algorithm: Algorithm) -> Result<String, OidcError> {
        self.state().keys.kid(algorithm)
    }

    /// The issuer's public keys as a JWK set.
    pub fn jwks(&self) -> Value {
        self.state().keys.jwks()
    }

    /// Replaces all keys: tokens minted before are no longer good.
    ///
    /// # Errors
    /// [`OidcError::Crypto`].
    pub fn rotate(&self) -> Result<(), OidcError> {
        self.state().keys = Keys::generate()?;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn signing_input(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn random<const N: usize>() -> Result<[u8; N], OidcError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| OidcError::Crypto)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_all_algorithms_have_three_parts_and_the_claims() {
        let now: Now = Arc::new(|| Timestamp(1_700_000_000));
        let issuer = DevIssuer::generate("http://127.0.0.1:1", None, now).unwrap();
        let claims = issuer.claims("me", "https://store/", "read:x");
        for algorithm in Algorithm::ALL {
            let token = issuer.mint(&claims, algorithm).unwrap();
            let parts: Vec<_> = token.split('.').collect();
            assert_eq!(parts.len(), 3);
            let body: Value =
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
            assert_eq!(body["sub"], "me");
            assert_eq!(body["exp"], 1_700_003_600);
        }
        assert!(issuer.mint_unsigned(&claims).ends_with('.'));
        let before = issuer.kid(Algorithm::Es256).unwrap();
        issuer.rotate().unwrap();
        assert_ne!(issuer.kid(Algorithm::Es256).unwrap(), before);
    }
}
