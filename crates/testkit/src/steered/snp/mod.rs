// SPDX-License-Identifier: Apache-2.0

//! SEV-SNP: reports, certificates, revocation lists.

mod judge;

use std::sync::OnceLock;

use evidence::Kind;
use types::time::Timestamp;

use self::judge::judge;
use super::keep::{Keep, day, is_over};
use super::made::Made;
use super::policy::{List, chosen, names};
use super::steer::{self, Steer};
use super::{Disagreement, NOW};
use crate::silicon::{ASK_SERIAL, Key, Options, Shape, SiliconError, SimulatedSnp};

/// Relaxations in `allow`.
const ALLOWED: [&str; 7] = [
    "alias-check",
    "chip-id-masked",
    "crl-expired",
    "crl-missing",
    "debug",
    "migration-agent",
    "provisional-firmware",
];
/// Words of `require`, with the bits that meet them: of the guest policy set and clear, of the platform set and clear.
const REQUIRED: [(&str, [u64; 4]); 8] = [
    ("no-smt", [0, 1 << 16, 0, 0]),
    ("single-socket", [1 << 20, 0, 0, 0]),
    ("no-cxl", [0, 1 << 21, 0, 0]),
    ("aes-256-xts", [1 << 22, 0, 0, 0]),
    ("page-swap-disabled", [1 << 25, 0, 0, 0]),
    ("tsme", [0, 0, 2, 0]),
    ("ecc", [0, 0, 4, 0]),
    ("no-tio", [0, 0, 0, 1 << 7]),
];
const PROVIDER: &str = "CN=steered";

fn silicon(turin: bool) -> Option<&'static SimulatedSnp> {
    static MILAN: OnceLock<Option<SimulatedSnp>> = OnceLock::new();
    static TURIN: OnceLock<Option<SimulatedSnp>> = OnceLock::new();
    let make = |shape| SimulatedSnp::generate(NOW, Options { shape, ..Options::default() }).ok();
    if turin {
        let shape = Shape {
            product: "Turin".to_owned(),
            version: 5,
            cpuid: (0x1a, 2, 1),
            fmc: Some(1),
            ..Shape::default()
        };
        TURIN.get_or_init(|| make(shape)).as_ref()
    } else {
        MILAN.get_or_init(|| make(Shape::default())).as_ref()
    }
}

/// A Milan.
pub(super) fn milan() -> Result<&'static SimulatedSnp, SiliconError> {
    silicon(false).ok_or(SiliconError::Crypto)
}

pub(super) fn roots_pem() -> String {
    [false, true].into_iter().filter_map(silicon).map(SimulatedSnp::roots_pem).collect()
}

/// What `[snp]` says.
#[derive(Debug, Default)]
struct Wanted {
    allow: u8,
    /// Last day of the relaxations in `allow`, from today on.
    until: Option<i64>,
    max_vmpl: u32,
    hash: List,
    hash_blacklist: Option<u8>,
    signer: List,
    id_key: List,
    host_data: List,
    family: List,
    guest_svn: u32,
    minimum_snp: u8,
    minimum_microcode: u8,
    minimum_build: u8,
    require: u8,
    product_refused: bool,
    vlek: bool,
    chip: Option<bool>,
    policy_flags: Option<u8>,
    mitigations: u8,
}

/// How certificate and list are not as they should be.
#[derive(Debug, Default)]
struct Chain {
    vek_validity: Option<(Timestamp, Timestamp)>,
    other_tcb: bool,
    other_chip: bool,
    vlek: bool,
    strange: bool,
    other_signer: bool,
    no_list: bool,
    list: Option<(Timestamp, Timestamp)>,
    list_revokes: bool,
    list_of_another: bool,
}

/// What the bytes change.
#[derive(Debug)]
struct Plan {
    wanted: Wanted,
    chain: Chain,
    shape: Shape,
    measurement: [u8; 48],
    /// After it was signed.
    flip: Option<(usize, u8)>,
}

/// Overwrites a part of the report before it is signed.
fn put(shape: &mut Shape, at: usize, bytes: &[u8]) {
    shape.overwrite.extend(bytes.iter().enumerate().map(|(index, byte)| (at + index, *byte)));
}

impl Plan {
    fn change(&mut self, steer: &mut Steer<'_>, which: u8) {
        let (shape, wanted, chain) = (&mut self.shape, &mut self.wanted, &mut self.chain);
        match which {
            // The report.
            1 => shape.policy ^= steer.bit(),
            2 => shape.platform_info ^= steer.bit(),
            3 => shape.vmpl = u32::from(steer.byte() % 5),
            4 => shape.guest_svn = steer.word().into(),
            5 => shape.key_info ^= 1 << (steer.byte() % 8),
            6 => shape.version = u32::from(steer.byte() % 8),
            7 => shape.cpuid = (steer.pick(&[0x19, 0x1a, 0x17], 0), steer.byte(), steer.byte()),
            8 => put(shape, usize::from(steer.word()) % 672, &[steer.byte()]),
            // A part of one TCB: reported, committed, current, launch.
            9 => {
                let field = steer.pick(&[384, 480, 56, 496], 0);
                put(shape, field + steer.below(8), &[steer.byte()]);
            }
            10 => self.measurement = [steer.byte(); 48],
            11 => shape.mask_chip_id = true,
            12 => self.flip = Some(steer.flip(1184)),
            // Host data, ID key, author key, family, image.
            13 => put(shape, 192, &[steer.byte(); 32]),
            14 => put(shape, 224, &[steer.byte(); 48]),
            15 => put(shape, 272, &[steer.byte(); 48]),
            16 => put(shape, 16, &[steer.byte(); 16]),
            // Firmware: current, committed.
            17 => put(shape, steer.pick(&[488, 492], 488), &[steer.byte(), 55, 1]),
            18 => put(shape, 504, &[steer.byte(); 16]),
            // Certificate and list.
            19 => chain.vek_validity = Some((steer.time(NOW), steer.time(NOW))),
            20 => chain.other_tcb = true,
            21 => chain.other_chip = true,
            22 => {
                chain.vlek = true;
                shape.key_info = 1 << 2;
            }
            23 => (chain.strange, chain.other_signer) = (steer.yes(), steer.yes()),
            24 => chain.no_list = true,
            25 => chain.list = Some((steer.time(NOW), steer.time(NOW))),
            26 => chain.list_revokes = true,
            27 => chain.list_of_another = true,
            // The policy.
            28 => wanted.allow = steer.byte(),
            29 => wanted.max_vmpl = u32::from(steer.byte() % 4),
            30 => wanted.hash = List::steered(steer, 0x4d),
            31 => wanted.hash_blacklist = Some(if steer.yes() { 0x4d } else { steer.byte() }),
            32 => wanted.signer = List::steered(steer, 0xa5),
            33 => wanted.id_key = List::steered(steer, 0x1d),
            34 => wanted.host_data = List::steered(steer, 0xda),
            35 => wanted.family = List::steered(steer, 0xfa),
            36 => wanted.guest_svn = steer.word().into(),
            37 => wanted.minimum_snp = steer.byte(),
            38 => wanted.minimum_microcode = steer.byte(),
            39 => wanted.minimum_build = steer.byte(),
            40 => wanted.require = steer.byte(),
            41 => wanted.product_refused = true,
            42 => wanted.vlek = true,
            43 => wanted.chip = Some(steer.yes()),
            44 => wanted.policy_flags = Some(steer.byte() % 8),
            45 => wanted.mitigations = steer.byte(),
            _ => wanted.until = Some(i64::from(steer.byte() % 8) - 3),
        }
    }

    /// `[snp]`.
    fn policy(&self, silicon: &SimulatedSnp) -> String {
        let wanted = &self.wanted;
        let product = &silicon.shape().product;
        let allowed = chosen(&ALLOWED, wanted.allow);
        let allowed = match wanted.until {
            None => names(&allowed),
            Some(until) => {
                let entry = |name| format!("{{ name = \"{name}\", until = {} }}", day(until));
                format!("[{}]", allowed.into_iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        };
        let mut text = format!("[snp]\nallow = {allowed}\n");
        text.push_str(&format!("max_vmpl = {}\n", wanted.max_vmpl));
        text.push_str(&wanted.hash.key("hash", 48));
        if let Some(byte) = self.refused() {
            text.push_str(&List::Of(byte).key("hash_blacklist", 48));
        }
        text.push_str(&wanted.signer.key("signer", 48));
        text.push_str(&wanted.id_key.key("id_key_digest", 48));
        text.push_str(&wanted.host_data.key("host_data", 32));
        text.push_str(&wanted.family.key("family_id", 16));
        text.push_str(&format!("minimum_guest_svn = {}\n", wanted.guest_svn));
        text.push_str(&format!("minimum_firmware = \"1.55.{}\"\n", wanted.minimum_build));
        let required = REQUIRED.map(|(name, _)| name);
        text.push_str(&format!("require = {}\n", names(&chosen(&required, wanted.require))));
        if wanted.product_refused {
            text.push_str(&format!("products_blacklist = [\"{product}\"]\n"));
        }
        if wanted.vlek {
            text.push_str(&format!("vlek = [\"{PROVIDER}\"]\n"));
        }
        let mut chip = silicon.shape().hwid();
        chip.resize(64, 0);
        if let Some(wanted) = wanted.chip {
            let key = if wanted { "chip_id" } else { "chip_id_blacklist" };
            text.push_str(&format!("{key} = [\"{}\"]\n", steer::hex(&chip)));
        }
        if let Some(flags) = wanted.policy_flags {
            let flags = chosen(&["SMT", "Debug", "SingleSocket"], flags);
            text.push_str(&format!("policy_flags = {}\n", names(&flags)));
        }
        let bits: Vec<_> = (0..8).filter(|bit| wanted.mitigations >> bit & 1 == 1).collect();
        text.push_str(&format!("mitigations = {bits:?}\n"));
        text.push_str(&format!(
            "[snp.minimum_tcb.{product}]\nsnp = {}\nmicrocode = {}\n",
            wanted.minimum_snp, wanted.minimum_microcode
        ));
        text
    }

    /// The measurement that is refused; none that is wanted too, which makes no policy.
    fn refused(&self) -> Option<u8> {
        self.wanted.hash_blacklist.filter(|byte| !self.wanted.hash.holds(&[*byte]))
    }

    /// The chip with the reports, certificate and list that are planned.
    fn silicon(&self, from: &SimulatedSnp) -> Result<SimulatedSnp, SiliconError> {
        let chain = &self.chain;
        let mut silicon = from.with_shape(|shape| *shape = self.shape.clone());
        let right = chain.vek_validity.is_none()
            && !(chain.other_tcb || chain.other_chip || chain.vlek)
            && !(chain.strange || chain.other_signer);
        if !right {
            silicon = silicon.with_vek(|vek| {
                if chain.vlek {
                    vek.make_vlek(PROVIDER);
                }
                vek.validity = chain.vek_validity.unwrap_or(vek.validity);
                if chain.other_tcb {
                    vek.tcb.microcode ^= 1;
                }
                if chain.other_chip && !chain.vlek {
                    vek.hwid.iter_mut().flatten().for_each(|byte| *byte ^= 1);
                }
                if chain.strange {
                    vek.extra.push(("1.2.3.4".to_owned(), true, vec![5, 0]));
                }
                if chain.other_signer {
                    vek.signer = Key::Ark;
                }
            })?;
        }
        if chain.list.is_some() || chain.list_revokes || chain.list_of_another {
            silicon = silicon.with_crl(|crl| {
                if let Some((since, until)) = chain.list {
                    (crl.this_update, crl.next_update) = (since, Some(until));
                }
                if chain.list_revokes {
                    crl.revoked = vec![ASK_SERIAL.to_vec()];
                }
                if chain.list_of_another {
                    crl.signer = Key::Ask;
                }
            })?;
        }
        Ok(silicon)
    }
}

/// Evidence that the bytes choose.
pub(super) fn made(
    steer: &mut Steer<'_>,
    keep: &Keep,
    data: &[u8; 64],
    turin: bool,
) -> Result<Made, Disagreement> {
    let silicon = silicon(turin).ok_or(SiliconError::Crypto)?;
    let mut plan = Plan {
        wanted: Wanted::default(),
        chain: Chain::default(),
        shape: silicon.shape().clone(),
        measurement: [0x4d; 48],
        flip: None,
    };
    steer.changes(46, |steer, which| plan.change(steer, which));
    let changed = plan.silicon(silicon)?;
    let mut made = Made::new(Kind::Snp);
    made.policy = plan.policy(silicon);
    // What is over is as good as not there.
    if plan.wanted.until.is_some_and(|until| is_over(until, keep.now)) {
        plan.wanted.allow = 0;
    }
    let mut report = changed.report(data, &plan.measurement)?;
    made.must(report.get(80..144) == Some(&data[..]), "other report data");
    judge(&plan, &report, silicon, keep.now, &mut made);
    if let Some(place) = plan.flip {
        steer::flip(&mut report, place);
        made.must(false, "changed after it was signed");
    }
    let crls = vec![("https://simulated.invalid/crl".to_owned(), changed.crl().to_vec())];
    let crls = if plan.chain.no_list { Vec::new() } else { crls };
    let endorsements =
        evidence::snp::Endorsements { vcek: changed.vcek().to_vec(), crls, asvk: None };
    made.endorsements = endorsements.to_der().map_err(|error| Disagreement(error.to_string()))?;
    made.statement = report;
    Ok(made)
}
