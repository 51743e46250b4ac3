// SPDX-License-Identifier: Apache-2.0

//! What every service counts.

use std::time::Duration;

use axum::http::{Method, StatusCode};

use super::{Counter, Family, Gauge, Histogram, Registry, SECONDS, process};

/// The metrics of a service's connections and requests.
#[derive(Clone, Debug)]
pub(crate) struct HttpMetrics {
    requests: Family<Counter, 3>,
    duration: Family<Histogram, 1>,
    pub(crate) in_flight: Gauge,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) shed: Family<Counter, 1>,
    pub(crate) connections: Gauge,
    pub(crate) accepted: Family<Counter, 1>,
    pub(crate) handshakes: Family<Counter, 1>,
}

/// How a request ended.
pub(crate) struct Conclusion<'a> {
    pub(crate) route: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) status: StatusCode,
    pub(crate) duration: Duration,
}

/// The method, if it is one of those that everybody knows.
pub(crate) fn method_name(method: &Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS") => known,
        _ => "other",
    }
}

impl HttpMetrics {
    /// Registers them all.
    pub(crate) fn new(registry: &Registry, service: &'static str, version: &'static str) -> Self {
        process::register(registry, service, version);
        let metrics = Self {
            requests: registry.counters(
                "http_requests_total",
                "Requests answered.",
                ["route", "method", "status"],
            ),
            duration: registry.histograms(
                "http_request_duration_seconds",
                "Time from a request's head to its answer's.",
                ["route"],
                SECONDS,
            ),
            in_flight: registry.gauge("http_requests_in_flight", "Requests in progress."),
            received_bytes: registry
                .counter("http_request_body_bytes_total", "Bytes of bodies received."),
            sent_bytes: registry.counter("http_response_body_bytes_total", "Bytes of bodies sent."),
            shed: registry.counters(
                "http_shed_total",
                "Requests turned away unheard, by the bound that they met.",
                ["reason"],
            ),
            connections: registry.gauge("connections_open", "Connections open."),
            accepted: registry.counters(
                "connections_total",
                "Connections, by what became of them.",
                ["outcome"],
            ),
            handshakes: registry.counters("tls_handshakes_total", "TLS handshakes.", ["result"]),
        };
        // A rate needs a first value to start from.
        for result in ["ok", "failed"] {
            metrics.handshakes.with([result]);
        }
        metrics
    }

    pub(crate) fn concluded(&self, conclusion: &Conclusion<'_>) {
        let route = conclusion.route;
        self.requests
            .with([route, method_name(conclusion.method), conclusion.status.as_str()])
            .inc();
        self.duration.with([route]).observe(conclusion.duration);
    }
}
