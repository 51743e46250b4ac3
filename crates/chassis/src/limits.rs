// SPDX-License-Identifier: Apache-2.0

//! The bounds of a service.

use std::time::Duration;

use crate::clients::ClientLimits;

/// Bounds of a service. Each is a promise to the operator that no client can exceed it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections served at once (1024). Some more are told 503; the rest are closed unheard.
    pub connections_max: usize,
    /// Requests in progress at once (256); others are told 503.
    pub requests_max: usize,
    /// What one client may take (no limit).
    pub client: ClientLimits,
    /// Largest body of a request, in bytes (1 MiB); a larger one is told 413. A route may have a smaller limit.
    pub body_bytes_max: u64,
    /// Longest TLS handshake (10 s).
    pub handshake: Duration,
    /// Longest time to send a request's headers (10 s).
    pub header: Duration,
    /// Longest pause within a request's body (10 s).
    pub body_idle: Duration,
    /// Slowest average of a request's body after `body_idle`, in bytes per second (1024); a slower one is told 408.
    pub body_rate_min_bytes_per_second: u64,
    /// Longest time that a client may stop reading (30 s).
    pub write_stall: Duration,
    /// Longest time that a connection may stay open without a request (60 s).
    pub idle: Duration,
    /// Longest time for requests in progress to end after the service was told to stop (10 s).
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            requests_max: 256,
            client: ClientLimits::default(),
            body_bytes_max: 1024 * 1024,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            body_idle: Duration::from_secs(10),
            body_rate_min_bytes_per_second: 1024,
            write_stall: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}
