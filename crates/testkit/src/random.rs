// SPDX-License-Identifier: Apache-2.0

//! Chance that can be repeated: every test that takes it prints its seed.

use std::env;
use std::hash::{BuildHasher as _, RandomState};

/// Numbers that look random and are not: SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// What `seed` stands for.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// With the seed in this variable, or else a new one. It is printed, so that a failure can be seen again.
    pub fn from_env(variable: &str) -> Self {
        let new = || RandomState::new().hash_one(variable) % 1_000_000_000;
        let seed = number(variable).unwrap_or_else(new);
        println!("{variable}={seed}");
        Self(seed)
    }

    /// The seed, while nothing was taken.
    pub const fn seed(&self) -> u64 {
        self.0
    }

    /// Any number.
    pub const fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    #[expect(clippy::cast_possible_truncation, reason = "less than a usize")]
    pub const fn below(&mut self, end: usize) -> usize {
        (self.any() % end as u64) as usize
    }

    /// One of these, of which there is at least one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// As many bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.any().to_le_bytes()[0]).collect()
    }
}

/// A number out of the environment, for tests that can be run for longer.
pub fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

/// How often something is done: as this variable says.
pub fn count(variable: &str, default: usize) -> usize {
    number(variable).and_then(|count| count.try_into().ok()).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_says_the_same() {
        let take = |seed| Random::new(seed).bytes(64);
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
        let mut random = Random::new(3);
        assert!((0..100).all(|_| random.below(5) < 5));
        assert!([1, 2].contains(random.pick(&[1, 2])));
    }
}
