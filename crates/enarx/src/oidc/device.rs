// SPDX-License-Identifier: Apache-2.0

//! The device flow (RFC 8628): the user agrees in a browser wherever there is one, and types a code there.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use types::limits;
use ureq::Agent;

use super::provider::check_url;
use super::{
    OAuthError, Provider, Request, Token, cannot, denied, oauth, post, read, refused, too_late,
};
use crate::failure::Failure;

/// The grant of the device flow.
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Seconds between two questions if the issuer does not say (RFC 8628 section 3.2).
const INTERVAL_SECONDS: u64 = 5;
/// Longest code that somebody would type.
const USER_CODE_BYTES_MAX: usize = 64;

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

impl Device {
    /// Checks that it can be shown: no code that moves a terminal's cursor, no page of another kind.
    fn check(&self, issuer: &str) -> Result<(), Failure> {
        check_url(issuer, &self.verification_uri)?;
        if let Some(url) = &self.verification_uri_complete {
            check_url(issuer, url)?;
        }
        let sound = |text: &str, max| {
            (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        let spoken = self.user_code.replace(' ', "-");
        if sound(&spoken, USER_CODE_BYTES_MAX) && sound(&self.device_code, limits::TOKEN_BYTES_MAX)
        {
            return Ok(());
        }
        Err(cannot(issuer).why("the code it gave is not one"))
    }
}

/// Gets a token: asks for a device code, lets `prompt` show it to the user, and waits until the user has agreed.
///
/// # Errors
/// If the issuer cannot be reached, has no device flow, or the user does not agree in time.
pub fn device_flow(
    agent: &Agent,
    provider: &Provider,
    request: Request<'_>,
    mut prompt: impl FnMut(&Device),
) -> Result<Token, Failure> {
    let issuer = provider.issuer();
    let endpoint = provider.device().ok_or_else(|| {
        cannot(issuer)
            .why("the issuer offers no device flow")
            .next("enable the device grant for this client there, or log in with --browser")
    })?;
    let scopes = request.scopes(provider);
    let form = [
        ("client_id", request.client_id),
        ("scope", &scopes),
        ("audience", request.audience),
        ("resource", request.audience),
    ];
    let response = post(agent, endpoint, &form)?;
    if response.status() != 200 {
        return Err(refused(issuer, response));
    }
    let device: Device = read(endpoint, response)?;
    device.check(issuer)?;
    prompt(&device);
    wait(agent, provider, request, &device)
}

fn wait(
    agent: &Agent,
    provider: &Provider,
    request: Request<'_>,
    device: &Device,
) -> Result<Token, Failure> {
    let (issuer, endpoint) = (provider.issuer(), provider.token_endpoint());
    let mut interval = device.interval.unwrap_or(INTERVAL_SECONDS);
    let mut left = device.expires_in.min(limits::LOGIN_SECONDS_MAX);
    let form = [
        ("grant_type", DEVICE_GRANT),
        ("device_code", &device.device_code),
        ("client_id", request.client_id),
        ("resource", request.audience),
    ];
    loop {
        let response = post(agent, endpoint, &form)?;
        if response.status() == 200 {
            return Token::read(provider, response);
        }
        let status = response.status();
        let Ok(error) = read::<OAuthError>(endpoint, response) else {
            return Err(cannot(issuer).why(format!("{endpoint} answered {status}")));
        };
        match error.error.as_str() {
            "authorization_pending" => {}
            "slow_down" => interval = interval.saturating_add(5),
            "access_denied" => return Err(denied(issuer)),
            "expired_token" => return Err(too_late(issuer)),
            _ => return Err(oauth(issuer, &error)),
        }
        if left == 0 {
            return Err(too_late(issuer));
        }
        let pause = interval.clamp(1, left);
        left -= pause;
        std::thread::sleep(Duration::from_secs(pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::SCOPES;

    fn log_in(
        approve: Option<&str>,
        prompt: impl FnMut(&Device),
    ) -> Result<crate::tokens::TokenClaims, Failure> {
        let (issuer, _running) =
            testkit::oidc::spawn(0, approve, std::sync::Arc::new(crate::reach::now)).unwrap();
        let request =
            Request { client_id: "test", audience: "https://store.example.com", scope: SCOPES };
        let agent = crate::reach::agent_with("").unwrap();
        let provider = Provider::discover(&agent, issuer.issuer()).unwrap();
        let token = device_flow(&agent, &provider, request, prompt)?;
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
        let agent = crate::reach::agent_with("").unwrap();
        let failure = Provider::discover(&agent, &other).unwrap_err();
        assert!(failure.why.unwrap().contains(issuer.issuer()));
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        let good = Device {
            device_code: "d".into(),
            user_code: "AB CD".into(),
            verification_uri: "https://i/x".into(),
            verification_uri_complete: None,
            expires_in: 1,
            interval: None,
        };
        assert!(good.check("https://i").is_ok());
        for bad in [
            Device { user_code: "\u{1b}[2J".into(), ..good.clone() },
            Device { user_code: "x".repeat(65), ..good.clone() },
            Device { user_code: String::new(), ..good.clone() },
            Device { verification_uri: "javascript:x".into(), ..good.clone() },
            Device { verification_uri: "http://i/x".into(), ..good.clone() },
            Device { verification_uri_complete: Some("file:///x".into()), ..good.clone() },
        ] {
            assert!(bad.check("https://i").is_err());
        }
    }
}
