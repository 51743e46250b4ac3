// SPDX-License-Identifier: Apache-2.0

//! Plain HTTP, for a proxy on the same machine.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use enarx_chassis::{Bound, Error, Limits, PeerCertificates, Service, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::client::Client;

async fn serve(
    addr: &str,
    limits: Limits,
) -> (std::net::SocketAddr, JoinHandle<Result<(), Error>>) {
    let router = Router::new().route(
        "/",
        get(|peer: axum::Extension<PeerCertificates>| async move { peer.0.0.len().to_string() }),
    );
    let bound = Bound::new(addr.parse().unwrap()).await.unwrap();
    let addr = bound.addr();
    let service = Service::new("plain", addr, Transport::Plain, router).limits(limits);
    (addr, tokio::spawn(bound.serve(service, std::future::pending())))
}

#[tokio::test]
async fn http_1_and_2_are_told_apart() {
    let (addr, _) = serve("127.0.0.1:0", Limits::default()).await;
    let mut client = Client::plain(addr).await;
    assert_eq!(client.get("/").await.text(), "0");
    assert_eq!(client.get("/").await.status, 200);
    // The preface and an empty SETTINGS frame; the server's own SETTINGS frame comes back (RFC 9113 sections 3.4, 6.5).
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream.write_all(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat()).await.unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!((head[3], &head[5..]), (4, &[0, 0, 0, 0][..]));
}

#[tokio::test]
async fn slow_clients_are_cut_without_tls_too() {
    let short = Duration::from_millis(100);
    let (addr, _) = serve("127.0.0.1:0", Limits { header: short, ..Limits::default() }).await;
    for start in ["", "P", "GET / HT"] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{rest:?}");
    }
}

#[tokio::test]
async fn nobody_else_is_served_without_tls() {
    let (_, end) = serve("0.0.0.0:0", Limits::default()).await;
    let error = end.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::NotLoopback(_)), "{error}");
    assert!(error.to_string().contains("loopback"), "{error}");
}
