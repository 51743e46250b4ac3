// SPDX-License-Identifier: Apache-2.0

//! `steward serve`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::anyhow;
use chassis::clock::Clock;
use chassis::metrics::Registry;
use chassis::{Gate, Service, Transport, durable, exit, log};
use types::limits;

use super::ca_files::CaFiles;
use super::frame::Frame;
use super::{Serve, failed, usage};
use crate::http;
use crate::issuer::Issuer;
use crate::log::{IssuanceLog, Receipt};
use crate::nonce::Mint;
use crate::policies::{Loaded, Policies};
use crate::roots;

pub(super) fn run(options: &Serve) -> ExitCode {
    if let Err(error) = log::init(options.log_format, &options.log_filter) {
        return usage(&error);
    }
    let service = match prepare(options) {
        Ok(service) => service,
        Err(error) => return exit_with(&error),
    };
    match service.run() {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => failed(&error),
    }
}

fn exit_with(error: &anyhow::Error) -> ExitCode {
    usage(&format!("{error:#}"))
}

fn prepare(options: &Serve) -> anyhow::Result<Service> {
    let clock = options.insecure_time.map_or(Clock::System, Clock::Fixed);
    if options.url.is_none() && options.addr.ip().is_unspecified() {
        return Err(anyhow!(
            "{} is every address of this machine, but certificates name one: give the public one with --url https://host[:port]",
            options.addr.ip()
        ));
    }
    if options.url.is_none() && options.frame.is_plain() {
        return Err(anyhow!(
            "--plain hides the public address, and certificates name it: give the proxy's with --url https://host[:port]"
        ));
    }
    let transport = options.frame.transport(options.addr)?;
    let admin = options.frame.admin()?;
    let bounds = options.frame.limits()?;
    let ca = CaFiles {
        certificate: options.ca_cert.clone(),
        key: options.ca_key.clone(),
        lists: options.crl_dir.clone(),
        clock,
    };
    let (authority, published) = ca.read()?;
    let policy = Loaded::read(&options.policy)?;
    let mut anchors = roots::vendors()?;
    if let Some(path) = &options.insecure_simulated_roots {
        anchors.extend(roots::insecure_simulated(path)?);
    }
    let issuance_log = match &options.issuance_log {
        Some(dir) => IssuanceLog::open(dir)?,
        None => IssuanceLog::insecure_none(),
    };
    let nonces = match &options.nonce_key {
        Some(path) => Mint::from_file(path)?,
        None => Mint::new()?,
    };
    warn(options);
    tracing::info!(policy = %policy.digest(), "the policy is read");
    if let Some(head) = issuance_log.head() {
        tracing::info!(entries = head.entries, head = %head.hash, "the issuance log is open");
    }
    let policies = Policies::new(policy);
    let metrics = Registry::new();
    let audit = options.frame.audit(&metrics)?;
    let issuer =
        Issuer::new(authority, policies, anchors, clock, issuance_log, nonces).audited(audit);
    issuer.published().replace(published);
    let issuer = Arc::new(issuer);
    crate::metrics::watch(&metrics, &issuer);
    if let Some(url) = &options.url {
        issuer.set_url(url);
    }
    let traces = options.frame.traces(&metrics)?;
    let router = http::router(issuer.clone(), Gate::new(options.frame.gate(), &metrics));
    let (ready, needed, recorded, audited) =
        (issuer.clone(), issuer.clone(), issuer.clone(), issuer.clone());
    let (signs, lists) = (issuer.clone(), issuer.clone());
    let log_dir = options.issuance_log.clone();
    let reload = Reload {
        addr: options.addr,
        ca,
        policy: options.policy.clone(),
        frame: options.frame.clone(),
        issuer,
        transport: transport.clone(),
    };
    Ok(Service::new("steward", options.addr, transport, router)
        .version(env!("CARGO_PKG_VERSION"))
        .admin(admin)
        .ready_check("ca", move || needed.valid_now())
        .ready_check("ca key", move || {
            signs.authority().try_out().map_err(|error| error.to_string())
        })
        .ready_check("revocation list", move || lists.list_valid_now())
        .ready_check("issuance log", move || recordable(&recorded, log_dir.as_deref()))
        .ready_check("audit log", move || audited.audit().ready().map_err(|e| e.to_string()))
        .metrics(metrics)
        .traces(traces)
        .limits(bounds)
        .on_ready(move |addr: SocketAddr| ready.set_url(&format!("https://{addr}")))
        .on_reload(move || reload.run()))
}

/// Whether a certificate could be recorded now.
fn recordable(issuer: &Issuer, dir: Option<&Path>) -> Result<(), String> {
    let Some(dir) = dir else { return Ok(()) };
    durable::probe(dir, limits::LOG_ENTRY_BYTES_MAX)
        .map_err(|error| format!("cannot write in {}: {error}", dir.display()))?;
    // Nothing is appended, but a log that a failure closed says so.
    let nothing = issuer.log().append(&[]).map_err(Arc::new);
    nothing.and_then(Receipt::wait).map_err(|error| error.to_string())
}

/// Says loudly what must not happen by accident. Not through the log: no filter hides it.
fn warn(options: &Serve) {
    if let Some(path) = &options.insecure_simulated_roots {
        eprintln!(
            "steward: WARNING: SIMULATED SILICON IS BELIEVED (roots in {}).\n\
             steward: WARNING: Anybody with their key gets certificates for anything. They are marked as simulated,\n\
             steward: WARNING: and protect nothing. Use this for development only.",
            path.display()
        );
    }
    if options.insecure_no_issuance_log {
        eprintln!(
            "steward: WARNING: CERTIFICATES ARE NOT RECORDED. Nobody can tell later what was issued, and to whom.\n\
             steward: WARNING: Give --issuance-log DIR instead."
        );
    }
    if let Some(time) = options.insecure_time {
        eprintln!(
            "steward: WARNING: THE CLOCK STANDS STILL AT {time}. Evidence and lists that have expired since are\n\
             steward: WARNING: taken for fresh. Use this for tests only."
        );
    }
}

/// What SIGHUP does: the policy, the CA and the TLS certificate are read again; what is wrong stays as it was. An issuance
/// log that a failure closed is opened again.
struct Reload {
    addr: SocketAddr,
    ca: CaFiles,
    policy: PathBuf,
    frame: Frame,
    issuer: Arc<Issuer>,
    transport: Transport,
}

impl Reload {
    /// Whether everything that was read is in force.
    fn run(&self) -> bool {
        let policy = self.policy();
        let ca = self.ca();
        let log = self.log();
        let transport = match self.frame.transport(self.addr) {
            Ok(transport) => {
                self.transport.replace(&transport);
                true
            }
            Err(error) => {
                tracing::error!(%error, "the new TLS certificate is refused; the old one stays");
                false
            }
        };
        let audit = self.issuer.audit().reopen();
        if let Err(error) = &audit {
            tracing::error!(%error, "the audit log cannot be opened again; the old one stays open");
        }
        policy && ca && log && transport && audit.is_ok()
    }

    fn policy(&self) -> bool {
        match Loaded::read(&self.policy) {
            Ok(policy) => {
                let digest = policy.digest();
                self.issuer.policies().replace(policy);
                tracing::info!(policy = %digest, "the policy was read again and is in force");
                true
            }
            Err(error) => {
                let current = self.issuer.policies().current().digest();
                tracing::error!(error = error.brief(), policy = %current, "the new policy is refused; the old one stays in force");
                false
            }
        }
    }

    fn ca(&self) -> bool {
        match self.ca.read() {
            Ok((authority, published)) => {
                // First, so that no certificate names what is not there.
                self.issuer.published().replace(published);
                self.issuer.replace_authority(authority);
                true
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the new CA is refused; the old one stays in service");
                false
            }
        }
    }

    fn log(&self) -> bool {
        match self.issuer.log().reopen() {
            Ok(Some(head)) => {
                tracing::info!(entries = head.entries, head = %head.hash, "the issuance log is open");
                true
            }
            Ok(None) => true,
            Err(error) => {
                tracing::error!(%error, "no certificates leave");
                false
            }
        }
    }
}
