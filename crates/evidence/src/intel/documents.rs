// SPDX-License-Identifier: Apache-2.0

//! Intel's signed documents: TCB info and QE identity (Intel SGX and TDX provisioning certification service API, version 4).

use serde::Deserialize;
use serde_json::value::RawValue;
use types::time::Timestamp;

use crate::check::{Check, Refusal, ensure};

/// A document, as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document<'a> {
    /// The bytes that are signed.
    pub(super) raw: &'a str,
    /// `r ‖ s`.
    pub(super) signature: [u8; 64],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TcbBody<'a> {
    #[serde(borrow, rename = "tcbInfo")]
    document: &'a RawValue,
    #[serde(borrow)]
    signature: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QeBody<'a> {
    #[serde(borrow, rename = "enclaveIdentity")]
    document: &'a RawValue,
    #[serde(borrow)]
    signature: &'a str,
}

/// What is read of TCB info before `dcap-qvl` reads all of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TcbInfo {
    /// `SGX` or `TDX`.
    pub(super) id: String,
    pub(super) issue_date: Timestamp,
    pub(super) next_update: Timestamp,
    pub(super) fmspc: String,
    pub(super) pce_id: String,
    pub(super) tcb_type: u32,
}

/// The same of QE identities.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QeIdentity {
    /// `QE` or `TD_QE`.
    pub(super) id: String,
    pub(super) issue_date: Timestamp,
    pub(super) next_update: Timestamp,
}

fn malformed(what: &str, detail: impl std::fmt::Display) -> Refusal {
    Refusal::new(Check::CollateralMalformed, format!("the {what}: {detail}"))
}

impl<'a> Document<'a> {
    fn new(what: &str, raw: &'a RawValue, signature: &str) -> Result<Self, Refusal> {
        let mut bytes = [0; 64];
        hex::decode_to_slice(signature, &mut bytes)
            .map_err(|_| malformed(what, "its signature is not 128 hex digits"))?;
        Ok(Self { raw: raw.get(), signature: bytes })
    }

    /// The body of an answer about the TCB.
    pub(super) fn tcb_info(body: &'a str) -> Result<(Self, TcbInfo), Refusal> {
        let what = "TCB info";
        let TcbBody { document, signature } =
            serde_json::from_str(body).map_err(|error| malformed(what, error))?;
        let document = Self::new(what, document, signature)?;
        let found = serde_json::from_str(document.raw).map_err(|error| malformed(what, error))?;
        Ok((document, found))
    }

    /// The body of an answer about the quoting enclave.
    pub(super) fn qe_identity(body: &'a str) -> Result<(Self, QeIdentity), Refusal> {
        let what = "QE identity";
        let QeBody { document, signature } =
            serde_json::from_str(body).map_err(|error| malformed(what, error))?;
        let document = Self::new(what, document, signature)?;
        let found = serde_json::from_str(document.raw).map_err(|error| malformed(what, error))?;
        Ok((document, found))
    }
}

/// Refuses a document that is not of now.
pub(super) fn current(
    what: &str,
    issued: Timestamp,
    next: Timestamp,
    now: Timestamp,
) -> Result<(), Refusal> {
    ensure((issued..=next).contains(&now), Check::CollateralExpired, || {
        format!("the {what} holds from {issued} to {next}, and it is {now}")
    })
}
