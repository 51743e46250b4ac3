// SPDX-License-Identifier: Apache-2.0

//! Bytes as decisions. Where there are none left, all decisions are zero: nothing is changed.

use types::time::Timestamp;

/// Most changes that one list may hold, so that no input takes long.
const CHANGES_MAX: usize = 12;
/// Distances between times that matter, in seconds.
const DISTANCES: [u64; 12] = [
    0,
    1,
    59,
    300,
    301,
    3600,
    86_400,
    2 * 86_400,
    31 * 86_400,
    200 * 86_400,
    400 * 86_400,
    3000 * 86_400,
];

/// What is left of the bytes.
#[derive(Clone, Debug)]
pub(super) struct Steer<'a>(pub(super) &'a [u8]);

impl Steer<'_> {
    /// The next byte.
    pub(super) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// Two bytes.
    pub(super) fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// A number below `count`, which is at most 256.
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()).checked_rem(count).unwrap_or_default()
    }

    /// Whether a bit is set.
    pub(super) fn yes(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One bit of 64.
    pub(super) fn bit(&mut self) -> u64 {
        1 << (self.byte() % 64)
    }

    /// A place in `length` bytes, and a bit to flip there.
    pub(super) fn flip(&mut self, length: usize) -> (usize, u8) {
        (usize::from(self.word()).checked_rem(length).unwrap_or_default(), 1 << (self.byte() % 8))
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T], otherwise: T) -> T {
        let index = self.below(from.len());
        from.get(index).copied().unwrap_or(otherwise)
    }

    /// A time before or after this one.
    pub(super) fn time(&mut self, around: Timestamp) -> Timestamp {
        let distance = self.pick(&DISTANCES, 0);
        if self.yes() { around.minus(distance) } else { around.plus(distance) }
    }

    /// The changes of a list, each a number from 1 to `count`; the list ends with a zero, or after twelve.
    pub(super) fn changes(&mut self, count: u8, mut change: impl FnMut(&mut Self, u8)) {
        for _ in 0..CHANGES_MAX {
            match self.byte().checked_rem(count.saturating_add(1)) {
                None | Some(0) => return,
                Some(which) => change(self, which),
            }
        }
    }
}

/// Flips bits in bytes, if they are long enough.
pub(super) fn flip(bytes: &mut [u8], (at, mask): (usize, u8)) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= mask;
    }
}

/// `N` bytes of a longer array from `at` on, zeros if there are not so many.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

/// Hex, lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
