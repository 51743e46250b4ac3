// SPDX-License-Identifier: Apache-2.0

//! Traces for OpenTelemetry: one span for each request, sent to a collector by OTLP/HTTP in JSON (OTLP 1.x, section
//! "OTLP/HTTP", JSON Protobuf encoding).
//!
//! Serving never waits for the collector: spans queue in bounded memory, a thread sends them, and what does not fit or
//! cannot be sent is counted and forgotten.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::metrics::{Counter, Family, Registry};
use crate::tls::provider;
use crate::trace::Trace;

/// Most bytes read of the file with the roots.
const ROOTS_BYTES_MAX: u64 = 1024 * 1024;
/// Most spans that wait.
const QUEUE_MAX: usize = 2048;
/// Most spans sent together.
const BATCH_MAX: usize = 512;
/// Longest time that a span waits for others.
const BATCH_WAIT: Duration = Duration::from_secs(1);
/// Longest time that the collector may take.
const SEND: Duration = Duration::from_secs(5);
/// Longest time for the last spans when the service ends.
const FINISH: Duration = Duration::from_secs(2);

/// A request that was answered.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) trace: Trace,
    pub(crate) method: String,
    pub(crate) route: String,
    pub(crate) status: u16,
    pub(crate) client: SocketAddr,
    /// Nanoseconds since 1970.
    pub(crate) ended: u64,
    pub(crate) duration: Duration,
}

impl Span {
    /// As OTLP has it: ids in hex, numbers of 64 bits in strings.
    fn json(&self) -> Value {
        let Self { trace, method, route, status, client, ended, duration } = self;
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let text =
            |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        json!({
            "traceId": trace.id.to_string(),
            "spanId": format!("{:016x}", trace.span),
            "parentSpanId": trace.parent.map(|parent| format!("{parent:016x}")).unwrap_or_default(),
            "name": format!("{method} {route}"),
            // SPAN_KIND_SERVER
            "kind": 2,
            "startTimeUnixNano": ended.saturating_sub(nanoseconds).to_string(),
            "endTimeUnixNano": ended.to_string(),
            "attributes": [
                text("http.request.method", method),
                text("http.route", route),
                json!({ "key": "http.response.status_code", "value": { "intValue": status.to_string() } }),
                text("client.address", &client.ip().to_string()),
            ],
            // STATUS_CODE_ERROR, or unset.
            "status": { "code": if *status >= 500 { 2 } else { 0 } },
        })
    }
}

/// Why there is no exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExporterError {
    /// No `https` URL, and no `http` URL of this machine.
    Endpoint(String),
    /// An `https` collector, and no roots to know it by.
    NoRoots,
    /// The roots are not PEM certificates.
    Roots,
    /// The file with the roots cannot be read.
    Unreadable(PathBuf, String),
}

impl fmt::Display for ExporterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(url) => write!(
                f,
                "{url} is no collector's URL: https://host[:port], or http://127.0.0.1:port on this machine"
            ),
            Self::NoRoots => {
                f.write_str("a collector at https needs the roots of its certificate, PEM")
            }
            Self::Unreadable(path, error) => {
                write!(f, "cannot read the collector's roots in {}: {error}", path.display())
            }
            Self::Roots => f.write_str("the roots for the collector are no PEM certificates"),
        }
    }
}

impl std::error::Error for ExporterError {}

/// Sends spans to a collector. Clones are the same exporter.
#[derive(Clone, Debug)]
pub struct Exporter(Arc<Running>);

#[derive(Debug)]
struct Running {
    queue: Mutex<Option<SyncSender<Span>>>,
    /// Disconnects when the last span is sent.
    ended: Mutex<Receiver<()>>,
    dropped: Family<Counter, 1>,
}

impl Exporter {
    /// Starts sending to the collector at `endpoint`, below which `/v1/traces` is; `roots_pem` are for `https`.
    ///
    /// # Errors
    /// See [`ExporterError`].
    pub fn start(
        endpoint: &str,
        roots_pem: Option<&[u8]>,
        service: (&'static str, &'static str),
        registry: &Registry,
    ) -> Result<Self, ExporterError> {
        let agent = agent(endpoint, roots_pem)?;
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let exported =
            registry.counter("otlp_spans_exported_total", "Spans that a collector took.");
        let dropped = registry.counters(
            "otlp_spans_dropped_total",
            "Spans that no collector took, because too many waited or it did not answer.",
            ["reason"],
        );
        let (queue, spans) = sync_channel(QUEUE_MAX);
        let (end, ended) = sync_channel::<()>(0);
        let lost = dropped.with(["export"]);
        dropped.with(["queue"]);
        std::thread::spawn(move || {
            let mut failing = false;
            batches(&spans, |batch| {
                let result = send(&agent, &url, &document(service, batch));
                let counter = if result.is_ok() { &exported } else { &lost };
                counter.add(batch.len() as u64);
                // Once, not for every batch.
                match &result {
                    Err(error) if !failing => tracing::warn!(error, "the collector takes no spans"),
                    Ok(()) if failing => tracing::info!("the collector takes spans again"),
                    _ => {}
                }
                failing = result.is_err();
            });
            drop(end);
        });
        let running = Running { queue: Mutex::new(Some(queue)), ended: Mutex::new(ended), dropped };
        Ok(Self(Arc::new(running)))
    }

    /// As [`Self::start`], with the roots in a file of at most 1 MiB.
    ///
    /// # Errors
    /// See [`ExporterError`].
    pub fn from_options(
        endpoint: &str,
        roots: Option<&Path>,
        service: (&'static str, &'static str),
        registry: &Registry,
    ) -> Result<Self, ExporterError> {
        let unreadable = |path: &Path, error: io::Error| {
            ExporterError::Unreadable(path.to_owned(), error.to_string())
        };
        let read = |path: &Path| {
            let file = File::open(path).map_err(|error| unreadable(path, error))?;
            let mut pem = Vec::new();
            file.take(ROOTS_BYTES_MAX)
                .read_to_end(&mut pem)
                .map_err(|error| unreadable(path, error))?;
            Ok(pem)
        };
        let roots = roots.map(read).transpose()?;
        Self::start(endpoint, roots.as_deref(), service, registry)
    }

    /// Takes a span, if its trace is recorded and there is room.
    pub(crate) fn take(&self, span: Span) {
        // A caller that records nothing wants nothing recorded; without a caller everything is.
        if span.trace.parent.is_some() && !span.trace.sampled {
            return;
        }
        let queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.as_ref().is_none_or(|queue| queue.try_send(span).is_err()) {
            self.0.dropped.with(["queue"]).inc();
        }
    }

    /// Sends what waits, within a bounded time. Blocks.
    pub(crate) fn finish(&self) {
        drop(self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let ended = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(FINISH);
    }
}

fn agent(endpoint: &str, roots_pem: Option<&[u8]>) -> Result<ureq::Agent, ExporterError> {
    let wrong = || ExporterError::Endpoint(endpoint.to_owned());
    let uri: ureq::http::Uri = endpoint.parse().map_err(|_| wrong())?;
    let host = uri.host().ok_or_else(wrong)?;
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    let https = uri.scheme_str() == Some("https");
    if uri.query().is_some() || !(https || uri.scheme_str() == Some("http") && local) {
        return Err(wrong());
    }
    let roots: Vec<Certificate<'static>> = match roots_pem {
        None if https => return Err(ExporterError::NoRoots),
        None => Vec::new(),
        Some(pem) => CertificateDer::pem_slice_iter(pem)
            .map(|der| der.map(|der| Certificate::from_der(&der).to_owned()))
            .collect::<Result<_, _>>()
            .map_err(|_| ExporterError::Roots)?,
    };
    if roots.is_empty() && https {
        return Err(ExporterError::Roots);
    }
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider())
        .root_certs(RootCerts::new_with_certs(&roots))
        .build();
    Ok(ureq::Agent::config_builder()
        .http_status_as_error(false)
        .https_only(https)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(SEND))
        .tls_config(tls)
        .build()
        .into())
}

/// Collects spans into batches until nobody can send any more.
fn batches(spans: &Receiver<Span>, mut send: impl FnMut(&[Span])) {
    while let Ok(first) = spans.recv() {
        let mut batch = vec![first];
        let end = Instant::now() + BATCH_WAIT;
        while batch.len() < BATCH_MAX {
            match spans.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(span) => batch.push(span),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        send(&batch);
    }
}

/// An ExportTraceServiceRequest.
fn document((name, version): (&str, &str), spans: &[Span]) -> Value {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let spans: Vec<Value> = spans.iter().map(Span::json).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": [text("service.name", name), text("service.version", version)] },
        "scopeSpans": [{ "scope": { "name": "enarx-chassis" }, "spans": spans }],
    }] })
}

fn send(agent: &ureq::Agent, url: &str, document: &Value) -> Result<(), String> {
    let answer = agent.post(url).send_json(document).map_err(|error| error.to_string())?;
    match answer.status().is_success() {
        true => Ok(()),
        false => Err(format!("it answers {}", answer.status())),
    }
}

#[cfg(test)]
mod tests;
