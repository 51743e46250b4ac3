// SPDX-License-Identifier: Apache-2.0

//! `Enarx.toml`: what a workload gets from its Keep, and with whom it may talk.
//!
//! The file is part of the package, hence covered by the workload's digest: what it says is as trustworthy as the
//! program itself. Two schemas exist and both parse: `[[files]]` lists the workload's descriptors one by one; `[stdin]`,
//! `[stdout]`, `[stderr]` choose the standard streams, and the network is reached through `/net` in the virtual file
//! system. `[network]`, `[trust]` and `[limits]` go with either.
//!
//! Everything is denied that the file does not name: no table for a port means that it cannot be listened on, none for a
//! host that it cannot be connected to. An unknown key is an error.
//!
//! ```
//! use enarx_types::config::{Config, Protocol};
//!
//! let config = Config::parse(
//!     r#"
//!     [stdout]
//!     kind = "host"
//!     [network.incoming.50000]
//!     [network.outgoing."example.com:8080"]
//!     prot = "tcp"
//!     "#,
//! )
//! .unwrap();
//! assert_eq!(config.incoming_rule(50000).unwrap().prot, Protocol::Tls);
//! assert!(config.incoming_rule(50001).is_none());
//! assert!(config.outgoing_rule("example.com", 443).is_none());
//! assert_eq!(config.outgoing_rule("example.com", 8080).unwrap().prot, Protocol::Tcp);
//!
//! let error = Config::parse("[netwrok.incoming.50000]").unwrap_err();
//! assert_eq!((error.line, error.column), (1, 2));
//! assert_eq!(error.hint.as_deref(), Some("did you mean `network`?"));
//! ```

mod explain;
mod parse;
mod pattern;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use serde::Serialize;

pub use self::pattern::{
    HostPort, ParsePatternError, PeerRule, RootPin, TEES, VersionPattern, WorkloadPattern,
    is_measurement,
};
pub use crate::toml_error::TomlError as ConfigError;

/// Highest memory that `[limits]` takes, in bytes (1 TiB).
pub const MEMORY_BYTES_MAX: u64 = 1 << 40;
/// Lowest memory that `[limits]` takes, in bytes: one page of WebAssembly.
pub const MEMORY_BYTES_MIN: u64 = 64 * 1024;
/// Most descriptors, and most connections, that `[limits]` takes.
pub const DESCRIPTORS_MAX: u32 = 65_536;

/// A parsed `Enarx.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Config {
    /// URL (https) of the Steward from which the Keep gets its certificate.
    pub steward: Option<String>,
    /// Arguments after `argv[0]`, which is always `main.wasm`.
    pub args: Vec<String>,
    /// Environment. `FD_COUNT` and `FD_NAMES` are set by the Keep.
    pub env: BTreeMap<String, String>,
    /// Descriptors, the index being the number. With it, `stdin`, `stdout` and `stderr` below say nothing.
    pub files: Option<Vec<FileEntry>>,
    /// Descriptor 0, unless there are `files`.
    pub stdin: Stdio,
    /// Descriptor 1, unless there are `files`.
    pub stdout: Stdio,
    /// Descriptor 2, unless there are `files`.
    pub stderr: Stdio,
    /// With whom the workload may talk.
    pub network: Network,
    /// Who may vouch for other Keeps.
    pub trust: Trust,
    /// How much the workload may use.
    pub limits: Limits,
}

/// Where a standard stream leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stdio {
    /// Nowhere: reads end at once, writes vanish.
    #[default]
    Null,
    /// To the host, which sees and can change everything.
    Host,
}

/// How the bytes of a connection travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Inside of TLS, spoken by the Keep.
    #[default]
    Tls,
    /// As they are: the host can read and change them.
    Tcp,
}

impl Protocol {
    /// 443 for TLS, 80 for TCP.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Tls => 443,
            Self::Tcp => 80,
        }
    }
}

/// One descriptor of the `[[files]]` schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum FileEntry {
    /// Reads end at once, writes vanish.
    Null {
        /// Name in `FD_NAMES`.
        name: String,
    },
    /// The host's standard input.
    Stdin {
        /// Name in `FD_NAMES`.
        name: String,
    },
    /// The host's standard output.
    Stdout {
        /// Name in `FD_NAMES`.
        name: String,
    },
    /// The host's standard error.
    Stderr {
        /// Name in `FD_NAMES`.
        name: String,
    },
    /// A listening socket.
    Listen {
        /// Name in `FD_NAMES`.
        name: String,
        /// Protocol of the connections.
        prot: Protocol,
        /// Address to listen on.
        addr: IpAddr,
        /// Port to listen on; 0 lets the host choose.
        port: u16,
    },
    /// A connected socket.
    Connect {
        /// Name in `FD_NAMES`.
        name: String,
        /// Host to connect to: lower case, IPv6 without brackets.
        host: String,
        /// Protocol of the connection.
        prot: Protocol,
        /// Port to connect to.
        port: u16,
    },
}

impl FileEntry {
    /// Address on which a `listen` entry listens if it names none: all, IPv6 and IPv4.
    pub const LISTEN_ANY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

    /// The entry's name in `FD_NAMES`.
    pub fn name(&self) -> &str {
        match self {
            Self::Null { name }
            | Self::Stdin { name }
            | Self::Stdout { name }
            | Self::Stderr { name }
            | Self::Listen { name, .. }
            | Self::Connect { name, .. } => name,
        }
    }
}

/// With whom the workload may talk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Connections to the workload.
    pub incoming: Incoming,
    /// Connections by the workload.
    pub outgoing: Outgoing,
}

/// Rules for connections to the workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Incoming {
    /// The rule for ports that have none of their own.
    pub default: Option<IncomingRule>,
    /// Rules by port; those that `[[files]]` implies included.
    pub ports: BTreeMap<u16, IncomingRule>,
}

/// Rules for connections by the workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outgoing {
    /// The rule for hosts that have none of their own.
    pub default: Option<OutgoingRule>,
    /// Rules by host and port; those that `[[files]]` implies included.
    #[serde(serialize_with = "pattern::hosts_as_strings")]
    pub hosts: BTreeMap<HostPort, OutgoingRule>,
}

/// What a listening socket asks of those who connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IncomingRule {
    /// Protocol.
    pub prot: Protocol,
    /// Whether they must show a certificate.
    pub client: ClientAuth,
    /// Whom to let in; empty: everybody that `client` lets in.
    pub peers: Vec<PeerRule>,
    /// Application protocols to negotiate (ALPN, RFC 7301), the preferred one first; empty: none are negotiated. A client that
    /// names some, and none of these, is turned away.
    pub alpn: Vec<String>,
}

/// Whether `name` is one that this project takes for an application protocol (ALPN): 1 to 255 visible ASCII characters, as all
/// registered ones are ([IANA](https://www.iana.org/assignments/tls-extensiontype-values/), RFC 7301 section 3.1).
pub fn is_alpn(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a TLS client must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// It is not asked for one.
    None,
    /// It is asked; without one, or with one that no anchor backs, it is anonymous.
    #[default]
    Request,
    /// Only an attested Keep that an anchor backs gets in.
    Require,
}

/// What a connection demands of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OutgoingRule {
    /// Protocol.
    pub prot: Protocol,
    /// Whose word on the server's identity counts.
    pub trust: OutgoingTrust,
    /// Which Keeps will do; empty: any that `trust` takes.
    pub peers: Vec<PeerRule>,
}

/// Whose word on a server's identity counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutgoingTrust {
    /// The public Web PKI: the server's name is what matters.
    #[default]
    Web,
    /// The Stewards of `[trust]`: what runs in the Keep is what matters.
    Steward,
}

/// Who may vouch for other Keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trust {
    /// Roots of Stewards. Without one, no peer is ever reported as a Keep.
    pub steward: Vec<RootPin>,
    /// Whether a peer in simulated silicon counts as a Keep. It proves nothing; for development.
    pub insecure_simulated: bool,
}

/// How much the workload may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Memory of the workload and of its `/tmp`, bytes.
    pub memory_bytes: u64,
    /// Time on the processor, seconds; `None`: no limit.
    pub cpu_seconds: Option<u64>,
    /// Descriptors open at once.
    pub open_files: u32,
    /// Connections open at once.
    pub connections: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 1 << 30, cpu_seconds: None, open_files: 256, connections: 1024 }
    }
}

impl Config {
    /// What a bare module without `Enarx.toml` gets: arguments and the three standard streams of the host, nothing else.
    pub fn bare(args: Vec<String>) -> Self {
        Self {
            args,
            stdin: Stdio::Host,
            stdout: Stdio::Host,
            stderr: Stdio::Host,
            ..Self::default()
        }
    }

    /// A commented file that allows the standard streams and shows all that can be said.
    pub const fn example() -> &'static str {
        include_str!("example.toml")
    }

    /// The rule for listening on `port`; `None`: it is refused.
    pub fn incoming_rule(&self, port: u16) -> Option<&IncomingRule> {
        let incoming = &self.network.incoming;
        incoming.ports.get(&port).or(incoming.default.as_ref())
    }

    /// The rule for connecting to `port` of `host` (a name or an address, IPv6 with or without brackets); `None`: it is refused.
    ///
    /// `host:port` beats `host`, which beats the default.
    pub fn outgoing_rule(&self, host: &str, port: u16) -> Option<&OutgoingRule> {
        let outgoing = &self.network.outgoing;
        let mut key = HostPort::normalised(host, Some(port));
        if let Some(rule) = outgoing.hosts.get(&key) {
            return Some(rule);
        }
        key.port = None;
        outgoing.hosts.get(&key).or(outgoing.default.as_ref())
    }

    /// The port meant by a connection to `host` that names none: that of the only rule for the host, else the default of
    /// its rule's protocol. `None`: it is refused, or several ports are meant.
    pub fn outgoing_port(&self, host: &str) -> Option<u16> {
        let outgoing = &self.network.outgoing;
        let key = HostPort::normalised(host, None);
        if let Some(rule) = outgoing.hosts.get(&key) {
            return Some(rule.prot.default_port());
        }
        let mut ports = outgoing
            .hosts
            .keys()
            .filter(|other| other.host == key.host)
            .filter_map(|other| other.port);
        match (ports.next(), ports.next()) {
            (Some(port), None) => Some(port),
            (Some(_), Some(_)) => None,
            (None, _) => outgoing.default.as_ref().map(|rule| rule.prot.default_port()),
        }
    }
}

#[cfg(test)]
mod tests;
