// SPDX-License-Identifier: Apache-2.0

//! Digests of content, by up to four algorithms.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha224, Sha384, Sha512};
use types::digest::Sha256;

/// What content hashes to (docs/FORMATS.md 2.1): SHA-256 always, the others where their writer gave them.
///
/// As JSON `{"sha-224":"…","sha-256":"…","sha-384":"…","sha-512":"…"}`, as a header
/// `sha-224=:…:, sha-256=:…:` (RFC 9530 section 2), in standard base64 with padding.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ContentDigest {
    sha224: Option<[u8; 28]>,
    sha256: [u8; 32],
    sha384: Option<[u8; 48]>,
    sha512: Option<[u8; 64]>,
}

/// What is wrong with a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestError {
    /// The content hashes to something else.
    Mismatch,
    /// There is no SHA-256.
    NoSha256,
    /// The text is no list of digests.
    Malformed,
}

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mismatch => "the content does not hash to its digest",
            Self::NoSha256 => "there is no sha-256 among the digests",
            Self::Malformed => {
                "digests are written `sha-256=:<base64>:`, each algorithm once, separated by commas"
            }
        })
    }
}

impl std::error::Error for DigestError {}

impl ContentDigest {
    /// All four digests of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Checks each digest that is there.
    ///
    /// # Errors
    /// [`DigestError::Mismatch`].
    pub fn verify(&self, bytes: &[u8]) -> Result<(), DigestError> {
        let same = sha2::Sha256::digest(bytes)[..] == self.sha256
            && self.sha224.is_none_or(|d| Sha224::digest(bytes)[..] == d)
            && self.sha384.is_none_or(|d| Sha384::digest(bytes)[..] == d)
            && self.sha512.is_none_or(|d| Sha512::digest(bytes)[..] == d);
        if same { Ok(()) } else { Err(DigestError::Mismatch) }
    }

    /// Whether both have the same SHA-256, and agree on each other algorithm that both have.
    pub fn agrees_with(&self, other: &Self) -> bool {
        fn agree<const N: usize>(a: Option<[u8; N]>, b: Option<[u8; N]>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        self.sha256 == other.sha256
            && agree(self.sha224, other.sha224)
            && agree(self.sha384, other.sha384)
            && agree(self.sha512, other.sha512)
    }

    /// The SHA-256.
    pub fn sha256(&self) -> Sha256 {
        Sha256(self.sha256)
    }

    /// The digest by an algorithm as it is written elsewhere (`sha256`, `sha512`, …), in hexadecimal digits; `None` if it is
    /// not there.
    pub fn hex(&self, algorithm: &str) -> Option<String> {
        let same = |name: &str| name.replace('-', "") == algorithm;
        let (_, digest) = self.parts().find(|(name, _)| same(name))?;
        Some(digest.iter().map(|b| format!("{b:02x}")).collect())
    }

    /// The value of a `Content-Digest` header.
    pub fn to_header(&self) -> String {
        let mut out = String::new();
        for (name, value) in self.parts() {
            if !out.is_empty() {
                // Without a space, which clients of the original do not take.
                out.push(',');
            }
            out.push_str(name);
            out.push_str("=:");
            out.push_str(&STANDARD.encode(value));
            out.push(':');
        }
        out
    }

    /// Reads the value of a `Content-Digest` header. Algorithms that we do not know are skipped.
    ///
    /// # Errors
    /// [`DigestError::Malformed`], [`DigestError::NoSha256`].
    pub fn from_header(value: &str) -> Result<Self, DigestError> {
        let mut parts = Parts::default();
        for part in value.split(',') {
            let (name, rest) =
                part.trim_matches([' ', '\t']).split_once("=:").ok_or(DigestError::Malformed)?;
            let text = rest.strip_suffix(':').ok_or(DigestError::Malformed)?;
            match name {
                "sha-224" => fill(&mut parts.sha224, text)?,
                "sha-256" => fill(&mut parts.sha256, text)?,
                "sha-384" => fill(&mut parts.sha384, text)?,
                "sha-512" => fill(&mut parts.sha512, text)?,
                _ => {}
            }
        }
        parts.complete()
    }

    /// Those that are there, in the order in which they are written.
    fn parts(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        [
            ("sha-224", self.sha224.as_ref().map(|d| d.as_slice())),
            ("sha-256", Some(self.sha256.as_slice())),
            ("sha-384", self.sha384.as_ref().map(|d| d.as_slice())),
            ("sha-512", self.sha512.as_ref().map(|d| d.as_slice())),
        ]
        .into_iter()
        .filter_map(|(name, digest)| Some((name, digest?)))
    }
}

impl From<Sha256> for ContentDigest {
    fn from(digest: Sha256) -> Self {
        Self { sha224: None, sha256: digest.0, sha384: None, sha512: None }
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sha256())
    }
}

impl Serialize for ContentDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.parts().map(|(name, d)| (name, STANDARD.encode(d))))
    }
}

impl<'de> Deserialize<'de> for ContentDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wire {
            #[serde(rename = "sha-224")]
            sha224: Option<String>,
            #[serde(rename = "sha-256")]
            sha256: Option<String>,
            #[serde(rename = "sha-384")]
            sha384: Option<String>,
            #[serde(rename = "sha-512")]
            sha512: Option<String>,
        }
        let wire = Wire::deserialize(deserializer)?;
        let read = || {
            let mut parts = Parts::default();
            wire.sha224.as_deref().map_or(Ok(()), |t| fill(&mut parts.sha224, t))?;
            wire.sha256.as_deref().map_or(Ok(()), |t| fill(&mut parts.sha256, t))?;
            wire.sha384.as_deref().map_or(Ok(()), |t| fill(&mut parts.sha384, t))?;
            wire.sha512.as_deref().map_or(Ok(()), |t| fill(&mut parts.sha512, t))?;
            parts.complete()
        };
        read().map_err(serde::de::Error::custom)
    }
}

/// Digests on their way in.
#[derive(Default)]
struct Parts {
    sha224: Option<[u8; 28]>,
    sha256: Option<[u8; 32]>,
    sha384: Option<[u8; 48]>,
    sha512: Option<[u8; 64]>,
}

impl Parts {
    fn complete(self) -> Result<ContentDigest, DigestError> {
        Ok(ContentDigest {
            sha224: self.sha224,
            sha256: self.sha256.ok_or(DigestError::NoSha256)?,
            sha384: self.sha384,
            sha512: self.sha512,
        })
    }
}

fn fill<const N: usize>(slot: &mut Option<[u8; N]>, text: &str) -> Result<(), DigestError> {
    // The longest, SHA-512, takes 88 characters.
    if slot.is_some() || text.len() > 88 {
        return Err(DigestError::Malformed);
    }
    let bytes = STANDARD.decode(text).map_err(|_| DigestError::Malformed)?;
    *slot = Some(bytes.try_into().map_err(|_| DigestError::Malformed)?);
    Ok(())
}

/// Hashes content that comes in pieces.
#[derive(Clone)]
pub struct Hasher {
    sha224: Option<Sha224>,
    sha256: sha2::Sha256,
    sha384: Option<Sha384>,
    sha512: Option<Sha512>,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self {
            sha224: Some(Sha224::default()),
            sha384: Some(Sha384::default()),
            sha512: Some(Sha512::default()),
            ..Self::sha256()
        }
    }
}

impl Hasher {
    /// All four, nothing hashed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// SHA-256 and nothing else, for content whose other digests nobody asks for: they cost several times as much.
    pub fn sha256() -> Self {
        Self { sha224: None, sha256: sha2::Sha256::default(), sha384: None, sha512: None }
    }

    /// SHA-384 as well.
    #[must_use]
    pub fn and_sha384(self) -> Self {
        Self { sha384: Some(Sha384::default()), ..self }
    }

    /// SHA-512 as well.
    #[must_use]
    pub fn and_sha512(self) -> Self {
        Self { sha512: Some(Sha512::default()), ..self }
    }

    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha224) = &mut self.sha224 {
            sha224.update(bytes);
        }
        if let Some(sha384) = &mut self.sha384 {
            sha384.update(bytes);
        }
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// The digests of what was taken.
    pub fn finish(self) -> ContentDigest {
        ContentDigest {
            sha224: self.sha224.map(|sha224| sha224.finalize().into()),
            sha256: self.sha256.finalize().into(),
            sha384: self.sha384.map(|sha384| sha384.finalize().into()),
            sha512: self.sha512.map(|sha512| sha512.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // `printf abc | openssl dgst -sha256 -binary | base64` and so on.
    const ABC: &str = "sha-224=:Iwl9IjQF2CKGQqR3vaJVsyqtvOS9oLP342ydpw==:, \
        sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:, \
        sha-384=:ywB1P0WjXou1oD1pmsZQBycsMqsO3tFjGotgWkP/W+2AhgcroefMI1i67KE0yCWn:, \
        sha-512=:3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==:";

    #[test]
    fn the_header_is_known() {
        let digest = ContentDigest::of(b"abc");
        // Readers of old take no space there; both spellings are read.
        assert_eq!(digest.to_header(), ABC.replace(", ", ","));
        assert_eq!(ContentDigest::from_header(&digest.to_header()).unwrap(), digest);
        assert_eq!(ContentDigest::from_header(ABC).unwrap(), digest);
        assert_eq!(digest.verify(b"abc"), Ok(()));
        assert_eq!(digest.verify(b"abd"), Err(DigestError::Mismatch));
    }

    #[test]
    fn one_digest_is_enough_if_it_is_sha256() {
        let one =
            ContentDigest::from_header("sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:")
                .unwrap();
        assert_eq!(one.verify(b"abc"), Ok(()));
        assert!(one.agrees_with(&ContentDigest::of(b"abc")));
        assert!(!one.agrees_with(&ContentDigest::of(b"abd")));
        assert_eq!(
            ContentDigest::from_header("sha-224=:Iwl9IjQF2CKGQqR3vaJVsyqtvOS9oLP342ydpw==:"),
            Err(DigestError::NoSha256)
        );
        // An algorithm of the future does not hurt.
        let more = "sha-1024=:AA==:, sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
        assert_eq!(ContentDigest::from_header(more).unwrap(), one);
    }

    #[test]
    fn every_given_digest_is_checked() {
        let other = ContentDigest::of(b"other");
        let abc = ContentDigest::of(b"abc");
        for wrong in [
            ContentDigest { sha224: other.sha224, ..abc.clone() },
            ContentDigest { sha256: other.sha256, ..abc.clone() },
            ContentDigest { sha384: other.sha384, ..abc.clone() },
            ContentDigest { sha512: other.sha512, ..abc.clone() },
        ] {
            assert_eq!(wrong.verify(b"abc"), Err(DigestError::Mismatch));
            assert!(!wrong.agrees_with(&abc));
        }
    }

    #[test]
    fn refuses_what_is_no_digest() {
        let good = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
        for bad in [
            "",
            "sha-256",
            "sha-256=::",
            "sha-256=:AAAA:",
            "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0:",
            "sha-256=:ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0=:",
            "sha-256=ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
            &format!("{good}, {good}"),
            &format!("{good},"),
        ] {
            assert_eq!(ContentDigest::from_header(bad), Err(DigestError::Malformed), "{bad}");
        }
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let mut hasher = Hasher::new();
        hasher.update(b"a");
        hasher.update(b"");
        hasher.update(b"bc");
        assert_eq!(hasher.finish(), ContentDigest::of(b"abc"));
    }
}
