// SPDX-License-Identifier: Apache-2.0

//! The Keep's talk with Steward: a request goes out, a chain comes back, and the chain is checked.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::{Any, Decode, Encode};
use evidence::claims::NONCE_BYTES;
use rustls::pki_types::CertificateDer;
use types::digest::Sha256;
use types::limits;
use types::problem::{self, Problem};
use types::slug::Slug;
use types::time::Timestamp;
use ureq::http::header::{CONTENT_TYPE, RETRY_AFTER};
use ureq::http::{HeaderMap, StatusCode};
use verify::{Anchors, Usage};
use x509_cert::Certificate;

use super::patience::{No, patiently};
use crate::clock::Clock;

/// Media type of a certification request (RFC 5967).
const PKCS10: &str = "application/pkcs10";
/// Steward's check that fails when a certificate cannot be recorded.
const UNRECORDED: &str = "steward.issuance-log";

/// Why there is no certificate.
#[derive(Debug)]
pub enum CertifyError {
    /// Steward's URL cannot be used.
    Url(String),
    /// Steward was not reached.
    Transport(String),
    /// Steward said no.
    Refused(Box<Problem>),
    /// Steward's answer is not a certificate that this Keep can use.
    Answer(String),
}

impl fmt::Display for CertifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => {
                write!(f, "Steward's URL must begin with https://, and `{url}` does not")
            }
            Self::Transport(detail) => write!(f, "Steward could not be reached: {detail}"),
            Self::Refused(problem) => {
                write!(f, "Steward refused with {}: {problem}", problem.status)
            }
            Self::Answer(detail) => write!(f, "Steward's answer cannot be used: {detail}"),
        }
    }
}

impl std::error::Error for CertifyError {}

/// What the certificate must say if it names a workload at all.
#[derive(Clone, Copy, Debug)]
pub struct Claimed<'a> {
    /// The Keep's public key, SPKI DER.
    pub spki_der: &'a [u8],
    /// The workload's digest.
    pub digest: &'a Sha256,
    /// The workload's name, without digest.
    pub slug: Option<&'a Slug>,
}

/// An answer of Steward's: a body, or no. A Steward that is busy is asked again.
fn answer(
    agent: &ureq::Agent,
    url: &str,
    body: Option<&[u8]>,
    bytes_max: usize,
) -> Result<Vec<u8>, CertifyError> {
    if !url.starts_with("https://") {
        return Err(CertifyError::Url(url.to_owned()));
    }
    patiently(|| ask(agent, url, body, bytes_max))
}

/// Asks once.
fn ask(
    agent: &ureq::Agent,
    url: &str,
    body: Option<&[u8]>,
    bytes_max: usize,
) -> Result<Vec<u8>, No<CertifyError>> {
    let transport = |error: ureq::Error| CertifyError::Transport(format!("{url}: {error}"));
    let response = match body {
        Some(body) => agent
            .post(url)
            .config()
            .http_status_as_error(false)
            .max_redirects(0)
            .build()
            .header(CONTENT_TYPE, PKCS10)
            .send(body),
        None => agent.get(url).config().http_status_as_error(false).max_redirects(0).build().call(),
    };
    let (head, body) = response.map_err(transport)?.into_parts();
    let mut bytes = Vec::new();
    body.into_reader().take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(|error| {
        CertifyError::Transport(format!("{url}: the answer broke off: {error}"))
    })?;
    if head.status == StatusCode::OK {
        Ok(bytes)
    } else {
        Err(no(head.status, &head.headers, &bytes))
    }
}

/// Steward's no. It asks to be left alone for a time where coming back may help.
fn no(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> No<CertifyError> {
    let is_problem = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(problem::MEDIA_TYPE.as_bytes()));
    let document = serde_json::from_slice::<Problem>(body).ok().filter(|_| is_problem);
    let title = status.canonical_reason().unwrap_or("Refused");
    let mut problem = document.unwrap_or_else(|| Problem::new(status.as_u16(), title, ""));
    problem.status = status.as_u16();
    let busy = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    // A certificate that was made and could not be recorded has used up the nonce: the same request is of no use again.
    let spent = problem.check.as_deref() == Some(UNRECORDED);
    let after = headers
        .get(RETRY_AFTER)
        .filter(|_| busy && !spent)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    No { error: CertifyError::Refused(Box::new(problem)), after }
}

/// A nonce of Steward's, for evidence that is about to be made (docs/FORMATS.md 3.6).
///
/// # Errors
/// [`CertifyError`].
pub fn nonce(agent: &ureq::Agent, steward: &str) -> Result<Vec<u8>, CertifyError> {
    let url = format!("{}/v1/nonce", steward.trim_end_matches('/'));
    let body = answer(agent, &url, None, limits::JSON_BYTES_MAX)?;
    let nonce = serde_json::from_slice::<serde_json::Value>(&body)
        .ok()
        .and_then(|json| URL_SAFE_NO_PAD.decode(json.get("nonce")?.as_str()?).ok())
        .filter(|nonce| NONCE_BYTES.contains(&nonce.len()));
    nonce.ok_or_else(|| CertifyError::Answer(format!("{url} gave no nonce of 8 to 64 bytes")))
}

/// Sends the request (PKCS#10 DER); the chain that comes back, leaf first, DER, unchecked.
///
/// # Errors
/// [`CertifyError`].
pub fn request(
    agent: &ureq::Agent,
    steward: &str,
    csr: &[u8],
) -> Result<Vec<Vec<u8>>, CertifyError> {
    pki_path(&answer(agent, steward, Some(csr), limits::CHAIN_BYTES_MAX)?)
}

/// A DER PkiPath (issuers first), turned round: leaf first, as TLS wants it.
fn pki_path(body: &[u8]) -> Result<Vec<Vec<u8>>, CertifyError> {
    let wrong = |detail: String| CertifyError::Answer(detail);
    if body.len() > limits::CHAIN_BYTES_MAX {
        return Err(wrong("it is larger than any chain may be".to_owned()));
    }
    let path = Vec::<Any>::from_der(body)
        .map_err(|error| wrong(format!("it is no DER PkiPath: {error}")))?;
    if path.is_empty() || path.len() > limits::CHAIN_CERTIFICATES_MAX {
        return Err(wrong(format!("it has {} certificates", path.len())));
    }
    path.iter()
        .rev()
        .map(|certificate| certificate.to_der().map_err(|error| wrong(error.to_string())))
        .collect()
}

/// Checks the chain (leaf first): it is for this key, it holds together, and it claims nothing that was not claimed. Moves
/// the clock to the certificate's beginning at least.
///
/// The chain's own top serves as the anchor here: that makes sure that the chain will hold for those who trust the top, and
/// says nothing about whether anybody should.
///
/// # Errors
/// [`CertifyError::Answer`].
pub fn check(
    chain: &[Vec<u8>],
    claimed: Claimed<'_>,
    clock: &Clock,
) -> Result<verify::Identity, CertifyError> {
    let wrong = |detail: String| CertifyError::Answer(detail);
    let (Some(leaf), Some(top)) = (chain.first(), chain.last()) else {
        return Err(wrong("it has no certificate".to_owned()));
    };
    let leaf = Certificate::from_der(leaf)
        .map_err(|error| wrong(format!("the certificate does not parse: {error}")))?;
    let spki = leaf
        .tbs_certificate()
        .subject_public_key_info()
        .to_der()
        .map_err(|error| wrong(format!("the certificate's key does not parse: {error}")))?;
    if spki != claimed.spki_der {
        return Err(wrong("the certificate is for another key".to_owned()));
    }
    let not_before = leaf.tbs_certificate().validity().not_before.to_unix_duration().as_secs();
    clock.not_before(Timestamp(not_before));
    let certificates: Vec<CertificateDer<'_>> =
        chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let anchors = Anchors { roots: vec![CertificateDer::from(top.clone())], ..Anchors::default() };
    let now = clock.now();
    let identity = verify::identify(&certificates, &anchors, now, Usage::Client)
        .and_then(|_| verify::identify(&certificates, &anchors, now, Usage::Server))
        .map_err(|error| wrong(format!("the chain does not verify at {now}: {error}")))?;
    if identity.digest.as_ref().is_some_and(|digest| digest != claimed.digest) {
        return Err(wrong("the certificate names the digest of another workload".to_owned()));
    }
    if identity.slug.is_some() && identity.slug.as_ref() != claimed.slug {
        return Err(wrong("the certificate names another workload".to_owned()));
    }
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Key;
    use evidence::result::{AttestationResult, EXTENSION, Facts, WorkloadName};
    use testkit::pki::{DevCa, Extension, Profile, sample_result};

    const SLUG: &str = "store.test/team/app:1.0.0";

    fn now() -> Timestamp {
        Clock::new().now()
    }

    /// The chain that a Steward with this CA would issue, leaf first.
    fn issue(
        ca: &DevCa,
        spki: &[u8],
        workload: Option<WorkloadName>,
        from: Timestamp,
    ) -> Vec<Vec<u8>> {
        let uri = workload
            .iter()
            .flat_map(|w| w.slug.iter().map(Slug::uri).chain([w.digest.to_ni()]))
            .collect();
        let facts = Facts {
            pinned: workload.is_some(),
            workload,
            ..sample_result(Sha256([7; 32]), None, from).facts
        };
        let result = AttestationResult {
            build: "test".into(),
            issued_at: from,
            policy: Sha256([9; 32]),
            facts,
        };
        let profile = Profile {
            common_name: "app:1.0.0".into(),
            uri,
            server: true,
            client: true,
            validity: Some((from, from.plus(86_400))),
            extensions: vec![Extension {
                oid: EXTENSION,
                critical: false,
                value: result.to_extension(),
            }],
            ..Profile::default()
        };
        let mut chain = ca.issue_for(&profile, spki, now()).unwrap();
        chain.push(ca.certificate_der().to_vec());
        chain
    }

    fn named(digest: u8, slug: Option<&str>) -> Option<WorkloadName> {
        Some(WorkloadName {
            digest: Sha256([digest; 32]),
            slug: slug.map(|slug| slug.parse().unwrap()),
        })
    }

    #[test]
    fn takes_only_what_was_claimed() {
        let ca = DevCa::generate("Test Steward", now()).unwrap();
        let key = Key::generate().unwrap();
        let other = Key::generate().unwrap();
        let slug: Slug = SLUG.parse().unwrap();
        let digest = Sha256([7; 32]);
        let claimed = Claimed { spki_der: key.spki_der(), digest: &digest, slug: Some(&slug) };
        let checked = |chain: &[Vec<u8>], claimed| {
            check(chain, claimed, &Clock::new()).map_err(|e| e.to_string())
        };
        let spki = key.spki_der();

        let good = issue(&ca, spki, named(7, Some(SLUG)), now());
        assert_eq!(checked(&good, claimed).unwrap().slug, Some(slug.clone()));
        for fewer in [named(7, None), None] {
            checked(&issue(&ca, spki, fewer, now()), claimed).unwrap();
        }
        let local = Claimed { slug: None, ..claimed };
        checked(&issue(&ca, spki, named(7, None), now()), local).unwrap();

        let far = now().minus(40 * 86_400);
        let stranger = DevCa::generate("Test Steward", now()).unwrap();
        let mut broken = good.clone();
        broken.pop();
        broken.push(stranger.certificate_der().to_vec());
        for (chain, claimed, why) in [
            (issue(&ca, other.spki_der(), named(7, Some(SLUG)), now()), claimed, "another key"),
            (issue(&ca, spki, named(8, Some(SLUG)), now()), claimed, "digest of another workload"),
            (
                issue(&ca, spki, named(7, Some("store.test/team/app:1.0.1")), now()),
                claimed,
                "names another workload",
            ),
            (good.clone(), local, "names another workload"),
            (issue(&ca, spki, named(7, Some(SLUG)), far), claimed, "expired"),
            (broken, claimed, "does not verify"),
            (good.iter().take(1).cloned().collect(), claimed, "does not verify"),
            (Vec::new(), claimed, "no certificate"),
        ] {
            let error = checked(&chain, claimed).unwrap_err();
            assert!(error.contains(why), "{error} should say {why}");
        }
    }

    #[test]
    fn the_certificate_moves_a_clock_that_lags() {
        let ca = DevCa::generate("Test Steward", now()).unwrap();
        let key = Key::generate().unwrap();
        let digest = Sha256([7; 32]);
        let from = now().plus(600);
        let clock = Clock::new();
        let claimed = Claimed { spki_der: key.spki_der(), digest: &digest, slug: None };
        check(&issue(&ca, key.spki_der(), named(7, None), from), claimed, &clock).unwrap();
        assert!(clock.now() >= from);
    }

    #[test]
    fn a_pki_path_is_turned_round_and_bounded() {
        let ca = DevCa::generate("Test Steward", now()).unwrap();
        let key = Key::generate().unwrap();
        let chain = issue(&ca, key.spki_der(), named(7, None), now());
        let path = |certificates: &[Vec<u8>]| {
            let all: Vec<Any> =
                certificates.iter().rev().map(|der| Any::from_der(der).unwrap()).collect();
            all.to_der().unwrap()
        };
        assert_eq!(pki_path(&path(&chain)).unwrap(), chain);
        assert!(pki_path(&path(&[])).is_err());
        assert!(pki_path(&path(&vec![chain[0].clone(); 9])).is_err());
        assert!(pki_path(&[path(&chain), vec![0]].concat()).is_err());
        assert!(pki_path(b"<html>").is_err());
    }

    #[test]
    fn only_a_busy_steward_is_asked_again() {
        let ask = |status: u16, after: Option<&str>, check: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, problem::MEDIA_TYPE.parse().unwrap());
            if let Some(after) = after {
                headers.insert(RETRY_AFTER, after.parse().unwrap());
            }
            let body = serde_json::to_vec(&Problem::new(400, "title", "").check(check)).unwrap();
            let no = no(StatusCode::from_u16(status).unwrap(), &headers, &body);
            let CertifyError::Refused(problem) = no.error else { panic!("{:?}", no.error) };
            assert_eq!((problem.status, problem.check.as_deref()), (status, Some(check)));
            no.after
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(ask(503, Some("1"), "service.overloaded"), second);
        assert_eq!(ask(503, Some(" 1 "), "steward.key"), second);
        assert_eq!(ask(429, Some("1"), "http.rate"), second);
        for (status, after, check) in [
            (503, None, "service.overloaded"),
            (503, Some("soon"), "service.overloaded"),
            (503, Some("-1"), "service.overloaded"),
            (503, Some("Sat, 21 Nov 2026 12:00:00 GMT"), "service.overloaded"),
            (503, Some("1"), UNRECORDED),
            (400, Some("1"), "nonce"),
            (500, Some("1"), "steward.internal"),
        ] {
            assert_eq!(ask(status, after, check), None, "{status} {after:?} {check}");
        }
        // Somebody in front of Steward is busy, and has no document.
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "2".parse().unwrap())]);
        let no = no(StatusCode::SERVICE_UNAVAILABLE, &headers, b"<html>");
        assert_eq!(no.after, Some(Duration::from_secs(2)));
        assert!(no.error.to_string().contains("503"), "{}", no.error);
    }

    #[test]
    fn only_https_will_do() {
        let agent = verify::https::Agent::builder().web_pki().build().unwrap();
        assert!(matches!(nonce(&agent, "http://127.0.0.1:1"), Err(CertifyError::Url(_))));
        assert!(matches!(request(&agent, "http://127.0.0.1:1/", b""), Err(CertifyError::Url(_))));
        assert!(matches!(
            request(&agent, "https://127.0.0.1:1/", b""),
            Err(CertifyError::Transport(_))
        ));
    }
}
