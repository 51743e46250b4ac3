// SPDX-License-Identifier: Apache-2.0

//! The OpenAPI document, held against the registry by schemathesis: it makes requests out of the document, good and bad ones.

use std::process::Command;

use crate::world::{ALL, Options, World};

/// Teaches it to send text of types that it does not know.
const HOOKS: &str = "\
import schemathesis

@schemathesis.serializer('application/toml', 'application/jose', 'application/octet-stream')
def text(context, value):
    return value if isinstance(value, bytes) else str(value).encode()
";
/// Requests of each kind for each operation.
const EXAMPLES: &str = "5";

#[test]
fn the_document_is_served_as_it_is_kept() {
    let world = World::new();
    let (status, head, body) = world.get("/api/openapi.json", None);
    assert!(status == 200 && head.to_lowercase().contains("content-type: application/json"));
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    assert_eq!(body, std::fs::read(kept).unwrap());
}

#[test]
fn the_registry_keeps_to_its_document() {
    let test = "the_registry_keeps_to_its_document";
    let version = Command::new("schemathesis").arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIP {test}: there is no schemathesis (PyPI)");
        return;
    }
    let environment = vec![("DRAWBRIDGE_CLIENT_RATE", "0".to_owned())];
    let world = World::with(Options { environment, audit: true, ..Options::default() });
    let ann = world.register("app", true, false);
    for version in ["1.0.0", "1.1.0"] {
        world.publish(&ann, &format!("ann/app:{version}")).unwrap();
    }
    // The names in the examples of the document are there.
    ann.put_policy("ann", "app", "release = []\n", None).unwrap();
    let hooks = world.dir.path().join("hooks.py");
    crate::world::write(&hooks, HOOKS);
    let url = format!("https://{}", world.address());
    let document = format!("{url}/api/openapi.json");
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,\
        response_schema_conformance,response_headers_conformance,unsupported_method,ignored_auth,negative_data_rejection,missing_required_header";
    let output = Command::new("schemathesis")
        .current_dir(world.dir.path())
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", world.dir.path())
        .env("PYTHONWARNINGS", "ignore")
        .args(["run", &document, "--url", &url, "--tls-verify", "false", "--no-color"])
        .args(["--header", &format!("Authorization: Bearer {}", world.token("ann", ALL))])
        .args(["--checks", checks, "--max-examples", EXAMPLES, "--generation-deterministic"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--warnings", "off", "--no-shrink", "--request-timeout", "20"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let also = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{also}");
    // It did what it was asked for.
    assert!(said.contains("Coverage") && said.contains("Fuzzing"), "{said}");
    println!("{said}");
}
