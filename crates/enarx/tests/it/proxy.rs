// SPDX-License-Identifier: Apache-2.0

//! `enarx proxy` before servers with certificates of Keeps, good and bad ones.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use testkit::pki::Issued;
use verify::tls::{ClientMode, KeepClientVerifier};
use verify::{Anchors, Requirements};

use crate::bare_enarx;
use crate::keeps::{Steward, WORKLOAD, digest, file, path, result};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// TLS with this certificate; with anchors, only for clients that these vouch for.
fn config(keep: &Issued, clients: Option<&Steward>) -> Arc<ServerConfig> {
    let chain = keep.chain_der.iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(keep.key_der.clone()));
    let builder = ServerConfig::builder_with_provider(verify::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(steward) => {
            let anchors = Anchors::from_pem(&steward.ca.certificate_pem()).unwrap();
            let (wanted, mode) = (Requirements::default(), ClientMode::Require);
            builder.with_client_cert_verifier(KeepClientVerifier::new(anchors, wanted, mode))
        }
    };
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

/// A server for one connection after the other; what became of each.
struct Server {
    port: u16,
    thread: JoinHandle<Vec<io::Result<Vec<u8>>>>,
}

/// Serves one connection with each of these configurations.
fn serve(
    configs: Vec<Arc<ServerConfig>>,
    talk: impl Fn(&mut Tls) -> io::Result<Vec<u8>> + Send + 'static,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let one = move |config| {
        let (socket, _) = listener.accept()?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        talk(&mut tls)
    };
    let thread = thread::spawn(move || configs.into_iter().map(one).collect());
    Server { port, thread }
}

/// Sends back what comes, until the client says goodbye, and then says it, too.
fn echo(tls: &mut Tls) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = tls.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        tls.write_all(&buffer[..count])?;
        tls.flush()?;
        all.extend(&buffer[..count]);
    }
    goodbye(tls)?;
    Ok(all)
}

fn goodbye(tls: &mut Tls) -> io::Result<()> {
    tls.conn.send_close_notify();
    tls.flush()?;
    tls.sock.shutdown(Shutdown::Write)
}

/// The proxy as a user runs it.
struct Proxy {
    child: Child,
    address: String,
    events: Receiver<Value>,
    stderr: ChildStderr,
}

impl Proxy {
    fn start(steward: &Steward, port: u16, arguments: &[&str]) -> Self {
        let mut child = bare_enarx()
            .args(["proxy", "0", &format!("127.0.0.1:{port}"), "--json", "--ca", steward.root()])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, events) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines() {
                let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let stderr = child.stderr.take().unwrap();
        let mut proxy = Self { child, address: String::new(), events, stderr };
        proxy.address = proxy.event("listening")["address"].as_str().unwrap().to_owned();
        proxy
    }

    /// What happens next; it must be that.
    fn event(&self, wanted: &str) -> Value {
        let event = self.events.recv_timeout(PATIENCE).unwrap();
        assert_eq!(event["event"], wanted, "{event}");
        assert!(event["time"].is_string(), "{event}");
        event
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn signal(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
    }

    /// Stops it; its exit code, and what it said.
    fn stop(mut self) -> (i32, String) {
        self.signal();
        self.ended()
    }

    fn ended(&mut self) -> (i32, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code().unwrap(), said)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn expecting() -> Vec<String> {
    let all = [
        "workload=store.example.com/team/app:^1".to_owned(),
        format!("digest={}", digest()),
        "tee=snp".to_owned(),
        format!("measurement={}", "aa".repeat(48)),
    ];
    all.into_iter().flat_map(|one| ["--expect".to_owned(), one]).collect()
}

/// Whether the connection was reset: nobody can take it for an answer.
fn is_reset(socket: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    matches!(socket.read_to_end(&mut rest), Err(error) if error.kind() == ErrorKind::ConnectionReset)
}

fn ask(socket: &mut TcpStream, question: &[u8]) -> Vec<u8> {
    socket.write_all(question).unwrap();
    let mut answer = vec![0; question.len()];
    socket.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn a_good_keep_is_talked_to() {
    let steward = Steward::new();
    let server = serve(vec![config(&steward.keep(&result()), None)], echo);
    let expected = expecting();
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    let proxy = Proxy::start(&steward, server.port, &expected);
    let mut socket = proxy.connect();
    let event = proxy.event("verified");
    assert_eq!(event["proved"]["peer"]["workload"], WORKLOAD);
    assert_eq!(event["from"], socket.local_addr().unwrap().to_string());
    assert_eq!(ask(&mut socket, b"hello"), b"hello");
    assert_eq!(ask(&mut socket, b"again"), b"again");
    drop(socket);
    let event = proxy.event("closed");
    assert_eq!((&event["sent"], &event["received"]), (&10.into(), &10.into()));
    assert_eq!(event["why"], Value::Null);
    assert_eq!(server.thread.join().unwrap()[0].as_deref().unwrap(), b"helloagain");
    assert_eq!(proxy.stop(), (0, String::new()));
}

#[test]
fn whoever_is_not_what_is_expected_gets_nothing() {
    let steward = Steward::new();
    let with = |change: fn(&mut evidence::result::Facts)| {
        let mut result = result();
        change(&mut result.facts);
        steward.keep(&result)
    };
    let other_workload = with(|facts| {
        let slug = "store.example.com/team/other:1.2.0".parse().unwrap();
        facts.workload.as_mut().unwrap().slug = Some(slug);
    });
    let cases = [
        ("requirement.genuine", with(|facts| facts.simulated = true)),
        ("requirement.debug", with(|facts| facts.debug = true)),
        ("requirement.tier", with(|facts| facts.relaxations = vec!["crl-grace".into()])),
        ("requirement.workload", other_workload),
        ("requirement.measurement", with(|facts| facts.measurement = "ab".repeat(48))),
        ("chain.path", steward.expired()),
        ("chain.path", Steward::new().keep(&result())),
        ("certificate.result.missing", {
            let profile = testkit::pki::Profile { server: true, ..Default::default() };
            steward.ca.issue(&profile, crate::keeps::now()).unwrap()
        }),
    ];
    let configs = cases.iter().map(|(_, keep)| config(keep, None)).collect();
    let server = serve(configs, echo);
    let expected = expecting();
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    let proxy = Proxy::start(&steward, server.port, &expected);
    for (check, _) in &cases {
        let mut socket = proxy.connect();
        let written = socket.write_all(b"secret");
        let event = proxy.event("refused");
        assert_eq!(event["check"], *check, "{event}");
        assert!(event["why"].is_string() && event["next"].is_string(), "{event}");
        // A reset is told once: by the write, if it came first.
        assert!(written.is_err() || is_reset(&mut socket), "{check}");
    }
    for (result, (check, _)) in server.thread.join().unwrap().iter().zip(&cases) {
        assert!(result.is_err(), "{check}: {result:?}");
    }
    assert_eq!(proxy.stop().0, 0);
}

#[test]
fn each_connection_is_proved_anew() {
    let steward = Steward::new();
    let mut other = result();
    other.facts.workload.as_mut().unwrap().slug = None;
    let (good, bad) = (steward.keep(&result()), steward.keep(&other));
    let configs = vec![config(&good, None), config(&bad, None), config(&good, None)];
    let server = serve(configs, echo);
    let expected = ["--expect", "workload=store.example.com/team/app"];
    let proxy = Proxy::start(&steward, server.port, &expected);
    for good in [true, false, true] {
        let mut socket = proxy.connect();
        proxy.event(if good { "verified" } else { "refused" });
        if good {
            assert_eq!(ask(&mut socket, b"hello"), b"hello");
            drop(socket);
            proxy.event("closed");
        } else {
            assert!(is_reset(&mut socket));
        }
    }
}

#[test]
fn simulated_silicon_is_let_in_by_name() {
    let steward = Steward::new();
    let mut simulated = result();
    simulated.facts.simulated = true;
    let server = serve(vec![config(&steward.keep(&simulated), None)], echo);
    let proxy = Proxy::start(&steward, server.port, &["--insecure-allow-simulated"]);
    let mut socket = proxy.connect();
    assert_eq!(ask(&mut socket, b"hello"), b"hello");
    assert_eq!(proxy.event("verified")["proved"]["status"], "contraindicated");
}

#[test]
fn the_application_protocol_has_to_be_agreed_on() {
    let steward = Steward::new();
    let speaking = |alpn: &[&str]| {
        let mut config = Arc::unwrap_or_clone(config(&steward.keep(&result()), None));
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    };
    let configs = vec![speaking(&["h2"]), speaking(&[]), speaking(&["http/1.1"])];
    let server = serve(configs, |tls| {
        let heard = echo(tls)?;
        assert_eq!(tls.conn.alpn_protocol(), Some(&b"h2"[..]));
        Ok(heard)
    });
    let proxy = Proxy::start(&steward, server.port, &["--alpn", "h2"]);
    let mut socket = proxy.connect();
    assert_eq!(ask(&mut socket, b"hello"), b"hello");
    proxy.event("verified");
    drop(socket);
    proxy.event("closed");
    for why in ["it negotiates no", "none of the application protocols"] {
        let mut socket = proxy.connect();
        let written = socket.write_all(b"secret");
        let event = proxy.event("failed");
        assert!(event["why"].as_str().unwrap().contains(why), "{event}");
        assert!(written.is_err() || is_reset(&mut socket), "{why}");
    }
    let heard = server.thread.join().unwrap();
    assert_eq!(heard[0].as_deref().unwrap(), b"hello");
    assert!(heard[1].is_err() && heard[2].is_err(), "{heard:?}");
}

#[test]
fn much_goes_both_ways_at_once() {
    const BYTES: usize = 8 << 20;
    let pattern = |seed: u32| {
        let next = move |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some(state.to_be_bytes()[0])
        };
        std::iter::repeat_n((), BYTES).scan(seed, move |state, ()| next(state)).collect::<Vec<u8>>()
    };
    let (up, down) = (pattern(1), pattern(2));
    let (steward, answer) = (Steward::new(), down.clone());
    let server = serve(vec![config(&steward.keep(&result()), None)], move |tls| {
        // As much out as in, in turns, so that both directions are always under way.
        let (mut heard, mut buffer) = (Vec::new(), vec![0; 32 * 1024]);
        while heard.len() < BYTES {
            let count = tls.read(&mut buffer)?;
            assert_ne!(count, 0);
            tls.write_all(&answer[heard.len()..heard.len() + count])?;
            heard.extend(&buffer[..count]);
        }
        goodbye(tls)?;
        Ok(heard)
    });
    let proxy = Proxy::start(&steward, server.port, &[]);
    let socket = proxy.connect();
    let (mut writing, sent) = (socket.try_clone().unwrap(), up.clone());
    let writer = thread::spawn(move || writing.write_all(&sent).unwrap());
    let mut heard = Vec::new();
    (&socket).read_to_end(&mut heard).unwrap();
    writer.join().unwrap();
    assert!(heard == down, "what came is not what was sent");
    assert!(server.thread.join().unwrap()[0].as_ref().unwrap() == &up);
}

#[test]
fn the_end_of_one_direction_leaves_the_other_open() {
    let steward = Steward::new();
    let keep = config(&steward.keep(&result()), None);
    // The client is done first; the answer comes after that.
    let server = serve(vec![keep.clone(), keep], |tls| {
        let mut heard = Vec::new();
        if heard.is_empty() {
            tls.read_to_end(&mut heard)?;
        }
        tls.write_all(&vec![b'x'; 1 << 20])?;
        goodbye(tls)?;
        Ok(heard)
    });
    let proxy = Proxy::start(&steward, server.port, &[]);
    for question in [&b"question"[..], b""] {
        let mut socket = proxy.connect();
        socket.write_all(question).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len(), 1 << 20);
        proxy.event("verified");
        assert_eq!(proxy.event("closed")["why"], Value::Null);
    }
    // The server is done first, and still listens.
    let server = serve(vec![config(&steward.keep(&result()), None)], |tls| {
        tls.write_all(b"that is all")?;
        goodbye(tls)?;
        let mut heard = Vec::new();
        tls.read_to_end(&mut heard)?;
        Ok(heard)
    });
    let proxy = Proxy::start(&steward, server.port, &[]);
    let mut socket = proxy.connect();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "that is all");
    socket.write_all(b"thank you").unwrap();
    drop(socket);
    assert_eq!(server.thread.join().unwrap()[0].as_deref().unwrap(), b"thank you");
}

#[test]
fn an_answer_that_is_cut_off_is_no_answer() {
    let steward = Steward::new();
    let server = serve(vec![config(&steward.keep(&result()), None)], |tls| {
        tls.write_all(b"half an ans")?;
        tls.flush()?;
        // It dies: no goodbye.
        tls.sock.shutdown(Shutdown::Both)?;
        Ok(Vec::new())
    });
    let proxy = Proxy::start(&steward, server.port, &[]);
    let mut socket = proxy.connect();
    assert!(is_reset(&mut socket));
    proxy.event("verified");
    let why = proxy.event("closed")["why"].to_string();
    assert!(why.contains("the server broke off: it hung up without saying goodbye"), "{why}");
    // Another connection fails in its own way: nobody is there any more.
    server.thread.join().unwrap().remove(0).unwrap();
    let mut socket = proxy.connect();
    let event = proxy.event("failed");
    assert_eq!(event["what"], "cannot connect");
    assert!(event["why"].as_str().unwrap().contains("refused"), "{event}");
    assert!(is_reset(&mut socket));
}

#[test]
fn a_client_that_breaks_off_is_not_taken_for_one_that_is_done() {
    let steward = Steward::new();
    let server = serve(vec![config(&steward.keep(&result()), None)], |tls| {
        tls.write_all(b"hello")?;
        tls.flush()?;
        let mut heard = Vec::new();
        tls.read_to_end(&mut heard)?;
        Ok(heard)
    });
    let proxy = Proxy::start(&steward, server.port, &[]);
    let mut socket = proxy.connect();
    socket.write_all(b"half a ques").unwrap();
    // What it was sent is there, and it goes without reading it: a reset.
    assert_eq!(socket.peek(&mut [0; 5]).unwrap(), 5);
    drop(socket);
    proxy.event("verified");
    let why = proxy.event("closed")["why"].to_string();
    assert!(why.contains("the client broke off"), "{why}");
    assert!(server.thread.join().unwrap()[0].is_err());
}

#[test]
fn connections_are_bounded_and_cut_when_nothing_happens() {
    let steward = Steward::new();
    let keep = config(&steward.keep(&result()), None);
    let server = serve(vec![keep.clone(), keep], echo);
    let arguments = ["--max-connections", "1", "--idle-timeout", "1"];
    let proxy = Proxy::start(&steward, server.port, &arguments);
    // Both are made at once; the second is not looked at before the first has gone.
    let (mut first, mut second) = (proxy.connect(), proxy.connect());
    second.write_all(b"hello").unwrap();
    assert_eq!(ask(&mut first, b"hello"), b"hello");
    assert_eq!(proxy.event("verified")["connection"], 1);
    let closed = proxy.event("closed");
    assert_eq!((&closed["connection"], &closed["sent"]), (&1.into(), &5.into()));
    assert_eq!(closed["why"], "nothing was sent for too long");
    assert!(is_reset(&mut first));
    assert_eq!(proxy.event("verified")["connection"], 2);
    let mut answer = [0; 5];
    second.read_exact(&mut answer).unwrap();
}

#[test]
fn a_certificate_is_shown_to_servers_that_want_one() {
    let steward = Steward::new();
    let keep = config(&steward.keep(&result()), Some(&steward));
    let server = serve(vec![keep.clone(), keep], echo);
    let client = steward.keep(&result());
    let (chain, key) = (file(client.chain_pem()), file(client.key_pem()));
    let arguments = ["--client-cert", path(&chain), "--client-key", path(&key)];
    let proxy = Proxy::start(&steward, server.port, &arguments);
    let mut socket = proxy.connect();
    assert_eq!(ask(&mut socket, b"hello"), b"hello");
    drop(socket);
    let proxy = Proxy::start(&steward, server.port, &[]);
    let mut socket = proxy.connect();
    proxy.event("verified");
    let why = proxy.event("closed")["why"].to_string();
    assert!(why.contains("wants a client's certificate: --client-cert"), "{why}");
    assert!(is_reset(&mut socket));
}

#[test]
fn those_who_are_there_may_finish_when_it_stops() {
    let steward = Steward::new();
    let server = serve(vec![config(&steward.keep(&result()), None)], echo);
    let mut proxy = Proxy::start(&steward, server.port, &[]);
    let mut socket = proxy.connect();
    assert_eq!(ask(&mut socket, b"hello"), b"hello");
    proxy.event("verified");
    proxy.signal();
    assert_eq!(proxy.event("stopping")["open"], 1);
    assert_eq!(ask(&mut socket, b"still there"), b"still there");
    assert!(TcpStream::connect(&proxy.address).is_err());
    drop(socket);
    proxy.event("closed");
    assert_eq!(proxy.event("stopped")["cut"], 0);
    assert_eq!(proxy.ended().0, 0);
}

#[test]
fn a_second_signal_cuts_those_who_are_there() {
    let steward = Steward::new();
    let server = serve(vec![config(&steward.keep(&result()), None)], echo);
    let mut proxy = Proxy::start(&steward, server.port, &[]);
    let mut socket = proxy.connect();
    assert_eq!(ask(&mut socket, b"hello"), b"hello");
    proxy.event("verified");
    proxy.signal();
    proxy.event("stopping");
    proxy.signal();
    assert_eq!(proxy.event("stopped")["cut"], 1);
    assert!(is_reset(&mut socket));
    assert_eq!(proxy.ended().0, 0);
}

#[test]
fn people_get_lines_and_the_address_alone_is_data() {
    let steward = Steward::new();
    let mut other = result();
    other.facts.workload.as_mut().unwrap().slug = None;
    let configs = [result(), other].map(|result| config(&steward.keep(&result), None));
    let server = serve(configs.into(), echo);
    let mut child = bare_enarx()
        .args(["proxy", "localhost:0", &format!("localhost:{}", server.port)])
        .args(["--ca", steward.root(), "--expect", "workload=store.example.com/team/app"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut address = String::new();
    stdout.read_line(&mut address).unwrap();
    let address = address.trim_end();
    let mut line = || {
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(line(), format!("listening on {address} for localhost:{}\n", server.port));
    let mut socket = TcpStream::connect(address).unwrap();
    assert_eq!(ask(&mut socket, b"hello"), b"hello");
    let from = socket.local_addr().unwrap();
    let wanted = format!("1 {from}: verified {WORKLOAD} {} (snp, affirming)\n", digest());
    assert_eq!(line(), wanted);
    drop(socket);
    let mut socket = TcpStream::connect(address).unwrap();
    assert!(is_reset(&mut socket));
    let said = line();
    assert!(
        said.starts_with("2 127.0.0.1:") && said.contains(": refused: its workload is not store."),
        "{said}"
    );
    assert!(said.contains("; next: do not talk to this server"), "{said}");
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(line().starts_with("stopping"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn what_cannot_begin_says_why() {
    let steward = Steward::new();
    let proxy = |arguments: &[&str]| {
        let output = bare_enarx().arg("proxy").args(arguments).output().unwrap();
        assert!(output.stdout.is_empty());
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let ca = ["--ca", steward.root()];
    let (code, said) = proxy(&[&["0.0.0.0:0", "localhost:1"], &ca[..]].concat());
    assert_eq!(code, 2);
    assert!(said.starts_with("error: will not listen on 0.0.0.0:0\n"), "{said}");
    assert!(said.contains("--insecure-listen-anywhere insists"), "{said}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (code, said) = proxy(&[&[taken.as_str(), "localhost:1"], &ca[..]].concat());
    assert_eq!(code, 2);
    assert!(said.starts_with(&format!("error: cannot listen on {taken}\n")), "{said}");
    assert!(said.contains("next: choose another port"), "{said}");

    let (code, said) = proxy(&["0", "localhost:1"]);
    assert!(code == 2 && said.contains("--ca <FILE>"), "{said}");
    let (code, said) = proxy(&[&["here", "localhost:1"], &ca[..]].concat());
    assert!(code == 2 && said.contains("wanted a port such as 8080"), "{said}");
    let (code, said) = proxy(&[&["0", "a b"], &ca[..]].concat());
    assert!(code == 2 && said.contains("wanted a host"), "{said}");

    let keep = steward.keep(&result());
    let (chain, key) = (file(keep.chain_pem()), file(keep.key_pem()));
    let (chain, key_path) = (path(&chain), path(&key));
    let with = |chain, key| {
        let client = ["0", "localhost:1", "--client-cert", chain, "--client-key", key];
        proxy(&[&client[..], &ca[..]].concat())
    };
    let (code, said) = proxy(&[&["0", "localhost:1", "--client-cert", chain], &ca[..]].concat());
    assert!(code == 2 && said.contains("--client-key <FILE>"), "{said}");
    let other = file(steward.keep(&result()).key_pem());
    let (code, said) = with(chain, path(&other));
    assert!(code == 2 && said.contains("must be the key of the first certificate"), "{said}");
    let (code, said) = with(chain, chain);
    assert!(code == 2 && said.contains("PRIVATE KEY block"), "{said}");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (code, said) = with(chain, key_path);
    assert!(code == 2 && said.contains("others can read it (mode 644)"), "{said}");
}
