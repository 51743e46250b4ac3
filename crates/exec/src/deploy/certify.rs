// SPDX-License-Identifier: Apache-2.0

//! Steps 5 to 8: evidence, request, certificate.

use std::time::Instant;

use evidence::claims::pubkey_hash_of;
use types::hostlink::Event;

use crate::deploy::{Context, Failure, Stage, reach};
use crate::identity::{self, AttestError, CertifyError, Claimed, Identity, Key, Workload};

/// Gets a certificate for a new key and `workload` from Steward at `steward`; `None`: this backend cannot attest.
pub(super) fn certify(
    context: &Context<'_>,
    workload: Workload<'_>,
    steward: &str,
) -> Result<Option<Identity>, Failure> {
    let link = context.link;
    let key = Key::generate().map_err(|error| Failure::new(Stage::Attest, error))?;
    let agent = reach::agent(context, None)?;
    let since = Instant::now();
    let nonce = match identity::nonce(&agent, steward) {
        Ok(nonce) => nonce,
        // A backend that cannot attest needs no Steward.
        Err(_) if !identity::can_attest(context.platform) => return Ok(None),
        Err(error) => return Err(refused(error)),
    };
    link.timing("nonce", since);
    let since = Instant::now();
    let evidence = match identity::attest(&key, workload, &nonce, context.platform) {
        Ok(evidence) => evidence,
        Err(AttestError::Unsupported) => return Ok(None),
        Err(error) => {
            return Err(Failure::new(Stage::Attest, error)
                .hint("the platform answers, but not as it should: see `enarx platform info`"));
        }
    };
    link.timing("attestation", since);
    let report = &evidence.report;
    let mut facts = vec![
        ("technology", "SEV-SNP".to_owned()),
        ("report", format!("version {}", report.version)),
        ("measurement", hex::encode(report.measurement)),
        ("bound to the key", format!("sha384:{}", hex::encode(pubkey_hash_of(key.spki_der())))),
        ("bound to the workload", workload.digest.to_string()),
        ("made after", "Steward gave a nonce".to_owned()),
    ];
    if let Some((slug, _)) = workload.named {
        facts.push(("and to its name", slug.clone().without_digest().to_string()));
    }
    link.step(5, "The CPU attested to the Keep, its key and the workload", facts);

    let csr =
        identity::request(&key, &evidence).map_err(|error| Failure::new(Stage::Attest, error))?;
    link.step(
        6,
        "The Keep made a certification request; its key never leaves it",
        vec![
            ("key", "P-384, made in the Keep".to_owned()),
            ("request", format!("{} bytes, with the evidence", csr.len())),
        ],
    );

    let since = Instant::now();
    link.step(7, "The request goes to Steward", vec![("steward", steward.to_owned())]);
    let claimed_slug = workload.named.map(|(slug, _)| slug.clone().without_digest());
    let claimed =
        Claimed { spki_der: key.spki_der(), digest: workload.digest, slug: claimed_slug.as_ref() };
    let chain = identity::request_certificate(&agent, steward, &csr).map_err(refused)?;
    let certificate = identity::check(&chain, claimed, context.clock).map_err(refused)?;
    link.timing("certificate", since);
    link.step(8, "Steward appraised the evidence and signed", facts_of(&certificate));
    let identity = Identity::certified(key, chain);
    link.event(Event::Certificate { chain_pem: identity.chain_pem() });
    Ok(Some(identity))
}

fn refused(error: CertifyError) -> Failure {
    let hint = match &error {
        CertifyError::Url(_) => "write an https URL into the key `steward` of Enarx.toml".to_owned(),
        CertifyError::Transport(_) => {
            "is Steward running, is its certificate one that the roots given with --ca-bundle (or the Web PKI) \
             back, and is this machine's clock right?"
                .to_owned()
        }
        CertifyError::Refused(problem) => problem.hint.clone().unwrap_or_default(),
        CertifyError::Answer(_) => "is that URL a Steward, and is this machine's clock right?".to_owned(),
    };
    Failure::new(Stage::Certify, error).hint(hint)
}

fn facts_of(certificate: &verify::Identity) -> Vec<(&'static str, String)> {
    let mut facts = vec![("subject", certificate.subject.clone())];
    match &certificate.slug {
        Some(slug) => facts.push(("workload", slug.to_string())),
        None => facts.push(("workload", "no name: no registry vouches for one".to_owned())),
    }
    if let Some(digest) = &certificate.digest {
        facts.push(("digest", digest.to_string()));
    }
    let status = match (certificate.result.status(), certificate.result.facts.simulated) {
        (status, true) => format!("{status}: the silicon is simulated and proves nothing"),
        (status, false) => status.to_string(),
    };
    facts.push(("status", status));
    let policy =
        certificate.policy_uri.clone().unwrap_or_else(|| certificate.result.policy.to_string());
    facts.push(("policy", policy));
    facts.push(("valid", format!("{} to {}", certificate.not_before, certificate.not_after)));
    facts
}
