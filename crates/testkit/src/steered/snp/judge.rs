// SPDX-License-Identifier: Apache-2.0

//! The judgement on reports, by their offsets (SEV-SNP Firmware ABI Specification 56860, table "ATTESTATION_REPORT").

use types::time::Timestamp;

use super::{ALLOWED, Plan, REQUIRED};
use crate::silicon::SimulatedSnp;
use crate::steered::NOW;
use crate::steered::made::Made;
use crate::steered::policy::{List, chosen};
use crate::steered::steer::field;

/// The judgement here on a report as it was signed.
pub(super) fn judge(
    plan: &Plan,
    report: &[u8],
    silicon: &SimulatedSnp,
    now: Timestamp,
    made: &mut Made,
) {
    let wanted = &plan.wanted;
    let quad = |at| u64::from_le_bytes(field(report, at));
    let double = |at| u32::from_le_bytes(field(report, at));
    let allows = |name: &str| chosen(&ALLOWED, wanted.allow).contains(&name);
    let version = double(0);
    made.must((2..=5).contains(&version), "version");
    // Guest policy and platform.
    let (guest, platform) = (quad(8), quad(64));
    made.debug = guest & 1 << 19 != 0;
    made.must(guest & 1 << 17 != 0 && guest >> 26 == 0, "reserved bits of the guest policy");
    made.must(platform >> 8 == 0, "reserved bits of the platform");
    made.may(!made.debug, allows("debug"), "debug");
    made.may(guest & 1 << 18 == 0, allows("migration-agent"), "migration-agent");
    made.may(platform & 1 << 5 != 0, allows("alias-check"), "alias-check");
    let minor = field::<2>(report, 8);
    let current: [u8; 3] = field(report, 488);
    let committed: [u8; 3] = field(report, 492);
    made.must((minor[1], minor[0]) <= (current[2], current[1]), "ABI");
    if let Some(flags) = wanted.policy_flags {
        for (index, bit) in [16, 19, 20].into_iter().enumerate() {
            let may = flags >> index & 1 == 1;
            made.must(may || guest & 1 << bit == 0, "a flag of the guest policy");
        }
    }
    for (at, (_, [set, clear, on, off])) in REQUIRED.iter().enumerate() {
        let met = guest & set == *set && guest & clear == 0;
        let met = met && platform & on == *on && platform & off == 0;
        made.must(met || wanted.require >> at & 1 == 0, "a requirement");
    }
    let vmpl = double(48);
    made.may(vmpl == 0, vmpl <= wanted.max_vmpl, "vmpl");
    made.must(double(52) == 1, "signature algorithm");
    // Reserved bytes.
    let empty = |from: usize, to: usize| {
        report.get(from..to).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
    };
    let reserved = [(76, 80), (395, 416), (491, 492), (495, 496), (520, 672)];
    made.must(reserved.into_iter().all(|(from, to)| empty(from, to)), "reserved bytes");
    made.must(version >= 3 || empty(392, 395), "CPUID before version 3");
    made.must(version >= 5 || empty(504, 520), "mitigations before version 5");
    let mitigations = u64::from(wanted.mitigations);
    let both = if version >= 5 { quad(504) & quad(512) } else { 0 };
    made.must(both & mitigations == mitigations, "mitigations");
    // Which product.
    let turin = silicon.shape().fmc.is_some();
    if version >= 3 {
        let [family, model, _] = field::<3>(report, 392);
        let right = match (family, model) {
            (0x19, 0x00..=0x0f) => !turin,
            (0x1a, 0x00..=0x1f) => turin,
            _ => false,
        };
        made.must(right, "product");
    }
    made.must(!wanted.product_refused, "a refused product");
    tcbs(plan, report, turin, made);
    let provisional = committed != current || field::<8>(report, 480) != field::<8>(report, 56);
    let version = |[build, minor, major]: [u8; 3]| (major, minor, build);
    made.must(version(committed) <= version(current), "committed above current");
    made.must(version(committed) >= (1, 55, wanted.minimum_build), "firmware");
    made.may(!provisional, allows("provisional-firmware"), "provisional-firmware");
    keys(plan, report, silicon, made);
    chain(plan, now, made);
}

/// TCB versions, part by part.
fn tcbs(plan: &Plan, report: &[u8], turin: bool, made: &mut Made) {
    let wanted = &plan.wanted;
    let [reported, committed, current, launch] =
        [384, 480, 56, 496].map(|at| field::<8>(report, at));
    let (reserved, snp) = if turin { (4..7, 3) } else { (2..6, 6) };
    let below = |a: &[u8; 8], b: &[u8; 8]| a.iter().zip(b).all(|(a, b)| a <= b);
    for tcb in [&reported, &committed, &current, &launch] {
        let zero = tcb.get(reserved.clone()).is_some_and(|bytes| bytes.iter().all(|b| *b == 0));
        made.must(zero, "reserved parts of a TCB");
    }
    let chip = if turin { [1, 4, 0, 24, 0, 0, 0, 219] } else { [4, 0, 0, 0, 0, 0, 24, 219] };
    made.must(reported == chip && !plan.chain.other_tcb, "a TCB other than the certificate's");
    made.must(below(&reported, &committed) && below(&committed, &current), "TCBs out of order");
    for tcb in [reported, committed, launch] {
        let at_least = tcb.get(snp).is_some_and(|part| *part >= wanted.minimum_snp);
        made.must(at_least && tcb[7] >= wanted.minimum_microcode, "a TCB below the minimum");
    }
}

/// Keys, chip, measurement and what else names the guest.
fn keys(plan: &Plan, report: &[u8], silicon: &SimulatedSnp, made: &mut Made) {
    let (wanted, chain) = (&plan.wanted, &plan.chain);
    let info = u32::from_le_bytes(field(report, 72));
    made.must(info >> 5 == 0, "reserved bits of the key information");
    made.must(info >> 2 & 7 == u32::from(chain.vlek), "signed by another kind of key");
    made.may(!chain.vlek, wanted.vlek, "vlek");
    let chip: [u8; 64] = field(report, 416);
    let masked = chip == [0; 64];
    let mut own = silicon.shape().hwid();
    own.resize(64, 0);
    if !chain.vlek {
        let allowed = wanted.allow & 2 != 0;
        made.may(!masked, allowed, "chip-id-masked");
        made.must(masked || chip == own.as_slice() && !chain.other_chip, "another chip");
    }
    match wanted.chip {
        Some(true) => made.must(chip == own.as_slice(), "a chip that is not listed"),
        Some(false) => made.must(!masked && chip != own.as_slice(), "a chip that is refused"),
        None => {}
    }
    let measurement: [u8; 48] = field(report, 144);
    made.measurement = measurement.to_vec();
    let (id_key, author): ([u8; 48], [u8; 48]) = (field(report, 224), field(report, 272));
    let some =
        |list: List, value: &[u8; 48]| !list.is_some() || (*value != [0; 48] && list.holds(value));
    made.must(some(wanted.hash, &measurement), "measurement");
    let refused = plan.refused().is_some_and(|b| b != 0 && measurement == [b; 48]);
    made.must(!refused, "a refused measurement");
    made.must(some(wanted.id_key, &id_key), "ID key");
    let author = if info & 1 == 1 { author } else { [0; 48] };
    made.must(some(wanted.signer, &author), "author key");
    made.pinned = wanted.hash.is_some() || wanted.id_key.is_some() || wanted.signer.is_some();
    made.must(wanted.host_data.or_zero(&field::<32>(report, 192)), "host data");
    made.must(wanted.family.or_zero(&field::<16>(report, 16)), "family");
    made.must(field::<16>(report, 32) == [0; 16], "image");
    let svn = u32::from_le_bytes(field(report, 4));
    made.must(svn >= wanted.guest_svn, "security version");
}

/// Certificate and list.
fn chain(plan: &Plan, now: Timestamp, made: &mut Made) {
    let (chain, allow) = (&plan.chain, plan.wanted.allow);
    let seven_years = (NOW.minus(86_400), NOW.plus(7 * 365 * 86_400));
    let within = |(from, to): (Timestamp, Timestamp)| from <= now && now <= to;
    made.must(within(seven_years), "certificates out of their time");
    made.must(within(chain.vek_validity.unwrap_or(seven_years)), "a certificate out of its time");
    made.must(!chain.strange && !chain.other_signer, "a strange certificate");
    let (since, until) = chain.list.unwrap_or((seven_years.0, NOW.plus(365 * 86_400)));
    if chain.no_list {
        made.may(false, allow & 8 != 0, "crl-missing");
    } else {
        made.must(!chain.list_revokes, "revoked");
        made.must(!chain.list_of_another, "a list of another");
        made.must(since <= now, "a list of the future");
        made.may(now <= until, allow & 4 != 0, "crl-expired");
    }
}
