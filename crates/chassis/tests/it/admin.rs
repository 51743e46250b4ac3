// SPDX-License-Identifier: Apache-2.0

//! What the operator sees.

use std::time::Duration;

use enarx_chassis::{Admin, Limits};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::Running;
use crate::client::{Answer, Client};

async fn ask(service: &Running, path: &str) -> Answer {
    Client::plain(service.admin).await.get(path).await
}

/// The value of one sample of the metrics.
async fn value(service: &Running, sample: &str) -> f64 {
    let answer = ask(service, "/metrics").await;
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{answer:?}");
    let text = answer.text();
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in {text}")).parse().unwrap()
}

#[tokio::test]
async fn an_operator_sees_what_the_service_does() {
    let limits =
        Limits { requests_max: 1, handshake: Duration::from_millis(100), ..Limits::default() };
    let service = Running::start(limits).await;
    let mut client = Client::connect(service.addr, &service.ca).await;
    client.post("/echo", b"12345").await;
    client.post("/echo", b"123").await;
    assert_eq!(client.get("/echo").await.status, 405);
    for path in ["/nothing", "/no/such/thing?at=all"] {
        assert_eq!(client.get(path).await.status, 404);
    }
    assert_eq!(client.get("/panic").await.status, 500);
    client.send(b"GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    service.waiting.notified().await;
    let mut second = Client::connect(service.addr, &service.ca).await;
    assert_eq!(second.get("/").await.status, 503);
    // One that says nothing in time, and one that speaks no TLS.
    let mut silent = TcpStream::connect(service.addr).await.unwrap();
    let mut wrong = TcpStream::connect(service.addr).await.unwrap();
    wrong.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    for stream in [&mut silent, &mut wrong] {
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(stream, &mut rest).await;
    }

    let requests = |route: &str, method: &str, status: u16| {
        format!("http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}")
    };
    for (sample, expected) in [
        (requests("/echo", "POST", 200), 2.0),
        (requests("/echo", "GET", 405), 1.0),
        (requests("unmatched", "GET", 404), 2.0),
        (requests("/panic", "GET", 500), 1.0),
        (requests("unmatched", "GET", 503), 1.0),
        ("http_requests_in_flight".to_owned(), 1.0),
        ("http_request_body_bytes_total".to_owned(), 8.0),
        ("http_request_duration_seconds_count{route=\"/echo\"}".to_owned(), 3.0),
        ("http_request_duration_seconds_bucket{route=\"/echo\",le=\"+Inf\"}".to_owned(), 3.0),
        ("http_shed_total{reason=\"requests\"}".to_owned(), 1.0),
        ("connections_total{outcome=\"served\"}".to_owned(), 4.0),
        ("tls_handshakes_total{result=\"ok\"}".to_owned(), 2.0),
        ("tls_handshakes_total{result=\"failed\"}".to_owned(), 1.0),
        ("tls_handshakes_total{result=\"timeout\"}".to_owned(), 1.0),
        ("build_info{service=\"test\",version=\"1.2.3\"}".to_owned(), 1.0),
    ] {
        assert_eq!(value(&service, &sample).await, expected, "{sample}");
    }
    assert!(value(&service, "http_response_body_bytes_total").await > 8.0);
    assert!(value(&service, "connections_open").await >= 2.0);
    service.wake.notify_one();
    client.answer().await.unwrap();
    // No path, query or header of a client is among them.
    assert!(!ask(&service, "/metrics").await.text().contains("thing"));
}

#[tokio::test]
async fn ready_means_that_it_can_work_and_alive_that_it_runs() {
    let mut service = Running::start(Limits::default()).await;
    assert_eq!(ask(&service, "/livez").await.text(), "alive\n");
    *service.ready.lock().unwrap() = Err("the disk is full".to_owned());
    let problem = ask(&service, "/readyz").await.problem();
    assert_eq!(problem.status, 503);
    assert_eq!(problem.check.as_deref(), Some("service.not-ready"));
    assert_eq!(problem.detail, "work: the disk is full");
    assert_eq!(ask(&service, "/livez").await.status, 200);
    assert_eq!(ask(&service, "/").await.problem().status, 404);
    // Clients do not see any of it.
    let mut client = Client::connect(service.addr, &service.ca).await;
    assert_eq!(client.get("/metrics").await.status, 404);

    // While it stops it is alive, and not ready; after that nobody answers.
    client.send(b"GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    service.waiting.notified().await;
    service.stop();
    let detail = loop {
        let problem = ask(&service, "/readyz").await.problem();
        if !problem.detail.contains("disk") {
            break problem.detail;
        }
    };
    assert_eq!(detail, "the service is stopping");
    assert_eq!(ask(&service, "/livez").await.status, 200);
    service.wake.notify_one();
    assert_eq!(client.answer().await.unwrap().body, b"woken");
    let admin = service.admin;
    assert!(service.end.await.unwrap().is_ok());
    assert!(TcpStream::connect(admin).await.is_err());
}

#[tokio::test]
async fn a_service_that_can_work_is_ready() {
    let service = Running::start(Limits::default()).await;
    assert_eq!(ask(&service, "/readyz").await.text(), "ready\n");
}

#[test]
fn the_operators_side_is_not_for_others() {
    let public = "0.0.0.0:9000".parse().unwrap();
    assert!(Admin::new(public, false).is_err());
    assert!(Admin::new(public, true).is_ok());
}
