// SPDX-License-Identifier: Apache-2.0

//! `POST /v1/appraise` (docs/FORMATS.md 3.12).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use chassis::problem::Answer;
use evidence::{Check, Refusal, cmw};
use types::problem::Problem;

use super::{Interface, bounded};
use crate::audit::Caller;
use crate::issuer::refused;

/// A signed attestation result (RFC 9782).
const EAT_JWT: &str = "application/eat+jwt; eat_profile=\"tag:ietf.org,2026:rats/ear#04\"";

pub(super) async fn post(
    State(interface): State<Arc<Interface>>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<impl IntoResponse, Answer> {
    bounded(&body)?;
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let evidence = match cmw::decode_body(media_type, &body) {
        Some(Ok(evidence)) => evidence,
        Some(Err(error)) => {
            return Err(refused(&Refusal::new(Check::EvidenceMalformed, error.to_string())).into());
        }
        None => {
            let problem =
                Problem::new(415, "Unsupported Media Type", "this is no type of evidence")
                    .check("http.content-type")
                    .hint(format!(
                        "send {}, {}, or evidence alone (docs/FORMATS.md 3.7)",
                        cmw::CBOR,
                        cmw::JSON
                    ));
            return Err(problem.into());
        }
    };
    let issuer = interface.issuer.clone();
    let jwt = interface.gate.run(move || issuer.appraise(&evidence, &caller)).await??;
    Ok(([(CONTENT_TYPE, EAT_JWT), (CACHE_CONTROL, "no-store")], jwt))
}
