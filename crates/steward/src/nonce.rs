// SPDX-License-Identifier: Apache-2.0

//! Nonces: what makes evidence fresh (docs/FORMATS.md 3.6).
//!
//! Nothing is kept for a nonce that was handed out: it carries its own time, and a MAC shows whose it is. What is kept, for
//! the few minutes that it could serve again, is which ones were used.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::rand;
use chassis::secret::{self, SecretError};
use evidence::Nonces;
use types::limits;
use types::time::Timestamp;
use zeroize::Zeroizing;

/// Bytes of a nonce: seconds since 1970 (8, big-endian), random (16), MAC (16).
pub const NONCE_BYTES: usize = TIME_BYTES + RANDOM_BYTES + MAC_BYTES;
/// How long a nonce serves, in seconds.
pub const LIFETIME_SECONDS: u64 = 300;

const TIME_BYTES: usize = 8;
const RANDOM_BYTES: usize = 16;
const MAC_BYTES: usize = 16;
/// How far in the future a nonce may be, in seconds: clocks of instances that share a key differ.
const SKEW_SECONDS: u64 = 60;
/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// What the MAC is over, before time and random: a key that should serve elsewhere too makes no nonces there.
const CONTEXT: &[u8] = b"enarx steward nonce 1";

/// Why there is no key to make nonces with.
#[derive(Debug)]
pub enum NonceKeyError {
    /// The file cannot be read, or others can.
    File(SecretError),
    /// It is not 64 hex digits.
    NoKey,
    /// The system has no randomness.
    Randomness,
}

impl fmt::Display for NonceKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::NoKey => f.write_str(
                "the nonce key is not 64 hex digits; make one with: (umask 077; openssl rand -hex 32 > nonce.key)",
            ),
            Self::Randomness => f.write_str("the system has no randomness for a nonce key"),
        }
    }
}

impl std::error::Error for NonceKeyError {}

/// Why a nonce cannot be marked as used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It was used before.
    Used,
    /// More were used in the last minutes than are remembered.
    Full,
}

/// Hands out nonces, and knows its own again.
pub struct Mint {
    key: hmac::Key,
    /// When it runs out, and the rest of it. In the order in which they run out.
    used: Mutex<BTreeSet<(u64, [u8; RANDOM_BYTES])>>,
    used_max: usize,
}

impl fmt::Debug for Mint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mint").finish_non_exhaustive()
    }
}

/// A nonce, taken apart.
type Parts = (u64, [u8; RANDOM_BYTES]);

impl Mint {
    /// With a key of this process.
    ///
    /// # Errors
    /// [`NonceKeyError::Randomness`].
    pub fn new() -> Result<Self, NonceKeyError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(key.as_mut_slice()).map_err(|_| NonceKeyError::Randomness)?;
        Ok(Self::with_key(&key))
    }

    /// With the key in a file, which only its owner may read: 64 hex digits. Instances with the same key take each other's
    /// nonces; which ones were used each remembers for itself.
    ///
    /// # Errors
    /// [`NonceKeyError`].
    pub fn from_file(path: &Path) -> Result<Self, NonceKeyError> {
        let text = secret::read(path).map_err(NonceKeyError::File)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(text.expose().trim_ascii(), key.as_mut_slice())
            .map_err(|_| NonceKeyError::NoKey)?;
        Ok(Self::with_key(&key))
    }

    fn with_key(key: &[u8; KEY_BYTES]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            used: Mutex::default(),
            used_max: limits::NONCES_USED_MAX,
        }
    }

    /// A new nonce, of [`NONCE_BYTES`]; it serves for [`LIFETIME_SECONDS`] from `now` on. `None`: the system has no
    /// randomness.
    pub fn mint(&self, now: Timestamp) -> Option<Vec<u8>> {
        let mut random = [0; RANDOM_BYTES];
        rand::fill(&mut random).ok()?;
        let mut nonce = Vec::with_capacity(NONCE_BYTES);
        nonce.extend_from_slice(&now.0.to_be_bytes());
        nonce.extend_from_slice(&random);
        let mac = self.mac(&nonce);
        nonce.extend(mac.as_ref().iter().take(MAC_BYTES));
        Some(nonce)
    }

    fn mac(&self, signed: &[u8]) -> hmac::Tag {
        let mut mac = hmac::Context::with_key(&self.key);
        mac.update(CONTEXT);
        mac.update(signed);
        mac.sign()
    }

    fn parts(&self, nonce: &[u8]) -> Option<Parts> {
        let signed = nonce.get(..TIME_BYTES + RANDOM_BYTES)?;
        let mac = self.mac(signed);
        verify_slices_are_equal(nonce.get(signed.len()..)?, mac.as_ref().get(..MAC_BYTES)?).ok()?;
        let (time, random) = signed.split_first_chunk()?;
        Some((u64::from_be_bytes(*time), random.try_into().ok()?))
    }

    /// Marks a nonce that was checked as used.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub fn spend(&self, nonce: &[u8], now: Timestamp) -> Result<(), Unusable> {
        let (time, random) = self.parts(nonce).ok_or(Unusable::Used)?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // What has run out is refused for that.
        while used.first().is_some_and(|(expiry, _)| *expiry < now.0) {
            used.pop_first();
        }
        if used.len() >= self.used_max {
            return Err(Unusable::Full);
        }
        if used.insert((time.saturating_add(LIFETIME_SECONDS), random)) {
            Ok(())
        } else {
            Err(Unusable::Used)
        }
    }

    /// Gives a nonce back that was marked as used, and did not serve.
    pub fn give_back(&self, nonce: &[u8]) {
        if let Some((time, random)) = self.parts(nonce) {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.remove(&(time.saturating_add(LIFETIME_SECONDS), random));
        }
    }
}

impl Nonces for Mint {
    fn check(&self, nonce: &[u8], now: Timestamp) -> Result<(), String> {
        let (time, random) =
            self.parts(nonce).ok_or("the nonce was not handed out by this Steward")?;
        if now.0 > time.saturating_add(LIFETIME_SECONDS) {
            let late = now.0.saturating_sub(time);
            return Err(format!(
                "the nonce was handed out {late} seconds ago, and serves for {LIFETIME_SECONDS}"
            ));
        }
        if time > now.plus(SKEW_SECONDS).0 {
            return Err("the nonce was handed out in the future: compare the clocks".to_owned());
        }
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains(&(time.saturating_add(LIFETIME_SECONDS), random)) {
            return Err("the nonce was used before".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000);

    #[test]
    fn knows_its_own_for_five_minutes() {
        let (mint, other) = (Mint::new().unwrap(), Mint::new().unwrap());
        let nonce = mint.mint(NOW).unwrap();
        assert_eq!(nonce.len(), 40);
        assert_ne!(nonce, mint.mint(NOW).unwrap());
        for now in [NOW.minus(60), NOW, NOW.plus(300)] {
            assert_eq!(mint.check(&nonce, now), Ok(()));
        }
        for now in [NOW.minus(61), NOW.plus(301)] {
            assert!(mint.check(&nonce, now).is_err());
        }
        assert!(other.check(&nonce, NOW).is_err());
        for at in 0..nonce.len() {
            let mut forged = nonce.clone();
            forged[at] ^= 1;
            assert!(mint.check(&forged, NOW).is_err(), "byte {at}");
            assert!(mint.check(&nonce[..at], NOW).is_err(), "{at} bytes");
        }
        assert!(mint.check(&[&nonce[..], &[0]].concat(), NOW).is_err());
        assert!(!format!("{mint:?}").contains("key"));
    }

    #[test]
    fn serves_once() {
        let mint = Mint::new().unwrap();
        let [a, b] = [(); 2].map(|()| mint.mint(NOW).unwrap());
        assert_eq!(mint.spend(&a, NOW), Ok(()));
        assert!(mint.check(&a, NOW).unwrap_err().contains("used before"));
        assert_eq!(mint.spend(&a, NOW.plus(LIFETIME_SECONDS)), Err(Unusable::Used));
        assert_eq!(mint.check(&b, NOW), Ok(()));
        assert_eq!(mint.spend(&b, NOW), Ok(()));
        mint.give_back(&b);
        assert!(mint.check(&a, NOW).is_err());
        assert_eq!(mint.check(&b, NOW), Ok(()));
        assert_eq!(mint.spend(&b, NOW), Ok(()));
        assert_eq!(mint.spend(&[0; 40], NOW), Err(Unusable::Used));
    }

    #[test]
    fn remembers_no_more_than_it_must() {
        let mut mint = Mint::new().unwrap();
        mint.used_max = 2;
        let [a, b, c] = [(); 3].map(|()| mint.mint(NOW).unwrap());
        assert_eq!(mint.spend(&a, NOW), Ok(()));
        assert_eq!(mint.spend(&b, NOW), Ok(()));
        assert_eq!(mint.spend(&c, NOW), Err(Unusable::Full));
        // Those two have run out.
        let late = NOW.plus(LIFETIME_SECONDS + 1);
        let d = mint.mint(late).unwrap();
        assert_eq!(mint.spend(&d, late), Ok(()));
        assert_eq!(mint.used.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_key_is_shared_by_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nonce.key");
        let write = |text: &str, mode| chassis::durable::write(&path, text.as_bytes(), mode);
        write(&format!("{}\n", "a5".repeat(32)), 0o600).unwrap();
        let (a, b) = (Mint::from_file(&path).unwrap(), Mint::from_file(&path).unwrap());
        assert_eq!(b.check(&a.mint(NOW).unwrap(), NOW), Ok(()));
        for text in [String::new(), "a5".repeat(31), "a5".repeat(33), "xy".repeat(32)] {
            write(&text, 0o600).unwrap();
            assert!(matches!(Mint::from_file(&path), Err(NonceKeyError::NoKey)), "{text}");
        }
        write(&"a5".repeat(32), 0o640).unwrap();
        assert!(matches!(Mint::from_file(&path), Err(NonceKeyError::File(_))));
    }
}
