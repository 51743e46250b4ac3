// SPDX-License-Identifier: Apache-2.0

//! Whether a token comes from a platform that is trusted, and is of a realm that the policy takes.

use types::limits::CCA_TOKEN_BYTES_MAX;

use super::key::PlatformKey;
use super::platform::{Lifecycle, PlatformClaims};
use super::realm::RealmClaims;
use super::token::Token;
use crate::appraisal::{Context, Verified};
use crate::check::{Check, Findings, Refusal, ensure};
use crate::cose::{Malformed, Sign1};
use crate::policy::{CcaComponent, CcaPolicy, version_numbers};
use crate::result::{CcaFacts, Facts, TeeFacts};

/// Verifies a token. It needs no endorsements, so nothing else may come with it: platform keys are the policy's.
///
/// # Errors
/// The first check that fails; once the token is known to be genuine, all that fail.
pub(crate) fn verify(
    token: &[u8],
    endorsements: &[u8],
    context: &Context<'_>,
) -> Result<Verified, Refusal> {
    let Context { policy, verifier, .. } = *context;
    ensure(endorsements.is_empty(), Check::EvidenceMalformed, || {
        "something came along with the token, which needs nothing".into()
    })?;
    ensure(token.len() <= CCA_TOKEN_BYTES_MAX, Check::TokenMalformed, || {
        format!("the token has {} bytes", token.len())
    })?;
    let malformed = |error: Malformed| Refusal::new(Check::TokenMalformed, error.to_string());
    let token = Token::parse(token).map_err(malformed)?;
    let platform_message = Sign1::parse(token.platform).map_err(malformed)?;
    let realm_message = Sign1::parse(token.realm).map_err(malformed)?;
    let platform = PlatformClaims::parse(platform_message.payload()).map_err(malformed)?;
    let realm = RealmClaims::parse(realm_message.payload()).map_err(malformed)?;
    let simulated = signed_by_platform(&platform_message, &platform, context)?;
    ensure(platform.challenge == realm.key_hash.of(realm.public_key), Check::RealmBinding, || {
        "the platform vouches for another key than the realm's".into()
    })?;
    ensure(realm_message.is_signed_by(&realm.point, verifier), Check::RealmSignature, || {
        "the realm's token is not signed by the realm's key".into()
    })?;
    judge(&platform, &realm, simulated, &policy.cca)
}

/// The platform's token is signed by a key that the policy trusts for this platform, or by one of simulated silicon;
/// whether it is simulated.
fn signed_by_platform(
    message: &Sign1,
    platform: &PlatformClaims<'_>,
    context: &Context<'_>,
) -> Result<bool, Refusal> {
    let Context { policy, anchors, verifier, .. } = *context;
    let trusted = || policy.cca.platforms.iter().filter(|known| known.is_of(platform));
    // The same token vouches for all realms of a platform until it starts again.
    let signs = |key: &PlatformKey| message.is_endorsed_by(key.point(), verifier);
    if let Some(known) = trusted().find(|known| signs(&known.key)) {
        return Ok(known.simulated || known.key.published());
    }
    if anchors.cca.iter().any(signs) {
        return Ok(true);
    }
    if trusted().next().is_some() {
        let detail = "the platform's token is not signed by its key in the policy";
        return Err(Refusal::new(Check::PlatformSignature, detail));
    }
    let (implementation, instance) =
        (hex::encode(platform.implementation_id), hex::encode(platform.instance_id));
    let detail = format!(
        "the policy's [[cca.platform]] trusts no key for the implementation {implementation}, instance {instance}"
    );
    Err(Refusal::new(Check::UntrustedRoot, detail))
}

fn judge(
    platform: &PlatformClaims<'_>,
    realm: &RealmClaims<'_>,
    simulated: bool,
    policy: &CcaPolicy,
) -> Result<Verified, Refusal> {
    let mut findings = Findings::default();
    let secured = platform.lifecycle == Lifecycle::Secured;
    let named = policy.lifecycles.contains(&platform.lifecycle);
    findings.ensure_or_relax(secured, "lifecycle", named, Check::Lifecycle, || {
        format!("the platform is in the state {}, not secured", platform.lifecycle.name())
    });
    let listed = |list: &[Vec<u8>], value: &[u8]| list.iter().any(|listed| listed == value);
    let initial = hex::encode(realm.initial);
    let measured = policy.hash.is_empty() || listed(&policy.hash, realm.initial);
    findings.ensure(measured, Check::Measurement, || {
        format!("the measurement (RIM) {initial} is not in the policy's list")
    });
    findings.ensure(!listed(&policy.hash_blacklist, realm.initial), Check::Measurement, || {
        format!("the measurement (RIM) {initial} is on the policy's blacklist")
    });
    for (index, list) in &policy.rems {
        let value = realm.extensible.get(usize::from(*index)).copied().unwrap_or_default();
        findings.ensure(listed(list, value), Check::Rem, || {
            format!("REM {index} is {}, which the policy does not list", hex::encode(value))
        });
    }
    let personalization = match &policy.personalization {
        Some(list) => list.contains(&realm.personalization),
        None => realm.personalization == [0; 64],
    };
    findings.ensure(personalization, Check::Personalization, || {
        let value = hex::encode(realm.personalization);
        format!("the realm's personalization value is {value}")
    });
    for (name, wanted) in &policy.components {
        component(name, wanted, platform, &mut findings);
    }
    let relaxations = findings.finish()?;
    let rems = (0..).zip(realm.extensible).filter(|(_, value)| value.iter().any(|byte| *byte != 0));
    let facts = Facts {
        debug: !secured,
        measurement: initial,
        pinned: !policy.hash.is_empty(),
        relaxations,
        signer: None,
        simulated,
        tee: TeeFacts::Cca(CcaFacts {
            implementation_id: hex::encode(platform.implementation_id),
            instance_id: hex::encode(platform.instance_id),
            lifecycle: platform.lifecycle.name().to_owned(),
            rems: rems.map(|(index, value)| (index, hex::encode(value))).collect(),
        }),
        vtpm: None,
        workload: None,
    };
    Ok(Verified { bound: Some(realm.challenge), public_key: None, facts })
}

/// The platform has software of this name, and all that has it is as the policy wants it.
fn component(
    name: &str,
    wanted: &CcaComponent,
    platform: &PlatformClaims<'_>,
    findings: &mut Findings,
) {
    let listed = |list: &[Vec<u8>], value: &[u8]| {
        list.is_empty() || list.iter().any(|listed| listed == value)
    };
    let mut found = false;
    for component in platform.components.iter().filter(|component| component.name == Some(name)) {
        found = true;
        findings.ensure(
            listed(&wanted.measurement, component.measurement),
            Check::Component,
            || {
                let value = hex::encode(component.measurement);
                format!("{name} has the measurement {value}, which the policy does not list")
            },
        );
        findings.ensure(listed(&wanted.signer, component.signer), Check::Component, || {
            let value = hex::encode(component.signer);
            format!("{name} is signed by {value}, which the policy does not list")
        });
        if let Some(minimum) = &wanted.minimum_version {
            let version = component.version.and_then(version_numbers);
            findings.ensure(version.is_some_and(|v| v >= *minimum), Check::Component, || {
                let version = component.version.unwrap_or("none").escape_debug();
                format!("{name} has the version {version}, which is below the policy's minimum")
            });
        }
    }
    findings.ensure(found, Check::Component, || format!("the platform measured no {name}"));
}
