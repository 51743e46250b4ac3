// SPDX-License-Identifier: Apache-2.0

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use testkit::pki::{DevCa, Issued, Profile};

use super::*;
use crate::provider_with_tls12;
use crate::testing::{NOW, chain, keep, result};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// A server of one answer, for `localhost` and `127.0.0.1`.
struct Server {
    ca: DevCa,
    identity: Issued,
    version: &'static SupportedProtocolVersion,
    /// Whose clients it asks for certificates.
    clients: Option<DevCa>,
    answer: &'static str,
}

/// What the server saw: the first bytes of the request, and the client's certificate.
type Seen = Option<(String, Vec<Vec<u8>>)>;

impl Server {
    fn new() -> Self {
        let ca = DevCa::generate("servers", NOW).unwrap();
        let profile = Profile {
            dns: vec!["localhost".to_owned(), "steward.example.com".to_owned()],
            ip: vec![IpAddr::from(Ipv4Addr::LOCALHOST)],
            server: true,
            ..Profile::default()
        };
        let identity = ca.issue(&profile, NOW).unwrap();
        Self { ca, identity, version: &rustls::version::TLS13, clients: None, answer: OK }
    }

    /// Takes one connection; its port.
    fn serve(&self) -> (u16, thread::JoinHandle<Seen>) {
        let config = ServerConfig::builder_with_details(
            provider_with_tls12(),
            Arc::new(CallersTime(Arc::new(|| NOW))),
        )
        .with_protocol_versions(&[self.version])
        .unwrap();
        let config = match &self.clients {
            None => config.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from(ca.certificate_der().to_vec())).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.identity.key_der.clone()));
        let config = config.with_single_cert(chain(&self.identity), key).unwrap();
        let answer = self.answer;
        let (port, accepted) = listen();
        let thread = thread::spawn(move || {
            let socket = accepted();
            let tls = ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = StreamOwned::new(tls, socket);
            let mut request = [0; 1024];
            let count = stream.read(&mut request).ok()?;
            stream.write_all(answer.as_bytes()).ok()?;
            let peer = stream.conn.peer_certificates().unwrap_or_default();
            Some((
                String::from_utf8_lossy(&request[..count]).into_owned(),
                peer.iter().map(|c| c.to_vec()).collect(),
            ))
        });
        (port, thread)
    }

    fn agent(&self) -> AgentBuilder {
        Agent::builder().roots_pem(&self.ca.certificate_pem()).clock(Arc::new(|| NOW))
    }
}

/// A port, and what waits there for a connection.
fn listen() -> (u16, impl FnOnce() -> std::net::TcpStream + Send + 'static) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let accept = move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    };
    (port, accept)
}

fn get(agent: &ureq::Agent, url: &str) -> Result<(u16, String), String> {
    let mut answer = agent.get(url).call().map_err(|error| error.to_string())?;
    let body = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
    Ok((answer.status().as_u16(), body))
}

fn refusal(agent: AgentBuilder, server: &Server) -> String {
    let (port, thread) = server.serve();
    let why = get(&agent.build().unwrap(), &format!("https://localhost:{port}/")).unwrap_err();
    assert_eq!(thread.join().unwrap(), None, "nothing may reach a server that is not trusted");
    why
}

#[test]
fn a_trusted_server_is_asked() {
    let server = Server::new();
    for host in ["localhost", "127.0.0.1"] {
        let (port, thread) = server.serve();
        let answer = get(&server.agent().build().unwrap(), &format!("https://{host}:{port}/a?b"));
        assert_eq!(answer, Ok((200, "hello".to_owned())));
        let (request, peer) = thread.join().unwrap().unwrap();
        assert!(request.starts_with("GET /a?b HTTP/1.1\r\n") && peer.is_empty(), "{request}");
        assert!(request.contains(concat!("user-agent: enarx/", env!("CARGO_PKG_VERSION"))));
    }
}

#[test]
fn several_roots_may_be_given_in_one_text() {
    let server = Server::new();
    let other = DevCa::generate("others", NOW).unwrap();
    let bundle = format!("{}{}", other.certificate_pem(), server.ca.certificate_pem());
    let (port, _thread) = server.serve();
    let agent = Agent::builder().web_pki().roots_pem(&bundle).clock(Arc::new(|| NOW)).build();
    assert!(get(&agent.unwrap(), &format!("https://localhost:{port}/")).is_ok());
}

#[test]
fn servers_that_nobody_vouches_for_hear_nothing() {
    let server = Server::new();
    let other = DevCa::generate("others", NOW).unwrap();
    let others = Agent::builder().roots_pem(&other.certificate_pem()).clock(Arc::new(|| NOW));
    let why = refusal(others, &server);
    assert!(why.contains("not by an authority that is trusted here"), "{why}");
    let why = refusal(Agent::builder().web_pki().clock(Arc::new(|| NOW)), &server);
    assert!(why.contains("not by an authority that is trusted here"), "{why}");
    // A Keep's certificate is no server's certificate unless its policy grants a name.
    let keeps = Server { identity: keep(&server.ca, &result()), ..Server::new() };
    let why = refusal(server.agent(), &keeps);
    assert!(why.contains("for another name"), "{why}");
}

#[test]
fn the_clock_is_the_callers() {
    let server = Server::new();
    let late = Arc::new(|| NOW.plus(31 * 86_400));
    let why = refusal(server.agent().clock(late), &server);
    assert!(why.contains("has expired"), "{why}");
    let early = Arc::new(|| NOW.minus(7_200));
    let why = refusal(server.agent().clock(early), &server);
    assert!(why.contains("not valid yet"), "{why}");
}

#[test]
fn tls_1_2_is_not_spoken() {
    let server = Server { version: &rustls::version::TLS12, ..Server::new() };
    let why = refusal(server.agent(), &server);
    assert!(why.contains("does not speak TLS 1.3"), "{why}");
}

#[test]
fn tls_1_2_is_spoken_by_those_who_ask_for_it() {
    let server = Server { version: &rustls::version::TLS12, ..Server::new() };
    let (port, _thread) = server.serve();
    let agent = server.agent().tls12().build().unwrap();
    let url = format!("https://localhost:{port}/");
    assert_eq!(get(&agent, &url), Ok((200, "hello".to_owned())));
    // It is judged no less.
    let other = DevCa::generate("others", NOW).unwrap();
    let others = Agent::builder().roots_pem(&other.certificate_pem()).clock(Arc::new(|| NOW));
    let why = refusal(others.tls12(), &server);
    assert!(why.contains("not by an authority that is trusted here"), "{why}");
}

/// A proxy of one connection to whatever port it is asked for; what it was asked.
fn tunnel() -> (u16, thread::JoinHandle<String>) {
    let (port, accepted) = listen();
    let thread = thread::spawn(move || {
        let mut near = accepted();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            near.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let target = head.split(' ').nth(1).unwrap();
        let to = target.rsplit(':').next().unwrap().parse::<u16>().unwrap();
        let mut far = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, to)).unwrap();
        near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let (mut from, mut back) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let up = thread::spawn(move || io::copy(&mut from, &mut far));
        let _ = io::copy(&mut back, &mut near);
        let _ = near.shutdown(std::net::Shutdown::Both);
        let _ = up.join();
        head
    });
    (port, thread)
}

#[test]
fn a_proxy_is_gone_through_and_sees_no_request() {
    let server = Server::new();
    let (port, _thread) = server.serve();
    let (via, proxy) = tunnel();
    let address = ureq::Proxy::new(&format!("http://127.0.0.1:{via}")).unwrap();
    let agent = server.agent().proxy(Some(address)).build().unwrap();
    // Nobody but the proxy has to know the name.
    let answer = get(&agent, &format!("https://steward.example.com:{port}/secret"));
    assert_eq!(answer, Ok((200, "hello".to_owned())));
    drop(agent);
    let head = proxy.join().unwrap();
    assert!(head.starts_with(&format!("CONNECT steward.example.com:{port} ")), "{head}");
    assert!(!head.contains("secret"), "{head}");
    // A host that is excepted is asked directly.
    let server = Server::new();
    let (port, _thread) = server.serve();
    let address = ureq::Proxy::builder(ureq::ProxyProtocol::Http)
        .host("127.0.0.1")
        .port(1)
        .no_proxy("localhost")
        .build();
    let agent = server.agent().proxy(Some(address.unwrap())).build().unwrap();
    assert!(get(&agent, &format!("https://localhost:{port}/")).is_ok());
    assert!(get(&agent, &format!("https://127.0.0.1:{port}/")).is_err());
}

#[test]
fn who_is_asked_shows_a_certificate() {
    let clients = DevCa::generate("a Steward", NOW).unwrap();
    let own = keep(&clients, &result());
    let server = Server { clients: Some(clients), ..Server::new() };
    let (port, thread) = server.serve();
    let agent = server.agent().client_identity(own.chain_der.clone(), own.key_der.clone());
    assert!(get(&agent.build().unwrap(), &format!("https://localhost:{port}/")).is_ok());
    assert_eq!(thread.join().unwrap().unwrap().1, own.chain_der);
    // A key that is none.
    let agent = server.agent().client_identity(own.chain_der, vec![1, 2, 3]).build();
    assert!(matches!(agent, Err(AgentError::Identity(_))));
}

#[test]
fn names_are_resolved_as_the_caller_says() {
    let server = Server::new();
    let (port, _thread) = server.serve();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let resolve: Resolve = Arc::new(move |host, wanted| {
        assert_eq!((host, wanted), ("steward.example.com", 443));
        count.fetch_add(1, Ordering::Relaxed);
        Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))])
    });
    let agent = server.agent().resolver(resolve).build().unwrap();
    assert_eq!(get(&agent, "https://steward.example.com/"), Ok((200, "hello".to_owned())));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // Addresses are not looked up; names without an address, and failures, are errors.
    let (port, _thread) = server.serve();
    assert!(get(&agent, &format!("https://127.0.0.1:{port}/")).is_ok());
    let nowhere = server.agent().resolver(Arc::new(|_, _| Ok(Vec::new()))).build().unwrap();
    assert!(get(&nowhere, "https://steward.example.com/").is_err());
    let broken = server.agent().resolver(Arc::new(|_, _| Err(io::Error::other("no names today"))));
    let why = get(&broken.build().unwrap(), "https://steward.example.com/").unwrap_err();
    assert!(why.contains("no names today"), "{why}");
    // More addresses than anybody needs are cut off, not a panic.
    let many = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port)); 1_000];
    let agent = server.agent().resolver(Arc::new(move |_, _| Ok(many.clone()))).build().unwrap();
    assert!(get(&agent, "https://steward.example.com/").is_err());
}

#[test]
fn refusals_and_redirects_are_answers() {
    let gone = "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno";
    let moved = "HTTP/1.1 302 Found\r\nlocation: https://example.com/\r\ncontent-length: 0\r\n\r\n";
    for (answer, wanted) in [(gone, (404, "no")), (moved, (302, ""))] {
        let server = Server { answer, ..Server::new() };
        let (port, _thread) = server.serve();
        let agent = server.agent().build().unwrap();
        let (status, body) = get(&agent, &format!("https://localhost:{port}/")).unwrap();
        assert_eq!((status, body.as_str()), wanted);
    }
}

#[test]
fn plain_http_stays_on_this_machine_and_must_be_asked_for() {
    let serve = || {
        let (port, accepted) = listen();
        let thread = thread::spawn(move || {
            let mut socket = accepted();
            let mut request = [0; 1024];
            assert!(socket.read(&mut request).unwrap() > 0);
            socket.write_all(OK.as_bytes()).unwrap();
        });
        (port, thread)
    };
    let server = Server::new();
    let (port, thread) = serve();
    let url = format!("http://127.0.0.1:{port}/");
    assert!(get(&server.agent().build().unwrap(), &url).is_err());
    let plain = server.agent().insecure_plain_loopback().build().unwrap();
    assert_eq!(get(&plain, &url), Ok((200, "hello".to_owned())));
    thread.join().unwrap();
    // Elsewhere: an address, and a name that leads there. 192.0.2.0/24 is nobody's (RFC 5737), and nothing is sent to it.
    let why = get(&plain, "http://192.0.2.1/").unwrap_err();
    assert!(why.contains("plain http is for loopback addresses only"), "{why}");
    let both =
        vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from(([192, 0, 2, 1], 80))];
    let plain =
        server.agent().insecure_plain_loopback().resolver(Arc::new(move |_, _| Ok(both.clone())));
    let why = get(&plain.build().unwrap(), "http://issuer.example.com/").unwrap_err();
    assert!(why.contains("plain http is for loopback addresses only"), "{why}");
    // https is judged all the same.
    let other = DevCa::generate("others", NOW).unwrap();
    let others = Agent::builder().roots_pem(&other.certificate_pem()).clock(Arc::new(|| NOW));
    let why = refusal(others.insecure_plain_loopback(), &server);
    assert!(why.contains("not by an authority that is trusted here"), "{why}");
}

#[test]
fn what_is_no_tls_is_said_to_be_none() {
    let server = Server::new();
    let (port, accepted) = listen();
    let thread = thread::spawn(move || {
        let mut socket = accepted();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let why =
        get(&server.agent().build().unwrap(), &format!("https://localhost:{port}/")).unwrap_err();
    assert!(why.contains("does not speak TLS"), "{why}");
    thread.join().unwrap();
}

#[test]
fn there_is_no_client_without_roots() {
    assert_eq!(Agent::builder().build().err(), Some(AgentError::NoRoots));
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "no PEM", pem] {
        let built = Agent::builder().web_pki().roots_pem(pem).build();
        assert!(matches!(built, Err(AgentError::Roots(_))), "{pem}");
    }
}
