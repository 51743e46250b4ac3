// SPDX-License-Identifier: Apache-2.0

//! `[tdx]` of a policy.

use super::{Allowance, DcapPolicy};

/// Attributes of a TD that a policy can name: name and bit.
pub const TDX_FEATURES: [(&str, u64); 6] = [
    ("ICSSD", 1 << 16),
    ("KL", 1 << 31),
    ("LASS", 1 << 27),
    ("PERFMON", 1 << 63),
    ("PKS", 1 << 30),
    ("TPA", 1 << 62),
];
/// Those that are no danger: taken where a policy names none.
pub const TDX_FEATURES_DEFAULT: u64 = 1 << 16 | 1 << 31 | 1 << 27 | 1 << 63 | 1 << 30;

/// `[tdx]`: what TDX quotes must show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdxPolicy {
    /// The platform.
    pub dcap: DcapPolicy,
    /// Measurements (MRTD), one of which it must be.
    pub hash: Vec<[u8; 48]>,
    /// Measurements that it must not be.
    pub hash_blacklist: Vec<[u8; 48]>,
    /// Values of the registers (RTMR 0 to 3), one of which each must have; empty: any.
    pub rtmrs: [Vec<[u8; 48]>; 4],
    /// TDX modules (MRSEAM), one of which it must run under; empty: each that Intel's TCB info takes.
    pub mrseam: Vec<[u8; 48]>,
    /// Mask of the attributes that the TD may have, of [`TDX_FEATURES`].
    pub features: u64,
    /// Extended features (XFAM), one of which it must have; empty: all that there are.
    pub xfam: Vec<[u8; 8]>,
    /// Configurations (MRCONFIGID), one of which it must have; `None`: zero.
    pub config_id: Option<Vec<[u8; 48]>>,
    /// Owners (MROWNER), one of which it must have; `None`: zero.
    pub owner: Option<Vec<[u8; 48]>>,
    /// Configurations of the owner's (MROWNERCONFIG), one of which it must have; `None`: zero.
    pub owner_config: Option<Vec<[u8; 48]>>,
    /// Service TDs (MRSERVICETD) that may be bound to it.
    pub service_td: Vec<[u8; 48]>,
    /// Whether the host may debug or profile the TD, which then is no TEE.
    pub allow_debug: Allowance,
}

impl Default for TdxPolicy {
    fn default() -> Self {
        Self {
            dcap: DcapPolicy::default(),
            hash: Vec::new(),
            hash_blacklist: Vec::new(),
            rtmrs: Default::default(),
            mrseam: Vec::new(),
            features: TDX_FEATURES_DEFAULT,
            xfam: Vec::new(),
            config_id: None,
            owner: None,
            owner_config: None,
            service_td: Vec::new(),
            allow_debug: Allowance::Never,
        }
    }
}
