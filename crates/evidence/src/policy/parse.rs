// SPDX-License-Identifier: Apache-2.0

//! Reading a policy file, strictly.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use drawbridge_core::statement;
use serde::Deserialize;
use types::config::ParsePatternError;
use types::digest::Sha256;
use types::limits;
use types::slug;
use types::toml_error::{Document, Fields, TomlError, Value};

use super::{
    Grant, LIFETIME_HOURS, LIFETIME_HOURS_DEFAULT, Policy, PolicyError, Registry, Relaxation,
    Requirement, SnpPolicy,
};
use crate::amd::{Product, Tcb};

/// SubjectPublicKeyInfo of a P-256 key in front of the 64 bytes of x and y.
const P256_SPKI: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
/// Bytes of an uncompressed P-256 point.
const P256_POINT_BYTES: usize = 65;

const SNP_KEYS: &[&str] = &[
    "hash",
    "hash_blacklist",
    "signer",
    "id_key_digest",
    "id_key_digest_blacklist",
    "minimum_guest_svn",
    "family_id",
    "image_id",
    "host_data",
    "abi",
    "policy_flags",
    "platform_info_flags",
    "require",
    "products",
    "chip_id",
    "minimum_tcb",
    "allow",
    "vlek",
    "max_vmpl",
];

/// Names of guest policy bits, in the terms of the original Steward.
const POLICY_FLAGS: [(&str, u64); 3] =
    [("Debug", 1 << 19), ("SingleSocket", 1 << 20), ("SMT", 1 << 16)];

pub(super) fn policy(text: &str) -> Result<Policy, PolicyError> {
    if text.len() > limits::POLICY_BYTES_MAX {
        return Err(TomlError::new("", 0..0, "the policy is larger than 1 MB"));
    }
    let document = Document::new(text);
    let root = document.root()?;
    let known = ["snp", "certificate", "registry", "grant"];
    let mut root = document.fields(root.span(), root.into_inner(), &known)?;
    let snp = match root.value("snp") {
        Some(value) => snp(value.fields(SNP_KEYS)?)?,
        None => SnpPolicy::default(),
    };
    let mut hours = LIFETIME_HOURS_DEFAULT;
    if let Some(value) = root.value("certificate") {
        let mut fields = value.fields(&["lifetime_hours"])?;
        if let Some(value) = fields.value("lifetime_hours") {
            hours = value.integer(*LIFETIME_HOURS.start(), *LIFETIME_HOURS.end())?;
        }
    }
    let mut registries: Vec<Registry> = Vec::new();
    for value in array(root.value("registry"))? {
        let span = value.span();
        let found = registry(value.fields(&["host", "key"])?)?;
        if registries.contains(&found) {
            return Err(document.error(span, "this registry stands there twice, with the same key"));
        }
        registries.push(found);
    }
    let grants = array(root.value("grant"))?
        .into_iter()
        .map(|value| grant(value.fields(&["workload", "dns", "ip"])?))
        .collect::<Result<_, _>>()?;
    Ok(Policy {
        digest: Sha256::of(text.as_bytes()),
        snp,
        lifetime_seconds: hours.saturating_mul(3600),
        registries,
        grants,
    })
}

fn array<'t>(value: Option<Value<'t>>) -> Result<Vec<Value<'t>>, PolicyError> {
    value.map_or_else(|| Ok(Vec::new()), Value::array)
}

fn snp(mut fields: Fields<'_>) -> Result<SnpPolicy, PolicyError> {
    let mut policy = SnpPolicy {
        hash: digests(fields.value("hash"))?,
        signer: digests(fields.value("signer"))?,
        id_key_digest: digests(fields.value("id_key_digest"))?,
        chip_id: digests(fields.value("chip_id"))?,
        ..SnpPolicy::default()
    };
    policy.hash_blacklist = blacklist(fields.value("hash_blacklist"), &policy.hash)?;
    policy.id_key_digest_blacklist =
        blacklist(fields.value("id_key_digest_blacklist"), &policy.id_key_digest)?;
    policy.family_id = some_digests(fields.value("family_id"))?;
    policy.image_id = some_digests(fields.value("image_id"))?;
    policy.host_data = some_digests(fields.value("host_data"))?;
    if let Some(value) = fields.value("minimum_guest_svn") {
        policy.minimum_guest_svn = number(&value, u32::MAX)?;
    }
    if let Some(value) = fields.value("max_vmpl") {
        policy.max_vmpl = number(&value, 3)?;
    }
    if let Some(value) = fields.value("abi") {
        let wanted = semver::VersionReq::parse(value.string()?).map_err(|error| {
            value
                .error(format!("this is no version requirement: {error}"))
                .with_hint("for example \">=1.51\"")
        })?;
        policy.abi = Some(wanted);
    }
    if let Some(value) = fields.value("policy_flags") {
        let names = POLICY_FLAGS.map(|(name, _)| name);
        let mut mask = 0;
        for index in choices(value, &names)? {
            mask |= POLICY_FLAGS.get(index).map_or(0, |(_, bit)| *bit);
        }
        policy.policy_flags = Some(mask);
    }
    if let Some(value) = fields.value("platform_info_flags") {
        policy.platform_info_flags = Some(if value.choice(&["SME", "TSME"])? == 0 { 1 } else { 2 });
    }
    if let Some(value) = fields.value("require") {
        let indices = choices(value, &Requirement::ALL.map(Requirement::name))?;
        policy.require = pick(&Requirement::ALL, &indices);
    }
    if let Some(value) = fields.value("products") {
        let indices = choices(value, &Product::ALL.map(Product::name))?;
        policy.products = pick(&Product::ALL, &indices);
    }
    if let Some(value) = fields.value("allow") {
        let indices = choices(value, &Relaxation::ALLOWED.map(Relaxation::name))?;
        policy.allow = pick(&Relaxation::ALLOWED, &indices);
    }
    for value in array(fields.value("vlek"))? {
        policy.vlek.push(value.string()?.to_owned());
    }
    if let Some(value) = fields.value("minimum_tcb") {
        for (name, value) in value.entries()? {
            let product: Product = name.get_ref().parse().map_err(|_| {
                value
                    .error_at(name.span(), "there is no such product")
                    .with_hint("one of Milan, Genoa, Turin")
            })?;
            policy.minimum_tcb.insert(product, minimum_tcb(product, value)?);
        }
    }
    Ok(policy)
}

fn pick<T: Copy>(all: &[T], indices: &[usize]) -> Vec<T> {
    indices.iter().filter_map(|index| all.get(*index)).copied().collect()
}

fn choices(value: Value<'_>, names: &[&str]) -> Result<Vec<usize>, PolicyError> {
    value.array()?.iter().map(|value| value.choice(names)).collect()
}

fn number(value: &Value<'_>, max: u32) -> Result<u32, PolicyError> {
    let number = value.integer(0, max.into())?;
    u32::try_from(number).map_err(|_| value.error("the number is too large"))
}

fn digest<const N: usize>(value: &Value<'_>) -> Result<[u8; N], PolicyError> {
    let mut digest = [0; N];
    hex::decode_to_slice(value.string()?, &mut digest)
        .map_err(|_| value.error(format!("wanted {} hex digits", 2 * N)))?;
    Ok(digest)
}

fn digests<const N: usize>(value: Option<Value<'_>>) -> Result<Vec<[u8; N]>, PolicyError> {
    array(value)?.iter().map(digest).collect()
}

fn some_digests<const N: usize>(
    value: Option<Value<'_>>,
) -> Result<Option<Vec<[u8; N]>>, PolicyError> {
    value.map(|value| digests(Some(value))).transpose()
}

fn blacklist(value: Option<Value<'_>>, wanted: &[[u8; 48]]) -> Result<Vec<[u8; 48]>, PolicyError> {
    let refuse = |value: Value<'_>| {
        let digest = digest(&value)?;
        if wanted.contains(&digest) {
            return Err(value
                .error("this digest is both wanted and refused")
                .with_hint("take it out of one of the two lists"));
        }
        Ok(digest)
    };
    array(value)?.into_iter().map(refuse).collect()
}

fn minimum_tcb(product: Product, value: Value<'_>) -> Result<Tcb, PolicyError> {
    let turin = product == Product::Turin;
    let known: &[&str] = if turin {
        &["fmc", "bootloader", "tee", "snp", "microcode"]
    } else {
        &["bootloader", "tee", "snp", "microcode"]
    };
    let mut fields = value.fields(known)?;
    let mut part = |name: &str| match fields.value(name) {
        Some(value) => {
            let number = value.integer(0, 255)?;
            u8::try_from(number).map_err(|_| value.error("the number is too large"))
        }
        None => Ok(0),
    };
    Ok(Tcb {
        fmc: if turin { Some(part("fmc")?) } else { None },
        bootloader: part("bootloader")?,
        tee: part("tee")?,
        snp: part("snp")?,
        microcode: part("microcode")?,
    })
}

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
fn p256_spki(text: &str) -> Result<Vec<u8>, &'static str> {
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

fn registry(mut fields: Fields<'_>) -> Result<Registry, PolicyError> {
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

fn grant(mut fields: Fields<'_>) -> Result<Grant, PolicyError> {
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

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
