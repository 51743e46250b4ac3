// SPDX-License-Identifier: Apache-2.0

//! The policy in force, and those that were in force since the start.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use evidence::policy::{Policy, PolicyError};
use types::digest::Sha256;
use types::limits;

/// Most policies that are kept for whoever asks by digest.
const KEPT_MAX: usize = 16;

/// A policy with the bytes it was read from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub policy: Policy,
    /// The file, byte for byte.
    pub bytes: Vec<u8>,
}

/// Why a policy was not taken.
#[derive(Debug)]
pub enum LoadError {
    /// The file cannot be read, or is larger than 1 MB, or is no UTF-8.
    Unreadable(PathBuf, io::Error),
    /// The file says something that a policy cannot say.
    Invalid(PathBuf, Box<PolicyError>),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(f, "cannot read the policy {}: {error}", path.display())
            }
            Self::Invalid(path, error) => {
                write!(f, "the policy {} is not valid: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for LoadError {}

impl LoadError {
    /// The error on one line, for the log.
    pub fn brief(&self) -> String {
        match self {
            Self::Unreadable(..) => self.to_string(),
            Self::Invalid(path, error) => {
                format!("the policy {} is not valid: {}", path.display(), error.brief())
            }
        }
    }
}

impl Loaded {
    /// Reads the policy in `path`.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let unreadable = |error| LoadError::Unreadable(path.to_owned(), error);
        let mut text = String::new();
        let room = limits::POLICY_BYTES_MAX as u64 + 1;
        std::fs::File::open(path)
            .and_then(|file| file.take(room).read_to_string(&mut text))
            .map_err(unreadable)?;
        if text.len() > limits::POLICY_BYTES_MAX {
            return Err(unreadable(io::Error::other("it is larger than 1 MB")));
        }
        let policy = Policy::parse(&text)
            .map_err(|error| LoadError::Invalid(path.to_owned(), Box::new(error)))?;
        Ok(Self { policy, bytes: text.into_bytes() })
    }

    /// SHA-256 of the file: the policy's name in certificates.
    pub const fn digest(&self) -> Sha256 {
        self.policy.digest
    }
}

/// The policy in force; exchanged while Steward runs.
#[derive(Debug)]
pub struct Policies {
    /// The first one is in force.
    known: RwLock<VecDeque<Arc<Loaded>>>,
}

impl Policies {
    /// With this policy in force.
    pub fn new(policy: Loaded) -> Self {
        Self { known: RwLock::new(VecDeque::from([Arc::new(policy)])) }
    }

    /// The policy in force.
    #[allow(
        clippy::expect_used,
        reason = "`new` puts one in and `replace` never takes the last one out"
    )]
    pub fn current(&self) -> Arc<Loaded> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.front().expect("there is always a policy").clone()
    }

    /// The policy with this digest, if it is or was in force.
    pub fn by_digest(&self, digest: &Sha256) -> Option<Arc<Loaded>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|p| p.digest() == *digest).cloned()
    }

    /// Puts `policy` in force. Decisions under way end under the one they began with.
    pub fn replace(&self, policy: Loaded) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|old| old.digest() != policy.digest());
        known.push_front(Arc::new(policy));
        known.truncate(KEPT_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Loaded {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        chassis::durable::write(&path, text.as_bytes(), 0o644).unwrap();
        Loaded::read(&path).unwrap()
    }

    #[test]
    fn the_newest_is_in_force_and_old_ones_stay_readable() {
        let (a, b) = (loaded("[snp]\n"), loaded("# another\n[snp]\n"));
        let (first, second) = (a.digest(), b.digest());
        let policies = Policies::new(a.clone());
        policies.replace(b);
        assert_eq!(policies.current().digest(), second);
        assert_eq!(policies.by_digest(&first).unwrap().bytes, b"[snp]\n");
        policies.replace(a);
        assert_eq!(policies.current().digest(), first);
        for n in 0..2 * KEPT_MAX {
            policies.replace(loaded(&format!("# {n}\n[snp]\n")));
        }
        assert!(policies.by_digest(&first).is_none(), "memory is bounded");
        assert!(policies.by_digest(&policies.current().digest()).is_some());
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        let error = Loaded::read(&path).unwrap_err();
        assert!(matches!(error, LoadError::Unreadable(..)), "{error}");
        let large = "#".repeat(limits::POLICY_BYTES_MAX + 1);
        for bytes in [&b"\xff"[..], large.as_bytes()] {
            chassis::durable::write(&path, bytes, 0o644).unwrap();
            let error = Loaded::read(&path).unwrap_err();
            assert!(matches!(error, LoadError::Unreadable(..)), "{error}");
        }
        chassis::durable::write(&path, b"no_such_key = 1\n", 0o644).unwrap();
        let error = Loaded::read(&path).unwrap_err();
        assert!(matches!(error, LoadError::Invalid(..)), "{error}");
        assert!(error.to_string().contains('^'), "{error}");
    }
}
