// SPDX-License-Identifier: Apache-2.0

//! What an entry of the issuance log records.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chassis::journal::Shape;
use der::Decode as _;
use serde::{Deserialize, Serialize};
use types::digest::Sha256;
use types::time::Timestamp;
use x509_cert::Certificate;

/// The shape of the log's entries.
pub(super) const SHAPE: Shape = Shape {
    member: "issued",
    is_record: |json| serde_json::from_str::<Record>(json).is_ok_and(|record| record.is_whole()),
};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// How many entries come before it.
    pub index: u64,
    /// Hash of the entry before it; zeros for the first.
    pub prev: Sha256,
    /// The certificate that it records.
    pub issued: Record,
}

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
    pub(super) fn to_json(&self) -> String {
        // Strings and numbers always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it holds a certificate with its serial number.
    fn is_whole(&self) -> bool {
        let serial = || {
            let certificate = Certificate::from_der(&self.certificate_der()?).ok()?;
            Some(hex::encode(certificate.tbs_certificate().serial_number().as_bytes()))
        };
        serial().as_ref() == Some(&self.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let certificate = crate::authority::generate("Recorded", Timestamp(1_700_000_000))
            .unwrap()
            .certificate_der;
        let parsed = Certificate::from_der(&certificate).unwrap();
        Record::new(
            Timestamp(1_700_000_000),
            hex::encode(parsed.tbs_certificate().serial_number().as_bytes()),
            Sha256::of(b"policy"),
            "affirming".to_owned(),
            "snp".to_owned(),
            &certificate,
        )
    }

    fn taken(record: &Record) -> bool {
        (SHAPE.is_record)(&record.to_json())
    }

    #[test]
    fn the_certificate_is_the_one_that_is_named() {
        let good = record();
        assert!(taken(&good));
        for serial in [String::new(), "00".repeat(16)] {
            assert!(!taken(&Record { serial, ..good.clone() }));
        }
        assert!(!taken(&Record { certificate: "AAAA".to_owned(), ..good }));
    }

    #[test]
    fn unknown_members_are_no_record() {
        let json = record().to_json();
        let more = json.replacen('{', "{\"extra\":1,", 1);
        for json in [more, format!("{json},\"extra\":1"), json.replacen("time", "date", 1)] {
            assert!(!(SHAPE.is_record)(&json), "{json}");
        }
    }
}
