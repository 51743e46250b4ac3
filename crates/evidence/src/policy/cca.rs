// SPDX-License-Identifier: Apache-2.0

//! `[cca]` of a policy.

use std::collections::BTreeMap;

use crate::cca::{Lifecycle, PlatformClaims, PlatformKey};

/// `[cca]`: what tokens of Arm CCA must show, and whose platforms are trusted. Without platforms, none is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CcaPolicy {
    /// Platforms that are trusted.
    pub platforms: Vec<CcaPlatform>,
    /// Initial measurements (RIM), one of which it must be; 32, 48 or 64 bytes.
    pub hash: Vec<Vec<u8>>,
    /// Initial measurements that it must not be.
    pub hash_blacklist: Vec<Vec<u8>>,
    /// Values of extensible measurements (REM), by index, one of which each must be.
    pub rems: BTreeMap<u8, Vec<Vec<u8>>>,
    /// Personalization values, one of which it must be; `None`: zero.
    pub personalization: Option<Vec<[u8; 64]>>,
    /// States of platforms that are taken beside secured.
    pub lifecycles: Vec<Lifecycle>,
    /// Software that the platform must have measured, by name, and what it must be.
    pub components: BTreeMap<String, CcaComponent>,
}

/// A platform, or a line of them, that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CcaPlatform {
    /// Its key.
    pub key: PlatformKey,
    /// What kind of platform it is.
    pub implementation_id: [u8; 32],
    /// Which platforms; empty: all of the kind.
    pub instance_ids: Vec<[u8; 33]>,
    /// Whether it is a model: then nothing of this is proved.
    pub simulated: bool,
}

impl CcaPlatform {
    /// Whether this platform is meant.
    pub(crate) fn is_of(&self, platform: &PlatformClaims<'_>) -> bool {
        self.implementation_id == platform.implementation_id
            && (self.instance_ids.is_empty() || self.instance_ids.contains(&platform.instance_id))
    }
}

/// What a platform's software must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CcaComponent {
    /// Measurements, one of which it must have.
    pub measurement: Vec<Vec<u8>>,
    /// Hashes of keys, one of which must have signed it.
    pub signer: Vec<Vec<u8>>,
    /// Least version, as [`version_numbers`] has it.
    pub minimum_version: Option<Vec<u64>>,
}

/// The numbers of a version like `1.2.3`, without zeros at the end: 1.2 and 1.2.0 are the same.
pub(crate) fn version_numbers(version: &str) -> Option<Vec<u64>> {
    let number = |part: &str| {
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse().ok() } else { None }
    };
    let mut numbers: Vec<u64> = version.split('.').map(number).collect::<Option<_>>()?;
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_order() {
        let ordered = ["0", "0.1", "0.9", "0.10", "1", "1.2", "1.2.3", "1.10", "2.0.1"];
        assert!(ordered.map(|version| version_numbers(version).unwrap()).is_sorted());
        assert_eq!(version_numbers("1.2"), version_numbers("1.2.0"));
        for text in ["", "1.", ".1", "1.2-rc1", "v1", "+1", "1. 2", "99999999999999999999"] {
            assert_eq!(version_numbers(text), None, "{text}");
        }
    }
}
