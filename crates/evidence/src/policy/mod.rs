// SPDX-License-Identifier: Apache-2.0

//! Steward's policy: which evidence is good enough, and which names follow from it.
//!
//! An empty file is the strictest policy that still says yes: genuine silicon of any product, nothing relaxed, no Keep
//! pinned and so no workload named. Each key of the file either demands more or, by its name, lets something pass.
//!
//! ```toml
//! [snp]
//! # Demands on the Keep. Each list that is not empty must hold the Keep's value; a Keep that met one is pinned.
//! hash = ["<96 hex>"]                  # launch measurements
//! signer = ["<96 hex>"]                # author key digests
//! id_key_digest = ["<96 hex>"]         # ID key digests
//! hash_blacklist = []                  # never these measurements
//! signer_blacklist = []                # never these author keys
//! id_key_digest_blacklist = []         # never these ID keys
//! minimum_guest_svn = 0
//! family_id = []                       # 32 hex each; without the key, zero only
//! image_id = []                        # 32 hex each; without the key, zero only
//! host_data = []                       # 64 hex each; without the key, zero only
//! # Demands on guest policy and platform.
//! abi = ">=1.51"                       # of the guest policy
//! policy_flags = ["SMT"]               # those of Debug, SingleSocket and SMT that may be set
//! platform_info_flags = "TSME"         # two lowest bits of PLATFORM_INFO are exactly: SME 01, TSME 10
//! require = ["ciphertext-hiding"]      # see Requirement
//! products = ["Milan", "Genoa", "Turin"]
//! products_blacklist = []              # not these
//! chip_id = []                         # only these chips, 128 hex each
//! chip_id_blacklist = []               # not these, nor chips that hide which one they are
//! minimum_firmware = "1.55.21"         # of the committed firmware
//! mitigations = [0, 1, 3]              # bits of both mitigation vectors (report version 5)
//! [snp.minimum_tcb.Milan]              # of reported, committed and launch TCB
//! snp = 23
//! microcode = 213
//!
//! # Relaxations, also in [snp].
//! allow = ["alias-check"]              # see Relaxation; or until a last day (UTC), here and wherever `allow` stands:
//! # allow = [{ name = "alias-check", until = 2026-12-31 }]
//! vlek = ["CN=provider"]               # take keys of these cloud providers
//! max_vmpl = 0
//!
//! [vtpm]                               # takes Azure's confidential virtual machines
//! pcrs = { 11 = ["<64 hex>"] }         # registers, and the values one of which each must have
//! require_ak_certificate = true
//! require = ["secure-boot", "no-console"]
//!
//! [sgx]                                # and [tdx]: what both say of the platform stands below
//! hash = ["<64 hex>"]                  # measurements (MRENCLAVE); pins
//! signer = ["<64 hex>"]                # signers (MRSIGNER); pins
//! hash_blacklist = []                  # never these measurements
//! signer_blacklist = []                # never these signers
//! features = ["CET", "KSS"]            # attributes that it may have, of SGX_FEATURES; Debug is a relaxation
//! misc_select = ["EXINFO"]             # what of MISCSELECT it may have
//! enclave_product_id = 0               # ISVPRODID; without the key, any
//! enclave_security_version = 0         # least ISVSVN
//! config_id = []                       # CONFIGID, 128 hex each; without the key, zero only
//! config_svn = []                      # CONFIGSVN, numbers; without the key, zero only
//! ext_product_id = []                  # ISVEXTPRODID, 32 hex each; without the key, zero only
//! family_id = []                       # ISVFAMILYID, 32 hex each; without the key, zero only
//!
//! [tdx]
//! hash = ["<96 hex>"]                  # measurements (MRTD); pins, with each register that is not zero
//! hash_blacklist = []                  # never these measurements
//! rtmr0 = ["<96 hex>"]                 # what the register may be; rtmr1, rtmr2 and rtmr3 likewise
//! mrseam = []                          # TDX modules, 96 hex each
//! features = ["PKS", "PERFMON"]        # attributes that it may have, of TDX_FEATURES
//! xfam = ["e702060000000000"]          # masks of extended features
//! config_id = []                       # MRCONFIGID; owner and owner_config likewise; without the key, zero only
//! service_td = []                      # service TDs that may be bound to it
//! allow = ["debug"]                    # the host may debug or profile the TD
//! # The platform, in both.
//! minimum_evaluation_number = 17       # Intel's TCB recovery by which it is judged (tcbEvaluationDataNumber)
//! fmspc = ["00606a000000"]             # only these kinds of platforms
//! fmspc_blacklist = []                 # never these
//! ppid = ["<32 hex>"]                  # only these platforms
//! ppid_blacklist = []                  # never these
//! require = ["no-smt"]                 # see DcapRequirement
//! allowed_advisories = []              # advisories that are accepted with every accepted status
//! [[tdx.accept]]                       # relaxation: a verdict of Intel's beside UpToDate
//! status = "SWHardeningNeeded"
//! advisories = ["INTEL-SA-00615"]
//! until = 2026-12-31                   # the last day, in UTC
//!
//! [nitro]
//! hash = ["<96 hex>"]                  # images (PCR0); pins
//! hash_blacklist = []                  # never these images
//! signer = ["<96 hex>"]                # certificates that sign images (PCR8); pins
//! pcrs = { 3 = ["<96 hex>"] }          # what other registers may be
//! allow = ["debug"]                    # the enclave may be started for debugging
//!
//! [cca]
//! hash = ["<64, 96 or 128 hex>"]       # initial measurements (RIM); pins
//! hash_blacklist = []                  # never these
//! rems = { 0 = ["<hex>"] }             # what extensible measurements may be
//! personalization = []                 # 128 hex each; without the key, zero only
//! lifecycles = ["recoverable-debug"]   # states of platforms that are taken beside secured
//! [[cca.platform]]                     # whose platforms are trusted; without, none is
//! key = "PEM or JWK of its key (CPAK)"
//! implementation_id = "<64 hex>"
//! instance_id = ["<66 hex>"]           # without the key, all with this key
//! simulated = false                    # it is a model
//! [cca.component.RMM]                  # software that the platform must have measured
//! measurement = ["<hex>"]
//! signer = ["<hex>"]
//! minimum_version = "1.2"
//!
//! [validity]                           # outside of these days (UTC), nothing passes
//! from = 2026-01-01
//! until = 2026-12-31                   # the last day
//!
//! [request]
//! allow = ["nonce-missing"]            # relaxation: evidence of any age, where claims could carry a nonce
//!
//! [certificate]
//! lifetime_hours = 24                  # 1 to 672
//! include_evidence = false             # show the evidence itself (docs/FORMATS.md 4.4)
//!
//! [[registry]]                         # whose word on names counts; once more for another key of the same host
//! host = "store.example.com"
//! key = "PEM or JWK of its P-256 key"
//!
//! [[grant]]                            # names that certificates of these workloads carry
//! workload = "store.example.com/team/app:^1"
//! dns = ["app.example.com"]
//! ip = ["192.0.2.7"]
//! ```

mod allowance;
mod cca;
mod dcap;
mod ended;
mod explain;
mod nitro;
mod parse;
mod relax;
mod request;
mod sgx;
mod snp;
mod tdx;
mod vtpm;

use std::net::IpAddr;

use types::config::WorkloadPattern;
use types::digest::Sha256;
use types::slug::Slug;
use types::time::Timestamp;
use types::toml_error::TomlError;

pub use allowance::Allowance;
pub(crate) use cca::version_numbers;
pub use cca::{CcaComponent, CcaPlatform, CcaPolicy};
pub use dcap::{Accept, DcapPolicy, DcapRequirement, TcbStatus};
pub use ended::Ended;
pub use explain::{Effect, Section, Sentence, explain};
pub use nitro::NitroPolicy;
pub use relax::Relaxation;
pub(crate) use request::NONCE_MISSING;
pub use request::RequestPolicy;
pub use sgx::{SGX_FEATURES, SGX_FEATURES_DEFAULT, SGX_MISC_SELECT, SgxPolicy};
pub use snp::{Requirement, SnpPolicy};
pub use tdx::{TDX_FEATURES, TDX_FEATURES_DEFAULT, TdxPolicy};
pub use vtpm::{VtpmPolicy, VtpmRequirement};

/// What is wrong with a policy file, where, and how to mend it.
pub type PolicyError = TomlError;

/// Shortest and longest life of a certificate that a policy may ask for, in hours.
const LIFETIME_HOURS: std::ops::RangeInclusive<u64> = 1..=28 * 24;
/// Life of a certificate unless the policy says otherwise, in hours.
const LIFETIME_HOURS_DEFAULT: u64 = 24;

/// A policy file.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// SHA-256 of the file: the name of this policy in certificates.
    pub digest: Sha256,
    /// `[snp]`.
    pub snp: SnpPolicy,
    /// `[vtpm]`; without it, no virtual machine with a virtual TPM is taken.
    pub vtpm: Option<VtpmPolicy>,
    /// `[sgx]`.
    pub sgx: SgxPolicy,
    /// `[tdx]`.
    pub tdx: TdxPolicy,
    /// `[nitro]`.
    pub nitro: NitroPolicy,
    /// `[cca]`.
    pub cca: CcaPolicy,
    /// `[request]`.
    pub request: RequestPolicy,
    /// First second and first second after the last at which anything passes (`[validity]`).
    pub validity: (Option<Timestamp>, Option<Timestamp>),
    /// Life of certificates, in seconds.
    pub lifetime_seconds: u64,
    /// Whether certificates show the evidence itself.
    pub include_evidence: bool,
    /// `[[registry]]`.
    pub registries: Vec<Registry>,
    /// `[[grant]]`.
    pub grants: Vec<Grant>,
}

/// A registry whose word on the names of workloads counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Its host, with its port where it has one, as it stands in slugs.
    pub host: String,
    /// Its key's thumbprint (RFC 7638).
    pub kid: String,
    /// Its key: P-256, uncompressed SEC 1 point, 65 bytes.
    pub point: Vec<u8>,
}

/// Names that certificates of some workloads carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which workloads.
    pub workload: WorkloadPattern,
    /// DNS names.
    pub dns: Vec<String>,
    /// Addresses.
    pub ip: Vec<IpAddr>,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// Text that is no TOML or too large, unknown keys, values that make no sense or contradict each other.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        parse::policy(text)
    }

    /// The DNS names and addresses granted to a workload, sorted, each once.
    pub fn granted(&self, slug: &Slug) -> (Vec<String>, Vec<IpAddr>) {
        let grants = || self.grants.iter().filter(|grant| grant.workload.matches(slug));
        let mut dns: Vec<_> = grants().flat_map(|grant| grant.dns.iter().cloned()).collect();
        let mut ip: Vec<_> = grants().flat_map(|grant| grant.ip.iter().copied()).collect();
        dns.sort();
        dns.dedup();
        ip.sort();
        ip.dedup();
        (dns, ip)
    }
}
