// SPDX-License-Identifier: Apache-2.0

//! A stand-in for Intel's provisioning certification service (PCS, version 4) and for caching services (PCCS): it serves what
//! it is given, with the chains of the issuers in the headers of the real one.

use std::io;

use crate::mirror::{Mirror, Piece, Running};

/// A PCS that knows what it was told. It runs until this is dropped.
#[derive(Debug)]
pub struct Pcs {
    mirror: Mirror,
    running: Running,
}

/// A document or list with the chain (PEM) of its issuer.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// Body of the answer.
    pub body: &'a [u8],
    /// Chain, issuer first.
    pub chain: &'a str,
}

impl Pcs {
    /// One that knows nothing, as plain HTTP on loopback.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn spawn() -> io::Result<Self> {
        let mirror = Mirror::new();
        let running = Running::spawn(&mirror)?;
        Ok(Self { mirror, running })
    }

    /// Its address, `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        self.running.url()
    }

    /// What it serves, and how it misbehaves.
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// The TCB info of a line of platforms (FMSPC, hex, lower case); `tee` is `sgx` or `tdx`.
    pub fn put_tcb(&self, tee: &str, fmspc: &str, info: Signed<'_>) {
        self.put(
            &format!("/{tee}/certification/v4/tcb?fmspc={fmspc}"),
            "TCB-Info-Issuer-Chain",
            info,
        );
    }

    /// The identity of the quoting enclave; `tee` is `sgx` or `tdx`.
    pub fn put_identity(&self, tee: &str, identity: Signed<'_>) {
        let target = format!("/{tee}/certification/v4/qe/identity");
        self.put(&target, "SGX-Enclave-Identity-Issuer-Chain", identity);
    }

    /// The revocation list (DER) of an authority for platforms' keys; `ca` is `platform` or `processor`.
    pub fn put_pck_crl(&self, ca: &str, list: Signed<'_>) {
        let target = format!("/sgx/certification/v4/pckcrl?ca={ca}&encoding=der");
        self.put(&target, "SGX-PCK-CRL-Issuer-Chain", list);
    }

    /// The root's revocation list (DER), in hex as caching services have it.
    pub fn put_root_crl(&self, list: &[u8]) {
        let hex: String = list.iter().map(|byte| format!("{byte:02X}")).collect();
        self.mirror.put("/sgx/certification/v4/rootcacrl", Piece::new("text/plain", hex));
    }

    /// The certificate (PEM) of a platform's key; `query` is what the platform says about itself.
    pub fn put_pck(&self, query: &str, certificate: Signed<'_>) {
        let target = format!("/sgx/certification/v4/pckcert?{query}");
        self.put(&target, "SGX-PCK-Certificate-Issuer-Chain", certificate);
    }

    /// Takes registrations of platforms, and answers with this identity (PPID, hex).
    pub fn take_platforms(&self, ppid: &str) {
        let piece = Piece { status: 201, ..Piece::new("text/plain", ppid) };
        self.mirror.put_post("/sgx/registration/v1/platform", piece.clone());
        self.mirror.put_post("/sgx/registration/v1/package", piece);
    }

    fn put(&self, target: &str, header: &str, signed: Signed<'_>) {
        let piece = Piece::new("application/octet-stream", signed.body);
        self.mirror.put(target, piece.header(header, &encoded(signed.chain)));
    }
}

/// As it stands in a header: everything but letters, digits and a few signs as `%XX`.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
