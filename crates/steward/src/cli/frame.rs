// SPDX-License-Identifier: Apache-2.0

//! `steward serve`: the listener, and what its operator sees.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chassis::metrics::Registry;
use chassis::otlp::Exporter;
use chassis::tls::ServerTls;
use chassis::{Admin, ClientLimits, GateLimits, Limits, Rate, Transport};
use clap::Args;
use types::limits;

use crate::audit::Audit;

/// Options of `steward serve` that are not about attestation.
#[derive(Clone, Debug, Args)]
pub(super) struct Frame {
    /// Certificate chain of the TLS listener, PEM, its own first; read again on SIGHUP
    #[arg(long, env = "STEWARD_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Private key of the TLS listener, PEM, mode 0600; read again on SIGHUP
    #[arg(long, env = "STEWARD_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Speak plain HTTP, for a proxy on this machine that speaks TLS; only on a loopback address, and with --url
    #[arg(long, env = "STEWARD_PLAIN")]
    plain: bool,
    /// Where to answer the operator (/livez, /readyz, /metrics), plain HTTP on a loopback address; nowhere if not given
    #[arg(long, env = "STEWARD_ADMIN_ADDR", value_name = "ADDR:PORT")]
    admin_addr: Option<SocketAddr>,
    /// INSECURE: let --admin-addr be an address that others reach; whoever reaches it reads the metrics
    #[arg(long, env = "STEWARD_INSECURE_ADMIN_PUBLIC")]
    insecure_admin_public: bool,
    /// Write each decision here too, one line of JSON; nothing leaves that cannot be written. Opened again on SIGHUP
    #[arg(long, env = "STEWARD_AUDIT_LOG", value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Send a span for each request to the OpenTelemetry collector at this URL (OTLP/HTTP, JSON): https, or http on this
    /// machine
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Roots of the collector's certificate, PEM; needed for https
    #[arg(long, env = "OTEL_EXPORTER_OTLP_CERTIFICATE", value_name = "FILE")]
    otlp_ca: Option<PathBuf>,
    /// Most connections at once
    #[arg(long, env = "STEWARD_CONNECTIONS_MAX", value_name = "N", default_value = "1024")]
    connections_max: NonZero<usize>,
    /// Requests a second that one client (IPv4 address or IPv6 /64) may make, twice as many at once; 0 for any number.
    /// 500 if not given; any number with --plain, where all clients look like the proxy
    #[arg(long, env = "STEWARD_CLIENT_RATE", value_name = "N")]
    client_rate: Option<u32>,
    /// Connections that one client may have at once; 256 if not given; any number with --plain
    #[arg(long, env = "STEWARD_CLIENT_CONNECTIONS_MAX", value_name = "N")]
    client_connections_max: Option<NonZero<usize>>,
    /// Most requests that wait for a processor; more are told 503, and until that ends only four a processor may wait
    #[arg(long, env = "STEWARD_QUEUE_MAX", value_name = "N", default_value = "64")]
    queue_max: usize,
    /// Longest time that a request waits for a processor, in milliseconds; then it is told 503
    #[arg(long, env = "STEWARD_QUEUE_WAIT_MS", value_name = "MS", default_value = "250")]
    queue_wait_ms: u32,
}

/// Requests a second of one client, if nothing else is said.
const CLIENT_RATE: u32 = 500;
/// Connections of one client, if nothing else is said.
const CLIENT_CONNECTIONS_MAX: usize = 256;

impl Frame {
    /// Whether a proxy speaks TLS in place of this listener.
    pub(super) const fn is_plain(&self) -> bool {
        self.plain
    }

    /// What is spoken at `addr`, as the command line and the files that it names say now.
    pub(super) fn transport(&self, addr: SocketAddr) -> anyhow::Result<Transport> {
        let files = chassis::tls_files(
            addr,
            self.plain,
            self.tls_cert.as_deref(),
            self.tls_key.as_deref(),
        )?;
        Ok(match files {
            Some((chain, key)) => ServerTls::from_files(chain, key)?.build()?.into(),
            None => Transport::Plain,
        })
    }

    pub(super) fn admin(&self) -> anyhow::Result<Option<Admin>> {
        self.admin_addr
            .map(|addr| Admin::new(addr, self.insecure_admin_public))
            .transpose()
            .context("--admin-addr")
    }

    /// Where decisions are written down.
    pub(super) fn audit(&self, registry: &Registry) -> anyhow::Result<Audit> {
        let audit = Audit::new(registry);
        match &self.audit_log {
            Some(path) => audit
                .with_file(path)
                .with_context(|| format!("the audit log {} cannot be written", path.display())),
            None => Ok(audit),
        }
    }

    /// Where traces go.
    pub(super) fn traces(&self, registry: &Registry) -> anyhow::Result<Option<Exporter>> {
        let Some(endpoint) = &self.otlp_endpoint else { return Ok(None) };
        let program = ("steward", env!("CARGO_PKG_VERSION"));
        Exporter::from_options(endpoint, self.otlp_ca.as_deref(), program, registry)
            .map(Some)
            .context("--otlp-endpoint")
    }

    /// The bounds of the service.
    pub(super) fn limits(&self) -> anyhow::Result<Limits> {
        let per_client =
            self.client_rate.is_some_and(|rate| rate > 0) || self.client_connections_max.is_some();
        if self.plain && per_client {
            bail!(
                "--plain contradicts --client-rate and --client-connections-max: behind a proxy all clients have one address"
            );
        }
        let unset = if self.plain { usize::MAX } else { CLIENT_CONNECTIONS_MAX };
        let connections_max = self.client_connections_max.map_or(unset, NonZero::get);
        let rate = self.client_rate.unwrap_or(if self.plain { 0 } else { CLIENT_RATE });
        Ok(Limits {
            connections_max: self.connections_max.get(),
            client: ClientLimits { rate: Rate::per_second(rate), connections_max },
            body_bytes_max: limits::BUNDLE_BYTES_MAX as u64,
            ..Limits::default()
        })
    }

    /// The bounds of the work on requests.
    pub(super) fn gate(&self) -> GateLimits {
        GateLimits {
            waiting_max: self.queue_max,
            wait_max: Duration::from_millis(self.queue_wait_ms.into()),
            ..GateLimits::default()
        }
    }
}
