// SPDX-License-Identifier: Apache-2.0

//! Listeners and connections over loopback.

mod keeps;
mod plain;
mod tls;

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use types::config::Config;
use types::hostlink::{self, Event, FromKeep};

use crate::clock::Clock;
use crate::hostlink::{Level, Link};
use crate::identity::Identity;
use crate::net::{Connection, Listener, Network};
use crate::poll::{Interest, PollSet};

/// Longest wait of a test, after which it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A network with this identity, and the host's end of its link.
fn network_as(config: &str, identity: &Identity) -> (Network, UnixStream) {
    network_with(config, Some(identity))
}

fn network(config: &str) -> (Network, UnixStream) {
    network_with(config, None)
}

fn network_with(config: &str, identity: Option<&Identity>) -> (Network, UnixStream) {
    let (host, keep) = UnixStream::pair().unwrap();
    host.set_read_timeout(Some(PATIENCE)).unwrap();
    let link = Link::new(keep, Level::Error, Instant::now());
    (Network::new(&Config::parse(config).unwrap(), identity, &Clock::new(), &link).unwrap(), host)
}

/// The next refusal that the host is told of.
fn refusal(host: &mut UnixStream) -> String {
    loop {
        let message: FromKeep = hostlink::receive(host).unwrap().expect("the Keep said nothing");
        if let FromKeep::Event { event: Event::Refused { reason, .. } } = message {
            return reason;
        }
    }
}

fn accept(listener: &mut Listener) -> Connection {
    let until = Instant::now() + PATIENCE;
    loop {
        match listener.accept() {
            Ok(connection) => return connection,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        assert!(Instant::now() < until, "nobody connected");
        let mut set = PollSet::new();
        listener.register(&mut set);
        set.wait(Some(PATIENCE)).unwrap();
    }
}

/// Waits until `interest` is met.
fn wait(connection: &mut Connection, interest: Interest) {
    let until = Instant::now() + PATIENCE;
    loop {
        connection.progress();
        if (interest.read && connection.readable()) || (interest.write && connection.writable()) {
            return;
        }
        assert!(Instant::now() < until, "nothing happened");
        let mut set = PollSet::new();
        connection.register(&mut set, interest);
        set.wait(Some(PATIENCE)).unwrap();
    }
}

fn read(connection: &mut Connection) -> io::Result<Vec<u8>> {
    wait(connection, Interest::READ);
    let mut buffer = [0; 1024];
    let count = connection.read(&mut buffer)?;
    Ok(buffer[..count].to_vec())
}
