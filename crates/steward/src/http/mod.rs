// SPDX-License-Identifier: Apache-2.0

//! The interface of Steward.
//!
//! | request | answer |
//! |---|---|
//! | `POST /`, `application/pkcs10`: one request, DER | PkiPath, DER: issuer's chain, then the certificate |
//! | `POST /`, `application/vnd.steward.pkcs10-bundle.v1`: SEQUENCE OF requests, DER | `SEQUENCE { chain, issued }`, DER; all or none |
//! | `GET /` | nothing, 200: it is alive |
//! | `GET /ca/<key id>.cer`, `.crl` | certificate and revocation list of an issuer, DER (RFC 5280 4.2.2.1, 4.2.1.13) |
//! | `POST /v1/appraise`: evidence, bare or in a CMW | the attestation result as a signed JWT; no certificate |
//! | `GET /v1/nonce` | `{"expires_in":300,"nonce":"<base64url>"}`: what makes the next evidence fresh |
//! | `GET /ca.pem` | the CA's chain, the issuer first |
//! | `/.well-known/est/…`: `cacerts`, `csrattrs`, `simpleenroll`, `simplereenroll` | RFC 7030 |
//! | gRPC: `GetSignedCertificate`, `GetRootCertificate` of `proto/proxy_attestation.proto` | PEM both ways |
//! | `GET /policy/<64 hex>` | the policy with this digest |
//!
//! Errors are problem documents (RFC 9457) with the name of the failed check and a way out.

mod appraise;
mod est;
mod grpc;
mod nonce;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chassis::problem::Answer;
use chassis::{Gate, PeerAddr, RequestId};
use der::{Decode as _, Reader as _, SliceReader};
use types::digest::Sha256;
use types::limits;
use types::problem::Problem;

use crate::audit::Caller;
use crate::issuer::{self, Issuer, Refused, Unrecorded};

/// One certification request (RFC 5967).
pub const PKCS10: &str = "application/pkcs10";
/// Many certification requests.
pub const PKCS10_BUNDLE: &str = "application/vnd.steward.pkcs10-bundle.v1";
/// A chain of certificates, DER (RFC 6066).
pub const PKI_PATH: &str = "application/pkix-pkipath";

struct Interface {
    issuer: Arc<Issuer>,
    /// Signatures take a processor for their whole time: no more at once than there are.
    gate: Gate,
}

/// The routes of a Steward.
pub fn router(issuer: Arc<Issuer>, gate: Gate) -> Router {
    let interface = Arc::new(Interface { issuer, gate });
    Router::new()
        .route("/", get(alive).post(issue))
        .route("/v1/nonce", get(nonce::get))
        .route("/ca.pem", get(ca))
        .route("/ca/{file}", get(published))
        .route("/policy/{digest}", get(policy))
        .route("/v1/appraise", post(appraise::post))
        .merge(est::routes())
        .merge(grpc::routes())
        .with_state(interface)
}

async fn alive() {}

async fn ca(State(interface): State<Arc<Interface>>) -> Result<Response, Answer> {
    let pem = interface
        .issuer
        .authority()
        .chain_pem()
        .map_err(|error| Problem::new(500, "Internal Server Error", error.to_string()))?;
    Ok(([(CONTENT_TYPE, "application/pem-certificate-chain")], pem).into_response())
}

async fn published(
    State(interface): State<Arc<Interface>>,
    Path(name): Path<String>,
) -> Result<Response, Answer> {
    match interface.issuer.published().file(&name) {
        Some((media_type, der)) => Ok(([(CONTENT_TYPE, media_type)], der).into_response()),
        None => {
            let detail = "no issuer that is known here publishes this";
            let hint = "take the address from a certificate of this Steward";
            Err(Problem::new(404, "Not Found", detail).check("steward.ca").hint(hint).into())
        }
    }
}

async fn policy(
    State(interface): State<Arc<Interface>>,
    Path(digest): Path<String>,
) -> Result<Response, Answer> {
    let known = format!("sha256:{digest}")
        .parse::<Sha256>()
        .ok()
        .and_then(|digest| interface.issuer.policies().by_digest(&digest));
    match known {
        Some(loaded) => {
            Ok(([(CONTENT_TYPE, "application/toml")], loaded.bytes.clone()).into_response())
        }
        None => Err(Problem::new(
            404,
            "Not Found",
            "no policy with this digest is or was in force here",
        )
        .check("steward.policy")
        .hint("take the digest from a certificate of this Steward")
        .into()),
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self {
            address: parts.extensions.get::<PeerAddr>().map(|peer| peer.0),
            request_id: parts.extensions.get::<RequestId>().map(ToString::to_string),
        })
    }
}

/// What a body is said to be.
enum Kind {
    One,
    Bundle,
}

fn kind(headers: &HeaderMap) -> Result<Kind, Refused> {
    let hint = format!("send {PKCS10}, or {PKCS10_BUNDLE} for many requests");
    let Some(value) = headers.get(CONTENT_TYPE) else {
        let problem = Problem::new(400, "Bad Request", "the content type is missing");
        return Err(Box::new(problem.check("http.content-type").hint(hint)));
    };
    // Parameters, of which neither type has any, do not matter.
    let text = value.to_str().unwrap_or_default();
    match text.split(';').next().unwrap_or_default().trim() {
        PKCS10 => Ok(Kind::One),
        PKCS10_BUNDLE => Ok(Kind::Bundle),
        _ => {
            let problem =
                Problem::new(415, "Unsupported Media Type", "this content type is not taken");
            Err(Box::new(problem.check("http.content-type").hint(hint)))
        }
    }
}

async fn issue(
    State(interface): State<Arc<Interface>>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Answer> {
    let kind = kind(&headers)?;
    let issuer = interface.issuer.clone();
    let bundle = matches!(kind, Kind::Bundle);
    let work = move || match kind {
        Kind::One => one(&issuer, &caller, &body),
        Kind::Bundle => many(&issuer, &caller, &body),
    };
    let made = interface.gate.run(work).await??;
    // The disk needs no processor, and takes many certificates at once.
    let issued = made.recorded().await?;
    let (media_type, der) = match issued.as_slice() {
        [issued] if !bundle => (PKI_PATH, issued.pki_path()?),
        many => ("application/octet-stream", issuer::bundle(many)?),
    };
    Ok(([(CONTENT_TYPE, media_type)], der).into_response())
}

fn one(issuer: &Issuer, caller: &Caller, body: &[u8]) -> Result<Unrecorded, Refused> {
    bounded(body)?;
    issuer.issue_all(&[body], caller)
}

fn many(issuer: &Issuer, caller: &Caller, body: &[u8]) -> Result<Unrecorded, Refused> {
    let requests = split(body)?;
    requests.iter().try_for_each(|request| bounded(request))?;
    issuer.issue_all(&requests, caller)
}

fn bounded(request: &[u8]) -> Result<(), Refused> {
    if request.len() > limits::REQUEST_BYTES_MAX {
        let problem = Problem::new(
            413,
            "Content Too Large",
            format!("a request has at most {} bytes", limits::REQUEST_BYTES_MAX),
        );
        return Err(Box::new(problem.check("http.body-size").hint("send less")));
    }
    Ok(())
}

/// The requests in a bundle: SEQUENCE OF CertificationRequest.
fn split(bundle: &[u8]) -> Result<Vec<&[u8]>, Refused> {
    let wrong = |detail: String| {
        Box::new(
            Problem::new(400, "Bad Request", detail)
                .check("steward.bundle")
                .hint("send the DER of a SEQUENCE OF certification requests"),
        )
    };
    let parts = || -> der::Result<Option<Vec<&[u8]>>> {
        let body = <&der::asn1::SequenceRef>::from_der(bundle)?;
        let mut reader = SliceReader::new(body.as_bytes())?;
        let mut parts = Vec::new();
        while !reader.is_finished() {
            if parts.len() == limits::BUNDLE_REQUESTS_MAX {
                return Ok(None);
            }
            parts.push(reader.tlv_bytes()?);
        }
        Ok(Some(parts))
    };
    match parts() {
        Ok(Some(parts)) if !parts.is_empty() => Ok(parts),
        Ok(Some(_)) => Err(wrong("the bundle is empty".to_owned())),
        Ok(None) => {
            Err(wrong(format!("a bundle has at most {} requests", limits::BUNDLE_REQUESTS_MAX)))
        }
        Err(error) => Err(wrong(format!("the bundle does not decode: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(parts: usize) -> Vec<u8> {
        let mut der = vec![0x30, u8::try_from(parts * 2).unwrap()];
        der.extend([5, 0].repeat(parts));
        der
    }

    #[test]
    fn bundles_are_split_and_bounded() {
        let max = limits::BUNDLE_REQUESTS_MAX;
        assert_eq!(split(&sequence(1)).unwrap(), [[5, 0]]);
        assert_eq!(split(&sequence(max)).unwrap().len(), max);
        let garbage = [&[][..], &[0x30], &[0x30, 3, 5, 0], &[5, 0], &[0x30, 2, 5, 1]];
        for bundle in [sequence(0), sequence(max + 1), [sequence(1), vec![0]].concat()]
            .iter()
            .map(Vec::as_slice)
            .chain(garbage)
        {
            let problem = split(bundle).unwrap_err();
            assert_eq!(problem.check.as_deref(), Some("steward.bundle"), "{bundle:?}");
        }
    }

    #[test]
    fn content_types() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            kind(&headers)
        };
        assert!(matches!(with(PKCS10), Ok(Kind::One)));
        assert!(matches!(with("application/pkcs10; x=y"), Ok(Kind::One)));
        assert!(matches!(with(PKCS10_BUNDLE), Ok(Kind::Bundle)));
        assert_eq!(with("text/plain").err().unwrap().status, 415);
        assert_eq!(kind(&HeaderMap::new()).err().unwrap().status, 400);
    }

    #[test]
    fn a_request_is_bounded() {
        assert!(bounded(&vec![0; limits::REQUEST_BYTES_MAX]).is_ok());
        let problem = bounded(&vec![0; limits::REQUEST_BYTES_MAX + 1]).unwrap_err();
        assert_eq!(problem.status, 413);
    }
}
