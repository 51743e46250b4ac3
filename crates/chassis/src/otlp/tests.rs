// SPDX-License-Identifier: Apache-2.0

use super::*;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;

fn span(parent: Option<u64>, sampled: bool, status: u16) -> Span {
    let mut headers = axum::http::HeaderMap::new();
    let value = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
    headers.insert("traceparent", value);
    let trace = Trace { parent, sampled, span: 1, ..Trace::of(&headers) };
    Span {
        trace,
        method: "GET".to_owned(),
        route: "/policy/{digest}".to_owned(),
        status,
        client: "192.0.2.1:7".parse().unwrap(),
        ended: 1_700_000_000_000_000_123,
        duration: Duration::from_nanos(123),
    }
}

fn start(listener: &TcpListener) -> (Exporter, Registry) {
    let registry = Registry::new();
    let endpoint = format!("http://{}/", listener.local_addr().unwrap());
    let exporter = Exporter::start(&endpoint, None, ("example", "1.2.3"), &registry).unwrap();
    (exporter, registry)
}

/// One request that the collector gets: its head and its body.
fn receive(stream: &TcpStream) -> (String, Value) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).unwrap();
    }
    let length = |line: &str| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok();
    let mut body = vec![0; head.lines().find_map(length).unwrap()];
    reader.read_exact(&mut body).unwrap();
    (head, serde_json::from_slice(&body).unwrap())
}

#[test]
fn a_collector_gets_what_the_format_demands() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (exporter, registry) = start(&listener);
    exporter.take(span(Some(0xb7), true, 200));
    exporter.take(span(Some(0xb7), false, 200));
    exporter.take(span(None, false, 503));
    let collector = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let received = receive(&stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        received
    });
    exporter.finish();
    let (head, document) = collector.join().unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    let resource = &document["resourceSpans"][0];
    let attribute = &resource["resource"]["attributes"][0];
    assert_eq!(*attribute, json!({ "key": "service.name", "value": { "stringValue": "example" } }));
    let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 2, "what the caller does not record is not sent");
    let first = &spans[0];
    assert_eq!(first["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(first["spanId"], "0000000000000001");
    assert_eq!(first["parentSpanId"], "00000000000000b7");
    assert_eq!(first["name"], "GET /policy/{digest}");
    assert_eq!(first["startTimeUnixNano"], "1700000000000000000");
    assert_eq!(first["endTimeUnixNano"], "1700000000000000123");
    assert_eq!(first["attributes"][2]["value"]["intValue"], "200");
    assert_eq!((&first["kind"], &first["status"]["code"]), (&2.into(), &0.into()));
    assert_eq!(spans[1]["parentSpanId"], "");
    assert_eq!(spans[1]["status"]["code"], 2);
    assert!(registry.render().contains("otlp_spans_exported_total 2\n"));
}

#[test]
fn a_collector_that_does_not_answer_costs_nothing_but_its_spans() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (exporter, registry) = start(&listener);
    exporter.take(span(None, false, 200));
    let (mut stream, _) = listener.accept().unwrap();
    let (_, first) = receive(&stream);
    let sent = first["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().len();
    assert_eq!(sent, 1);
    // It is silent now, and the queue fills.
    for _ in 0..QUEUE_MAX + 10 {
        exporter.take(span(None, false, 200));
    }
    let dropped = "otlp_spans_dropped_total{reason=\"queue\"} 10\n";
    assert!(registry.render().contains(dropped), "{}", registry.render());
    // Then it refuses.
    let (done, over) = channel();
    std::thread::spawn(move || {
        stream
            .write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .unwrap();
        drop((stream, listener));
        let _ = done.send(());
    });
    over.recv().unwrap();
    exporter.finish();
    let lost = format!("otlp_spans_dropped_total{{reason=\"export\"}} {}\n", QUEUE_MAX + 1);
    assert!(registry.render().contains(&lost), "{}", registry.render());
    exporter.take(span(None, false, 200));
    assert!(registry.render().contains("reason=\"queue\"} 11\n"), "nobody is there any more");
}

#[test]
fn collectors_elsewhere_need_tls_and_roots() {
    let start = |endpoint: &str, roots: Option<&[u8]>| {
        Exporter::start(endpoint, roots, ("", ""), &Registry::new()).map(drop)
    };
    let now = crate::clock::Clock::System.now();
    let roots = testkit::pki::DevCa::generate("CA", now).unwrap().certificate_pem();
    for good in ["http://127.0.0.1:4318", "http://[::1]:4318/", "http://localhost:4318/otlp"] {
        assert_eq!(start(good, None), Ok(()), "{good}");
    }
    assert_eq!(start("https://collector.example.com", Some(roots.as_bytes())), Ok(()));
    assert_eq!(start("https://collector.example.com", None), Err(ExporterError::NoRoots));
    assert_eq!(start("https://collector.example.com", Some(b"")), Err(ExporterError::Roots));
    for bad in [
        "http://collector.example.com",
        "http://192.0.2.1",
        "ftp://127.0.0.1",
        "127.0.0.1",
        "",
        "http://127.0.0.1/?a",
    ] {
        assert_eq!(start(bad, None), Err(ExporterError::Endpoint(bad.to_owned())));
    }
}
