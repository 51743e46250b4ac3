// SPDX-License-Identifier: Apache-2.0

//! Reading a policy file, strictly. One module for each table.

mod cca;
mod dcap;
mod keys;
mod names;
mod nitro;
mod request;
mod sgx;
mod snp;
mod tdx;
mod values;
mod vtpm;

use types::digest::Sha256;
use types::limits;
use types::time::Timestamp;
use types::toml_error::{Document, TomlError, Value};

use self::values::{DAY_SECONDS, array};
use super::{LIFETIME_HOURS, LIFETIME_HOURS_DEFAULT, Policy, PolicyError, Registry, SnpPolicy};

pub(super) fn policy(text: &str) -> Result<Policy, PolicyError> {
    if text.len() > limits::POLICY_BYTES_MAX {
        return Err(TomlError::new("", 0..0, "the policy is larger than 1 MB"));
    }
    let document = Document::new(text);
    let root = document.root()?;
    let known = [
        "snp",
        "sgx",
        "tdx",
        "vtpm",
        "nitro",
        "cca",
        "validity",
        "request",
        "certificate",
        "registry",
        "grant",
    ];
    let mut root = document.fields(root.span(), root.into_inner(), &known)?;
    let snp = match root.value("snp") {
        Some(value) => snp::read(value)?,
        None => SnpPolicy::default(),
    };
    let sgx = root.value("sgx").map(sgx::read).transpose()?.unwrap_or_default();
    let tdx = root.value("tdx").map(tdx::read).transpose()?.unwrap_or_default();
    let vtpm = root.value("vtpm").map(vtpm::read).transpose()?;
    let cca = root.value("cca").map(cca::read).transpose()?.unwrap_or_default();
    let nitro = root.value("nitro").map(nitro::read).transpose()?.unwrap_or_default();
    let mut include_evidence = false;
    let request = root.value("request").map(request::read).transpose()?.unwrap_or_default();
    let validity = root.value("validity").map(window).transpose()?.unwrap_or_default();
    let mut hours = LIFETIME_HOURS_DEFAULT;
    if let Some(value) = root.value("certificate") {
        let mut fields = value.fields(&["lifetime_hours", "include_evidence"])?;
        if let Some(value) = fields.value("lifetime_hours") {
            hours = value.integer(*LIFETIME_HOURS.start(), *LIFETIME_HOURS.end())?;
        }
        if let Some(value) = fields.value("include_evidence") {
            include_evidence = value.boolean()?;
        }
    }
    let mut registries: Vec<Registry> = Vec::new();
    for value in array(root.value("registry"))? {
        let span = value.span();
        let found = names::registry(value.fields(&["host", "key"])?)?;
        if registries.contains(&found) {
            return Err(document.error(span, "this registry stands there twice, with the same key"));
        }
        registries.push(found);
    }
    let grants = array(root.value("grant"))?
        .into_iter()
        .map(|value| names::grant(value.fields(&["workload", "dns", "ip"])?))
        .collect::<Result<_, _>>()?;
    Ok(Policy {
        digest: Sha256::of(text.as_bytes()),
        snp,
        sgx,
        tdx,
        vtpm,
        nitro,
        cca,
        request,
        validity,
        lifetime_seconds: hours.saturating_mul(3600),
        include_evidence,
        registries,
        grants,
    })
}

/// `[validity]`: days, of which the last one still counts.
fn window(table: Value<'_>) -> Result<(Option<Timestamp>, Option<Timestamp>), PolicyError> {
    let mut fields = table.fields(&["from", "until"])?;
    let from = fields.value("from").map(|value| value.date()).transpose()?;
    let Some(value) = fields.value("until") else { return Ok((from, None)) };
    let until = value.date()?.plus(DAY_SECONDS);
    if from.is_some_and(|from| until <= from) {
        return Err(value
            .error("this day is before `from`")
            .with_hint("`until` is the last day on which anything passes"));
    }
    Ok((from, Some(until)))
}

#[cfg(test)]
mod tests;
