// SPDX-License-Identifier: Apache-2.0

//! The judgement on platforms: Intel's levels gone through once more (Intel SGX PCS API version 4, "TCB level determination";
//! Intel TDX DCAP quote verification, merging of verdicts).

use std::collections::BTreeSet;

use types::time::Timestamp;

use crate::silicon::intel::{Knobs, Tee};
use crate::steered::NOW;
use crate::steered::keep::day;
use crate::steered::made::Made;
use crate::steered::policy::{chosen, names};
use crate::steered::steer::{Steer, field};

/// How many kinds of changes there are here.
pub(super) const CHANGES: u8 = 22;
/// Verdicts that collateral can hold, and that a policy can accept (the middle ones).
const VERDICTS: [&str; 6] = [
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "Revoked",
];
const ACCEPTED: [&str; 5] = [
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
];
const ADVISORIES: [&str; 3] = ["INTEL-SA-00477", "INTEL-SA-00586", "INTEL-SA-00615"];

#[derive(Debug)]
struct Accept {
    status: &'static str,
    advisories: u8,
    /// Last day, from today on.
    until: i64,
}

/// What the policy says of platforms, and what else is wrong with one.
#[derive(Debug, Default)]
pub(super) struct Platform {
    accept: Vec<Accept>,
    advisories: u8,
    evaluation_number: u32,
    /// Whether only this kind of platform is taken, or this one not.
    fmspc: Option<bool>,
    broken: bool,
}

impl Platform {
    pub(super) fn change(&mut self, steer: &mut Steer<'_>, which: u8, knobs: &mut Knobs) {
        let (pck, info, identity) = (&mut knobs.pck, &mut knobs.tcb_info, &mut knobs.qe_identity);
        let mut times = || (steer.time(NOW), steer.time(NOW));
        match which {
            1 => pck.validity = times(),
            2 => pck.authority_validity = times(),
            3 => knobs.signer_validity = times(),
            4 => info.validity = times(),
            5 => identity.validity = times(),
            6 => knobs.root_crl.validity = times(),
            7 => knobs.pck_crl.validity = times(),
            8 => pck.components = [steer.byte() % 12; 16],
            9 => {
                let at = steer.below(16);
                if let Some(part) = pck.components.get_mut(at) {
                    *part = steer.byte();
                }
            }
            10 => pck.pce_svn = steer.word() % 20,
            11 => {
                let (at, status) = (steer.below(4), steer.pick(&VERDICTS, "UpToDate"));
                if let Some(level) = info.levels.get_mut(at) {
                    status.clone_into(&mut level.status);
                }
            }
            12 => knobs.quote.qe.svn = steer.word() % 12,
            13 => {
                let status = steer.pick(&["UpToDate", "OutOfDate", "Revoked"], "UpToDate");
                status.clone_into(&mut identity.status);
            }
            14 => {
                let status = steer.pick(&["UpToDate", "OutOfDate", "Revoked"], "UpToDate");
                status.clone_into(&mut info.module_status);
            }
            15 => info.evaluation_number = u32::from(steer.byte() % 32),
            16 => {
                // Whatever is not as it should be.
                self.broken = true;
                match steer.below(9) {
                    0 => pck.other_signer = true,
                    1 => info.other_signer = true,
                    2 => identity.other_signer = true,
                    3 => knobs.quote.other_signer = true,
                    4 => knobs.quote.other_pck = true,
                    5 => knobs.quote.other_binding = true,
                    6 => knobs.root_crl.other_signer = true,
                    7 => knobs.pck_crl.other_signer = true,
                    _ => pck.unknown_extension = true,
                }
            }
            17 => {
                // The platform's own certificate, or its authority's.
                self.broken = true;
                if steer.yes() {
                    knobs.pck_crl.revoked = vec![pck.serial.clone()];
                } else {
                    knobs.root_crl.revoked = vec![vec![0x13]];
                }
            }
            18 => {
                pck.fmspc = [steer.byte() % 2; 6];
                "010101010101".clone_into(&mut info.fmspc);
            }
            19 => self.accept.push(Accept {
                status: steer.pick(&ACCEPTED, "OutOfDate"),
                advisories: steer.byte(),
                until: i64::from(steer.byte() % 8) - 3,
            }),
            20 => self.advisories = steer.byte(),
            21 => self.evaluation_number = u32::from(steer.byte() % 32),
            _ => self.fmspc = Some(steer.yes()),
        }
    }

    /// Its part of the policy, whose table is `name`.
    pub(super) fn policy(&self, name: &str) -> String {
        let mut text = format!(
            "allowed_advisories = {}\nminimum_evaluation_number = {}\n",
            names(&chosen(&ADVISORIES, self.advisories)),
            self.evaluation_number
        );
        if let Some(wanted) = self.fmspc {
            let key = if wanted { "fmspc" } else { "fmspc_blacklist" };
            text.push_str(&format!("{key} = [\"00606a000000\"]\n"));
        }
        for Accept { status, advisories, until } in &self.accept {
            text.push_str(&format!(
                "[[{name}.accept]]\nstatus = \"{status}\"\nadvisories = {}\nuntil = {}\n",
                names(&chosen(&ADVISORIES, *advisories)),
                day(*until)
            ));
        }
        text
    }

    /// Judges the platform of a quote as it was signed.
    pub(super) fn judge(&self, knobs: &Knobs, quote: &[u8], now: Timestamp, made: &mut Made) {
        let Knobs { pck, tcb_info, qe_identity, .. } = knobs;
        made.must(!self.broken, "a broken platform");
        let spans = [
            pck.validity,
            pck.authority_validity,
            knobs.signer_validity,
            tcb_info.validity,
            qe_identity.validity,
        ];
        let within = |(from, to): &(Timestamp, Timestamp)| *from <= now && now <= *to;
        made.must(spans.iter().all(within), "something out of its time");
        // The second at which the next list is to come is that one's.
        let lists = [knobs.root_crl.validity, knobs.pck_crl.validity];
        let current = |(from, to): &(Timestamp, Timestamp)| *from <= now && now < *to;
        made.must(lists.iter().all(current), "a list out of its time");
        let fmspc: String = pck.fmspc.iter().map(|byte| format!("{byte:02X}")).collect();
        made.must(fmspc == tcb_info.fmspc, "TCB info of another kind of platform");
        if let Some(wanted) = self.fmspc {
            let listed = pck.fmspc == [0x00, 0x60, 0x6a, 0, 0, 0];
            made.must(listed == wanted, "kind of platform");
        }
        made.must(tcb_info.evaluation_number >= self.evaluation_number, "evaluation number");
        match verdict(knobs, quote) {
            None => made.must(false, "no verdict"),
            Some((status, advisories)) => self.accepts(status, &advisories, now, made),
        }
    }

    fn accepts(
        &self,
        status: &'static str,
        advisories: &BTreeSet<&str>,
        now: Timestamp,
        made: &mut Made,
    ) {
        // A day ends with the first second of the next.
        let in_force = |accept: &&Accept| {
            let midnight = NOW.0 - NOW.0 % 86_400;
            let end = midnight.saturating_add_signed((accept.until + 1) * 86_400);
            accept.status == status && now.0 < end
        };
        let entries: Vec<_> = self.accept.iter().filter(in_force).collect();
        if status != "UpToDate" {
            match entries.iter().map(|accept| accept.until).max() {
                Some(until) => {
                    made.relaxed.push(format!("tcb-status {status} until {}", day(until)));
                }
                None => made.must(false, "verdict"),
            }
        }
        for advisory in advisories {
            let names = |bits: u8| chosen(&ADVISORIES, bits).contains(advisory);
            let named = entries.iter().filter(|accept| names(accept.advisories));
            match named.map(|accept| accept.until).max() {
                Some(until) => {
                    made.relaxed.push(format!("advisory {advisory} until {}", day(until)));
                }
                None if names(self.advisories) => made.relaxed.push(format!("advisory {advisory}")),
                None => made.must(false, "advisory"),
            }
        }
    }
}

/// Intel's verdict and the advisories with it; `None` if it is that nothing of the platform can be believed, or that there is
/// none.
fn verdict<'a>(knobs: &'a Knobs, quote: &[u8]) -> Option<(&'static str, BTreeSet<&'a str>)> {
    let Knobs { pck, tcb_info, qe_identity, .. } = knobs;
    let tdx = knobs.quote.tee == Tee::Tdx;
    let start = if knobs.quote.version == 5 { 54 } else { 48 };
    let module: [u8; 16] = field(quote, start);
    let level = tcb_info.levels.iter().find(|level| {
        let sgx = level.sgx.iter().zip(pck.components).all(|(least, svn)| u32::from(svn) >= *least);
        // The first two are the module's own, unless it says that it is of no version.
        let own = if module[1] > 0 { 2 } else { 0 };
        let parts = level.tdx.iter().zip(module).skip(own);
        let tdx = !tdx || parts.into_iter().all(|(least, svn)| u32::from(svn) >= *least);
        sgx && tdx && u32::from(pck.pce_svn) >= level.pce_svn
    })?;
    let mut advisories: BTreeSet<&str> = level.advisories.iter().map(String::as_str).collect();
    let mut others = Vec::new();
    let svn = knobs.quote.qe.svn;
    if svn >= qe_identity.svn {
        others.push(qe_identity.status.as_str());
    } else if svn >= 2 {
        others.push("OutOfDate");
        advisories.insert("INTEL-SA-00477");
    } else {
        return None;
    }
    if tdx {
        let signer: [u8; 48] = field(quote, start + 64);
        let known = signer == [0; 48] && module[1] <= 1;
        if !known {
            return None;
        }
        if module[1] == 1 {
            if u32::from(module[0]) < tcb_info.module_svn {
                return None;
            }
            others.push(tcb_info.module_status.as_str());
        }
    }
    let mut status = VERDICTS.into_iter().find(|verdict| level.status == *verdict)?;
    for other in others {
        status = match (other, status) {
            ("Revoked", _) | (_, "Revoked") => return None,
            ("OutOfDate", "UpToDate" | "SWHardeningNeeded") => "OutOfDate",
            ("OutOfDate", "ConfigurationNeeded" | "ConfigurationAndSWHardeningNeeded") => {
                "OutOfDateConfigurationNeeded"
            }
            (_, status) => status,
        };
    }
    Some((status, advisories))
}
