// SPDX-License-Identifier: Apache-2.0

//! Random changes.

/// Numbers that look random, the same each time (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Those of the mutant `number` of a case.
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; zero if that is zero.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap_or(0).checked_rem(limit).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Changes bytes; `others` are what to splice in. Usually once.
pub(crate) fn mutate(bytes: &mut Vec<u8>, others: &[&[u8]], random: &mut Random) {
    let times = [1, 1, 1, 1, 2, 4][random.below(6)];
    for _ in 0..times {
        once(bytes, others, random);
    }
}

fn once(bytes: &mut Vec<u8>, others: &[&[u8]], random: &mut Random) {
    let length = bytes.len();
    let at = random.below(length);
    let end = (at + 1 + random.below(64)).min(length);
    let range = at.min(end)..end;
    match random.below(10) {
        0..=2 if length > 0 => bytes[at] ^= 1 << random.below(8),
        3 if length > 0 => bytes[at] = random.byte(),
        4 => bytes.insert(at, random.byte()),
        5 => {
            let fill = vec![random.byte(); 1 + random.below(40)];
            drop(bytes.splice(at..at, fill));
        }
        6 => drop(bytes.drain(range)),
        7 => bytes.truncate(at),
        // From elsewhere in the same, or from another of the same kind; in the place of as many, or put in.
        other => {
            let from = if other == 8 {
                bytes.clone()
            } else {
                others[random.below(others.len())].to_vec()
            };
            let start = random.below(from.len());
            let part =
                from[start..(start + 1 + random.below(200)).min(from.len()).max(start)].to_vec();
            let end = if random.below(2) == 0 { (at + part.len()).min(length) } else { at };
            drop(bytes.splice(at..end, part));
        }
    }
}
