// SPDX-License-Identifier: Apache-2.0

//! What evidence proved about a Keep: what all TEEs have in common, and what each has of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::digest::Sha256;
use types::slug::Slug;

use super::{NotAResult, Status, Vector};
#[cfg(feature = "appraisal")]
use crate::{Kind, Seen};

/// AR4SI: recognised and good, in every claim.
const AFFIRMING: i8 = 2;
/// AR4SI, executables: what runs is not among those that are known. Here: the policy does not pin it.
const EXECUTABLES_UNRECOGNIZED: i8 = 33;
/// AR4SI, configuration: known to be weak. Here: the policy relaxed something.
const CONFIGURATION_UNSAFE: i8 = 32;
/// AR4SI, configuration: not acceptable. Here: the guest can be debugged.
const CONFIGURATION_UNSUPPORTABLE: i8 = 96;
/// AR4SI, hardware and instance identity: not recognised. Here: simulated.
const UNRECOGNIZED: i8 = 97;

/// Longest name, version or status.
const TEXT_BYTES_MAX: usize = 128;
/// Most relaxations, advisories and registers.
const LIST_MAX: usize = 64;

/// Security version numbers of SEV-SNP's firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcbSummary {
    /// Boot loader.
    pub bootloader: u8,
    /// FMC; Turin and later.
    pub fmc: Option<u8>,
    /// Microcode.
    pub microcode: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Trusted operating system of the security processor.
    pub tee: u8,
}

/// The workload that a Keep runs, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadName {
    /// Digest of its root.
    pub digest: Sha256,
    /// Its name, if a registry that the policy trusts vouches for it.
    pub slug: Option<Slug>,
}

/// AMD SEV-SNP's own facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpFacts {
    /// CHIP_ID, hex; none where it is masked.
    pub chip_id: Option<String>,
    /// Security version that the guest claims for itself.
    pub guest_svn: u32,
    /// ID key digest, hex.
    pub id_key: Option<String>,
    /// Processor line, as `Milan`.
    pub product: String,
    /// Firmware's version numbers, as reported.
    pub tcb: TcbSummary,
    /// Virtual machine privilege level.
    pub vmpl: u32,
}

/// What Intel's collateral says about a platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DcapFacts {
    /// Advisories that concern the platform, sorted.
    pub advisories: Vec<String>,
    /// Number of Intel's TCB recovery under which the platform was judged (tcbEvaluationDataNumber).
    pub evaluation_number: u32,
    /// Family, model, stepping, platform type, SKU: 12 hex digits.
    pub fmspc: String,
    /// Platform provisioning identity, 32 hex digits.
    pub ppid: String,
    /// TCB status, as `UpToDate`.
    pub status: String,
}

/// Intel SGX's own facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SgxFacts {
    /// The platform.
    pub dcap: DcapFacts,
    /// ISVPRODID.
    pub product_id: u16,
    /// ISVSVN.
    pub svn: u16,
}

/// Intel TDX's own facts. The measurement is MRTD.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TdxFacts {
    /// The platform.
    pub dcap: DcapFacts,
    /// MRCONFIGID, 96 hex digits; none if zero.
    pub config_id: Option<String>,
    /// MROWNER, 96 hex digits; none if zero.
    pub owner: Option<String>,
    /// RTMR 0 to 3, 96 hex digits each.
    pub rtmrs: Vec<String>,
}

/// AWS Nitro Enclaves' own facts. The measurement is PCR0, the signer PCR8.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NitroFacts {
    /// Identity of the enclave, as AWS writes it.
    pub module_id: String,
    /// Registers that are not zero, by index; 96 hex digits each.
    pub pcrs: BTreeMap<u8, String>,
}

/// Arm CCA's own facts. The measurement is the realm's initial one (RIM).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CcaFacts {
    /// Implementation, 64 hex digits.
    pub implementation_id: String,
    /// Instance of the platform, 66 hex digits.
    pub instance_id: String,
    /// Life cycle, as `secured`.
    pub lifecycle: String,
    /// Extensible measurements that are not zero, by index; hex.
    pub rems: BTreeMap<u8, String>,
}

/// A virtual TPM between the TEE and what runs in it: the guest's own kernel is trusted too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VtpmFacts {
    /// Whose it is: `azure`.
    pub kind: String,
    /// Registers (SHA-256) that the quote covers, by index; 64 hex digits each.
    pub pcrs: BTreeMap<u8, String>,
}

/// What each TEE says of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TeeFacts {
    /// AMD SEV-SNP.
    Snp(SnpFacts),
    /// Intel SGX.
    Sgx(SgxFacts),
    /// Intel TDX.
    Tdx(TdxFacts),
    /// AWS Nitro Enclaves.
    Nitro(NitroFacts),
    /// Arm CCA.
    Cca(CcaFacts),
}

impl TeeFacts {
    /// Name of the TEE.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Snp(_) => "snp",
            Self::Sgx(_) => "sgx",
            Self::Tdx(_) => "tdx",
            Self::Nitro(_) => "nitro",
            Self::Cca(_) => "cca",
        }
    }

    /// Name of the processor line or platform, for people.
    pub fn product(&self) -> &str {
        match self {
            Self::Snp(facts) => &facts.product,
            Self::Sgx(SgxFacts { dcap, .. }) | Self::Tdx(TdxFacts { dcap, .. }) => &dcap.fmspc,
            Self::Nitro(_) => "AWS",
            Self::Cca(facts) => &facts.implementation_id,
        }
    }

    /// Sizes of measurements and signers, in bytes.
    const fn sizes(&self) -> (&'static [usize], usize) {
        match self {
            Self::Snp(_) | Self::Nitro(_) | Self::Tdx(_) => (&[48], 48),
            Self::Sgx(_) => (&[32], 32),
            Self::Cca(_) => (&[32, 48, 64], 32),
        }
    }

    /// What is not written as docs/FORMATS.md 4.1 has it.
    fn flaw(&self) -> Option<&'static str> {
        let rows: &[(bool, &'static str)] = match self {
            Self::Snp(facts) => &[
                (optional(facts.id_key.as_ref(), 48), "its ID key is not 96 hex digits"),
                (optional(facts.chip_id.as_ref(), 64), "its chip id is not 128 hex digits"),
                (is_text(&facts.product), "its product has no sensible name"),
            ],
            Self::Sgx(facts) => &[(facts.dcap.well_formed(), MALFORMED)],
            Self::Tdx(facts) => &[
                (facts.dcap.well_formed(), MALFORMED),
                (optional(facts.config_id.as_ref(), 48), "its MRCONFIGID is not 96 hex digits"),
                (optional(facts.owner.as_ref(), 48), "its MROWNER is not 96 hex digits"),
                (
                    facts.rtmrs.len() == 4 && facts.rtmrs.iter().all(|rtmr| is_hex(rtmr, &[48])),
                    "its RTMRs are not four times 96 hex digits",
                ),
            ],
            Self::Nitro(facts) => &[
                (is_text(&facts.module_id), "its module has no sensible name"),
                (registers(&facts.pcrs, &[32, 48, 64]), "its PCRs are malformed"),
            ],
            Self::Cca(facts) => &[
                (is_hex(&facts.implementation_id, &[32]), "its implementation is malformed"),
                (is_hex(&facts.instance_id, &[33]), "its instance is malformed"),
                (is_text(&facts.lifecycle), "its life cycle has no sensible name"),
                (registers(&facts.rems, &[32, 48, 64]), "its REMs are malformed"),
            ],
        };
        rows.iter().find(|(holds, _)| !holds).map(|(_, what)| *what)
    }
}

const MALFORMED: &str = "what it says about Intel's platform is malformed";

impl DcapFacts {
    fn well_formed(&self) -> bool {
        is_hex(&self.fmspc, &[6])
            && is_hex(&self.ppid, &[16])
            && is_text(&self.status)
            && self.advisories.len() <= LIST_MAX
            && self.advisories.is_sorted()
            && self.advisories.iter().all(|advisory| is_text(advisory))
    }
}

/// What the evidence proved about a Keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Wire", try_from = "Wire")]
pub struct Facts {
    /// Whether the guest may be debugged.
    pub debug: bool,
    /// Launch measurement, hex.
    pub measurement: String,
    /// Whether the policy pins this Keep, by measurement or signer.
    pub pinned: bool,
    /// Relaxations of the policy without which the evidence would have been refused, by name, sorted.
    pub relaxations: Vec<String>,
    /// Digest of the key that signed the Keep, hex.
    pub signer: Option<String>,
    /// Whether the silicon is simulated.
    pub simulated: bool,
    /// The TEE, and what it says of its own.
    pub tee: TeeFacts,
    /// The virtual TPM in between, if there is one.
    pub vtpm: Option<VtpmFacts>,
    /// What it runs; only if `pinned`.
    pub workload: Option<WorkloadName>,
}

/// [`Facts`] as they are written: one member is named after the TEE. Members are in the order of their names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none")]
    cca: Option<CcaFacts>,
    debug: bool,
    measurement: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nitro: Option<NitroFacts>,
    pinned: bool,
    relaxations: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sgx: Option<SgxFacts>,
    signer: Option<String>,
    simulated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    snp: Option<SnpFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tdx: Option<TdxFacts>,
    tee: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    vtpm: Option<VtpmFacts>,
    workload: Option<WorkloadName>,
}

impl From<Facts> for Wire {
    fn from(facts: Facts) -> Self {
        let mut wire = Self {
            cca: None,
            debug: facts.debug,
            measurement: facts.measurement,
            nitro: None,
            pinned: facts.pinned,
            relaxations: facts.relaxations,
            sgx: None,
            signer: facts.signer,
            simulated: facts.simulated,
            snp: None,
            tdx: None,
            tee: facts.tee.name().to_owned(),
            vtpm: facts.vtpm,
            workload: facts.workload,
        };
        match facts.tee {
            TeeFacts::Snp(own) => wire.snp = Some(own),
            TeeFacts::Sgx(own) => wire.sgx = Some(own),
            TeeFacts::Tdx(own) => wire.tdx = Some(own),
            TeeFacts::Nitro(own) => wire.nitro = Some(own),
            TeeFacts::Cca(own) => wire.cca = Some(own),
        }
        wire
    }
}

impl TryFrom<Wire> for Facts {
    type Error = NotAResult;

    fn try_from(wire: Wire) -> Result<Self, NotAResult> {
        let tee = match (wire.cca, wire.nitro, wire.sgx, wire.snp, wire.tdx) {
            (Some(own), None, None, None, None) => TeeFacts::Cca(own),
            (None, Some(own), None, None, None) => TeeFacts::Nitro(own),
            (None, None, Some(own), None, None) => TeeFacts::Sgx(own),
            (None, None, None, Some(own), None) => TeeFacts::Snp(own),
            (None, None, None, None, Some(own)) => TeeFacts::Tdx(own),
            _ => return Err(NotAResult("it has not the facts of one TEE".to_owned())),
        };
        if wire.tee != tee.name() {
            return Err(NotAResult("its TEE is unknown, or not the one of its facts".to_owned()));
        }
        Ok(Self {
            debug: wire.debug,
            measurement: wire.measurement,
            pinned: wire.pinned,
            relaxations: wire.relaxations,
            signer: wire.signer,
            simulated: wire.simulated,
            tee,
            vtpm: wire.vtpm,
            workload: wire.workload,
        })
    }
}

impl Facts {
    /// What logs are told of this genuine evidence.
    #[cfg(feature = "appraisal")]
    pub fn seen(&self, kind: Kind) -> Seen {
        Seen {
            kind,
            product: self.tee.product().to_owned(),
            measurement: self.measurement.clone(),
            simulated: self.simulated,
        }
    }

    /// The status that follows from the facts.
    pub fn status(&self) -> Status {
        if self.simulated || self.debug {
            Status::Contraindicated
        } else if !self.pinned || !self.relaxations.is_empty() {
            Status::Warning
        } else {
            Status::Affirming
        }
    }

    pub(super) fn vector(&self) -> Vector {
        let silicon = if self.simulated { UNRECOGNIZED } else { AFFIRMING };
        Vector {
            configuration: match (self.debug, self.relaxations.is_empty()) {
                (true, _) => CONFIGURATION_UNSUPPORTABLE,
                (false, false) => CONFIGURATION_UNSAFE,
                (false, true) => AFFIRMING,
            },
            executables: if self.pinned { AFFIRMING } else { EXECUTABLES_UNRECOGNIZED },
            hardware: silicon,
            instance_identity: silicon,
        }
    }

    /// Refuses facts that contradict each other, or are not written as docs/FORMATS.md 4.1 has them.
    pub(super) fn check(&self) -> Result<(), NotAResult> {
        let (measurement, signer) = self.tee.sizes();
        let slug = self.workload.as_ref().and_then(|workload| workload.slug.as_ref());
        let well_formed = [
            (is_hex(&self.measurement, measurement), "its measurement is not hex of its length"),
            (optional(self.signer.as_ref(), signer), "its signer is not hex of its length"),
            (
                self.relaxations.len() <= LIST_MAX
                    && self.relaxations.iter().all(|name| is_text(name)),
                "its relaxations are too many or have no sensible names",
            ),
            (
                self.vtpm.as_ref().is_none_or(|vtpm| {
                    vtpm.kind == "azure" && registers(&vtpm.pcrs, &[32]) && !vtpm.pcrs.is_empty()
                }),
                "what it says about a virtual TPM is malformed",
            ),
            (
                self.pinned || self.workload.is_none(),
                "it names a workload of a Keep that the policy does not pin",
            ),
            (
                slug.is_none_or(|slug| slug.digest.is_none()),
                "its workload's name carries a digest of its own",
            ),
        ];
        let flaw = well_formed.iter().find(|(holds, _)| !holds).map(|(_, what)| *what);
        match flaw.or_else(|| self.tee.flaw()) {
            Some(what) => Err(NotAResult(what.to_owned())),
            None => Ok(()),
        }
    }
}

fn is_hex(text: &str, sizes: &[usize]) -> bool {
    sizes.iter().any(|bytes| text.len() == 2 * bytes)
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn optional(text: Option<&String>, bytes: usize) -> bool {
    text.is_none_or(|text| is_hex(text, &[bytes]))
}

fn registers(registers: &BTreeMap<u8, String>, sizes: &[usize]) -> bool {
    registers.len() <= LIST_MAX && registers.values().all(|register| is_hex(register, sizes))
}

/// Whether `text` can be shown on a terminal and in a log as it is.
pub(super) fn is_text(text: &str) -> bool {
    (1..=TEXT_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b))
}
