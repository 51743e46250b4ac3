// SPDX-License-Identifier: Apache-2.0

//! `[[registry]]` and `[[grant]]`: which names certificates carry.

use std::net::IpAddr;

use drawbridge_core::statement;
use types::config::ParsePatternError;
use types::slug;
use types::toml_error::Fields;

use super::keys::ec_point;
use super::values::array;
use crate::policy::{Grant, PolicyError, Registry};

/// SubjectPublicKeyInfo of a P-256 key in front of the 64 bytes of x and y.
const P256_SPKI: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
/// Bytes of an uncompressed P-256 point.
const P256_POINT_BYTES: usize = 65;

/// SubjectPublicKeyInfo of a key in PEM or JWK.
pub(super) fn p256_spki(text: &str) -> Result<Vec<u8>, &'static str> {
    match ec_point(text)?.as_slice() {
        [4, coordinates @ ..] if coordinates.len() + 1 == P256_POINT_BYTES => {
            Ok([&P256_SPKI[..], coordinates].concat())
        }
        _ => Err("the key is no P-256 key"),
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
