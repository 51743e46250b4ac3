// SPDX-License-Identifier: Apache-2.0

//! Why a chain is no identity, or one that will not do.

use std::fmt;

use evidence::result::NotAResult;

use crate::Unmet;

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
    /// A certificate in the path is revoked, or a revocation list cannot be used, and why.
    Revocation(String),
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
            Self::Revocation(_) => "chain.revocation",
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
            Self::Revocation(_) => {
                "do not trust it; if the list has ended or is not the issuer's, get the current one"
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
            Self::Revocation(why) => write!(f, "{why}"),
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

/// Why a relying party turns a peer away. Inside of rustls it is what `CertificateError::Other` holds: [`crate::tls::refusal`].
#[derive(Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Its chain proves nothing.
    Chain(VerifyError),
    /// What it proves is not enough.
    Requirement(Unmet),
}

impl Refusal {
    /// The stable name of what failed.
    pub fn check(&self) -> &'static str {
        match self {
            Self::Chain(error) => error.check(),
            Self::Requirement(unmet) => unmet.check(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Chain(error) => error.hint(),
            Self::Requirement(unmet) => unmet.hint(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain(error) => error.fmt(f),
            Self::Requirement(unmet) => unmet.fmt(f),
        }
    }
}

/// In words: it is what rustls shows of the errors of verifiers, and what most programs therefore log.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refusal({:?})", self.to_string())
    }
}

impl std::error::Error for Refusal {}

impl From<VerifyError> for Refusal {
    fn from(error: VerifyError) -> Self {
        Self::Chain(error)
    }
}

impl From<Unmet> for Refusal {
    fn from(unmet: Unmet) -> Self {
        Self::Requirement(unmet)
    }
}
