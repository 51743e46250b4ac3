// SPDX-License-Identifier: Apache-2.0

//! Keeps that demand to know each other. A small authority stands for Steward.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{JoinHandle, spawn};

use evidence::result::{AttestationResult, Facts};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use testkit::pki::{DevCa, Profile, sample_result};
use types::digest::Sha256;
use types::peer::Peer;
use types::time::Timestamp;

use super::tls::Anybody;
use super::{PATIENCE, accept, network_as, read, refusal, wait};
use crate::clock::Clock;
use crate::identity::{Identity, Key};
use crate::net::{Listener, NetErrorKind};
use crate::poll::{Interest, PollSet};

const CLIENT: &str = "store.test/team/client:1.2.0";
const SERVER: &str = "store.test/team/server:1.0.0";

fn now() -> Timestamp {
    Clock::new().now()
}

fn facts(slug: Option<&str>, simulated: bool) -> Facts {
    let slug = slug.map(|slug| slug.parse().unwrap());
    Facts { simulated, ..sample_result(Sha256([7; 32]), slug, now()).facts }
}

/// What a Steward with this CA would issue for these facts.
fn certified(ca: &DevCa, facts: Facts, with_root: bool) -> Identity {
    let result = AttestationResult {
        build: "test".into(),
        issued_at: now(),
        policy: Sha256([9; 32]),
        facts,
    };
    let key = Key::generate().unwrap();
    let mut chain = ca.issue_for(&Profile::keep(&result), key.spki_der(), now()).unwrap();
    if with_root {
        chain.push(ca.certificate_der().to_vec());
    }
    Identity::certified(key, chain)
}

fn ca() -> DevCa {
    DevCa::generate("Test Steward", now()).unwrap()
}

fn trust(ca: &DevCa) -> String {
    format!("[trust]\nsteward = [\"{}\"]\n", ca.fingerprint())
}

fn keep(ca: &DevCa, slug: &str) -> Identity {
    certified(ca, facts(Some(slug), false), true)
}

/// The configuration of a Keep that connects to Keeps that run `workload`.
fn dialler(ca: &DevCa, workload: &str) -> String {
    format!("[network.outgoing.default]\npeers = [{{ workload = \"{workload}\" }}]\n{}", trust(ca))
}

/// The configuration of a Keep that lets in only clients of the demo.
fn guarded(ca: &DevCa) -> String {
    format!(
        "[network.incoming.default]\npeers = [{{ workload = \"store.test/team/client:^1.2\" }}]\n{}",
        trust(ca)
    )
}

/// A Keep that connects to `port` and says hello; what it gets back, or why not.
fn dial(config: String, identity: Identity, port: u16) -> JoinHandle<Result<String, String>> {
    spawn(move || {
        let (network, _host) = network_as(&config, &identity);
        let mut connection =
            network.connect("127.0.0.1", Some(port)).map_err(|error| error.to_string())?;
        wait(&mut connection, Interest::WRITE);
        connection.write(b"hello").map_err(|error| error.to_string())?;
        let answer = read(&mut connection).map_err(|error| error.to_string())?;
        Ok(format!("{} {}", String::from_utf8_lossy(&answer), connection.peer().to_json()))
    })
}

/// Lets the listener work until `client` is done; no connection may come out.
fn refuse<T>(listener: &mut Listener, client: &JoinHandle<T>) {
    while !client.is_finished() {
        assert!(listener.accept().is_err(), "somebody got in");
        let mut set = PollSet::new();
        listener.register(&mut set);
        set.wait(Some(std::time::Duration::from_millis(5))).unwrap();
    }
}

fn listen(config: &str, identity: &Identity) -> (Listener, UnixStream) {
    let (network, host) = network_as(config, identity);
    (network.listen(0).unwrap(), host)
}

#[test]
fn two_keeps_know_each_other() {
    let ca = ca();
    let (mut listener, _host) = listen(&guarded(&ca), &keep(&ca, SERVER));
    let client = dial(dialler(&ca, "store.test/team/server"), keep(&ca, CLIENT), listener.port());
    let mut connection = accept(&mut listener);
    let Peer::Keep { workload, digest, attested } = connection.peer() else {
        panic!("{:?}", connection.peer())
    };
    assert_eq!((workload.to_string().as_str(), digest), (CLIENT, &Sha256([7; 32])));
    assert_eq!(
        (attested.tee.as_str(), attested.simulated, attested.policy),
        ("snp", false, Sha256([9; 32]))
    );
    assert_eq!(read(&mut connection).unwrap(), b"hello");
    connection.write(b"welcome").unwrap();
    let answer = client.join().unwrap().unwrap();
    assert!(
        answer.starts_with(
            "welcome {\"kind\":\"keep\",\"workload\":\"store.test/team/server:1.0.0\""
        ),
        "{answer}"
    );
}

#[test]
fn each_wrong_client_is_refused_and_told_so() {
    let (ours, other) = (ca(), ca());
    let (mut listener, mut host) = listen(&guarded(&ours), &keep(&ours, SERVER));
    let unpinned = Facts { pinned: false, workload: None, ..facts(None, false) };
    let relaxed = Facts { relaxations: vec!["tcb".into()], ..facts(Some(CLIENT), false) };
    let cases = [
        (Identity::anonymous(Key::generate().unwrap(), now()).unwrap(), "trust anchor"),
        (keep(&other, CLIENT), "trust anchor"),
        // Its root has to come along where only the fingerprint is known.
        (certified(&ours, facts(Some(CLIENT), false), false), "trust anchor"),
        (keep(&ours, "store.test/team/other:1.2.0"), "not one of the expected workloads"),
        (keep(&ours, "store.test/team/client:1.1.9"), "not one of the expected workloads"),
        (keep(&ours, "evil.test/team/client:1.2.0"), "not one of the expected workloads"),
        (certified(&ours, facts(None, false), true), "for which no registry vouches"),
        (certified(&ours, facts(Some(CLIENT), true), true), "simulated"),
        (certified(&ours, unpinned, true), "does not pin"),
        (certified(&ours, relaxed, true), "with a warning: tcb"),
        (certified(&ours, Facts { debug: true, ..facts(Some(CLIENT), false) }, true), "debugged"),
    ];
    for (identity, why) in cases {
        let client = dial(dialler(&ours, "store.test/team/server"), identity, listener.port());
        refuse(&mut listener, &client);
        let told = client.join().unwrap().unwrap_err();
        assert!(told.contains("fatal alert"), "{told}");
        let reason = refusal(&mut host);
        assert!(reason.contains(why), "{reason} should say {why}");
    }
}

#[test]
fn an_ordinary_certificate_of_the_same_authority_is_no_keep() {
    let ca = ca();
    let (mut listener, mut host) = listen(&guarded(&ca), &keep(&ca, SERVER));
    let port = listener.port();
    let issued = ca
        .issue(
            &Profile { common_name: "mallory".into(), client: true, ..Profile::default() },
            now(),
        )
        .unwrap();
    let chain = issued.chain_der.iter().cloned().chain([ca.certificate_der().to_vec()]);
    let shown = Some((
        chain.map(CertificateDer::from).collect(),
        PrivateKeyDer::Pkcs8(issued.key_der.clone().into()),
    ));
    for (shown, why) in [(shown, "no attestation result"), (None, "shows no certificate")] {
        let client = spawn(move || outsider(port, shown));
        refuse(&mut listener, &client);
        assert!(client.join().unwrap().unwrap_err().to_string().contains("fatal alert"));
        let reason = refusal(&mut host);
        assert!(reason.contains(why), "{reason} should say {why}");
    }
}

/// A TLS client that is no Keep; the first bytes it gets.
fn outsider(
    port: u16,
    shown: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> std::io::Result<String> {
    let builder = ClientConfig::builder_with_provider(verify::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
    };
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let tls = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap())
        .unwrap();
    let mut stream = StreamOwned::new(tls, socket);
    stream.write_all(b"hello")?;
    let mut answer = [0; 64];
    let count = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
}

#[test]
fn where_no_certificate_is_needed_a_bad_one_makes_nobody() {
    let (ours, other) = (ca(), ca());
    let open = format!("[network.incoming.default]\n{}", trust(&ours));
    let (mut listener, _host) = listen(&open, &keep(&ours, SERVER));
    let cases = [
        (keep(&ours, CLIENT), "keep"),
        (certified(&ours, facts(None, false), true), "local"),
        (keep(&other, CLIENT), "anonymous"),
        (certified(&ours, facts(Some(CLIENT), true), true), "anonymous"),
        (Identity::anonymous(Key::generate().unwrap(), now()).unwrap(), "anonymous"),
    ];
    for (identity, kind) in cases {
        let client = dial(dialler(&ours, "store.test/team/server"), identity, listener.port());
        let mut connection = accept(&mut listener);
        let json = connection.peer().to_json();
        assert!(json.starts_with(&format!("{{\"kind\":\"{kind}\"")), "{json} should be {kind}");
        connection.write(b"welcome").unwrap();
        client.join().unwrap().unwrap();
    }
}

#[test]
fn each_wrong_server_is_refused() {
    let (ours, other) = (ca(), ca());
    let open = "[network.incoming.default]\n";
    let cases = [
        (keep(&other, SERVER), "trust anchor"),
        (keep(&ours, "store.test/team/other:1.0.0"), "not one of the expected workloads"),
        (certified(&ours, facts(Some(SERVER), true), true), "simulated"),
        (Identity::anonymous(Key::generate().unwrap(), now()).unwrap(), "trust anchor"),
    ];
    for (identity, why) in cases {
        let (mut listener, _host) = listen(open, &identity);
        let client =
            dial(dialler(&ours, "store.test/team/server"), keep(&ours, CLIENT), listener.port());
        refuse(&mut listener, &client);
        let told = client.join().unwrap().unwrap_err();
        assert!(told.contains(why), "{told} should say {why}");
    }
    // A Keep's certificate is worth nothing where the Web PKI decides.
    let (mut listener, _host) = listen(open, &keep(&ours, SERVER));
    let client = dial(
        format!("[network.outgoing.default]\n{}", trust(&ours)),
        keep(&ours, CLIENT),
        listener.port(),
    );
    refuse(&mut listener, &client);
    let told = client.join().unwrap().unwrap_err();
    assert!(told.contains("invalid peer certificate"), "{told}");
}

#[test]
fn simulated_silicon_counts_only_where_the_configuration_says_so() {
    let ca = ca();
    let simulated = |slug| certified(&ca, facts(Some(slug), true), true);
    let allow = "insecure_simulated = true\n";
    let (mut listener, _host) = listen(&(guarded(&ca) + allow), &simulated(SERVER));
    let config = dialler(&ca, "store.test/team/server") + allow;
    let client = dial(config, simulated(CLIENT), listener.port());
    let mut connection = accept(&mut listener);
    assert!(connection.peer().to_json().contains("\"simulated\":true"));
    connection.write(b"welcome").unwrap();
    client.join().unwrap().unwrap();
}

#[test]
fn a_demand_that_nobody_can_meet_is_an_error_at_once() {
    let config = "[network.incoming.default]\nclient = \"require\"\n[network.outgoing.default]\ntrust = \"steward\"\n";
    let Ok(config) = types::config::Config::parse(config) else {
        // Refused even earlier.
        return;
    };
    let (_host, keep) = UnixStream::pair().unwrap();
    let link =
        crate::hostlink::Link::new(keep, crate::hostlink::Level::Error, std::time::Instant::now());
    let network = crate::net::Network::new(&config, None, &Clock::new(), &link).unwrap();
    assert_eq!(network.listen(0).unwrap_err().kind, NetErrorKind::Policy);
    assert_eq!(network.connect("127.0.0.1", Some(1)).unwrap_err().kind, NetErrorKind::Policy);
}
