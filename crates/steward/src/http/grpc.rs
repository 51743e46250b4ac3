// SPDX-License-Identifier: Apache-2.0

//! The two calls of `proto/proxy_attestation.proto`, over gRPC (docs/FORMATS.md 3.14).
//!
//! Unary calls with one field of bytes each: framing and encoding are written out here, and need no generated code.
//! Source: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, <https://protobuf.dev/programming-guides/encoding/>.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use chassis::problem::Answer;
use der::pem::LineEnding;
use http_body_util::{BodyExt as _, Full};
use types::limits;
use types::problem::Problem;

use super::{Interface, one};
use crate::audit::Caller;
use crate::issuer::{Refused, broken};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// Label of a request in PEM.
const REQUEST: &str = "CERTIFICATE REQUEST";
/// Label of a certificate in PEM.
const CERTIFICATE: &str = "CERTIFICATE";
/// Largest message: a request in PEM, with room for its line breaks.
const MESSAGE_BYTES_MAX: usize = limits::REQUEST_BYTES_MAX * 3 / 2;
/// Tag of field 1, of bytes.
const FIELD_1: u8 = 0x0a;

/// Codes of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    InvalidArgument = 3,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Internal = 13,
    Unavailable = 14,
}

/// Why a call fails: its code, and words.
#[derive(Debug, PartialEq, Eq)]
struct Status(Code, String);

impl From<&Problem> for Status {
    fn from(problem: &Problem) -> Self {
        let check = problem.check.as_deref().unwrap_or_default();
        let code = match (problem.status, check) {
            (503, _) => Code::Unavailable,
            (413, _) => Code::ResourceExhausted,
            (500.., _) => Code::Internal,
            (_, "request-malformed" | "request-key" | "request-signature") => Code::InvalidArgument,
            _ => Code::PermissionDenied,
        };
        Self(code, format!("{check}: {}", problem.detail))
    }
}

impl From<Refused> for Status {
    fn from(problem: Refused) -> Self {
        Self::from(&*problem)
    }
}

fn wrong(what: &str) -> Status {
    Status(Code::InvalidArgument, what.to_owned())
}

pub(super) fn routes() -> Router<Arc<Interface>> {
    let path = |call: &str| format!("/oak.examples.proxy_attestation.ProxyAttestation/{call}");
    Router::new()
        .route(&path("GetSignedCertificate"), post(signed_certificate))
        .route(&path("GetRootCertificate"), post(root_certificate))
}

async fn signed_certificate(
    State(interface): State<Arc<Interface>>,
    caller: Caller,
    version: Version,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Answer> {
    spoken(version, &headers)?;
    Ok(answered(sign(&interface, caller, &body).await))
}

async fn sign(interface: &Interface, caller: Caller, body: &[u8]) -> Result<Vec<u8>, Status> {
    let request = field(message(body)?)?;
    let (label, der) =
        der::pem::decode_vec(request).map_err(|_| wrong("the request is not in PEM"))?;
    if label != REQUEST {
        return Err(wrong("the PEM is no CERTIFICATE REQUEST"));
    }
    let issuer = interface.issuer.clone();
    let made = interface.gate.run(move || one(&issuer, &caller, &der)).await;
    let made = made.map_err(|full| Status::from(&Answer::from(full).0))??;
    let issued = made.recorded().await?;
    let mut pem = String::new();
    for issued in &issued {
        // Whoever trusts the root needs what is between.
        let (_, between) = issued.authority.chain().split_last().unwrap_or((&Vec::new(), &[]));
        for der in std::iter::once(&issued.certificate).chain(between) {
            pem.push_str(&to_pem(der)?);
        }
    }
    Ok(pem.into_bytes())
}

async fn root_certificate(
    State(interface): State<Arc<Interface>>,
    version: Version,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Answer> {
    spoken(version, &headers)?;
    let root = || {
        if !message(&body)?.is_empty() {
            return Err(wrong("the message has fields, and should have none"));
        }
        let authority = interface.issuer.authority();
        let root = authority.chain().last().map(|der| to_pem(der)).transpose()?;
        Ok(root.unwrap_or_default().into_bytes())
    };
    Ok(answered(root()))
}

fn to_pem(der: &[u8]) -> Result<String, Status> {
    der::pem::encode_string(CERTIFICATE, LineEnding::LF, der)
        .map_err(|error| Status::from(broken(&error)))
}

/// Whether the client speaks gRPC.
fn spoken(version: Version, headers: &HeaderMap) -> Result<(), Refused> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default();
    if version == Version::HTTP_2
        && ["application/grpc", "application/grpc+proto"].contains(&media_type)
    {
        return Ok(());
    }
    let what = "this address takes calls of gRPC over HTTP/2";
    let problem =
        Problem::new(415, "Unsupported Media Type", what).check("http.content-type").hint(
            "use a gRPC client with proto/proxy_attestation.proto, or POST / with application/pkcs10",
        );
    Err(Box::new(problem))
}

/// The one message of a body: not compressed, its length, its bytes.
fn message(body: &[u8]) -> Result<&[u8], Status> {
    let (head, message) =
        body.split_first_chunk::<5>().ok_or_else(|| wrong("the message is cut off"))?;
    let [compressed, length @ ..] = *head;
    if compressed != 0 {
        return Err(wrong("compressed messages are not taken"));
    }
    if usize::try_from(u32::from_be_bytes(length)) != Ok(message.len()) {
        return Err(wrong("the message's length is not that of its bytes"));
    }
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Status(Code::ResourceExhausted, "the message is larger than any".to_owned()));
    }
    Ok(message)
}

/// The bytes in field 1, which must be there once and alone.
fn field(message: &[u8]) -> Result<&[u8], Status> {
    let malformed = || wrong("the message is not the one of proto/proxy_attestation.proto");
    let (&FIELD_1, mut rest) = message.split_first().ok_or_else(malformed)? else {
        return Err(malformed());
    };
    let mut length = 0_usize;
    for shift in [0, 7, 14, 21] {
        let (&byte, after) = rest.split_first().ok_or_else(malformed)?;
        rest = after;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return if rest.len() == length { Ok(rest) } else { Err(malformed()) };
        }
    }
    Err(malformed())
}

/// A message with `bytes` in field 1, in its frame.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![FIELD_1];
    let mut length = bytes.len();
    while length >= 0x80 {
        message.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    message.push(length.to_le_bytes()[0]);
    message.extend_from_slice(bytes);
    // A chain is far from 4 GiB.
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], &message].concat()
}

fn answered(outcome: Result<Vec<u8>, Status>) -> Response {
    match outcome {
        Ok(bytes) => {
            let mut trailers = HeaderMap::new();
            trailers.insert(STATUS, HeaderValue::from_static("0"));
            let body = Full::new(Bytes::from(frame(&bytes)))
                .with_trailers(std::future::ready(Some(Ok(trailers))));
            ([(CONTENT_TYPE, GRPC)], Body::new(body)).into_response()
        }
        // Trailers alone.
        Err(Status(code, words)) => {
            let message = HeaderValue::from_str(&percent_encoded(&words));
            let headers = [
                (CONTENT_TYPE, GRPC),
                (STATUS, HeaderValue::from(code as u16)),
                (MESSAGE, message.unwrap_or(HeaderValue::from_static(""))),
            ];
            (headers, ()).into_response()
        }
    }
}

/// As `grpc-message` wants it: printable ASCII, and everything else as `%XX`.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'%' | 0..0x20 | 0x7f.. => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_round_trip_and_nothing_else_is_one() {
        for length in [0, 1, 127, 128, 5000, MESSAGE_BYTES_MAX - 4] {
            let bytes = vec![7; length];
            assert_eq!(field(message(&frame(&bytes)).unwrap()), Ok(&bytes[..]));
        }
        assert_eq!(frame(b"ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        for body in
            [&[][..], &[0, 0, 0, 0], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 0]]
        {
            assert_eq!(message(body).unwrap_err().0, Code::InvalidArgument, "{body:?}");
        }
        let large = frame(&vec![0; MESSAGE_BYTES_MAX]);
        assert_eq!(message(&large).unwrap_err().0, Code::ResourceExhausted);
        for wrong in [
            &[][..],
            &[0x0a],
            &[0x0a, 1],
            &[0x0a, 0, 0],
            &[0x12, 0],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ] {
            assert_eq!(field(wrong).unwrap_err().0, Code::InvalidArgument, "{wrong:?}");
        }
    }

    #[test]
    fn problems_have_their_codes() {
        for (status, check, code) in [
            (400, "request-malformed", Code::InvalidArgument),
            (400, "request-signature", Code::InvalidArgument),
            (400, "measurement", Code::PermissionDenied),
            (401, "evidence-missing", Code::PermissionDenied),
            (413, "http.body-size", Code::ResourceExhausted),
            (500, "steward.internal", Code::Internal),
            (503, "service.overloaded", Code::Unavailable),
        ] {
            let problem = Problem::new(status, "", "why").check(check);
            assert_eq!(Status::from(&problem), Status(code, format!("{check}: why")));
        }
        assert_eq!(percent_encoded("a %é\n"), "a %25%C3%A9%0A");
    }
}
