// SPDX-License-Identifier: Apache-2.0

//! The workload's network: who may connect, whither it may connect, and TLS for all of it.
//!
//! Nothing is reachable that `Enarx.toml` does not name. TLS is the Keep's, not the workload's: the workload reads and
//! writes plain bytes and is told who is at the other end. Anchors come out of the configuration alone, which is covered
//! by the workload's digest; those that the host passed in order to reach Steward and Drawbridge play no role here.

mod connection;
mod error;
mod listener;
mod policy;
mod shared;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use types::config::{Config, FileEntry, Protocol};
use types::hostlink::Event;
use types::peer::Peer;

use crate::clock::Clock;
use crate::hostlink::Link;
use crate::identity::Identity;
use crate::net::connection::Layer;
use crate::net::policy::Policy;
use crate::net::shared::Shared;

pub use crate::net::connection::Connection;
pub use crate::net::error::{NetError, NetErrorKind};
pub use crate::net::listener::Listener;

/// How long connecting may take, handshake included.
const CONNECT: Duration = Duration::from_secs(10);

/// The network of one workload.
#[derive(Debug)]
pub struct Network {
    config: Config,
    policy: Policy,
    link: Link,
    shared: Arc<Shared>,
}

impl Network {
    /// The network that `config` describes. Without `identity` the Keep is anonymous to others.
    ///
    /// # Errors
    /// [`NetErrorKind::Tls`] if the identity or the anchors of the configuration cannot be used.
    pub fn new(
        config: &Config,
        identity: Option<&Identity>,
        clock: &Clock,
        link: &Link,
    ) -> Result<Self, NetError> {
        Ok(Self {
            config: config.clone(),
            policy: Policy::new(config, identity, clock)?,
            link: link.clone(),
            shared: Shared::new(config.limits.connections),
        })
    }

    /// Listens on `port`, on all addresses, as the policy for that port says.
    ///
    /// # Errors
    /// [`NetErrorKind::Policy`] if there is no rule for the port, [`NetErrorKind::Bind`] if it cannot be had.
    pub fn listen(&self, port: u16) -> Result<Listener, NetError> {
        let rule = self.config.incoming_rule(port).ok_or_else(|| no_listening(port))?;
        self.listen_entry(FileEntry::LISTEN_ANY, port, rule.prot)
    }

    /// Listens for a `listen` entry of `[[files]]`.
    ///
    /// # Errors
    /// Those of [`Self::listen`].
    pub fn listen_entry(
        &self,
        addr: IpAddr,
        port: u16,
        prot: Protocol,
    ) -> Result<Listener, NetError> {
        let rule = self.config.incoming_rule(port).ok_or_else(|| no_listening(port))?;
        if rule.prot != prot {
            return Err(two_protocols(&format!("[network.incoming.{port}]")));
        }
        let tls = match prot {
            Protocol::Tcp => None,
            Protocol::Tls => Some(self.policy.server(rule)?),
        };
        let failed = |error| {
            NetError::new(NetErrorKind::Bind, format!("cannot listen on port {port}: {error}"))
        };
        let socket = TcpListener::bind((addr, port))
            .or_else(|error| match addr {
                // No IPv6 on this host.
                IpAddr::V6(any)
                    if any.is_unspecified() && error.raw_os_error() == Some(AF_NOT_SUPPORTED) =>
                {
                    TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, port))
                }
                _ => Err(error),
            })
            .map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let port = socket.local_addr().map_err(failed)?.port();
        self.link.event(Event::Listening { port });
        Ok(Listener::new(socket, port, tls, self.link.clone(), Arc::clone(&self.shared)))
    }

    /// Connects to `host` (a name or an address) as the policy for it says; without `port` to the port that it implies.
    /// Returns once the connection stands and, with TLS, the server has proved what the policy demands.
    ///
    /// # Errors
    /// [`NetError`], with the reason.
    pub fn connect(&self, host: &str, port: Option<u16>) -> Result<Connection, NetError> {
        let port = port
            .or_else(|| self.config.outgoing_port(host))
            .ok_or_else(|| no_connecting(host, port))?;
        let rule =
            self.config.outgoing_rule(host, port).ok_or_else(|| no_connecting(host, Some(port)))?;
        self.connect_entry(host, port, rule.prot)
    }

    /// Connects for a `connect` entry of `[[files]]`.
    ///
    /// # Errors
    /// Those of [`Self::connect`].
    pub fn connect_entry(
        &self,
        host: &str,
        port: u16,
        prot: Protocol,
    ) -> Result<Connection, NetError> {
        let rule =
            self.config.outgoing_rule(host, port).ok_or_else(|| no_connecting(host, Some(port)))?;
        if rule.prot != prot {
            return Err(two_protocols(&format!("[network.outgoing.\"{host}:{port}\"]")));
        }
        let tls = match prot {
            Protocol::Tcp => None,
            Protocol::Tls => Some(self.policy.client(rule, host)?),
        };
        let permit = self.shared.permit().ok_or_else(|| {
            let limit = self.shared.limit();
            NetError::new(
                NetErrorKind::Limit,
                format!("{limit} connections are open, the limit of [limits] connections"),
            )
        })?;
        let until = Instant::now() + CONNECT;
        let socket = self.dial(host, port, until)?;
        let failed = |error| {
            NetError::new(
                NetErrorKind::Connect,
                format!("cannot connect to {host}:{port}: {error}"),
            )
        };
        let remote = socket.peer_addr().map_err(failed)?;
        let (layer, peer) = match tls {
            None => (Layer::Plain { outbox: Vec::new(), sent: 0 }, Peer::Anonymous),
            Some(tls) => {
                let (connection, peer) = tls.handshake(&socket, until).map_err(|reason| {
                    self.link.event(Event::Refused {
                        address: format!("{host}:{port}"),
                        reason: reason.clone(),
                    });
                    NetError::new(NetErrorKind::Tls, format!("{host}:{port} was refused: {reason}"))
                })?;
                (Layer::Tls(Box::new(connection.into())), peer)
            }
        };
        socket.set_nonblocking(true).map_err(failed)?;
        Ok(Connection::new(socket, layer, remote, peer, Arc::clone(&self.shared), permit))
    }

    /// Tries each address of `host`.
    fn dial(&self, host: &str, port: u16, until: Instant) -> Result<TcpStream, NetError> {
        let addresses = self
            .link
            .resolve(host, port)
            .map_err(|error| NetError::new(NetErrorKind::Resolve, error.to_string()))?;
        let mut last = "it has no address".to_owned();
        for address in addresses {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                "no answer in time".clone_into(&mut last);
                break;
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(socket) => {
                    // Small writes are the rule in conversations. Only a matter of speed, so an error is none.
                    let _nodelay = socket.set_nodelay(true);
                    return Ok(socket);
                }
                Err(error) => last = error.to_string(),
            }
        }
        Err(NetError::new(
            NetErrorKind::Connect,
            format!("cannot connect to {host}:{port}: {last}"),
        ))
    }
}

/// EAFNOSUPPORT.
const AF_NOT_SUPPORTED: i32 = 97;

fn no_listening(port: u16) -> NetError {
    NetError::new(
        NetErrorKind::Policy,
        format!(
            "Enarx.toml does not allow listening on port {port}; add [network.incoming.{port}]"
        ),
    )
}

fn no_connecting(host: &str, port: Option<u16>) -> NetError {
    let table = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    NetError::new(
        NetErrorKind::Policy,
        format!(
            "Enarx.toml does not allow connecting to {table}; add [network.outgoing.\"{table}\"]"
        ),
    )
}

fn two_protocols(table: &str) -> NetError {
    NetError::new(
        NetErrorKind::Policy,
        format!("{table} names another protocol than [[files]] does"),
    )
}
