// SPDX-License-Identifier: Apache-2.0

//! `drawbridge serve`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chassis::clock::Clock;
use chassis::metrics::Registry as Metrics;
use chassis::otlp::Exporter;
use chassis::tls::ServerTls;
use chassis::{Admin, ClientLimits, Limits, Rate, Service, Transport};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use types::{limits, slug};

use super::Serve;
use crate::audit::Audit;
use crate::auth::issuer::{Issuer, Issuers, valid_issuer_url};
use crate::auth::keeps::Keeps;
use crate::key::RegistryKey;
use crate::service::{Registry, router};
use crate::store::{Quotas, Store};

/// Requests a second of one client, if nothing else is said.
pub(super) const CLIENT_RATE: u32 = 500;
/// How often uploads are looked through for those that are over.
const SWEEP: Duration = Duration::from_secs(3600);

pub(super) fn run(options: &Serve) -> anyhow::Result<()> {
    if !slug::valid_host(&options.host) {
        bail!(
            "--host {} is no DNS name or address in lower case, with a port where it is not 443",
            options.host
        );
    }
    let clock = Clock::System;
    consistent(options)?;
    let transport = transport(options)?;
    let admin = options
        .admin_addr
        .map(|addr| Admin::new(addr, options.insecure_admin_public))
        .transpose()
        .context("--admin-addr")?;
    let issuers = issuers(options, clock)?;
    let roots = roots(options)?;
    if options.insecure_release_to_simulated {
        tracing::warn!(
            "private workloads are released to Keeps on simulated silicon, which protects nothing"
        );
    }
    let quotas =
        Quotas { bytes: options.quota_bytes, tags: options.quota_tags, repos: options.quota_repos };
    let store = Store::connect(&options.store, &options.scratch)?.with_quotas(quotas);
    let key = RegistryKey::open(&store)?;
    tracing::info!(
        store = %options.store,
        host = options.host,
        key = key.thumbprint(),
        issuer = options.oidc_issuer.as_deref().unwrap_or("none: nobody can log in"),
        keep_roots = roots.len(),
        "registry"
    );
    let audit = match &options.audit_log {
        Some(dir) => Audit::open(dir)?,
        None => Audit::none(),
    };
    if let Some(head) = audit.head() {
        tracing::info!(entries = head.entries, head = %head.hash, "the audit log is open");
    }
    let registry = Arc::new(Registry {
        store,
        key,
        host: options.host.clone(),
        issuers,
        audit,
        create_on_push: options.create_on_push,
        web: !options.no_web,
        keeps: Keeps::new(roots, options.insecure_release_to_simulated),
        clock,
    });
    let rate = options.client_rate.unwrap_or(if options.plain { 0 } else { CLIENT_RATE });
    let bounds = Limits {
        connections_max: options.connections_max.get(),
        client: ClientLimits { rate: Rate::per_second(rate), ..ClientLimits::default() },
        // Each route bounds what it takes; this is the largest of all, a blob in one request.
        body_bytes_max: limits::BLOB_BYTES_MAX,
        ..Limits::default()
    };
    let metrics = Metrics::new();
    let program = ("drawbridge", env!("CARGO_PKG_VERSION"));
    let exporter =
        |url: &String| Exporter::from_options(url, options.otlp_ca.as_deref(), program, &metrics);
    let traces = options.otlp_endpoint.as_ref().map(exporter).transpose();
    let traces = traces.context("--otlp-endpoint")?;
    let audit_dir = options.audit_log.clone();
    let (stored, asked) = (Arc::clone(&registry), Arc::clone(&registry));
    let service =
        Service::new("drawbridge", options.addr, transport.clone(), router(Arc::clone(&registry)))
            .version(program.1)
            .metrics(metrics)
            .traces(traces)
            .limits(bounds)
            .admin(admin)
            .ready_check("store", move || stored.store.probe().map_err(|error| error.to_string()))
            .ready_check("issuer", move || asked.issuers.ready())
            .ready_check("audit log", move || match &audit_dir {
                Some(dir) => chassis::durable::probe(dir, limits::LOG_ENTRY_BYTES_MAX)
                    .map_err(|error| error.to_string()),
                None => Ok(()),
            })
            .on_reload({
                let options = options.clone();
                let kept = Arc::clone(&registry);
                move || reopen(&kept.audit) & reload(&options, &transport)
            });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("drawbridge")
        .build()
        .context("the system gives no threads")?;
    let result = runtime.block_on(async {
        let swept = tokio::spawn(sweep(Arc::clone(&registry)));
        let warm = tokio::spawn(async move {
            registry.issuers.warm_up().await;
        });
        let result = service.serve().await;
        warm.abort();
        swept.abort();
        result
    });
    // Work on files that nobody waits for any more does not keep the program alive.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(result?)
}

/// Forgets uploads that nobody goes on with, for as long as the registry runs.
async fn sweep(registry: Arc<Registry>) {
    let mut hours = tokio::time::interval(SWEEP);
    loop {
        hours.tick().await;
        let uploads = Arc::clone(&registry);
        let swept =
            tokio::task::spawn_blocking(move || uploads.store.expire_uploads(uploads.clock.now()));
        match swept.await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(objects)) => tracing::info!(objects, "forgot uploads that were begun a day ago"),
            Ok(Err(error)) => tracing::warn!(%error, "old uploads cannot be forgotten now"),
        }
        let registry = Arc::clone(&registry);
        let spared = tokio::task::spawn_blocking(move || {
            registry.store.spare_abandoned(registry.clock.now())
        });
        match spared.await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(things)) => tracing::warn!(things, "a gc died before it was done; they stay"),
            Ok(Err(error)) => tracing::warn!(%error, "what a dead gc left cannot be looked at now"),
        }
    }
}

/// What is behind a proxy cannot know its clients.
pub(super) fn consistent(options: &Serve) -> anyhow::Result<()> {
    if options.plain && (!options.keep_ca.is_empty() || options.insecure_release_to_simulated) {
        bail!(
            "--plain contradicts --keep-ca and --insecure-release-to-simulated: Keeps authenticate by TLS, and cannot through a proxy"
        );
    }
    if options.plain && options.client_rate.is_some_and(|rate| rate > 0) {
        bail!("--plain contradicts --client-rate: behind a proxy all clients have one address");
    }
    Ok(())
}

pub(super) fn transport(options: &Serve) -> anyhow::Result<Transport> {
    let (cert, key) = (options.tls_cert.as_deref(), options.tls_key.as_deref());
    let Some((chain, key)) = chassis::tls_files(options.addr, options.plain, cert, key)? else {
        return Ok(Transport::Plain);
    };
    // What a certificate is worth is decided for each request, so that a refusal has an answer and a line in the log.
    let builder = ServerTls::from_files(chain, key)?;
    Ok(builder.client_verifier(verify::tls::UnjudgedClients::new()).build()?.into())
}

fn reopen(audit: &Audit) -> bool {
    match audit.reopen() {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(error, "nothing is released and nothing changes");
            false
        }
    }
}

fn reload(options: &Serve, current: &Transport) -> bool {
    match transport(options) {
        Ok(new) => {
            current.replace(&new);
            tracing::info!("read the TLS certificate again");
            true
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the old TLS certificate stays in use");
            false
        }
    }
}

pub(super) fn issuers(options: &Serve, clock: Clock) -> anyhow::Result<Issuers> {
    let agent = |option: &str, url: &str| {
        if !valid_issuer_url(url) {
            bail!("{option} {url} is no https URL; http is taken on this machine only");
        }
        issuer_agent(url, options.oidc_ca.as_deref(), clock)
    };
    let people = match (&options.oidc_issuer, &options.oidc_audience) {
        (Some(url), Some(audience)) => {
            Some(Issuer::of_people(url, audience, agent("--oidc-issuer", url)?))
        }
        _ => None,
    };
    let mut machines = Vec::new();
    for url in &options.trusted_issuer {
        if options.oidc_issuer.as_ref() == Some(url) {
            bail!("--trusted-issuer {url} is that of people already (--oidc-issuer)");
        }
        machines.push(Issuer::of_machines(url, agent("--trusted-issuer", url)?));
    }
    Ok(Issuers::new(people, machines))
}

pub(super) fn roots(options: &Serve) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let mut roots = Vec::new();
    for path in &options.keep_ca {
        roots.extend(certificates(path)?);
    }
    Ok(roots)
}

pub(super) fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let context = || format!("cannot read the certificates in {}", path.display());
    let pem = std::fs::read(path).with_context(context)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|e| anyhow::anyhow!("{e:?}")).with_context(context)?;
    if certificates.is_empty() {
        bail!("{} has no PEM block CERTIFICATE", path.display());
    }
    Ok(certificates)
}

fn issuer_agent(issuer: &str, ca: Option<&Path>, clock: Clock) -> anyhow::Result<ureq::Agent> {
    let mut builder = verify::https::Agent::builder().clock(clock.closure());
    builder = match ca {
        Some(path) => {
            let context = || format!("cannot read the certificates in {}", path.display());
            builder.roots_pem(&std::fs::read_to_string(path).with_context(context)?)
        }
        None => builder.web_pki(),
    };
    if issuer.starts_with("http://") {
        builder = builder.insecure_plain_loopback();
    }
    Ok(builder.build()?)
}
