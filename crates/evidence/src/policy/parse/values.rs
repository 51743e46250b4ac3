// SPDX-License-Identifier: Apache-2.0

//! Values that several tables have.

use std::collections::BTreeMap;

use types::toml_error::{Fields, Value};

use crate::policy::{Allowance, PolicyError};

/// A day, in seconds.
pub(super) const DAY_SECONDS: u64 = 86_400;

/// Nothing is an empty array.
pub(super) fn array<'t>(value: Option<Value<'t>>) -> Result<Vec<Value<'t>>, PolicyError> {
    value.map_or_else(|| Ok(Vec::new()), Value::array)
}

/// What the indices stand for.
pub(super) fn pick<T: Copy>(all: &[T], indices: &[usize]) -> Vec<T> {
    indices.iter().filter_map(|index| all.get(*index)).copied().collect()
}

/// Words out of `names`, as their indices.
pub(super) fn choices(value: Value<'_>, names: &[&str]) -> Result<Vec<usize>, PolicyError> {
    value.array()?.iter().map(|value| value.choice(names)).collect()
}

/// Relaxations of `allow`, as their indices in `names`: a name alone, or `{ name, until }` with the last day. Each at most
/// once.
pub(super) fn allowances(
    value: Option<Value<'_>>,
    names: &[&str],
) -> Result<BTreeMap<usize, Allowance>, PolicyError> {
    let mut found = BTreeMap::new();
    for value in array(value)? {
        let twice = value
            .error("this relaxation stands there twice")
            .with_hint("keep the entry with the right last day");
        let (index, allowance) = if value.is_table() {
            let mut fields = value.fields(&["name", "until"])?;
            let index = fields.required("name")?.choice(names)?;
            (index, Allowance::Before(fields.required("until")?.date()?.plus(DAY_SECONDS)))
        } else {
            (value.choice(names)?, Allowance::Always)
        };
        if found.insert(index, allowance).is_some() {
            return Err(twice);
        }
    }
    Ok(found)
}

/// The same where there is one relaxation.
pub(super) fn allowance(value: Option<Value<'_>>, name: &str) -> Result<Allowance, PolicyError> {
    Ok(allowances(value, &[name])?.into_values().next().unwrap_or_default())
}

/// A number up to `max`.
pub(super) fn number(value: &Value<'_>, max: u32) -> Result<u32, PolicyError> {
    let number = value.integer(0, max.into())?;
    u32::try_from(number).map_err(|_| value.error("the number is too large"))
}

/// Hex of `N` bytes.
pub(super) fn digest<const N: usize>(value: &Value<'_>) -> Result<[u8; N], PolicyError> {
    let mut digest = [0; N];
    hex::decode_to_slice(value.string()?, &mut digest)
        .map_err(|_| value.error(format!("wanted {} hex digits", 2 * N)))?;
    Ok(digest)
}

/// An array of [`digest`]s; nothing is an empty one.
pub(super) fn digests<const N: usize>(
    value: Option<Value<'_>>,
) -> Result<Vec<[u8; N]>, PolicyError> {
    array(value)?.iter().map(digest).collect()
}

/// An array of [`digest`]s, if it is there.
pub(super) fn some_digests<const N: usize>(
    value: Option<Value<'_>>,
) -> Result<Option<Vec<[u8; N]>>, PolicyError> {
    value.map(|value| digests(Some(value))).transpose()
}

/// Digests of `N` bytes each.
type Digests<const N: usize> = Vec<[u8; N]>;

/// What is wanted and what is refused: the arrays `key` and `key_blacklist`, of which no digest is in both.
pub(super) fn lists<const N: usize>(
    fields: &mut Fields<'_>,
    key: &str,
) -> Result<(Digests<N>, Digests<N>), PolicyError> {
    let wanted = digests(fields.value(key))?;
    let refused = blacklist(fields.value(&format!("{key}_blacklist")), &wanted)?;
    Ok((wanted, refused))
}

/// An array of [`digest`]s that must not be; none of them is `wanted` too.
pub(super) fn blacklist<const N: usize>(
    value: Option<Value<'_>>,
    wanted: &[[u8; N]],
) -> Result<Vec<[u8; N]>, PolicyError> {
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
