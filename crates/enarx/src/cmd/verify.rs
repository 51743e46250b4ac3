// SPDX-License-Identifier: Apache-2.0

//! `enarx verify`: what a certificate proves, and whether that is enough.

use std::io::{self, Read as _};
use std::path::Path;

use clap::Args;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use types::config::HostPort;
use types::limits;
use verify::{Anchors, Identity, Refusal, Usage, VerifyError};

use super::expect::{self, ExpectArgs};
use crate::failure::{Context as _, EXIT_FAILED, EXIT_USAGE, Failure, Outcome};
use crate::{output, reach};

const EXAMPLES: &str = "\
Examples:
  enarx verify app.example.com:443 --ca steward.pem
  enarx verify app.example.com --ca steward.pem --expect workload=store.example.com/team/app:^1.2
  enarx verify chain.pem --ca steward.pem --expect tee=snp --expect tee=tdx --expect max-age=24h --json
  openssl s_client -connect app.example.com:443 -showcerts </dev/null | enarx verify - --ca steward.pem

What can be expected:
  workload=HOST/USER/REPO[:VERSION]  its name, optionally with a version or a requirement such as ^1.2
  digest=sha256:HEX                  its digest
  tee=snp                            where it runs: snp, sgx, tdx, nitro or cca
  tier=affirming                     how good Steward's word is at least; without it affirming, and warning takes Keeps that
                                     the policy does not pin, or for which it relaxed something
  measurement=HEX                    the Keep's (see `enarx platform measure`)
  signer=HEX                         digest of the key that signed the Keep
  policy=sha256:HEX                  the policy under which it was appraised
  max-age=24h                        how long ago it was appraised at most (s, m, h, d)
In ENARX_EXPECT they stand one per line.

The exit code is the verdict:
  0  the certificate proves what was asked for
  1  refused
  2  called wrongly, or the server cannot be reached

Without --expect any workload in any attested Keep is accepted: look at the table.";

/// Arguments of `enarx verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// A server, a PEM file with its chain, its own certificate first, or - for such a file on standard input
    #[arg(value_name = "HOST[:PORT]|FILE|-")]
    pub target: String,
    /// Whom to believe, and what to expect.
    #[command(flatten)]
    pub expect: ExpectArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Judges the target.
///
/// # Errors
/// With exit code 2 if there is nothing to judge.
pub fn run(args: &VerifyArgs) -> Outcome {
    let usage = |failure: Failure| failure.code(EXIT_USAGE);
    let anchors = args.expect.anchors().map_err(usage)?;
    let (judged, connection) = judge(&args.target, &anchors).map_err(usage)?;
    let verdict = match &judged {
        Ok(identity) => {
            args.expect.requirements().check(identity, reach::now()).map_err(Refusal::from)
        }
        Err(error) => Err(Refusal::from(error.clone())),
    };
    if args.json {
        output::json(&report(args, &judged, &verdict, connection.as_ref()))?;
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
        Err(refusal) => {
            Err(Failure::new(format!("refused: {} does not prove what was asked for", args.target))
                .why(&refusal)
                .next(expect::next(&refusal)))
        }
    }
}

/// How a server spoke.
struct Connection {
    key_exchange: String,
    cipher: String,
}

type Judged = Result<Identity, VerifyError>;

/// Asks the target for its certificate, and judges that.
fn judge(target: &str, anchors: &Anchors) -> Result<(Judged, Option<Connection>), Failure> {
    if let Some(chain) = chain(target)? {
        return Ok((verify::identify(&chain, anchors, reach::now(), Usage::Server), None));
    }
    let place: HostPort = target.parse().map_err(|error| {
        Failure::new(format!("{target:?} is neither a file nor a server"))
            .why(error)
            .next("for example app.example.com:443, ./chain.pem, or - for standard input")
    })?;
    let port = place.port.unwrap_or(443);
    let probe = verify::probe(&place.host, port, anchors, reach::now())
        .context(format!("cannot ask {place} for its certificate"))
        .map_err(|failure| {
            failure.next("check its name and port, that it is up, and that it speaks TLS 1.3")
        })?;
    Ok((
        probe.identity,
        Some(Connection { key_exchange: probe.key_exchange, cipher: probe.cipher }),
    ))
}

/// The chain in a file or on standard input, if that is what the target is.
fn chain(target: &str) -> Result<Option<Vec<CertificateDer<'static>>>, Failure> {
    let path = Path::new(target);
    if target == "-" {
        let mut text = Vec::new();
        let most = limits::POLICY_BYTES_MAX as u64;
        io::stdin()
            .lock()
            .take(most + 1)
            .read_to_end(&mut text)
            .context("cannot read standard input")?;
        if text.len() > limits::POLICY_BYTES_MAX {
            return Err(Failure::new("cannot read standard input")
                .why(format!("it is larger than {most} bytes")));
        }
        return expect::certificates_in(&text, &"standard input").map(Some);
    }
    if path.is_file() || target.contains('/') {
        return expect::certificates(path).map(Some);
    }
    Ok(None)
}

/// The verdict and all that is behind it, for programs.
fn report(
    args: &VerifyArgs,
    judged: &Judged,
    verdict: &Result<(), Refusal>,
    connection: Option<&Connection>,
) -> Value {
    let refusal = verdict.as_ref().err();
    let expected: Vec<_> = args.expect.expect.iter().map(ToString::to_string).collect();
    json!({
        "target": args.target,
        "ok": refusal.is_none(),
        "refused": refusal.map(ToString::to_string),
        "check": refusal.map(Refusal::check),
        "next": refusal.map(expect::next),
        "expected": expected,
        "proved": judged.as_ref().ok().map(facts),
        "connection": connection.map(|c| {
            json!({"tls": "1.3", "key_exchange": c.key_exchange, "cipher": c.cipher})
        }),
    })
}

/// What the certificate proves, for programs.
pub fn facts(identity: &Identity) -> Value {
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
