// SPDX-License-Identifier: Apache-2.0

//! The gRPC calls, by a client that gRPC's own tools generate from `proto/proxy_attestation.proto`.

use std::path::PathBuf;
use std::process::{Command, Output};

use der::pem::LineEnding;

use crate::issuance::believing;
use crate::keep::Keep;
use crate::nonce::{nonce, request, strict};
use crate::outside::openssl;
use crate::steward::{Steward, write};

/// Sends a request and prints the code of what comes back: `client.py ADDRESS TLS-ROOT REQUEST OUT`.
const CLIENT: &str = "\
import sys, grpc
import proxy_attestation_pb2 as messages, proxy_attestation_pb2_grpc as service
address, tls, request, out = sys.argv[1:]
credentials = grpc.ssl_channel_credentials(open(tls, 'rb').read())
with grpc.secure_channel(address, credentials) as channel:
    steward = service.ProxyAttestationStub(channel)
    root = steward.GetRootCertificate(messages.GetRootCertificateRequest(), timeout=20)
    open(out + '/root.pem', 'wb').write(root.root_certificate)
    try:
        asked = messages.GetSignedCertificateRequest(certificate_request=open(request, 'rb').read())
        issued = steward.GetSignedCertificate(asked, timeout=20)
        open(out + '/leaf.pem', 'wb').write(issued.certificate)
        print('OK')
    except grpc.RpcError as error:
        print(error.code().name, error.details())
";

fn python(arguments: &[&str]) -> Option<Output> {
    Command::new("python3").args(arguments).output().ok()
}

/// The client's program, in a directory of its own; `None`: what it takes is not here.
fn client() -> Option<tempfile::TempDir> {
    let dir = tempfile::tempdir().unwrap();
    let proto: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../proto"].iter().collect();
    let known = python(&["-c", "import grpc, grpc_tools"]);
    if !known.is_some_and(|output| output.status.success()) {
        println!("SKIP a_generated_grpc_client_enrols: Python has no grpcio and grpcio-tools");
        return None;
    }
    let out = dir.path().to_str()?;
    let generated = python(&[
        "-m",
        "grpc_tools.protoc",
        &format!("-I{}", proto.to_str()?),
        &format!("--python_out={out}"),
        &format!("--grpc_python_out={out}"),
        "proxy_attestation.proto",
    ])?;
    assert!(generated.status.success(), "{}", String::from_utf8_lossy(&generated.stderr));
    write(&dir.path().join("client.py"), CLIENT, 0o644);
    Some(dir)
}

#[test]
fn a_generated_grpc_client_enrols() {
    let Some(dir) = client() else { return };
    let steward = believing(strict());
    let keep = Keep::new();
    let ask = |steward: &Steward, request: &[u8]| {
        let path = |name: &str| dir.path().join(name);
        write(&path("tls.pem"), steward.files.tls.certificate_pem(), 0o644);
        write(&path("request.pem"), request, 0o644);
        let names = ["client.py", "tls.pem", "request.pem", ""]
            .map(|name| path(name).to_str().unwrap().trim_end_matches('/').to_owned());
        let [client, tls, request, out] = names;
        let output = python(&[&client, &steward.addr().to_string(), &tls, &request, &out]).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let pem = |label: &str, der: &[u8]| {
        der::pem::encode_string(label, LineEnding::LF, der).unwrap().into_bytes()
    };
    let csr = |nonce| pem("CERTIFICATE REQUEST", &request(&keep, nonce));

    assert_eq!(ask(&steward, &csr(Some(nonce(&steward)))), "OK");
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let root = std::fs::read(path("root.pem")).unwrap();
    assert_eq!(root, std::fs::read(steward.files.path("ca/ca.pem")).unwrap());
    if let Some(output) = openssl(&["verify", "-CAfile", &path("root.pem"), &path("leaf.pem")]) {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    let missing = ask(&steward, &csr(None));
    assert!(
        missing.starts_with("PERMISSION_DENIED nonce-missing: the claims carry no"),
        "{missing}"
    );
    for (request, says) in [
        (b"garbage".to_vec(), "INVALID_ARGUMENT the request is not in PEM"),
        (pem("CERTIFICATE", b"0"), "INVALID_ARGUMENT the PEM is no CERTIFICATE REQUEST"),
        (pem("CERTIFICATE REQUEST", b"0"), "INVALID_ARGUMENT request-malformed: "),
        (
            pem("CERTIFICATE REQUEST", &keep.request_without_extensions()),
            "PERMISSION_DENIED evidence-missing: ",
        ),
    ] {
        let said = ask(&steward, &request);
        assert!(said.starts_with(says), "{said}");
    }
}

#[test]
fn what_is_no_grpc_is_refused() {
    let steward = believing(strict());
    let path = "/oak.examples.proxy_attestation.ProxyAttestation/GetRootCertificate";
    for media_type in ["application/grpc", "application/json"] {
        let answer = steward.post_to(path, media_type, &[0; 5]);
        assert_eq!(answer.check(), (415, "http.content-type".to_owned()));
    }
}
