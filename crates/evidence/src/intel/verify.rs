// SPDX-License-Identifier: Apache-2.0

//! From quote and collateral to facts.
//!
//! Signatures, chains, revocation and dates are looked at first, so that what is wrong gets its name (`authenticate`); then
//! `dcap-qvl` goes over all of it again and judges the platform (`qvl`); what it leaves to its caller comes last (`platform`,
//! `sgx`, `tdx`).

use super::authenticate::authenticate;
use super::collateral::Collateral;
use super::quote::Quote;
use super::report::{Enclave, Td};
use super::{qvl, sgx, tdx};
use crate::appraisal::{Context, Verified};
use crate::check::{Check, Refusal, ensure};
use crate::container::Kind;

/// Verifies a quote with its collateral (docs/FORMATS.md 3.9).
///
/// # Errors
/// The first check that fails; once the quote is known to be genuine, all that fail.
pub(crate) fn verify(
    kind: Kind,
    statement: &[u8],
    endorsements: &[u8],
    context: &Context<'_>,
) -> Result<Verified, Refusal> {
    let collateral = Collateral::from_bytes(endorsements)
        .map_err(|error| Refusal::new(Check::EvidenceMalformed, error.to_string()))?;
    let malformed = |what: &str| Refusal::new(Check::QuoteMalformed, format!("the quote: {what}"));
    let quote = Quote::parse(statement).map_err(malformed)?;
    ensure(quote.kind() == kind, Check::QuoteMalformed, || {
        format!("the quote is one of {}, not of {}", quote.kind().name(), kind.name())
    })?;
    let authentic = authenticate(&quote, &collateral, context)?;
    let genuine = qvl::judge(statement, authentic, context.now)?;
    let short = || malformed("its report is short");
    if kind == Kind::Sgx {
        let enclave = Enclave::parse(quote.report).ok_or_else(short)?;
        sgx::judge(&enclave, &genuine, &context.policy.sgx, context.now)
    } else {
        let td = Td::parse(quote.body, quote.report).ok_or_else(short)?;
        tdx::judge(&td, &genuine, &context.policy.tdx, context.now)
    }
}
