// SPDX-License-Identifier: Apache-2.0

//! The issuer's endpoints.

use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Algorithm, DEVICE_SECONDS, DEVICES_MAX, DevIssuer, Device, OidcError, TOKEN_SECONDS};
use super::{page, random};

/// The one grant that there is (RFC 8628 section 3.4).
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Letters of user codes: no vowels, so no words (RFC 8628 section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How often a device asks, in seconds.
const INTERVAL_SECONDS: u64 = 1;
/// Longest body, in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024;

pub(crate) fn router(issuer: DevIssuer) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/jwks", get(jwks))
        .route("/device/code", post(device_code))
        .route("/device", get(show).post(approve))
        .route("/token", post(token))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(issuer)
}

async fn discovery(State(issuer): State<DevIssuer>) -> Json<Value> {
    let url = issuer.issuer();
    let algorithms: Vec<_> = Algorithm::ALL.iter().map(|a| a.name()).collect();
    Json(json!({
        "issuer": url,
        "jwks_uri": format!("{url}/jwks"),
        "device_authorization_endpoint": format!("{url}/device/code"),
        "token_endpoint": format!("{url}/token"),
        "grant_types_supported": [DEVICE_GRANT],
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
        "token_endpoint_auth_methods_supported": ["none"],
        "service_documentation": "development issuer, not for production",
    }))
}

async fn jwks(State(issuer): State<DevIssuer>) -> Json<Value> {
    Json(issuer.jwks())
}

#[derive(Deserialize)]
struct DeviceRequest {
    #[serde(default)]
    scope: String,
    #[serde(default)]
    audience: String,
}

async fn device_code(
    State(issuer): State<DevIssuer>,
    Form(request): Form<DeviceRequest>,
) -> Response {
    match start(&issuer, request) {
        Ok(answer) => Json(answer).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn start(issuer: &DevIssuer, request: DeviceRequest) -> Result<Value, OidcError> {
    let device_code = URL_SAFE_NO_PAD.encode(random::<32>()?);
    let letters = random::<8>()?.map(|b| char::from(LETTERS[usize::from(b) % LETTERS.len()]));
    let (left, right) = letters.split_at(4);
    let user_code: String = left.iter().chain(&['-']).chain(right).collect();
    let now = (issuer.inner.now)();
    let device = Device {
        user_code: user_code.clone(),
        scope: request.scope,
        audience: request.audience,
        expires_at: now.plus(DEVICE_SECONDS),
        subject: issuer.inner.auto_approve.clone(),
    };
    let mut state = issuer.state();
    if state.devices.len() >= DEVICES_MAX {
        let oldest = state.devices.iter().min_by_key(|(_, d)| d.expires_at).map(|(c, _)| c.clone());
        if let Some(code) = oldest {
            state.devices.remove(&code);
        }
    }
    state.devices.insert(device_code.clone(), device);
    let url = format!("{}/device", issuer.issuer());
    Ok(json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": url,
        "verification_uri_complete": format!("{url}?user_code={user_code}"),
        "expires_in": DEVICE_SECONDS,
        "interval": INTERVAL_SECONDS,
    }))
}

#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    user_code: String,
}

async fn show(Query(query): Query<Shown>) -> Html<String> {
    let plain = |c: char| c.is_ascii_alphabetic() || c == '-';
    Html(page::ask(&query.user_code.chars().filter(|c| plain(*c)).take(16).collect::<String>()))
}

#[derive(Deserialize)]
struct Approval {
    user_code: String,
    subject: String,
}

async fn approve(
    State(issuer): State<DevIssuer>,
    Form(approval): Form<Approval>,
) -> (StatusCode, Html<String>) {
    let code = approval.user_code.trim().to_ascii_uppercase();
    let subject = approval.subject.trim();
    let now = (issuer.inner.now)();
    let mut state = issuer.state();
    let device = state
        .devices
        .values_mut()
        .find(|d| d.user_code == code && d.expires_at > now && d.subject.is_none());
    match device {
        Some(device) if !subject.is_empty() => {
            device.subject = Some(subject.to_owned());
            (StatusCode::OK, Html(page::told("Approved. You can go back to your terminal.")))
        }
        _ => (
            StatusCode::BAD_REQUEST,
            Html(page::told("There is no such code waiting. Ask for a new one.")),
        ),
    }
}

#[derive(Deserialize)]
struct TokenRequest {
    grant_type: String,
    #[serde(default)]
    device_code: String,
}

async fn token(State(issuer): State<DevIssuer>, Form(request): Form<TokenRequest>) -> Response {
    let no =
        |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    if request.grant_type != DEVICE_GRANT {
        return no("unsupported_grant_type");
    }
    let now = (issuer.inner.now)();
    let taken = {
        let mut state = issuer.state();
        match state.devices.get(&request.device_code) {
            None => return no("invalid_grant"),
            Some(device) if device.expires_at <= now => return no("expired_token"),
            Some(Device { subject: None, .. }) => return no("authorization_pending"),
            Some(_) => state.devices.remove(&request.device_code),
        }
    };
    let Some(Device { scope, audience, subject: Some(subject), .. }) = taken else {
        return no("invalid_grant");
    };
    let claims = issuer.claims(&subject, &audience, &scope);
    match issuer.mint(&claims, Algorithm::Es256) {
        Ok(access_token) => Json(json!({
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
            "scope": scope,
        }))
        .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
