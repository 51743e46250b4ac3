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
//! chip_id = []                         # only these chips, 128 hex each
//! [snp.minimum_tcb.Milan]              # of reported, committed and launch TCB
//! snp = 23
//! microcode = 213
//!
//! # Relaxations, also in [snp].
//! allow = ["alias-check"]              # see Relaxation
//! vlek = ["CN=provider"]               # take keys of these cloud providers
//! max_vmpl = 0
//!
//! [certificate]
//! lifetime_hours = 24                  # 1 to 672
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

mod parse;
mod relax;

use std::collections::BTreeMap;
use std::net::IpAddr;

use types::config::WorkloadPattern;
use types::digest::Sha256;
use types::slug::Slug;
use types::toml_error::TomlError;

use crate::amd::{Product, Tcb};
pub use relax::Relaxation;
pub(crate) use relax::Relaxed;

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
    /// Life of certificates, in seconds.
    pub lifetime_seconds: u64,
    /// `[[registry]]`.
    pub registries: Vec<Registry>,
    /// `[[grant]]`.
    pub grants: Vec<Grant>,
}

/// `[snp]`: what SEV-SNP evidence must show.
#[derive(Clone, Debug, PartialEq)]
pub struct SnpPolicy {
    /// Measurements, one of which it must be.
    pub hash: Vec<[u8; 48]>,
    /// Measurements that it must not be.
    pub hash_blacklist: Vec<[u8; 48]>,
    /// Author key digests, one of which it must be.
    pub signer: Vec<[u8; 48]>,
    /// ID key digests, one of which it must be.
    pub id_key_digest: Vec<[u8; 48]>,
    /// ID key digests that it must not be.
    pub id_key_digest_blacklist: Vec<[u8; 48]>,
    /// Least security version of the guest.
    pub minimum_guest_svn: u32,
    /// Families, one of which it must be; `None`: zero.
    pub family_id: Option<Vec<[u8; 16]>>,
    /// Images, one of which it must be; `None`: zero.
    pub image_id: Option<Vec<[u8; 16]>>,
    /// Host data, one of which it must be; `None`: zero.
    pub host_data: Option<Vec<[u8; 32]>>,
    /// What the guest policy's ABI version must meet.
    pub abi: Option<semver::VersionReq>,
    /// Mask of those of the guest policy's bits for Debug, SingleSocket and SMT that may be set; `None`: all. Debugging
    /// also takes [`Relaxation::Debug`].
    pub policy_flags: Option<u64>,
    /// What the two lowest bits of PLATFORM_INFO must be.
    pub platform_info_flags: Option<u64>,
    /// Properties that must be there.
    pub require: Vec<Requirement>,
    /// Products that are taken.
    pub products: Vec<Product>,
    /// The only chips that are taken; empty: all. Turin's 8 bytes are followed by zeros.
    pub chip_id: Vec<[u8; 64]>,
    /// Least versions of the TCB.
    pub minimum_tcb: BTreeMap<Product, Tcb>,
    /// Relaxations.
    pub allow: Vec<Relaxation>,
    /// Cloud providers whose VLEKs are taken, as in the certificate (CSP_ID).
    pub vlek: Vec<String>,
    /// Highest privilege level at which reports may be asked for.
    pub max_vmpl: u32,
}

impl Default for SnpPolicy {
    fn default() -> Self {
        Self {
            hash: Vec::new(),
            hash_blacklist: Vec::new(),
            signer: Vec::new(),
            id_key_digest: Vec::new(),
            id_key_digest_blacklist: Vec::new(),
            minimum_guest_svn: 0,
            family_id: None,
            image_id: None,
            host_data: None,
            abi: None,
            policy_flags: None,
            platform_info_flags: None,
            require: Vec::new(),
            products: Product::ALL.to_vec(),
            chip_id: Vec::new(),
            minimum_tcb: BTreeMap::new(),
            allow: Vec::new(),
            vlek: Vec::new(),
            max_vmpl: 0,
        }
    }
}

/// A property of guest policy or platform that a policy can demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// The guest policy forbids simultaneous multithreading.
    NoSmt,
    /// The guest policy keeps the guest on one socket.
    SingleSocket,
    /// The guest policy forbids CXL.
    NoCxl,
    /// The guest policy demands AES-256-XTS.
    Aes256Xts,
    /// The guest policy demands, or the platform says, that the running average power limit is disabled.
    RaplDisabled,
    /// The guest policy demands, or the platform says, that ciphertext is hidden in DRAM.
    CiphertextHiding,
    /// The guest policy disables page swapping by the host.
    PageSwapDisabled,
    /// The platform encrypts all of its memory.
    Tsme,
    /// The platform's memory has error correction.
    Ecc,
}

impl Requirement {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::NoSmt,
        Self::SingleSocket,
        Self::NoCxl,
        Self::Aes256Xts,
        Self::RaplDisabled,
        Self::CiphertextHiding,
        Self::PageSwapDisabled,
        Self::Tsme,
        Self::Ecc,
    ];

    /// Its name in a policy.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSmt => "no-smt",
            Self::SingleSocket => "single-socket",
            Self::NoCxl => "no-cxl",
            Self::Aes256Xts => "aes-256-xts",
            Self::RaplDisabled => "rapl-disabled",
            Self::CiphertextHiding => "ciphertext-hiding",
            Self::PageSwapDisabled => "page-swap-disabled",
            Self::Tsme => "tsme",
            Self::Ecc => "ecc",
        }
    }
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
