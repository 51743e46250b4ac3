// SPDX-License-Identifier: Apache-2.0

//! `[[registry]]` and `[[grant]]`: which names certificates carry.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use drawbridge_core::statement;
use serde::Deserialize;
use types::config::ParsePatternError;
use types::slug;
use types::toml_error::Fields;

use super::values::array;
use crate::policy::{Grant, PolicyError, Registry};

/// SubjectPublicKeyInfo of a P-256 key in front of the 64 bytes of x and y.
const P256_SPKI: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
/// Bytes of an uncompressed P-256 point.
const P256_POINT_BYTES: usize = 65;

/// As much of a JWK (RFC 7517, RFC 7518 section 6.2) as a public P-256 key has.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
    /// The private key, which has no place here.
    d: Option<String>,
}

/// SubjectPublicKeyInfo of a key in PEM or JWK.
pub(super) fn p256_spki(text: &str) -> Result<Vec<u8>, &'static str> {
    let text = text.trim();
    if !text.starts_with('{') {
        return match der::pem::decode_vec(text.as_bytes()) {
            Ok(("PUBLIC KEY", der)) => Ok(der),
            _ => Err("the key is neither PEM (PUBLIC KEY) nor a JWK"),
        };
    }
    let jwk: Jwk = serde_json::from_str(text).map_err(|_| "the key is no JWK of an EC key")?;
    if jwk.d.is_some() {
        return Err("this JWK holds the private key, which is the registry's alone");
    }
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().filter(|part| part.len() == 32);
    match (jwk.kty.as_str(), jwk.crv.as_str(), part(&jwk.x), part(&jwk.y)) {
        ("EC", "P-256", Some(x), Some(y)) => Ok([&P256_SPKI[..], &x, &y].concat()),
        _ => Err("the JWK is no P-256 key"),
    }
}

/// `[[registry]]`
pub(super) fn registry(mut fields: Fields<'_>) -> Result<Registry, PolicyError> {
    const HINT: &str = "`drawbridge key show` prints the key of a registry";
    let host = fields.required("host")?;
    if !slug::valid_host(host.string()?) {
        return Err(host
            .error("this is no host in lower case")
            .with_hint("for example \"store.example.com\" or \"localhost:8443\", as in slugs"));
    }
    let key = fields.required("key")?;
    let spki = p256_spki(key.string()?).map_err(|what| key.error(what).with_hint(HINT))?;
    let kid = statement::thumbprint(&spki)
        .ok_or_else(|| key.error("the key is not a P-256 key").with_hint(HINT))?;
    let start = spki.len().saturating_sub(P256_POINT_BYTES);
    let point = spki.get(start..).unwrap_or_default().to_vec();
    Ok(Registry { host: host.string()?.to_owned(), kid, point })
}

/// `[[grant]]`
pub(super) fn grant(mut fields: Fields<'_>) -> Result<Grant, PolicyError> {
    let value = fields.required("workload")?;
    let workload = value
        .string()?
        .parse()
        .map_err(|error: ParsePatternError| value.error(error.to_string()))?;
    let mut dns = Vec::new();
    for value in array(fields.value("dns"))? {
        let name = value.string()?;
        if !slug::valid_host(name) || name.contains(':') || name.parse::<IpAddr>().is_ok() {
            return Err(value
                .error("this is no DNS name in lower case")
                .with_hint("addresses stand in `ip`; wildcards are not granted"));
        }
        dns.push(name.to_owned());
    }
    let mut ip = Vec::new();
    for value in array(fields.value("ip"))? {
        let address = value.string()?.parse().map_err(|_| value.error("this is no IP address"))?;
        ip.push(address);
    }
    if dns.is_empty() && ip.is_empty() {
        return Err(fields
            .error("a grant without names grants nothing")
            .with_hint("add dns = [\"…\"] or ip = [\"…\"]"));
    }
    Ok(Grant { workload, dns, ip })
}
