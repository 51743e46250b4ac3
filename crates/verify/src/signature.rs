// SPDX-License-Identifier: Apache-2.0

//! Owners' signatures on versions in a registry (docs/FORMATS.md 2.14), and registries' statements on tags (2.3), checked.

use drawbridge_core::jose::Jose;
use drawbridge_core::jwk::{Algorithm, PublicKey};
use drawbridge_core::keys::OwnerKey;
use drawbridge_core::signature::{self, About, Refused, Signed};
use drawbridge_core::statement::Parsed;
use types::time::Timestamp;

use crate::jws;

/// Whether a signature counts: by one of the owner's keys, about just this, by now.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn judge(
    jws: &str,
    about: &About<'_>,
    keys: &[OwnerKey],
    now: Timestamp,
) -> Result<Signed, Refused> {
    signature::judge(jws, about, keys, now, &jws::is_good)
}

/// Whether all signatures of a tag that its author signed are by keys of these that count now.
///
/// # Errors
/// What is wrong with the first that does not.
pub fn judge_jose(jose: &Jose, keys: &[OwnerKey], now: Timestamp) -> Result<(), Refused> {
    jose.judge(keys, now, &jws::is_good)
}

/// Whether a registry's statement is signed by this key, which it must name.
pub fn is_stated_by(parsed: &Parsed, key: &PublicKey) -> bool {
    parsed.kid == key.thumbprint()
        && jws::is_good(key, Algorithm::Es256, &parsed.signing_input, &parsed.signature)
}

#[cfg(test)]
mod tests;
