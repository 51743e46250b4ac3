// SPDX-License-Identifier: Apache-2.0

//! Every bound has a client that runs into it.

use std::num::NonZero;
use std::time::Duration;

use enarx_chassis::{Bound, ClientLimits, Limits, Rate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Running;
use crate::client::Client;

const SHORT: Duration = Duration::from_millis(150);

#[tokio::test]
async fn errors_are_problem_documents() {
    let service = Running::start(Limits { body_bytes_max: 100_000, ..Limits::default() }).await;
    let mut client = Client::connect(service.addr, &service.ca).await;
    assert_eq!(client.get("/").await.body, b"hello");
    assert_eq!(client.get("/nothing").await.problem().status, 404);
    let answer = client.post("/", b"").await;
    assert_eq!(answer.problem().status, 405);
    assert!(answer.head.contains("allow: get"), "{answer:?}");
    assert_eq!(client.get("/panic").await.problem().status, 500);
    // The same connection still works: nothing above ended it.
    assert_eq!(client.post("/echo", b"body").await.body, b"body");

    let large = vec![b'x'; 600_000];
    let answer = client.post("/echo", &large).await;
    assert_eq!(answer.problem().status, 413);
    let mut client = Client::connect(service.addr, &service.ca).await;
    // A body that nobody reads does not cost the client its answer.
    assert_eq!(client.post("/nothing", &large[..90_000]).await.status, 404);
}

#[tokio::test]
async fn a_body_without_declared_length_is_bounded_too() {
    let service = Running::start(Limits { body_bytes_max: 1_000, ..Limits::default() }).await;
    let mut client = Client::connect(service.addr, &service.ca).await;
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send(head.as_bytes()).await;
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    for _ in 0..4 {
        client.send(chunk.as_bytes()).await;
    }
    client.send(b"0\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().problem().status, 413);
}

#[tokio::test]
async fn slow_clients_are_cut() {
    let service = Running::start(Limits {
        handshake: SHORT,
        header: SHORT,
        body_idle: SHORT,
        idle: SHORT * 4,
        ..Limits::default()
    })
    .await;
    // A handshake that never starts.
    let mut stream = TcpStream::connect(service.addr).await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
    // Headers that never end.
    let mut client = Client::connect(service.addr, &service.ca).await;
    client.send(b"GET / HTTP/1.1\r\nhost: ").await;
    client.rest().await;
    // A body that pauses.
    let mut client = Client::connect(service.addr, &service.ca).await;
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nabc";
    client.send(head.as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().problem().status, 408);
    // A connection without requests.
    let mut client = Client::connect(service.addr, &service.ca).await;
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_body_that_trickles_is_cut_though_it_never_pauses() {
    let service = Running::start(Limits {
        body_idle: SHORT,
        body_rate_min_bytes_per_second: 1_000_000,
        ..Limits::default()
    })
    .await;
    let mut client = Client::connect(service.addr, &service.ca).await;
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n";
    client.send(head.as_bytes()).await;
    let mut ticks = tokio::time::interval(SHORT / 5);
    let answer = loop {
        tokio::select! {
            biased;
            answer = client.answer() => break answer,
            _ = ticks.tick() => {}
        }
        if client.0.write_all(b"x").await.is_err() {
            return;
        }
    };
    // A byte that crosses the answer resets the connection: that is an end as well.
    if let Ok(answer) = answer {
        assert_eq!(answer.problem().status, 408);
    }
}

#[tokio::test]
async fn one_request_too_many_is_told_to_come_back() {
    let service = Running::start(Limits { requests_max: 1, ..Limits::default() }).await;
    let mut first = Client::connect(service.addr, &service.ca).await;
    first.send(b"GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    service.waiting.notified().await;
    let mut second = Client::connect(service.addr, &service.ca).await;
    let answer = second.get("/").await;
    assert_eq!(answer.problem().status, 503);
    assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    service.wake.notify_one();
    assert_eq!(first.answer().await.unwrap().body, b"woken");
    assert_eq!(second.get("/").await.status, 200);
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_the_next_is_closed() {
    let service = Running::start(Limits { connections_max: 1, ..Limits::default() }).await;
    let mut first = Client::connect(service.addr, &service.ca).await;
    assert_eq!(first.get("/").await.status, 200);
    let mut second = Client::connect(service.addr, &service.ca).await;
    let third = Client::try_connect(service.addr, &service.ca, None, &rustls::version::TLS13).await;
    assert!(third.is_err());
    let answer = second.get("/").await;
    assert_eq!(answer.problem().status, 503);
    assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    second.rest().await;
    assert_eq!(first.get("/").await.status, 200);
}

#[tokio::test]
async fn one_client_does_not_take_it_all() {
    let rate = Rate { per_second: NonZero::<u32>::MIN, burst: NonZero::new(3).unwrap() };
    let client = ClientLimits { rate: Some(rate), connections_max: 1 };
    let service = Running::start(Limits { client, ..Limits::default() }).await;
    let mut first = Client::connect(service.addr, &service.ca).await;
    // The second connection at once is closed; the pace of connections is that of requests.
    let second =
        Client::try_connect(service.addr, &service.ca, None, &rustls::version::TLS13).await;
    assert!(second.is_err());
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(first.get("/").await);
    }
    let refused = answers.iter().find(|answer| answer.status != 200).expect("one too many");
    assert_eq!(refused.problem().check.as_deref(), Some("http.rate"));
    assert_eq!(refused.status, 429);
    assert!(refused.head.contains("retry-after: 1\r\n"), "{refused:?}");
}

#[tokio::test]
async fn a_taken_port_says_what_to_do() {
    let bound = Bound::new("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = Bound::new(bound.addr()).await.unwrap_err().to_string();
    assert!(error.contains("taken") && error.contains("--addr"), "{error}");
    let error = Bound::new("192.0.2.1:1".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("no such address"), "{error}");
}
