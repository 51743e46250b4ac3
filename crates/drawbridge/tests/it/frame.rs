// SPDX-License-Identifier: Apache-2.0

//! What the registry's operator sees.

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
