// SPDX-License-Identifier: Apache-2.0

//! Who gets in, and who is seen.

use enarx_chassis::Limits;
use enarx_chassis::clock::Clock;
use testkit::pki::DevCa;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Running;
use crate::client::Client;

#[tokio::test]
async fn handlers_see_the_clients_certificate() {
    let now = Clock::System.now();
    let service = Running::start_with(Limits::default(), |tls, ca| {
        tls.client_roots(ca.certificate_pem().as_bytes(), false)
    })
    .await;
    let version = &rustls::version::TLS13;
    let mut anonymous = Client::connect(service.addr, &service.ca).await;
    assert_eq!(anonymous.get("/peer").await.body, b"0");

    let (chain, key) = service.ca.issue_client("client", now).unwrap();
    let mut known = Client::try_connect(service.addr, &service.ca, Some((&chain, &key)), version)
        .await
        .unwrap();
    assert_eq!(known.get("/peer").await.body, b"1");

    let other = DevCa::generate("other", now).unwrap();
    let (chain, key) = other.issue_client("client", now).unwrap();
    // In TLS 1.3 the client is done before the server has looked at its certificate.
    if let Ok(mut foreign) =
        Client::try_connect(service.addr, &service.ca, Some((&chain, &key)), version).await
    {
        let _ = foreign.0.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(foreign.rest().await, b"");
    }
}

#[tokio::test]
async fn a_required_certificate_is_required() {
    let service = Running::start_with(Limits::default(), |tls, ca| {
        tls.client_roots(ca.certificate_pem().as_bytes(), true)
    })
    .await;
    let mut anonymous = Client::connect(service.addr, &service.ca).await;
    let _ = anonymous.0.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(anonymous.rest().await, b"");
}

#[tokio::test]
async fn old_tls_and_no_tls_are_refused() {
    let service = Running::start(Limits::default()).await;
    let old = Client::try_connect(service.addr, &service.ca, None, &rustls::version::TLS12).await;
    assert!(old.is_err());
    let mut stream = TcpStream::connect(service.addr).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    // Garbage from one client is no concern of the next.
    let mut client = Client::connect(service.addr, &service.ca).await;
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn tls12_is_a_choice() {
    let service = Running::start_with(Limits::default(), |tls, _| tls.tls12(true)).await;
    let mut old = Client::try_connect(service.addr, &service.ca, None, &rustls::version::TLS12)
        .await
        .unwrap();
    assert_eq!(old.get("/").await.status, 200);
}
