// SPDX-License-Identifier: Apache-2.0

//! AWS Nitro Enclaves: certificates and documents (AWS Nitro Enclaves, "Verifying the root of trust").

use std::sync::OnceLock;

use evidence::Kind;
use types::time::Timestamp;

use super::keep::Keep;
use super::made::Made;
use super::policy::List;
use super::steer::{self, Steer};
use super::{Disagreement, NOW};
use crate::silicon::{NitroShape, SiliconError, SimulatedNitro, Value, cbor_map, set};

fn silicon() -> Option<&'static SimulatedNitro> {
    static NITRO: OnceLock<Option<SimulatedNitro>> = OnceLock::new();
    NITRO.get_or_init(|| SimulatedNitro::generate(NOW).ok()).as_ref()
}

pub(super) fn root_pem() -> String {
    silicon().map(SimulatedNitro::root_pem).unwrap_or_default()
}

/// What the bytes change beside what is in the silicon.
#[derive(Debug, Default)]
struct Plan {
    hash: List,
    hash_blacklist: Option<u8>,
    signer: List,
    pcr: List,
    debug: bool,
    key: Option<bool>,
    user_data: Option<usize>,
    extra: Option<&'static str>,
    flip: Option<(usize, u8)>,
}

/// Evidence that the bytes choose.
pub(super) fn made(
    steer: &mut Steer<'_>,
    keep: &Keep,
    data: &[u8; 64],
) -> Result<Made, Disagreement> {
    let from = silicon().ok_or(SiliconError::Crypto)?;
    let mut plan = Plan::default();
    let mut made = Made::new(Kind::Nitro);
    let nitro = from.with_shape(|shape| {
        let root = shape.certificates.first().cloned();
        steer.changes(18, |steer, which| match which {
            1 => shape.timestamp_ms = steer.time(NOW).0.saturating_mul(1000),
            2 => drop(shape.pcrs.insert(0, vec![steer.byte(); 48])),
            3 => drop(shape.pcrs.insert(8, vec![steer.byte(); 48])),
            4 => drop(shape.pcrs.insert(u64::from(steer.byte() % 40), vec![steer.byte(); 48])),
            5 => drop(shape.pcrs.remove(&u64::from(steer.byte() % 16))),
            6 => drop(shape.pcrs.insert(3, vec![0; steer.pick(&[32, 47, 48, 64], 48)])),
            7 => {
                let (at, validity) = (steer.below(5), (steer.time(NOW), steer.time(NOW)));
                if let Some(certificate) = shape.certificates.get_mut(at) {
                    certificate.validity = validity;
                }
            }
            8 => {
                let (at, ca, below) = (steer.below(5), steer.yes(), steer.byte() % 5);
                if let Some(certificate) = shape.certificates.get_mut(at) {
                    certificate.basic = (below < 4).then_some((ca, (below > 0).then_some(below)));
                }
            }
            9 => {
                let (at, usage) = (steer.below(5), steer.byte());
                if let Some(certificate) = shape.certificates.get_mut(at) {
                    certificate.usage = (usage != 0).then_some(usage);
                }
            }
            10 => {
                let (at, by) = (steer.below(5), steer.below(5));
                if let Some(certificate) = shape.certificates.get_mut(at) {
                    certificate.signer = by;
                }
            }
            11 => {
                let (a, b) = (steer.below(shape.bundle.len().max(1)), steer.below(5));
                if steer.yes() {
                    shape.bundle.swap_remove(a.min(shape.bundle.len().saturating_sub(1)));
                } else {
                    shape.bundle.push(b);
                }
            }
            12 => plan.key = Some(steer.yes()),
            13 => plan.user_data = Some(steer.pick(&[0, 63, 64, 65], 64)),
            14 => plan.extra = Some(steer.pick(&["digest", "module_id", "pcrs", "x"], "x")),
            15 => plan.flip = Some(steer.flip(6000)),
            16 => plan.hash = List::steered(steer, 0x4d),
            17 => {
                plan.hash_blacklist = Some(steer.pick(&[0x4d, 0, 1], 0));
                plan.pcr = List::steered(steer, 0x44);
            }
            _ => (plan.signer, plan.debug) = (List::steered(steer, 0x88), steer.yes()),
        });
        // Zero stands for what has no image, and is no value of a policy.
        for list in [&mut plan.hash, &mut plan.signer] {
            if list.holds(&[0]) {
                *list = List::None;
            }
        }
        if let Some(own) = plan.key {
            let key = if own { keep.spki() } else { vec![4; 97] };
            shape.public_key = Some(key);
        }
        judge(shape, &plan, keep.now, &mut made);
        // The root that is believed is the one from before all changes.
        made.must(root.as_ref() == shape.certificates.first(), "another root");
    })?;
    made.must(plan.key != Some(false), "another key in the document");
    let mut data = data.to_vec();
    data.resize(plan.user_data.unwrap_or(64), 0);
    made.must(plan.user_data.is_none_or(|length| length == 64), "user data of another length");
    let mut payload = nitro.payload(Some(&data));
    if let Some(name) = plan.extra {
        set(&mut payload, name, if name == "x" { Some(Value::from(1)) } else { None });
        made.must(false, "a strange document");
    }
    let mut document = nitro.sign(&cbor_map(&payload))?;
    if let Some((at, mask)) = plan.flip.filter(|_| !document.is_empty()) {
        let at = at % document.len();
        steer::flip(&mut document, (at, mask));
        made.must(false, "changed after it was signed");
    }
    (made.statement, made.policy) = (document, plan.policy());
    Ok(made)
}

impl Plan {
    fn refused(&self) -> Option<u8> {
        self.hash_blacklist.filter(|byte| !self.hash.holds(&[*byte]))
    }

    fn policy(&self) -> String {
        let mut text = "[nitro]\n".to_owned();
        text.push_str(&self.hash.key("hash", 48));
        if let Some(byte) = self.refused() {
            text.push_str(&List::Of(byte).key("hash_blacklist", 48));
        }
        text.push_str(&self.signer.key("signer", 48));
        if self.debug {
            text.push_str("allow = [\"debug\"]\n");
        }
        if self.pcr.is_some() {
            text.push_str(&self.pcr.key("pcrs.4", 48));
        }
        text
    }
}

/// The judgement here.
fn judge(shape: &NitroShape, plan: &Plan, now: Timestamp, made: &mut Made) {
    let right = |(index, value): (&u64, &Vec<u8>)| *index < 32 && value.len() == 48;
    made.must(shape.pcrs.iter().all(right), "a register that there is not");
    made.must([0, 1, 2].iter().all(|index| shape.pcrs.contains_key(index)), "no register");
    let register = |index: u64| shape.pcrs.get(&index).cloned().unwrap_or_else(|| vec![0; 48]);
    let (image, signer) = (register(0), register(8));
    made.debug = image == [0; 48];
    made.may(!made.debug, plan.debug, "debug");
    made.must(plan.hash.takes(&image), "measurement");
    made.must(plan.refused().is_none_or(|byte| image != [byte; 48]), "a refused measurement");
    made.must(plan.signer.takes(&signer), "signer");
    made.must(plan.pcr.takes(&register(4)), "register 4");
    made.pinned = plan.hash.is_some() || plan.signer.is_some();
    made.measurement = image;
    // Each under the one before, the root first; the enclave's own last.
    made.must(shape.bundle == [0, 1, 2, 3], "a chain in disorder");
    for (at, certificate) in shape.certificates.iter().enumerate() {
        let (from, to) = certificate.validity;
        made.must(from <= now && now <= to, "a certificate out of its time");
        let wanted = at.saturating_sub(1);
        made.must(certificate.signer == wanted, "signed by another");
        let usage = certificate.usage.unwrap_or_default();
        let (ca, below) = certificate.basic.unwrap_or_default();
        if at == 4 {
            made.must(!ca && usage & 0x80 != 0, "a leaf that may not sign");
        } else {
            let enough = below.is_none_or(|below| usize::from(below) >= 3 - at);
            made.must(ca && enough && usage & 0x04 != 0, "no authority");
        }
    }
    let at = shape.timestamp_ms / 1000;
    made.must(shape.timestamp_ms <= now.plus(300).0.saturating_mul(1000), "of the future");
    if let Some(leaf) = shape.certificates.last() {
        made.must(leaf.validity.0.0 <= at && at <= leaf.validity.1.0, "older than its key");
    }
}
