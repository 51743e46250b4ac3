// SPDX-License-Identifier: Apache-2.0

//! One line of a journal, and the chain that the lines form.
//!
//! ```text
//! {"hash":"sha256:<64 hex>","entry":{"index":0,"prev":"sha256:<64 hex>","<member>":{…}}}
//! ```
//!
//! `hash` is over the bytes of the entry as they stand between the two fixed pieces. `prev` is the hash before it.

use std::fmt;

use types::digest::Sha256;
use types::limits;

/// `prev` of the first entry.
pub const GENESIS: Sha256 = Sha256([0; 32]);

const HEAD: &str = "{\"hash\":\"";
const MIDDLE: &str = "\",\"entry\":";
const END: &str = "}\n";
/// Length of a digest's text.
const DIGEST_BYTES: usize = 71;

/// What the records of a journal are.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What a record is called in an entry.
    pub member: &'static str,
    /// Whether this JSON is such a record.
    pub is_record: fn(&str) -> bool,
}

/// An entry as it was read, whole and in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Hash of the entry.
    pub hash: Sha256,
    /// How many entries come before it.
    pub index: u64,
    /// Hash of the entry before it; [`GENESIS`] for the first.
    pub prev: Sha256,
    /// The record, JSON.
    pub record: &'a str,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// The line does not end, or is longer than any entry.
    Length,
    /// The line has another shape.
    Shape,
    /// Its hash is not that of its bytes.
    Hash,
    /// Another index was expected: entries are missing, repeated or exchanged.
    Index {
        /// The one that comes next.
        expected: u64,
        /// The one that it has.
        found: u64,
    },
    /// `prev` is not the hash of the entry before it; the entry's index.
    Prev(u64),
    /// What it records is not what such entries record; the entry's index.
    Record(u64),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("it does not end, or is longer than any entry"),
            Self::Shape => f.write_str("it is no entry"),
            Self::Hash => f.write_str("its hash is not that of its bytes"),
            Self::Index { expected, found } => {
                write!(f, "entry {expected} should be here, but this is entry {found}")
            }
            Self::Prev(index) => {
                write!(f, "entry {index} does not name the hash of the one before it")
            }
            Self::Record(index) => {
                write!(f, "entry {index} does not hold what it should record")
            }
        }
    }
}

impl std::error::Error for Flaw {}

/// Where a chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Index of the next entry.
    pub(super) next: u64,
    /// Hash of the last one.
    pub(super) prev: Sha256,
}

impl Link {
    /// Before the first entry.
    pub(super) const fn start() -> Self {
        Self { next: 0, prev: GENESIS }
    }

    /// Appends the next line, with this record (JSON), to `lines`.
    pub(super) fn extend(&mut self, member: &str, record: &str, lines: &mut Vec<u8>) {
        let Self { next, prev } = self;
        let entry = format!("{{\"index\":{next},\"prev\":\"{prev}\",\"{member}\":{record}}}");
        let hash = Sha256::of(entry.as_bytes());
        for part in [HEAD, &hash.to_string(), MIDDLE, &entry, END] {
            lines.extend_from_slice(part.as_bytes());
        }
        *self = Self { next: *next + 1, prev: hash };
    }

    /// Reads the next line (with its end) and moves on, if it is whole and in its place.
    pub(super) fn read<'a>(&mut self, shape: Shape, line: &'a [u8]) -> Result<Line<'a>, Flaw> {
        let line = parse(shape, line)?;
        if line.index != self.next {
            return Err(Flaw::Index { expected: self.next, found: line.index });
        }
        if line.prev != self.prev {
            return Err(Flaw::Prev(line.index));
        }
        *self = Self { next: line.index + 1, prev: line.hash };
        Ok(line)
    }
}

/// A line that has its hash and holds a record of this shape.
pub(super) fn parse(shape: Shape, line: &[u8]) -> Result<Line<'_>, Flaw> {
    if line.len() > limits::LOG_ENTRY_BYTES_MAX {
        return Err(Flaw::Length);
    }
    let line = std::str::from_utf8(line).map_err(|_| Flaw::Shape)?;
    let parts = || {
        let (hash, rest) = line.strip_prefix(HEAD)?.split_at_checked(DIGEST_BYTES)?;
        let entry = rest.strip_prefix(MIDDLE)?.strip_suffix(END)?;
        Some((hash.parse::<Sha256>().ok()?, entry))
    };
    let (hash, text) = parts().ok_or(Flaw::Shape)?;
    if Sha256::of(text.as_bytes()) != hash {
        return Err(Flaw::Hash);
    }
    let parts = || {
        let (digits, rest) = text.strip_prefix("{\"index\":")?.split_once(",\"prev\":\"")?;
        let index: u64 = digits.parse().ok()?;
        let (prev, rest) = rest.split_at_checked(DIGEST_BYTES)?;
        let rest = rest.strip_prefix("\",\"")?.strip_prefix(shape.member)?.strip_prefix("\":")?;
        // A number has one spelling.
        let plain = index.to_string() == digits;
        plain.then_some((index, prev.parse().ok()?, rest.strip_suffix('}')?))
    };
    let (index, prev, record) = parts().ok_or(Flaw::Shape)?;
    if !(shape.is_record)(record) {
        return Err(Flaw::Record(index));
    }
    Ok(Line { hash, index, prev, record })
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// Any JSON object is a record.
    pub(in crate::journal) const SHAPE: Shape = Shape { member: "noted", is_record };

    fn is_record(json: &str) -> bool {
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json).is_ok()
    }

    /// A record of some length.
    pub(in crate::journal) fn record() -> String {
        json!({"what": "x".repeat(600)}).to_string()
    }

    fn lines(count: usize) -> Vec<Vec<u8>> {
        let mut link = Link::start();
        (0..count)
            .map(|_| {
                let mut line = Vec::new();
                link.extend("noted", &record(), &mut line);
                line
            })
            .collect()
    }

    fn read(link: &mut Link, line: &[u8]) -> Result<String, Flaw> {
        link.read(SHAPE, line).map(|line| line.record.to_owned())
    }

    #[test]
    fn lines_are_json_and_round_trip() {
        let lines = lines(3);
        let mut link = Link::start();
        for (index, line) in (0_u64..).zip(&lines) {
            let prev = link.prev;
            assert_eq!(read(&mut link, line), Ok(record()));
            let json: serde_json::Value = serde_json::from_slice(line).unwrap();
            let record: serde_json::Value = serde_json::from_str(&record()).unwrap();
            let entry = json!({"index": index, "prev": prev, "noted": record});
            assert_eq!(json, json!({"hash": link.prev, "entry": entry}));
        }
        assert_eq!(link.next, 3);
    }

    #[test]
    fn no_byte_of_a_line_may_change() {
        let line = lines(1).remove(0);
        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 1;
            assert!(read(&mut Link::start(), &changed).is_err(), "byte {at}");
        }
        for end in 0..line.len() {
            assert!(read(&mut Link::start(), &line[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn entries_stand_in_their_places() {
        let lines = lines(3);
        let mut link = Link::start();
        assert_eq!(read(&mut link, &lines[1]), Err(Flaw::Index { expected: 0, found: 1 }));
        read(&mut link, &lines[0]).unwrap();
        assert_eq!(read(&mut link, &lines[0]), Err(Flaw::Index { expected: 1, found: 0 }));
        let mut other = Link { next: 1, prev: Sha256::of(b"another history") };
        assert_eq!(read(&mut other, &lines[1]), Err(Flaw::Prev(1)));
        read(&mut link, &lines[1]).unwrap();
    }

    #[test]
    fn what_is_no_record_is_no_entry() {
        let line = |json: &str| {
            let mut line = Vec::new();
            Link::start().extend("noted", json, &mut line);
            line
        };
        for json in ["", "1", "{}x", "{},\"extra\":1", "{}}"] {
            assert_eq!(read(&mut Link::start(), &line(json)), Err(Flaw::Record(0)), "{json}");
        }
        let long = format!("{}{}", record(), " ".repeat(limits::LOG_ENTRY_BYTES_MAX));
        assert_eq!(read(&mut Link::start(), &line(&long)), Err(Flaw::Length));
        let mut other = Vec::new();
        Link::start().extend("issued", &record(), &mut other);
        assert_eq!(read(&mut Link::start(), &other), Err(Flaw::Shape));
    }
}
