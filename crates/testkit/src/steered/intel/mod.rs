// SPDX-License-Identifier: Apache-2.0

//! SGX and TDX: quotes, certificates, TCB info, QE identity, revocation lists.

mod body;
mod platform;

use std::sync::OnceLock;

use evidence::Kind;
use evidence::intel::Collateral;

use self::platform::Platform;
use super::keep::Keep;
use super::made::Made;
use super::policy::List;
use super::steer::{self, Steer};
use super::{Disagreement, NOW};
use crate::silicon::SiliconError;
use crate::silicon::intel::{Knobs, SimulatedIntel, Tee};

fn silicon() -> Option<&'static SimulatedIntel> {
    static INTEL: OnceLock<Option<SimulatedIntel>> = OnceLock::new();
    INTEL.get_or_init(|| SimulatedIntel::generate(NOW).ok()).as_ref()
}

pub(super) fn root_pem() -> String {
    silicon().and_then(|intel| intel.root_pem().ok()).unwrap_or_default()
}

/// What `[sgx]` or `[tdx]` says of enclave or TD.
#[derive(Debug, Default)]
struct Wanted {
    hash: List,
    hash_blacklist: Option<u8>,
    signer: List,
    features: Option<u8>,
    product: Option<u16>,
    svn: u16,
    config_id: List,
    family: List,
    owner: List,
    rtmr: List,
    module: List,
    service: List,
    debug: bool,
}

impl Wanted {
    /// The measurement that is refused; none that is wanted too, which makes no policy.
    fn refused(&self) -> Option<u8> {
        self.hash_blacklist.filter(|byte| !self.hash.holds(&[*byte]))
    }
}

/// What the bytes change.
#[derive(Debug)]
struct Plan {
    knobs: Knobs,
    wanted: Wanted,
    platform: Platform,
    /// In the quote, after it was signed.
    flip: Option<(usize, u8)>,
}

impl Plan {
    fn change(&mut self, steer: &mut Steer<'_>, which: u8) {
        let Self { knobs, wanted, .. } = self;
        let (sgx, tdx) = (&mut knobs.quote.sgx, &mut knobs.quote.tdx);
        match which {
            1 => {
                let bit = steer.bit();
                sgx.attributes.0 ^= bit;
                tdx.attributes ^= bit;
            }
            2 => {
                let bit = steer.bit();
                sgx.attributes.1 ^= bit;
                tdx.xfam ^= bit;
            }
            3 => {
                sgx.misc_select ^= 1 << (steer.byte() % 32);
                tdx.seam_attributes ^= steer.bit();
            }
            4 => {
                let byte = steer.byte();
                (sgx.enclave, tdx.measurement) = ([byte; 32], [byte; 48]);
            }
            5 => {
                let byte = steer.byte();
                (sgx.signer, tdx.seam_signer) = ([byte; 32], [byte; 48]);
            }
            6 => {
                let byte = steer.byte();
                (sgx.config_id, tdx.config_id) = ([byte; 64], [byte; 48]);
            }
            7 => {
                let byte = steer.byte();
                (sgx.family_id, tdx.owner) = ([byte; 16], [byte; 48]);
            }
            8 => {
                let byte = steer.byte();
                (sgx.extended_product_id, tdx.owner_config) = ([byte; 16], [byte; 48]);
            }
            9 => {
                (sgx.product_id, sgx.svn) = (steer.word() % 8, steer.word() % 8);
                let register = steer.below(4);
                if let Some(register) = tdx.rtmrs.get_mut(register) {
                    *register = [steer.byte(); 48];
                }
            }
            10 => {
                sgx.config_svn = steer.word();
                tdx.seam = [steer.byte(); 48];
            }
            11 => {
                let at = steer.below(16);
                if let Some(part) = tdx.tee_tcb_svn.get_mut(at) {
                    *part = steer.byte();
                }
            }
            12 => {
                (tdx.service_td, tdx.vm) = ([steer.byte(); 48], steer.byte() % 2);
                tdx.current_service_td = [steer.byte(); 48];
            }
            13 => {
                if knobs.quote.tee == Tee::Tdx {
                    knobs.quote.version = 5;
                    knobs.quote.body = steer.pick(&[2, 3, 4], 3);
                }
            }
            14 => {
                let (at, byte) = (usize::from(steer.word()) % 640, steer.byte());
                knobs.quote.overwrite.push((at, byte));
            }
            15 => self.flip = Some(steer.flip(6000)),
            16 => wanted.hash = List::steered(steer, 0x4d),
            17 => wanted.hash = List::steered(steer, 0x7d),
            18 => wanted.hash_blacklist = Some(steer.pick(&[0x4d, 0x7d, 0, 1], 0)),
            19 => wanted.signer = List::steered(steer, 0x53),
            20 => wanted.features = Some(steer.byte()),
            21 => (wanted.product, wanted.svn) = (Some(steer.word() % 8), steer.word() % 8),
            22 => wanted.config_id = List::steered(steer, 0xcf),
            23 => wanted.family = List::steered(steer, 0xfa),
            24 => wanted.owner = List::steered(steer, 0x0e),
            25 => wanted.rtmr = List::steered(steer, 0x10),
            26 => wanted.module = List::steered(steer, 0x5e),
            27 => wanted.service = List::steered(steer, 0x5d),
            28 => wanted.debug = true,
            _ => self.platform.change(steer, which - 28, &mut self.knobs),
        }
    }
}

fn made(
    steer: &mut Steer<'_>,
    keep: &Keep,
    data: &[u8; 64],
    tee: Tee,
) -> Result<Made, Disagreement> {
    let intel = silicon().ok_or(SiliconError::Crypto)?;
    let mut plan = Plan {
        knobs: intel.knobs(tee),
        wanted: Wanted::default(),
        platform: Platform::default(),
        flip: None,
    };
    plan.knobs.quote.report_data = *data;
    steer.changes(28 + platform::CHANGES, |steer, which| plan.change(steer, which));
    let evidence = intel.evidence(&plan.knobs)?;
    let mut made = Made::new(if tee == Tee::Sgx { Kind::Sgx } else { Kind::Tdx });
    let mut quote = evidence.quote;
    let table = match tee {
        Tee::Sgx => body::sgx(&plan, &quote, data, &mut made),
        Tee::Tdx => body::tdx(&plan, &quote, data, &mut made),
    };
    plan.platform.judge(&plan.knobs, &quote, keep.now, &mut made);
    if let Some((at, mask)) = plan.flip.filter(|_| !quote.is_empty()) {
        let at = at % quote.len();
        steer::flip(&mut quote, (at, mask));
        made.must(false, "changed after it was signed");
    }
    made.statement = quote;
    let collateral = Collateral {
        crls: vec![evidence.root_crl, evidence.pck_crl],
        tcb_info: Some(evidence.tcb_info),
        qe_identity: Some(evidence.qe_identity),
        tcb_info_chain: Some(evidence.signer_chain),
        qe_identity_chain: None,
        pck_chain: None,
    };
    made.endorsements = collateral.to_bytes();
    let name = if tee == Tee::Sgx { "sgx" } else { "tdx" };
    made.policy = format!("[{name}]\n{table}{}", plan.platform.policy(name));
    Ok(made)
}

/// A quote of an enclave that the bytes choose.
pub(super) fn sgx(
    steer: &mut Steer<'_>,
    keep: &Keep,
    data: &[u8; 64],
) -> Result<Made, Disagreement> {
    made(steer, keep, &keep.sgx_report_data(data), Tee::Sgx)
}

/// A quote of a TD that the bytes choose.
pub(super) fn tdx(
    steer: &mut Steer<'_>,
    keep: &Keep,
    data: &[u8; 64],
) -> Result<Made, Disagreement> {
    made(steer, keep, data, Tee::Tdx)
}
