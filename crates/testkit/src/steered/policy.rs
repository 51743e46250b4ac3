// SPDX-License-Identifier: Apache-2.0

//! Lists of a policy that hold a value, another one, both or nothing.

use super::steer::{Steer, hex};

/// What a list that wants values holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum List {
    /// Nothing.
    #[default]
    None,
    /// This byte, over and over.
    Of(u8),
    /// The same, and the value that evidence has at first.
    Both(u8, u8),
}

impl List {
    /// A list that the bytes choose; `first` is the byte of which the value consists at first.
    pub(super) fn steered(steer: &mut Steer<'_>, first: u8) -> Self {
        match steer.below(4) {
            0 => Self::Of(first),
            1 => Self::Both(steer.byte(), first),
            2 => Self::Of(steer.byte()),
            _ => Self::None,
        }
    }

    fn values(self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Of(byte) => vec![byte],
            Self::Both(a, b) => vec![a, b],
        }
    }

    /// Whether the value is in the list.
    pub(super) fn holds(self, value: &[u8]) -> bool {
        self.values().iter().any(|byte| value.iter().all(|found| found == byte))
    }

    /// Whether there is a list.
    pub(super) fn is_some(self) -> bool {
        self != Self::None
    }

    /// Whether the value is in the list, if there is one.
    pub(super) fn takes(self, value: &[u8]) -> bool {
        !self.is_some() || self.holds(value)
    }

    /// Whether the value is in the list; without a list, whether it is zero.
    pub(super) fn or_zero(self, value: &[u8]) -> bool {
        if self.is_some() { self.holds(value) } else { value.iter().all(|byte| *byte == 0) }
    }

    /// The key in the policy, for values of `length` bytes; nothing if there is no list.
    pub(super) fn key(self, name: &str, length: usize) -> String {
        if !self.is_some() {
            return String::new();
        }
        let values: Vec<_> =
            self.values().iter().map(|byte| format!("\"{}\"", hex(&vec![*byte; length]))).collect();
        format!("{name} = [{}]\n", values.join(", "))
    }
}

/// `["a", "b"]`.
pub(super) fn names(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", names.join(", "))
}

/// Those of `all` whose bits are set.
pub(super) fn chosen<'a>(all: &[&'a str], bits: u8) -> Vec<&'a str> {
    all.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, name)| *name).collect()
}
