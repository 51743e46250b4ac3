// SPDX-License-Identifier: Apache-2.0

//! Renewing a token (RFC 6749 section 6), and giving it back (RFC 7009).

use ureq::Agent;

use super::{OAuthError, Provider, Request, Token, cannot, post, read};
use crate::failure::Failure;

/// Why a token was not renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The issuer takes the refresh token no more: log in again.
    Ended(String),
    /// It did not work this time.
    Now(Failure),
}

/// Gets a new token by a refresh token. The answer may have a new refresh token, which then takes the old one's place.
///
/// # Errors
/// See [`Refusal`].
pub fn refresh(
    agent: &Agent,
    provider: &Provider,
    request: Request<'_>,
    refresh_token: &str,
) -> Result<Token, Refusal> {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token),
        ("client_id", request.client_id),
        ("resource", request.audience),
    ];
    let endpoint = provider.token_endpoint();
    let response = post(agent, endpoint, &form).map_err(Refusal::Now)?;
    let status = response.status().as_u16();
    if status == 200 {
        return Token::read(provider, response).map_err(Refusal::Now);
    }
    let error = read::<OAuthError>(endpoint, response).ok();
    match error {
        // This alone says that it is about the token (RFC 6749 section 5.2).
        Some(error) if status < 500 && error.error == "invalid_grant" => {
            Err(Refusal::Ended(error.text()))
        }
        error => {
            let why = error.map_or_else(|| format!("it answered {status}"), |e| e.text());
            Err(Refusal::Now(cannot(provider.issuer()).why(why)))
        }
    }
}

/// Gives a refresh token back, and with it all that it got; whether the issuer takes it.
///
/// # Errors
/// If the issuer does not confirm it.
pub fn revoke(
    agent: &Agent,
    provider: &Provider,
    client_id: &str,
    refresh_token: &str,
) -> Result<bool, Failure> {
    let Some(endpoint) = provider.revocation() else {
        return Ok(false);
    };
    let form =
        [("token", refresh_token), ("token_type_hint", "refresh_token"), ("client_id", client_id)];
    let response = post(agent, endpoint, &form)?;
    match response.status().as_u16() {
        200 => Ok(true),
        status => {
            Err(Failure::new("the token was not revoked")
                .why(format!("{endpoint} answered {status}")))
        }
    }
}
