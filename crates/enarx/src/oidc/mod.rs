// SPDX-License-Identifier: Apache-2.0

//! Logging in at an OpenID Connect issuer, without a secret of this program's own (RFC 8252): by a browser on this machine (the
//! authorization code flow with PKCE, RFC 7636), or by one on another (the device flow, RFC 8628); renewing what was got, and
//! giving it back (RFC 7009).

mod browser;
mod device;
mod loopback;
mod provider;
mod session;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use types::limits;
use ureq::Agent;
use ureq::http::Response;

use crate::failure::{Context as _, Failure};

pub use browser::code_flow;
pub use device::{Device, device_flow};
pub use provider::Provider;
pub use session::{Refusal, refresh, revoke};

/// What the token is to allow: all that a registry knows.
pub const SCOPES: &str =
    "openid profile manage:drawbridge_users manage:drawbridge_repositories manage:drawbridge_tags";
/// What else is asked for where the issuer gives refresh tokens for it (OpenID Connect Core section 11).
const OFFLINE: &str = "offline_access";

/// Who asks, for what.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Identifier of this program at the issuer.
    pub client_id: &'a str,
    /// For whom the token is to be: `https://host/` of the registry. Sent as `resource` (RFC 8707), and as `audience`, which is
    /// what issuers took before.
    pub audience: &'a str,
    /// What it is to allow.
    pub scope: &'a str,
}

impl Request<'_> {
    /// The scopes to ask this issuer for.
    fn scopes(&self, provider: &Provider) -> String {
        let offline = if provider.refreshes() { format!(" {OFFLINE}") } else { String::new() };
        format!("{}{offline}", self.scope)
    }
}

/// What the issuer gave.
#[derive(Clone, Deserialize)]
pub struct Token {
    /// The bearer token.
    pub access_token: String,
    token_type: String,
    /// How long it is good, in seconds.
    #[serde(default)]
    pub expires_in: Option<u64>,
    /// What gets the next one.
    #[serde(default)]
    pub refresh_token: Option<String>,
    #[serde(default)]
    id_token: Option<String>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("access_token", &"***")
            .field("expires_in", &self.expires_in)
            .field("refreshes", &self.refresh_token.is_some())
            .finish_non_exhaustive()
    }
}

impl Token {
    /// Takes the answer of a token endpoint.
    fn read(provider: &Provider, response: Response<ureq::Body>) -> Result<Self, Failure> {
        let token: Self = read(provider.token_endpoint(), response)?;
        let sound = |text: &String| {
            (1..=limits::TOKEN_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_graphic())
        };
        let rest = [&token.refresh_token, &token.id_token];
        if !sound(&token.access_token) || !rest.into_iter().flatten().all(sound) {
            return Err(cannot(provider.issuer()).why("the token it gave is not one"));
        }
        if !token.token_type.eq_ignore_ascii_case("bearer") {
            return Err(cannot(provider.issuer())
                .why("the token it gave is no bearer token")
                .next("have it give this program bearer tokens: registries take no others"));
        }
        Ok(token)
    }
}

/// An issuer's no (RFC 6749 section 5.2).
#[derive(Deserialize)]
struct OAuthError {
    error: String,
    #[serde(default)]
    error_description: Option<String>,
}

impl OAuthError {
    /// What it says, fit for a terminal.
    fn text(&self) -> String {
        let error = plain(&self.error);
        self.error_description
            .as_ref()
            .map_or_else(|| error.clone(), |text| format!("{} ({error})", plain(text)))
    }
}

fn cannot(issuer: &str) -> Failure {
    Failure::new(format!("cannot log in at {issuer}"))
}

fn denied(issuer: &str) -> Failure {
    cannot(issuer).why("the request was denied there")
}

fn too_late(issuer: &str) -> Failure {
    cannot(issuer)
        .why("nobody agreed in time")
        .next("run the command again and open the page it shows")
}

fn oauth(issuer: &str, error: &OAuthError) -> Failure {
    cannot(issuer).why(error.text()).next("check --oidc-client-id (ENARX_OIDC_CLIENT_ID)")
}

/// A text of somebody else's: short, and nothing in it that moves a terminal's cursor.
fn plain(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(limits::OIDC_TEXT_CHARS_MAX).map(clean).collect()
}

/// What a no of the issuer's means, if it is one.
fn refused(issuer: &str, response: Response<ureq::Body>) -> Failure {
    let status = response.status();
    match read::<OAuthError>(issuer, response) {
        Ok(error) => oauth(issuer, &error),
        Err(_) => cannot(issuer).why(format!("it answered {status}")),
    }
}

/// 256 bits that nobody can guess, in base64url.
fn unguessable() -> Result<String, Failure> {
    use base64::Engine as _;
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).context("the system gives no randomness")?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

fn post(agent: &Agent, url: &str, form: &[(&str, &str)]) -> Result<Response<ureq::Body>, Failure> {
    agent.post(url).send_form(form.iter().copied()).context(format!("cannot reach {url}"))
}

fn read<T: DeserializeOwned>(url: &str, response: Response<ureq::Body>) -> Result<T, Failure> {
    let limit = u64::try_from(limits::JSON_BYTES_MAX).unwrap_or(u64::MAX);
    let bytes = response
        .into_body()
        .with_config()
        .limit(limit)
        .read_to_vec()
        .context(format!("cannot read the answer of {url}"))?;
    // What is wrong with it is not said in its own words: it may have secrets.
    serde_json::from_slice(&bytes).map_err(|_| {
        Failure::new(format!("cannot understand the answer of {url}"))
            .why("it is not the JSON that it should be")
    })
}
