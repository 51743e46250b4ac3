// SPDX-License-Identifier: Apache-2.0

//! The program's frame: what its operator sees, TLS or none, limits.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::keep::{Keep, SILICON, policy, unnamed};
use crate::steward::{Files, Setup, Steward, command, stderr, write};

/// A Steward that must not start, with these words in place of those about TLS.
fn refused(words: &[&str]) -> Output {
    let files = Files::new(&Setup::default());
    let output = command()
        .arg("serve")
        .args(words)
        .args(["--policy", "policy.toml", "--ca-cert", "ca/ca.pem", "--ca-key", "ca/ca.key"])
        .args(["--issuance-log", "log"])
        .current_dir(files.dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
    assert!(output.stdout.is_empty());
    output
}

#[test]
fn contradictions_on_the_command_line_are_refused() {
    const TLS: [&str; 4] = ["--tls-cert", "tls.pem", "--tls-key", "tls.key"];
    const URL: [&str; 2] = ["--url", "https://steward.example.com"];
    for (words, said) in [
        (&[][..], "--tls-cert is missing"),
        (&["--tls-cert", "tls.pem"], "--tls-key is missing"),
        (&["--tls-key", "tls.key"], "--tls-cert is missing"),
        (&["--plain"], "--url"),
        (&["--plain", URL[0], URL[1], TLS[0], TLS[1]], "--plain contradicts"),
        (&["--plain", URL[0], URL[1], "--addr", "0.0.0.0:0"], "not a loopback address"),
        (
            &[TLS[0], TLS[1], TLS[2], TLS[3], "--admin-addr", "0.0.0.0:0"],
            "--admin-addr: 0.0.0.0:0 is not a loopback address",
        ),
        (&["--plain", URL[0], URL[1], "--client-rate", "5"], "--plain contradicts --client-rate"),
        (&["--plain", URL[0], URL[1], "--client-connections-max", "5"], "--plain contradicts"),
        (
            &[TLS[0], TLS[1], TLS[2], TLS[3], "--otlp-endpoint", "http://192.0.2.1:4318"],
            "--otlp-endpoint: http://192.0.2.1:4318 is no collector's URL",
        ),
        (&["--queue-max", "many"], "--queue-max"),
        (&["--connections-max", "0"], "--connections-max"),
        (&["--no-such-flag"], "--no-such-flag"),
    ] {
        let output = refused(words);
        assert!(stderr(&output).contains(said), "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn the_operator_sees_readiness_and_metrics() {
    let steward = Steward::start(Setup::default());
    assert_eq!(steward.operator("/livez").status, 200);
    assert_eq!(steward.operator("/readyz").body, b"ready\n");
    assert_eq!(steward.get("/metrics").status, 404, "not for clients");
    steward.get("/ca.pem");
    let sample = "http_requests_total{route=\"/ca.pem\",method=\"GET\",status=\"200\"}";
    assert_eq!(steward.metric(sample), 1.0);
    let version = env!("CARGO_PKG_VERSION");
    let build = format!("build_info{{service=\"steward\",version=\"{version}\"}}");
    assert_eq!(steward.metric(&build), 1.0);

    let reloads = |result: &str| steward.metric(&format!("reloads_total{{result=\"{result}\"}}"));
    assert_eq!((reloads("ok"), reloads("failed")), (0.0, 0.0));
    write(&steward.files.path("policy.toml"), "nonsense", 0o644);
    steward.signal("HUP");
    while reloads("failed") < 1.0 {}
    write(&steward.files.path("policy.toml"), "", 0o644);
    steward.signal("HUP");
    while reloads("ok") < 1.0 {}
    assert_eq!(reloads("failed"), 1.0);
}

#[test]
fn a_ca_that_ran_out_does_not_start() {
    let (start, late) = ("2020-01-01T00:00:00Z", "2039-01-01T00:00:00Z");
    let steward = |time: &str| {
        let setup = Setup {
            time: Some(time.parse().unwrap()),
            ca_not_before: Some(start.parse().unwrap()),
            ..Setup::default()
        };
        let files = Files::new(&setup);
        (files.serve(&setup), files)
    };
    // The CA must be valid when Steward starts: one that starts with an old one says so at once.
    let (mut command, _files) = steward(late);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("valid from"), "{}", stderr(&output));
}

/// RELIABILITY S-5, in short; `examples/overload.rs` measures it.
#[test]
fn more_than_can_be_done_is_told_to_come_back() {
    let keep = Keep::new();
    let request = keep.request(&keep.evidence(Some(unnamed())));
    let setup = Setup {
        policy: policy(&[]),
        simulated_roots: Some(SILICON.roots_pem()),
        more: ["--queue-max", "0", "--client-rate", "0"].map(str::to_owned).to_vec(),
        ..Setup::default()
    };
    let steward = Steward::start(setup);
    let (issued, shed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let enough = || issued.load(Ordering::Relaxed) > 20 && shed.load(Ordering::Relaxed) > 0;
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while !enough() {
                    let answer = steward.request(&request);
                    if answer.status == 200 {
                        let _ = answer.path();
                        issued.fetch_add(1, Ordering::Relaxed);
                    } else {
                        assert_eq!(answer.check(), (503, "service.overloaded".to_owned()));
                        assert_eq!(answer.retry_after.as_deref(), Some("1"));
                        shed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let shed = shed.into_inner();
    assert_eq!(steward.metric("work_shed_total{reason=\"queue\"}"), shed as f64);
    assert_eq!(steward.metric("work_running"), 0.0);
    assert_eq!(steward.request(&request).status, 200, "afterwards all is well");
    assert_eq!(steward.stop(), Some(0));
}

#[test]
fn a_client_that_asks_too_often_is_told_so() {
    let more = ["--client-rate", "1"].map(str::to_owned).to_vec();
    let steward = Steward::start(Setup { more, ..Setup::default() });
    let refused = (0..1000).map(|_| steward.get("/ca.pem")).find(|answer| answer.status != 200);
    let refused = refused.expect("a thousand requests take less than a thousand seconds");
    assert_eq!(refused.check(), (429, "http.rate".to_owned()));
    assert_eq!(refused.retry_after.as_deref(), Some("1"));
    assert!(
        steward.metric("http_shed_total{reason=\"client\"}") >= 1.0,
        "and the operator is heard"
    );
}

#[test]
fn systemd_hears_what_it_does() {
    let files = Arc::new(Files::new(&Setup::default()));
    let path = files.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let heard = || {
        let mut message = [0; 256];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let mut command = files.serve(&Setup::default());
    command.env("NOTIFY_SOCKET", &path);
    let steward = Steward::run(files, command);
    assert_eq!(heard(), format!("READY=1\nSTATUS=listening at {}", steward.url));
    steward.signal("HUP");
    assert_eq!((heard(), heard()), ("RELOADING=1".to_owned(), "READY=1".to_owned()));
    assert_eq!(steward.stop(), Some(0));
    assert_eq!(heard(), "STOPPING=1");
}

#[test]
fn behind_a_proxy_it_speaks_plain_http() {
    let steward = Steward::start(Setup { more: vec!["--plain".to_owned()], ..Setup::default() });
    assert!(steward.url.starts_with("http://127.0.0.1:"), "{}", steward.url);
    assert_eq!(steward.get("/").status, 200);
    assert_eq!(steward.request(b"garbage").check(), (400, "request-malformed".to_owned()));
    assert_eq!(steward.stop(), Some(0));
}

/// A request whose body is only begun; what Steward says to it comes when it is whole.
fn begin(steward: &Steward) -> TcpStream {
    let mut stream = TcpStream::connect(steward.addr()).unwrap();
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/pkcs10\r\ncontent-length: 8\r\n\r\nhalf";
    stream.write_all(head.as_bytes()).unwrap();
    while steward.metric("http_request_body_bytes_total") < 4.0 {}
    stream
}

fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// RELIABILITY C-4.
#[test]
fn requests_in_progress_end_after_sigterm() {
    let steward = Steward::start(Setup { more: vec!["--plain".to_owned()], ..Setup::default() });
    let mut stream = begin(&steward);
    steward.signal("TERM");
    while steward.operator("/readyz").status == 200 {}
    while TcpStream::connect(steward.addr()).is_ok() {}
    stream.write_all(b"half").unwrap();
    let answer = rest(&mut stream);
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("request-malformed"),
        "{answer}"
    );
    assert_eq!(steward.wait(), Some(0));
}

#[test]
fn a_second_sigterm_ends_them_at_once() {
    let steward = Steward::start(Setup { more: vec!["--plain".to_owned()], ..Setup::default() });
    let mut stream = begin(&steward);
    steward.signal("TERM");
    while TcpStream::connect(steward.addr()).is_ok() {}
    steward.signal("TERM");
    assert_eq!(rest(&mut stream), "");
    let (code, log) = steward.wait_and_read();
    assert_eq!(code, Some(1), "not everybody was served");
    assert!(log.iter().any(|line| line.contains("1 connection(s) were cut")), "{log:#?}");
}

/// Whoever gets an answer gets all of it, however many ask while Steward ends.
#[test]
fn no_answer_is_cut_off_by_sigterm() {
    let keep = Keep::new();
    let request = keep.request(&keep.evidence(Some(unnamed())));
    let setup = Setup {
        policy: policy(&[]),
        simulated_roots: Some(SILICON.roots_pem()),
        more: vec!["--plain".to_owned()],
        ..Setup::default()
    };
    let steward = Steward::start(setup);
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/pkcs10\r\ncontent-length: {}\r\n\r\n",
        request.len()
    );
    let whole = AtomicUsize::new(0);
    let addr = steward.addr();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Ok(mut stream) = TcpStream::connect(addr) {
                    // Connections that were never accepted are reset.
                    let sent = stream.write_all(&[head.as_bytes(), &request].concat());
                    let mut answer = vec![0; 12];
                    if sent.is_err() || stream.read_exact(&mut answer).is_err() {
                        continue;
                    }
                    assert_eq!(answer, b"HTTP/1.1 200");
                    let mut reader = BufReader::new(stream);
                    let (mut line, mut length) = (String::new(), 0);
                    while reader.read_line(&mut line).unwrap() > 2 {
                        if let Some(text) = line.to_lowercase().strip_prefix("content-length: ") {
                            length = text.trim().parse().unwrap();
                        }
                        line.clear();
                    }
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).expect("the whole body");
                    assert!(length > 1000);
                    whole.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while whole.load(Ordering::Relaxed) < 16 {
            std::thread::yield_now();
        }
        steward.signal("TERM");
    });
    assert_eq!(steward.wait(), Some(0));
}
