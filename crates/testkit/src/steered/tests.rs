// SPDX-License-Identifier: Apache-2.0

use std::collections::BTreeMap;
use std::io::Write as _;

use super::*;

/// Numbers that look random, the same each time (SplitMix64).
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    };
    let mut all = Vec::new();
    while all.len() < length {
        all.extend(next());
    }
    all.truncate(length);
    all
}

#[test]
fn nothing_wrong() {
    for kind in 0..KINDS {
        let outcome = run(&[kind]).unwrap_or_else(|error| panic!("{}", error.0));
        assert_eq!((outcome.check, outcome.wrong.as_slice()), (None, &[][..]), "{outcome:?}");
    }
}

/// Thousands of requests; `STEERED` is how many, for longer runs.
#[test]
fn the_verifiers_agree_with_the_judgement_here() {
    let count = std::env::var("STEERED").ok().and_then(|count| count.parse().ok()).unwrap_or(1500);
    let (mut granted, mut changed) = (0, 0);
    let mut disagreements: Vec<String> = Vec::new();
    let mut checks: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..count {
        // Mostly few changes, so that what one does is not hidden by another.
        let mut input = vec![u8::try_from(seed % u64::from(KINDS)).unwrap()];
        let random = bytes(seed, 64);
        match random[0] % 4 {
            0 => input.extend(&random[1..]),
            1 => input.extend([&[0][..], &random[1..9]].concat()),
            2 => input.extend([&[0][..], &random[1..17]].concat()),
            _ => input.extend(&random[1..7]),
        }
        let outcome = match run(&input) {
            Ok(outcome) => outcome,
            Err(Disagreement(what)) => {
                disagreements.push(format!("{input:?}: {what}"));
                continue;
            }
        };
        match outcome.check {
            None => granted += 1,
            Some(check) => *checks.entry(check).or_default() += 1,
        }
        changed += 1;
    }
    disagreements.truncate(10);
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n\n"));
    let _ = writeln!(
        std::io::stderr(),
        "{changed} steered requests: {granted} granted, {} checks failed, all as judged",
        checks.len()
    );
    assert!(granted > count / 50 && checks.len() > 30, "{granted} granted; {checks:?}");
}
