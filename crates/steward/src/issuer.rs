// SPDX-License-Identifier: Apache-2.0

//! From a certification request to a certificate, or to a refusal that names the check.

use std::sync::OnceLock;

use chassis::clock::Clock;
use der::asn1::Any;
use der::{Decode as _, Encode as _};
use evidence::crypto::AwsLc;
use evidence::result::AttestationResult;
use evidence::{Anchors, Context};
use types::problem::Problem;
use types::time::Timestamp;

use crate::authority::Authority;
use crate::certificate::{self, Order};
use crate::lint;
use crate::policies::Policies;

/// Who appraised, as it stands in attestation results.
pub const BUILD: &str = concat!("steward ", env!("CARGO_PKG_VERSION"));

/// Everything a decision is made from, but the request.
#[derive(Debug)]
pub struct Issuer {
    authority: Authority,
    policies: Policies,
    anchors: Anchors,
    clock: Clock,
    /// `https://host[:port]`, without slash at the end; known once Steward listens.
    url: OnceLock<String>,
}

/// Why there is no certificate. Boxed: a problem is larger than what goes well.
pub type Refused = Box<Problem>;

/// A certificate, ready to leave.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// Its serial number, hex.
    pub serial: String,
    /// What it says about the Keep.
    pub result: AttestationResult,
}

impl Issuer {
    /// An issuer. Its public address may follow later, see [`Self::set_url`].
    pub fn new(authority: Authority, policies: Policies, anchors: Anchors, clock: Clock) -> Self {
        Self { authority, policies, anchors, clock, url: OnceLock::new() }
    }

    /// Sets the public address, `https://host[:port]`, that certificates name; the first one counts.
    pub fn set_url(&self, url: &str) {
        let _ = self.url.set(url.trim_end_matches('/').to_owned());
    }

    /// The CA.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The policies.
    pub const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Appraises one request (PKCS#10, DER) and issues its certificate. Both outcomes are logged, one line each.
    ///
    /// # Errors
    /// A problem document: 401 without evidence, 400 for everything else that is wrong with the request, 500 if the
    /// certificate could not be made.
    pub fn issue(&self, request: &[u8]) -> Result<Issued, Refused> {
        let outcome = self.decide(request);
        match &outcome {
            Ok(issued) => log_issued(issued),
            Err(problem) => log_refused(problem),
        }
        outcome
    }

    fn decide(&self, request: &[u8]) -> Result<Issued, Refused> {
        let now = self.clock.now();
        self.authority_is_valid(now)?;
        let loaded = self.policies.current();
        let context = Context {
            policy: &loaded.policy,
            anchors: &self.anchors,
            nonces: None,
            build: BUILD,
            now,
            verifier: &AwsLc,
        };
        let decision =
            evidence::appraise(request, &context).map_err(|refusal| refused(&refusal))?;
        let workload = decision.result.facts.workload.as_ref();
        if decision.names.digest != workload.map(|w| w.digest)
            || decision.names.slug.as_ref() != workload.and_then(|w| w.slug.as_ref())
        {
            return Err(broken(&"the names of the decision are not those of its result"));
        }
        let (not_before, not_after) =
            certificate::window(now, decision.lifetime_seconds, &self.authority);
        let url = self.url.get().map_or("", String::as_str);
        let order = Order {
            spki_der: decision.spki_der,
            dns: decision.names.dns,
            ip: decision.names.ip,
            not_before,
            not_after,
            policy_uri: format!("{url}/policy/{}", loaded.digest().to_hex()),
            result: decision.result,
        };
        let made = certificate::make(&order, &self.authority).map_err(|error| broken(&error))?;
        lint::check(&made.der, &order, &self.authority).map_err(|flaw| broken(&flaw))?;
        Ok(Issued { certificate: made.der, serial: made.serial, result: order.result })
    }

    /// A root that ran out while Steward ran signs nothing that anybody would accept.
    fn authority_is_valid(&self, now: Timestamp) -> Result<(), Refused> {
        let (first, last) = (self.authority.not_before(), self.authority.not_after());
        if (first..last).contains(&now) {
            return Ok(());
        }
        let detail = format!(
            "this Steward's CA is valid from {first} to {last}, and by its clock it is {now}"
        );
        tracing::error!(detail, "no certificate could be made");
        let problem = Problem::new(503, "Service Unavailable", detail)
            .check("steward.authority")
            .hint("tell the operator: the CA needs to be renewed, or the clock to be set");
        Err(Box::new(problem))
    }

    /// DER of the PkiPath: SEQUENCE OF Certificate, from the root's end to the new certificate (RFC 6066 section 10.1).
    ///
    /// # Errors
    /// 500, if a certificate does not encode.
    pub fn pki_path(&self, issued: &Issued) -> Result<Vec<u8>, Refused> {
        let chain = self.authority.chain().iter().rev();
        sequence(chain.chain([&issued.certificate])).map_err(|error| broken(&error))
    }

    /// DER of `SEQUENCE { chain SEQUENCE OF Certificate, issued SEQUENCE OF Certificate }`, the answer to a bundle.
    ///
    /// # Errors
    /// 500, if a certificate does not encode.
    pub fn bundle(&self, issued: &[Issued]) -> Result<Vec<u8>, Refused> {
        let encode = || {
            let chain = sequence(self.authority.chain().iter().rev())?;
            let issued = sequence(issued.iter().map(|issued| &issued.certificate))?;
            sequence([&chain, &issued])
        };
        encode().map_err(|error| broken(&error))
    }
}

fn sequence<'a>(parts: impl IntoIterator<Item = &'a Vec<u8>>) -> der::Result<Vec<u8>> {
    parts.into_iter().map(|der| Any::from_der(der)).collect::<der::Result<Vec<Any>>>()?.to_der()
}

fn refused(refusal: &evidence::Refusal) -> Refused {
    let status = match refusal.check {
        "evidence-missing" => 401,
        _ => 400,
    };
    let problem = Problem::new(status, "Evidence refused", refusal.detail.clone())
        .check(refusal.check)
        .hint(refusal.hint.clone());
    Box::new(problem)
}

/// Our own fault; the log has the words, the client learns that it is not at fault.
fn broken(error: &dyn std::fmt::Display) -> Refused {
    tracing::error!(%error, "no certificate could be made");
    Box::new(Problem::new(500, "Internal Server Error", "").check("steward.internal"))
}

fn log_issued(issued: &Issued) {
    let facts = &issued.result.facts;
    let workload = facts.workload.as_ref();
    tracing::info!(
        target: "steward::issuance",
        decision = "issued",
        serial = issued.serial,
        status = %issued.result.status(),
        tee = facts.tee.name(),
        simulated = facts.simulated,
        measurement = facts.measurement,
        digest = workload.map(|w| w.digest.to_string()),
        slug = workload.and_then(|w| w.slug.as_ref()).map(ToString::to_string),
        policy = %issued.result.policy,
        "certificate issued"
    );
}

fn log_refused(problem: &Problem) {
    tracing::warn!(
        target: "steward::issuance",
        decision = "refused",
        check = problem.check,
        status = problem.status,
        detail = problem.detail,
        "request refused"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{CA_SECONDS, generate};
    use crate::policies::Loaded;

    fn issuer(now: Timestamp) -> Issuer {
        let start = Timestamp(1_700_000_000);
        let root = generate("Test CA", start).unwrap();
        let authority =
            Authority::from_pem(root.certificate_pem.as_bytes(), root.key_pem.as_bytes(), start)
                .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        chassis::durable::write(&path, b"", 0o644).unwrap();
        let policies = Policies::new(Loaded::read(&path).unwrap());
        Issuer::new(authority, policies, crate::roots::vendors().unwrap(), Clock::Fixed(now))
    }

    #[test]
    fn nothing_is_signed_outside_of_the_authoritys_time() {
        let check = |now: u64| {
            let problem = issuer(Timestamp(now)).issue(b"no request").unwrap_err();
            (problem.status, problem.check.unwrap_or_default())
        };
        let (first, last) = (1_700_000_000, 1_700_000_000 + CA_SECONDS);
        for outside in [first - 1, last, last + 1] {
            assert_eq!(check(outside), (503, "steward.authority".to_owned()));
        }
        for inside in [first, last - 1] {
            assert_eq!(check(inside), (400, "request-malformed".to_owned()));
        }
    }

    #[test]
    fn the_first_address_counts() {
        let issuer = issuer(Timestamp(1_700_000_000));
        issuer.set_url("https://steward.example.com/");
        issuer.set_url("https://127.0.0.1:3000");
        assert_eq!(issuer.url.get().unwrap(), "https://steward.example.com");
    }
}
