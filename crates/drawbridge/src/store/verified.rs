// SPDX-License-Identifier: Apache-2.0

//! What is remembered of content that was read as a whole once and had its digest.
//!
//! That is a digest for each of its pieces. They depend on the content alone, so a file that changes later is found out by
//! the piece, before that piece leaves; and a part of a large file can be checked without the rest.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use types::digest::Sha256;

use super::Key;

/// Size of a piece in bytes.
pub(super) const PIECE_BYTES: usize = 256 * 1024;
/// Pieces remembered at least, of 32 bytes each; at most twice as many. That is content of 128 GiB.
const PIECES_MAX: usize = 512 * 1024;
/// Damaged objects remembered.
const SUSPECTS_MAX: usize = 10_000;

/// The digests of the pieces of some content.
pub(super) type Pieces = Arc<[[u8; 32]]>;

/// What this process knows of the store's content.
#[derive(Debug, Default)]
pub(super) struct Verified(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What was used lately, and what was before that.
    young: HashMap<Sha256, Pieces>,
    young_pieces: usize,
    old: HashMap<Sha256, Pieces>,
    /// Objects that were not what their names say.
    suspects: HashSet<Key>,
}

impl State {
    fn remember(&mut self, digest: Sha256, pieces: Pieces) {
        if self.young_pieces >= PIECES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_pieces = 0;
        }
        let count = pieces.len();
        if self.young.insert(digest, pieces).is_none() {
            self.young_pieces += count;
        }
    }
}

impl Verified {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pieces of content with this digest, if they are remembered.
    pub(super) fn pieces(&self, digest: &Sha256) -> Option<Pieces> {
        let mut state = self.state();
        if let Some(pieces) = state.young.get(digest) {
            return Some(Arc::clone(pieces));
        }
        let pieces = state.old.remove(digest)?;
        state.remember(*digest, Arc::clone(&pieces));
        Some(pieces)
    }

    /// Content was read as a whole, and had its digest.
    pub(super) fn good(&self, key: &Key, digest: Sha256, pieces: Pieces) {
        let mut state = self.state();
        state.suspects.remove(key);
        state.remember(digest, pieces);
    }

    /// An object is not what its name says: from now on it is read as a whole before any of it is served.
    pub(super) fn bad(&self, key: &Key) {
        let mut state = self.state();
        if state.suspects.len() >= SUSPECTS_MAX {
            state.suspects.clear();
        }
        state.suspects.insert(key.clone());
    }

    pub(super) fn is_suspect(&self, key: &Key) -> bool {
        self.state().suspects.contains(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_used_stays() {
        let verified = Verified::default();
        let key = Key::own("k".to_owned());
        let pieces: Pieces = vec![[0; 32]; PIECES_MAX / 4].into();
        let digest = |n: u8| Sha256([n; 32]);
        verified.good(&key, digest(0), Arc::clone(&pieces));
        for n in 1..40 {
            verified.good(&key, digest(n), Arc::clone(&pieces));
            assert!(verified.pieces(&digest(0)).is_some(), "{n}");
        }
        assert!(verified.pieces(&digest(1)).is_none());
        let state = verified.state();
        assert!(state.young.len() + state.old.len() <= 9);
    }

    #[test]
    fn suspects_are_cleared_by_good_content() {
        let verified = Verified::default();
        let key = Key::own("k".to_owned());
        verified.bad(&key);
        assert!(verified.is_suspect(&key));
        verified.good(&key, Sha256([0; 32]), Arc::from([]));
        assert!(!verified.is_suspect(&key));
    }
}
