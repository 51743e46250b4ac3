// SPDX-License-Identifier: Apache-2.0

//! The program: its command line, and what each command does.

mod ca;
mod ca_files;
mod frame;
mod log;
mod policy;
mod serve;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use chassis::exit;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use types::digest::Sha256;
use types::time::Timestamp;

use crate::authority::KeySource;

/// The attestation certificate authority of Enarx.
///
/// Steward appraises what a CPU says about a Keep, under a policy that anybody can read, and signs a short-lived
/// certificate that says what was attested.
#[derive(Debug, Parser)]
#[command(
    name = "steward",
    version,
    after_help = "Examples:\n  \
        steward ca init ./root --name \"Example Root\"\n  \
        steward ca intermediate ./ca --name \"Example Steward\" --root-cert root/ca.pem --root-key root/ca.key\n  \
        steward policy check policy.toml\n  \
        steward serve --addr 127.0.0.1:3000 --url https://steward.example.com \\\n    \
            --tls-cert tls.pem --tls-key tls.key --ca-cert ca/ca.pem --ca-key ca/ca.key \\\n    \
            --policy policy.toml --issuance-log /var/lib/steward/log\n  \
        steward log verify /var/lib/steward/log\n\n\
        Exit codes: 0 all went well, 1 it could not be done, 2 the command line or a file it names is wrong."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve: appraise requests and issue certificates
    Serve(Box<Serve>),
    /// The certificate authority's own key and certificate
    #[command(subcommand)]
    Ca(ca::Ca),
    /// Appraisal policies
    #[command(subcommand)]
    Policy(Policy),
    /// The log of all certificates that were issued
    #[command(subcommand)]
    Log(Log),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// `steward serve`
#[derive(Debug, Args)]
struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(long, env = "STEWARD_ADDR", value_name = "ADDR:PORT", default_value = "127.0.0.1:3000")]
    addr: std::net::SocketAddr,
    /// Public address, as certificates name it; the address listened on if not given
    #[arg(long, env = "STEWARD_URL", value_name = "URL", value_parser = url)]
    url: Option<String>,
    #[command(flatten)]
    frame: frame::Frame,
    /// Certificate of the CA, PEM, followed by those above it; read again on SIGHUP
    #[arg(long, env = "STEWARD_CA_CERT", value_name = "FILE")]
    ca_cert: PathBuf,
    /// Private key of the CA: PEM, mode 0600, or pkcs11:… for one in a token (RFC 7512); read again on SIGHUP
    #[arg(long, env = "STEWARD_CA_KEY", value_name = "KEY", value_parser = ca::KeyParser)]
    ca_key: KeySource,
    /// Appraisal policy, TOML; read again on SIGHUP
    #[arg(long, env = "STEWARD_POLICY", value_name = "FILE")]
    policy: PathBuf,
    /// Directory of revocation lists (see `steward ca crl`), read again on SIGHUP; certificates name them. Without it,
    /// certificates say that nobody revokes them
    #[arg(long, env = "STEWARD_CRL_DIR", value_name = "DIR")]
    crl_dir: Option<PathBuf>,
    /// Key of the nonces, 64 hex digits, mode 0600; the same for all instances behind one address. Without, each process
    /// has its own
    #[arg(long, env = "STEWARD_NONCE_KEY", value_name = "FILE")]
    nonce_key: Option<PathBuf>,
    /// Directory where every certificate is recorded before it leaves; made if it is not there
    #[arg(
        long,
        env = "STEWARD_ISSUANCE_LOG",
        value_name = "DIR",
        required_unless_present = "insecure_no_issuance_log"
    )]
    issuance_log: Option<PathBuf>,
    /// INSECURE: record no certificates: nobody can tell later what was issued; for development only
    #[arg(long, env = "STEWARD_INSECURE_NO_ISSUANCE_LOG", conflicts_with = "issuance_log")]
    insecure_no_issuance_log: bool,
    /// INSECURE: believe simulated silicon with these roots, PEM; for development only
    #[arg(long, env = "STEWARD_INSECURE_SIMULATED_ROOTS", value_name = "FILE")]
    insecure_simulated_roots: Option<PathBuf>,
    /// INSECURE: judge everything at this time, RFC 3339 in UTC; for tests only
    #[arg(long, env = "STEWARD_INSECURE_TIME", value_name = "TIME")]
    insecure_time: Option<Timestamp>,
    /// What the log looks like: human or json
    #[arg(long, env = "STEWARD_LOG_FORMAT", value_name = "FORMAT", default_value = "human")]
    log_format: chassis::log::Format,
    /// What is logged: a level, or target=level pairs
    #[arg(long, env = "STEWARD_LOG_FILTER", value_name = "FILTER", default_value = "info")]
    log_filter: String,
}

#[derive(Debug, Subcommand)]
enum Policy {
    /// Read a policy as `serve` would, and print its digest
    Check {
        /// The policy, TOML
        #[arg(env = "STEWARD_POLICY")]
        file: PathBuf,
        /// Print the verdict as JSON
        #[arg(long, env = "STEWARD_JSON")]
        json: bool,
    },
    /// Say in words what a policy demands and what it lets pass
    Explain {
        /// The policy, TOML
        #[arg(env = "STEWARD_POLICY")]
        file: PathBuf,
        /// Print the sentences as JSON
        #[arg(long, env = "STEWARD_JSON")]
        json: bool,
    },
    /// Say what one policy lets pass and another does not; exit code 1 if they differ
    Diff {
        /// The old policy, TOML
        #[arg(env = "STEWARD_POLICY_OLD")]
        old: PathBuf,
        /// The new policy, TOML
        #[arg(env = "STEWARD_POLICY_NEW")]
        new: PathBuf,
        /// Print the differences as JSON
        #[arg(long, env = "STEWARD_JSON")]
        json: bool,
    },
    /// Judge recorded evidence as `serve` would; exit code 1 if a verdict is not as expected
    Test(PolicyTest),
}

/// `steward policy test`
#[derive(Debug, Args)]
struct PolicyTest {
    /// The policy, TOML
    #[arg(env = "STEWARD_POLICY")]
    file: PathBuf,
    /// Directory with recorded evidence: requests (*.csr), and directories with a report, quote, document or token and what travels with it
    #[arg(long, env = "STEWARD_EVIDENCE", value_name = "DIR")]
    evidence: PathBuf,
    /// Judge it at this time, RFC 3339 in UTC; now if not given
    #[arg(long, env = "STEWARD_AT", value_name = "TIME")]
    at: Option<Timestamp>,
    /// Hold the verdicts against those that facts.toml beside the evidence gives for the policy of this name, at their times
    #[arg(long, env = "STEWARD_EXPECTED", value_name = "NAME")]
    expected: Option<String>,
    /// INSECURE: believe simulated silicon with these roots, PEM; for development only
    #[arg(long, env = "STEWARD_INSECURE_SIMULATED_ROOTS", value_name = "FILE")]
    insecure_simulated_roots: Option<PathBuf>,
    /// Print the verdicts as JSON
    #[arg(long, env = "STEWARD_JSON")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Log {
    /// Read all of a log and check its chain; the first entry that is broken is named
    Verify {
        #[command(flatten)]
        range: Range,
        /// A head that was noted earlier; the log must still go through it
        #[arg(long, env = "STEWARD_LOG_THROUGH", value_name = "sha256:HEX")]
        through: Option<Sha256>,
        /// Print the verdict as JSON
        #[arg(long, env = "STEWARD_JSON")]
        json: bool,
    },
    /// Print the entries of a log, checking its chain on the way
    Show {
        #[command(flatten)]
        range: Range,
        /// Only the certificate with this serial number, hex; as PEM
        #[arg(long, env = "STEWARD_LOG_SERIAL", value_name = "HEX")]
        serial: Option<String>,
        /// Print entries as JSON, one on each line
        #[arg(long, env = "STEWARD_JSON")]
        json: bool,
    },
}

/// Which log.
#[derive(Debug, Args)]
struct Range {
    /// Directory of the log
    #[arg(env = "STEWARD_ISSUANCE_LOG")]
    dir: PathBuf,
    /// Hash of the last entry before those that are here, if older files were moved away
    #[arg(long, env = "STEWARD_LOG_AFTER", value_name = "sha256:HEX")]
    after: Option<Sha256>,
}

fn url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    match host {
        Some(host) if types::slug::valid_host(host) => Ok(format!("https://{host}")),
        _ => Err("expected https://host or https://host:port, nothing behind it".to_owned()),
    }
}

/// Runs the program with the arguments of the process.
pub fn run() -> ExitCode {
    // Before any key is read.
    if let Err(error) = chassis::secret::keep_memory_private() {
        return failed(&format!("core dumps cannot be turned off: {error}"));
    }
    match Cli::parse().command {
        Command::Serve(options) => serve::run(&options),
        Command::Ca(command) => ca::run(&command),
        Command::Policy(command) => policy::run(&command),
        Command::Log(Log::Verify { range, through, json }) => log::verify(&range, through, json),
        Command::Log(Log::Show { range, serial, json }) => {
            log::show(&range, serial.as_deref(), json)
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "steward", &mut io::stdout());
            ExitCode::SUCCESS
        }
    }
}

/// Prints what was asked for.
fn print(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Says what is wrong with the command line or a file it names.
fn usage(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("steward: {error}");
    ExitCode::from(exit::USAGE)
}

/// Says what could not be done.
fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("steward: {error}");
    ExitCode::from(exit::FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable() {
        fn visit(command: &clap::Command) {
            for argument in command.get_arguments() {
                let built_in = ["help", "version", "shell"].contains(&argument.get_id().as_str());
                assert!(
                    built_in || argument.get_env().is_some(),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }

    #[test]
    fn public_addresses() {
        assert_eq!(url("https://a.example/"), Ok("https://a.example".to_owned()));
        assert_eq!(url("https://[::1]:3000"), Ok("https://[::1]:3000".to_owned()));
        for text in ["http://a.example", "a.example", "https://a/b", "https://", "https://a?b"] {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
