// SPDX-License-Identifier: Apache-2.0

//! From a certification request to a certificate, or to a refusal that names the check.

mod appraise;

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use chassis::clock::Clock;
use chassis::metrics::Registry;
use der::asn1::Any;
use der::{Decode as _, Encode as _};
use evidence::crypto::{AwsLc, Cached};
use evidence::csr::Request;
use evidence::result::AttestationResult;
use evidence::{Anchors, Check, Context, Failure, Kind};
use types::digest::Sha256;
use types::limits;
use types::problem::Problem;
use types::time::Timestamp;

use crate::audit::{Audit, Caller, Decided, Verdict};
use crate::authority::{Authority, AuthorityError, crl};
use crate::certificate::{self, Order};
use crate::lint;
use crate::log::entry::Record;
use crate::log::{IssuanceLog, LogError, Receipt};
use crate::nonce::{Mint, Unusable};
use crate::policies::Policies;
use crate::published::Published;

/// Who appraised, as it stands in attestation results.
pub const BUILD: &str = concat!("steward ", env!("CARGO_PKG_VERSION"));

/// Everything a decision is made from, but the request.
#[derive(Debug)]
pub struct Issuer {
    authority: RwLock<Arc<Authority>>,
    policies: Policies,
    anchors: Anchors,
    clock: Clock,
    log: IssuanceLog,
    audit: Arc<Audit>,
    published: Published,
    nonces: Mint,
    /// Remembers the endorsements that verified.
    verifier: Cached<AwsLc>,
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
    /// Who signed it.
    pub authority: Arc<Authority>,
    /// What kind of evidence it was issued for.
    pub kind: Kind,
    /// The nonce that it used up.
    nonce: Option<Vec<u8>>,
}

/// Certificates that are made, but not yet known to be in the issuance log. Nobody gets at them before they are.
#[derive(Debug)]
pub struct Unrecorded {
    receipt: Receipt,
    leaving: Leaving,
}

/// Certificates on their way out, and who gets them.
#[derive(Debug)]
struct Leaving {
    issued: Vec<Issued>,
    time: Timestamp,
    caller: Caller,
    audit: Arc<Audit>,
}

impl Unrecorded {
    /// Waits until the log has them.
    ///
    /// # Errors
    /// 503, if they cannot be recorded.
    pub async fn recorded(self) -> Result<Vec<Issued>, Refused> {
        self.leaving.leave(self.receipt.recorded().await)
    }

    /// The same, on a thread that may block.
    ///
    /// # Errors
    /// As [`Self::recorded`].
    pub fn wait(self) -> Result<Vec<Issued>, Refused> {
        self.leaving.leave(self.receipt.wait())
    }
}

impl Leaving {
    fn leave(self, outcome: Result<(), Arc<LogError>>) -> Result<Vec<Issued>, Refused> {
        match outcome {
            Ok(()) => {
                let written = self.write_down(Verdict::Issued, None);
                written.inspect_err(|problem| {
                    // Some of them may have a line already that says that they leave.
                    let _ = self.write_down(Verdict::Withheld, Some(problem));
                })?;
                Ok(self.issued)
            }
            Err(error) => {
                let problem = unrecorded(&error);
                let _ = self.write_down(Verdict::Withheld, Some(&problem));
                Err(problem)
            }
        }
    }

    fn write_down(&self, verdict: Verdict, problem: Option<&Problem>) -> Result<(), Refused> {
        let Self { issued, time, caller, audit, .. } = self;
        let whole = issued.len();
        write_down(audit, caller, *time, issued, whole, verdict, problem)
    }
}

/// Writes down what became of certificates that were made.
fn write_down(
    audit: &Audit,
    caller: &Caller,
    time: Timestamp,
    issued: &[Issued],
    bundle: usize,
    verdict: Verdict,
    problem: Option<&Problem>,
) -> Result<(), Refused> {
    issued.iter().enumerate().try_for_each(|(place, issued)| {
        audit.decided(&Decided {
            time,
            caller,
            verdict,
            kind: Some(issued.kind),
            policy: Some(issued.result.policy),
            problem,
            others: &[],
            genuine: None,
            issued: Some(issued),
            place: (bundle > 1).then_some((place + 1, bundle)),
        })
    })
}

/// What came to light of a request while it was decided.
#[derive(Debug, Default)]
struct Seen {
    kind: Option<Kind>,
    policy: Option<Sha256>,
    others: Vec<Failure>,
    genuine: Option<Box<evidence::Seen>>,
}

impl Issuer {
    /// An issuer. Its public address may follow later, see [`Self::set_url`].
    pub fn new(
        authority: Authority,
        policies: Policies,
        anchors: Anchors,
        clock: Clock,
        log: IssuanceLog,
        nonces: Mint,
    ) -> Self {
        let authority = RwLock::new(Arc::new(authority));
        let audit = Arc::new(Audit::new(&Registry::new()));
        let (published, url) = (Published::default(), OnceLock::new());
        let verifier = Cached::new(AwsLc, limits::ENDORSEMENTS_REMEMBERED);
        Self { authority, policies, anchors, clock, log, nonces, audit, published, verifier, url }
    }

    /// The same, with its decisions written down here.
    #[must_use]
    pub fn audited(self, audit: Audit) -> Self {
        Self { audit: Arc::new(audit), ..self }
    }

    /// Where decisions are written down.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Sets the public address, `https://host[:port]`, that certificates name; the first one counts.
    pub fn set_url(&self, url: &str) {
        let _ = self.url.set(url.trim_end_matches('/').to_owned());
    }

    /// The CA in service.
    pub fn authority(&self) -> Arc<Authority> {
        self.authority.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another CA into service. Decisions under way end under the one they began with.
    pub fn replace_authority(&self, authority: Authority) {
        *self.authority.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(authority);
    }

    /// Whether the CA in service is valid by the clock.
    ///
    /// # Errors
    /// It is not; from when to when it is.
    pub fn valid_now(&self) -> Result<(), String> {
        validity(&self.authority(), self.clock.now())
    }

    /// Whether the revocation list of the CA in service is valid by the clock, if certificates name it.
    ///
    /// # Errors
    /// It is not, and why.
    pub fn list_valid_now(&self) -> Result<(), String> {
        let authority = self.authority();
        if !authority.names_list() {
            return Ok(());
        }
        let known = self.published.known();
        let files = known.get(&hex::encode(authority.key_id()));
        let list = files.and_then(|files| Some((files.list.as_ref()?, &files.certificate)));
        let (list, certificate) = list.ok_or("it is not there")?;
        crl::read(list, certificate, self.clock.now()).map(drop).map_err(|error| error.to_string())
    }

    /// The policies.
    pub const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// What anybody may fetch about the issuers.
    pub const fn published(&self) -> &Published {
        &self.published
    }

    /// The issuance log.
    pub const fn log(&self) -> &IssuanceLog {
        &self.log
    }

    /// A new nonce for evidence, see [`Mint::mint`].
    ///
    /// # Errors
    /// 500, if the system has no randomness.
    pub fn nonce(&self) -> Result<Vec<u8>, Refused> {
        self.nonces.mint(self.clock.now()).ok_or_else(|| broken(&"no randomness for a nonce"))
    }

    /// The time by which everything is judged.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Appraises one request (PKCS#10, DER), issues its certificate and waits until it is recorded. Both outcomes are
    /// logged, one line each.
    ///
    /// # Errors
    /// A problem document: 401 without evidence, 400 for everything else that is wrong with the request, 500 if the
    /// certificate could not be made, 503 if it could not be recorded.
    pub fn issue(&self, request: &[u8], caller: &Caller) -> Result<Issued, Refused> {
        let made = self.issue_all(&[request], caller)?;
        made.wait()?.pop().ok_or_else(|| broken(&"no certificate"))
    }

    /// Appraises requests and makes their certificates, all or none; what remains is to wait until they are recorded.
    ///
    /// # Errors
    /// As [`Self::issue`], for the first request that is refused.
    pub fn issue_all(&self, requests: &[&[u8]], caller: &Caller) -> Result<Unrecorded, Refused> {
        let authority = self.authority();
        let time = self.clock.now();
        let mut issued = Vec::with_capacity(requests.len());
        for request in requests {
            let (mut seen, started) = (Seen::default(), Instant::now());
            let outcome = self.decide(request, &authority, &mut seen);
            self.audit.metrics().took(started.elapsed());
            match outcome {
                Ok(made) => issued.push(made),
                Err(problem) => {
                    // None of a bundle leaves, so none uses up its nonce.
                    let nonces = issued.iter().filter_map(|issued| issued.nonce.as_deref());
                    nonces.for_each(|nonce| self.nonces.give_back(nonce));
                    return Err(self.refuse(problem, &seen, caller, &issued, requests.len()));
                }
            }
        }
        let records: Vec<Record> = issued.iter().map(record).collect();
        let appended = self.log.append(&records).map_err(|error| unrecorded(&error));
        let withhold = |problem: &Refused| {
            let verdict = Verdict::Withheld;
            let (audit, whole) = (&self.audit, issued.len());
            let _ = write_down(audit, caller, time, &issued, whole, verdict, Some(problem));
        };
        let receipt = appended.inspect_err(withhold)?;
        let (caller, audit) = (caller.clone(), self.audit.clone());
        Ok(Unrecorded { receipt, leaving: Leaving { issued, time, caller, audit } })
    }

    /// Writes down that a request was refused, and with it those before it in its bundle. It stays refused if that fails.
    fn refuse(
        &self,
        mut problem: Refused,
        seen: &Seen,
        caller: &Caller,
        before: &[Issued],
        bundle: usize,
    ) -> Refused {
        let (audit, time, place) = (&self.audit, self.clock.now(), before.len() + 1);
        let withheld = Problem::new(400, "Withheld", "another request of the bundle was refused")
            .check("steward.bundle");
        let verdict = Verdict::Withheld;
        let _ = write_down(audit, caller, time, before, bundle, verdict, Some(&withheld));
        let _ = audit.decided(&Decided {
            time,
            caller,
            verdict: Verdict::of(&problem),
            kind: seen.kind,
            policy: seen.policy,
            problem: Some(&problem),
            others: &seen.others,
            genuine: seen.genuine.as_deref(),
            issued: None,
            place: (bundle > 1).then_some((place, bundle)),
        });
        if bundle > 1 {
            problem.detail = format!("request {place} of the bundle: {}", problem.detail);
        }
        problem
    }

    /// Marks the nonce of a request that is granted as used.
    fn spend(&self, nonce: &[u8], now: Timestamp) -> Result<(), Refused> {
        self.nonces.spend(nonce, now).map_err(|unusable| match unusable {
            Unusable::Used => {
                refused(&evidence::Refusal::new(Check::Nonce, "the nonce was used before"))
            }
            Unusable::Full => {
                let detail = "more nonces were used in the last minutes than can be remembered";
                let problem = Problem::new(503, "Service Unavailable", detail)
                    .check("steward.nonces")
                    .hint("try again in a moment; Retry-After says when");
                Box::new(problem)
            }
        })
    }

    /// The certificate for a request. Its nonce is used up, unless the caller gives it back.
    fn decide(
        &self,
        request: &[u8],
        authority: &Arc<Authority>,
        seen: &mut Seen,
    ) -> Result<Issued, Refused> {
        let now = self.clock.now();
        authority_is_valid(authority, now)?;
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
        let request =
            Request::parse(request, context.verifier).map_err(|refusal| refused(&refusal))?;
        let kind = request.evidence.kind;
        seen.kind = Some(kind);
        let decision = evidence::appraise_request(request, &context).map_err(|refusal| {
            let problem = refused(&refusal);
            seen.others = refusal.others;
            seen.genuine = refusal.seen;
            problem
        })?;
        let workload = decision.result.facts.workload.as_ref();
        if decision.names.digest != workload.map(|w| w.digest)
            || decision.names.slug.as_ref() != workload.and_then(|w| w.slug.as_ref())
        {
            return Err(broken(&"the names of the decision are not those of its result"));
        }
        let (not_before, not_after) =
            certificate::window(now, decision.lifetime_seconds, authority);
        let url = self.url.get().map_or("", String::as_str);
        let key_id = hex::encode(authority.key_id());
        let order = Order {
            spki_der: decision.spki_der,
            dns: decision.names.dns,
            ip: decision.names.ip,
            not_before,
            not_after,
            policy_uri: format!("{url}/policy/{}", loaded.digest().to_hex()),
            issuer_uri: format!("{url}/ca/{key_id}.cer"),
            list_uri: authority.names_list().then(|| format!("{url}/ca/{key_id}.crl")),
            evidence: decision.evidence,
            result: decision.result,
        };
        let made = certificate::make(&order, authority).map_err(|error| not_made(&error))?;
        lint::check(&made.der, &order, authority).map_err(|flaw| broken(&flaw))?;
        if let Some(nonce) = &decision.nonce {
            self.spend(nonce, now)?;
        }
        Ok(Issued {
            certificate: made.der,
            serial: made.serial,
            result: order.result,
            authority: authority.clone(),
            kind,
            nonce: decision.nonce,
        })
    }
}

impl Issued {
    /// DER of the PkiPath: SEQUENCE OF Certificate, from the root's end to the new certificate (RFC 6066 section 10.1).
    ///
    /// # Errors
    /// 500, if a certificate does not encode.
    pub fn pki_path(&self) -> Result<Vec<u8>, Refused> {
        let chain = self.authority.chain().iter().rev();
        sequence(chain.chain([&self.certificate])).map_err(|error| broken(&error))
    }
}

/// DER of `SEQUENCE { chain SEQUENCE OF Certificate, issued SEQUENCE OF Certificate }`, the answer to a bundle.
///
/// # Errors
/// 500, if a certificate does not encode.
pub fn bundle(issued: &[Issued]) -> Result<Vec<u8>, Refused> {
    let encode = || {
        // All of a bundle are signed by one authority.
        let chain = issued.first().into_iter().flat_map(|issued| issued.authority.chain());
        let chain = sequence(chain.rev())?;
        let issued = sequence(issued.iter().map(|issued| &issued.certificate))?;
        sequence([&chain, &issued])
    };
    encode().map_err(|error| broken(&error))
}

/// Whether the authority is valid at `now`, or from when to when it is.
fn validity(authority: &Authority, now: Timestamp) -> Result<(), String> {
    let (first, last) = (authority.not_before(), authority.not_after());
    if (first..last).contains(&now) {
        return Ok(());
    }
    Err(format!("this Steward's CA is valid from {first} to {last}, and by its clock it is {now}"))
}

/// A root that ran out while Steward ran signs nothing that anybody would accept.
fn authority_is_valid(authority: &Authority, now: Timestamp) -> Result<(), Refused> {
    validity(authority, now).map_err(|detail| {
        tracing::error!(detail, "no certificate could be made");
        let problem = Problem::new(503, "Service Unavailable", detail)
            .check("steward.authority")
            .hint("tell the operator: the CA needs to be renewed, or the clock to be set");
        Box::new(problem)
    })
}

fn record(issued: &Issued) -> Record {
    let result = &issued.result;
    Record::new(
        result.issued_at,
        issued.serial.clone(),
        result.policy,
        result.status().to_string(),
        result.facts.tee.name().to_owned(),
        &issued.certificate,
    )
}

fn sequence<'a>(parts: impl IntoIterator<Item = &'a Vec<u8>>) -> der::Result<Vec<u8>> {
    parts.into_iter().map(|der| Any::from_der(der)).collect::<der::Result<Vec<Any>>>()?.to_der()
}

pub(crate) fn refused(refusal: &evidence::Refusal) -> Refused {
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
pub(crate) fn broken(error: &dyn std::fmt::Display) -> Refused {
    tracing::error!(%error, "no certificate could be made");
    Box::new(Problem::new(500, "Internal Server Error", "").check("steward.internal"))
}

/// No signature: a token that is away comes back, everything else is our own fault.
fn not_made(error: &AuthorityError) -> Refused {
    let AuthorityError::Unavailable(_) = error else { return broken(error) };
    tracing::warn!(%error, "no certificate could be made");
    let problem = Problem::new(
        503,
        "Service Unavailable",
        "the CA's key cannot be used at the moment",
    )
    .check("steward.key")
    .hint("try again in a moment; if it stays so, the operator finds the reason in Steward's log");
    Box::new(problem)
}

/// The certificate exists, but whoever audits would not know of it.
fn unrecorded(error: &LogError) -> Refused {
    let problem = Problem::new(503, "Service Unavailable", "the certificate could not be recorded")
        .check("steward.issuance-log");
    Box::new(match error {
        LogError::Busy => problem.hint("try again in a moment"),
        _ => problem.hint(
            "try again later; if it stays so, the operator finds the reason in Steward's log",
        ),
    })
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
        Issuer::new(
            authority,
            policies,
            crate::roots::vendors().unwrap(),
            Clock::Fixed(now),
            IssuanceLog::insecure_none(),
            Mint::new().unwrap(),
        )
    }

    #[test]
    fn nothing_is_signed_outside_of_the_authoritys_time() {
        let check = |now: u64| {
            let problem =
                issuer(Timestamp(now)).issue(b"no request", &Caller::default()).unwrap_err();
            (problem.status, problem.check.unwrap_or_default())
        };
        let (first, last) = (1_700_000_000, 1_700_000_000 + CA_SECONDS);
        for outside in [first - 1, last, last + 1] {
            assert_eq!(check(outside), (503, "steward.authority".to_owned()));
            assert!(issuer(Timestamp(outside)).valid_now().is_err());
        }
        for inside in [first, last - 1] {
            assert_eq!(check(inside), (400, "request-malformed".to_owned()));
            assert_eq!(issuer(Timestamp(inside)).valid_now(), Ok(()));
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
