// SPDX-License-Identifier: Apache-2.0

//! From a VCEK or VLEK up to a trust anchor: names, signatures, dates, revocation.
//!
//! The chain is always the same three certificates, so there is no path to build. AMD publishes one revocation list per
//! product, signed by the ARK; it can list the ASK, the ASVK and the ARK itself. Keys below the ASK have none: it may not
//! sign revocation lists, and all VCEKs have serial 0, so that serial 0 in the ARK's list names none of them. A VCEK
//! ends by its dates, by a new TCB, or with its ASK.

use types::time::Timestamp;

use super::roots::{Roots, signed_by, split_name};
use super::vek::{Vek, VekKind};
use super::{Product, Tcb};
use crate::asn1::{Certificate, Crl};
use crate::check::{Check, Findings, Refusal, ensure};
use crate::crypto::Verifier;
use crate::policy::{Relaxation, SnpPolicy};

impl Roots {
    /// Checks ARK and ASK against the ARK's revocation lists (DER). Lists of other issuers play no role.
    ///
    /// # Errors
    /// A list that is missing, malformed, forged, not current, or that has one of them.
    pub fn check_revocation(
        &self,
        crls: &[&[u8]],
        policy: &SnpPolicy,
        now: Timestamp,
        verifier: &dyn Verifier,
    ) -> Result<(), Refusal> {
        let reread = |_| Refusal::new(Check::UntrustedRoot, "the root cannot be read");
        let ark = Certificate::parse(self.ark_der()).map_err(reread)?;
        let ask = Certificate::parse(self.ask_der()).map_err(reread)?;
        let mut findings = Findings::default();
        revocation(&ark, &[&ark, &ask], crls, policy, now, verifier, &mut findings)?;
        findings.finish().map(drop)
    }
}

/// A key that signs reports, with a verified chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorsed<'a> {
    /// The line of processors.
    pub product: Product,
    /// The TCB for which the key was derived.
    pub tcb: Tcb,
    /// Whose key it is.
    pub kind: VekKind,
    /// The key: P-384, uncompressed SEC 1 point, 97 bytes.
    pub public: &'a [u8],
    /// Whether the root is not AMD's.
    pub simulated: bool,
}

/// Verifies the certificate of a VCEK or VLEK up to one of `anchors`, without a report. `crls` are DER.
///
/// # Errors
/// The first check that fails.
pub fn verify_vek<'a>(
    vek: &'a [u8],
    crls: &[&[u8]],
    anchors: &[Roots],
    policy: &SnpPolicy,
    now: Timestamp,
    verifier: &dyn Verifier,
) -> Result<Endorsed<'a>, Refusal> {
    let mut findings = Findings::default();
    let brought = Brought { vek, asvk: None, crls };
    let endorsed = verify_chain(&brought, anchors, policy, now, verifier, &mut findings)?;
    findings.finish()?;
    Ok(endorsed)
}

/// What came with a report.
pub(crate) struct Brought<'a, 'c> {
    /// Certificate of the VCEK or VLEK, DER.
    pub(crate) vek: &'a [u8],
    /// Certificate of the key that signed a VLEK, DER.
    pub(crate) asvk: Option<&'a [u8]>,
    /// Revocation lists, DER.
    pub(crate) crls: &'c [&'c [u8]],
}

/// Verifies the certificate of a chip's key up to one of `anchors`, with the revocation lists `crls` (DER).
///
/// Fails at once but for a list that is missing or past its time, which goes to `findings`.
pub(crate) fn verify_chain<'a>(
    brought: &Brought<'a, '_>,
    anchors: &[Roots],
    policy: &SnpPolicy,
    now: Timestamp,
    verifier: &dyn Verifier,
    findings: &mut Findings,
) -> Result<Endorsed<'a>, Refusal> {
    let Brought { vek, asvk, crls } = *brought;
    let vek = Vek::parse(vek)?;
    let (roots, issuer_der) = issuer(&vek, asvk, anchors, verifier)?;
    // Roots hold what they once parsed.
    let reread = |_| Refusal::new(Check::UntrustedRoot, "the root cannot be read");
    let ark = Certificate::parse(roots.ark_der()).map_err(reread)?;
    let issuer = Certificate::parse(issuer_der).map_err(reread)?;

    let (wanted, by) = match vek.kind {
        VekKind::Vcek(_) => ("SEV-VCEK", "ASK"),
        VekKind::Vlek(_) => ("SEV-VLEK", "ASVK"),
    };
    let (subject, above) = (split_name(vek.certificate.subject), split_name(issuer.subject));
    let named = matches!((&subject, &above), (Some((rest, cn)), Some((above, _)))
        if *cn == wanted && rest == above);
    ensure(named, Check::VekName, || {
        format!("the certificate is not named {wanted} as its issuer names such certificates")
    })?;
    ensure(vek.product == roots.product(), Check::Product, || {
        format!("the VCEK is of a {} but was issued for {}", vek.product, roots.product())
    })?;
    for (name, certificate) in [("ARK", &ark), (by, &issuer), (wanted, &vek.certificate)] {
        let valid = (certificate.not_before..=certificate.not_after).contains(&now);
        ensure(valid, Check::CertificateExpired, || {
            let (from, to) = (certificate.not_before, certificate.not_after);
            format!("the {name} certificate is valid from {from} to {to}, and it is {now}")
        })?;
    }
    revocation(&ark, &[&ark, &issuer], crls, policy, now, verifier, findings)?;
    Ok(Endorsed {
        product: roots.product(),
        tcb: vek.tcb,
        kind: vek.kind,
        public: vek.public,
        simulated: roots.simulated(),
    })
}

/// The anchor whose ASK or ASVK signed this certificate.
///
/// Simulated roots may bear one name, so every anchor of the right name gets its try. `asvk` is one that came along: it
/// counts where an anchor's root vouches for it.
fn issuer<'r>(
    vek: &Vek<'_>,
    asvk: Option<&'r [u8]>,
    anchors: &'r [Roots],
    verifier: &dyn Verifier,
) -> Result<(&'r Roots, &'r [u8]), Refusal> {
    let mut named = false;
    for roots in anchors {
        let der = match vek.kind {
            VekKind::Vcek(_) => Some(roots.ask_der()),
            VekKind::Vlek(_) => roots
                .asvk_der()
                .or_else(|| asvk.filter(|asvk| roots.vouches_for_asvk(asvk, verifier))),
        };
        let Some(der) = der else { continue };
        let Ok(certificate) = Certificate::parse(der) else { continue };
        if certificate.subject != vek.certificate.issuer {
            continue;
        }
        named = true;
        let signed = &vek.certificate.signed;
        if signed_by(signed, vek.certificate.algorithm, certificate.spki, verifier) {
            return Ok((roots, der));
        }
    }
    let name = split_name(vek.certificate.issuer).map_or("an issuer without a name", |(_, cn)| cn);
    let name = name.escape_debug();
    Err(if named {
        Refusal::new(
            Check::VekSignature,
            format!(
                "the certificate of the chip's key is not signed by the {name} that is trusted"
            ),
        )
    } else {
        Refusal::new(
            Check::UntrustedRoot,
            format!(
                "the certificate of the chip's key was issued by \"{name}\", which is not trusted"
            ),
        )
    })
}

/// Checks `chain` against the ARK's revocation lists. Lists of other issuers play no role.
fn revocation(
    ark: &Certificate<'_>,
    chain: &[&Certificate<'_>],
    crls: &[&[u8]],
    policy: &SnpPolicy,
    now: Timestamp,
    verifier: &dyn Verifier,
    findings: &mut Findings,
) -> Result<(), Refusal> {
    let mut fresh = false;
    let mut stale = None;
    for der in crls {
        let malformed = |what: String| Refusal::new(Check::CrlMalformed, what);
        if der.len() > types::limits::CRL_BYTES_MAX {
            return Err(malformed("a revocation list is larger than any".into()));
        }
        let crl = Crl::parse(der)
            .map_err(|e| malformed(format!("a revocation list is malformed: {e}")))?;
        if crl.issuer != ark.subject {
            continue;
        }
        ensure(!crl.critical, Check::CrlMalformed, || {
            "the revocation list has a critical extension that AMD does not use".into()
        })?;
        ensure(
            signed_by(&crl.signed, crl.algorithm, ark.spki, verifier),
            Check::CrlSignature,
            || "the revocation list is not signed by the root that it names".into(),
        )?;
        if let Some(revoked) = chain.iter().find(|c| crl.revoked.contains(&c.serial)) {
            let serial = hex::encode(revoked.serial);
            return Err(Refusal::new(
                Check::Revoked,
                format!("the certificate with serial 0x{serial} is revoked"),
            ));
        }
        let Some(next) = crl.next_update else {
            return Err(malformed(
                "the revocation list does not say when the next one comes".into(),
            ));
        };
        ensure(crl.this_update <= now, Check::CrlExpired, || {
            format!("the revocation list is of {}, and it is {now}", crl.this_update)
        })?;
        if now <= next {
            fresh = true;
        } else {
            stale = Some(next);
        }
    }
    if fresh {
        return Ok(());
    }
    let (relaxation, check, detail) = match stale {
        Some(next) => (
            Relaxation::CrlExpired,
            Check::CrlExpired,
            format!("the revocation list expired on {next}, and it is {now}"),
        ),
        None => (
            Relaxation::CrlMissing,
            Check::CrlMissing,
            "there is no revocation list of the product's root".to_owned(),
        ),
    };
    let allowance = (policy.allowance(relaxation), now);
    findings.ensure_or_allow(false, relaxation.name(), allowance, check, || detail);
    Ok(())
}
