// SPDX-License-Identifier: Apache-2.0

//! Azure's virtual TPM on top of SEV-SNP (TPM 2.0 Library Part 2; Azure confidential VM guest attestation design).

use std::sync::OnceLock;

use evidence::Kind;

use super::keep::Keep;
use super::made::Made;
use super::policy::{List, chosen, names};
use super::snp;
use super::steer::{self, Steer};
use super::{Disagreement, NOW};
use crate::silicon::SiliconError;
use crate::silicon::azure::{Knobs, SimulatedAzure};

fn silicon() -> Option<&'static SimulatedAzure> {
    static AZURE: OnceLock<Option<SimulatedAzure>> = OnceLock::new();
    let make = || SimulatedAzure::generate(snp::milan().ok()?.clone(), NOW).ok();
    AZURE.get_or_init(make).as_ref()
}

/// The root of the certificates of virtual TPMs, DER. Signatures of RSA are the same each time, but it is made once.
pub(super) fn root() -> Option<Vec<u8>> {
    silicon().and_then(|azure| azure.root().ok())
}

/// What the bytes change beside what is in the knobs.
#[derive(Debug, Default)]
struct Plan {
    untaken: bool,
    pcr: List,
    certificate: bool,
    require: u8,
    hash: List,
    measurement: Option<u8>,
    flip: Option<(usize, u8)>,
}

impl Plan {
    fn change(&mut self, steer: &mut Steer<'_>, which: u8, knobs: &mut Knobs) {
        match which {
            1 => knobs.kind.0 ^= 1 << (steer.byte() % 32),
            2 => knobs.kind.1 ^= 1 << (steer.byte() % 16),
            3 => knobs.banks.0 = steer.pick(&[0, 2, 3], 0),
            4 => knobs.banks.1 = steer.pick(&[4, 12, 0], 0),
            5 => knobs.extra = Some(vec![steer.byte(); steer.below(65)]),
            6 => knobs.trailing = vec![steer.byte(); 1 + steer.below(8)],
            7 => match steer.below(4) {
                0 => knobs.other_ak = true,
                1 => knobs.changed = true,
                2 => "HCLEkPub".clone_into(&mut knobs.kid),
                _ => knobs.reversed = true,
            },
            8 => {
                let leaf = &mut knobs.leaf;
                match steer.below(6) {
                    0 => leaf.other_key = true,
                    1 => leaf.purpose = false,
                    2 => leaf.issuer_ca = false,
                    3 => leaf.other_issuer = true,
                    4 => leaf.other_signer = true,
                    _ => leaf.strange = true,
                }
            }
            9 => knobs.runtime.0 = steer.pick(&[0, 2, 3], 0),
            10 => knobs.leaf.ca = true,
            11 => knobs.leaf.validity = (steer.time(NOW), steer.time(NOW)),
            12 => {
                // Fewer registers, in quote and bundle alike.
                let gone = steer.byte() % 24;
                knobs.select.retain(|index| *index != gone);
                knobs.pcrs.remove(&gone);
            }
            13 => {
                // Another value than the one that is quoted.
                let (index, byte) = (steer.byte() % 24, steer.byte());
                knobs.pcrs.insert(index, [byte; 32]);
            }
            14 => (knobs.secure_boot, knobs.console) = (steer.yes(), steer.yes()),
            15 => knobs.certificates = false,
            16 => self.untaken = true,
            17 => self.pcr = List::steered(steer, 11),
            18 => self.certificate = true,
            19 => self.require = steer.byte(),
            20 => self.hash = List::steered(steer, 0x4d),
            21 => self.measurement = Some(steer.byte()),
            _ => self.flip = Some(steer.flip(8000)),
        }
    }
}

/// Evidence that the bytes choose.
pub(super) fn made(
    steer: &mut Steer<'_>,
    keep: &Keep,
    data: &[u8; 64],
) -> Result<Made, Disagreement> {
    let azure = silicon().ok_or(SiliconError::Crypto)?;
    let (mut plan, mut knobs) = (Plan::default(), azure.knobs());
    knobs.user_data = *data;
    steer.changes(22, |steer, which| plan.change(steer, which, &mut knobs));
    let measurement = [plan.measurement.unwrap_or(0x4d); 48];
    let (bundle, endorsements) = azure.evidence(&measurement, &knobs)?;
    let mut made = Made::new(Kind::AzureSnp);
    made.must(!plan.untaken, "virtual TPMs are not taken");
    // Certificates that are not sent cannot be wrong.
    let broken_leaf = {
        let (leaf, right) = (&knobs.leaf, azure.knobs().leaf);
        leaf.other_key
            || leaf.other_issuer
            || leaf.other_signer
            || leaf.strange
            || leaf.ca
            || leaf.purpose != right.purpose
            || leaf.issuer_ca != right.issuer_ca
    };
    let broken = knobs.kind != (0xff54_4347, 0x8018)
        || knobs.banks != (1, 0x000b)
        || knobs.extra.is_some()
        || !knobs.trailing.is_empty()
        || knobs.other_ak
        || knobs.changed
        || knobs.kid != "HCLAkPub"
        || (knobs.reversed && knobs.select.len() > 1)
        || knobs.runtime.0 != 1;
    made.must(!broken, "a broken machine");
    let within = |(from, to)| from <= keep.now && keep.now <= to;
    let authorities = (NOW.minus(86_400), NOW.plus(86_400));
    if knobs.certificates {
        made.must(!broken_leaf, "a broken certificate");
        made.must(
            within(authorities) && within(knobs.leaf.validity),
            "a certificate out of its time",
        );
    } else {
        made.must(!plan.certificate, "no certificate");
    }
    // What the quote says of each register is its number, over and over.
    let quoted = knobs.pcrs.iter().all(|(index, value)| *value == [*index; 32]);
    made.must(quoted && knobs.select.iter().eq(knobs.pcrs.keys()), "other registers");
    if plan.pcr.is_some() {
        let register = knobs.pcrs.get(&11);
        made.must(register.is_some_and(|value| plan.pcr.holds(value)), "register 11");
    }
    made.must(plan.require & 1 == 0 || knobs.secure_boot, "no secure boot");
    made.must(plan.require & 2 == 0 || !knobs.console, "a console");
    made.must(
        plan.hash.takes(&measurement) && (!plan.hash.is_some() || measurement != [0; 48]),
        "measurement",
    );
    let list = (NOW.minus(86_400), NOW.plus(365 * 86_400));
    made.must(within(list), "hardware's list out of its time");
    made.measurement = measurement.to_vec();
    made.pinned = plan.hash.is_some() && plan.pcr.is_some();
    let mut statement = bundle.to_bytes();
    if let Some((at, mask)) = plan.flip.filter(|_| !statement.is_empty()) {
        let at = at % statement.len();
        steer::flip(&mut statement, (at, mask));
        made.must(false, "changed after it was signed");
    }
    (made.statement, made.endorsements) = (statement, endorsements);
    made.policy = format!("[snp]\n{}", plan.hash.key("hash", 48));
    if !plan.untaken {
        made.policy.push_str(&format!(
            "[vtpm]\nrequire_ak_certificate = {}\nrequire = {}\n{}",
            plan.certificate,
            names(&chosen(&["secure-boot", "no-console"], plan.require)),
            plan.pcr.key("pcrs.11", 32)
        ));
    }
    Ok(made)
}
