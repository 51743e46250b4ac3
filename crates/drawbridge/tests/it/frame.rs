// SPDX-License-Identifier: Apache-2.0

//! What the registry's operator sees.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::world::{World, until};

/// Status line and body of what the operator gets.
fn operator(world: &World, path: &str) -> String {
    let mut stream = TcpStream::connect(world.admin).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn readiness_is_that_of_the_store_and_of_the_issuer() {
    let world = World::new();
    let says = |words: &str| operator(&world, "/readyz").contains(words);
    // The issuer's keys are asked for while it starts.
    until("the registry is ready", || says("HTTP/1.1 200 OK"));
    std::fs::rename(world.store.join("tmp"), world.store.join("gone")).unwrap();
    until("the store is missed", || says("store: ") && says("HTTP/1.1 503"));
    assert!(operator(&world, "/livez").starts_with("HTTP/1.1 200"));
    std::fs::rename(world.store.join("gone"), world.store.join("tmp")).unwrap();
    until("the store is there again", || says("HTTP/1.1 200 OK"));
}

#[test]
fn metrics_name_routes_and_no_users() {
    let world = World::new();
    world.register("secret-name", false, false);
    let text = operator(&world, "/metrics");
    for route in ["/{user}", "/{user}/{repo}"] {
        let sample =
            format!("http_requests_total{{route=\"{route}\",method=\"PUT\",status=\"201\"}} 1\n");
        assert!(text.contains(&sample), "{sample} in {text}");
    }
    assert!(!text.contains("ann") && !text.contains("secret-name"), "{text}");
}

#[test]
fn contradictions_on_the_command_line_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (words, said) in [
        (&[][..], "--tls-cert is missing"),
        (&["--plain", "--tls-key", "k"], "--plain contradicts"),
        (&["--plain", "--addr", "0.0.0.0:0"], "not a loopback address"),
        (&["--plain", "--keep-ca", "c"], "Keeps authenticate by TLS"),
        (&["--plain", "--client-rate", "7"], "--client-rate"),
        (&["--plain", "--admin-addr", "0.0.0.0:0"], "--admin-addr: 0.0.0.0:0"),
        (&["--plain", "--oidc-issuer", "https://x"], "--oidc-audience"),
        (&["--no-such-flag"], "--no-such-flag"),
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_drawbridge"))
            .args(["serve", "--host", "store.example.com", "--store"])
            .arg(dir.path().join("store"))
            .args(if words.contains(&"--addr") { &[][..] } else { &["--addr", "127.0.0.1:0"] })
            .args(words)
            .env_clear()
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty(), "{words:?}");
        assert!(text.contains(said), "{words:?}: {text}");
    }
}

#[test]
fn the_example_settings_are_all_that_there_are() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_drawbridge"))
        .args(["serve", "--help"])
        .output()
        .unwrap();
    // Lines may break anywhere between words.
    let help = String::from_utf8(help.stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let known: BTreeSet<&str> = help
        .split("[env: ")
        .skip(1)
        .filter_map(|part| part.split_once('=').map(|(name, _)| name))
        .collect();
    assert!(known.len() > 10, "{help}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/drawbridge/drawbridge.env");
    let example = std::fs::read_to_string(path).unwrap();
    let shown: BTreeSet<&str> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#').unwrap_or(line).split_once('='))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(shown, known, "{path} and `drawbridge serve --help` differ");
}
