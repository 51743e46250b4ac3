// SPDX-License-Identifier: Apache-2.0

//! `GET /v1/nonce` (docs/FORMATS.md 3.6).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::problem::Answer;
use serde::Serialize;

use super::Interface;
use crate::nonce::LIFETIME_SECONDS;

/// Members in the order of their names.
#[derive(Serialize)]
struct Nonce {
    /// In seconds.
    expires_in: u64,
    /// Base64url without padding.
    nonce: String,
}

pub(super) async fn get(
    State(interface): State<Arc<Interface>>,
) -> Result<impl IntoResponse, Answer> {
    let nonce = URL_SAFE_NO_PAD.encode(interface.issuer.nonce()?);
    let answer = Nonce { expires_in: LIFETIME_SECONDS, nonce };
    Ok(([(CACHE_CONTROL, "no-store")], Json(answer)))
}
