// SPDX-License-Identifier: Apache-2.0

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, NamedGroup, ServerConfig, ServerConnection, Stream,
    SupportedProtocolVersion,
};
use testkit::pki::{DevCa, Issued, Profile};

use super::*;
use crate::testing::{NOW, anchors, chain, keep, result, slug, steward};
use crate::{Probe, VerifyError, identify, probe, provider, provider_with_tls12};

#[derive(Debug)]
struct Now(Timestamp);

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.0)))
    }
}

fn key(issued: &Issued) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(issued.key_der.clone()))
}

/// A server with `identity` that judges its clients.
fn server(
    identity: &Issued,
    verifier: Arc<dyn ClientCertVerifier>,
    version: &'static SupportedProtocolVersion,
) -> ServerConfig {
    ServerConfig::builder_with_details(provider_with_tls12(), Arc::new(Now(NOW)))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(identity), key(identity))
        .unwrap()
}

/// A client that judges its server.
fn client(
    identity: Option<&Issued>,
    verifier: Arc<dyn ServerCertVerifier>,
    version: &'static SupportedProtocolVersion,
    now: Timestamp,
) -> ClientConfig {
    let builder = ClientConfig::builder_with_details(provider_with_tls12(), Arc::new(Now(now)))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match identity {
        None => builder.with_no_client_auth(),
        Some(issued) => builder.with_client_auth_cert(chain(issued), key(issued)).unwrap(),
    }
}

/// What one side of a connection saw.
struct Seen {
    /// What the other one said, or why there is no connection.
    heard: Result<String, String>,
    chain: Vec<CertificateDer<'static>>,
    group: Option<NamedGroup>,
}

/// Connects over loopback; both sides say hello. Server's view, client's view.
fn meet(server: ServerConfig, client: ClientConfig) -> (Seen, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut tls = ServerConnection::new(Arc::new(server)).unwrap();
        let heard = talk(&mut Stream::new(&mut tls, &mut socket), "server");
        let chain = tls.peer_certificates().unwrap_or_default().to_vec();
        Seen { heard, chain, group: None }
    });
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The name plays no role for Keeps.
    let name = ServerName::try_from("nobody.invalid").unwrap();
    let mut tls = ClientConnection::new(Arc::new(client), name).unwrap();
    let heard = talk(&mut Stream::new(&mut tls, &mut socket), "client");
    let chain = tls.peer_certificates().unwrap_or_default().to_vec();
    let group = tls.negotiated_key_exchange_group().map(|group| group.name());
    drop(socket);
    (serving.join().unwrap(), Seen { heard, chain, group })
}

/// Probes a server; what it heard, and what is known of it.
fn probed(config: ServerConfig, trusted: &Anchors) -> (Result<String, String>, io::Result<Probe>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
        talk(&mut Stream::new(&mut tls, &mut socket), "server")
    });
    let probe = probe("127.0.0.1", port, trusted, NOW);
    (serving.join().unwrap(), probe)
}

fn talk<C, S>(stream: &mut Stream<'_, C, TcpStream>, who: &str) -> Result<String, String>
where
    C: std::ops::DerefMut<Target = rustls::ConnectionCommon<S>>,
    S: rustls::SideData,
{
    let mut heard = [0; 6];
    stream
        .write_all(who.as_bytes())
        .and_then(|()| stream.flush())
        .and_then(|()| stream.read_exact(&mut heard))
        .map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

fn rules(pattern: &str) -> Requirements {
    Requirements::expecting([format!("workload={pattern}").as_str()]).unwrap()
}

fn expected() -> Requirements {
    rules("store.example.com/team/app:^1")
}

/// One Steward, and two Keeps that know it.
struct Scene {
    ca: DevCa,
    serving: Issued,
}

impl Scene {
    fn new() -> Self {
        let ca = steward();
        let serving = keep(&ca, &result());
        Self { ca, serving }
    }

    fn server(&self, requirements: Requirements, mode: ClientMode) -> ServerConfig {
        let verifier = KeepClientVerifier::new(anchors(&self.ca), requirements, mode);
        server(&self.serving, verifier, &TLS13)
    }

    fn client(&self, identity: Option<&Issued>, requirements: Requirements) -> ClientConfig {
        let verifier = KeepServerVerifier::new(anchors(&self.ca), requirements);
        client(identity, verifier, &TLS13, NOW)
    }

    /// What a server that insists says of this client.
    fn refusal(&self, identity: Option<&Issued>) -> String {
        let (server, client) =
            meet(self.server(expected(), ClientMode::Require), self.client(identity, expected()));
        assert!(client.heard.is_err(), "a refused client must hear nothing");
        server.heard.unwrap_err()
    }
}

#[test]
fn keeps_verify_each_other() {
    let scene = Scene::new();
    let other = keep(&scene.ca, &result());
    let (server, client) =
        meet(scene.server(expected(), ClientMode::Require), scene.client(Some(&other), expected()));
    assert_eq!((server.heard.as_deref(), client.heard.as_deref()), (Ok("client"), Ok("server")));
    assert_eq!(client.group, Some(NamedGroup::X25519MLKEM768));
    // After the handshake both know whom they talk to.
    for (seen, usage) in [(&server, Usage::Client), (&client, Usage::Server)] {
        let identity = identify(&seen.chain, &anchors(&scene.ca), NOW, usage).unwrap();
        assert_eq!(identity.slug, Some(slug()));
    }
    assert_eq!(server.chain, chain(&other));
}

#[test]
fn who_need_not_show_anything_is_anonymous() {
    let scene = Scene::new();
    let config = scene.server(Requirements::default(), ClientMode::Request);
    let (server, client) = meet(config, scene.client(None, expected()));
    assert_eq!((server.heard.as_deref(), client.heard.as_deref()), (Ok("client"), Ok("server")));
    assert!(server.chain.is_empty());
}

#[test]
fn clients_without_or_with_the_wrong_certificate_are_refused() {
    let scene = Scene::new();
    let none = scene.refusal(None);
    assert!(none.contains("no certificates"), "{none}");

    let foreign = keep(&DevCa::generate("another Steward", NOW).unwrap(), &result());
    let why = scene.refusal(Some(&foreign));
    assert!(why.contains("issuer is not trusted"), "{why}");

    let ordinary = Profile { client: true, ..Profile::default() };
    let why = scene.refusal(Some(&scene.ca.issue(&ordinary, NOW).unwrap()));
    assert!(why.contains("no attestation result"), "{why}");

    let mut result = result();
    result.facts.workload.as_mut().unwrap().slug =
        Some("store.example.com/team/other:1.2.0".parse().unwrap());
    let why = scene.refusal(Some(&keep(&scene.ca, &result)));
    assert!(why.contains("but store.example.com/team/other:1.2.0"), "{why}");

    let mut result = crate::testing::result();
    result.facts.simulated = true;
    let why = scene.refusal(Some(&keep(&scene.ca, &result)));
    assert!(why.contains("simulated"), "{why}");

    let expired = Profile {
        validity: Some((NOW.minus(7_200), NOW.minus(1))),
        ..Profile::keep(&crate::testing::result())
    };
    let why = scene.refusal(Some(&scene.ca.issue(&expired, NOW).unwrap()));
    assert!(why.contains("expired"), "{why}");

    let server_only = Profile { client: false, ..Profile::keep(&crate::testing::result()) };
    let why = scene.refusal(Some(&scene.ca.issue(&server_only, NOW).unwrap()));
    assert!(why.contains("side of a TLS connection"), "{why}");
}

#[test]
fn a_client_that_shows_a_wrong_certificate_is_refused_even_where_it_need_not_show_one() {
    let scene = Scene::new();
    let foreign = keep(&DevCa::generate("another Steward", NOW).unwrap(), &result());
    let config = scene.server(Requirements::default(), ClientMode::Request);
    let (server, client) = meet(config, scene.client(Some(&foreign), expected()));
    assert!(server.heard.unwrap_err().contains("issuer is not trusted"));
    assert!(client.heard.is_err());
}

#[test]
fn the_key_must_be_held_not_just_shown() {
    let scene = Scene::new();
    let resolver = stolen(&scene);
    let mut posing = scene.client(None, expected());
    posing.client_auth_cert_resolver = resolver.clone();
    let (server, _) = meet(scene.server(expected(), ClientMode::Require), posing);
    assert!(server.heard.is_err());

    let mut posing = scene.server(Requirements::default(), ClientMode::Request);
    posing.cert_resolver = resolver;
    let (_, client) = meet(posing, scene.client(None, expected()));
    assert!(client.heard.is_err());
}

#[test]
fn the_reason_can_be_had_from_the_error() {
    let scene = Scene::new();
    let client = |requirements| {
        let config = scene.client(None, requirements);
        let name = ServerName::try_from("nobody.invalid").unwrap();
        ClientConnection::new(Arc::new(config), name).unwrap()
    };
    let mut tls = client(rules("store.example.com/team/other"));
    let config = scene.server(Requirements::default(), ClientMode::Request);
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    let error = handshake(&mut tls, &mut server).unwrap_err();
    let refusal = refusal(&error).unwrap();
    assert_eq!(refusal.check(), "requirement.workload");
    assert!(!refusal.hint().is_empty());
    assert!(error.to_string().contains("but store.example.com/team/app:1.2.0"), "{error}");
    assert!(super::refusal(&Error::DecryptError).is_none());
}

/// Handshakes in memory; why the client gives up.
fn handshake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Error> {
    while client.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn whom_nobody_judges_still_holds_its_key() {
    let scene = Scene::new();
    let config = || server(&scene.serving, UnjudgedClients::new(), &TLS13);
    // Nobody's certificate, and none.
    let foreign = keep(&DevCa::generate("another Steward", NOW).unwrap(), &result());
    let (server, client) = meet(config(), scene.client(Some(&foreign), expected()));
    assert_eq!((server.heard.as_deref(), client.heard.as_deref()), (Ok("client"), Ok("server")));
    let proved = verify_chain(&server.chain, &anchors(&scene.ca), &expected(), NOW, Usage::Client);
    assert_eq!(proved.unwrap_err().check(), "chain.path");
    let (server, _) = meet(config(), scene.client(None, expected()));
    assert_eq!((server.heard.as_deref(), server.chain.len()), (Ok("client"), 0));
    // One that is not its own.
    let mut posing = scene.client(None, expected());
    posing.client_auth_cert_resolver = stolen(&scene);
    assert!(meet(config(), posing).0.heard.is_err());
    // More than anybody would look at.
    let mut long = keep(&scene.ca, &result());
    long.chain_der.resize(types::limits::CHAIN_CERTIFICATES_MAX + 1, long.chain_der[0].clone());
    assert!(meet(config(), scene.client(Some(&long), expected())).0.heard.is_err());
}

/// A Keep's certificate with the key of another.
fn stolen(scene: &Scene) -> Arc<rustls::sign::SingleCertAndKey> {
    let mut stolen = keep(&scene.ca, &result());
    stolen.key_der = keep(&scene.ca, &result()).key_der;
    // rustls compares key and certificate itself; so the pair is put together behind its back.
    let key = provider().key_provider.load_private_key(key(&stolen)).unwrap();
    let pair = rustls::sign::CertifiedKey::new(chain(&stolen), key);
    Arc::new(rustls::sign::SingleCertAndKey::from(pair))
}

#[test]
fn servers_are_judged_by_what_they_run() {
    let scene = Scene::new();
    let ask = |config: ClientConfig| {
        let server = scene.server(Requirements::default(), ClientMode::Request);
        meet(server, config).1.heard
    };
    assert_eq!(ask(scene.client(None, expected())), Ok("server".to_owned()));
    let why = ask(scene.client(None, rules("store.example.com/team/other"))).unwrap_err();
    assert!(why.contains("workload is not store.example.com/team/other, but store"), "{why}");
    // Another root of trust, none at all, another time.
    for (anchors, now) in [
        (anchors(&DevCa::generate("another Steward", NOW).unwrap()), NOW),
        (Anchors::default(), NOW),
        (anchors(&scene.ca), NOW.plus(31 * 86_400)),
        (anchors(&scene.ca), NOW.minus(2 * 3_600)),
    ] {
        let verifier = KeepServerVerifier::new(anchors, expected());
        assert!(ask(client(None, verifier, &TLS13, now)).is_err(), "{now}");
    }
}

#[test]
fn tls_1_2_is_spoken_only_by_those_who_ask_for_it() {
    let scene = Scene::new();
    let keep = keep(&scene.ca, &result());
    let both = |version| {
        let of_clients =
            KeepClientVerifier::new(anchors(&scene.ca), expected(), ClientMode::Require);
        let of_servers = KeepServerVerifier::new(anchors(&scene.ca), expected());
        let server = server(&scene.serving, of_clients, version);
        meet(server, client(Some(&keep), of_servers, version, NOW))
    };
    // Asked for on both sides it works, and signatures are checked all the same.
    let (server, client) = both(&TLS12);
    assert_eq!((server.heard.as_deref(), client.heard.as_deref()), (Ok("client"), Ok("server")));
    // The usual provider has nothing for it.
    let only = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS12]);
    assert!(only.is_err());
    assert_eq!(provider().kx_groups[0].name(), NamedGroup::X25519MLKEM768);
}

#[test]
fn a_probe_judges_and_says_nothing() {
    let scene = Scene::new();
    let config = || scene.server(expected(), ClientMode::Require);
    let (heard, seen) = probed(config(), &anchors(&scene.ca));
    let seen = seen.unwrap();
    assert!(heard.is_err(), "{heard:?}");
    assert_eq!(seen.chain, chain(&scene.serving));
    assert_eq!(seen.identity.unwrap().slug, Some(slug()));
    assert_eq!(seen.key_exchange, "X25519MLKEM768");
    assert!(seen.cipher.starts_with("TLS13_"), "{}", seen.cipher);
    // Whoever it is, the probe tells.
    let (_, seen) = probed(config(), &anchors(&DevCa::generate("another Steward", NOW).unwrap()));
    assert_eq!(seen.unwrap().identity.unwrap_err().check(), "chain.path");
    let ordinary = Profile { server: true, ..Profile::default() };
    let ordinary = scene.ca.issue(&ordinary, NOW).unwrap();
    let verifier =
        KeepClientVerifier::new(anchors(&scene.ca), Requirements::default(), ClientMode::Request);
    let config = server(&ordinary, verifier, &TLS13);
    let (_, seen) = probed(config, &anchors(&scene.ca));
    assert_eq!(seen.unwrap().identity, Err(VerifyError::NoResult));
    // TLS 1.2 is refused.
    let verifier =
        KeepClientVerifier::new(anchors(&scene.ca), Requirements::default(), ClientMode::Request);
    let config = server(&scene.serving, verifier, &TLS12);
    assert!(probed(config, &anchors(&scene.ca)).1.is_err());
}
