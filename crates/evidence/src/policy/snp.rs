// SPDX-License-Identifier: Apache-2.0

//! `[snp]` of a policy.

use std::collections::BTreeMap;

use super::{Allowance, Relaxation};
use crate::amd::{Product, Tcb};
use crate::snp::FirmwareVersion;

/// `[snp]`: what SEV-SNP evidence must show.
#[derive(Clone, Debug, PartialEq)]
pub struct SnpPolicy {
    /// Measurements, one of which it must be.
    pub hash: Vec<[u8; 48]>,
    /// Measurements that it must not be.
    pub hash_blacklist: Vec<[u8; 48]>,
    /// Author key digests, one of which it must be.
    pub signer: Vec<[u8; 48]>,
    /// Author key digests that it must not be.
    pub signer_blacklist: Vec<[u8; 48]>,
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
    /// Products that are not.
    pub products_blacklist: Vec<Product>,
    /// The only chips that are taken; empty: all. Turin's 8 bytes are followed by zeros.
    pub chip_id: Vec<[u8; 64]>,
    /// Chips that are not taken. A chip that hides its identity might be one of them.
    pub chip_id_blacklist: Vec<[u8; 64]>,
    /// Least versions of the TCB.
    pub minimum_tcb: BTreeMap<Product, Tcb>,
    /// Least version of the committed firmware.
    pub minimum_firmware: Option<FirmwareVersion>,
    /// Mask of the mitigations that were in force at launch, and are.
    pub mitigations: u64,
    /// Relaxations, and until when they are allowed.
    pub allow: BTreeMap<Relaxation, Allowance>,
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
            signer_blacklist: Vec::new(),
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
            products_blacklist: Vec::new(),
            chip_id: Vec::new(),
            chip_id_blacklist: Vec::new(),
            minimum_tcb: BTreeMap::new(),
            minimum_firmware: None,
            mitigations: 0,
            allow: BTreeMap::new(),
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
    /// The platform lets no devices into guests' trust (SEV-TIO).
    NoTio,
    /// A key signed what the guest is (ID block).
    IdBlock,
    /// Another key, the author's, signed that key.
    AuthorKey,
}

impl Requirement {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::NoSmt,
        Self::SingleSocket,
        Self::NoCxl,
        Self::Aes256Xts,
        Self::RaplDisabled,
        Self::CiphertextHiding,
        Self::PageSwapDisabled,
        Self::Tsme,
        Self::Ecc,
        Self::NoTio,
        Self::IdBlock,
        Self::AuthorKey,
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
            Self::NoTio => "no-tio",
            Self::IdBlock => "id-block",
            Self::AuthorKey => "author-key",
        }
    }
}
