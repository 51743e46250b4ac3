// SPDX-License-Identifier: Apache-2.0

//! The authorization code flow (OpenID Connect Core 3.1) with PKCE (RFC 7636), by a browser on this machine (RFC 8252).
//!
//! What comes back by the browser may be anybody's. `state` ties it to this login, `iss` (RFC 9207) to this issuer, the
//! verifier of PKCE makes the code worthless for others and others' codes worthless here, and `nonce` ties the ID token to it.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use types::limits;
use types::time::Timestamp;
use ureq::Agent;

use super::loopback::Loopback;
use super::{
    OAuthError, Provider, Request, Token, cannot, denied, oauth, post, refused, too_late,
    unguessable,
};
use crate::failure::Failure;

/// How far the issuer's clock may be from ours, in seconds.
const SKEW_SECONDS: u64 = 300;

/// Gets a token: opens a port, has `open` send the user's browser to the issuer, and waits until it comes back from there.
///
/// # Errors
/// If the issuer has no such flow, the user does not agree within `longest`, or what comes back is not for this login.
pub fn code_flow(
    agent: &Agent,
    provider: &Provider,
    request: Request<'_>,
    longest: Duration,
    now: &dyn Fn() -> Timestamp,
    open: impl FnOnce(&str),
) -> Result<Token, Failure> {
    let issuer = provider.issuer();
    let endpoint = provider.authorization().ok_or_else(|| {
        cannot(issuer)
            .why("the issuer offers no authorization code flow with PKCE (S256)")
            .next("log in with --device")
    })?;
    let (state, nonce, verifier) = (unguessable()?, unguessable()?, unguessable()?);
    let door = Loopback::open()?;
    let redirect = door.url();
    open(&page(endpoint, provider, request, &redirect, (&state, &nonce, &verifier)));
    let query = door.wait(longest)?.ok_or_else(|| too_late(issuer))?;
    let code = judge(provider, &query, &state)?;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", &redirect),
        ("client_id", request.client_id),
        ("code_verifier", &verifier),
        ("resource", request.audience),
    ];
    let response = post(agent, provider.token_endpoint(), &form)?;
    if response.status() != 200 {
        return Err(refused(issuer, response));
    }
    let token = Token::read(provider, response)?;
    check_id_token(provider, &token, request.client_id, &nonce, now())?;
    Ok(token)
}

/// Where the browser is sent.
fn page(
    endpoint: &str,
    provider: &Provider,
    request: Request<'_>,
    redirect: &str,
    (state, nonce, verifier): (&str, &str, &str),
) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", request.client_id)
        .append_pair("redirect_uri", redirect)
        .append_pair("scope", &request.scopes(provider))
        .append_pair("state", state)
        .append_pair("nonce", nonce)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256")
        .append_pair("audience", request.audience)
        .append_pair("resource", request.audience);
    if provider.refreshes() {
        // Without asking the user, nobody gets a refresh token (OpenID Connect Core section 11).
        query.append_pair("prompt", "consent");
    }
    let joint = if endpoint.contains('?') { '&' } else { '?' };
    format!("{endpoint}{joint}{}", query.finish())
}

/// The code in what the browser brought.
fn judge(provider: &Provider, query: &str, state: &str) -> Result<String, Failure> {
    let issuer = provider.issuer();
    let foreign = |why: &str| {
        cannot(issuer)
            .why(format!("what the browser came back with is not the answer to this login: {why}"))
            .next("run the command again, and follow no other link meanwhile")
    };
    let (mut code, mut error, mut text, mut given, mut iss) = (None, None, None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let place = match name.as_ref() {
            "code" => &mut code,
            "error" => &mut error,
            "error_description" => &mut text,
            "state" => &mut given,
            "iss" => &mut iss,
            _ => continue,
        };
        if place.replace(value.into_owned()).is_some() {
            return Err(foreign("it says something twice"));
        }
    }
    let given = given.ok_or_else(|| foreign("it has no state"))?;
    if verify_slices_are_equal(given.as_bytes(), state.as_bytes()).is_err() {
        return Err(foreign("its state is another"));
    }
    match iss {
        Some(iss) if iss != issuer => return Err(foreign("it is of another issuer")),
        None if provider.names_itself() => return Err(foreign("it does not say of which issuer")),
        _ => {}
    }
    match (error, code) {
        (Some(error), None) if error == "access_denied" => Err(denied(issuer)),
        (Some(error), None) => Err(oauth(issuer, &OAuthError { error, error_description: text })),
        (None, Some(code)) if sound(&code) => Ok(code),
        _ => Err(foreign("it has no code")),
    }
}

fn sound(code: &str) -> bool {
    (1..=limits::OIDC_URL_BYTES_MAX).contains(&code.len())
        && code.bytes().all(|b| b.is_ascii_graphic())
}

/// What an ID token says.
#[derive(Deserialize)]
struct Identity {
    iss: String,
    aud: Audience,
    exp: u64,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Checks that the ID token is the answer to this login (OpenID Connect Core 3.1.3.7). Its signature is not looked at: it came
/// from the issuer itself, whose name TLS proved (there, 6).
fn check_id_token(
    provider: &Provider,
    token: &Token,
    client_id: &str,
    nonce: &str,
    now: Timestamp,
) -> Result<(), Failure> {
    let wrong = |why: &str| {
        cannot(provider.issuer())
            .why(format!("the ID token that it gave is not for this login: {why}"))
            .next("run the command again; if this stays, tell who runs the issuer")
    };
    let text = token.id_token.as_ref().ok_or_else(|| wrong("there is none"))?;
    let payload = text.split('.').nth(1).unwrap_or_default();
    let identity: Identity = URL_SAFE_NO_PAD
        .decode(payload)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| wrong("it cannot be read"))?;
    if identity.iss != provider.issuer() {
        return Err(wrong("it is of another issuer"));
    }
    let (for_us, alone) = match &identity.aud {
        Audience::One(one) => (one == client_id, true),
        Audience::Many(many) => (many.iter().any(|one| one == client_id), many.len() == 1),
    };
    let azp = identity.azp.as_deref();
    if !for_us || azp.map_or(!alone, |azp| azp != client_id) {
        return Err(wrong("it is for another program"));
    }
    if identity.exp.saturating_add(SKEW_SECONDS) <= now.0 {
        return Err(wrong("it has ended; is the clock of this machine right?"));
    }
    match identity.nonce {
        Some(given) if verify_slices_are_equal(given.as_bytes(), nonce.as_bytes()).is_ok() => {
            Ok(())
        }
        Some(_) => Err(wrong("its nonce is another")),
        None => Err(wrong("it has no nonce")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://id.example.com";

    fn provider(more: &[(&str, Value)]) -> Provider {
        let mut document = json!({
            "issuer": ISSUER,
            "token_endpoint": "https://id.example.com/token",
            "authorization_endpoint": "https://id.example.com/auth?tenant=1",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
        });
        for (name, value) in more {
            document[*name] = value.clone();
        }
        Provider::of(document).unwrap()
    }

    #[test]
    fn the_browser_is_sent_with_all_that_ties_the_answer() {
        let request = Request { client_id: "a b", audience: "https://s", scope: "openid x" };
        let provider = provider(&[("scopes_supported", json!(["offline_access"]))]);
        // RFC 7636 appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let url = page(
            provider.authorization().unwrap(),
            &provider,
            request,
            "http://127.0.0.1:1/callback",
            ("s", "n", verifier),
        );
        assert_eq!(
            url,
            "https://id.example.com/auth?tenant=1&response_type=code&client_id=a+b\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcallback&scope=openid+x+offline_access&state=s&nonce=n\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256\
             &audience=https%3A%2F%2Fs&resource=https%3A%2F%2Fs&prompt=consent"
        );
        assert!(!url.contains(verifier));
    }

    #[test]
    fn only_the_answer_to_this_login_has_a_code() {
        let silent = provider(&[]);
        let naming = provider(&[("authorization_response_iss_parameter_supported", json!(true))]);
        let iss = "iss=https%3A%2F%2Fid.example.com";
        for (provider, query) in [
            (&silent, "code=c%2F1&state=s".to_owned()),
            (&silent, format!("state=s&code=c%2F1&session_state=x&{iss}")),
            (&naming, format!("code=c%2F1&state=s&{iss}")),
        ] {
            assert_eq!(judge(provider, &query, "s").unwrap(), "c/1");
        }
        let long = format!("code={}&state=s", "x".repeat(limits::OIDC_URL_BYTES_MAX + 1));
        for (provider, query, why) in [
            (&silent, "code=c", "no state"),
            (&silent, "", "no state"),
            (&silent, "code=c&state=t", "another"),
            (&silent, "code=c&state=", "another"),
            (&silent, "code=c&state=ss", "another"),
            (&silent, "code=c&state=s&state=s", "twice"),
            (&silent, "code=c&code=d&state=s", "twice"),
            (&silent, "code=c&state=s&iss=https%3A%2F%2Fevil", "another issuer"),
            (&silent, "code=c&state=s&iss=https%3A%2F%2Fid.example.com%2F", "another issuer"),
            (&naming, "code=c&state=s", "of which issuer"),
            (&silent, "state=s", "no code"),
            (&silent, "code=&state=s", "no code"),
            (&silent, "code=a%0Ab&state=s", "no code"),
            (&silent, &long, "no code"),
            (&silent, "code=c&error=x&state=s", "no code"),
            (&silent, "error=access_denied&state=s", "denied there"),
            (&silent, "error=access_denied", "no state"),
            (&silent, "error=access_denied&state=t", "another"),
            (&naming, "error=access_denied&state=s&iss=https%3A%2F%2Fevil", "another issuer"),
            (
                &silent,
                "error=invalid_scope&error_description=no%1B%5B2J&state=s",
                "no [2J (invalid_scope)",
            ),
        ] {
            let failure = judge(provider, query, "s").unwrap_err();
            assert!(failure.why.as_ref().unwrap().contains(why), "{query}: {failure}");
        }
    }

    #[test]
    fn the_id_token_is_of_this_login() {
        let provider = provider(&[]);
        let now = Timestamp(1_700_000_000);
        let good = json!({"iss": ISSUER, "aud": "me", "exp": now.0, "nonce": "n"});
        let check = |claims: &Value| {
            let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
            let token = json!({"access_token": "a", "token_type": "Bearer", "id_token": format!("e30.{payload}.x")});
            let token = serde_json::from_value(token).unwrap();
            check_id_token(&provider, &token, "me", "n", now)
        };
        assert!(check(&good).is_ok());
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            claims
        };
        assert!(check(&with("aud", json!(["me"]))).is_ok());
        let mut several = with("aud", json!(["me", "other"]));
        several["azp"] = json!("me");
        assert!(check(&several).is_ok());
        for (claims, why) in [
            (with("nonce", json!("m")), "nonce is another"),
            (with("nonce", json!("")), "nonce is another"),
            (with("nonce", Value::Null), "no nonce"),
            (with("iss", json!("https://evil.example.com")), "another issuer"),
            (with("aud", json!("other")), "another program"),
            (with("aud", json!([])), "another program"),
            (with("aud", json!(["me", "other"])), "another program"),
            (with("azp", json!("other")), "another program"),
            (with("exp", json!(now.0 - SKEW_SECONDS)), "has ended"),
            (with("exp", json!("soon")), "cannot be read"),
            (json!([]), "cannot be read"),
        ] {
            let failure = check(&claims).unwrap_err();
            assert!(failure.why.as_ref().unwrap().contains(why), "{claims}: {failure}");
        }
        let bare: Token =
            serde_json::from_value(json!({"access_token": "a", "token_type": "bearer"})).unwrap();
        let failure = check_id_token(&provider, &bare, "me", "n", now).unwrap_err();
        assert!(failure.why.unwrap().contains("there is none"));
    }
}
