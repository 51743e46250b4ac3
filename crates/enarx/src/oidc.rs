// SPDX-License-Identifier: Apache-2.0

//! Logging in by the OAuth 2.0 device flow (RFC 8628) at an OpenID Connect issuer.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use types::limits;
use ureq::Agent;
use ureq::http::Response;

use crate::failure::{Context as _, Failure};

/// The grant of the device flow.
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// What the token is to allow: all that a registry knows.
pub const SCOPES: &str =
    "openid profile manage:drawbridge_users manage:drawbridge_repositories manage:drawbridge_tags";
/// Longest time that a device code is waited for, in seconds.
const WAIT_SECONDS_MAX: u64 = 1_800;
/// Seconds between two questions if the issuer does not say (RFC 8628 section 3.2).
const INTERVAL_SECONDS: u64 = 5;

/// Endpoints of an issuer, as its discovery document says.
#[derive(Clone, Debug, Deserialize)]
struct Discovery {
    issuer: String,
    token_endpoint: String,
    device_authorization_endpoint: Option<String>,
}

/// What the issuer wants the user to do (RFC 8628 section 3.2).
#[derive(Clone, Deserialize)]
pub struct Device {
    device_code: String,
    /// What the user types.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// Where, with the code in it already.
    #[serde(default)]
    pub verification_uri_complete: Option<String>,
    expires_in: u64,
    #[serde(default)]
    interval: Option<u64>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("verification_uri", &self.verification_uri)
            .finish_non_exhaustive()
    }
}

/// What the issuer gave.
#[derive(Clone, Deserialize)]
pub struct Token {
    /// The bearer token.
    pub access_token: String,
    /// How long it is good, in seconds.
    #[serde(default)]
    pub expires_in: Option<u64>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("access_token", &"***")
            .field("expires_in", &self.expires_in)
            .finish()
    }
}

#[derive(Deserialize)]
struct OAuthError {
    error: String,
    #[serde(default)]
    error_description: Option<String>,
}

/// Who asks, for what.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// URL of the issuer.
    pub issuer: &'a str,
    /// Identifier of this program at the issuer.
    pub client_id: &'a str,
    /// For whom the token is to be: `https://host` of the registry.
    pub audience: &'a str,
    /// What it is to allow.
    pub scope: &'a str,
}

/// Gets a token: asks for a device code, lets `prompt` show it to the user, and waits until the user has agreed.
///
/// # Errors
/// If the issuer cannot be reached, is no OpenID issuer with a device flow, or the user does not agree in time.
pub fn device_flow(
    agent: &Agent,
    request: Request<'_>,
    mut prompt: impl FnMut(&Device),
) -> Result<Token, Failure> {
    let discovery = discover(agent, request.issuer)?;
    let endpoint = discovery.device_authorization_endpoint.as_deref().ok_or_else(|| {
        Failure::new(format!("cannot log in at {}", request.issuer))
            .why("the issuer offers no device flow")
            .next("enable the device grant for this client there")
    })?;
    check_url(request.issuer, endpoint)?;
    check_url(request.issuer, &discovery.token_endpoint)?;
    let form = [
        ("client_id", request.client_id),
        ("scope", request.scope),
        ("audience", request.audience),
    ];
    let response = post(agent, endpoint, &form)?;
    if response.status() != 200 {
        return Err(refused(request.issuer, response));
    }
    let device: Device = read(endpoint, response)?;
    prompt(&device);
    wait(agent, request, &discovery.token_endpoint, &device)
}

/// Checks that what is sent to `url` is for its owner alone: by https, or on this very machine.
fn check_url(issuer: &str, url: &str) -> Result<(), Failure> {
    let local = url.strip_prefix("http://").is_some_and(|rest| {
        let authority = rest.split('/').next().unwrap_or_default();
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
            let port = authority.strip_prefix(host);
            port.is_some_and(|port| {
                port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok())
            })
        })
    });
    if url.starts_with("https://") || local {
        return Ok(());
    }
    Err(Failure::new(format!("cannot log in at {issuer}"))
        .why(format!("{url} is not https"))
        .next("give --oidc-issuer an https URL; plain http is for issuers on this machine only"))
}

fn discover(agent: &Agent, issuer: &str) -> Result<Discovery, Failure> {
    let what = || format!("cannot log in at {issuer}");
    check_url(issuer, issuer)?;
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let response = agent.get(&url).call().context(what()).map_err(|failure| {
        failure
            .next("check --oidc-issuer (ENARX_OIDC_ISSUER), and --ca-bundle if it has a private CA")
    })?;
    if response.status() != 200 {
        return Err(Failure::new(what())
            .why(format!("{url} answered {}", response.status()))
            .next("check --oidc-issuer (ENARX_OIDC_ISSUER): wanted the URL of an OpenID Connect issuer"));
    }
    let discovery: Discovery = read(&url, response)?;
    // OpenID Connect Discovery 4.3: else one issuer could speak for another.
    if discovery.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
        return Err(Failure::new(what())
            .why(format!("it calls itself {}", discovery.issuer))
            .next(
                "give --oidc-issuer the name that it calls itself, if that is the one you trust",
            ));
    }
    Ok(discovery)
}

fn wait(
    agent: &Agent,
    request: Request<'_>,
    endpoint: &str,
    device: &Device,
) -> Result<Token, Failure> {
    let mut interval = device.interval.unwrap_or(INTERVAL_SECONDS);
    let mut left = device.expires_in.min(WAIT_SECONDS_MAX);
    let form = [
        ("grant_type", DEVICE_GRANT),
        ("device_code", &device.device_code),
        ("client_id", request.client_id),
    ];
    loop {
        let response = post(agent, endpoint, &form)?;
        if response.status() == 200 {
            let token: Token = read(endpoint, response)?;
            if token.access_token.len() > limits::TOKEN_BYTES_MAX
                || !token.access_token.bytes().all(|b| b.is_ascii_graphic())
            {
                return Err(Failure::new(format!("cannot log in at {}", request.issuer))
                    .why("the token it gave is not one"));
            }
            return Ok(token);
        }
        let status = response.status();
        let Ok(error) = read::<OAuthError>(endpoint, response) else {
            return Err(Failure::new(format!("cannot log in at {}", request.issuer))
                .why(format!("{endpoint} answered {status}")));
        };
        match error.error.as_str() {
            "authorization_pending" => {}
            "slow_down" => interval = interval.saturating_add(5),
            "access_denied" => {
                return Err(Failure::new(format!("cannot log in at {}", request.issuer))
                    .why("the request was denied there"));
            }
            "expired_token" => return Err(too_late(request.issuer)),
            _ => return Err(oauth(request.issuer, error)),
        }
        if left == 0 {
            return Err(too_late(request.issuer));
        }
        let pause = interval.clamp(1, left);
        left -= pause;
        std::thread::sleep(Duration::from_secs(pause));
    }
}

fn too_late(issuer: &str) -> Failure {
    Failure::new(format!("cannot log in at {issuer}"))
        .why("nobody agreed in time")
        .next("run the command again and open the page it shows")
}

fn refused(issuer: &str, response: Response<ureq::Body>) -> Failure {
    let status = response.status();
    match read::<OAuthError>(issuer, response) {
        Ok(error) => oauth(issuer, error),
        Err(_) => {
            Failure::new(format!("cannot log in at {issuer}")).why(format!("it answered {status}"))
        }
    }
}

fn oauth(issuer: &str, error: OAuthError) -> Failure {
    let why = error
        .error_description
        .map_or_else(|| error.error.clone(), |text| format!("{text} ({})", error.error));
    Failure::new(format!("cannot log in at {issuer}"))
        .why(why)
        .next("check --oidc-client-id (ENARX_OIDC_CLIENT_ID)")
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
    serde_json::from_slice(&bytes).context(format!("cannot understand the answer of {url}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for url in [
            "https://id.example.com",
            "http://127.0.0.1:5000",
            "http://localhost/x",
            "http://[::1]:1/a",
        ] {
            assert!(check_url("i", url).is_ok(), "{url}");
        }
        for url in [
            "http://id.example.com",
            "http://127.0.0.1.example.com",
            "http://localhost:x",
            "ftp://localhost",
            "id",
            "http://127.0.0.1@evil",
        ] {
            assert!(check_url("i", url).is_err(), "{url}");
        }
    }

    fn log_in(
        approve: Option<&str>,
        prompt: impl FnMut(&Device),
    ) -> Result<crate::tokens::TokenClaims, Failure> {
        let (issuer, _running) =
            testkit::oidc::spawn(0, approve, std::sync::Arc::new(crate::reach::now)).unwrap();
        let request = Request {
            issuer: issuer.issuer(),
            client_id: "test",
            audience: "https://store.example.com",
            scope: SCOPES,
        };
        let token = device_flow(&crate::reach::agent_with("").unwrap(), request, prompt)?;
        crate::tokens::claims(&token.access_token)
    }

    #[test]
    fn the_device_flow_ends_in_a_token() {
        let claims = log_in(Some("alice"), |device| assert!(!device.user_code.is_empty())).unwrap();
        assert_eq!(claims.sub.as_deref(), Some("alice"));
        assert_eq!(claims.scope.as_deref(), Some(SCOPES));
    }

    #[test]
    fn the_user_agrees_on_the_page() {
        let agent = crate::reach::agent_with("").unwrap();
        let approve = |device: &Device| {
            let form = [("user_code", device.user_code.as_str()), ("subject", "bob")];
            assert_eq!(agent.post(&device.verification_uri).send_form(form).unwrap().status(), 200);
        };
        assert_eq!(log_in(None, approve).unwrap().sub.as_deref(), Some("bob"));
    }

    #[test]
    fn an_issuer_that_calls_itself_otherwise_is_refused() {
        let (issuer, _running) =
            testkit::oidc::spawn(0, None, std::sync::Arc::new(crate::reach::now)).unwrap();
        let other = issuer.issuer().replace("127.0.0.1", "localhost");
        let request = Request { issuer: &other, client_id: "test", audience: "a", scope: SCOPES };
        let failure =
            device_flow(&crate::reach::agent_with("").unwrap(), request, |_| {}).unwrap_err();
        assert!(failure.why.unwrap().contains(issuer.issuer()));
    }
}
