// SPDX-License-Identifier: Apache-2.0

//! Entries: what a parent says of its child.

use std::fmt;

use serde::{Deserialize, Serialize};
use types::limits;

use crate::digest::{ContentDigest, DigestError};
use crate::media;

/// What a directory says of a file or a directory, and a tag of its root (docs/FORMATS.md 2.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What the content hashes to.
    pub digest: ContentDigest,
    /// Length of the content in bytes.
    pub length: u64,
    /// Media type of the content.
    #[serde(rename = "type")]
    pub media_type: String,
}

/// Bytes that are not what their type says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// Not the JSON that it has to be.
    Json(String),
    /// The right content in another spelling than the one that there is.
    NotCanonical,
    /// A media type that we do not take.
    MediaType,
    /// A name that we do not take.
    Name(crate::NameError),
    /// Longer, or with more parts, than allowed.
    TooLarge(&'static str),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "the JSON is not as documented: {error}"),
            Self::NotCanonical => f.write_str(
                "the JSON is not in its one form: no white space, members in order, names sorted",
            ),
            Self::MediaType => f.write_str(
                "a media type is written type/subtype in lower case, without parameters",
            ),
            Self::Name(error) => error.fmt(f),
            Self::TooLarge(what) => write!(f, "{what}"),
        }
    }
}

impl std::error::Error for FormatError {}

impl Entry {
    /// The entry of this content.
    pub fn of(bytes: &[u8], media_type: &str) -> Self {
        Self {
            digest: ContentDigest::of(bytes),
            length: bytes.len() as u64,
            media_type: media_type.to_owned(),
        }
    }

    /// Whether the content is a directory.
    pub fn is_directory(&self) -> bool {
        self.media_type == media::DIRECTORY
    }

    /// Whether the content may be this large, and is of a type that we take.
    ///
    /// # Errors
    /// [`FormatError::MediaType`], [`FormatError::TooLarge`].
    pub fn check(&self) -> Result<(), FormatError> {
        if !media::valid(&self.media_type) {
            return Err(FormatError::MediaType);
        }
        let (max, what) = if self.is_directory() {
            (limits::DIRECTORY_BYTES_MAX, "a directory is larger than 1,000,000 bytes")
        } else {
            (limits::FILE_BYTES_MAX, "a file is larger than 100,000,000 bytes")
        };
        if self.length > max as u64 { Err(FormatError::TooLarge(what)) } else { Ok(()) }
    }

    /// Checks length and each digest of the content.
    ///
    /// # Errors
    /// [`DigestError::Mismatch`].
    pub fn verify(&self, bytes: &[u8]) -> Result<(), DigestError> {
        if bytes.len() as u64 != self.length {
            return Err(DigestError::Mismatch);
        }
        self.digest.verify(bytes)
    }
}

/// The content of a tag: the entry of its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRecord(pub Entry);

impl TagRecord {
    /// The one serialisation.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings and numbers always serialise.
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    /// Reads a tag, bounded and strict.
    ///
    /// # Errors
    /// Anything that [`Self::to_bytes`] does not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > limits::JSON_BYTES_MAX {
            return Err(FormatError::TooLarge("a tag is larger than 64 KiB"));
        }
        let entry: Entry =
            serde_json::from_slice(bytes).map_err(|e| FormatError::Json(e.to_string()))?;
        entry.check()?;
        let tag = Self(entry);
        if tag.to_bytes() == bytes { Ok(tag) } else { Err(FormatError::NotCanonical) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entry of `abc`.
    const ABC: &str = r#"{"digest":{"sha-224":"Iwl9IjQF2CKGQqR3vaJVsyqtvOS9oLP342ydpw==","sha-256":"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=","sha-384":"ywB1P0WjXou1oD1pmsZQBycsMqsO3tFjGotgWkP/W+2AhgcroefMI1i67KE0yCWn","sha-512":"3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw=="},"length":3,"type":"application/wasm"}"#;
    const SHORT: &str = r#"{"digest":{"sha-256":"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="},"length":3,"type":"application/wasm"}"#;

    #[test]
    fn bytes_are_known() {
        let tag = TagRecord(Entry::of(b"abc", media::WASM));
        assert_eq!(tag.to_bytes(), ABC.as_bytes());
        assert_eq!(TagRecord::from_bytes(ABC.as_bytes()).unwrap(), tag);
        let short = TagRecord::from_bytes(SHORT.as_bytes()).unwrap();
        assert_eq!(short.0.verify(b"abc"), Ok(()));
        assert_eq!(short.to_bytes(), SHORT.as_bytes());
    }

    #[test]
    fn refuses_other_spellings() {
        let cases: [(&str, &str); 9] = [
            ("\"length\":3", "\"length\": 3"),
            ("\"length\":3", "\"length\":3.0"),
            ("\"length\":3", "\"length\":-3"),
            ("\"length\":3", "\"length\":100000001"),
            ("\"length\":3", "\"length\":3,\"length\":3"),
            ("\"length\":3", "\"length\":3,\"x\":1"),
            ("application/wasm", "application/Wasm"),
            ("sha-256", "sha-257"),
            ("{\"digest\"", "[{\"digest\""),
        ];
        for (from, to) in cases {
            let text = SHORT.replace(from, to);
            assert!(TagRecord::from_bytes(text.as_bytes()).is_err(), "{text}");
        }
        let swapped = r#"{"length":3,"digest":{"sha-256":"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="},"type":"application/wasm"}"#;
        assert_eq!(TagRecord::from_bytes(swapped.as_bytes()), Err(FormatError::NotCanonical));
        let null = SHORT.replace("{\"sha-256\"", "{\"sha-224\":null,\"sha-256\"");
        assert_eq!(TagRecord::from_bytes(null.as_bytes()), Err(FormatError::NotCanonical));
        let large = format!("{SHORT}{}", " ".repeat(limits::JSON_BYTES_MAX));
        assert!(TagRecord::from_bytes(large.as_bytes()).is_err());
    }

    #[test]
    fn a_directory_may_be_less_large_than_a_file() {
        let mut entry = Entry::of(b"", media::OCTET_STREAM);
        entry.length = limits::FILE_BYTES_MAX as u64;
        assert_eq!(entry.check(), Ok(()));
        entry.media_type = media::DIRECTORY.to_owned();
        assert!(entry.check().is_err());
    }
}
