// SPDX-License-Identifier: Apache-2.0

//! Whether a document comes from AWS, and is of an enclave that the policy takes.

use types::limits::NITRO_DOCUMENT_BYTES_MAX;
use types::time::Timestamp;

use super::chain::{self, Leaf};
use super::document::Document;
use crate::appraisal::{Context, Verified};
use crate::check::{Check, Findings, Refusal, Seen, ensure};
use crate::container::Kind;
use crate::cose::{Algorithm, Malformed, Sign1};
use crate::policy::NitroPolicy;
use crate::result::{Facts, NitroFacts, TeeFacts};

/// How far in the future a document may be, in seconds: clocks differ.
const SKEW_SECONDS: u64 = 300;
/// The register of the image; zero if the enclave is started for debugging, as are 1 and 2.
const IMAGE: u8 = 0;
/// The register of the certificate that signed the image; zero if none did.
const SIGNER: u8 = 8;
/// Bytes of report data.
const BOUND_BYTES: usize = 64;

/// Verifies a document (COSE_Sign1). It carries its own endorsements, so nothing else may come with it.
///
/// # Errors
/// The first check that fails; once the document is known to be genuine, all that fail.
pub(crate) fn verify(
    document: &[u8],
    endorsements: &[u8],
    context: &Context<'_>,
) -> Result<Verified, Refusal> {
    let Context { policy, anchors, now, verifier, .. } = *context;
    ensure(endorsements.is_empty(), Check::EvidenceMalformed, || {
        "something came along with the document, which needs nothing".into()
    })?;
    ensure(document.len() <= NITRO_DOCUMENT_BYTES_MAX, Check::DocumentMalformed, || {
        format!("the document has {} bytes", document.len())
    })?;
    let malformed = |error: Malformed| Refusal::new(Check::DocumentMalformed, error.to_string());
    let message = Sign1::parse(document).map_err(malformed)?;
    ensure(
        message.algorithm == Algorithm::Es384 && !message.has_unprotected(),
        Check::DocumentMalformed,
        || {
            "its COSE_Sign1 is not of AWS's form: ES384 in the protected header, and no other"
                .into()
        },
    )?;
    let document = Document::parse(message.payload()).map_err(malformed)?;
    let leaf = chain::verify(&document, &anchors.nitro, now, verifier)?;
    ensure(message.is_signed_by(&leaf.point, verifier), Check::DocumentSignature, || {
        "the document is not signed by the key of its certificate".into()
    })?;
    judge(&document, &leaf, &policy.nitro, now)
}

fn judge(
    document: &Document<'_>,
    leaf: &Leaf,
    policy: &NitroPolicy,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let (image, signer) = (document.pcr(IMAGE), document.pcr(SIGNER));
    let debug = image == [0; 48];
    let mut findings = Findings::default();
    time(document, leaf, now, &mut findings);
    findings.ensure_or_allow(!debug, "debug", (policy.allow_debug, now), Check::Debug, || {
        "the enclave is started for debugging: its registers are zero".into()
    });
    let listed = |list: &[[u8; 48]], value| list.is_empty() || list.contains(value);
    findings.ensure(listed(&policy.hash, &image), Check::Measurement, || {
        format!("the image (PCR0) {} is not in the policy's list", hex::encode(image))
    });
    findings.ensure(!policy.hash_blacklist.contains(&image), Check::Measurement, || {
        format!("the image (PCR0) {} is on the policy's blacklist", hex::encode(image))
    });
    findings.ensure(listed(&policy.signer, &signer), Check::Signer, || {
        format!("the image's signer (PCR8) {} is not in the policy's list", hex::encode(signer))
    });
    for (index, list) in &policy.pcrs {
        let value = document.pcr(*index);
        findings.ensure(list.contains(&value), Check::Pcr, || {
            format!("register {index} is {}, which the policy does not list", hex::encode(value))
        });
    }
    let relaxations = findings.finish().map_err(|refusal| {
        refusal.about(|| Seen {
            kind: Kind::Nitro,
            product: "AWS".to_owned(),
            measurement: hex::encode(image),
            simulated: leaf.simulated,
        })
    })?;
    let set = |value: &[u8; 48]| *value != [0; 48];
    let pcrs = document.pcrs.iter().filter(|(_, value)| set(value));
    let facts = Facts {
        debug,
        measurement: hex::encode(image),
        pinned: !policy.hash.is_empty() || !policy.signer.is_empty(),
        relaxations,
        signer: set(&signer).then(|| hex::encode(signer)),
        simulated: leaf.simulated,
        tee: TeeFacts::Nitro(NitroFacts {
            module_id: document.module_id.to_owned(),
            pcrs: pcrs.map(|(index, value)| (*index, hex::encode(value))).collect(),
        }),
        vtpm: None,
        workload: None,
    };
    let bound = document.user_data.and_then(|data| <[u8; BOUND_BYTES]>::try_from(data).ok());
    Ok(Verified { bound, public_key: document.public_key.map(<[u8]>::to_vec), facts })
}

/// It is not of the future, and of the time in which its key might sign.
fn time(document: &Document<'_>, leaf: &Leaf, now: Timestamp, findings: &mut Findings) {
    let at = Timestamp(document.timestamp_ms / 1000);
    let latest = now.plus(SKEW_SECONDS).0.saturating_mul(1000);
    findings.ensure(document.timestamp_ms <= latest, Check::DocumentTime, || {
        format!("the document is of {at}, and it is {now}")
    });
    let Leaf { not_before, not_after, .. } = leaf;
    findings.ensure((*not_before..=*not_after).contains(&at), Check::DocumentTime, || {
        format!(
            "the document is of {at}, and its certificate is valid from {not_before} to {not_after}"
        )
    });
}
