// SPDX-License-Identifier: Apache-2.0

//! `enarx verify`: what a certificate proves, and whether that is enough.

use std::path::{Path, PathBuf};

use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use types::config::{HostPort, PeerRule, WorkloadPattern};
use types::digest::Sha256;
use types::limits;
use verify::{Anchors, Identity, Requirements, Usage, VerifyError};

use crate::failure::{Context as _, EXIT_FAILED, EXIT_USAGE, Failure, Outcome};
use crate::{files, output, reach};

const EXAMPLES: &str = "\
Examples:
  enarx verify app.example.com:443 --ca steward.pem
  enarx verify app.example.com --ca steward.pem --expect-workload store.example.com/team/app:^1.2
  enarx verify chain.pem --ca steward.pem --json

The exit code is the verdict:
  0  the certificate proves what was asked for
  1  refused
  2  called wrongly, or the server cannot be reached

Without --expect-… any workload in any attested Keep is accepted: look at the table.";

/// Arguments of `enarx verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// A server, or a PEM file with its chain, its own certificate first
    #[arg(value_name = "HOST[:PORT]|FILE")]
    pub target: String,
    /// PEM file with the root of the Steward that you trust
    #[arg(long, value_name = "FILE", env = "ENARX_CA")]
    pub ca: PathBuf,
    /// Wanted workload: host/user/repo, optionally with :version or a requirement such as :^1.2
    #[arg(long, value_name = "PATTERN", env = "ENARX_EXPECT_WORKLOAD")]
    pub expect_workload: Option<WorkloadPattern>,
    /// Wanted digest of the workload: sha256:…
    #[arg(long, value_name = "DIGEST", env = "ENARX_EXPECT_DIGEST")]
    pub expect_digest: Option<Sha256>,
    /// Wanted measurement of the Keep, hex (see `enarx platform measure`)
    #[arg(long, value_name = "HEX", env = "ENARX_EXPECT_MEASUREMENT", value_parser = measurement)]
    pub expect_measurement: Option<String>,
    /// Accept a Keep whose certificate has a warning: not pinned, or appraised under a relaxed policy
    #[arg(long, env = "ENARX_ALLOW_WARNING")]
    pub allow_warning: bool,
    /// Accept simulated silicon, which proves nothing (for development)
    #[arg(long, env = "ENARX_INSECURE_ALLOW_SIMULATED")]
    pub insecure_allow_simulated: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn measurement(text: &str) -> Result<String, String> {
    let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if hex && matches!(text.len(), 64 | 96) {
        Ok(text.to_owned())
    } else {
        Err("wanted 96 (SNP) or 64 (SGX) hex digits, lower case".to_owned())
    }
}

/// Judges the target.
///
/// # Errors
/// With exit code 2 if there is nothing to judge.
pub fn run(args: &VerifyArgs) -> Outcome {
    let usage = |failure: Failure| failure.code(EXIT_USAGE);
    let anchors = Anchors { roots: certificates(&args.ca).map_err(usage)?, ..Anchors::default() };
    let (judged, connection) = judge(&args.target, &anchors).map_err(usage)?;
    let verdict = match &judged {
        Ok(identity) => requirements(args).check(identity).map_err(|unmet| unmet.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if args.json {
        let proved = judged.as_ref().ok().map(facts);
        output::json(&json!({
            "target": args.target, "ok": verdict.is_ok(), "refused": verdict.as_ref().err(), "proved": proved,
            "check": judged.as_ref().err().map(VerifyError::check),
            "connection": connection.as_ref().map(|c| json!({"tls": "1.3", "key_exchange": c.key_exchange, "cipher": c.cipher})),
        }))?;
        return Ok(if verdict.is_ok() { 0 } else { EXIT_FAILED });
    }
    if let Ok(identity) = &judged {
        output::data(&table(identity, connection.as_ref()))?;
    }
    let style = output::stderr_style();
    match verdict {
        Ok(()) => {
            output::talk(
                &style.good(&format!("accepted: {} proves what was asked for", args.target)),
            );
            Ok(0)
        }
        Err(why) => {
            Err(Failure::new(format!("refused: {} does not prove what was asked for", args.target))
                .why(why)
                .next(next(&judged, args)))
        }
    }
}

fn next(judged: &Judged, args: &VerifyArgs) -> &'static str {
    match judged {
        Err(error) => error.hint(),
        Ok(identity) if identity.result.facts.simulated && !args.insecure_allow_simulated => {
            "do not send it anything secret; --insecure-allow-simulated accepts it for development"
        }
        Ok(_) => "do not talk to this server, or change what you expect of it",
    }
}

fn requirements(args: &VerifyArgs) -> Requirements {
    let expects = args.expect_workload.is_some()
        || args.expect_digest.is_some()
        || args.expect_measurement.is_some();
    let rule = PeerRule {
        workload: args.expect_workload.clone(),
        digest: args.expect_digest,
        measurement: args.expect_measurement.clone(),
        tee: None,
    };
    Requirements {
        allow_simulated: args.insecure_allow_simulated,
        allow_warning: args.allow_warning,
        rules: if expects { vec![rule] } else { Vec::new() },
    }
}

/// All certificates of a PEM file.
///
/// # Errors
/// If it cannot be read or has none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem = files::read_bounded(path, limits::POLICY_BYTES_MAX)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.context(format!("cannot read the certificates in {}", path.display()))?;
    if found.is_empty() {
        return Err(Failure::new(format!("cannot read the certificates in {}", path.display()))
            .why("it has none in PEM"));
    }
    Ok(found)
}

/// How a server spoke.
struct Connection {
    key_exchange: String,
    cipher: String,
}

type Judged = Result<Identity, VerifyError>;

/// Asks the target for its certificate, and judges that.
fn judge(target: &str, anchors: &Anchors) -> Result<(Judged, Option<Connection>), Failure> {
    let path = Path::new(target);
    if path.is_file() || target.contains('/') {
        return Ok((
            verify::identify(&certificates(path)?, anchors, reach::now(), Usage::Server),
            None,
        ));
    }
    let place: HostPort = target.parse().map_err(|error| {
        Failure::new(format!("{target:?} is neither a file nor a server"))
            .why(error)
            .next("for example app.example.com:443, or ./chain.pem")
    })?;
    let probe = verify::probe(&place.host, place.port.unwrap_or(443), anchors, reach::now())
        .context(format!("cannot ask {place} for its certificate"))?;
    Ok((
        probe.identity,
        Some(Connection { key_exchange: probe.key_exchange, cipher: probe.cipher }),
    ))
}

/// What the certificate proves, for programs.
fn facts(identity: &Identity) -> Value {
    json!({
        "peer": identity.peer,
        "status": identity.result.status(),
        "dns": identity.dns,
        "ip": identity.ip,
        "subject": identity.subject,
        "issuer": identity.issuer,
        "serial": identity.serial,
        "not_before": identity.not_before,
        "not_after": identity.not_after,
        "verifier": identity.result.build,
        "appraised_at": identity.result.issued_at,
        "policy": identity.result.policy,
        "policy_uri": identity.policy_uri,
        "facts": identity.result.facts,
    })
}

/// What the certificate proves, for people.
fn table(identity: &Identity, connection: Option<&Connection>) -> String {
    let style = output::stdout_style();
    let mut rows: Vec<Vec<String>> = verify::report::rows(identity)
        .into_iter()
        .map(|row| {
            let value = match row.good {
                Some(true) => style.good(&row.value),
                Some(false) => style.bad(&row.value),
                None => row.value,
            };
            vec![style.dim(row.label), value]
        })
        .collect();
    if let Some(connection) = connection {
        let text = format!(
            "TLS 1.3, {}, {}; the server holds the key",
            connection.key_exchange, connection.cipher
        );
        rows.push(vec![style.dim("connection"), text]);
    }
    output::columns(&rows)
}
