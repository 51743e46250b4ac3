// SPDX-License-Identifier: Apache-2.0

//! Chance that can be repeated: every test that takes it prints its seed.

use std::hash::{BuildHasher as _, RandomState};

/// Numbers from a seed (SplitMix64).
pub(super) struct Random(u64);

impl Random {
    /// From the seed in this variable, or from a new one.
    pub(super) fn seeded(variable: &str) -> Self {
        let seed = match std::env::var(variable) {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => RandomState::new().hash_one(variable) % 1_000_000_000,
        };
        println!("{variable}={seed}");
        Self(seed)
    }

    /// The seed, while nothing was taken.
    pub(super) fn next_seed(&self) -> u64 {
        self.0
    }

    pub(super) fn from(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// How often something is done: as this variable says.
pub(super) fn count(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |count| count.parse().unwrap())
}
