// SPDX-License-Identifier: Apache-2.0

//! The small languages inside of `Enarx.toml`: hosts, workload patterns, pinned roots.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use crate::digest::Sha256;
use crate::limits;
use crate::slug::{self, Slug};

/// A host, or a port of it: `example.com`, `example.com:8443`, `[::1]`, `[::1]:443`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// DNS name in lower case, or address in its canonical spelling (IPv6 without brackets).
    pub host: String,
    /// Port; `None`: all of them.
    pub port: Option<u16>,
}

impl HostPort {
    /// `host` in the one spelling that is compared, whatever way it was written.
    pub(super) fn normalised(host: &str, port: Option<u16>) -> Self {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let host = match bare.parse::<IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase(),
        };
        Self { host, port }
    }

    /// The host alone, as it stands in a `connect` entry.
    pub(super) fn host_only(text: &str) -> Option<String> {
        let host = Self::normalised(text, None).host;
        let valid =
            host.parse::<IpAddr>().is_ok() || (!host.contains(':') && slug::valid_host(&host));
        valid.then_some(host)
    }
}

/// Text that is none of these small languages, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsePatternError(pub(super) &'static str);

impl fmt::Display for ParsePatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ParsePatternError {}

impl FromStr for HostPort {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: ParsePatternError = ParsePatternError(
            "wanted a host such as \"example.com\", \"example.com:8443\" or \"[::1]:443\"",
        );
        let (host, port) = match text.rsplit_once(':') {
            // The last colon of a bare `[::1]` is inside of the brackets.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.contains(':') && !bracketed {
            return Err(ParsePatternError(
                "an IPv6 address stands in brackets: \"[::1]\" or \"[::1]:443\"",
            ));
        }
        let port = match port {
            None => None,
            Some(digits)
                if digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0') =>
            {
                Some(digits.parse().map_err(|_| WANTED)?)
            }
            Some(_) => return Err(WANTED),
        };
        let host = HostPort::host_only(host).ok_or(WANTED)?;
        if bracketed != host.contains(':') {
            return Err(WANTED);
        }
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

pub(super) fn hosts_as_strings<S: Serializer, V: Serialize>(
    hosts: &BTreeMap<HostPort, V>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(hosts.iter().map(|(host, rule)| (host.to_string(), rule)))
}

/// Which peers will do. All fields that are there must match; at least one is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PeerRule {
    /// The workload's name, vouched for by its registry.
    pub workload: Option<WorkloadPattern>,
    /// The workload's digest.
    pub digest: Option<Sha256>,
    /// The Keep's measurement: [`is_measurement`].
    pub measurement: Option<String>,
    /// Digest of the key that signed the Keep, written as a measurement.
    pub signer: Option<String>,
    /// The TEE, one of [`TEES`].
    pub tee: Option<String>,
    /// Digest of the policy under which it was appraised.
    pub policy: Option<Sha256>,
}

/// Names of the TEEs.
pub const TEES: [&str; 5] = ["snp", "sgx", "tdx", "nitro", "cca"];

/// Whether `text` is written as measurements and signers are: hex in lower case, of 32, 48 or 64 bytes.
pub fn is_measurement(text: &str) -> bool {
    matches!(text.len(), 64 | 96 | 128)
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// `host/user/repo`, optionally with `:` and a version or a version requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadPattern {
    /// Host of the registry, with its port where it has one.
    pub host: String,
    /// User or organisation.
    pub user: String,
    /// Repository.
    pub repo: String,
    /// Which tags will do; `None`: all.
    pub version: Option<VersionPattern>,
}

/// Which tags will do.
///
/// A full version (`1.2.0`) is meant exactly, so that a slug can be pasted as a pattern; everything else (`^1.2`, `~0.1.3`,
/// `>=1.0.0, <1.4.0`, `1.*`) is a requirement as Cargo reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionPattern {
    /// This version, build metadata included.
    Exact(semver::Version),
    /// Any version that meets this.
    Requirement(semver::VersionReq),
}

impl WorkloadPattern {
    /// Whether `slug` is one of those meant. Its digest plays no role.
    pub fn matches(&self, slug: &Slug) -> bool {
        let version = match &self.version {
            None => true,
            Some(VersionPattern::Exact(version)) => *version == slug.tag,
            Some(VersionPattern::Requirement(wanted)) => wanted.matches(&slug.tag),
        };
        version && self.host == slug.host && self.user == slug.user && self.repo == slug.repo
    }
}

impl FromStr for WorkloadPattern {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > limits::SLUG_BYTES_MAX {
            return Err(ParsePatternError("the pattern is longer than 512 bytes"));
        }
        if text.contains('@') {
            return Err(ParsePatternError(
                "a pattern carries no digest: put it into `digest` of the same peer",
            ));
        }
        let mut parts = text.splitn(3, '/');
        let (Some(host), Some(user), Some(rest)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(ParsePatternError(
                "wanted \"host/user/repo\", optionally with \":\" and a version",
            ));
        };
        let (repo, version) = match rest.split_once(':') {
            Some((repo, version)) => (repo, Some(version)),
            None => (rest, None),
        };
        if !slug::valid_host(host) {
            return Err(ParsePatternError("the host is no DNS name or address in lower case"));
        }
        if !slug::valid_user(user) {
            return Err(ParsePatternError("the user may have only letters and digits, at most 64"));
        }
        if !slug::valid_repo(repo) {
            return Err(ParsePatternError(
                "the repository may have only letters, digits and -, at most 64",
            ));
        }
        let version = version.map(str::parse).transpose()?;
        Ok(Self { host: host.to_owned(), user: user.to_owned(), repo: repo.to_owned(), version })
    }
}

impl FromStr for VersionPattern {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(version) = slug::parse_tag(text) {
            return Ok(Self::Exact(version));
        }
        let requirement = semver::VersionReq::parse(text).map_err(|_| {
            ParsePatternError(
                "after the : stands no version (1.2.0) or requirement (^1.2, >=1.0.0, <1.4.0)",
            )
        })?;
        Ok(Self::Requirement(requirement))
    }
}

impl fmt::Display for VersionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(version) => version.fmt(f),
            Self::Requirement(requirement) => requirement.fmt(f),
        }
    }
}

impl fmt::Display for WorkloadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.host, self.user, self.repo)?;
        match &self.version {
            Some(version) => write!(f, ":{version}"),
            None => Ok(()),
        }
    }
}

impl Serialize for WorkloadPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The root of a Steward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub enum RootPin {
    /// SHA-256 of the certificate's DER. The peer then has to send the root along.
    Fingerprint(Sha256),
    /// The certificate itself, DER.
    Certificate(Vec<u8>),
}

impl RootPin {
    /// SHA-256 of the certificate's DER.
    pub fn fingerprint(&self) -> Sha256 {
        match self {
            Self::Fingerprint(digest) => *digest,
            Self::Certificate(der) => Sha256::of(der),
        }
    }
}

impl From<RootPin> for String {
    fn from(pin: RootPin) -> Self {
        pin.fingerprint().to_string()
    }
}

impl FromStr for RootPin {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: ParsePatternError = ParsePatternError(
            "wanted \"sha256:<64 lower-case hex digits>\" of the certificate's DER, or one certificate as PEM",
        );
        if let Ok(digest) = text.parse() {
            return Ok(Self::Fingerprint(digest));
        }
        let body = text
            .trim()
            .strip_prefix("-----BEGIN CERTIFICATE-----")
            .and_then(|rest| rest.strip_suffix("-----END CERTIFICATE-----"))
            .ok_or(WANTED)?;
        let digits: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode(digits).map_err(|_| WANTED)?;
        // A DER SEQUENCE; everything else about it is checked where it is used.
        if der.first() != Some(&0x30) || der.len() > limits::CERTIFICATE_BYTES_MAX {
            return Err(WANTED);
        }
        Ok(Self::Certificate(der))
    }
}
