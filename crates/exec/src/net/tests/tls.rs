// SPDX-License-Identifier: Apache-2.0

//! TLS without certificates of clients: the stream, its end, and handshakes that fail.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::{PATIENCE, accept, network, read, refusal, wait};
use crate::poll::{Interest, PollSet};

const OPEN: &str = "[network.incoming.default]\nclient = \"none\"\n";

/// Takes any server, as nothing in the product does.
#[derive(Debug)]
pub(super) struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP384_SHA384]
    }
}

type Client = StreamOwned<ClientConnection, TcpStream>;

fn config(versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth()
}

fn client(port: u16) -> Client {
    speaking(port, &[])
}

/// A client that names these application protocols.
fn speaking(port: u16, alpn: &[&str]) -> Client {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut config = config(&[&rustls::version::TLS13]);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let tls = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap())
        .unwrap();
    StreamOwned::new(tls, socket)
}

/// Does `work` with a client on another thread.
fn with_client<T: Send + 'static>(
    port: u16,
    work: impl FnOnce(&mut Client) -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::spawn(move || work(&mut client(port)))
}

#[test]
fn bytes_go_both_ways_and_each_way_ends_alone() {
    let (network, _host) = network(OPEN);
    let mut listener = network.listen(0).unwrap();
    let client = with_client(listener.port(), |client| {
        client.write_all(b"hello").unwrap();
        client.conn.send_close_notify();
        client.flush().unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).unwrap();
        got
    });
    let mut connection = accept(&mut listener);
    assert_eq!(connection.peer(), &types::peer::Peer::Anonymous);
    let mut buffer = [0; 2];
    wait(&mut connection, Interest::READ);
    assert_eq!(connection.peek(&mut buffer).unwrap(), 2);
    assert_eq!(read(&mut connection).unwrap(), b"hello");
    assert_eq!(read(&mut connection).unwrap(), b"");
    let large = vec![9; 300_000];
    let mut sent = 0;
    while sent < large.len() {
        wait(&mut connection, Interest::WRITE);
        sent += connection.write(&large[sent..]).unwrap();
    }
    connection.shutdown(Shutdown::Write).unwrap();
    assert_eq!(connection.write(b"more").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    drop(connection);
    drop((listener, network));
    assert_eq!(client.join().unwrap(), large);
}

#[test]
fn large_and_small_reads_lose_nothing() {
    let (network, _host) = network(OPEN);
    let mut listener = network.listen(0).unwrap();
    let data: Vec<u8> = (0..500_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let expected = data.clone();
    let client = with_client(listener.port(), move |client| {
        client.write_all(&data).unwrap();
        client.conn.send_close_notify();
        client.flush().unwrap();
    });
    let mut connection = accept(&mut listener);
    let mut got = Vec::new();
    let mut small = true;
    loop {
        wait(&mut connection, Interest::READ);
        let mut buffer = vec![0; if small { 700 } else { 40_000 }];
        small = !small;
        match connection.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => got.extend_from_slice(&buffer[..count]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    assert!(got == expected);
    client.join().unwrap();
}

#[test]
fn a_connection_that_is_cut_off_is_an_error_not_an_end() {
    let (network, _host) = network(OPEN);
    let mut listener = network.listen(0).unwrap();
    let client = with_client(listener.port(), |client| {
        client.write_all(b"amount: 10").unwrap();
        client.sock.shutdown(Shutdown::Both).unwrap();
    });
    let mut connection = accept(&mut listener);
    assert_eq!(read(&mut connection).unwrap(), b"amount: 10");
    assert_eq!(read(&mut connection).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert!(connection.readable());
    client.join().unwrap();
}

#[test]
fn an_altered_record_is_an_error() {
    let (network, _host) = network(OPEN);
    let mut listener = network.listen(0).unwrap();
    let client = with_client(listener.port(), |client| {
        client.write_all(b"good").unwrap();
        // A record of application data that nobody who knows the keys has made.
        client.sock.write_all(&[&[0x17, 3, 3, 0, 32][..], &[7; 32]].concat()).unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest)
    });
    let mut connection = accept(&mut listener);
    assert_eq!(read(&mut connection).unwrap(), b"good");
    assert_eq!(read(&mut connection).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(connection.write(b"x").unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    drop(connection);
    let alert = client.join().unwrap().unwrap_err().to_string();
    assert!(alert.contains("BadRecordMac"), "{alert}");
}

#[test]
fn bad_handshakes_are_refused_and_disturb_nobody() {
    let (network, mut host) = network(OPEN);
    let mut listener = network.listen(0).unwrap();
    let port = listener.port();
    // One that says nothing, one that speaks something else, one that speaks an old TLS, one that is gone.
    let _silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut other = TcpStream::connect(("127.0.0.1", port)).unwrap();
    other.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    drop(TcpStream::connect(("127.0.0.1", port)).unwrap());
    let old = std::thread::spawn(move || {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls =
            ClientConnection::new(Arc::new(config(&[&rustls::version::TLS12])), name).unwrap();
        StreamOwned::new(tls, socket).write_all(b"x").unwrap_err().to_string()
    });
    while !old.is_finished() {
        assert!(listener.accept().is_err());
        let mut set = PollSet::new();
        listener.register(&mut set);
        set.wait(Some(Duration::from_millis(10))).unwrap();
    }
    assert!(old.join().unwrap().contains("ProtocolVersion"));
    let reasons = [refusal(&mut host), refusal(&mut host)];
    assert!(reasons.iter().any(|reason| reason.contains("corrupt")), "{reasons:?}");

    let client = with_client(port, |client| client.write_all(b"hello").unwrap());
    assert_eq!(read(&mut accept(&mut listener)).unwrap(), b"hello");
    client.join().unwrap();
}

#[test]
fn the_application_protocol_is_negotiated_as_the_rule_says() {
    for (rule, offered, chosen) in [
        ("", &["h2"][..], Ok(None)),
        ("alpn = [\"h2\"]", &[], Ok(None)),
        ("alpn = [\"h2\"]", &["h2"], Ok(Some("h2"))),
        ("alpn = [\"h2\", \"http/1.1\"]", &["http/1.1", "h2"], Ok(Some("h2"))),
        ("alpn = [\"h2\"]", &["http/1.1"], Err("NoApplicationProtocol")),
    ] {
        let (network, mut host) = network(&format!("{OPEN}{rule}\n"));
        let mut listener = network.listen(0).unwrap();
        let port = listener.port();
        let client = std::thread::spawn(move || {
            let mut client = speaking(port, offered);
            let written = client.write_all(b"hello").map_err(|error| error.to_string());
            written.map(|()| client.conn.alpn_protocol().map(<[u8]>::to_vec))
        });
        if chosen.is_ok() {
            assert_eq!(read(&mut accept(&mut listener)).unwrap(), b"hello");
        } else {
            while !client.is_finished() {
                assert!(listener.accept().is_err());
                let mut set = PollSet::new();
                listener.register(&mut set);
                set.wait(Some(Duration::from_millis(10))).unwrap();
            }
            assert!(refusal(&mut host).contains("application protocol"), "{rule}");
        }
        match (client.join().unwrap(), chosen) {
            (Ok(got), Ok(wanted)) => assert_eq!(got.as_deref(), wanted.map(str::as_bytes)),
            (Err(got), Err(wanted)) => assert!(got.contains(wanted), "{got}"),
            (got, _) => panic!("{rule}: {got:?}"),
        }
    }
}

#[test]
fn a_handshake_that_takes_too_long_is_refused() {
    let (network, mut host) = network(OPEN);
    let mut listener = network.listen(0).unwrap();
    listener.set_patience(Duration::ZERO);
    let mut silent = TcpStream::connect(("127.0.0.1", listener.port())).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut set = PollSet::new();
    listener.register(&mut set);
    set.wait(Some(PATIENCE)).unwrap();
    assert!(listener.accept().is_err());
    assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0);
    assert!(refusal(&mut host).contains("in time"));
}
