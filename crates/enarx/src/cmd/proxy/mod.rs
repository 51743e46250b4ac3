// SPDX-License-Identifier: Apache-2.0

//! `enarx proxy`: TLS and attestation for programs that know neither.
//!
//! A program on this machine speaks plain TCP to the proxy; the proxy speaks TLS 1.3 to a Keep, and says nothing before the Keep has
//! proved what is expected of it. Each connection is proved anew.

mod events;
mod relay;
mod target;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use types::config::{HostPort, is_alpn};
use types::limits;

use self::events::{Events, Happening};
use self::relay::Meter;
use self::target::Target;
use super::expect::ExpectArgs;
use crate::cli::{Global, Level};
use crate::failure::{Context as _, EXIT_USAGE, Failure, Outcome};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  enarx proxy 8080 app.example.com --ca steward.pem --expect workload=store.example.com/team/app:^1.2
  curl http://127.0.0.1:8080/                  # in another terminal: talks to that Keep, or to nobody
  enarx proxy 50051 rpc.example.com --ca steward.pem --expect digest=sha256:… --alpn h2       for gRPC
  enarx proxy 127.0.0.1:0 db.example.com:5432 --ca steward.pem --expect digest=sha256:… --json

What can be expected stands in `enarx verify --help`. Without --expect any workload in any attested Keep is accepted.

Standard output has the address that the proxy listens on, or with --json one object per line for everything that happens; standard
error has a line per connection. A connection to a server that does not prove what is expected is reset before a byte goes through.
Ctrl-C takes no more connections and gives those that are open 10 seconds; a second one cuts them.

Exit codes:
  0  it was told to stop
  1  it failed
  2  called wrongly, or it cannot listen there";

/// How long open connections have to end when the proxy stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How long to wait before accepting again when the system has no descriptor or memory left for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Arguments of `enarx proxy`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ProxyArgs {
    /// Where to listen: a port of this machine's loopback, or an address with its port; port 0 chooses one
    #[arg(value_name = "[ADDRESS:]PORT", value_parser = listen)]
    pub listen: SocketAddr,
    /// The Keep's server
    #[arg(value_name = "HOST[:PORT]")]
    pub target: HostPort,
    /// Whom to believe, and what to expect.
    #[command(flatten)]
    pub expect: ExpectArgs,
    /// PEM file with a certificate to show to servers that ask for one, those of its issuers after it
    #[arg(long, value_name = "FILE", requires = "client_key", env = "ENARX_CLIENT_CERT")]
    pub client_cert: Option<PathBuf>,
    /// PEM file with its private key, readable by its owner only
    #[arg(long, value_name = "FILE", requires = "client_cert", env = "ENARX_CLIENT_KEY")]
    pub client_key: Option<PathBuf>,
    /// Application protocol to negotiate (ALPN), such as h2 for gRPC: a server that does not agree on one is not talked to (may be
    /// repeated, the preferred one first)
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol, value_delimiter = ',')]
    pub alpn: Vec<String>,
    /// Most connections at a time; more wait until one ends
    #[arg(long, value_name = "NUMBER", default_value_t = 256, value_parser = connections)]
    pub max_connections: usize,
    /// Seconds without a byte in either direction after which a connection is cut
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub idle_timeout: u64,
    /// Listen where other machines can connect: whoever can is let through, and the way to this machine is not protected
    #[arg(long)]
    pub insecure_listen_anywhere: bool,
    /// Print one JSON object per line for everything that happens
    #[arg(long)]
    pub json: bool,
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let text = text.strip_prefix("localhost:").unwrap_or(text);
    text.parse::<u16>().map(|port| SocketAddr::new(loopback, port)).or_else(|_| text.parse()).map_err(
        |_| "wanted a port such as 8080, or an address with its port such as 127.0.0.1:8080 or [::1]:8080".to_owned(),
    )
}

fn protocol(text: &str) -> Result<String, String> {
    let wrong = "wanted 1 to 255 visible ASCII characters such as h2";
    if is_alpn(text) { Ok(text.to_owned()) } else { Err(wrong.to_owned()) }
}

fn connections(text: &str) -> Result<usize, String> {
    let most = limits::PROXY_CONNECTIONS_MAX;
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("wanted a number from 1 to {most}"))
}

/// Serves until it is told to stop.
///
/// # Errors
/// With exit code 2 if it cannot begin.
pub fn run(args: &ProxyArgs, global: &Global) -> Outcome {
    let usage = |failure: Failure| failure.code(EXIT_USAGE);
    if !args.listen.ip().is_loopback() && !args.insecure_listen_anywhere {
        return Err(usage(
            Failure::new(format!("will not listen on {}", args.listen))
                .why("whoever can connect there is let through to the Keep, unprotected on the way to this machine")
                .next("listen on loopback, for example 127.0.0.1:8080; --insecure-listen-anywhere insists"),
        ));
    }
    let target = Target::new(args).map_err(usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the proxy")?;
    runtime.block_on(async {
        let stop = Stop::new()?;
        let listener = TcpListener::bind(args.listen)
            .await
            .context(format!("cannot listen on {}", args.listen))
            .map_err(|failure| usage(failure.next("choose another port; 0 takes a free one")))?;
        let events = Events::new(args.json, global.log_filter >= Level::Info);
        let address = listener.local_addr().context("cannot tell where the proxy listens")?;
        events.listening(address, &target)?;
        if args.expect.expect.is_empty() {
            let style = output::stderr_style();
            let warning = "no --expect: any workload in any attested Keep will do";
            output::talk(&style.warn(warning));
        }
        Proxy {
            target,
            events,
            permits: Arc::new(Semaphore::new(args.max_connections)),
            idle: Duration::from_secs(args.idle_timeout),
        }
        .serve(listener, stop)
        .await;
        Ok(0)
    })
}

/// Being told to stop.
struct Stop([Signal; 3]);

impl Stop {
    fn new() -> Result<Self, Failure> {
        let hear = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self([
            hear(SignalKind::interrupt())?,
            hear(SignalKind::terminate())?,
            hear(SignalKind::hangup())?,
        ]))
    }

    async fn told(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

struct Proxy {
    target: Target,
    events: Events,
    permits: Arc<Semaphore>,
    idle: Duration,
}

impl Proxy {
    async fn serve(self, listener: TcpListener, mut stop: Stop) {
        let proxy = Arc::new(self);
        let mut open = JoinSet::new();
        let mut number = 0;
        loop {
            tokio::select! {
                () = stop.told() => break,
                Some(_) = open.join_next() => {}
                (permit, plain, from) = proxy.accept(&listener) => {
                    number += 1;
                    let proxy = Arc::clone(&proxy);
                    open.spawn(async move {
                        proxy.connection(number, plain, from).await;
                        drop(permit);
                    });
                }
            }
        }
        drop(listener);
        proxy.events.stopping(open.len());
        let ended = async { while open.join_next().await.is_some() {} };
        tokio::select! {
            _ = tokio::time::timeout(DRAIN, ended) => {}
            () = stop.told() => {}
        }
        proxy.events.stopped(open.len());
    }

    /// The next connection, once there is room for it.
    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> (Option<OwnedSemaphorePermit>, TcpStream, SocketAddr) {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        loop {
            match listener.accept().await {
                Ok((plain, from)) => return (permit, plain, from),
                Err(error) => {
                    self.events.not_accepted(&error);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn connection(&self, number: u64, plain: TcpStream, from: SocketAddr) {
        let tell = |happening| self.events.connection(number, from, &happening);
        let mut plain = Plain { socket: plain, intact: false };
        let (tls, identity) = match self.target.open().await {
            Ok(open) => open,
            Err(why) => return tell(Happening::NotOpen(why)),
        };
        tell(Happening::Verified(Box::new(identity)));
        let _ = plain.socket.set_nodelay(true);
        let meter = Meter::new(self.idle);
        let end = relay::relay(&mut plain.socket, tls, &meter).await;
        plain.intact = end.is_ok();
        tell(Happening::Closed { sent: meter.sent(), received: meter.received(), why: end.err() });
    }
}

/// The connection to a program on this machine. Unless all went well it is reset when it goes, whatever makes it go: nothing that
/// was cut off, and no refusal, must look like an answer that ends there.
struct Plain {
    socket: TcpStream,
    intact: bool,
}

impl Drop for Plain {
    fn drop(&mut self) {
        if !self.intact {
            let _ = self.socket.set_zero_linger();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_listen() {
        for (text, wanted) in [
            ("8080", "127.0.0.1:8080"),
            ("0", "127.0.0.1:0"),
            ("localhost:80", "127.0.0.1:80"),
            ("127.0.0.2:80", "127.0.0.2:80"),
            ("[::1]:80", "[::1]:80"),
            ("0.0.0.0:80", "0.0.0.0:80"),
        ] {
            assert_eq!(listen(text).unwrap().to_string(), wanted);
        }
        for text in ["", "65536", "127.0.0.1", "example.com:80", "::1:80", "-1"] {
            assert!(listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn connections_are_bounded() {
        assert_eq!(connections("1"), Ok(1));
        assert!(connections("0").is_err() && connections("1000000").is_err());
    }
}
