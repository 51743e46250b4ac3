// SPDX-License-Identifier: Apache-2.0

//! Numbers for tests that choose at random, the same again for the same seed.

use std::env;

/// A source of numbers that look random and are not: xorshift64*.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// What `seed` stands for; zero is taken for one.
    pub const fn new(seed: u64) -> Self {
        Self(if seed == 0 { 1 } else { seed })
    }

    /// With the seed that the variable names, or else another one in each process. The seed is printed, so that a failure
    /// can be seen again.
    pub fn from_env(variable: &str) -> Self {
        let seed = number(variable).unwrap_or_else(|| u64::from(std::process::id()) + 1);
        println!("{variable}={seed}");
        Self::new(seed)
    }

    /// A number below `bound`, which is not 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    /// As many bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.below(256) & 0xff) as u8).collect()
    }
}

/// A number out of the environment, for tests that can be run for longer.
pub fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_says_the_same() {
        let take = |seed| Random::new(seed).bytes(64);
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
        assert_eq!(take(0), take(1));
        let mut random = Random::new(3);
        assert!((0..100).all(|_| random.below(5) < 5));
    }
}
