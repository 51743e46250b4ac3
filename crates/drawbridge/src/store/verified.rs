// SPDX-License-Identifier: Apache-2.0

//! What is remembered of content that was read as a whole once and had its digest.
//!
//! That is an authentication code for each of its pieces (AES-256-GMAC, NIST SP 800-38D, under a key that never leaves this
//! process). They depend on the content alone, so a file that changes later is found out by the piece, before that piece
//! leaves; a part of a large file can be checked without the rest; and a code is counted several times as fast as a digest.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use types::digest::Sha256;

use super::{Key, StoreError};

/// Size of a piece in bytes.
pub(super) const PIECE_BYTES: usize = 256 * 1024;
/// Pieces remembered at least, of 16 bytes each; at most twice as many. That is content of 128 GiB.
const PIECES_MAX: usize = 512 * 1024;
/// Damaged objects remembered.
const SUSPECTS_MAX: usize = 10_000;

/// The codes of the pieces of some content.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// Different for each content that was ever read.
    number: u64,
    codes: Vec<[u8; 16]>,
}

impl Pieces {
    pub(super) fn count(&self) -> usize {
        self.codes.len()
    }
}

/// What this process knows of the store's content.
pub(super) struct Verified {
    key: LessSafeKey,
    next: AtomicU64,
    state: Mutex<State>,
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    /// What was used lately, and what was before that.
    young: HashMap<Sha256, Arc<Pieces>>,
    young_pieces: usize,
    old: HashMap<Sha256, Arc<Pieces>>,
    /// Objects that were not what their names say.
    suspects: HashSet<Key>,
}

impl State {
    fn remember(&mut self, digest: Sha256, pieces: Arc<Pieces>) {
        if self.young_pieces >= PIECES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_pieces = 0;
        }
        let count = pieces.count();
        if self.young.insert(digest, pieces).is_none() {
            self.young_pieces += count;
        }
    }
}

impl Verified {
    /// Nothing is known yet.
    ///
    /// # Errors
    /// Without randomness.
    pub(super) fn new() -> Result<Self, StoreError> {
        let mut key = [0; 32];
        let key =
            aws_lc_rs::rand::fill(&mut key).and_then(|()| UnboundKey::new(&AES_256_GCM, &key));
        let key =
            LessSafeKey::new(key.map_err(|_| std::io::Error::other("there is no randomness"))?);
        Ok(Self { key, next: AtomicU64::new(0), state: Mutex::default() })
    }

    /// For content that is read from its beginning.
    pub(super) fn learn(&self) -> Pieces {
        Pieces { number: self.next.fetch_add(1, Ordering::Relaxed), codes: Vec::new() }
    }

    /// Takes the next piece of content.
    pub(super) fn add(&self, pieces: &mut Pieces, piece: &[u8]) -> Result<(), StoreError> {
        let code = self.code(pieces.number, pieces.count(), piece)?;
        pieces.codes.push(code);
        Ok(())
    }

    /// Whether this is the piece with that index.
    pub(super) fn is(
        &self,
        pieces: &Pieces,
        index: usize,
        piece: &[u8],
    ) -> Result<bool, StoreError> {
        let Some(expected) = pieces.codes.get(index) else {
            return Ok(false);
        };
        Ok(self.code(pieces.number, index, piece)? == *expected)
    }

    /// No two pieces ever have the same number and index, and codes are told to nobody.
    fn code(&self, number: u64, index: usize, piece: &[u8]) -> Result<[u8; 16], StoreError> {
        let wrong = || std::io::Error::other("a piece of content has no code");
        let mut nonce = [0; NONCE_LEN];
        let (head, tail) = nonce.split_at_mut(8);
        head.copy_from_slice(&number.to_be_bytes());
        tail.copy_from_slice(&u32::try_from(index).map_err(|_| wrong())?.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(piece), &mut []);
        let tag = tag.map_err(|_| wrong())?;
        Ok(tag.as_ref().try_into().map_err(|_| wrong())?)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pieces of content with this digest, if they are remembered.
    pub(super) fn pieces(&self, digest: &Sha256) -> Option<Arc<Pieces>> {
        let mut state = self.state();
        if let Some(pieces) = state.young.get(digest) {
            return Some(Arc::clone(pieces));
        }
        let pieces = state.old.remove(digest)?;
        state.remember(*digest, Arc::clone(&pieces));
        Some(pieces)
    }

    /// Content was read as a whole, and had its digest. Of content of one piece nothing needs to be remembered.
    pub(super) fn good(&self, key: &Key, digest: Sha256, pieces: Pieces) {
        let mut state = self.state();
        state.suspects.remove(key);
        if pieces.count() > 0 {
            state.remember(digest, Arc::new(pieces));
        }
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
        let verified = Verified::new().unwrap();
        let key = Key::own("k".to_owned());
        let pieces = || Pieces { number: 0, codes: vec![[0; 16]; PIECES_MAX / 4] };
        let digest = |n: u8| Sha256([n; 32]);
        verified.good(&key, digest(0), pieces());
        for n in 1..40 {
            verified.good(&key, digest(n), pieces());
            assert!(verified.pieces(&digest(0)).is_some(), "{n}");
        }
        assert!(verified.pieces(&digest(1)).is_none());
        let state = verified.state();
        assert!(state.young.len() + state.old.len() <= 9);
    }

    #[test]
    fn suspects_are_cleared_by_good_content() {
        let verified = Verified::new().unwrap();
        let key = Key::own("k".to_owned());
        verified.bad(&key);
        assert!(verified.is_suspect(&key));
        verified.good(&key, Sha256([0; 32]), Pieces::default());
        assert!(!verified.is_suspect(&key));
    }

    #[test]
    fn a_piece_is_itself_at_its_place_in_its_content_and_nothing_else_is() {
        let verified = Verified::new().unwrap();
        let (mut one, mut two) = (verified.learn(), verified.learn());
        for pieces in [&mut one, &mut two] {
            verified.add(pieces, b"first").unwrap();
            verified.add(pieces, b"second").unwrap();
        }
        assert!(verified.is(&one, 0, b"first").unwrap());
        assert!(verified.is(&one, 1, b"second").unwrap());
        assert!(!verified.is(&one, 1, b"first").unwrap());
        assert!(!verified.is(&one, 0, b"firsT").unwrap());
        assert!(!verified.is(&one, 0, b"firs").unwrap());
        assert!(!verified.is(&one, 2, b"").unwrap());
        assert_ne!(one.codes, two.codes, "each has numbers of its own");
        let other = Verified::new().unwrap();
        assert!(!other.is(&one, 0, b"first").unwrap());
    }
}
