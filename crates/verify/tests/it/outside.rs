// SPDX-License-Identifier: Apache-2.0

//! Certificates of Keeps as programs see them that know nothing of Enarx: OpenSSL, curl, Python.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use enarx_verify::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use enarx_verify::rustls::{ServerConfig, ServerConnection, StreamOwned, version::TLS13};
use enarx_verify::{Anchors, AttestationResult, Sha256, Timestamp, Usage, identify, provider};
use tempfile::TempDir;
use testkit::pki::{DevCa, Issued, Profile, sample_result};

const NAME: &str = "store.example.com/team/app:1.2.0";

fn now() -> Timestamp {
    Timestamp(UNIX_EPOCH.elapsed().unwrap().as_secs())
}

fn result() -> AttestationResult {
    sample_result(Sha256::of(b"a workload"), Some(NAME.parse().unwrap()), now())
}

/// A root, a Steward below it, and a Keep that is also `localhost`; in files `root.pem`, `steward.pem` and `keep.pem`.
struct Scene {
    root: DevCa,
    keep: Issued,
    files: TempDir,
}

impl Scene {
    fn new() -> Self {
        let root = DevCa::generate("a root", now()).unwrap();
        let steward = root.subordinate("a Steward", now()).unwrap();
        let mut profile = Profile::keep(&result());
        profile.dns = vec!["localhost".to_owned()];
        profile.validity = Some((now().minus(300), now().plus(3_600)));
        let keep = steward.issue(&profile, now()).unwrap();
        let files = tempfile::tempdir().unwrap();
        let scene = Self { root, keep, files };
        let whole = scene.keep.chain_pem();
        let (own, above) = whole.split_at(whole.find("-----END").unwrap() + 26);
        scene.write("root.pem", &scene.root.certificate_pem());
        scene.write("keep.pem", own);
        scene.write("steward.pem", above);
        scene
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.files.path().join(name), text).unwrap();
    }

    /// What a program says that runs beside the files; none if it is not installed.
    fn run(&self, test: &str, program: &str, arguments: &[&str]) -> Option<Output> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.files.path()).stdin(Stdio::null());
        match command.output() {
            Ok(output) => Some(output),
            Err(_) => {
                eprintln!("SKIP {test}: {program} is not installed");
                None
            }
        }
    }

    /// Answers one HTTPS request with the Keep's certificate; on which port.
    fn serve(&self) -> (u16, thread::JoinHandle<std::io::Result<()>>) {
        let chain = self.keep.chain_der.iter().cloned().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::Pkcs8(self.keep.key_der.clone().into());
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = thread::spawn(move || {
            let (socket, _) = listener.accept()?;
            socket.set_read_timeout(Some(Duration::from_secs(60)))?;
            let tls = ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = StreamOwned::new(tls, socket);
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                request.push(byte[0]);
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";
            stream.write_all(format!("{head}hello").as_bytes())?;
            stream.conn.send_close_notify();
            stream.flush()
        });
        (port, thread)
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn openssl_and_we_agree_on_dates_and_roots() {
    let scene = Scene::new();
    let other = DevCa::generate("a root", now()).unwrap();
    scene.write("other.pem", &other.certificate_pem());
    let chain: Vec<_> = scene.keep.chain_der.iter().cloned().map(CertificateDer::from).collect();
    let anchors = |ca: &DevCa| Anchors::from_pem(&ca.certificate_pem()).unwrap();
    let (from, to) = {
        let identity = identify(&chain, &anchors(&scene.root), now(), Usage::Server).unwrap();
        (identity.not_before, identity.not_after)
    };
    for (file, ca, good) in [("root.pem", &scene.root, true), ("other.pem", &other, false)] {
        for (time, in_time) in [
            (from.minus(1), false),
            (from, true),
            (now(), true),
            (to, true),
            (to.plus(1), false),
            (to.plus(86_400), false),
        ] {
            let at = time.0.to_string();
            let mut arguments = vec!["verify", "-x509_strict", "-attime", &at, "-CAfile", file];
            arguments.extend(["-untrusted", "steward.pem", "keep.pem"]);
            let test = "openssl_and_we_agree_on_dates_and_roots";
            let Some(output) = scene.run(test, "openssl", &arguments) else { return };
            let ours = identify(&chain, &anchors(ca), time, Usage::Server);
            assert_eq!(ours.is_ok(), good && in_time, "{file} {time}");
            // Its last second is over for OpenSSL when it begins (X509_cmp_time), for RFC 5280 when it ends.
            if time != to {
                assert_eq!(
                    output.status.success(),
                    good && in_time,
                    "{file} {time}: {}",
                    text(&output)
                );
            }
        }
    }
}

/// The line of the README that shows the result without any of our programs.
fn line() -> &'static str {
    let readme = include_str!("../../README.md");
    readme.lines().find(|line| line.contains("-certopt ext_parse")).unwrap()
}

#[test]
fn openssl_shows_the_result_as_documented() {
    let test = "openssl_shows_the_result_as_documented";
    let scene = Scene::new();
    if scene.run(test, "openssl", &["version"]).is_none() {
        return;
    }
    let Some(output) = scene.run(test, "sh", &["-c", line()]) else { return };
    assert_eq!(String::from_utf8_lossy(&output.stdout), result_in(&scene).to_json());
    // The same by hand: where the extension's value begins, and what it is.
    let parsed = text(&scene.run(test, "openssl", &["asn1parse", "-in", "keep.pem"]).unwrap());
    let mut lines = parsed.lines().skip_while(|line| !line.ends_with(":1.3.6.1.5.5.7.1.35"));
    let value = lines.nth(1).unwrap();
    assert!(value.contains("OCTET STRING"), "{value}");
    let offset = value.split(':').next().unwrap().trim();
    let arguments = ["asn1parse", "-in", "keep.pem", "-strparse", offset];
    let parsed = text(&scene.run(test, "openssl", &arguments).unwrap());
    assert!(parsed.contains(r#"UTF8STRING        :["application/eat-ucs+json",""#), "{parsed}");
    // The project's README says the same.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    if let Ok(readme) = std::fs::read_to_string(root) {
        assert!(readme.contains(line()), "{}", line());
    }
}

/// What the Keep's certificate carries.
fn result_in(scene: &Scene) -> AttestationResult {
    let chain: Vec<_> = scene.keep.chain_der.iter().cloned().map(CertificateDer::from).collect();
    let anchors = Anchors::from_pem(&scene.root.certificate_pem()).unwrap();
    identify(&chain, &anchors, now(), Usage::Server).unwrap().result
}

#[test]
fn curl_takes_a_keep_for_a_server() {
    let test = "curl_takes_a_keep_for_a_server";
    let scene = Scene::new();
    let other = DevCa::generate("a root", now()).unwrap();
    scene.write("other.pem", &other.certificate_pem());
    let ask = |root: &str| {
        let (port, thread) = scene.serve();
        let url = format!("https://localhost:{port}/");
        let arguments = ["--noproxy", "*", "-sS", "-m", "60", "--cacert", root, &url];
        let output = scene.run(test, "curl", &arguments)?;
        let served = thread.join().unwrap();
        Some((output.status.code().unwrap(), text(&output), served.is_ok()))
    };
    let Some(answer) = ask("root.pem") else { return };
    assert_eq!(answer, (0, "hello".to_owned(), true));
    let (code, said, served) = ask("other.pem").unwrap();
    // 60: the peer's certificate cannot be authenticated.
    assert_eq!((code, served), (60, false), "{said}");
}

#[test]
fn python_sees_the_names() {
    const PROGRAM: &str = "
import socket, ssl, sys
context = ssl.create_default_context(cafile='root.pem')
with context.wrap_socket(socket.create_connection(('localhost', int(sys.argv[1]))), server_hostname='localhost') as tls:
    tls.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n')
    while tls.recv(4096): pass
    for kind, name in tls.getpeercert()['subjectAltName']: print(kind, name)
";
    let scene = Scene::new();
    let (port, _thread) = scene.serve();
    let arguments = ["-c", PROGRAM, &port.to_string()];
    let Some(output) = scene.run("python_sees_the_names", "python3", &arguments) else { return };
    let said = text(&output);
    for name in
        [format!("URI https://{NAME}"), format!("URI {}", Sha256::of(b"a workload").to_ni())]
    {
        assert!(said.lines().any(|line| line == name), "{name}: {said}");
    }
}
