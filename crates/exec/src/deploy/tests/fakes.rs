// SPDX-License-Identifier: Apache-2.0

//! A registry and a Steward in miniature: real https, real trees, real certificates, on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drawbridge_core::statement::{Statement, assemble};
use drawbridge_core::{DeployInfo, Tree, media};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use testkit::pki::DevCa;
use types::digest::Sha256;
use types::slug::Slug;
use types::time::Timestamp;

/// What a fake is asked.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
    /// Whether the client showed a certificate of the Steward.
    pub(super) certified: bool,
}

/// What it answers.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) media_type: String,
    pub(super) digest: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn ok(media_type: &str, body: Vec<u8>) -> Self {
        Self { status: 200, media_type: media_type.to_owned(), digest: None, body }
    }

    pub(super) fn problem(status: u16, json: &str) -> Self {
        let media_type = "application/problem+json".to_owned();
        Self { status, media_type, digest: None, body: json.as_bytes().to_vec() }
    }
}

/// A server on a port of its own, until the test ends.
pub(super) struct Server {
    pub(super) port: u16,
    pub(super) seen: Arc<Mutex<Vec<String>>>,
}

/// Serves with a certificate of `ca`; asks clients for one of `steward`.
pub(super) fn serve(
    ca: &DevCa,
    steward: &DevCa,
    now: Timestamp,
    handler: impl Fn(&Request) -> Answer + Send + 'static,
) -> Server {
    let (chain, key) = ca.issue_server(&[], &["127.0.0.1".parse().unwrap()], now).unwrap();
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(steward.certificate_der().to_vec())).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), verify::provider())
        .allow_unauthenticated()
        .build()
        .unwrap();
    let config = ServerConfig::builder_with_provider(verify::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            // A client that breaks off is the test's business.
            let _served = answer(socket, &config, &handler, &log);
        }
    });
    Server { port, seen }
}

fn answer(
    socket: TcpStream,
    config: &Arc<ServerConfig>,
    handler: &impl Fn(&Request) -> Answer,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let tls = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(tls, socket));
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut length = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header)?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let certified = stream.get_ref().conn.peer_certificates().is_some();
    log.lock()
        .unwrap()
        .push(format!("{method} {path}{}", if certified { " certified" } else { "" }));
    let answer = handler(&Request { method, path, body, certified });
    let stream = stream.get_mut();
    write!(
        stream,
        "HTTP/1.1 {} X\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n",
        answer.status,
        answer.media_type,
        answer.body.len()
    )?;
    if let Some(digest) = &answer.digest {
        write!(stream, "Content-Digest: {digest}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&answer.body)?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// A package in a registry.
pub(super) struct Registry {
    pub(super) info: DeployInfo,
    pub(super) nodes: BTreeMap<String, Answer3>,
    pub(super) needs_certificate: bool,
}

type Answer3 = (String, Option<String>, Vec<u8>);

impl Registry {
    /// The package with these files under `slug`. Its statement's signature is nonsense, which is Steward's to find out.
    pub(super) fn new(slug: &Slug, files: Vec<(String, Vec<u8>)>, steward: Option<String>) -> Self {
        let tree = Tree::from_files(files).unwrap();
        let digest = tree.digest();
        let tag = format!("/api/v0.1.0/{}/{}/_tag/{}", slug.user, slug.repo, slug.tag);
        let mut nodes = BTreeMap::new();
        nodes.insert(tag.clone(), (media::ENTRY.to_owned(), None, tree.tag().to_bytes()));
        for (path, node) in tree.nodes() {
            let at =
                if path.is_empty() { format!("{tag}/tree") } else { format!("{tag}/tree/{path}") };
            let digest = node.entry.digest.to_header();
            nodes.insert(at, (node.entry.media_type.clone(), Some(digest), node.bytes.clone()));
        }
        Self {
            info: DeployInfo { digest, statement: statement(slug, &digest), steward },
            nodes,
            needs_certificate: true,
        }
    }

    /// Answers as a Drawbridge does.
    pub(super) fn answer(&self, request: &Request) -> Answer {
        assert_eq!(request.method, "GET");
        if request.path.ends_with("/_deploy") {
            return Answer::ok("application/json", serde_json::to_vec(&self.info).unwrap());
        }
        if self.needs_certificate && !request.certified {
            return Answer::problem(
                401,
                r#"{"type":"about:blank","title":"Not released","status":401,"check":"release"}"#,
            );
        }
        match self.nodes.get(&request.path) {
            Some((media_type, digest, body)) => {
                Answer { digest: digest.clone(), ..Answer::ok(media_type, body.clone()) }
            }
            None => Answer::problem(
                404,
                r#"{"type":"about:blank","title":"No such thing","status":404}"#,
            ),
        }
    }
}

pub(super) fn statement(slug: &Slug, digest: &Sha256) -> String {
    let statement = Statement {
        digest: *digest,
        host: slug.host.clone(),
        iat: 1_700_000_000,
        repo: slug.repo.clone(),
        tag: slug.tag.to_string(),
        user: slug.user.clone(),
    };
    assemble(&statement.signing_input(&"A".repeat(43)), &[1; 64])
}
