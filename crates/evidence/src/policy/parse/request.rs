// SPDX-License-Identifier: Apache-2.0

//! `[request]`.

use types::toml_error::Value;

use super::values::allowance;
use crate::policy::{NONCE_MISSING, PolicyError, RequestPolicy};

/// All keys.
pub(super) const KEYS: &[&str] = &["allow"];

/// Reads the table.
pub(super) fn read(table: Value<'_>) -> Result<RequestPolicy, PolicyError> {
    let mut fields = table.fields(KEYS)?;
    Ok(RequestPolicy { allow_without_nonce: allowance(fields.value("allow"), NONCE_MISSING)? })
}
