// SPDX-License-Identifier: Apache-2.0

//! `steward serve`: the listener, and what its operator sees.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use chassis::tls::ServerTls;
use chassis::{Admin, Transport};
use clap::Args;

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
}

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
}
