// SPDX-License-Identifier: Apache-2.0

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use super::{PATIENCE, accept, network, read, wait};
use crate::net::{Connection, NetErrorKind};
use crate::poll::{Interest, PollSet};

const OPEN: &str =
    "[network.incoming.default]\nprot = \"tcp\"\n[network.outgoing.default]\nprot = \"tcp\"\n";

fn accepted() -> (Connection, TcpStream, UnixStream) {
    let (network, host) = network(OPEN);
    let mut listener = network.listen(0).unwrap();
    let peer = TcpStream::connect(("127.0.0.1", listener.port())).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    (accept(&mut listener), peer, host)
}

#[test]
fn bytes_go_both_ways_and_each_way_ends_alone() {
    let (mut connection, mut peer, _host) = accepted();
    let mut buffer = [0; 8];
    assert!(!connection.readable());
    assert_eq!(connection.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    peer.write_all(b"hello").unwrap();
    wait(&mut connection, Interest::READ);
    assert_eq!(connection.available(), 5);
    assert_eq!(connection.peek(&mut buffer[..2]).unwrap(), 2);
    assert_eq!(read(&mut connection).unwrap(), b"hello");
    assert_eq!(connection.available(), 0);
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read(&mut connection).unwrap(), b"");
    assert_eq!(connection.write(b"bye").unwrap(), 3);
    connection.shutdown(Shutdown::Write).unwrap();
    assert_eq!(connection.write(b"more").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    let mut got = Vec::new();
    peer.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"bye");
}

#[test]
fn a_slow_reader_bounds_the_writer_and_loses_nothing() {
    let (mut connection, mut peer, _host) = accepted();
    let chunk = vec![7; 100_000];
    let mut sent = 0;
    loop {
        match connection.write(&chunk) {
            Ok(count) => sent += count,
            Err(error) => break assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    assert!(!connection.writable());
    let reader = std::thread::spawn(move || {
        let mut total = 0;
        let mut buffer = vec![0; 100_000];
        while let Ok(count @ 1..) = peer.read(&mut buffer) {
            total += count;
        }
        total
    });
    wait(&mut connection, Interest::WRITE);
    sent += connection.write(b"more").unwrap();
    drop(connection);
    assert_eq!(reader.join().unwrap(), sent);
}

#[test]
fn what_is_written_before_the_end_arrives() {
    let (mut connection, mut peer, host) = accepted();
    let chunk = vec![7; 100_000];
    let mut sent = 0;
    while let Ok(count) = connection.write(&chunk) {
        sent += count;
    }
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        got.len()
    });
    // The last user of the network goes, and with it the Keep.
    drop((connection, host));
    assert_eq!(reader.join().unwrap(), sent);
}

#[test]
fn connects_where_the_policy_says_and_nowhere_else() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let allowed = format!("[network.outgoing.\"127.0.0.1:{port}\"]\nprot = \"tcp\"\n");
    let (network, _host) = network(&allowed);
    let mut connection = network.connect("127.0.0.1", Some(port)).unwrap();
    let (mut peer, _) = server.accept().unwrap();
    peer.write_all(b"hi").unwrap();
    assert_eq!(read(&mut connection).unwrap(), b"hi");
    assert_eq!(connection.peer(), &types::peer::Peer::Anonymous);
    // The port is the only one of that host.
    network.connect("127.0.0.1", None).unwrap();
    for (host, port) in
        [("127.0.0.1", Some(port ^ 1)), ("127.0.0.2", Some(port)), ("example.com", None)]
    {
        assert_eq!(network.connect(host, port).unwrap_err().kind, NetErrorKind::Policy);
    }
    assert_eq!(network.listen(0).unwrap_err().kind, NetErrorKind::Policy);
}

#[test]
fn says_who_is_not_there() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (network, host) = network(OPEN);
    assert_eq!(network.connect("127.0.0.1", Some(free)).unwrap_err().kind, NetErrorKind::Connect);
    let taken = network.listen(0).unwrap();
    assert_eq!(network.listen(taken.port()).unwrap_err().kind, NetErrorKind::Bind);
    // Nobody answers at the other end of the link.
    drop(host);
    assert_eq!(network.connect("nobody.test", Some(1)).unwrap_err().kind, NetErrorKind::Resolve);
}

#[test]
fn the_limit_on_connections_holds_and_frees() {
    let (network, _host) = network(&format!("{OPEN}[limits]\nconnections = 2\n"));
    let mut listener = network.listen(0).unwrap();
    let connect = || TcpStream::connect(("127.0.0.1", listener.port())).unwrap();
    let _peers = [connect(), connect(), connect()];
    let first = accept(&mut listener);
    let _second = accept(&mut listener);
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let mut set = PollSet::new();
    listener.register(&mut set);
    assert!(set.is_empty(), "a listener that can take nobody must not wake anybody");
    let refused = network.connect("127.0.0.1", Some(listener.port())).unwrap_err();
    assert_eq!(refused.kind, NetErrorKind::Limit);
    drop(first);
    accept(&mut listener);
}
