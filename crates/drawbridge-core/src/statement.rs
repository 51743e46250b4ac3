// SPDX-License-Identifier: Apache-2.0

//! Tag statements: a registry's signed word on which digest a tag stands for (docs/FORMATS.md 2.3).
//!
//! Writing and reading only; whoever calls brings the signature and its check.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use types::digest::Sha256;
use types::limits;
use types::slug::{self, Slug};

/// What a registry states about a tag. Members are in the order in which they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Digest of the package's root.
    pub digest: Sha256,
    /// Public host of the registry, with its port where it has one.
    pub host: String,
    /// When the tag was completed, in seconds since 1970.
    pub iat: u64,
    /// Repository.
    pub repo: String,
    /// Tag.
    pub tag: String,
    /// User.
    pub user: String,
}

/// Text that is no tag statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementError {
    /// Longer than 2 KiB.
    TooLarge,
    /// Not three parts of base64url.
    Compact,
    /// The header is not the one that there is: ES256, key id, type.
    Header,
    /// The payload is not in its one form, or a name in it is not allowed.
    Payload,
    /// The signature is not 64 bytes.
    Signature,
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the tag statement is longer than 2 KiB",
            Self::Compact => "the tag statement is no JWS in compact form",
            Self::Header => {
                "the tag statement's header is not exactly alg ES256, kid, typ enarx-tag+jwt"
            }
            Self::Payload => {
                "the tag statement's payload is not exactly digest, host, iat, repo, tag, user"
            }
            Self::Signature => "the tag statement's signature is not 64 bytes",
        })
    }
}

impl std::error::Error for StatementError {}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) kid: String,
    pub(crate) typ: String,
}

const ALG: &str = "ES256";
const TYP: &str = "enarx-tag+jwt";
/// Length of a thumbprint: SHA-256 in base64url.
const KID_BYTES: usize = 43;

impl Statement {
    /// The workload's name, without digest.
    ///
    /// # Errors
    /// [`StatementError::Payload`] if a part is not allowed in a name.
    pub fn slug(&self) -> Result<Slug, StatementError> {
        let tag = slug::parse_tag(&self.tag).ok_or(StatementError::Payload)?;
        // A semantic version has one spelling, so nothing is lost.
        let valid = slug::valid_host(&self.host)
            && slug::valid_user(&self.user)
            && slug::valid_repo(&self.repo);
        let slug = Slug {
            host: self.host.clone(),
            user: self.user.clone(),
            repo: self.repo.clone(),
            tag,
            digest: None,
        };
        if valid && slug.to_string().len() <= limits::SLUG_BYTES_MAX {
            Ok(slug)
        } else {
            Err(StatementError::Payload)
        }
    }

    /// What gets signed, by the key with this thumbprint.
    pub fn signing_input(&self, kid: &str) -> String {
        self.input(&Header { alg: ALG.to_owned(), kid: kid.to_owned(), typ: TYP.to_owned() })
    }

    /// What gets signed, with this header.
    pub(crate) fn input(&self, header: &Header) -> String {
        // Strings and numbers always serialise.
        let part =
            |json: serde_json::Result<Vec<u8>>| URL_SAFE_NO_PAD.encode(json.unwrap_or_default());
        format!("{}.{}", part(serde_json::to_vec(header)), part(serde_json::to_vec(self)))
    }
}

/// Puts a signature (raw r and s, ES256) to what was signed.
pub fn assemble(signing_input: &str, signature: &[u8; 64]) -> String {
    format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A tag statement whose signature is still to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Thumbprint of the key that is said to have signed.
    pub kid: String,
    /// What is stated.
    pub statement: Statement,
    /// The bytes that were signed.
    pub signing_input: Vec<u8>,
    /// Raw r and s.
    pub signature: [u8; 64],
}

impl Parsed {
    /// Reads a JWS, bounded and strict; checks no signature.
    ///
    /// # Errors
    /// See [`StatementError`].
    pub fn parse(jws: &str) -> Result<Self, StatementError> {
        let read = Read::parse(jws, TYP, limits::STATEMENT_BYTES_MAX)?;
        if read.header.alg != ALG {
            return Err(StatementError::Header);
        }
        Ok(Self {
            kid: read.header.kid,
            statement: read.statement,
            signing_input: read.signing_input.as_bytes().to_vec(),
            signature: read.signature.try_into().map_err(|_| StatementError::Signature)?,
        })
    }
}

/// A statement of whichever kind, taken apart.
pub(crate) struct Read<'a> {
    pub(crate) header: Header,
    pub(crate) statement: Statement,
    pub(crate) signing_input: &'a str,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Read<'a> {
    /// Reads a JWS of at most `max` bytes, in the one form that there is of it.
    pub(crate) fn parse(jws: &'a str, typ: &str, max: usize) -> Result<Self, StatementError> {
        if jws.len() > max {
            return Err(StatementError::TooLarge);
        }
        let (signing_input, signature) = jws.rsplit_once('.').ok_or(StatementError::Compact)?;
        let (header, payload) = signing_input.split_once('.').ok_or(StatementError::Compact)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| StatementError::Compact);
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| StatementError::Header)?;
        if header.typ != typ || !valid_thumbprint(&header.kid) {
            return Err(StatementError::Header);
        }
        let statement: Statement =
            serde_json::from_slice(&decode(payload)?).map_err(|_| StatementError::Payload)?;
        statement.slug()?;
        let signature = decode(signature)?;
        // The one form of header and payload, or somebody else's idea of it.
        if statement.input(&header) != signing_input {
            return Err(StatementError::Payload);
        }
        Ok(Self { header, statement, signing_input, signature })
    }
}

/// What stands before the 64 bytes of the point in the SPKI of a P-256 key, uncompressed.
const P256_SPKI: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The thumbprint of a P-256 key (RFC 7638, SHA-256, base64url); `None` if `spki` is not the DER of one.
pub fn thumbprint(spki: &[u8]) -> Option<String> {
    let point = spki.strip_prefix(&P256_SPKI)?;
    if point.len() != 64 {
        return None;
    }
    let (x, y) = point.split_at(32);
    let jwk = format!(
        r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(x),
        URL_SAFE_NO_PAD.encode(y)
    );
    Some(URL_SAFE_NO_PAD.encode(Sha256::of(jwk.as_bytes()).0))
}

/// Whether this has the form of a thumbprint.
pub fn valid_thumbprint(kid: &str) -> bool {
    kid.len() == KID_BYTES && URL_SAFE_NO_PAD.decode(kid).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn statement() -> Statement {
        Statement {
            digest: Sha256([0x11; 32]),
            host: "store.example.com:8443".into(),
            iat: 1_700_000_000,
            repo: "app".into(),
            tag: "1.2.0-rc.1+b5".into(),
            user: "team".into(),
        }
    }

    fn kid() -> String {
        "A".repeat(KID_BYTES)
    }

    #[test]
    fn the_form_is_known() {
        let input = statement().signing_input(&kid());
        let parts: Vec<_> = input
            .split('.')
            .map(|p| String::from_utf8(URL_SAFE_NO_PAD.decode(p).unwrap()).unwrap())
            .collect();
        assert_eq!(
            parts[0],
            format!(r#"{{"alg":"ES256","kid":"{}","typ":"enarx-tag+jwt"}}"#, kid())
        );
        assert_eq!(
            parts[1],
            format!(
                r#"{{"digest":"sha256:{}","host":"store.example.com:8443","iat":1700000000,"repo":"app","tag":"1.2.0-rc.1+b5","user":"team"}}"#,
                "11".repeat(32)
            )
        );
        let jws = assemble(&input, &[7; 64]);
        let parsed = Parsed::parse(&jws).unwrap();
        assert_eq!(parsed.statement, statement());
        assert_eq!(parsed.kid, kid());
        assert_eq!(parsed.signing_input, input.as_bytes());
        assert_eq!(parsed.signature, [7; 64]);
        let slug = parsed.statement.slug().unwrap();
        assert_eq!(slug.to_string(), "store.example.com:8443/team/app:1.2.0-rc.1+b5");
    }

    #[test]
    fn refuses_other_headers_and_payloads() {
        let b64 = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let header = format!(r#"{{"alg":"ES256","kid":"{}","typ":"enarx-tag+jwt"}}"#, kid());
        let payload = serde_json::to_string(&statement()).unwrap();
        let jws = |h: &str, p: &str| format!("{}.{}.{}", b64(h), b64(p), b64(&"s".repeat(64)));
        assert!(Parsed::parse(&jws(&header, &payload)).is_ok());
        for (from, to) in [
            ("ES256", "none"),
            ("ES256", "HS256"),
            ("enarx-tag+jwt", "JWT"),
            ("{\"alg\"", "{ \"alg\""),
            (",\"typ\"", ",\"crit\":[],\"typ\""),
            ("AAAA", "AAA"),
        ] {
            let bad = header.replacen(from, to, 1);
            assert_ne!(bad, header);
            assert!(Parsed::parse(&jws(&bad, &payload)).is_err(), "{bad}");
        }
        for (from, to) in [
            ("\"host\"", "\"Host\""),
            (":1700000000", ":1.7e9"),
            (":1700000000", ":-1"),
            (",\"iat\"", ", \"iat\""),
            ("\"team\"", "\"te am\""),
            ("\"team\"", "\"t\\u0065am\""),
            ("\"app\"", "\"..\""),
            ("1.2.0-", "v1.2.0-"),
            ("store.example.com", "Store.example.com"),
            ("sha256:", "sha512:"),
            ("\"user\":\"team\"", "\"user\":\"team\",\"x\":1"),
        ] {
            let bad = payload.replacen(from, to, 1);
            assert_ne!(bad, payload);
            assert_eq!(Parsed::parse(&jws(&header, &bad)), Err(StatementError::Payload), "{bad}");
        }
        let good = jws(&header, &payload);
        for bad in [
            String::new(),
            "..".to_owned(),
            format!("{good}="),
            format!("{good}.x"),
            good[..good.len() - 2].to_owned(),
            format!("{}{good}", "x".repeat(limits::STATEMENT_BYTES_MAX)),
        ] {
            assert!(Parsed::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_thumbprint_is_known() {
        // RFC 7517 appendix A.1, the key with kid "1"; its thumbprint computed independently, with Python's hashlib.
        let x = URL_SAFE_NO_PAD.decode("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4").unwrap();
        let y = URL_SAFE_NO_PAD.decode("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM").unwrap();
        let spki = [&P256_SPKI[..], &x, &y].concat();
        assert_eq!(
            thumbprint(&spki).as_deref(),
            Some("cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s")
        );
        assert!(valid_thumbprint("cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"));
        assert_eq!(thumbprint(&spki[..90]), None);
        assert_eq!(thumbprint(&[&spki[..], &[0]].concat()), None);
        assert_eq!(thumbprint(&[0; 91]), None);
    }

    proptest! {
        #[test]
        fn parsing_is_total(text in "\\PC{0,300}") {
            let _ = Parsed::parse(&text);
        }

        #[test]
        fn only_one_text_reads_as_a_statement(at in any::<usize>(), byte in any::<u8>()) {
            let jws = assemble(&statement().signing_input(&kid()), &[7; 64]);
            let mut bytes = jws.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(parsed) = String::from_utf8(bytes).map_err(|_| ()).and_then(|t| Parsed::parse(&t).map_err(|_| ())) {
                let again = assemble(&parsed.statement.signing_input(&parsed.kid), &parsed.signature);
                prop_assert!(again == jws || parsed != Parsed::parse(&jws).unwrap());
            }
        }
    }
}
