// SPDX-License-Identifier: Apache-2.0

//! Enrolment over Secure Transport (RFC 7030 with RFC 8951; docs/FORMATS.md 3.13).
//!
//! Who may enrol is shown by the evidence in the request, and by nothing else: neither passwords nor client certificates
//! are asked for. Bodies are base64 of DER. A certificate is renewed by enrolling again, with new evidence.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chassis::problem::Answer;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{ECDSA_WITH_SHA_384, ID_EC_PUBLIC_KEY, SECP_384_R_1};
use der::asn1::{Any, ContextSpecific, SetOfVec};
use der::{Decode as _, Encode as _, Sequence, TagMode, TagNumber};
use evidence::csr::{ATTESTATION, EVIDENCE};
use types::problem::Problem;

use super::{Interface, PKCS10, one};
use crate::audit::Caller;
use crate::issuer::Refused;

/// Certificates without signatures (RFC 5751).
const PKCS7: &str = "application/pkcs7-mime";
/// The same, as an answer to an enrolment.
const CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";
/// What requests should have in them (RFC 7030 section 4.5.2).
const CSR_ATTRIBUTES: &str = "application/csrattrs";

/// `signedData` (RFC 5652 section 5.1).
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// `data` (RFC 5652 section 4).
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
/// `extensionRequest` (PKCS#9).
const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");

pub(super) fn routes() -> Router<Arc<Interface>> {
    Router::new()
        .route("/.well-known/est/cacerts", get(ca_certificates))
        .route("/.well-known/est/csrattrs", get(attributes))
        .route("/.well-known/est/simpleenroll", post(enroll))
        .route("/.well-known/est/simplereenroll", post(enroll))
}

/// ContentInfo (RFC 5652 section 3).
#[derive(Sequence)]
struct ContentInfo {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", optional = "true", tag_mode = "EXPLICIT")]
    content: Option<SignedData>,
}

/// SignedData of nothing, signed by nobody: certificates alone (RFC 5272 section 4.1).
#[derive(Sequence)]
struct SignedData {
    version: u8,
    digest_algorithms: SetOfVec<Any>,
    content: NoContent,
    certificates: ContextSpecific<SetOfVec<Any>>,
    signers: SetOfVec<Any>,
}

#[derive(Sequence)]
struct NoContent {
    content_type: ObjectIdentifier,
}

/// DER of a certs-only message.
fn certs_only<'a>(certificates: impl IntoIterator<Item = &'a Vec<u8>>) -> der::Result<Vec<u8>> {
    let mut set = SetOfVec::new();
    for certificate in certificates {
        set.insert(Any::from_der(certificate)?)?;
    }
    let certificates =
        ContextSpecific { tag_number: TagNumber(0), tag_mode: TagMode::Implicit, value: set };
    let content = SignedData {
        version: 1,
        digest_algorithms: SetOfVec::new(),
        content: NoContent { content_type: DATA },
        certificates,
        signers: SetOfVec::new(),
    };
    ContentInfo { content_type: SIGNED_DATA, content: Some(content) }.to_der()
}

/// DER of CsrAttrs (RFC 8951 section 4): the key that is wanted, and where evidence may be.
fn wanted() -> der::Result<Vec<u8>> {
    let oid = |oid: ObjectIdentifier| Any::encode_from(&oid);
    let mut curves = SetOfVec::new();
    curves.insert(oid(SECP_384_R_1)?)?;
    let key = Any::encode_from(&vec![oid(ID_EC_PUBLIC_KEY)?, Any::encode_from(&curves)?])?;
    let mut extensions = SetOfVec::new();
    extensions.insert(oid(EVIDENCE)?)?;
    let request = Any::encode_from(&vec![oid(EXTENSION_REQUEST)?, Any::encode_from(&extensions)?])?;
    vec![key, oid(ECDSA_WITH_SHA_384)?, request, oid(ATTESTATION)?].to_der()
}

type Encoded = ([(HeaderName, &'static str); 2], String);

/// A body as EST has it: base64, also where nobody asked for it (RFC 8951 section 3.1).
fn encoded(media_type: &'static str, der: &[u8]) -> Encoded {
    let transfer = HeaderName::from_static("content-transfer-encoding");
    ([(CONTENT_TYPE, media_type), (transfer, "base64")], STANDARD.encode(der))
}

fn broken(error: &der::Error) -> Refused {
    tracing::error!(%error, "an answer to EST could not be written");
    Box::new(Problem::new(500, "Internal Server Error", "").check("steward.internal"))
}

async fn ca_certificates(State(interface): State<Arc<Interface>>) -> Result<Encoded, Answer> {
    let authority = interface.issuer.authority();
    let der = certs_only(authority.chain()).map_err(|error| broken(&error))?;
    Ok(encoded(PKCS7, &der))
}

async fn attributes() -> Result<Encoded, Answer> {
    Ok(encoded(CSR_ATTRIBUTES, &wanted().map_err(|error| broken(&error))?))
}

async fn enroll(
    State(interface): State<Arc<Interface>>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Answer> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if media_type != PKCS10 {
        let problem = Problem::new(415, "Unsupported Media Type", "EST enrols with requests only")
            .check("http.content-type")
            .hint(format!("send {PKCS10}, in base64"));
        return Err(problem.into());
    }
    let request = decode(&body)?;
    let issuer = interface.issuer.clone();
    let made = interface.gate.run(move || one(&issuer, &caller, &request)).await??;
    let issued = made.recorded().await?;
    let certificates = issued.iter().map(|issued| &issued.certificate);
    let der = certs_only(certificates).map_err(|error| broken(&error))?;
    Ok((StatusCode::OK, encoded(CERTS_ONLY, &der)).into_response())
}

/// The request in a body: base64, with line breaks or without (RFC 8951 section 3.1).
fn decode(body: &[u8]) -> Result<Vec<u8>, Refused> {
    let digits: Vec<u8> = body.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).map_err(|error| {
        let problem = Problem::new(400, "Bad Request", format!("the body is no base64: {error}"))
            .check("request-malformed")
            .hint("send the request in base64, without PEM's first and last line");
        Box::new(problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_der_and_hold_what_they_should() {
        let (a, b) = (vec![0x30, 2, 5, 0], vec![0x30, 0]);
        let message = certs_only([&a, &b]).unwrap();
        let expected = [
            &[0x30, 0x2b, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2, 0xa0, 0x1e][..],
            &[0x30, 0x1c, 2, 1, 1, 0x31, 0],
            &[0x30, 11, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1],
            &[0xa0, 6, 0x30, 0, 0x30, 2, 5, 0, 0x31, 0],
        ];
        assert_eq!(hex::encode(message), hex::encode(expected.concat()));
        assert!(wanted().unwrap().starts_with(&[0x30]));
    }

    #[test]
    fn bodies_are_base64_with_line_breaks() {
        assert_eq!(decode(b"MAA=").unwrap(), [0x30, 0]);
        assert_eq!(decode(b"MA\r\nA=\n").unwrap(), [0x30, 0]);
        for wrong in [&b"-----BEGIN"[..], b"MAA", b"\x30\x00"] {
            let problem = decode(wrong).unwrap_err();
            assert_eq!(problem.check.as_deref(), Some("request-malformed"));
        }
    }
}
