// SPDX-License-Identifier: Apache-2.0

//! What `[sgx]` and `[tdx]` have in common: the platform, as Intel judges it.

use types::time::Timestamp;

use super::allowance::day_before;

/// Demands on a platform of Intel's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DcapPolicy {
    /// What is accepted beside `UpToDate` without advisories.
    pub accept: Vec<Accept>,
    /// Advisories that are accepted with every status that is accepted, without end.
    pub allowed_advisories: Vec<String>,
    /// Least number of Intel's TCB recovery (tcbEvaluationDataNumber) by which platforms are judged.
    pub minimum_evaluation_number: u32,
    /// The only kinds of platforms that are taken; empty: all.
    pub fmspc: Vec<[u8; 6]>,
    /// Kinds of platforms that are not taken.
    pub fmspc_blacklist: Vec<[u8; 6]>,
    /// The only platforms that are taken; empty: all.
    pub ppid: Vec<[u8; 16]>,
    /// Platforms that are not taken.
    pub ppid_blacklist: Vec<[u8; 16]>,
    /// Properties that must be there.
    pub require: Vec<DcapRequirement>,
}

/// A TCB status that is accepted for a time, with advisories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The status.
    pub status: TcbStatus,
    /// The advisories.
    pub advisories: Vec<String>,
    /// The first second at which it no longer is.
    pub until: Timestamp,
}

impl Accept {
    /// The last day on which it is accepted, as `2026-12-31`.
    pub fn last_day(&self) -> String {
        day_before(self.until)
    }
}

/// Intel's verdict on a platform. `Revoked` is not among them: it is never accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TcbStatus {
    /// Nothing is known to be wrong.
    UpToDate,
    /// Software in the enclave has to protect itself.
    SwHardeningNeeded,
    /// The platform's configuration has to be changed.
    ConfigurationNeeded,
    /// Both.
    ConfigurationAndSwHardeningNeeded,
    /// The platform lacks a security update.
    OutOfDate,
    /// It lacks an update, and its configuration has to be changed.
    OutOfDateConfigurationNeeded,
    /// The TD was started before the platform's last update.
    TdRelaunchAdvised,
    /// The same, and the configuration has to be changed.
    TdRelaunchAdvisedConfigurationNeeded,
}

impl TcbStatus {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::UpToDate,
        Self::SwHardeningNeeded,
        Self::ConfigurationNeeded,
        Self::ConfigurationAndSwHardeningNeeded,
        Self::OutOfDate,
        Self::OutOfDateConfigurationNeeded,
        Self::TdRelaunchAdvised,
        Self::TdRelaunchAdvisedConfigurationNeeded,
    ];

    /// Intel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::SwHardeningNeeded => "SWHardeningNeeded",
            Self::ConfigurationNeeded => "ConfigurationNeeded",
            Self::ConfigurationAndSwHardeningNeeded => "ConfigurationAndSWHardeningNeeded",
            Self::OutOfDate => "OutOfDate",
            Self::OutOfDateConfigurationNeeded => "OutOfDateConfigurationNeeded",
            Self::TdRelaunchAdvised => "TDRelaunchAdvised",
            Self::TdRelaunchAdvisedConfigurationNeeded => "TDRelaunchAdvisedConfigurationNeeded",
        }
    }
}

/// A property of a platform that a policy can demand. Certificates of platforms with one processor do not speak of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DcapRequirement {
    /// The platform's root keys are not kept by Intel's registration service.
    NoCachedKeys,
    /// Simultaneous multithreading is off.
    NoSmt,
    /// No processor packages can be added to the platform.
    StaticPlatform,
}

impl DcapRequirement {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NoCachedKeys, Self::NoSmt, Self::StaticPlatform];

    /// Its name in a policy.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoCachedKeys => "no-cached-keys",
            Self::NoSmt => "no-smt",
            Self::StaticPlatform => "static-platform",
        }
    }
}
