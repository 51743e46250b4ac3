// SPDX-License-Identifier: Apache-2.0

//! `[sgx]` of a policy.

use super::DcapPolicy;

/// Attributes of an enclave that a policy can name: name and bit.
pub const SGX_FEATURES: [(&str, u64); 6] = [
    ("AEXNotify", 1 << 10),
    ("CET", 1 << 6),
    ("Debug", 1 << 1),
    ("EInitKey", 1 << 5),
    ("KSS", 1 << 7),
    ("ProvisioningKey", 1 << 4),
];
/// Those that are no danger: taken where a policy names none.
pub const SGX_FEATURES_DEFAULT: u64 = 1 << 10 | 1 << 6 | 1 << 7;
/// Extensions of what is saved when an enclave is left, that a policy can name: name and bit.
pub const SGX_MISC_SELECT: [(&str, u32); 2] = [("CPINFO", 1 << 1), ("EXINFO", 1)];

/// `[sgx]`: what SGX quotes must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SgxPolicy {
    /// The platform.
    pub dcap: DcapPolicy,
    /// Measurements (MRENCLAVE), one of which it must be.
    pub hash: Vec<[u8; 32]>,
    /// Measurements that it must not be.
    pub hash_blacklist: Vec<[u8; 32]>,
    /// Signers (MRSIGNER), one of which it must be.
    pub signer: Vec<[u8; 32]>,
    /// Signers that it must not be.
    pub signer_blacklist: Vec<[u8; 32]>,
    /// Mask of the attributes that the enclave may have, of [`SGX_FEATURES`].
    pub features: u64,
    /// Mask of MISCSELECT that it may have, of [`SGX_MISC_SELECT`].
    pub misc_select: u32,
    /// The product (ISVPRODID) that it must be.
    pub product_id: Option<u16>,
    /// Least security version (ISVSVN).
    pub minimum_svn: u16,
    /// Configurations (CONFIGID), one of which it must have; `None`: zero.
    pub config_id: Option<Vec<[u8; 64]>>,
    /// Versions of the configuration (CONFIGSVN), one of which it must have; `None`: zero.
    pub config_svn: Option<Vec<u16>>,
    /// Extended products (ISVEXTPRODID), one of which it must be; `None`: zero.
    pub ext_product_id: Option<Vec<[u8; 16]>>,
    /// Families (ISVFAMILYID), one of which it must be; `None`: zero.
    pub family_id: Option<Vec<[u8; 16]>>,
}

impl Default for SgxPolicy {
    fn default() -> Self {
        Self {
            dcap: DcapPolicy::default(),
            hash: Vec::new(),
            hash_blacklist: Vec::new(),
            signer: Vec::new(),
            signer_blacklist: Vec::new(),
            features: SGX_FEATURES_DEFAULT,
            misc_select: 1,
            product_id: None,
            minimum_svn: 0,
            config_id: None,
            config_svn: None,
            ext_product_id: None,
            family_id: None,
        }
    }
}
