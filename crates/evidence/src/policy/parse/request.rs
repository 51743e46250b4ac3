// SPDX-License-Identifier: Apache-2.0

//! `[request]`.

use types::toml_error::Value;

use super::values::choices;
use crate::policy::{NONCE_MISSING, PolicyError, RequestPolicy};

/// All keys.
pub(super) const KEYS: &[&str] = &["allow"];

/// Reads the table.
pub(super) fn read(table: Value<'_>) -> Result<RequestPolicy, PolicyError> {
    let mut fields = table.fields(KEYS)?;
    let mut policy = RequestPolicy::default();
    if let Some(value) = fields.value("allow") {
        policy.allow_without_nonce = !choices(value, &[NONCE_MISSING])?.is_empty();
    }
    Ok(policy)
}
