// SPDX-License-Identifier: Apache-2.0

//! Collateral: the real program against stand-ins of the vendors' services, which behave and misbehave.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use testkit::kds::{self, Kds};
use testkit::mirror::{Mirror, Misbehaviour, Piece, Running};
use testkit::pki::{DevCa, Profile};
use testkit::silicon::{ASK_SERIAL, Key, Options, SimulatedSnp};
use types::time::Timestamp;

use crate::bare_enarx;

pub(crate) fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

/// A chip of simulated silicon; making one takes a second.
static CHIP: LazyLock<SimulatedSnp> =
    LazyLock::new(|| SimulatedSnp::generate(now(), Options::default()).unwrap());

/// A cache of its own, and a report of the chip.
pub(crate) struct Place {
    scratch: tempfile::TempDir,
}

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|_| panic!("{} {} {}", self.code, self.stdout, self.stderr))
    }

    /// The result and the reason of the piece whose name begins so.
    pub(crate) fn result(&self, name: &str) -> (String, String) {
        let json = self.json();
        let pieces = json["pieces"].as_array().unwrap();
        let piece = pieces
            .iter()
            .find(|piece| piece["name"].as_str().unwrap().starts_with(name))
            .unwrap_or_else(|| panic!("no {name} in {json}"));
        let text = |key: &str| piece[key].as_str().unwrap_or_default().to_owned();
        (text("result"), text("why"))
    }
}

pub(crate) fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: status.code().unwrap(), stdout: text(stdout), stderr: text(stderr) }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { scratch: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.scratch.path().join("cache/collateral")
    }

    pub(crate) fn sysroot(&self) -> PathBuf {
        self.scratch.path().join("sysroot")
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.scratch.path().join(name);
        write(&path, bytes);
        path
    }

    /// `enarx platform …` with this cache, without a proxy.
    pub(crate) fn platform(&self, words: &[&str]) -> Command {
        let mut command = bare_enarx();
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY"] {
            command.env_remove(name);
        }
        command.arg("platform").args(words).env("ENARX_COLLATERAL", self.cache());
        // Nothing is there unless the test makes it: not the processor of whoever runs it either.
        command.env("ENARX_SYSROOT", self.sysroot());
        command
    }

    /// The same, with simulated silicon behind plain http.
    pub(crate) fn simulated(&self, words: &[&str]) -> Command {
        let mut command = self.platform(words);
        command.args(["--insecure-plain-http", "--insecure-any-root", "--json"]);
        command
    }

    fn vcek(&self, kds: &str) -> Command {
        let report = CHIP.report(&[0; 64], &[0; 48]).unwrap();
        let report = self.file("report.bin", &report);
        let mut command = self.simulated(&["snp", "vcek", "--kds", kds]);
        command.arg("--report").arg(report);
        command
    }

    fn crl(&self, kds: &str) -> Command {
        self.simulated(&["snp", "crl", "--product", "Milan", "--kds", kds])
    }
}

pub(crate) fn write(path: &Path, bytes: &[u8]) {
    fs::File::create(path).unwrap().write_all(bytes).unwrap();
}

fn kds() -> Kds {
    let kds = Kds::spawn().unwrap();
    kds.know(&CHIP);
    kds
}

#[test]
fn a_vcek_is_fetched_once() {
    let (place, kds) = (Place::new(), kds());
    let out = place.scratch.path().join("vcek.der");
    let ran = run(place.vcek(&kds.url()).arg("--out").arg(&out));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.result("snp-vcek-milan-").0, "fetched");
    assert_eq!(fs::read(&out).unwrap(), CHIP.vcek());
    assert_eq!(kds.mirror().asked(&kds::vcek_target(&CHIP)), 1);
    // Once is enough, and the authority's certificates came along.
    let asked = kds.mirror().requests().len();
    assert_eq!(asked, 2);
    let ran = run(&mut place.vcek(&kds.url()));
    assert_eq!(ran.result("snp-vcek-milan-").0, "cached");
    assert_eq!(kds.mirror().requests().len(), asked);
    // Unless told otherwise.
    let ran = run(place.vcek(&kds.url()).arg("--refresh"));
    assert_eq!(ran.result("snp-vcek-milan-").0, "unchanged");
    // Nobody has to be there for what is kept.
    drop(kds);
    assert_eq!(run(&mut place.vcek("http://127.0.0.1:1")).code, 0);
    let names: Vec<String> = fs::read_dir(place.cache())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
}

#[test]
fn the_chip_may_be_named_by_hand() {
    let (place, kds) = (Place::new(), kds());
    let chip = hex(&CHIP.shape().hwid());
    let command = |tcb: &str| {
        let mut command = place.simulated(&["snp", "vcek", "--kds", &kds.url()]);
        command.args(["--product", "milan", "--chip-id", &chip, "--tcb", tcb]);
        command
    };
    assert_eq!(run(&mut command("04000000000018db")).code, 0);
    // AMD has no certificate for a TCB that the chip never had; it says so once.
    let before = kds.mirror().requests().len();
    let ran = run(&mut command("05000000000018db"));
    assert_eq!(ran.code, 1);
    assert!(ran.result("snp-vcek-").1.contains("it answers 404"), "{}", ran.stdout);
    assert_eq!(kds.mirror().requests().len(), before + 1);
    let ran = run(&mut command("0400000000ff18db"));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("no TCB version of a Milan"), "{}", ran.stderr);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn lists_are_renewed_and_kept_when_the_source_is_down() {
    let (place, kds) = (Place::new(), kds());
    let ran = run(&mut place.crl(&kds.url()));
    assert_eq!((ran.code, ran.result("snp-crl-milan").0.as_str()), (0, "fetched"));
    // Young enough.
    assert_eq!(run(&mut place.crl(&kds.url())).result("snp-crl-milan").0, "cached");
    // A newer list takes its place, an older one does not.
    let old = CHIP.crl().to_vec();
    let newer = CHIP.with_crl(|spec| spec.this_update = now()).unwrap();
    kds.know(&newer);
    let update = |kds: &str| place.simulated(&["update", "--kds", kds]);
    let ran = run(&mut update(&kds.url()));
    assert_eq!(ran.result("snp-crl-milan").0, "fetched");
    assert_eq!(ran.result("snp-chain-vcek-milan").0, "cached");
    kds.mirror().misbehave("/vcek/v1/Milan/crl", Misbehaviour::Stale(old), None);
    let ran = run(&mut update(&kds.url()));
    let (result, why) = ran.result("snp-crl-milan");
    assert_eq!((ran.code, result.as_str()), (0, "kept"));
    assert!(why.contains("has an older one"), "{why}");
    assert_eq!(fs::read(place.cache().join("snp-crl-milan.crl")).unwrap(), newer.crl());
    // And nobody at all is no reason to forget it.
    drop(kds);
    let ran = run(update("http://127.0.0.1:1").args(["--attempts", "1"]));
    let (result, why) = ran.result("snp-crl-milan");
    assert_eq!((ran.code, result.as_str()), (0, "kept"));
    assert!(why.contains("cannot be reached"), "{why}");
}

#[test]
fn what_is_past_its_end_counts_for_nothing_unless_named() {
    let (place, kds) = (Place::new(), kds());
    let ended = CHIP
        .with_crl(|spec| {
            spec.this_update = now().minus(7_200);
            spec.next_update = Some(now().minus(3_600));
        })
        .unwrap();
    kds.know(&ended);
    let ran = run(&mut place.crl(&kds.url()));
    assert_eq!(ran.code, 1);
    let (result, why) = ran.result("snp-crl-milan");
    assert_eq!(result, "failed");
    assert!(why.contains("has a stale one"), "{why}");
    assert!(!place.cache().join("snp-crl-milan.crl").exists());
    // From a file, by name; then it is there, and is told to be past its end.
    let file = place.file("crl", ended.crl());
    let import = || {
        let mut command = place.platform(&["import", "--insecure-any-root", "--json"]);
        command.arg(&file);
        command
    };
    let ran = run(&mut import());
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("--accept-expired takes it"), "{}", ran.stdout);
    assert_eq!(run(import().arg("--accept-expired")).code, 0);
    let info = run(&mut place.platform(&["info", "--json"])).json();
    assert_eq!(info["collateral"]["pieces"][1]["expired"], true, "{info}");
    let ran = run(&mut place.crl(&kds.url()));
    assert_eq!((ran.code, ran.result("snp-crl-milan").0.as_str()), (1, "failed"));
    let ran = run(place.crl(&kds.url()).arg("--accept-expired"));
    assert_eq!((ran.code, ran.result("snp-crl-milan").0.as_str()), (0, "kept"));
}

#[test]
fn a_revoked_authority_is_replaced_with_all_that_it_signed() {
    let (place, kds) = (Place::new(), kds());
    assert_eq!(run(&mut place.vcek(&kds.url())).code, 0);
    let chain = place.cache().join("snp-chain-vcek-milan.pem");
    let old = fs::read(&chain).unwrap();
    // AMD revokes its ASK, as it once did.
    let revoking = CHIP.with_crl(|spec| spec.revoked = vec![ASK_SERIAL.to_vec()]).unwrap();
    kds.mirror().put("/vcek/v1/Milan/crl", Piece::new("application/pkix-crl", revoking.crl()));
    let update = || run(&mut place.simulated(&["update", "--kds", &kds.url()]));
    // The service has no other yet: what is kept is void, though its dates are good.
    let ran = update();
    assert_eq!(ran.code, 1);
    for name in ["snp-chain-vcek-milan", "snp-vcek-milan"] {
        let (result, why) = ran.result(name);
        assert!(result == "failed" && why.contains("is revoked"), "{name}: {result} {why}");
    }
    assert_eq!(ran.result("snp-crl-milan").0, "fetched");
    let info = run(&mut place.platform(&["info", "--json"])).json();
    let void = info["collateral"]["pieces"][0]["void"].as_str().unwrap();
    assert!(void.contains("\"SEV-Milan\" with serial 0x7f0001 is revoked"), "{void}");
    let ran = run(&mut place.vcek(&kds.url()));
    assert_eq!((ran.code, ran.result("snp-vcek").0.as_str()), (1, "failed"));
    // And now it has, with a new certificate for the chip too.
    let other = SimulatedSnp::generate(now(), Options::default()).unwrap();
    let ask = other.authority(Key::Ask, |spec| spec.serial = vec![0x7f, 0, 2]).unwrap();
    let pem =
        |der: &[u8]| der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der).unwrap();
    let body = pem(&ask) + &pem(other.ark());
    kds.mirror().put("/vcek/v1/Milan/cert_chain", Piece::new("application/x-pem-file", body));
    kds.mirror().put(&kds::vcek_target(&CHIP), Piece::new("application/pkix-cert", other.vcek()));
    let list = other.with_crl(|spec| spec.revoked = vec![ASK_SERIAL.to_vec()]).unwrap();
    kds.mirror().put("/vcek/v1/Milan/crl", Piece::new("application/pkix-crl", list.crl()));
    let ran = run(&mut place.vcek(&kds.url()));
    assert_eq!((ran.code, ran.result("snp-vcek").0.as_str()), (0, "fetched"), "{}", ran.stdout);
    assert_ne!(fs::read(&chain).unwrap(), old);
    let ran = update();
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let info = run(&mut place.platform(&["info", "--json"])).json();
    let pieces = info["collateral"]["pieces"].as_array().unwrap();
    assert!(pieces.len() == 3 && pieces.iter().all(|piece| piece["void"].is_null()), "{info}");
}

/// Each way to misbehave, and what is said about it.
fn misbehaviours() -> Vec<(Misbehaviour, &'static str)> {
    vec![
        (Misbehaviour::Slow, "does not answer in time"),
        (Misbehaviour::Silent, "does not answer in time"),
        (Misbehaviour::Huge, "larger than the 262144 bytes"),
        (Misbehaviour::HugeUnannounced, "larger than the 262144 bytes"),
        (Misbehaviour::Redirect("https://example.com/".into()), "redirects are not followed"),
        (Misbehaviour::Garbage, "answers with something else"),
        (Misbehaviour::Stale(CHIP.vcek().to_vec()), "answers with another piece"),
        (Misbehaviour::TooManyRequests(None), "it answers 429"),
        (Misbehaviour::TooManyRequests(Some(3_000)), "asked again in 3000 seconds"),
        (Misbehaviour::Status(500), "it answers 500"),
        (Misbehaviour::Status(404), "it answers 404"),
        (Misbehaviour::CloseEarly, "cannot be reached"),
        (Misbehaviour::Hangup, "cannot be reached"),
    ]
}

#[test]
fn no_misbehaviour_harms_what_is_kept() {
    for (how, said) in misbehaviours() {
        let (place, kds) = (Place::new(), kds());
        let ask = |url: &str| {
            let mut command = place.crl(url);
            command.args(["--refresh", "--timeout", "2", "--attempts", "2"]);
            command
        };
        // With an empty cache: a failure that says why, and nothing is written.
        kds.mirror().misbehave("/vcek/v1/Milan/crl", how.clone(), None);
        let ran = run(&mut ask(&kds.url()));
        let (result, why) = ran.result("snp-crl-milan");
        assert_eq!((ran.code, result.as_str()), (1, "failed"), "{how:?}");
        assert!(why.contains(said), "{how:?}: {why}");
        assert!(!why.contains(['\u{7}', '\u{1b}']), "{why:?}");
        assert!(!place.cache().join("snp-crl-milan.crl").exists(), "{how:?}");
        // With what was good yesterday: it stays, and is used.
        kds.mirror().behave();
        assert_eq!(run(&mut ask(&kds.url())).code, 0, "{how:?}");
        kds.mirror().misbehave("/", how.clone(), None);
        let ran = run(&mut ask(&kds.url()));
        let (result, why) = ran.result("snp-crl-milan");
        assert_eq!((ran.code, result.as_str()), (0, "kept"), "{how:?}: {why}");
        assert_eq!(fs::read(place.cache().join("snp-crl-milan.crl")).unwrap(), CHIP.crl());
    }
}

#[test]
fn a_source_that_is_busy_is_asked_again() {
    for how in [
        Misbehaviour::TooManyRequests(Some(1)),
        Misbehaviour::TooManyRequests(None),
        Misbehaviour::Status(503),
        Misbehaviour::Hangup,
        Misbehaviour::CloseEarly,
    ] {
        let (place, kds) = (Place::new(), kds());
        kds.mirror().misbehave("/vcek/v1/Milan/crl", how.clone(), Some(1));
        let ran = run(&mut place.crl(&kds.url()));
        assert_eq!((ran.code, ran.result("snp-crl-milan").0.as_str()), (0, "fetched"), "{how:?}");
        assert_eq!(kds.mirror().asked("/vcek/v1/Milan/crl"), 2, "{how:?}");
    }
    // But not for ever, and what no patience mends not at all.
    for (how, times) in [(Misbehaviour::Status(500), 2), (Misbehaviour::Garbage, 1)] {
        let (place, kds) = (Place::new(), kds());
        kds.mirror().misbehave("/vcek/v1/Milan/crl", how, None);
        let ran = run(place.crl(&kds.url()).args(["--attempts", "2"]));
        assert_eq!(ran.code, 1);
        assert_eq!(kds.mirror().asked("/vcek/v1/Milan/crl"), times);
    }
}

#[test]
fn a_source_that_is_down_is_not_asked_for_each_piece() {
    let (place, kds) = (Place::new(), kds());
    kds.mirror().misbehave("/", Misbehaviour::Hangup, None);
    let mut command = place.simulated(&["snp", "crl", "--product", "Milan", "--product", "Genoa"]);
    let ran = run(command.args(["--kds", &kds.url(), "--attempts", "1"]));
    assert_eq!(ran.code, 1);
    assert_eq!(kds.mirror().requests().len(), 1);
}

#[test]
fn only_the_vendors_own_roots_are_taken() {
    let (place, kds) = (Place::new(), kds());
    let mut command = place.platform(&["snp", "crl", "--product", "Milan", "--json"]);
    let ran = run(command.args(["--insecure-plain-http", "--kds", &kds.url()]));
    assert_eq!(ran.code, 1);
    let why = ran.result("snp-crl-milan").1;
    assert!(why.contains("its root is not AMD's"), "{why}");
    assert!(!place.cache().exists());
    // A list of another root of the same name.
    let other = SimulatedSnp::generate(now(), Options::default()).unwrap();
    let place = Place::new();
    kds.mirror().misbehave("/vcek/v1/Milan/crl", Misbehaviour::Stale(other.crl().to_vec()), None);
    let ran = run(&mut place.crl(&kds.url()));
    assert_eq!(ran.code, 1);
    let why = ran.result("snp-crl-milan").1;
    assert!(why.contains("it is not signed by \"ARK-Milan\""), "{why}");
}

#[test]
fn plain_http_must_be_asked_for_and_stays_here() {
    let (place, kds) = (Place::new(), kds());
    let crl = |url: &str, flags: &[&str]| {
        let mut command = place.platform(&["snp", "crl", "--product", "Milan", "--json"]);
        command.args(["--insecure-any-root", "--attempts", "1", "--kds", url]).args(flags);
        let ran = run(&mut command);
        (ran.code, ran.result("snp-crl-milan").1)
    };
    let (code, why) = crl(&kds.url(), &[]);
    assert!(code == 1 && why.contains("--insecure-plain-http"), "{why}");
    assert_eq!(kds.mirror().requests().len(), 0);
    // 192.0.2.0/24 is nobody's (RFC 5737), and nothing is sent to it.
    let (code, why) = crl("http://192.0.2.1", &["--insecure-plain-http"]);
    assert!(code == 1 && why.contains("loopback addresses only"), "{why}");
    for url in ["ftp://example.com", "https://user@example.com", "https://e.com/?q", "example.com"]
    {
        let ran = run(&mut place.platform(&["snp", "crl", "--product", "Milan", "--kds", url]));
        assert_eq!(ran.code, 2, "{url}");
        assert!(ran.stderr.contains("wanted https://host"), "{}", ran.stderr);
    }
}

/// A mirror of AMD's service with TLS, for `kds.invalid` and `localhost`; and the root of its certificate.
fn tls_mirror() -> (Mirror, Running, String) {
    let ca = DevCa::generate("mirrors", now()).unwrap();
    let profile = Profile {
        dns: vec!["kds.invalid".to_owned(), "localhost".to_owned()],
        server: true,
        ..Profile::default()
    };
    let issued = ca.issue(&profile, now()).unwrap();
    let chain = issued.chain_der.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(issued.key_der.clone()));
    // Public services are not all of today.
    let config = ServerConfig::builder_with_provider(verify::provider_with_tls12())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let mirror = Mirror::new();
    kds::know(&mirror, &CHIP);
    let running = Running::spawn_with(&mirror, move |mirror, socket| {
        let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(tls, socket);
        mirror.answer(&mut stream)?;
        stream.conn.send_close_notify();
        stream.flush()
    });
    (mirror, running.unwrap(), ca.certificate_pem())
}

#[test]
fn https_is_judged_by_the_roots_that_were_named() {
    let (place, (mirror, running, root)) = (Place::new(), tls_mirror());
    let root = place.file("root.pem", root.as_bytes());
    let url = format!("https://localhost:{}", running.port());
    let crl = || {
        let mut command = place.platform(&["snp", "crl", "--product", "Milan", "--json"]);
        command.args(["--insecure-any-root", "--kds", &url]);
        command
    };
    let ran = run(&mut crl());
    assert_eq!(ran.code, 1);
    let why = ran.result("snp-crl-milan").1;
    assert!(why.contains("not by an authority that is trusted here"), "{why}");
    assert_eq!(mirror.requests().len(), 0);
    let ran = run(crl().arg("--ca").arg(&root));
    assert_eq!((ran.code, ran.result("snp-crl-milan").0.as_str()), (0, "fetched"));
    let requests = mirror.requests();
    assert!(requests[0].header("user-agent").unwrap().starts_with("enarx/"));
}

/// A proxy (`CONNECT`) to this port, whatever host is asked for; what it is asked.
fn proxy(to: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&asked);
    // It ends with the test program.
    thread::spawn(move || {
        for mut near in listener.incoming().flatten() {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                near.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            heads.lock().unwrap().push(String::from_utf8(head).unwrap());
            let mut far = TcpStream::connect(("127.0.0.1", to)).unwrap();
            near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let (mut from, mut back) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut far);
                let _ = far.shutdown(Shutdown::Write);
            });
            thread::spawn(move || {
                let _ = std::io::copy(&mut back, &mut near);
                let _ = near.shutdown(Shutdown::Both);
            });
        }
    });
    (port, asked)
}

#[test]
fn the_proxy_of_the_environment_is_gone_through() {
    let (place, (mirror, running, root)) = (Place::new(), tls_mirror());
    let root = place.file("root.pem", root.as_bytes());
    let (port, asked) = proxy(running.port());
    let crl = |proxy: &str, except: &str| {
        let mut command = place.platform(&["snp", "crl", "--product", "Milan", "--json"]);
        command.args(["--insecure-any-root", "--refresh", "--kds", "https://kds.invalid"]);
        command.args(["--attempts", "1", "--ca"]).arg(&root);
        command.env("HTTPS_PROXY", proxy).env("NO_PROXY", except);
        run(&mut command)
    };
    // Only the proxy knows the name.
    let ran = crl(&format!("http://someone:secret@127.0.0.1:{port}"), "other.invalid");
    assert_eq!((ran.code, ran.result("snp-crl-milan").0.as_str()), (0, "fetched"));
    let heads = asked.lock().unwrap().clone();
    assert!(heads[0].starts_with("CONNECT kds.invalid:443 "), "{heads:?}");
    assert!(heads[0].contains("c29tZW9uZTpzZWNyZXQ="), "{heads:?}");
    assert!(mirror.requests().iter().all(|r| r.header("proxy-authorization").is_none()));
    // An excepted host is asked directly, where nobody is.
    let ran = crl(&format!("http://127.0.0.1:{port}"), "kds.invalid");
    assert_eq!(ran.result("snp-crl-milan").0, "kept");
    assert_eq!(asked.lock().unwrap().len(), heads.len());
    let ran = crl("socks5://127.0.0.1:1", "");
    assert!(ran.code == 2 && ran.stderr.contains("HTTPS_PROXY"), "{}", ran.stderr);
    // What stays on this machine never goes to a proxy.
    let kds = kds();
    let mut command = place.crl(&kds.url());
    let ran = run(command.arg("--refresh").env("HTTPS_PROXY", "http://127.0.0.1:1"));
    assert_eq!(ran.code, 0);
    assert!(kds.mirror().asked("/vcek/v1/Milan/crl") == 1);
}

#[test]
fn files_are_told_by_their_contents() {
    let place = Place::new();
    let pem = |der: &[u8]| {
        let text = CHIP.roots_pem();
        assert!(!der.is_empty());
        text
    };
    // ARK first, and an ASVK too: not a chain that AMD hands out.
    let wrong = place.file("a", pem(CHIP.ark()).as_bytes());
    let kds = kds();
    assert_eq!(run(&mut place.vcek(&kds.url())).code, 0);
    assert_eq!(run(&mut place.crl(&kds.url())).code, 0);
    let files: Vec<PathBuf> =
        fs::read_dir(place.cache()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let other = Place::new();
    let mut command = other.platform(&["import", "--insecure-any-root", "--json"]);
    let ran = run(command.args(&files));
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let info = run(&mut other.platform(&["info", "--json"])).json();
    let pieces = info["collateral"]["pieces"].as_array().unwrap();
    assert_eq!(pieces.len(), 3, "{info}");
    assert!(pieces[0]["source"].as_str().unwrap().starts_with("import "));
    let ran = run(other.platform(&["import", "--insecure-any-root", "--json"]).args(&files));
    assert!(ran.stdout.contains("unchanged"), "{}", ran.stdout);
    // Nothing that is none, and nothing whose signer is not there.
    let noise = place.file("noise", b"\x7fELF");
    let alone = place.file("alone", CHIP.vcek());
    let third = Place::new();
    for (file, said) in [(&noise, "no certificate"), (&alone, "is not here"), (&wrong, "unknown")] {
        let ran = run(third.platform(&["import", "--insecure-any-root", "--json"]).arg(file));
        assert!(ran.code == 1 && ran.stdout.contains(said), "{said}: {}", ran.stdout);
    }
    assert!(!third.cache().exists());
}

#[test]
fn a_machine_knows_what_it_needs() {
    let (place, kds) = (Place::new(), kds());
    let sysroot = place.sysroot();
    let update = |words: &[&str]| {
        let mut command = place.simulated(words);
        run(command.args(["--kds", &kds.url()]))
    };
    // Nothing is known of this machine, and nothing is kept.
    let ran = update(&["update"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("there is nothing to update"), "{}", ran.stderr);
    let ran = update(&["snp", "crl"]);
    assert!(ran.code == 2 && ran.stderr.contains("--product"), "{}", ran.stderr);
    // A Milan, whose firmware nobody may ask.
    fs::create_dir_all(sysroot.join("proc")).unwrap();
    let text = b"vendor_id : AuthenticAMD\ncpu family : 25\nmodel : 1\nflags : sev_snp\n";
    write(&sysroot.join("proc/cpuinfo"), text);
    for words in [&["update"][..], &["snp", "update"], &["snp", "crl"]] {
        let ran = update(words);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_ne!(ran.result("snp-crl-milan").0, "failed");
    }
    let ran = update(&["snp", "vcek"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("dev/sev") && ran.stderr.contains("--report"), "{}", ran.stderr);
}

#[test]
fn damage_in_the_cache_is_noticed() {
    let (place, kds) = (Place::new(), kds());
    assert_eq!(run(&mut place.crl(&kds.url())).code, 0);
    let path = place.cache().join("snp-crl-milan.crl");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    write(&path, &bytes);
    let ran = run(&mut place.platform(&["info", "--json"])).json();
    assert_eq!(ran["collateral"]["damaged"][0], "snp-crl-milan.crl", "{ran}");
    assert_eq!(ran["collateral"]["pieces"].as_array().unwrap().len(), 1);
    // Which is as if it were not there.
    let ran = run(&mut place.crl(&kds.url()));
    assert_eq!(ran.result("snp-crl-milan").0, "fetched");
    assert_eq!(fs::read(&path).unwrap(), CHIP.crl());
}

#[test]
fn tables_for_people() {
    let (place, kds) = (Place::new(), kds());
    let table = |words: &[&str]| {
        let mut command = place.platform(words);
        command.args(["--insecure-plain-http", "--insecure-any-root", "--kds", &kds.url()]);
        run(&mut command)
    };
    let ran = table(&["snp", "crl", "--product", "Milan"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("piece") && lines[0].contains("valid until"), "{}", ran.stdout);
    assert!(lines[1].starts_with("Milan revocation list") && lines[1].ends_with("fetched"));
    kds.mirror().misbehave("/", Misbehaviour::Status(400), None);
    let ran = table(&["update"]);
    assert!(ran.code == 0 && ran.stderr.starts_with("note: Milan revocation list: "));
    let ran = table(&["snp", "crl", "--product", "Genoa"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.starts_with("error: Genoa revocation list: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("enarx platform import"), "{}", ran.stderr);
    let ran = run(&mut place.platform(&["info"]));
    assert!(ran.stdout.contains("collateral  "), "{}", ran.stdout);
    assert!(ran.stdout.contains("Milan revocation list"), "{}", ran.stdout);
    let ran = run(&mut Place::new().platform(&["info"]));
    assert!(ran.stdout.contains("`enarx platform update` gets it"), "{}", ran.stdout);
}
