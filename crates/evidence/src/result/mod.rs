// SPDX-License-Identifier: Apache-2.0

//! The attestation result that a certificate carries: an EAR in a CMW record (docs/FORMATS.md 4.1).
//!
//! Steward writes it, relying parties read it. Reading is strict: a member that is unknown, missing or out of place is an
//! error, so that no two readers see different things.

mod facts;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use const_oid::ObjectIdentifier;
use der::asn1::Utf8StringRef;
use der::{Decode as _, Encode as _};
use serde::{Deserialize, Serialize};
use types::digest::Sha256;
use types::limits;
use types::time::Timestamp;

use facts::is_text;
pub use facts::{
    CcaFacts, DcapFacts, Facts, NitroFacts, SgxFacts, SnpFacts, TcbSummary, TdxFacts, TeeFacts,
    VtpmFacts, WorkloadName,
};

/// `id-pe-cmw` (RFC 9999): the extension that carries the result.
pub const EXTENSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.35");
/// Certificate policy of everything that a Steward issues; its CPS URI leads to the policy file.
pub const CERTIFICATE_POLICY: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.58270.2.1");
/// `noRevAvail` (RFC 9608).
pub const NO_REV_AVAIL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.56");

/// Profile of the EAR (draft-ietf-rats-ear-04).
const PROFILE: &str = "tag:ietf.org,2026:rats/ear#04";
/// Media type of an unsigned EAT claims set in JSON (RFC 9782).
const MEDIA_TYPE: &str = "application/eat-ucs+json";
/// CMW indicator: attestation results (RFC 9999).
const INDICATOR_RESULT: u64 = 8;
/// Who makes the verifier.
const DEVELOPER: &str = "https://enarx.dev";

/// How far a relying party may trust a Keep, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Genuine silicon, a Keep that the policy pins, nothing relaxed.
    Affirming,
    /// Genuine silicon, but the policy does not pin the Keep or relaxed something.
    Warning,
    /// Simulated silicon or a debuggable guest: no protection.
    Contraindicated,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        })
    }
}

/// Steward's word on a Keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationResult {
    /// Name and version of the verifier, as `steward 0.1.0`.
    pub build: String,
    /// When it was appraised.
    pub issued_at: Timestamp,
    /// Digest of the policy file under which it was appraised.
    pub policy: Sha256,
    /// What was proved.
    pub facts: Facts,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ear {
    #[serde(rename = "ear.verifier-id")]
    verifier: Verifier,
    eat_profile: String,
    iat: u64,
    submods: Submods,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Verifier {
    build: String,
    developer: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Submods {
    keep: Submod,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Submod {
    #[serde(rename = "ear.appraisal-policy-id")]
    policy: Sha256,
    #[serde(rename = "ear.status")]
    status: Status,
    #[serde(rename = "ear.trustworthiness-vector")]
    vector: Vector,
    enarx: Facts,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Vector {
    configuration: i8,
    executables: i8,
    hardware: i8,
    instance_identity: i8,
}

/// An extension that is no attestation result of ours, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAResult(String);

impl fmt::Display for NotAResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the attestation-result extension is malformed: {}", self.0)
    }
}

impl std::error::Error for NotAResult {}

impl AttestationResult {
    /// The status that follows from the facts.
    pub fn status(&self) -> Status {
        self.facts.status()
    }

    /// The EAR as JSON: sorted members, no white space.
    pub fn to_json(&self) -> String {
        let ear = Ear {
            verifier: Verifier { build: self.build.clone(), developer: DEVELOPER.to_owned() },
            eat_profile: PROFILE.to_owned(),
            iat: self.issued_at.0,
            submods: Submods {
                keep: Submod {
                    policy: self.policy,
                    status: self.facts.status(),
                    vector: self.facts.vector(),
                    enarx: self.facts.clone(),
                },
            },
        };
        // Strings, numbers and booleans always serialise.
        serde_json::to_string(&ear).unwrap_or_default()
    }

    /// The extension's value, DER. It is for the reader to check, the writer's own included: whoever signs it first reads it
    /// back with [`Self::from_extension`].
    pub fn to_extension(&self) -> Vec<u8> {
        let body = URL_SAFE_NO_PAD.encode(self.to_json());
        let record = format!("[\"{MEDIA_TYPE}\",\"{body}\",{INDICATOR_RESULT}]");
        Utf8StringRef::new(&record).and_then(|text| text.to_der()).unwrap_or_default()
    }

    /// Reads the extension's value, at most [`limits::RESULT_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// Anything that [`Self::to_extension`] does not write, a status that does not follow from the facts included.
    pub fn from_extension(value: &[u8]) -> Result<Self, NotAResult> {
        let wrong = |what: &dyn fmt::Display| NotAResult(what.to_string());
        if value.len() > limits::RESULT_BYTES_MAX {
            return Err(wrong(&"it is larger than any result"));
        }
        let text = Utf8StringRef::from_der(value).map_err(|e| wrong(&e))?;
        let (kind, body, indicator): (String, String, u64) =
            serde_json::from_str(text.as_str()).map_err(|e| wrong(&e))?;
        if kind != MEDIA_TYPE || indicator != INDICATOR_RESULT {
            return Err(wrong(&"it is no record of an unsigned attestation result in JSON"));
        }
        let json = URL_SAFE_NO_PAD.decode(body).map_err(|e| wrong(&e))?;
        let ear: Ear = serde_json::from_slice(&json).map_err(|e| wrong(&e))?;
        if ear.eat_profile != PROFILE {
            return Err(wrong(&"its profile is another"));
        }
        let keep = ear.submods.keep;
        if keep.status != keep.enarx.status() || keep.vector != keep.enarx.vector() {
            return Err(wrong(&"its status does not follow from its facts"));
        }
        keep.enarx.check()?;
        if !is_text(&ear.verifier.build) {
            return Err(wrong(&"its verifier has no sensible name"));
        }
        let result = Self {
            build: ear.verifier.build,
            issued_at: Timestamp(ear.iat),
            policy: keep.policy,
            facts: keep.enarx,
        };
        // Order, white space, members left out or given twice, another developer: there is one way to write a result.
        if result.to_extension() != value {
            return Err(wrong(&"it is not written in the one way that results are"));
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> AttestationResult {
        AttestationResult {
            build: "steward 0.1.0".into(),
            issued_at: Timestamp(1_700_000_000),
            policy: Sha256([7; 32]),
            facts: Facts {
                debug: false,
                measurement: "ab".repeat(48),
                pinned: true,
                relaxations: Vec::new(),
                signer: None,
                simulated: false,
                tee: TeeFacts::Snp(SnpFacts {
                    chip_id: None,
                    guest_svn: 1,
                    id_key: None,
                    product: "Milan".into(),
                    tcb: TcbSummary { bootloader: 2, fmc: None, microcode: 93, snp: 6, tee: 0 },
                    vmpl: 0,
                }),
                vtpm: None,
                workload: Some(WorkloadName {
                    digest: Sha256([1; 32]),
                    slug: Some("h/u/r:1.0.0".parse().unwrap()),
                }),
            },
        }
    }

    #[test]
    fn round_trips() {
        let result = result();
        let extension = result.to_extension();
        assert_eq!(AttestationResult::from_extension(&extension), Ok(result));
    }

    #[test]
    fn the_bytes_are_as_documented() {
        let zero = "ab".repeat(48);
        let (policy, digest) = ("07".repeat(32), "01".repeat(32));
        let wanted = format!(
            concat!(
                r#"{{"ear.verifier-id":{{"build":"steward 0.1.0","developer":"https://enarx.dev"}},"#,
                r#""eat_profile":"tag:ietf.org,2026:rats/ear#04","iat":1700000000,"submods":{{"keep":{{"#,
                r#""ear.appraisal-policy-id":"sha256:{policy}","ear.status":"affirming","#,
                r#""ear.trustworthiness-vector":{{"configuration":2,"executables":2,"hardware":2,"instance-identity":2}},"#,
                r#""enarx":{{"debug":false,"measurement":"{zero}","pinned":true,"relaxations":[],"#,
                r#""signer":null,"simulated":false,"snp":{{"chip_id":null,"guest_svn":1,"id_key":null,"#,
                r#""product":"Milan","tcb":{{"bootloader":2,"fmc":null,"microcode":93,"snp":6,"tee":0}},"#,
                r#""vmpl":0}},"tee":"snp","#,
                r#""workload":{{"digest":"sha256:{digest}","slug":"h/u/r:1.0.0"}}}}}}}}}}"#
            ),
            policy = policy,
            zero = zero,
            digest = digest
        );
        assert_eq!(result().to_json(), wanted);
        let record =
            format!(r#"["application/eat-ucs+json","{}",8]"#, URL_SAFE_NO_PAD.encode(&wanted));
        assert!(result().to_extension().ends_with(record.as_bytes()));
    }

    #[test]
    fn every_status_round_trips() {
        for bits in 0..16 {
            let mut result = result();
            result.facts.simulated = bits & 1 != 0;
            result.facts.debug = bits & 2 != 0;
            result.facts.pinned = bits & 4 == 0;
            if !result.facts.pinned {
                result.facts.workload = None;
            }
            if bits & 8 != 0 {
                result.facts.relaxations = vec!["product Milan".into(), "crl-grace".into()];
            }
            let read = AttestationResult::from_extension(&result.to_extension());
            assert_eq!(read, Ok(result));
        }
    }

    #[test]
    fn status_follows_from_the_facts() {
        let mut facts = result().facts;
        assert_eq!(facts.status(), Status::Affirming);
        facts.relaxations.push("alias-check".into());
        assert_eq!(facts.status(), Status::Warning);
        facts.relaxations.clear();
        facts.pinned = false;
        assert_eq!(facts.status(), Status::Warning);
        facts.simulated = true;
        assert_eq!(facts.status(), Status::Contraindicated);
        facts.simulated = false;
        facts.debug = true;
        assert_eq!(facts.status(), Status::Contraindicated);
    }

    #[test]
    fn refuses_what_it_would_not_write() {
        let json = result().to_json();
        let slug = format!("h/u/r:1.0.0@{}", Sha256([1; 32]));
        let pack = |json: &str| {
            let record = format!("[\"{MEDIA_TYPE}\",\"{}\",8]", URL_SAFE_NO_PAD.encode(json));
            Utf8StringRef::new(&record).unwrap().to_der().unwrap()
        };
        assert!(AttestationResult::from_extension(&pack(&json)).is_ok());
        let long = format!("\"product\":\"{}\"", "x".repeat(129));
        for (from, to) in [
            ("\"simulated\":false", "\"simulated\":true"),
            ("\"ear.status\":\"affirming\"", "\"ear.status\":\"warning\""),
            ("\"pinned\":true", "\"pinned\":false"),
            ("\"vmpl\":0", "\"vmpl\":0,\"more\":1"),
            ("\"vmpl\":0", "\"vmpl\":0,\"vmpl\":0"),
            ("\"vmpl\":0", "\"vmpl\":4294967296"),
            ("ear#04", "ear#05"),
            ("enarx.dev", "example.com"),
            ("\"guest_svn\":1,", ""),
            ("\"chip_id\":null,", ""),
            ("\"guest_svn\":1", "\"guest_svn\": 1"),
            ("\"chip_id\":null,\"guest_svn\":1", "\"guest_svn\":1,\"chip_id\":null"),
            ("\"snp\":{", "\"tdx\":{"),
            ("\"tee\":\"snp\"", "\"tee\":\"sgx\""),
            ("\"tee\":\"snp\"", "\"tee\":\"snp\",\"vtpm\":null"),
            ("\"hardware\":2", "\"hardware\":3"),
            ("h/u/r:1.0.0", "h/u/r"),
            ("h/u/r:1.0.0", slug.as_str()),
            ("\"measurement\":\"ab", "\"measurement\":\"AB"),
            ("\"measurement\":\"abab", "\"measurement\":\"ab"),
            ("\"signer\":null", "\"signer\":\"ab\""),
            ("\"id_key\":null", "\"id_key\":\"\""),
            ("\"chip_id\":null", "\"chip_id\":\"00\""),
            ("\"tee\":\"snp\"", "\"tee\":\"abacus\""),
            ("\"product\":\"Milan\"", long.as_str()),
            ("Milan", "Mi\\u001blan"),
            ("steward 0.1.0", ""),
        ] {
            let forged = json.replace(from, to);
            assert_ne!(forged, json, "{from}");
            assert!(AttestationResult::from_extension(&pack(&forged)).is_err(), "{to}");
        }
        assert!(AttestationResult::from_extension(&[]).is_err());
        assert!(
            AttestationResult::from_extension(&vec![0x0c; limits::RESULT_BYTES_MAX + 1]).is_err()
        );
        // Another kind of record, another indicator, other media, white space, base64 with padding, bytes after it.
        let body = URL_SAFE_NO_PAD.encode(&json);
        for record in [
            format!("[\"{MEDIA_TYPE}\",\"{body}\",1]"),
            format!("[\"{MEDIA_TYPE}\",\"{body}\"]"),
            format!("[\"{MEDIA_TYPE}\",\"{body}\",8,8]"),
            format!("[\"application/eat+jwt\",\"{body}\",8]"),
            format!("[\"{MEDIA_TYPE}\", \"{body}\",8]"),
            format!("[\"{MEDIA_TYPE}\",\"{body}=\",8]"),
            format!("[\"{MEDIA_TYPE}\",\"{body}\",8] "),
        ] {
            let der = Utf8StringRef::new(&record).unwrap().to_der().unwrap();
            assert!(AttestationResult::from_extension(&der).is_err(), "{record}");
        }
        let mut trailing = pack(&json);
        trailing.push(0);
        assert!(AttestationResult::from_extension(&trailing).is_err());
        let reference = Utf8StringRef::new("[\"application/eat-ucs+json\",\"e30\",1]")
            .unwrap()
            .to_der()
            .unwrap();
        assert!(AttestationResult::from_extension(&reference).is_err());
    }
}
