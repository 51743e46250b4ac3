// SPDX-License-Identifier: Apache-2.0

//! Versions that are taken back without being taken away (docs/FORMATS.md 2.12).

use serde::{Deserialize, Serialize};
use types::limits;

/// Name of the header with which a registry says that a version is yanked, and why.
pub const YANKED_HEADER: &str = "drawbridge-yanked";

/// What whoever yanks a version says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct YankDocument {
    /// Why nobody should start it any more: 1 to 512 printable characters of ASCII.
    pub reason: String,
}

impl YankDocument {
    /// Whether the reason can be told, also in a header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let printable = self.reason.chars().all(|c| matches!(c, ' '..='~'));
        let trimmed = self.reason.trim() == self.reason;
        if (1..=limits::YANK_REASON_BYTES_MAX).contains(&self.reason.len()) && printable && trimmed
        {
            Ok(())
        } else {
            Err("`reason` must have 1 to 512 printable characters of ASCII, with no space at either end"
                .to_owned())
        }
    }
}

/// That a version is yanked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Yank {
    /// Why.
    pub reason: String,
    /// Since when, in seconds since 1970.
    pub yanked_at: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_bounded_and_printable() {
        let check = |reason: &str| YankDocument { reason: reason.to_owned() }.check().is_ok();
        assert!(check("CVE-2026-1: leaks keys") && check("x") && check(&"x".repeat(512)));
        for bad in ["", " ", " x", "x ", "a\nb", "a\r", "ü", "\u{7f}", &"x".repeat(513)] {
            assert!(!check(bad), "{bad:?}");
        }
        assert!(serde_json::from_str::<YankDocument>(r#"{"reason":"x","y":1}"#).is_err());
    }
}
