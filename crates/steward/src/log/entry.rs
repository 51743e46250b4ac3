// SPDX-License-Identifier: Apache-2.0

//! One line of the log, and the chain that the lines form.
//!
//! ```text
//! {"hash":"sha256:<64 hex>","entry":{"index":0,"prev":"sha256:<64 hex>","issued":{…}}}
//! ```
//!
//! `hash` is over the bytes of the entry as they stand between the two fixed pieces. `prev` is the hash before it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::Decode as _;
use serde::{Deserialize, Serialize};
use types::digest::Sha256;
use types::limits;
use types::time::Timestamp;
use x509_cert::Certificate;

/// `prev` of the first entry.
pub const GENESIS: Sha256 = Sha256([0; 32]);

const HEAD: &str = "{\"hash\":\"";
const MIDDLE: &str = "\",\"entry\":";
const END: &str = "}\n";
/// Length of a digest's text.
const DIGEST_BYTES: usize = 71;

/// What is recorded of a certificate. What is not here stands in the certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// When it was decided.
    pub time: Timestamp,
    /// The serial number, hex.
    pub serial: String,
    /// The policy that was in force.
    pub policy: Sha256,
    /// The verdict: `affirming`, `warning` or `contraindicated`.
    pub status: String,
    /// The TEE, as `snp`.
    pub tee: String,
    /// The certificate, DER, in base64.
    pub certificate: String,
}

/// An entry: a record in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// How many entries come before it.
    pub index: u64,
    /// Hash of the entry before it; [`GENESIS`] for the first.
    pub prev: Sha256,
    /// The certificate that it records.
    pub issued: Record,
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
    /// It holds no certificate, or one with another serial number; the entry's index.
    Certificate(u64),
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
            Self::Certificate(index) => {
                write!(f, "entry {index} does not hold the certificate with its serial number")
            }
        }
    }
}

impl std::error::Error for Flaw {}

impl Record {
    /// A record of `certificate` (DER).
    pub fn new(
        time: Timestamp,
        serial: String,
        policy: Sha256,
        status: String,
        tee: String,
        certificate: &[u8],
    ) -> Self {
        Self { time, serial, policy, status, tee, certificate: STANDARD.encode(certificate) }
    }

    /// The certificate, DER; none if there is none in it.
    pub fn certificate_der(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.certificate).ok()
    }

    /// The record as it stands in an entry. This is most of the work of writing one, and needs no place in the chain.
    pub(super) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

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

    /// Appends the next line, with this record (see [`Record::to_json`]), to `lines`.
    pub(super) fn extend(&mut self, record: &str, lines: &mut Vec<u8>) {
        let entry =
            format!("{{\"index\":{},\"prev\":\"{}\",\"issued\":{record}}}", self.next, self.prev);
        let hash = Sha256::of(entry.as_bytes());
        for part in [HEAD, &hash.to_string(), MIDDLE, &entry, END] {
            lines.extend_from_slice(part.as_bytes());
        }
        *self = Self { next: self.next + 1, prev: hash };
    }

    /// Reads the next line (with its end) and moves on, if it is whole and in its place.
    pub(super) fn read(&mut self, line: &[u8]) -> Result<Entry, Flaw> {
        let (hash, entry) = parse(line)?;
        if entry.index != self.next {
            return Err(Flaw::Index { expected: self.next, found: entry.index });
        }
        if entry.prev != self.prev {
            return Err(Flaw::Prev(entry.index));
        }
        *self = Self { next: entry.index + 1, prev: hash };
        Ok(entry)
    }
}

/// The hash of a line, and its entry, which has that hash and holds a certificate of its serial number.
pub(super) fn parse(line: &[u8]) -> Result<(Sha256, Entry), Flaw> {
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
    let entry: Entry = serde_json::from_str(text).map_err(|_| Flaw::Shape)?;
    let serial = || {
        let der = entry.issued.certificate_der()?;
        let certificate = Certificate::from_der(&der).ok()?;
        Some(hex::encode(certificate.tbs_certificate().serial_number().as_bytes()))
    };
    if serial().as_ref() != Some(&entry.issued.serial) {
        return Err(Flaw::Certificate(entry.index));
    }
    Ok((hash, entry))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A record of some certificate.
    pub(in crate::log) fn record() -> Record {
        use std::sync::LazyLock;
        static CERTIFICATE: LazyLock<Vec<u8>> = LazyLock::new(|| {
            crate::authority::generate("Recorded", Timestamp(1_700_000_000))
                .unwrap()
                .certificate_der
        });
        let parsed = Certificate::from_der(&CERTIFICATE).unwrap();
        Record::new(
            Timestamp(1_700_000_000),
            hex::encode(parsed.tbs_certificate().serial_number().as_bytes()),
            Sha256::of(b"policy"),
            "affirming".to_owned(),
            "snp".to_owned(),
            &CERTIFICATE,
        )
    }

    fn lines(count: usize) -> Vec<Vec<u8>> {
        let mut link = Link::start();
        (0..count)
            .map(|_| {
                let mut line = Vec::new();
                link.extend(&record().to_json().unwrap(), &mut line);
                line
            })
            .collect()
    }

    #[test]
    fn lines_are_json_and_round_trip() {
        let lines = lines(3);
        let mut link = Link::start();
        for (index, line) in (0..).zip(&lines) {
            let entry = link.read(line).unwrap();
            assert_eq!((entry.index, &entry.issued), (index, &record()));
            let json: serde_json::Value = serde_json::from_slice(line).unwrap();
            assert_eq!(json["entry"], serde_json::to_value(&entry).unwrap());
            assert_eq!(json["hash"], link.prev.to_string());
        }
        assert_eq!(link.next, 3);
    }

    #[test]
    fn no_byte_of_a_line_may_change() {
        let line = lines(1).remove(0);
        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 1;
            assert!(Link::start().read(&changed).is_err(), "byte {at}");
        }
        for end in 0..line.len() {
            assert!(Link::start().read(&line[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn entries_stand_in_their_places() {
        let lines = lines(3);
        let mut link = Link::start();
        assert_eq!(link.read(&lines[1]), Err(Flaw::Index { expected: 0, found: 1 }));
        link.read(&lines[0]).unwrap();
        assert_eq!(link.read(&lines[0]), Err(Flaw::Index { expected: 1, found: 0 }));
        let mut other = Link { next: 1, prev: Sha256::of(b"another history") };
        assert_eq!(other.read(&lines[1]), Err(Flaw::Prev(1)));
        link.read(&lines[1]).unwrap();
    }

    #[test]
    fn the_certificate_is_the_one_that_is_named() {
        let mut link = Link::start();
        for serial in [String::new(), "00".repeat(16)] {
            let mut line = Vec::new();
            Link::start().extend(&Record { serial, ..record() }.to_json().unwrap(), &mut line);
            assert_eq!(link.read(&line), Err(Flaw::Certificate(0)));
        }
        let mut line = Vec::new();
        let none = Record { certificate: "AAAA".to_owned(), ..record() };
        Link::start().extend(&none.to_json().unwrap(), &mut line);
        assert_eq!(link.read(&line), Err(Flaw::Certificate(0)));
    }

    #[test]
    fn unknown_members_and_long_lines_are_no_entries() {
        let json = record().to_json().unwrap();
        let mut line = Vec::new();
        let more = json.replacen('{', "{\"extra\":1,", 1);
        for json in [more, format!("{json},\"extra\":1"), json.replacen("time", "date", 1)] {
            line.clear();
            Link::start().extend(&json, &mut line);
            assert_eq!(Link::start().read(&line), Err(Flaw::Shape), "{json}");
        }
        line.clear();
        let long = " ".repeat(limits::LOG_ENTRY_BYTES_MAX);
        Link::start().extend(&format!("{json}{long}"), &mut line);
        assert_eq!(Link::start().read(&line), Err(Flaw::Length));
    }
}
