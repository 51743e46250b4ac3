// SPDX-License-Identifier: Apache-2.0

//! Intel's rules for quotes, by the crate `dcap-qvl`: the quoting enclave's identity, the TCB level, the TDX module, and all
//! that has been looked at before once more.

use dcap_qvl::intel::PckExtension;
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteClaims, QuotePolicy};
use types::time::Timestamp;

use super::authenticate::Authentic;
use super::proof::Parts;
use crate::check::{Check, Findings, Refusal};

/// A genuine quote, with what Intel says about its platform.
pub(super) struct Genuine {
    /// What `dcap-qvl` found; or what it refuses the platform or the TD for.
    pub(super) claims: Result<QuoteClaims, (Check, String)>,
    /// What the PCK certificate says about the platform.
    pub(super) platform: PckExtension,
    pub(super) simulated: bool,
}

/// Goes by Intel's rules.
///
/// # Errors
/// The quote is not genuine after all. What speaks against the platform or the TD is told by [`Genuine::finish`].
pub(super) fn judge(
    statement: &[u8],
    authentic: Authentic<'_>,
    now: Timestamp,
) -> Result<Genuine, Refusal> {
    let Authentic { proofs, collateral, root, simulated, platform } = authentic;
    // What both let pass is for the policy to decide.
    let judge =
        QuoteVerifier::<Parts>::new_with_config(root).allow_debug(true).allow_service_td(true);
    let policy = QuotePolicy::claims_only(now.0);
    let outcome = proofs.during(|| judge.verify_with_policy(statement, collateral, now.0, &policy));
    let claims = match outcome {
        Ok(claims) => Ok(claims),
        Err(error) => Err(refused(format!("{error:#}"))?),
    };
    Ok(Genuine { claims, platform, simulated })
}

impl Genuine {
    /// The relaxations that were needed.
    ///
    /// # Errors
    /// Everything that was found, and what `dcap-qvl` refuses for if that is not among it.
    pub(super) fn finish(&self, mut findings: Findings) -> Result<Vec<String>, Refusal> {
        if let Err((check, message)) = &self.claims
            && !findings.has(*check)
        {
            findings.ensure(false, *check, || message.clone());
        }
        findings.finish()
    }
}

/// What `dcap-qvl` refuses with, beyond what has been looked at before: words of its messages, the check, and whether the
/// quote is genuine all the same. The first row that fits counts.
const CAUSES: [(&str, Check, bool); 20] = [
    ("TCB status is invalid: Revoked", Check::TcbStatus, true),
    ("No matching TCB level", Check::NoTcbLevel, true),
    ("is below minimum required from TDX module", Check::NoTcbLevel, true),
    ("QE ISVSVN", Check::QeIdentity, true),
    ("TDX module", Check::TdxModule, true),
    ("Reserved bits in TD attributes", Check::Attributes, true),
    ("TD migration is enabled", Check::Migratable, true),
    ("SEPT_VE_DISABLE", Check::SeptVeDisable, true),
    ("SERVTD_EXT", Check::ServiceTd, true),
    ("QE MRSIGNER", Check::QeIdentity, false),
    ("QE ISVPRODID", Check::QeIdentity, false),
    ("QE MISCSELECT", Check::QeIdentity, false),
    ("QE ATTRIBUTES", Check::QeIdentity, false),
    ("QE report validation", Check::QeIdentity, false),
    ("QE Identity", Check::QeIdentity, false),
    ("QE auth data", Check::QeReport, false),
    ("certificate chain", Check::IntelChain, false),
    ("PCK certificate", Check::IntelChain, false),
    ("TCB info in the collateral", Check::TcbInfo, false),
    ("TcbInfo", Check::CollateralMalformed, false),
];

/// Gives a refusal of `dcap-qvl` its name.
///
/// # Errors
/// It means that the quote is not genuine.
fn refused(message: String) -> Result<(Check, String), Refusal> {
    let cause = CAUSES.iter().find(|(words, ..)| message.contains(words));
    match cause {
        Some((_, check, true)) => Ok((*check, message)),
        Some((_, check, false)) => Err(Refusal::new(*check, message)),
        None => Err(Refusal::new(Check::CollateralMalformed, message)),
    }
}
