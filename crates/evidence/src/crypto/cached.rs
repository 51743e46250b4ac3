// SPDX-License-Identifier: Apache-2.0

//! What verified once need not be verified again.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::{BadSignature, Scheme, Verifier};

/// A [`Verifier`] that remembers which endorsements (certificates, revocation lists, documents of vendors) verified.
///
/// It remembers nothing but that a signature is one of a key over a message, under a SHA-256 of all four: that stays true.
/// Dates, revocation and what the message says are looked at each time. What did not verify is not remembered, nor is
/// evidence itself. Memory is bounded: of two generations, the older one is dropped when the younger is full.
pub struct Cached<V> {
    inner: V,
    seen: Mutex<Seen>,
}

type Key = [u8; 32];

/// What verified, in two generations of `capacity` each.
struct Seen {
    young: HashSet<Key>,
    old: HashSet<Key>,
    capacity: usize,
}

impl Seen {
    /// Whether it is known. What is used lives on.
    fn knows(&mut self, key: &Key) -> bool {
        if self.young.contains(key) {
            return true;
        }
        let known = self.old.remove(key);
        if known {
            self.learn(*key);
        }
        known
    }

    fn learn(&mut self, key: Key) {
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key);
    }
}

impl<V> Cached<V> {
    /// Remembers between `capacity` and twice as many of what `inner` verifies; 32 bytes and some each.
    pub fn new(inner: V, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let seen = Seen { young: HashSet::new(), old: HashSet::new(), capacity };
        Self { inner, seen: Mutex::new(seen) }
    }

    /// Number of signatures that are remembered.
    pub fn remembered(&self) -> usize {
        self.with(|seen| seen.young.len() + seen.old.len())
    }

    /// A set of hashes is whole at all times: after a panic elsewhere it can be used on.
    fn with<T>(&self, use_it: impl FnOnce(&mut Seen) -> T) -> T {
        use_it(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<V> fmt::Debug for Cached<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("remembered", &self.remembered()).finish_non_exhaustive()
    }
}

/// Each part with its length, so that no two lists of parts give the same bytes.
fn key(scheme: Scheme, public: &[u8], message: &[u8], signature: &[u8]) -> Key {
    let mut hash = Sha256::new();
    for part in [&[scheme as u8], public, message, signature] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

impl<V: Verifier> Verifier for Cached<V> {
    fn verify(
        &self,
        scheme: Scheme,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        self.inner.verify(scheme, public, message, signature)
    }

    fn verify_endorsement(
        &self,
        scheme: Scheme,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let key = key(scheme, public, message, signature);
        if self.with(|seen| seen.knows(&key)) {
            return Ok(());
        }
        self.inner.verify_endorsement(scheme, public, message, signature)?;
        self.with(|seen| seen.learn(key));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Takes signatures that end with 1, and counts how often it is asked.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Verifier for Counting {
        fn verify(&self, _: Scheme, _: &[u8], _: &[u8], s: &[u8]) -> Result<(), BadSignature> {
            self.0.fetch_add(1, Ordering::Relaxed);
            (s.last() == Some(&1)).then_some(()).ok_or(BadSignature)
        }
    }

    const SCHEME: Scheme = Scheme::RsaPssSha384;

    #[test]
    fn only_what_verified_is_remembered_and_only_of_endorsements() {
        let inner = Counting::default();
        let cached = Cached::new(&inner, 8);
        let asked = |work: &dyn Fn()| {
            let before = inner.0.load(Ordering::Relaxed);
            work();
            inner.0.load(Ordering::Relaxed) - before
        };
        let good = || cached.verify_endorsement(SCHEME, b"key", b"message", &[1]).unwrap();
        assert_eq!((asked(&good), asked(&good), asked(&good)), (1, 0, 0));
        let bad = || assert!(cached.verify_endorsement(SCHEME, b"key", b"message", &[2]).is_err());
        assert_eq!((asked(&bad), asked(&bad)), (1, 1));
        let evidence = || cached.verify(SCHEME, b"key", b"message", &[1]).unwrap();
        assert_eq!((asked(&evidence), asked(&evidence)), (1, 1));
        // Each part counts, and where one ends and the next begins.
        for (scheme, key, message, signature) in [
            (Scheme::RsaPkcs1Sha256, &b"key"[..], &b"message"[..], &[1][..]),
            (SCHEME, b"kex", b"message", &[1]),
            (SCHEME, b"key", b"massage", &[1]),
            (SCHEME, b"key", b"message", &[0, 1]),
            (SCHEME, b"keym", b"essage", &[1]),
            (SCHEME, b"", b"keymessage", &[1]),
        ] {
            let other = || cached.verify_endorsement(scheme, key, message, signature).unwrap();
            assert_eq!((asked(&other), asked(&other)), (1, 0));
        }
        assert_eq!(cached.remembered(), 7);
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let cached = Cached::new(Counting::default(), 4);
        let ask = |n: u8| {
            let before = cached.inner.0.load(Ordering::Relaxed);
            cached.verify_endorsement(SCHEME, &[n], &[], &[1]).unwrap();
            cached.inner.0.load(Ordering::Relaxed) - before
        };
        for n in 0..=255 {
            ask(n);
            assert_eq!(ask(7), usize::from(n < 7 && n == 0), "after {n}");
            assert!(cached.remembered() <= 8);
        }
        assert_eq!(ask(0), 1, "not used for long");
        assert_eq!(Cached::new(Counting::default(), 0).seen.into_inner().unwrap().capacity, 1);
    }

    #[test]
    fn a_panic_elsewhere_does_not_end_it() {
        let cached = Cached::new(Counting::default(), 4);
        let panicked = std::thread::scope(|scope| {
            // Unwinds as a panic does, without its message among the results.
            let fall = || cached.with(|_| std::panic::resume_unwind(Box::new("on purpose")));
            scope.spawn(fall).join().is_err()
        });
        assert!(panicked);
        assert!(cached.verify_endorsement(SCHEME, &[], &[], &[1]).is_ok());
        assert!(cached.verify_endorsement(SCHEME, &[], &[], &[2]).is_err());
    }
}
