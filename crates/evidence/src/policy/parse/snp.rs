// SPDX-License-Identifier: Apache-2.0

//! `[snp]`.

use types::toml_error::Value;

use super::values::{allowances, array, choices, lists, number, pick, some_digests};
use crate::amd::{Product, Tcb};
use crate::policy::{PolicyError, Relaxation, Requirement, SnpPolicy};
use crate::snp::FirmwareVersion;

/// All keys.
pub(super) const KEYS: &[&str] = &[
    "hash",
    "hash_blacklist",
    "signer",
    "signer_blacklist",
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
    "products_blacklist",
    "chip_id",
    "chip_id_blacklist",
    "minimum_tcb",
    "minimum_firmware",
    "mitigations",
    "allow",
    "vlek",
    "max_vmpl",
];

/// Names of guest policy bits, in the terms of the original Steward.
const POLICY_FLAGS: [(&str, u64); 3] =
    [("Debug", 1 << 19), ("SingleSocket", 1 << 20), ("SMT", 1 << 16)];

/// Reads the table.
pub(super) fn read(table: Value<'_>) -> Result<SnpPolicy, PolicyError> {
    let mut fields = table.fields(KEYS)?;
    let mut policy = SnpPolicy::default();
    (policy.hash, policy.hash_blacklist) = lists(&mut fields, "hash")?;
    (policy.signer, policy.signer_blacklist) = lists(&mut fields, "signer")?;
    (policy.id_key_digest, policy.id_key_digest_blacklist) = lists(&mut fields, "id_key_digest")?;
    (policy.chip_id, policy.chip_id_blacklist) = lists(&mut fields, "chip_id")?;
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
    let products = fields.value("products");
    let listed = products.is_some();
    if let Some(value) = products {
        let indices = choices(value, &Product::ALL.map(Product::name))?;
        policy.products = pick(&Product::ALL, &indices);
    }
    for value in array(fields.value("products_blacklist"))? {
        let names = Product::ALL.map(Product::name);
        let product = pick(&Product::ALL, &[value.choice(&names)?]);
        if listed && product.iter().any(|product| policy.products.contains(product)) {
            return Err(value
                .error("this product is both wanted and refused")
                .with_hint("take it out of one of the two lists"));
        }
        policy.products_blacklist.extend(product);
    }
    if let Some(value) = fields.value("minimum_firmware") {
        policy.minimum_firmware = Some(firmware(&value)?);
    }
    for value in array(fields.value("mitigations"))? {
        policy.mitigations |= 1 << number(&value, 63)?;
    }
    let names = Relaxation::ALLOWED.map(Relaxation::name);
    for (index, allowance) in allowances(fields.value("allow"), &names)? {
        policy.allow.extend(Relaxation::ALLOWED.get(index).map(|name| (*name, allowance)));
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

/// `major.minor.build`.
fn firmware(value: &Value<'_>) -> Result<FirmwareVersion, PolicyError> {
    let text = value.string()?;
    let numbers: Option<Vec<u8>> = text.split('.').map(|part| part.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[major, minor, build]) => Ok(FirmwareVersion { major, minor, build }),
        _ => Err(value
            .error("this is no version of SNP firmware")
            .with_hint("major, minor and build, for example \"1.55.21\"")),
    }
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
