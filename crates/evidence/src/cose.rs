// SPDX-License-Identifier: Apache-2.0

//! COSE_Sign1 (RFC 9052 section 4.2) and maps of CBOR, as TEEs write them.
//!
//! The envelope is taken in one encoding only: definite lengths, shortest integers, nothing behind. Protected header and
//! payload are checked in the bytes that were received, never encoded again.

use std::collections::BTreeSet;
use std::fmt;

use coset::iana::Algorithm as Registered;
use coset::{
    CborSerializable as _, CoseSign1, Header, RegisteredLabelWithPrivate,
    TaggedCborSerializable as _,
};
use minicbor::Decoder;
use minicbor::data::Type;

use crate::crypto::{BadSignature, Scheme, Verifier};

/// First byte of a message with its tag, 18.
const TAGGED: u8 = 0xd2;

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub(crate) String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

impl From<minicbor::decode::Error> for Malformed {
    fn from(error: minicbor::decode::Error) -> Self {
        Self(format!("its CBOR is not of its form: {error}"))
    }
}

/// [`Malformed`] for this reason.
pub(crate) fn malformed<T>(what: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(what.into()))
}

/// Algorithms of signatures (RFC 9053 section 2.1); the curve follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// P-256 with SHA-256.
    Es256,
    /// P-384 with SHA-384.
    Es384,
    /// P-521 with SHA-512.
    Es512,
}

impl Algorithm {
    /// Algorithm, scheme, bytes of a coordinate: half of a signature.
    const ALL: [(Self, Scheme, usize); 3] = [
        (Self::Es256, Scheme::EcdsaP256Sha256Fixed, 32),
        (Self::Es384, Scheme::EcdsaP384Sha384Fixed, 48),
        (Self::Es512, Scheme::EcdsaP521Sha512Fixed, 66),
    ];

    fn row(self) -> (Scheme, usize) {
        let found = Self::ALL.iter().find(|(algorithm, ..)| *algorithm == self);
        found.map_or((Scheme::EcdsaP384Sha384Fixed, 48), |(_, scheme, bytes)| (*scheme, *bytes))
    }

    /// The one for keys whose uncompressed point is this long.
    pub(crate) fn of_point(point: &[u8]) -> Option<Self> {
        let fits = |bytes: usize| point.first() == Some(&4) && point.len() == 1 + 2 * bytes;
        Self::ALL.iter().find(|(.., bytes)| fits(*bytes)).map(|(algorithm, ..)| *algorithm)
    }
}

/// A message with one signature, not verified.
#[derive(Clone, Debug)]
pub(crate) struct Sign1 {
    message: CoseSign1,
    /// How it is signed, as the protected header says.
    pub(crate) algorithm: Algorithm,
}

impl Sign1 {
    /// Reads a message, with or without its tag.
    ///
    /// Critical headers are refused, as none is known here, and so is an algorithm that is not protected.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let tagged = bytes.first() == Some(&TAGGED);
        let message =
            if tagged { CoseSign1::from_tagged_slice(bytes) } else { CoseSign1::from_slice(bytes) };
        let message =
            message.map_err(|error| Malformed(format!("it is no COSE_Sign1: {error}")))?;
        let copy = message.clone();
        let again = if tagged { copy.to_tagged_vec() } else { copy.to_vec() };
        if !again.is_ok_and(|again| again == bytes) {
            return malformed("its COSE_Sign1 is not in the shortest encoding");
        }
        if message.payload.is_none() {
            return malformed("its COSE_Sign1 has no payload");
        }
        let Header { alg, crit, .. } = &message.protected.header;
        let outside = &message.unprotected;
        if !crit.is_empty() || !outside.crit.is_empty() {
            return malformed("a header of its COSE_Sign1 is critical and unknown");
        }
        if outside.alg.is_some() {
            return malformed("the algorithm of its COSE_Sign1 is not protected");
        }
        let algorithm = match alg {
            Some(RegisteredLabelWithPrivate::Assigned(Registered::ES256)) => Algorithm::Es256,
            Some(RegisteredLabelWithPrivate::Assigned(Registered::ES384)) => Algorithm::Es384,
            Some(RegisteredLabelWithPrivate::Assigned(Registered::ES512)) => Algorithm::Es512,
            Some(_) => return malformed("its COSE_Sign1 is signed by an unknown algorithm"),
            None => return malformed("its COSE_Sign1 names no algorithm"),
        };
        Ok(Self { message, algorithm })
    }

    /// What is signed.
    pub(crate) fn payload(&self) -> &[u8] {
        self.message.payload.as_deref().unwrap_or_default()
    }

    /// Whether there is an unprotected header.
    pub(crate) fn has_unprotected(&self) -> bool {
        !self.message.unprotected.is_empty()
    }

    /// Whether the key with this uncompressed point signed this, by the algorithm of its curve.
    pub(crate) fn is_signed_by(&self, point: &[u8], verifier: &dyn Verifier) -> bool {
        self.verifies(point, |scheme, message, signature| {
            verifier.verify(scheme, point, message, signature)
        })
    }

    /// The same where many pieces of evidence have this message in common.
    pub(crate) fn is_endorsed_by(&self, point: &[u8], verifier: &dyn Verifier) -> bool {
        self.verifies(point, |scheme, message, signature| {
            verifier.verify_endorsement(scheme, point, message, signature)
        })
    }

    fn verifies(
        &self,
        point: &[u8],
        verify: impl FnOnce(Scheme, &[u8], &[u8]) -> Result<(), BadSignature>,
    ) -> bool {
        let (scheme, bytes) = self.algorithm.row();
        let signature = &self.message.signature;
        Algorithm::of_point(point) == Some(self.algorithm)
            && signature.len() == 2 * bytes
            && verify(scheme, &self.message.tbs_data(&[]), signature).is_ok()
    }
}

/// Reads a map of at most `max` entries. `entry` reads a key and its value and returns the key; each may stand there once.
///
/// Lengths are definite; `indefinite` allows for the other form.
pub(crate) fn map<'b, K: Ord>(
    d: &mut Decoder<'b>,
    max: usize,
    indefinite: bool,
    mut entry: impl FnMut(&mut Decoder<'b>) -> Result<K, Malformed>,
) -> Result<(), Malformed> {
    let length = d.map()?;
    if length.is_none() && !indefinite {
        return malformed("a map has no definite length");
    }
    let mut seen = BTreeSet::new();
    loop {
        match length {
            Some(length) if u64::try_from(seen.len()) == Ok(length) => return Ok(()),
            None if d.datatype()? == Type::Break => {
                d.set_position(d.position().saturating_add(1));
                return Ok(());
            }
            _ if seen.len() == max => return malformed("a map has too many entries"),
            _ => {}
        }
        if !seen.insert(entry(d)?) {
            return malformed("a map has the same key twice");
        }
    }
}

/// Reads an array of definite length and `min` to `max` elements.
pub(crate) fn array<'b, T>(
    d: &mut Decoder<'b>,
    lengths: std::ops::RangeInclusive<usize>,
    mut element: impl FnMut(&mut Decoder<'b>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    match d.array()?.map(usize::try_from) {
        Some(Ok(length)) if lengths.contains(&length) => (0..length).map(|_| element(d)).collect(),
        Some(_) => malformed("an array has too few or too many elements"),
        None => malformed("an array has no definite length"),
    }
}

/// Reads a byte string of such a length.
pub(crate) fn bytes<'b>(
    d: &mut Decoder<'b>,
    lengths: std::ops::RangeInclusive<usize>,
) -> Result<&'b [u8], Malformed> {
    let bytes = d.bytes()?;
    if !lengths.contains(&bytes.len()) {
        return malformed(format!(
            "a byte string has {} bytes instead of {} to {}",
            bytes.len(),
            lengths.start(),
            lengths.end()
        ));
    }
    Ok(bytes)
}

/// Reads a hash: 32, 48 or 64 bytes.
pub(crate) fn hash<'b>(d: &mut Decoder<'b>) -> Result<&'b [u8], Malformed> {
    let bytes = d.bytes()?;
    match bytes.len() {
        32 | 48 | 64 => Ok(bytes),
        other => malformed(format!("a hash has {other} bytes instead of 32, 48 or 64")),
    }
}

/// The name of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Label<'b> {
    /// A registered one.
    Number(i64),
    /// Another one.
    Text(&'b str),
}

/// Reads the name of a claim.
pub(crate) fn label<'b>(d: &mut Decoder<'b>) -> Result<Label<'b>, Malformed> {
    match d.datatype()? {
        Type::String => Ok(Label::Text(d.str()?)),
        _ => Ok(Label::Number(d.i64()?)),
    }
}

/// Nothing follows.
pub(crate) fn finish(d: &Decoder<'_>) -> Result<(), Malformed> {
    if d.position() == d.input().len() { Ok(()) } else { malformed("something follows its CBOR") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(hex_text: &str) -> Result<Sign1, Malformed> {
        Sign1::parse(&hex::decode(hex_text).unwrap())
    }

    #[test]
    fn claims_are_named_by_numbers_or_text() {
        let read = |bytes: &[u8]| label(&mut Decoder::new(bytes)).is_ok();
        assert_eq!(label(&mut Decoder::new(b"\x01")).unwrap(), Label::Number(1));
        assert_eq!(label(&mut Decoder::new(b"\x61a")).unwrap(), Label::Text("a"));
        assert!(!read(b"\x41a") && !read(b"\xf5") && !read(b""));
    }

    #[test]
    fn one_encoding_only() {
        // [h'a1013822', {}, h'01', h'02'], ES384.
        assert_eq!(parse("8444a1013822a041014102").unwrap().algorithm, Algorithm::Es384);
        assert_eq!(parse("d28443a10126a041014102").unwrap().algorithm, Algorithm::Es256);
        assert_eq!(parse("8444a1013823a041014102").unwrap().payload(), [1]);
        for (what, text) in [
            ("nothing", ""),
            ("another tag", "d18444a1013822a041014102"),
            ("a long tag", "d8128444a1013822a041014102"),
            ("two tags", "d2d28444a1013822a041014102"),
            ("a long length", "8444a1013822a041015801 02"),
            ("an indefinite array", "9f44a1013822a041014102ff"),
            ("an indefinite string", "8444a1013822a05f4101ff4102"),
            ("an indefinite header", "8444a1013822bfff41014102"),
            ("something behind", "8444a1013822a04101410200"),
            ("three parts", "8344a1013822a04101"),
            ("no payload", "8444a1013822a0f64102"),
            ("text", "8444a1013822a061614102"),
            ("no algorithm", "8440a041014102"),
            ("an unknown algorithm", "8444a1013824a041014102"),
            ("EdDSA", "8443a10127a041014102"),
            ("an algorithm by name", "8448a101654553333834a041014102"),
            ("an unprotected algorithm", "8444a1013822a101382241014102"),
            ("only an unprotected algorithm", "8440a101382241014102"),
            ("two algorithms", "8447a20138220138 22a041014102"),
            ("a critical header", "8449a2013822028118 2aa041014102"),
            ("an unprotected critical header", "8444a1013822a102811841 41014102"),
        ] {
            assert!(parse(&text.replace(' ', "")).is_err(), "{what}");
        }
        let other = parse("8444a1013822a104410741014102").unwrap();
        assert!(other.has_unprotected());
    }

    #[test]
    fn nesting_ends() {
        // As many arrays, maps or tags in each other as a document has bytes: refused, and nothing overflows.
        for (what, unit) in [("arrays", &[0x81][..]), ("maps", &[0xa1, 0]), ("tags", &[0xc1])] {
            let deep = unit.repeat(16 * 1024 / unit.len());
            let unprotected = [&hex::decode("8444a1013822a104").unwrap()[..], &deep].concat();
            assert!(Sign1::parse(&unprotected).is_err(), "{what}");
            let length = u16::try_from(deep.len()).unwrap().to_be_bytes();
            let protected = [&[0x84, 0x59][..], &length, &deep, &[0xa0, 0x41, 1, 0x41, 2]].concat();
            assert!(Sign1::parse(&protected).is_err(), "{what}");
            let mut d = Decoder::new(&deep);
            let skipped = map(&mut d, 2, true, |d| {
                let label = label(d)?;
                d.skip()?;
                Ok(label)
            });
            assert!(skipped.is_err(), "{what}");
        }
    }

    #[test]
    fn maps_have_each_key_once() {
        let read = |text: &str, indefinite| {
            let bytes = hex::decode(text).unwrap();
            let mut d = Decoder::new(&bytes);
            map(&mut d, 2, indefinite, |d| {
                let key = d.u8()?;
                d.skip()?;
                Ok(key)
            })?;
            finish(&d)
        };
        assert_eq!(read("a2010002 00".replace(' ', "").as_str(), false), Ok(()));
        assert_eq!(read("bf01000200ff", true), Ok(()));
        assert_eq!(read("a0", false), Ok(()));
        for text in ["bf01000200ff", "a201000100", "a3010002000300", "a201", "a10100ff"] {
            assert!(read(text, false).is_err(), "{text}");
        }
        for text in ["bf01000100ff", "bf010002000300ff", "bf0100", "bf01ff"] {
            assert!(read(text, true).is_err(), "{text}");
        }
    }
}
