// SPDX-License-Identifier: Apache-2.0

//! Why a chain is no identity.

use std::fmt;

use evidence::result::NotAResult;

/// Why a certificate chain proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is no certificate, more than anybody needs, or a larger one.
    Chain,
    /// No anchor can serve: none is named, or none of those named; why.
    NoAnchor(&'static str),
    /// The chain does not lead to an anchor, or a certificate in it is not valid: what path validation says.
    Path(String),
    /// A certificate is no DER certificate, or an extension in it is malformed.
    Malformed(String),
    /// The certificate is not made for this use, and what it lacks.
    Usage(&'static str),
    /// The certificate carries no attestation result: its authority is trusted, but it is no Keep's.
    NoResult,
    /// The attestation result cannot be read.
    Result(NotAResult),
    /// Names in the certificate are not those in its attestation result.
    Names(&'static str),
}

impl VerifyError {
    /// The stable name of the check that failed.
    pub const fn check(&self) -> &'static str {
        match self {
            Self::Chain => "chain.length",
            Self::NoAnchor(_) => "chain.anchor",
            Self::Path(_) => "chain.path",
            Self::Malformed(_) => "certificate.malformed",
            Self::Usage(_) => "certificate.usage",
            Self::NoResult => "certificate.result.missing",
            Self::Result(_) => "certificate.result.malformed",
            Self::Names(_) => "certificate.names",
        }
    }

    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Chain => "the peer must send its certificate and those of its issuers",
            Self::NoAnchor(_) => {
                "name the Steward's root, check that it is valid today, and if it is named by fingerprint that the peer sends it along"
            }
            Self::Path(_) => {
                "check that the anchor is the Steward that issued the certificate, and the clock"
            }
            Self::NoResult => "the peer has an ordinary certificate; a Keep has one from a Steward",
            Self::Malformed(_) | Self::Usage(_) | Self::Result(_) | Self::Names(_) => {
                "a Steward does not issue such certificates; do not trust it"
            }
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain => f.write_str("there is no certificate chain of a sensible length"),
            Self::NoAnchor(why) => write!(f, "there is no trust anchor for it: {why}"),
            Self::Path(why) => write!(f, "the certificate does not lead to a trust anchor: {why}"),
            Self::Malformed(why) => write!(f, "the certificate is malformed: {why}"),
            Self::Usage(lacks) => write!(f, "the certificate is not made for this use: {lacks}"),
            Self::NoResult => f.write_str("the certificate carries no attestation result"),
            Self::Result(error) => error.fmt(f),
            Self::Names(which) => {
                write!(f, "the certificate contradicts its attestation result: {which}")
            }
        }
    }
}

impl std::error::Error for VerifyError {}
