// SPDX-License-Identifier: Apache-2.0

//! RELIABILITY C-9: nothing that a client sends in confidence is in the log, and nothing that it sends forges a line.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::steward::{Setup, Steward, write};

/// What must not be logged.
const SECRET: &str = "s3cr3t-tok3n";

fn steward(format: &str, more: &[&str]) -> Steward {
    let logging = ["--log-filter", "trace", "--log-format", format];
    let more = logging.iter().chain(more).map(|word| (*word).to_owned()).collect();
    Steward::start(Setup { more, ..Setup::default() })
}

/// Everything that was logged until the end.
fn log(steward: Steward) -> String {
    let (code, lines) = steward.stop_and_read();
    assert_eq!(code, Some(0));
    assert!(lines.len() > 3, "{lines:#?}");
    lines.join("\n")
}

/// Sends bytes over HTTP/1.1 and reads until the end.
fn send(stream: &mut (impl std::io::Read + std::io::Write), request: &str) -> String {
    stream.write_all(request.replace('\n', "\r\n").as_bytes()).unwrap();
    stream.flush().unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn request() -> String {
    format!(
        "POST /?token={SECRET} HTTP/1.1\nhost: localhost\nauthorization: Bearer {SECRET}\ncookie: id={SECRET}\n\
         x-{SECRET}: yes\ncontent-type: application/pkcs10\ncontent-length: {}\nconnection: close\n\n{SECRET}",
        SECRET.len()
    )
}

#[test]
fn secrets_of_http_1_and_of_tls_are_not_logged() {
    for format in ["human", "json"] {
        let steward = steward(format, &[]);
        let mut roots = RootCertStore::empty();
        let pem = steward.files.tls.certificate_pem();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(verify::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connect = |name: &str| {
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let connection = ClientConnection::new(Arc::new(config.clone()), name).unwrap();
            StreamOwned::new(connection, TcpStream::connect(steward.addr()).unwrap())
        };
        let answer = send(&mut connect("localhost"), &request());
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        // The client refuses the certificate, but the server has seen the name by then.
        let mut other = connect(&format!("{SECRET}.example.com"));
        assert!(other.write_all(b"x").is_err());
        drop(other);
        // A head that breaks off, and one that is none.
        for broken in [format!("GET / HTTP/1.1\nauthorization: {SECRET}"), format!("{SECRET}\n\n")]
        {
            let mut stream = connect("localhost");
            stream.write_all(broken.as_bytes()).unwrap();
            stream.flush().unwrap();
            let _ = stream.sock.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let log = log(steward);
        assert!(log.contains("request-malformed"), "the request was seen: {log}");
        assert!(!log.contains(SECRET), "{log}");
    }
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A header without Huffman code or index (RFC 7541 section 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// What comes on stream 1 until it, or the connection, ends.
fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).unwrap();
        all.extend(payload);
        // DATA or HEADERS that end the stream; RST_STREAM; GOAWAY.
        if matches!((head[3], head[4] & 1, head[8]), (0 | 1, 1, 1) | (3, ..) | (7, ..)) {
            break;
        }
    }
    all
}

#[test]
fn secrets_of_http_2_are_not_logged() {
    let steward = steward("json", &["--plain"]);
    let block = [
        literal(":method", "POST"),
        literal(":scheme", "http"),
        literal(":path", &format!("/?token={SECRET}")),
        literal(":authority", "localhost"),
        literal("authorization", &format!("Bearer {SECRET}")),
        literal("content-type", "application/pkcs10"),
    ]
    .concat();
    let bad = [literal(":method", "GET"), literal("Bad Name", SECRET)].concat();
    for (block, refused) in [(&block, false), (&bad, true)] {
        let mut stream = TcpStream::connect(steward.addr()).unwrap();
        let whole = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, 0, &[]),
            frame(1, 4, 1, block),
            frame(0, 1, 1, SECRET.as_bytes()),
        ]
        .concat();
        stream.write_all(&whole).unwrap();
        let answer = answer(&mut stream);
        let answered = answer.windows(17).any(|window| window == b"request-malformed");
        assert_eq!(answered, !refused, "{}", String::from_utf8_lossy(&answer));
    }
    let log = log(steward);
    assert!(log.contains("h2::") && log.contains("request-malformed"), "{log}");
    assert!(!log.contains(SECRET), "{log}");
}

#[test]
fn no_client_forges_a_line() {
    for format in ["human", "json"] {
        let steward = steward(format, &["--plain"]);
        let stream = || TcpStream::connect(steward.addr()).unwrap();
        for path in ["/%0a%1b[2J%0dforged", "/\u{85}forged", "/\u{202e}forged", "/\u{1b}[2Jforged"]
        {
            let head = format!("GET {path} HTTP/1.1\nhost: localhost\nconnection: close\n\n");
            send(&mut stream(), &head);
        }
        let traced = "GET /nothing HTTP/1.1\nhost: localhost\nconnection: close\n\
                      traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n\n";
        let answer = send(&mut stream(), traced);
        assert!(answer.contains("0af7651916cd43dd8448eb211c80319c"), "{answer}");
        // An operator's own mistake, whose text is quoted in the log.
        write(&steward.files.path("policy.toml"), "\"a\\u001b[2J\\nforged\" = 1\n", 0o644);
        steward.signal("HUP");
        while steward.metric("reloads_total{result=\"failed\"}") < 1.0 {}
        let (code, lines) = steward.stop_and_read();
        assert_eq!(code, Some(0));
        for line in &lines {
            assert!(!line.starts_with("forged"), "{lines:#?}");
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
            if format == "json" {
                let parsed: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(parsed["timestamp"].is_string(), "{line}");
            }
        }
        let of_it = |line: &&String| line.contains("0af7651916cd43dd8448eb211c80319c");
        let access = lines.iter().filter(of_it).find(|line| line.contains("/nothing"));
        assert!(access.is_some(), "the request's name is in its line: {lines:#?}");
    }
}
