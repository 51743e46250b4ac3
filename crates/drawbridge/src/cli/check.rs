// SPDX-License-Identifier: Apache-2.0

//! `drawbridge check-config`.

use std::fs::{OpenOptions, TryLockError};
use std::path::Path;

use anyhow::{Context as _, bail};
use chassis::clock::Clock;
use chassis::otlp::Exporter;
use chassis::{Admin, metrics};
use clap::Args;
use serde_json::json;
use types::digest::Sha256;
use types::slug;

use super::Serve;
use super::scrub::bytes;
use super::serve::{CLIENT_RATE, consistent, issuers, roots, transport};
use crate::key::RegistryKey;
use crate::store::{Location, Store};

pub(super) const EXAMPLE: &str = "\
It takes what `drawbridge serve` takes, from arguments and environment, reads the files and the store that are named, and
says what the registry would do. It listens nowhere, makes nothing, changes nothing and asks no issuer.

The exit code is 0 if `drawbridge serve` would start with it, and 1 if not.

Example:
  set -a; . /etc/drawbridge/drawbridge.env; drawbridge check-config";

#[derive(Args, Clone, Debug)]
pub(super) struct CheckConfig {
    #[command(flatten)]
    serve: Serve,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at: of which option, and what it means, or why it is wrong.
type Check = (&'static str, Result<String, String>);

pub(super) fn run(options: &CheckConfig) -> anyhow::Result<()> {
    let checks = checks(&options.serve);
    let wrong = checks.iter().filter(|(_, result)| result.is_err()).count();
    let text = if options.json {
        let each = checks.iter().map(|(option, result)| {
            let (Ok(detail) | Err(detail)) = result;
            json!({ "option": option, "ok": result.is_ok(), "detail": detail })
        });
        let each: Vec<_> = each.collect();
        format!("{}\n", json!({ "ok": wrong == 0, "checks": each }))
    } else {
        let mut text = String::new();
        for (option, result) in &checks {
            let (mark, Ok(detail) | Err(detail)) =
                (if result.is_ok() { "  " } else { "✗ " }, result);
            text += &format!("{mark}{option:<16}  {detail}\n");
        }
        text
    };
    super::print(text.as_bytes())?;
    match wrong {
        0 => Ok(()),
        1 => bail!("one thing is wrong; drawbridge serve would not start"),
        wrong => bail!("{wrong} things are wrong; drawbridge serve would not start"),
    }
}

fn checks(options: &Serve) -> Vec<Check> {
    let mut checks = vec![
        ("--host", host(options)),
        ("--addr", words(listener(options))),
        ("--admin-addr", words(admin(options))),
        ("--store", words(store(options))),
        ("--oidc-issuer", words(people(options))),
        ("--keep-ca", words(keeps(options))),
        ("--audit-log", words(audit(options))),
        ("--otlp-endpoint", words(traces(options))),
        ("--client-rate", Ok(rate(options))),
        ("--quota-…", Ok(quotas(options))),
    ];
    let push = match options.create_on_push {
        true => "whoever may register a repository gets a private one by pushing to it",
        false => "repositories are registered before anybody pushes to them",
    };
    checks.push(("--create-on-push", Ok(push.to_owned())));
    let web = match options.no_web {
        true => "there are no web pages",
        false => "web pages show what is public",
    };
    checks.push(("--no-web", Ok(web.to_owned())));
    if options.insecure_release_to_simulated {
        let what =
            "INSECURE: private workloads go to Keeps on simulated silicon, which protects nothing";
        checks.push(("--insecure-…", Ok(what.to_owned())));
    }
    checks
}

fn words(result: anyhow::Result<String>) -> Result<String, String> {
    result.map_err(|error| format!("{error:#}"))
}

fn host(options: &Serve) -> Result<String, String> {
    let host = &options.host;
    match slug::valid_host(host) {
        true => Ok(format!("tags are stated under the name {host}")),
        false => Err(format!(
            "{host} is no DNS name or address in lower case, with a port where it is not 443"
        )),
    }
}

fn listener(options: &Serve) -> anyhow::Result<String> {
    consistent(options)?;
    transport(options)?;
    let (addr, most) = (options.addr, options.connections_max);
    Ok(match &options.tls_cert {
        Some(cert) => {
            let (cert, chain) = (cert.display(), super::serve::certificates(cert)?);
            let above = chain.len().saturating_sub(1);
            format!(
                "https on {addr} with the certificate in {cert} and {above} above it, {most} connections at most"
            )
        }
        None => {
            format!("plain HTTP on {addr}, for a proxy on this machine, {most} connections at most")
        }
    })
}

fn admin(options: &Serve) -> anyhow::Result<String> {
    let Some(addr) = options.admin_addr else {
        return Ok("the operator is answered nowhere".to_owned());
    };
    Admin::new(addr, options.insecure_admin_public)?;
    let public = if addr.ip().is_loopback() { "" } else { ", INSECURE: others reach it" };
    Ok(format!("/livez, /readyz and /metrics on http://{addr}{public}"))
}

fn store(options: &Serve) -> anyhow::Result<String> {
    let location = &options.store;
    let made = "it and the registry's key will be made at the first start";
    match location {
        Location::Dir(dir) => match std::fs::read_dir(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
                let above = above.unwrap_or(Path::new("."));
                if !above.is_dir() {
                    bail!("{} is not there, nor is the directory above it", dir.display());
                }
                return Ok(format!("{location} is not there; {made}"));
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {location}")),
            Ok(mut entries) => {
                if entries.next().is_none() {
                    return Ok(format!("{location} is empty; {made}"));
                }
                let version = std::fs::read_to_string(dir.join("version")).unwrap_or_default();
                if version == crate::store::VERSION_1 {
                    return Ok(format!(
                        "{location} is of version 1 and will be of version 2 after the first start; keep a copy"
                    ));
                }
            }
        },
        Location::Bucket(_) if !options.scratch.is_dir() => {
            bail!("--scratch {} is no directory", options.scratch.display());
        }
        Location::Bucket(_) => {
            if Store::is_nothing(location)? {
                return Ok(format!("there is nothing at {location}; {made}"));
            }
        }
    }
    let store = Store::beside(location)?;
    let key = match RegistryKey::existing(&store)? {
        Some(key) => format!("its key is {}", key.thumbprint()),
        None => "its key will be made at the first start".to_owned(),
    };
    let served = match location {
        Location::Dir(dir) if is_locked(dir) => {
            "; another process serves it now, and has to end before this one starts"
        }
        Location::Dir(_) => "",
        Location::Bucket(_) => "; that it keeps to conditional writes is tried at the start",
    };
    Ok(format!("{location} is a store of version 2, {key}{served}"))
}

fn is_locked(dir: &Path) -> bool {
    let lock = OpenOptions::new().read(true).open(dir.join("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn people(options: &Serve) -> anyhow::Result<String> {
    issuers(options, Clock::System)?;
    let people = match (&options.oidc_issuer, &options.oidc_audience) {
        (Some(issuer), Some(audience)) => format!("people log in at {issuer} for {audience}"),
        _ => "nobody can log in".to_owned(),
    };
    let machines = match options.trusted_issuer.as_slice() {
        [] => "no machines publish by tokens of their own issuers".to_owned(),
        some => format!("machines publish by tokens of {} where owners let them", some.join(", ")),
    };
    let roots = match &options.oidc_ca {
        Some(path) => format!("roots are those in {}", path.display()),
        None => "roots are the public ones".to_owned(),
    };
    Ok(format!("{people}; {machines}; {roots}; no issuer was asked"))
}

fn keeps(options: &Serve) -> anyhow::Result<String> {
    let roots = roots(options)?;
    if roots.is_empty() {
        return Ok("no Keep gets anything private".to_owned());
    }
    let names: Vec<_> = roots.iter().map(|root| Sha256::of(root).to_string()).collect();
    Ok(format!("private workloads go to Keeps with certificates below {}", names.join(", ")))
}

fn audit(options: &Serve) -> anyhow::Result<String> {
    let Some(dir) = &options.audit_log else {
        return Ok("nothing is written down of what is released and changed".to_owned());
    };
    let name = dir.display();
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
    match (dir.is_dir(), dir.exists()) {
        (true, _) => Ok(format!("what is released and changed is written down in {name}")),
        (false, true) => bail!("{name} is no directory"),
        (false, false) if above.unwrap_or(Path::new(".")).is_dir() => {
            Ok(format!("{name} is not there, and will be made"))
        }
        _ => bail!("{name} is not there, nor is the directory above it"),
    }
}

fn traces(options: &Serve) -> anyhow::Result<String> {
    let Some(url) = &options.otlp_endpoint else {
        return Ok("no spans are sent".to_owned());
    };
    let program = ("drawbridge", env!("CARGO_PKG_VERSION"));
    Exporter::from_options(url, options.otlp_ca.as_deref(), program, &metrics::Registry::new())?;
    Ok(format!("a span for each request is sent to {url}"))
}

fn rate(options: &Serve) -> String {
    match options.client_rate.unwrap_or(if options.plain { 0 } else { CLIENT_RATE }) {
        0 => "any number of requests of one client".to_owned(),
        rate => format!("{rate} requests a second of one client"),
    }
}

fn quotas(options: &Serve) -> String {
    let quotas = [
        options.quota_bytes.map(bytes),
        options.quota_tags.map(|tags| format!("{tags} tags")),
        options.quota_repos.map(|repos| format!("{repos} repositories")),
    ];
    match quotas.into_iter().flatten().collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "an owner may keep any amount".to_owned(),
        some => format!("an owner may keep {some}"),
    }
}
