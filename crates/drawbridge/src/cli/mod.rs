// SPDX-License-Identifier: Apache-2.0

//! The command line.

mod audit;
mod check;
mod gc;
mod scrub;
mod serve;

use std::io::Write as _;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::key::RegistryKey;
use crate::store::{Location, Store};

/// A registry of workloads for Keeps.
#[derive(Debug, Parser)]
#[command(name = "drawbridge", version, propagate_version = true)]
pub struct Cli {
    /// How the log looks: `human` or `json`.
    #[arg(
        long,
        global = true,
        env = "DRAWBRIDGE_LOG_FORMAT",
        default_value = "human",
        value_name = "FORMAT"
    )]
    log_format: chassis::log::Format,
    /// What is logged: a level, or target=level pairs.
    #[arg(
        long,
        global = true,
        env = "DRAWBRIDGE_LOG_FILTER",
        default_value = "info",
        value_name = "FILTER"
    )]
    log_filter: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a store over https until SIGTERM or SIGINT.
    #[command(after_help = SERVE_EXAMPLE)]
    Serve(Box<Serve>),
    /// Say what `serve` would do with these arguments and this environment, and what is wrong with them.
    #[command(after_help = check::EXAMPLE)]
    CheckConfig(Box<check::CheckConfig>),
    /// The key that signs what this registry's tags stand for.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// The log of what was released and refused, and of every change of who may do what.
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
    /// Read everything in a store, and name what is damaged, misplaced or incomplete.
    #[command(after_help = scrub::EXAMPLE)]
    Scrub(scrub::ScrubOptions),
    /// Remove what no tag and no manifest needs any more, beside registries that go on.
    #[command(after_help = gc::EXAMPLE)]
    Gc(gc::GcOptions),
    /// Print the completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

const SERVE_EXAMPLE: &str = "\
Example:
  drawbridge serve --addr [::]:443 --store /var/lib/drawbridge --host store.example.com \\
    --tls-cert chain.pem --tls-key key.pem \\
    --oidc-issuer https://auth.example.com/ --oidc-audience https://store.example.com/ \\
    --keep-ca steward.pem

When it listens, it prints one line of JSON on standard output: {\"listening\":\"https://…\"}.
On SIGHUP it reads the TLS certificate and its key again.";

#[derive(Args, Clone, Debug)]
struct Serve {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "DRAWBRIDGE_ADDR", default_value = "[::]:8443", value_name = "ADDRESS:PORT")]
    addr: SocketAddr,
    /// The TLS certificate and those above it, PEM.
    #[arg(long, env = "DRAWBRIDGE_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The private key of the TLS certificate, PEM, readable by its owner only.
    #[arg(long, env = "DRAWBRIDGE_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Speak plain HTTP, for a proxy on this machine that speaks TLS; only on a loopback address. Keeps cannot
    /// authenticate through a proxy, so there is no --keep-ca then.
    #[arg(long, env = "DRAWBRIDGE_PLAIN")]
    plain: bool,
    /// Where to answer the operator (/livez, /readyz, /metrics), plain HTTP on a loopback address; nowhere if not given.
    #[arg(long, env = "DRAWBRIDGE_ADMIN_ADDR", value_name = "ADDRESS:PORT")]
    admin_addr: Option<SocketAddr>,
    /// INSECURE: let --admin-addr be an address that others reach; whoever reaches it reads the metrics.
    #[arg(long, env = "DRAWBRIDGE_INSECURE_ADMIN_PUBLIC")]
    insecure_admin_public: bool,
    /// Send a span for each request to the OpenTelemetry collector at this URL (OTLP/HTTP, JSON): https, or http on this
    /// machine.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Roots of the collector's certificate, PEM; needed for https.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_CERTIFICATE", value_name = "FILE")]
    otlp_ca: Option<PathBuf>,
    /// Most connections at once.
    #[arg(long, env = "DRAWBRIDGE_CONNECTIONS_MAX", value_name = "N", default_value = "1024")]
    connections_max: NonZero<usize>,
    /// Requests a second that one client (IPv4 address or IPv6 /64) may make, twice as many at once; 0 for any number.
    /// 500 if not given; any number with --plain, where all clients look like the proxy.
    #[arg(long, env = "DRAWBRIDGE_CLIENT_RATE", value_name = "N")]
    client_rate: Option<u32>,
    /// Where to keep everything: a directory, which is made if it does not exist, or a bucket, which many registries may
    /// share: s3://bucket/prefix, with credentials, AWS_REGION and AWS_ENDPOINT_URL from the environment. The server must
    /// keep to conditional writes; it is tried at the start.
    #[arg(long, env = "DRAWBRIDGE_STORE", value_name = "DIR|URL")]
    store: Location,
    /// Where uploads to a bucket wait until they are checked; needs room for those of a moment.
    #[arg(long, env = "DRAWBRIDGE_SCRATCH", value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    scratch: PathBuf,
    /// The public name of this registry, with its port where it is not 443. Tags are stated under this name.
    #[arg(long, env = "DRAWBRIDGE_HOST", value_name = "HOST[:PORT]")]
    host: String,
    /// Who issues tokens to people: the URL of an OpenID Connect issuer, exactly as it names itself. https, or http on this machine.
    #[arg(long, env = "DRAWBRIDGE_OIDC_ISSUER", value_name = "URL", requires = "oidc_audience")]
    oidc_issuer: Option<String>,
    /// What people's tokens must have as their audience. `enarx user login` asks for https://HOST/, with the slash.
    #[arg(
        long,
        env = "DRAWBRIDGE_OIDC_AUDIENCE",
        value_name = "AUDIENCE",
        requires = "oidc_issuer"
    )]
    oidc_audience: Option<String>,
    /// An issuer whose tokens may publish where an owner's rules take them, such as that of a continuous integration: its URL,
    /// exactly as it names itself (may be repeated). Its keys must be at the same host.
    #[arg(long, env = "DRAWBRIDGE_TRUSTED_ISSUER", value_name = "URL", value_delimiter = ',')]
    trusted_issuer: Vec<String>,
    /// Roots for the issuers' TLS certificates, PEM, in place of the public ones.
    #[arg(long, env = "DRAWBRIDGE_OIDC_CA", value_name = "FILE")]
    oidc_ca: Option<PathBuf>,
    /// Where to write down what is released and refused to whom, and every change of who may do what; nowhere if not given. What
    /// cannot be written there is not done. On SIGHUP it is tried again.
    #[arg(long, env = "DRAWBRIDGE_AUDIT_LOG", value_name = "DIR")]
    audit_log: Option<PathBuf>,
    /// Roots of Stewards, PEM. Private workloads are released to Keeps with certificates below these.
    #[arg(long, env = "DRAWBRIDGE_KEEP_CA", value_name = "FILE", num_args = 1.., value_delimiter = ',')]
    keep_ca: Vec<PathBuf>,
    /// Make a private repository when its owner pushes to one that is not there, by OCI.
    #[arg(long, env = "DRAWBRIDGE_CREATE_ON_PUSH")]
    create_on_push: bool,
    /// Answer no web pages. Without this, whoever opens https://HOST/ in a browser finds, by name, what is public, and how to use
    /// it; nothing private, and no login.
    #[arg(long, env = "DRAWBRIDGE_NO_WEB")]
    no_web: bool,
    /// Most bytes of content that one owner may keep here, once for each repository that has it; any number if not given, for only
    /// the operator knows how much room there is and for whom. Run `drawbridge gc` when quotas begin or change: it counts what is
    /// there. All instances over one bucket should have the same.
    #[arg(long, env = "DRAWBRIDGE_QUOTA_BYTES", value_name = "N")]
    quota_bytes: Option<u64>,
    /// Most tags that one owner may have in all repositories together; any number if not given (10,000 in each repository).
    #[arg(long, env = "DRAWBRIDGE_QUOTA_TAGS", value_name = "N")]
    quota_tags: Option<u64>,
    /// Most repositories that one owner may have; any number if not given.
    #[arg(long, env = "DRAWBRIDGE_QUOTA_REPOS", value_name = "N")]
    quota_repos: Option<u64>,
    /// Release private workloads also to Keeps on simulated silicon, which protects nothing. For development only.
    #[arg(long, env = "DRAWBRIDGE_INSECURE_RELEASE_TO_SIMULATED")]
    insecure_release_to_simulated: bool,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Print the public key as PEM, for the policies of Stewards. Makes the key if there is none yet.
    #[command(
        after_help = "Example:\n  drawbridge key show --store /var/lib/drawbridge > store.example.com.pem"
    )]
    Show {
        /// The registry's store, as it is served.
        #[arg(long, env = "DRAWBRIDGE_STORE", value_name = "DIR|URL")]
        store: Location,
        /// Print one JSON object with the PEM and the thumbprint (the `kid` of tag statements).
        #[arg(long)]
        json: bool,
    },
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// Whatever goes wrong, in words for whoever typed it.
    pub fn run(self) -> anyhow::Result<()> {
        chassis::log::init(self.log_format, &self.log_filter)?;
        match self.command {
            Command::Serve(options) => serve::run(&options),
            Command::CheckConfig(options) => check::run(&options),
            Command::Key { command: KeyCommand::Show { store, json } } => show_key(&store, json),
            Command::Audit { command } => audit::run(&command),
            Command::Scrub(options) => scrub::run(&options),
            Command::Gc(options) => gc::run(&options),
            Command::Completions { shell } => {
                let mut out = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "drawbridge", &mut out);
                print(&out)
            }
        }
    }
}

fn show_key(location: &Location, json: bool) -> anyhow::Result<()> {
    let store = match location {
        Location::Dir(dir) => Store::open_shared(dir)?,
        Location::Bucket(_) => Store::connect(location, &std::env::temp_dir())?,
    };
    let key = RegistryKey::open(&store)?;
    if json {
        let object = serde_json::json!({
            "public_key_pem": key.public_pem(),
            "thumbprint": key.thumbprint(),
        });
        print(format!("{object}\n").as_bytes())
    } else {
        print(key.public_pem().as_bytes())
    }
}

fn print(bytes: &[u8]) -> anyhow::Result<()> {
    std::io::stdout().lock().write_all(bytes).context("cannot write to standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_issuer_wants_an_audience() {
        let serve = [
            "drawbridge",
            "serve",
            "--tls-cert",
            "c",
            "--tls-key",
            "k",
            "--store",
            "s",
            "--host",
            "h",
        ];
        let with = |more: &[&str]| Cli::try_parse_from(serve.iter().chain(more));
        assert!(with(&[]).is_ok());
        assert!(with(&["--oidc-issuer", "https://x"]).is_err());
        assert!(with(&["--oidc-issuer", "https://x", "--oidc-audience", "y"]).is_ok());
        assert!(with(&["--keep-ca", "a", "b", "--keep-ca", "c"]).is_ok());
    }
}
