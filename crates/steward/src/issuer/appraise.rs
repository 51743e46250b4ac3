// SPDX-License-Identifier: Apache-2.0

//! Attestation results without certificates: signed JWTs (docs/FORMATS.md 3.12).

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use const_oid::db::rfc5912::ECDSA_WITH_SHA_384;
use der::asn1::UintRef;
use der::{Decode as _, Sequence};
use evidence::{Appraisal, Context, Evidence};
use serde_json::{Map, Value, json};

use super::{BUILD, Issuer, Refused, Seen, authority_is_valid, broken, not_made, refused};
use crate::audit::{Caller, Decided, Verdict};
use crate::authority::Authority;

impl Issuer {
    /// Appraises evidence, and signs what it is worth: a JWT.
    ///
    /// # Errors
    /// As [`Self::issue`]; 503 if the decision cannot be written down.
    pub fn appraise(&self, evidence: &Evidence, caller: &Caller) -> Result<String, Refused> {
        let (time, started) = (self.clock.now(), Instant::now());
        let mut seen = Seen { kind: Some(evidence.kind), ..Seen::default() };
        let outcome = self.result(evidence, &mut seen);
        self.audit.metrics().took(started.elapsed());
        let verdict = match &outcome {
            Ok(_) => Verdict::Appraised,
            Err(problem) => Verdict::of(problem),
        };
        self.audit.decided(&Decided {
            time,
            caller,
            verdict,
            kind: seen.kind,
            policy: seen.policy,
            problem: outcome.as_ref().err().map(AsRef::as_ref),
            others: &seen.others,
            genuine: seen.genuine.as_deref(),
            issued: None,
            place: None,
        })?;
        outcome
    }

    fn result(&self, evidence: &Evidence, seen: &mut Seen) -> Result<String, Refused> {
        let now = self.clock.now();
        let authority = self.authority();
        authority_is_valid(&authority, now)?;
        let loaded = self.policies.current();
        seen.policy = Some(loaded.digest());
        let context = Context {
            policy: &loaded.policy,
            anchors: &self.anchors,
            nonces: Some(&self.nonces),
            build: BUILD,
            now,
            verifier: &self.verifier,
        };
        let appraisal =
            evidence::appraise_evidence(evidence, None, &context).map_err(|refusal| {
                let problem = refused(&refusal);
                seen.others = refusal.others;
                seen.genuine = refusal.seen;
                problem
            })?;
        seen.genuine = Some(Box::new(appraisal.result.facts.seen(evidence.kind)));
        let url = self.url.get().map_or("", String::as_str);
        let expires = now.plus(loaded.policy.lifetime_seconds).min(authority.not_after());
        let claims = claims(&appraisal, url, expires.0).map_err(|error| broken(&error))?;
        let jwt = sign(&claims, &authority)?;
        if let Some(nonce) = &appraisal.nonce {
            self.spend(nonce, now)?;
        }
        Ok(jwt)
    }
}

/// The EAR, with what a certificate would say in other places.
fn claims(
    appraisal: &Appraisal,
    url: &str,
    expires: u64,
) -> Result<Map<String, Value>, serde_json::Error> {
    let mut claims: Map<String, Value> = serde_json::from_str(&appraisal.result.to_json())?;
    claims.insert("iss".to_owned(), url.into());
    claims.insert("exp".to_owned(), expires.into());
    if let Some(nonce) = &appraisal.nonce {
        claims.insert("eat_nonce".to_owned(), URL_SAFE_NO_PAD.encode(nonce).into());
    }
    let bound = match (appraisal.pubkey_hash, appraisal.report_data) {
        (Some(hash), _) => json!({ "pubkey_hash": hex::encode(hash) }),
        (None, Some(data)) => json!({ "report_data": hex::encode(data) }),
        (None, None) => Value::Null,
    };
    claims.insert("enarx.bound".to_owned(), bound);
    Ok(claims)
}

/// JWS compact serialisation (RFC 7515), with the CA's chain.
fn sign(claims: &Map<String, Value>, authority: &Authority) -> Result<String, Refused> {
    let (algorithm, half) = match authority.algorithm().oid {
        ECDSA_WITH_SHA_384 => ("ES384", 48),
        _ => ("ES256", 32),
    };
    let chain: Vec<String> = authority.chain().iter().map(|der| STANDARD.encode(der)).collect();
    let header = json!({
        "alg": algorithm,
        "kid": hex::encode(authority.key_id()),
        "typ": "eat+jwt",
        "x5c": chain,
    });
    let part = |value: String| URL_SAFE_NO_PAD.encode(value);
    let payload = serde_json::to_string(claims).map_err(|error| broken(&error))?;
    let input = format!("{}.{}", part(header.to_string()), part(payload));
    let signature = authority.sign(input.as_bytes()).map_err(|error| not_made(&error))?;
    let fixed = fixed(&signature, half).map_err(|error| broken(&error))?;
    Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(fixed)))
}

/// ECDSA-Sig-Value (RFC 3279 section 2.2.3).
#[derive(Sequence)]
struct Signature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// A signature as JWS has it: both numbers, of `half` bytes each (RFC 7518 section 3.4).
fn fixed(der: &[u8], half: usize) -> der::Result<Vec<u8>> {
    let Signature { r, s } = Signature::from_der(der)?;
    let mut out = Vec::with_capacity(2 * half);
    for number in [r.as_bytes(), s.as_bytes()] {
        out.extend(std::iter::repeat_n(0, half.saturating_sub(number.len())));
        out.extend_from_slice(number);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_are_filled_up() {
        let der = [0x30, 7, 2, 1, 5, 2, 2, 0, 0x80];
        assert_eq!(fixed(&der, 3).unwrap(), [0, 0, 5, 0, 0, 0x80]);
        assert!(fixed(&der[..8], 3).is_err());
    }
}
