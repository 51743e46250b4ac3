// SPDX-License-Identifier: Apache-2.0

//! Requests and answers, bounded.

use std::fmt::Display;
use std::io::Read;

use drawbridge_core::{API_VERSION, ContentDigest, media};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::problem::Problem;
use types::{limits, problem};
use ureq::http::{HeaderMap, Request, Response};

use crate::{Client, Error};

/// Larger uploads ask before they send: a refusal costs no upload, and is heard.
const ASK_FIRST_BYTES: usize = 1024 * 1024;

/// A registry's answer with status 200.
pub(crate) struct Answer {
    pub(crate) url: String,
    pub(crate) media_type: Option<String>,
    pub(crate) length: Option<u64>,
    pub(crate) digest: Option<ContentDigest>,
    pub(crate) body: Vec<u8>,
    /// The entity tag, without quotes.
    pub(crate) etag: Option<String>,
    /// The header `Link`.
    pub(crate) next: Option<String>,
}

impl Answer {
    pub(crate) fn wrong(&self, detail: impl Display) -> Error {
        Error::Answer { url: self.url.clone(), detail: detail.to_string() }
    }
}

/// A small request that changes something.
#[derive(Clone, Copy)]
pub(crate) enum Sent<'a> {
    /// Media type, content, and the entity tag of what it replaces; a new one without.
    Put(&'static str, &'a [u8], Option<&'a str>),
    /// Media type and content.
    Post(&'static str, &'a [u8]),
    Delete,
}

impl Client {
    /// Sends a small request; the answer, if it is 200, 201 or 204.
    pub(crate) fn send(&self, sent: Sent<'_>, path: &str) -> Result<Answer, Error> {
        let url = self.url(path);
        let authorization = self.authorization()?;
        let authorization = authorization.iter().map(|value| ("authorization", value.clone()));
        let (method, body, media_type) = match sent {
            Sent::Put(media_type, body, _) => ("PUT", Some(body), media_type),
            Sent::Post(media_type, body) => ("POST", Some(body), media_type),
            Sent::Delete => ("DELETE", None, media::JSON),
        };
        let mut request = Request::builder().method(method).uri(&url);
        for (name, value) in authorization {
            request = request.header(name, value);
        }
        request = match sent {
            Sent::Put(_, _, Some(etag)) => request.header("if-match", format!("\"{etag}\"")),
            Sent::Put(_, _, None) => request.header("if-none-match", "*"),
            Sent::Post(..) | Sent::Delete => request,
        };
        let wrong = |detail: String| Error::Answer { url: url.clone(), detail };
        let response = match body {
            Some(body) => {
                let request = request.header("content-type", media_type).body(body);
                self.run(request.map_err(|e| wrong(e.to_string()))?)
            }
            None => self.run(request.body(()).map_err(|e| wrong(e.to_string()))?),
        };
        let response = response.map_err(|e| transport(&url, e))?;
        let mut answer = open(&url, response.headers())?;
        if !matches!(response.status().as_u16(), 200 | 201 | 204) {
            return Err(refused(url, response));
        }
        answer.body = read(&url, response, limits::JSON_BYTES_MAX)?;
        Ok(answer)
    }

    fn run(
        &self,
        request: Request<impl ureq::AsSendBody>,
    ) -> Result<Response<ureq::Body>, ureq::Error> {
        let configured = self.agent.configure_request(request);
        self.agent.run(configured.http_status_as_error(false).max_redirects(0).build())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}/api/v{API_VERSION}/{path}", self.host)
    }

    fn authorization(&self) -> Result<Option<String>, Error> {
        let Some(token) = &self.token else {
            return Ok(None);
        };
        let valid = (1..=limits::TOKEN_BYTES_MAX).contains(&token.0.len())
            && token.0.bytes().all(|b| b.is_ascii_graphic());
        if valid { Ok(Some(format!("Bearer {}", token.0))) } else { Err(Error::Token) }
    }

    /// Content of at most `max` bytes. A digest in the header, if there is one, is checked.
    pub(crate) fn get(&self, path: &str, max: usize) -> Result<Answer, Error> {
        let url = self.url(path);
        // A redirection would carry credentials and expectations to another place.
        let mut request =
            self.agent.get(&url).config().http_status_as_error(false).max_redirects(0).build();
        if let Some(value) = self.authorization()? {
            request = request.header("authorization", value);
        }
        let response = request.call().map_err(|e| transport(&url, e))?;
        let mut answer = open(&url, response.headers())?;
        if response.status().as_u16() != 200 {
            return Err(refused(url, response));
        }
        answer.body = read(&url, response, max)?;
        if answer.length.is_some_and(|length| length != answer.body.len() as u64) {
            return Err(answer.wrong("the content is not as long as announced"));
        }
        if let Some(digest) = &answer.digest {
            digest.verify(&answer.body).map_err(|e| answer.wrong(e))?;
        }
        Ok(answer)
    }

    pub(crate) fn get_json<T: DeserializeOwned>(&self, path: &str, max: usize) -> Result<T, Error> {
        let answer = self.get(path, max)?;
        if answer.media_type.as_deref() != Some(media::JSON) {
            return Err(answer.wrong("the content is not of type application/json"));
        }
        serde_json::from_slice(&answer.body).map_err(|e| answer.wrong(e))
    }

    pub(crate) fn put_json(&self, path: &str, value: &impl Serialize) -> Result<bool, Error> {
        // Plain records always serialise.
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        let digest = ContentDigest::of(&bytes);
        self.put(path, media::JSON, &digest, &bytes, &mut |_| {})
    }

    /// Uploads content; `true` if it is new there. `progress` gets the bytes sent so far.
    pub(crate) fn put(
        &self,
        path: &str,
        media_type: &str,
        digest: &ContentDigest,
        bytes: &[u8],
        progress: &mut dyn FnMut(u64),
    ) -> Result<bool, Error> {
        let url = self.url(path);
        let mut request = self
            .agent
            .put(&url)
            .config()
            .http_status_as_error(false)
            .max_redirects(0)
            .build()
            .header("content-type", media_type)
            .header("content-length", bytes.len().to_string())
            .header("content-digest", digest.to_header());
        if bytes.len() > ASK_FIRST_BYTES {
            request = request.header("expect", "100-continue");
        }
        if let Some(value) = self.authorization()? {
            request = request.header("authorization", value);
        }
        let mut reader = Counting { bytes, sent: 0, progress };
        let response = request
            .send(ureq::SendBody::from_reader(&mut reader))
            .map_err(|e| transport(&url, e))?;
        match response.status().as_u16() {
            201 => Ok(true),
            200 => Ok(false),
            _ => Err(refused(url, response)),
        }
    }
}

/// Says how much of an upload was read.
struct Counting<'a> {
    bytes: &'a [u8],
    sent: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.bytes.read(buffer)?;
        self.sent += n as u64;
        (self.progress)(self.sent);
        Ok(n)
    }
}

fn transport(url: &str, error: ureq::Error) -> Error {
    Error::Transport { url: url.to_owned(), detail: error.to_string() }
}

fn open(url: &str, headers: &HeaderMap) -> Result<Answer, Error> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let wrong = |detail: String| Error::Answer { url: url.to_owned(), detail };
    let length = text("content-length").map(str::parse).transpose();
    let digest = text("content-digest").map(ContentDigest::from_header).transpose();
    Ok(Answer {
        url: url.to_owned(),
        media_type: text("content-type").map(str::to_owned),
        length: length.map_err(|_| wrong("the header Content-Length is no number".into()))?,
        digest: digest.map_err(|e| wrong(format!("the header Content-Digest: {e}")))?,
        body: Vec::new(),
        next: text("link").map(str::to_owned),
        etag: text("etag").map(|tag| tag.trim_matches('"').to_owned()),
    })
}

fn read(url: &str, mut response: Response<ureq::Body>, max: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    // One byte more than allowed tells a long answer from one that just fits.
    let mut reader = response.body_mut().as_reader().take(max as u64 + 1);
    reader.read_to_end(&mut body).map_err(|e| Error::Transport {
        url: url.to_owned(),
        detail: format!("the answer broke off: {e}"),
    })?;
    if body.len() > max {
        return Err(Error::Answer {
            url: url.to_owned(),
            detail: format!("the content is larger than {max} bytes"),
        });
    }
    Ok(body)
}

/// A registry's no: its problem document, or what can be said without one.
fn refused(url: String, response: Response<ureq::Body>) -> Error {
    let status = response.status();
    let is_problem = response
        .headers()
        .get("content-type")
        .is_some_and(|v| v.as_bytes() == problem::MEDIA_TYPE.as_bytes());
    let document = if is_problem {
        let body = read(&url, response, limits::JSON_BYTES_MAX).unwrap_or_default();
        serde_json::from_slice::<Problem>(&body).ok()
    } else {
        None
    };
    let title = status.canonical_reason().unwrap_or("Refused");
    let mut problem = document.unwrap_or_else(|| Problem::new(status.as_u16(), title, ""));
    problem.status = status.as_u16();
    Error::Refused { url, problem: Box::new(problem) }
}
