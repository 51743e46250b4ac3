// SPDX-License-Identifier: Apache-2.0

//! The judgement on enclaves and TDs, by offsets in the quote (Intel SGX ECDSA Quote Library Reference, appendix A; Intel TDX
//! DCAP Quoting Library API, appendix A).

use super::Plan;
use crate::steered::made::Made;
use crate::steered::policy::{chosen, names};
use crate::steered::steer::{field, hex};

/// Attributes that a policy can name, in the order of their names, with their bits.
const SGX_FEATURES: [(&str, u32); 6] = [
    ("AEXNotify", 10),
    ("CET", 6),
    ("Debug", 1),
    ("EInitKey", 5),
    ("KSS", 7),
    ("ProvisioningKey", 4),
];
const TDX_FEATURES: [(&str, u32); 6] =
    [("ICSSD", 16), ("KL", 31), ("LASS", 27), ("PERFMON", 63), ("PKS", 30), ("TPA", 62)];
/// Those that are taken where a policy names none.
const SGX_USUAL: [u32; 3] = [10, 6, 7];
const TDX_USUAL: [u32; 5] = [16, 31, 27, 63, 30];
/// Who made the quoting enclave: Intel.
const VENDOR: &str = "939a7233f79c4ca9940a0db3957f0607";
const HEADER: usize = 48;

fn features(named: Option<u8>, all: &[(&str, u32)], usual: &[u32]) -> u64 {
    let mask = |bits: Vec<u32>| bits.into_iter().fold(0, |mask, bit| mask | 1 << bit);
    match named {
        None => mask(usual.to_vec()),
        Some(bits) => {
            let set = all.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
            mask(set.map(|(_, (_, bit))| *bit).collect())
        }
    }
}

fn features_key(named: Option<u8>, all: &[(&str, u32)]) -> String {
    let words: Vec<_> = all.iter().map(|(name, _)| *name).collect();
    named.map_or_else(String::new, |bits| format!("features = {}\n", names(&chosen(&words, bits))))
}

/// What is the same in every quote.
fn header(plan: &Plan, quote: &[u8], tee: u32, made: &mut Made) {
    let version = u16::from_le_bytes(field(quote, 0));
    made.must(version == plan.knobs.quote.version, "version");
    made.must(field(quote, 2) == [2, 0], "kind of attestation key");
    made.must(u32::from_le_bytes(field(quote, 4)) == tee, "another TEE");
    made.must(hex(&field::<16>(quote, 12)) == VENDOR, "vendor of the quoting enclave");
}

/// Judges an enclave; returns its part of the policy.
pub(super) fn sgx(plan: &Plan, quote: &[u8], data: &[u8; 64], made: &mut Made) -> String {
    let wanted = &plan.wanted;
    header(plan, quote, 0, made);
    let body: [u8; 384] = field(quote, HEADER);
    let word = |at| u16::from_le_bytes(field(&body, at));
    let flags = u64::from_le_bytes(field(&body, 48));
    let taken = features(wanted.features, &SGX_FEATURES, &SGX_USUAL);
    made.debug = flags & 2 != 0;
    made.may(!made.debug, taken & 2 != 0, "debug");
    made.may(flags & 1 << 4 == 0, taken & 1 << 4 != 0, "provision-key");
    made.may(flags & 1 << 5 == 0, taken & 1 << 5 != 0, "einit-key");
    let relaxable = 1 << 1 | 1 << 4 | 1 << 5;
    made.must(flags & 1 == 1 && flags & !(1 | 4 | relaxable | taken) == 0, "attributes");
    made.must(u32::from_le_bytes(field(&body, 16)) & !1 == 0, "MISCSELECT");
    let reserved = [(20, 32), (96, 128), (160, 192), (262, 304)];
    let zero = |(from, to): (usize, usize)| {
        body.get(from..to).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
    };
    made.must(reserved.into_iter().all(zero), "reserved bytes");
    made.must(field::<16>(&body, 32) == [0; 16], "extended product");
    made.must(word(260) == 0, "version of the configuration");
    made.must(wanted.config_id.or_zero(&field::<64>(&body, 192)), "configuration");
    made.must(wanted.family.or_zero(&field::<16>(&body, 304)), "family");
    made.must(wanted.product.is_none_or(|id| id == word(256)), "product");
    made.must(word(258) >= wanted.svn, "security version");
    let (enclave, signer): ([u8; 32], [u8; 32]) = (field(&body, 64), field(&body, 128));
    made.must(wanted.hash.takes(&enclave), "measurement");
    made.must(wanted.refused().is_none_or(|b| enclave != [b; 32]), "a refused measurement");
    made.must(wanted.signer.takes(&signer), "signer");
    made.must(field::<64>(&body, 320) == *data, "other report data");
    made.pinned = wanted.hash.is_some() || wanted.signer.is_some();
    made.measurement = enclave.to_vec();
    let mut text = features_key(wanted.features, &SGX_FEATURES);
    text.push_str(&wanted.hash.key("hash", 32));
    if let Some(byte) = wanted.refused() {
        text.push_str(&format!("hash_blacklist = [\"{}\"]\n", hex(&[byte; 32])));
    }
    text.push_str(&wanted.signer.key("signer", 32));
    text.push_str(&wanted.config_id.key("config_id", 64));
    text.push_str(&wanted.family.key("family_id", 16));
    if let Some(product) = wanted.product {
        text.push_str(&format!("enclave_product_id = {product}\n"));
    }
    text.push_str(&format!("enclave_security_version = {}\n", wanted.svn));
    text
}

/// Judges a TD; returns its part of the policy.
pub(super) fn tdx(plan: &Plan, quote: &[u8], data: &[u8; 64], made: &mut Made) -> String {
    let (wanted, spec) = (&plan.wanted, &plan.knobs.quote);
    header(plan, quote, 0x81, made);
    let start = if spec.version == 5 { HEADER + 6 } else { HEADER };
    if spec.version == 5 {
        let size = match spec.body {
            2 => 584,
            3 => 648,
            _ => 885,
        };
        made.must(u16::from_le_bytes(field(quote, HEADER)) == spec.body, "kind of body");
        made.must(u32::from_le_bytes(field(quote, HEADER + 2)) == size, "size of body");
    }
    let body = quote.get(start..).unwrap_or_default();
    let measure = |at| field::<48>(body, at);
    let quad = |at| u64::from_le_bytes(field(body, at));
    let attributes = quad(120);
    let taken = features(wanted.features, &TDX_FEATURES, &TDX_USUAL);
    made.debug = attributes & 0xff != 0;
    made.may(!made.debug, wanted.debug, "debug");
    made.must(attributes & 1 << 28 != 0, "SEPT_VE_DISABLE");
    made.must(attributes & 1 << 29 == 0, "a TD that can be migrated");
    let judged = 0xff | 1 << 17 | 1 << 28;
    made.must(attributes & !(judged | taken) == 0, "attributes");
    made.must(quad(112) == 0, "attributes of the module");
    let xfam = quad(128);
    made.must(xfam & 3 == 3 && xfam & !0x0006_dbe7 == 0, "extended features");
    let mut services = Vec::new();
    if spec.version == 5 && spec.body >= 3 {
        services.push(measure(600));
    }
    if spec.version == 5 && spec.body >= 4 {
        services.push(measure(829));
        made.must(body.get(648) == Some(&0), "another virtual machine");
    }
    services.retain(|service| *service != [0; 48]);
    made.must(services.iter().all(|s| wanted.service.holds(s)), "a service TD");
    made.must(attributes & 1 << 17 == 0 || !services.is_empty(), "no service TD");
    made.must(wanted.config_id.or_zero(&measure(184)), "configuration");
    made.must(wanted.owner.or_zero(&measure(232)), "owner");
    made.must(measure(280) == [0; 48], "configuration of the owner");
    let mrtd = measure(136);
    made.must(wanted.hash.takes(&mrtd), "measurement");
    made.must(wanted.refused().is_none_or(|b| mrtd != [b; 48]), "a refused measurement");
    let registers = [328, 376, 424, 472].map(measure);
    made.must(wanted.rtmr.takes(&registers[0]), "register");
    made.must(wanted.module.takes(&measure(16)), "TDX module");
    made.must(field::<64>(body, 520) == *data, "other report data");
    let rest = registers.iter().skip(1).all(|register| *register == [0; 48]);
    let first = registers[0] == [0; 48] || wanted.rtmr.is_some();
    made.pinned = wanted.hash.is_some() && first && rest;
    made.measurement = mrtd.to_vec();
    let mut text = features_key(wanted.features, &TDX_FEATURES);
    text.push_str(&wanted.hash.key("hash", 48));
    if let Some(byte) = wanted.refused() {
        text.push_str(&format!("hash_blacklist = [\"{}\"]\n", hex(&[byte; 48])));
    }
    text.push_str(&wanted.config_id.key("config_id", 48));
    text.push_str(&wanted.owner.key("owner", 48));
    text.push_str(&wanted.rtmr.key("rtmr0", 48));
    text.push_str(&wanted.module.key("mrseam", 48));
    text.push_str(&wanted.service.key("service_td", 48));
    if wanted.debug {
        text.push_str("allow = [\"debug\"]\n");
    }
    text
}
