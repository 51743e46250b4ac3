// SPDX-License-Identifier: Apache-2.0

//! The registry's own tokens: random, kept as a hash only, recognisable (docs/FORMATS.md 2.9).
//!
//! ```text
//! dbt_<owner>_<id: 16 hex><secret: 64 hex><check: 8 hex>
//! ```
//!
//! The owner and the id say where its record is; the check, the beginning of the SHA-256 of all that stands before it, lets
//! scanners tell a token from other text without asking anybody.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use drawbridge_core::rights::{TokenInfo, TokenRequest};
use serde::{Deserialize, Serialize};
use types::digest::Sha256;
use types::time::Timestamp;

use super::jwt::TokenError;
use crate::store::UserName;

/// What every token begins with.
pub const PREFIX: &str = "dbt_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
const CHECK_HEX: usize = 8;
const BODY_HEX: usize = 2 * (ID_BYTES + SECRET_BYTES) + CHECK_HEX;

/// A token as it was sent. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnToken {
    owner: UserName,
    id: TokenId,
    hash: Sha256,
}

/// The public part of a token: 16 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenId(String);

/// What the store has of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// What its owner sees.
    pub info: TokenInfo,
    /// Of the whole token.
    pub hash: Sha256,
    /// Who made it.
    pub subject: String,
}

impl TokenId {
    /// `None` if this is no token's id.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() == 2 * ID_BYTES && lower_hex(text)).then(|| Self(text.to_owned()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OwnToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnToken").field("owner", &self.owner).finish_non_exhaustive()
    }
}

fn lower_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn check(text: &str) -> String {
    Sha256::of(text.as_bytes()).to_hex().chars().take(CHECK_HEX).collect()
}

impl OwnToken {
    /// Takes a bearer token apart that begins with [`PREFIX`]; nothing about it is proved yet.
    ///
    /// # Errors
    /// [`TokenError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let malformed = TokenError::Malformed;
        let rest = text.strip_prefix(PREFIX).ok_or(malformed)?;
        let (owner, body) = rest.split_once('_').ok_or(malformed)?;
        let owner = UserName::new(owner).ok_or(malformed)?;
        if body.len() != BODY_HEX || !lower_hex(body) {
            return Err(malformed);
        }
        let end = text.len().saturating_sub(CHECK_HEX);
        if text.get(end..) != text.get(..end).map(check).as_deref() {
            return Err(malformed);
        }
        let id = body.get(..2 * ID_BYTES).and_then(TokenId::new).ok_or(malformed)?;
        Ok(Self { owner, id, hash: Sha256::of(text.as_bytes()) })
    }

    /// Whose it is said to be.
    pub fn owner(&self) -> &UserName {
        &self.owner
    }

    /// Its public part.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// Whether the record at its name is of this very token, which has not ended.
    ///
    /// # Errors
    /// [`TokenError::Revoked`], [`TokenError::Expired`].
    pub fn verify(&self, record: Option<&TokenRecord>, now: Timestamp) -> Result<(), TokenError> {
        // One answer for what never was, what was revoked, and a wrong secret.
        let record = record.ok_or(TokenError::Revoked)?;
        verify_slices_are_equal(&record.hash.0, &self.hash.0).map_err(|_| TokenError::Revoked)?;
        if record.info.id != self.id.0 {
            return Err(TokenError::Revoked);
        }
        if record.info.expires_at <= now.0 { Err(TokenError::Expired) } else { Ok(()) }
    }
}

/// A new token and its record, as somebody with this `subject` asked for; `None` if the system's randomness fails.
pub fn issue(
    owner: &UserName,
    request: TokenRequest,
    kind: drawbridge_core::rights::TokenKind,
    subject: &str,
    now: Timestamp,
) -> Option<(String, TokenRecord)> {
    let mut random = [0; ID_BYTES + SECRET_BYTES];
    SystemRandom::new().fill(&mut random).ok()?;
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut token = format!("{PREFIX}{owner}_{hex}");
    token += &check(&token);
    let TokenRequest { name, scopes, repos, expires_in } = request;
    let info = TokenInfo {
        id: hex.get(..2 * ID_BYTES)?.to_owned(),
        name,
        kind,
        scopes,
        repos,
        created_at: now.0,
        expires_at: now.plus(expires_in).0,
    };
    let hash = Sha256::of(token.as_bytes());
    Some((token, TokenRecord { info, hash, subject: subject.to_owned() }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use drawbridge_core::rights::TokenKind;
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000);

    fn new(owner: &str) -> (String, TokenRecord) {
        let request = TokenRequest {
            name: "n".to_owned(),
            scopes: BTreeSet::from(["read:drawbridge_tags".to_owned()]),
            repos: vec!["*".to_owned()],
            expires_in: 10,
        };
        let owner = UserName::new(owner).unwrap();
        issue(&owner, request, TokenKind::Personal, "ann", NOW).unwrap()
    }

    #[test]
    fn what_is_issued_is_taken_until_it_ends() {
        let (text, record) = new("ann");
        assert_eq!(text.len(), "dbt_ann_".len() + 88);
        let token = OwnToken::parse(&text).unwrap();
        assert_eq!((token.owner().as_str(), token.id().as_str()), ("ann", &*record.info.id));
        assert_eq!(token.verify(Some(&record), NOW), Ok(()));
        assert_eq!(token.verify(Some(&record), NOW.plus(9)), Ok(()));
        assert_eq!(token.verify(Some(&record), NOW.plus(10)), Err(TokenError::Expired));
        assert_eq!(token.verify(None, NOW), Err(TokenError::Revoked));
        // Neither the record nor what is shown of the token has the secret.
        let secret = &text[text.len() - 72..];
        assert!(!serde_json::to_string(&record).unwrap().contains(secret));
        assert!(!format!("{token:?}{record:?}").contains(secret));
        assert_ne!(new("ann").0, text);
    }

    #[test]
    fn another_tokens_record_opens_nothing() {
        let ((one, _), (_, mut other)) = (new("ann"), new("ann"));
        let token = OwnToken::parse(&one).unwrap();
        assert_eq!(token.verify(Some(&other), NOW), Err(TokenError::Revoked));
        other.info.id = token.id().as_str().to_owned();
        assert_eq!(token.verify(Some(&other), NOW), Err(TokenError::Revoked));
        // A record whose hash fits, at another's name.
        other.hash = Sha256::of(one.as_bytes());
        other.info.id = "0".repeat(16);
        assert_eq!(token.verify(Some(&other), NOW), Err(TokenError::Revoked));
    }

    #[test]
    fn every_changed_character_is_noticed_before_anybody_is_asked() {
        let (text, _) = new("Ann7");
        for at in 0..text.len() {
            for to in [b'0', b'f', b'_', b'A'] {
                let mut bytes = text.clone().into_bytes();
                if bytes[at] == to {
                    continue;
                }
                bytes[at] = to;
                let changed = String::from_utf8(bytes).unwrap();
                assert_eq!(OwnToken::parse(&changed), Err(TokenError::Malformed), "{changed}");
            }
        }
        for bad in ["", "dbt_", "dbt__", "dbt_ann_", &text[1..], &format!("{text}0")] {
            assert_eq!(OwnToken::parse(bad), Err(TokenError::Malformed), "{bad}");
        }
    }

    #[test]
    fn ids_are_safe_as_names() {
        assert!(TokenId::new("0123456789abcdef").is_some());
        for bad in
            ["", "0123456789ABCDEF", "0123456789abcde", "../../../../../x", "0123456789abcdeg"]
        {
            assert!(TokenId::new(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(dbt_)?[0-9a-zA-Z]{0,6}_?[0-9a-f_é]{0,100}") {
            let _ = OwnToken::parse(&text);
        }
    }
}
