// SPDX-License-Identifier: Apache-2.0

//! SHA-256 digests as names.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A SHA-256 digest (32 bytes): of a workload's root, a policy, a certificate.
///
/// Its text is `sha256:` and 64 lower-case hex digits (docs/FORMATS.md 1.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

/// Text that is no SHA-256 digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseDigestError;

impl fmt::Display for ParseDigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a digest is written `sha256:` followed by 64 lower-case hex digits")
    }
}

impl std::error::Error for ParseDigestError {}

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The 64 hex digits, without prefix.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The name as a URI, `ni:///sha-256;<base64url>` (RFC 6920 section 3).
    pub fn to_ni(&self) -> String {
        format!("ni:///sha-256;{}", URL_SAFE_NO_PAD.encode(self.0))
    }

    /// Reads what [`Self::to_ni`] writes; no authority, no parameters.
    ///
    /// # Errors
    /// Anything else.
    pub fn from_ni(uri: &str) -> Result<Self, ParseDigestError> {
        let value = uri.strip_prefix("ni:///sha-256;").ok_or(ParseDigestError)?;
        let bytes = URL_SAFE_NO_PAD.decode(value).map_err(|_| ParseDigestError)?;
        Ok(Self(bytes.try_into().map_err(|_| ParseDigestError)?))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("sha256:").ok_or(ParseDigestError)?;
        if digits.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ParseDigestError);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| ParseDigestError)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_uri_round_trip() {
        let digest = Sha256::of(b"abc");
        let text = digest.to_string();
        assert_eq!(text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(Sha256::from_ni(&digest.to_ni()), Ok(digest));
    }

    #[test]
    fn refuses_other_texts() {
        for text in [
            "",
            "sha256:",
            "sha512:00",
            "ba78",
            "sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ] {
            assert_eq!(text.parse::<Sha256>(), Err(ParseDigestError), "{text}");
        }
        assert!(Sha256::from_ni("ni:///sha-256;AAAA").is_err());
        assert!(
            Sha256::from_ni("ni://host/sha-256;ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0")
                .is_err()
        );
    }
}
