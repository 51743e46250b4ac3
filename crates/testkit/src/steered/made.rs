// SPDX-License-Identifier: Apache-2.0

//! A piece of evidence, with what is to be said about it.

use evidence::Kind;

/// Evidence that was made, and the judgement here on it.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// What it is of.
    pub(super) kind: Kind,
    /// Report, quote, document, token, bundle.
    pub(super) statement: Vec<u8>,
    /// What comes with it.
    pub(super) endorsements: Vec<u8>,
    /// Its section of the policy.
    pub(super) policy: String,
    /// For what a yes would be wrong.
    pub(super) wrong: Vec<&'static str>,
    /// Relaxations without which it would be refused.
    pub(super) relaxed: Vec<String>,
    /// What is measured.
    pub(super) measurement: Vec<u8>,
    /// Whether it can be debugged.
    pub(super) debug: bool,
    /// Whether the policy pins it.
    pub(super) pinned: bool,
}

impl Made {
    pub(super) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            statement: Vec::new(),
            endorsements: Vec::new(),
            policy: String::new(),
            wrong: Vec::new(),
            relaxed: Vec::new(),
            measurement: Vec::new(),
            debug: false,
            pinned: false,
        }
    }

    /// A yes is wrong unless this holds.
    pub(super) fn must(&mut self, holds: bool, what: &'static str) {
        if !holds {
            self.wrong.push(what);
        }
    }

    /// A yes is wrong unless this holds, or the relaxation is allowed, and then named.
    pub(super) fn may(&mut self, holds: bool, allowed: bool, relaxation: &'static str) {
        if !holds && allowed {
            self.relaxed.push(relaxation.to_owned());
        }
        self.must(holds || allowed, relaxation);
    }
}
