// SPDX-License-Identifier: Apache-2.0

//! `[vtpm]`.

use types::toml_error::Value;

use super::values::{choices, digests, pick};
use crate::policy::{PolicyError, VtpmPolicy, VtpmRequirement};

/// All keys.
pub(super) const KEYS: &[&str] = &["pcrs", "require_ak_certificate", "require"];

/// Highest index of a register.
const PCR_MAX: u8 = 23;

/// Reads the table.
pub(super) fn read(table: Value<'_>) -> Result<VtpmPolicy, PolicyError> {
    let mut fields = table.fields(KEYS)?;
    let mut policy = VtpmPolicy::default();
    if let Some(value) = fields.value("pcrs") {
        for (index, values) in value.entries()? {
            let number = index.get_ref().parse().ok().filter(|number| *number <= PCR_MAX);
            let number = number.ok_or_else(|| {
                values
                    .error_at(index.span(), "this is no register")
                    .with_hint("registers are 0 to 23, for example pcrs = { 11 = [\"<64 hex>\"] }")
            })?;
            let error = values.error("an empty list takes nothing");
            let values = digests(Some(values))?;
            if values.is_empty() {
                return Err(error.with_hint("leave the register out to take any value"));
            }
            policy.pcrs.insert(number, values);
        }
    }
    if let Some(value) = fields.value("require_ak_certificate") {
        policy.require_ak_certificate = value.boolean()?;
    }
    if let Some(value) = fields.value("require") {
        let indices = choices(value, &VtpmRequirement::ALL.map(VtpmRequirement::name))?;
        policy.require = pick(&VtpmRequirement::ALL, &indices);
    }
    Ok(policy)
}
