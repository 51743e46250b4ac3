// SPDX-License-Identifier: Apache-2.0

//! The checks that evidence has to pass, and how a failed one is told.

use std::fmt;

#[cfg(feature = "appraisal")]
use types::time::Timestamp;

use crate::container::Kind;
#[cfg(feature = "appraisal")]
use crate::policy::Allowance;

macro_rules! checks {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $hint:literal;)*) => {
        /// One check of an appraisal. Its name is stable: scripts, logs and tests use it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Check { $($(#[doc = $doc])* $variant,)* }

        impl Check {
            /// All checks.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name for machines.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What to do when it fails.
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)* }
            }
        }
    };
}

checks! {
    /// The request is a PKCS#10 request of the form that docs/FORMATS.md 3.5 allows.
    RequestMalformed = "request-malformed", "send a PKCS#10 request as docs/FORMATS.md section 3.5 describes it";
    /// The request's key is on P-256 or P-384.
    RequestKey = "request-key", "make the Keep's key on the curve P-384 (or P-256)";
    /// The request is signed by its own key.
    RequestSignature = "request-signature", "sign the request with the private key of the public key in it";
    /// The request carries evidence.
    EvidenceMissing = "evidence-missing", "only a Keep with a TEE gets a certificate; run it on a backend that attests";
    /// The evidence is of a technology that is supported.
    EvidenceUnsupported = "evidence-unsupported", "send evidence of a kind that this verifier appraises";
    /// There is one piece of evidence, so that nobody has to choose.
    EvidenceAmbiguous = "evidence-ambiguous", "send one piece of evidence: as extension, or as attribute id-aa-attestation with one statement";
    /// The evidence's container is well-formed.
    EvidenceMalformed = "evidence-malformed", "encode the evidence as docs/FORMATS.md sections 3.2, 3.3 and 3.7 describe it";
    /// The claims are well-formed and deterministic.
    ClaimsMalformed = "claims-malformed", "encode the claims as docs/FORMATS.md section 3.1 describes them";
    /// The claims carry a nonce, where the verifier hands them out.
    NonceMissing = "nonce-missing", "fetch a nonce (GET /v1/nonce) before the evidence is made, and put it into the claims; or allow \"nonce-missing\" in the policy's [request]";
    /// The nonce is one that this verifier handed out a short time ago, and was used once.
    Nonce = "nonce", "fetch a new nonce (GET /v1/nonce) and make new evidence with it; a nonce serves once, for a few minutes";
    /// The report binds the request's key and claims.
    KeyBinding = "key-binding", "ask the CPU for a new report over this key; a report cannot be used with another one";

    /// The report is 1184 bytes, version 2 to 5, and signed by an algorithm and key that exist.
    ReportMalformed = "report-malformed", "send the 1184 bytes of an SNP report, version 2 to 5, as the firmware gave them";
    /// Reserved bits and bytes of the report are zero, after the signature too.
    ReportReserved = "report-reserved", "send the report as the firmware gave it";
    /// The VCEK or VLEK signed the report.
    ReportSignature = "report-signature", "send the report as the firmware gave it, with the VCEK of that chip at the reported TCB";

    /// The VCEK or VLEK is an X.509 certificate with AMD's extensions.
    VekMalformed = "vek-malformed", "send the VCEK as AMD's key distribution service gives it, in DER";
    /// It was issued by a vendor that is trusted.
    UntrustedRoot = "untrusted-root", "only the vendors' roots are trusted; simulated silicon needs the roots given explicitly (--insecure-simulated-roots)";
    /// Its names are those that AMD gives, and agree with its issuer's.
    VekName = "vek-name", "send the VCEK as AMD's key distribution service gives it";
    /// Its issuer signed it.
    VekSignature = "vek-signature", "send the VCEK as AMD's key distribution service gives it, in DER";
    /// The report's signing key is of the certificate's kind.
    VekKind = "vek-kind", "send the certificate of the key that signed: VCEK or VLEK, as the report's SIGNING_KEY says";
    /// A VLEK is one of a provider that the policy names.
    Vlek = "vlek", "name the provider in `vlek` of the policy's [snp], or use a VCEK";
    /// The certificates are valid now.
    CertificateExpired = "certificate-expired", "fetch current certificates and evidence; compare the clocks";
    /// There is a revocation list of the vendor's root.
    CrlMissing = "crl-missing", "send the CRL of the product along with the VCEK; AMD serves it at https://kdsintf.amd.com/vcek/v1/<product>/crl";
    /// It is well-formed.
    CrlMalformed = "crl-malformed", "send the CRL as AMD's key distribution service gives it, in DER";
    /// The root signed it.
    CrlSignature = "crl-signature", "send the CRL as AMD's key distribution service gives it, in DER";
    /// It is current.
    CrlExpired = "crl-expired", "fetch the current CRL; compare the clocks";
    /// It lists no certificate of the chain.
    Revoked = "revoked", "AMD revoked a certificate of this chain: fetch the VCEK again, under the current ASK";

    /// Certificate, CPUID and the policy's list agree on the product.
    Product = "product", "send the VCEK of the chip that made the report; see `products` and `products_blacklist` in the policy's [snp]";
    /// The VCEK or VLEK was issued for the reported TCB.
    TcbMismatch = "tcb-mismatch", "fetch the VCEK for the TCB that the platform reports now";
    /// Reported, committed and current TCB are in order.
    TcbOrder = "tcb-order", "the firmware reports versions that contradict each other: update it";
    /// The firmware that runs is committed, and at least the policy's minimum.
    Firmware = "firmware", "commit the platform's firmware (SNP_COMMIT) or update it; see `minimum_firmware` and \"provisional-firmware\" in the policy's [snp]";
    /// The mitigations that the policy wants were in force at launch, and are.
    Mitigations = "mitigations", "update the platform's firmware and restart the Keep; see `mitigations` in the policy's [snp]";
    /// The TCB is at least the policy's minimum.
    TcbMinimum = "tcb-minimum", "update the platform's firmware and microcode, and restart the Keep";
    /// The VCEK is that of the chip that made the report.
    ChipIdMismatch = "chip-id-mismatch", "fetch the VCEK of this chip";
    /// The chip's identity is not masked.
    ChipIdMasked = "chip-id-masked", "unmask the chip's identity (MASK_CHIP_ID), or allow \"chip-id-masked\" in the policy's [snp]";
    /// The chip is one of the policy's.
    Chip = "chip", "see `chip_id` and `chip_id_blacklist` in the policy's [snp]";
    /// The platform has checked that no memory is aliased.
    AliasCheck = "alias-check", "update the platform's firmware so that it reports ALIAS_CHECK_COMPLETE (report version 3), or allow \"alias-check\" in the policy's [snp]";
    /// The guest cannot be debugged.
    Debug = "debug", "start the Keep without debugging";
    /// The guest has no migration agent.
    MigrationAgent = "migration-agent", "start the Keep without a migration agent";
    /// The guest policy's ABI version is one that the firmware has, and that the policy wants.
    Abi = "abi", "see `abi` in the policy's [snp]";
    /// The report was asked for at a privilege level that the policy takes.
    Vmpl = "vmpl", "ask for the report at VMPL 0, or raise `max_vmpl` in the policy's [snp]";
    /// The guest policy has only flags that the policy takes.
    PolicyFlags = "policy-flags", "see `policy_flags` in the policy's [snp]";
    /// The platform has the flags that the policy wants.
    PlatformFlags = "platform-flags", "see `platform_info_flags` in the policy's [snp]";
    /// The properties that the policy requires are there.
    Require = "require", "see `require` in the policy's [snp]";
    /// The family is one of the policy's.
    FamilyId = "family-id", "see `family_id` in the policy's [snp]";
    /// The image is one of the policy's.
    ImageId = "image-id", "see `image_id` in the policy's [snp]";
    /// The host's data are one of the policy's.
    HostData = "host-data", "see `host_data` in the policy's [snp]";
    /// The guest's security version is high enough.
    GuestSvn = "guest-svn", "update Enarx on the host; see `guest_svn` in the policy's [snp]";
    /// The measurement is one of the policy's.
    Measurement = "measurement", "update Enarx on the host, or add the measurement to `hash` in the policy";
    /// The author key is one of the policy's.
    Signer = "signer", "sign the Keep with a key in `signer` of the policy";
    /// The ID key is one of the policy's.
    IdKey = "id-key", "sign the Keep with an ID key in `id_key_digest` of the policy's [snp]";

    /// The policy takes virtual machines with a virtual TPM.
    Vtpm = "vtpm", "add a [vtpm] section to the policy if guests whose own kernel is trusted are good enough";
    /// HCL report and TPM quote are well-formed.
    VtpmMalformed = "vtpm-malformed", "send what the machine's virtual TPM gave, unchanged";
    /// Hardware report, runtime data, quote and registers belong together.
    VtpmBinding = "vtpm-binding", "gather the evidence again, all of it at once";
    /// The virtual TPM signed the quote.
    VtpmSignature = "vtpm-signature", "send the quote and its signature as the virtual TPM gave them";
    /// The certificate of the virtual TPM's key is one, and leads to the cloud's root.
    AkCertificate = "ak-certificate", "send the AK's certificate with its whole chain, the root last";
    /// The registers have the policy's values.
    Pcr = "pcr", "boot the image that the policy names, or add its registers to `pcrs` in the policy";

    /// The token is one, of a profile that is known.
    TokenMalformed = "token-malformed", "send the token as the RMM gave it; profiles 1.0.0 of platform and realm are known";
    /// The platform's key signed its token.
    PlatformSignature = "platform-signature", "compare the key of the platform with the one in [[cca.platform]] of the policy";
    /// The platform vouches for the realm's key.
    RealmBinding = "realm-binding", "send the two tokens that the RMM gave together";
    /// The realm's key signed its token.
    RealmSignature = "realm-signature", "send the token as the RMM gave it";
    /// The platform is secured.
    Lifecycle = "lifecycle", "use a platform that is not debugged; see `lifecycles` in the policy's [cca]";
    /// The realm's personalization value is one of the policy's.
    Personalization = "personalization", "see `personalization` in the policy's [cca]";
    /// An extensible measurement is one of the policy's.
    Rem = "rem", "see `rems` in the policy's [cca]";
    /// The platform's software is as the policy wants it.
    Component = "component", "update the platform's firmware, or see [cca.component] in the policy";

    /// The attestation document is one, with the fields that AWS documents.
    DocumentMalformed = "document-malformed", "send the attestation document (COSE_Sign1) as the Nitro Security Module gave it";
    /// The key of its certificate signed the document.
    DocumentSignature = "document-signature", "send the attestation document as the Nitro Security Module gave it";
    /// The document is not of the future, and not older or younger than its certificate.
    DocumentTime = "document-time", "ask the Nitro Security Module for a new document; compare the clocks";
    /// The certificates are X.509 certificates as their vendor makes them.
    CertificateMalformed = "certificate-malformed", "send the certificates as the TEE gave them";
    /// Each certificate is issued by the one above it, which may do so.
    CertificateChain = "certificate-chain", "send the certificates as the TEE gave them, in their order";

    /// The quote is one of Intel's quoting enclave: version 3 (SGX), 4 or 5 (TDX), whole, and nothing after it.
    QuoteMalformed = "quote-malformed", "send the quote as Intel's quoting library gave it";
    /// The attestation key signed the quote.
    QuoteSignature = "quote-signature", "send the quote as Intel's quoting library gave it";
    /// The platform's certificates (PCK) came with the quote.
    PckMissing = "pck-missing", "make quotes with certification data of type 5, or send `pck-chain` in the collateral";
    /// The certificates of platform and collateral are Intel's, and each is signed by the next.
    IntelChain = "intel-chain", "send the certificates as Intel's service (PCS) gives them, leaf first, root last";
    /// The platform's key signed the quoting enclave's report, which vouches for the attestation key.
    QeReport = "qe-report", "send the quote as Intel's quoting library gave it";
    /// The collateral holds TCB info and the certificates of its signer.
    CollateralMissing = "collateral-missing", "send the platform's TCB info with its issuer chain; Intel serves it at https://api.trustedservices.intel.com";
    /// The collateral holds the quoting enclave's identity.
    QeIdentityMissing = "qe-identity-missing", "send the QE identity, in evidence with claims (docs/FORMATS.md 3.3 and 3.9): without, the quoting enclave may be anybody's";
    /// TCB info and QE identity are documents of Intel's form.
    CollateralMalformed = "collateral-malformed", "send the bodies of the answers of Intel's service (PCS), version 4, unchanged";
    /// Intel signed them.
    CollateralSignature = "collateral-signature", "send the bodies of the answers of Intel's service (PCS), unchanged";
    /// They are current.
    CollateralExpired = "collateral-expired", "fetch current collateral; compare the clocks";
    /// The TCB info is about this kind of platform and of TEE.
    TcbInfo = "tcb-info", "fetch the TCB info of this platform (FMSPC), for SGX or TDX as the quote is";
    /// The quoting enclave is the one of Intel's identity, in a version that Intel knows.
    QeIdentity = "qe-identity", "update the quoting enclave (the TEE's attestation software) on the host";
    /// The TDX module is one of Intel's TCB info, and of the policy.
    TdxModule = "tdx-module", "update the TDX module; see `mrseam` in the policy's [tdx]";
    /// The platform is at or above a level that Intel speaks of.
    NoTcbLevel = "no-tcb-level", "update the platform's firmware: it is below all that Intel still judges";
    /// Intel's verdict on the platform is one that is accepted.
    TcbStatus = "tcb-status", "update the platform; or accept the status for a time with [[sgx.accept]] or [[tdx.accept]] in the policy";
    /// The advisories that concern the platform are accepted.
    Advisory = "advisory", "update the platform; or name the advisory in [[sgx.accept]] or [[tdx.accept]] in the policy";
    /// The platform is judged by a TCB recovery that is new enough.
    EvaluationNumber = "evaluation-number", "fetch current collateral (update=early); see `minimum_evaluation_number` in the policy";
    /// The platform is one of the policy's, by FMSPC and PPID.
    Platform = "platform", "see `fmspc`, `ppid` and their blacklists in the policy";
    /// Enclave or TD has only attributes that the policy takes.
    Attributes = "attributes", "see `features` in the policy's [sgx] or [tdx]";
    /// The enclave cannot get keys that are the platform's.
    ProvisionKey = "provision-key", "build the Keep without PROVISIONKEY and EINITTOKEN_KEY, or allow them by `features` in the policy's [sgx]";
    /// The enclave's MISCSELECT is one that the policy takes.
    MiscSelect = "misc-select", "see `misc_select` in the policy's [sgx]";
    /// The configuration is one of the policy's.
    ConfigId = "config-id", "see `config_id` and `config_svn` in the policy's [sgx] or [tdx]";
    /// The extended product is one of the policy's.
    ExtProductId = "ext-product-id", "see `ext_product_id` in the policy's [sgx]";
    /// The product is the policy's.
    ProductId = "product-id", "see `enclave_product_id` in the policy's [sgx]";
    /// The enclave's security version is high enough.
    EnclaveSvn = "enclave-svn", "update Enarx on the host; see `enclave_security_version` in the policy's [sgx]";
    /// The TD takes no exceptions for memory that the host removed.
    SeptVeDisable = "sept-ve-disable", "start the TD with SEPT_VE_DISABLE";
    /// The TD cannot be migrated.
    Migratable = "migratable", "start the TD without MIGRATABLE";
    /// No service TD is bound to the TD but those of the policy.
    ServiceTd = "service-td", "start the TD without service TDs; see `service_td` in the policy's [tdx]";
    /// The extended features are possible ones, and the policy's.
    Xfam = "xfam", "see `xfam` in the policy's [tdx]";
    /// Owner and owner's configuration are the policy's.
    Owner = "owner", "see `owner` and `owner_config` in the policy's [tdx]";
    /// The run-time registers have the policy's values.
    Rtmr = "rtmr", "boot what the policy names, or add the registers to `rtmr0` to `rtmr3` in the policy's [tdx]";

    /// The policy is in force now.
    PolicyValidity = "policy-validity", "have the operator of this Steward bring a policy into force that is valid now";
    /// The registry that vouches for the workload's name is one of the policy's.
    Registry = "registry", "add the registry and its key to the policy as [[registry]]";
    /// The registry's statement is genuine and says what the claims say.
    Statement = "statement", "fetch the tag's statement from its registry again";
}

/// Why evidence is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Name of the check that failed (see [`Check`]).
    pub check: &'static str,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub hint: String,
    /// Further checks that failed. Only genuine evidence gets so far that there is more than one.
    pub others: Vec<Failure>,
    /// What genuine evidence showed, for logs; `None` for evidence that was not found to be genuine. Nothing follows from it.
    pub seen: Option<Box<Seen>>,
}

/// What genuine evidence that was refused all the same is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The TEE.
    pub kind: Kind,
    /// Processor line or platform, as in [`crate::result::TeeFacts::product`].
    pub product: String,
    /// Measurement, hex.
    pub measurement: String,
    /// Whether the root is not the vendor's.
    pub simulated: bool,
}

/// A check that failed beside the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Name of the check.
    pub check: &'static str,
    /// What was found.
    pub detail: String,
}

impl Refusal {
    /// `check` failed, because of `detail`.
    pub fn new(check: Check, detail: impl Into<String>) -> Self {
        let (check, hint) = (check.name(), check.hint().to_owned());
        Self { check, detail: detail.into(), hint, others: Vec::new(), seen: None }
    }

    /// The same, about genuine evidence; what is known already stays.
    #[cfg(feature = "appraisal")]
    pub(crate) fn about(mut self, seen: impl FnOnce() -> Seen) -> Self {
        self.seen.get_or_insert_with(|| Box::new(seen()));
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.check, self.detail, self.hint)
    }
}

impl std::error::Error for Refusal {}

/// `Ok` if `passed`, else the refusal.
pub(crate) fn ensure(
    passed: bool,
    check: Check,
    detail: impl FnOnce() -> String,
) -> Result<(), Refusal> {
    if passed { Ok(()) } else { Err(Refusal::new(check, detail())) }
}

/// What is found about genuine evidence: checks that failed, all of them, and relaxations without which more would have.
///
/// For what comes after the signatures; what comes before fails at once.
#[cfg(feature = "appraisal")]
#[derive(Debug, Default)]
pub(crate) struct Findings {
    refusal: Option<Refusal>,
    relaxed: std::collections::BTreeSet<String>,
}

#[cfg(feature = "appraisal")]
impl Findings {
    /// A check that nothing relaxes.
    pub(crate) fn ensure(&mut self, passed: bool, check: Check, detail: impl FnOnce() -> String) {
        if passed {
            return;
        }
        match &mut self.refusal {
            None => self.refusal = Some(Refusal::new(check, detail())),
            Some(first) => {
                first.others.push(Failure { check: check.name(), detail: detail() });
            }
        }
    }

    /// A check that the policy may relax: it does if `allowed`, under the name `relaxation`.
    pub(crate) fn ensure_or_relax(
        &mut self,
        passed: bool,
        relaxation: impl Into<String>,
        allowed: bool,
        check: Check,
        detail: impl FnOnce() -> String,
    ) {
        if !passed && allowed {
            self.relaxed.insert(relaxation.into());
        } else {
            self.ensure(passed, check, detail);
        }
    }

    /// The same where the policy may say until when it relaxes. What ended is told.
    pub(crate) fn ensure_or_allow(
        &mut self,
        passed: bool,
        relaxation: &str,
        (allowance, now): (Allowance, Timestamp),
        check: Check,
        detail: impl FnOnce() -> String,
    ) {
        self.ensure_or_relax(passed, relaxation, allowance.holds(now), check, || {
            match allowance.ended(now) {
                Some(day) => {
                    format!("{}; the policy allowed \"{relaxation}\" until {day}", detail())
                }
                None => detail(),
            }
        });
    }

    /// Whether this check is among those that failed.
    pub(crate) fn has(&self, check: Check) -> bool {
        self.refusal.as_ref().is_some_and(|first| {
            let others = first.others.iter().map(|other| other.check);
            others.chain([first.check]).any(|failed| failed == check.name())
        })
    }

    /// The relaxations that were needed, sorted by name.
    ///
    /// # Errors
    /// Everything that failed.
    pub(crate) fn finish(self) -> Result<Vec<String>, Refusal> {
        match self.refusal {
            Some(refusal) => Err(refusal),
            None => Ok(self.relaxed.into_iter().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[cfg(feature = "appraisal")]
    #[test]
    fn all_findings_are_told() {
        let mut findings = Findings::default();
        findings.ensure(true, Check::Debug, || unreachable!());
        findings.ensure_or_relax(false, "b", true, Check::Vmpl, || unreachable!());
        findings.ensure_or_relax(false, "a", true, Check::Vmpl, || unreachable!());
        findings.ensure_or_relax(true, "c", false, Check::Vmpl, || unreachable!());
        assert_eq!(findings.finish(), Ok(vec!["a".to_owned(), "b".to_owned()]));

        let mut findings = Findings::default();
        findings.ensure(false, Check::Debug, || "one".into());
        findings.ensure_or_relax(false, "b", false, Check::Vmpl, || "two".into());
        let refusal = findings.finish().unwrap_err();
        assert_eq!((refusal.check, refusal.detail.as_str()), ("debug", "one"));
        assert_eq!(refusal.others, [Failure { check: "vmpl", detail: "two".into() }]);
    }

    #[test]
    fn names_are_unique_and_for_machines() {
        let names: BTreeSet<_> = Check::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), Check::ALL.len());
        assert!(names.iter().all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }
}
