// SPDX-License-Identifier: Apache-2.0

//! Arm CCA: tokens of platform and realm (Arm Realm Management Monitor specification, A7; RFC-to-be draft-ffm-rats-cca-token).

use std::sync::OnceLock;

use evidence::Kind;

use super::Disagreement;
use super::made::Made;
use super::policy::List;
use super::steer::{self, Steer, hex};
use crate::silicon::{Curve, SiliconError, SimulatedCca, Value, cbor_map, set};

/// States of platforms, by the upper half byte of the claim.
const STATES: [&str; 7] = [
    "unknown",
    "assembly-and-test",
    "provisioning",
    "secured",
    "non-platform-debug",
    "recoverable-debug",
    "decommissioned",
];

fn silicon() -> Option<&'static SimulatedCca> {
    static CCA: OnceLock<Option<SimulatedCca>> = OnceLock::new();
    CCA.get_or_init(|| SimulatedCca::generate(Curve::P384, Curve::P384).ok()).as_ref()
}

pub(super) fn key_pem() -> String {
    silicon().map(SimulatedCca::key_pem).unwrap_or_default()
}

/// What the bytes change.
#[derive(Debug, Default)]
struct Plan {
    /// Claims that are put in or taken out before the tokens are signed.
    platform: Vec<(i64, Option<Value>)>,
    realm: Vec<(i64, Option<Value>)>,
    lifecycle: Option<u16>,
    measurement: Option<Vec<u8>>,
    rem: Option<u8>,
    personalization: Option<u8>,
    broken: bool,
    hash: List,
    hash_blacklist: Option<u8>,
    rems: List,
    personal: List,
    state: Option<usize>,
    component: Option<(u8, u8)>,
    trusted: bool,
    flip: Option<(usize, u8)>,
}

impl Plan {
    fn change(&mut self, steer: &mut Steer<'_>, which: u8) {
        match which {
            1 => self.lifecycle = Some(steer.word()),
            2 => self.lifecycle = Some(u16::from(steer.byte() % 8) << 12 | u16::from(steer.byte())),
            3 => self.measurement = Some(vec![steer.byte(); steer.pick(&[32, 48, 64, 31], 32)]),
            4 => self.rem = Some(steer.byte()),
            5 => self.personalization = Some(steer.byte()),
            6 => {
                // A claim that has to be there is not.
                let all = [10, 44_235, 44_236, 44_237, 44_238, 44_239, 44_240];
                self.realm.push((steer.pick(&all, 10), None));
                self.broken = true;
            }
            7 => {
                let all = [10, 256, 265, 2395, 2396, 2399, 2401, 2402];
                self.platform.push((steer.pick(&all, 10), None));
                self.broken = true;
            }
            8 => {
                // The platform vouches for another key.
                self.platform.push((10, Some(Value::Bytes(vec![steer.byte(); 32]))));
                self.broken = true;
            }
            9 => {
                self.realm.push((10, Some(Value::Bytes(vec![steer.byte(); steer.below(70)]))));
                self.broken = true;
            }
            10 => {
                let profile = steer.pick(&["tag:arm.com,2023:realm#1.0.1", ""], "");
                self.realm.push((265, Some(Value::from(profile))));
                self.broken = true;
            }
            11 => self.realm.push((i64::from(steer.byte()) + 60_000, Some(Value::from(1)))),
            12 => self.flip = Some(steer.flip(2000)),
            13 => self.hash = List::steered(steer, 0x4d),
            14 => self.hash_blacklist = Some(steer.pick(&[0x4d, 0, 1], 0)),
            15 => self.rems = List::steered(steer, 1),
            16 => self.personal = List::steered(steer, 0x9e),
            // A policy can name all but the first and the last.
            17 => self.state = Some(1 + steer.below(STATES.len() - 2)),
            18 => self.component = Some((steer.byte(), steer.byte() % 4)),
            _ => self.trusted = true,
        }
    }

    fn refused(&self) -> Option<u8> {
        self.hash_blacklist.filter(|byte| !self.hash.holds(&[*byte]))
    }

    fn policy(&self) -> String {
        let mut text = "[cca]\n".to_owned();
        text.push_str(&self.hash.key("hash", 32));
        if let Some(byte) = self.refused() {
            text.push_str(&List::Of(byte).key("hash_blacklist", 32));
        }
        text.push_str(&self.personal.key("personalization", 64));
        let state = self.state.and_then(|state| STATES.get(state));
        if let Some(state) = state.filter(|state| **state != "secured") {
            text.push_str(&format!("lifecycles = [\"{state}\"]\n"));
        }
        text.push_str(&self.rems.key("rems.1", 32));
        if let Some((byte, minor)) = self.component {
            text.push_str(&format!(
                "[cca.component.RMM]\nmeasurement = [\"{}\"]\nminimum_version = \"1.{minor}\"\n",
                hex(&[if byte & 1 == 0 { 0xb2 } else { byte }; 32])
            ));
        }
        if self.trusted {
            text.push_str(&format!(
                "[[cca.platform]]\nkey = '''\n{}'''\nimplementation_id = \"{}\"\nsimulated = true\n",
                key_pem(),
                hex(&SimulatedCca::IMPLEMENTATION)
            ));
        }
        text
    }

    fn judge(&self, made: &mut Made) {
        made.must(!self.broken, "a broken token");
        let lifecycle = self.lifecycle.unwrap_or(0x3000);
        let state = usize::from(lifecycle >> 12);
        let known = lifecycle >> 8 & 0xf == 0 && state < STATES.len();
        made.must(known, "no state of a platform");
        let secured = state == 3;
        made.debug = !secured;
        made.may(secured, self.state == Some(state), "lifecycle");
        let measurement = self.measurement.clone().unwrap_or_else(|| vec![0x4d; 32]);
        // The extensible ones stay as long as they are.
        made.must(measurement.len() == 32, "a measurement of another length");
        made.must(self.hash.takes(&measurement), "measurement");
        let refused = self.refused().is_some_and(|byte| measurement == [byte; 32]);
        made.must(!refused, "a refused measurement");
        made.must(self.rems.takes(&[self.rem.unwrap_or(1)]), "extensible measurement");
        made.must(self.personal.or_zero(&[self.personalization.unwrap_or(0)]), "personalization");
        if let Some((byte, minor)) = self.component {
            made.must((byte & 1 == 0 || byte == 0xb2) && minor <= 2, "software of the platform");
        }
        made.pinned = self.hash.is_some();
        made.measurement = measurement;
    }
}

/// Evidence that the bytes choose.
pub(super) fn made(steer: &mut Steer<'_>, data: &[u8; 64]) -> Result<Made, Disagreement> {
    let cca = silicon().ok_or(SiliconError::Crypto)?;
    let mut plan = Plan::default();
    steer.changes(19, |steer, which| plan.change(steer, which));
    let mut made = Made::new(Kind::Cca);
    plan.judge(&mut made);
    let bytes = |byte: u8, length: usize| Value::Bytes(vec![byte; length]);
    let mut realm = cca.realm_claims(data);
    if let Some(measurement) = &plan.measurement {
        set(&mut realm, 44_238, Some(Value::Bytes(measurement.clone())));
    }
    if let Some(byte) = plan.rem {
        let all = [0, byte, 0, 0].map(|byte| bytes(byte, 32));
        set(&mut realm, 44_239, Some(Value::Array(all.into())));
    }
    if let Some(byte) = plan.personalization {
        set(&mut realm, 44_235, Some(bytes(byte, 64)));
    }
    let mut platform = cca.platform_claims(&realm);
    if let Some(lifecycle) = plan.lifecycle {
        set(&mut platform, 2395, Some(Value::from(lifecycle)));
    }
    for (label, value) in &plan.platform {
        set(&mut platform, *label, value.clone());
    }
    for (label, value) in &plan.realm {
        set(&mut realm, *label, value.clone());
    }
    let platform = cca.sign_platform(&cbor_map(&platform))?;
    let mut token = cca.collect(platform, cca.sign_realm(&cbor_map(&realm))?);
    if let Some((at, mask)) = plan.flip.filter(|_| !token.is_empty()) {
        let at = at % token.len();
        steer::flip(&mut token, (at, mask));
        made.must(false, "changed after it was signed");
    }
    (made.statement, made.policy) = (token, plan.policy());
    Ok(made)
}
